/* k8s-file - the file log of podman and kubelets: "TIME stdout|stderr F|P TEXT". */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/str.h"
#include "base/timefmt.h"
#include "logs/logs-priv.h"

/* Records that go out by one writev(2), three pieces each. */
#define BATCH 40

/* Records that wait to be written; their texts stay where they were read to. */
struct batch {
    struct log_writer *w;
    char full[64], part[64]; /* "TIME STREAM F ", "TIME STREAM P " */
    size_t head_len;
    struct iovec iov[3 * BATCH];
    int n;
};

static int k8s_file_check(char *const *opts, struct err *e)
{
    struct log_file_opts o;
    int r = log_file_opts_parse(opts, &o, e);
    if (r == 0 && (o.labels || o.env || o.tag))
        return err_msg(e, EINVAL, "log option \"%s\": k8s-file has no room for it, json-file has",
                       o.labels ? "labels"
                       : o.env  ? "env"
                                : "tag");
    return r;
}

static void flush_batch(struct batch *b)
{
    log_file_put(b->w, b->iov, b->n);
    b->n = 0;
}

static void push(struct batch *b, const void *data, size_t n)
{
    b->iov[b->n++] = (struct iovec){(void *)(uintptr_t)data, n};
}

/* A line with its line feed, or a piece of one. */
static void add_record(struct batch *b, const char *text, size_t n, bool whole)
{
    push(b, whole ? b->full : b->part, b->head_len);
    push(b, text, n);
    if (!whole)
        push(b, "\n", 1);
    if (b->n + 3 > (int)N_ELEMENTS(b->iov))
        flush_batch(b);
}

static void k8s_file_write(struct log_writer *w, enum log_stream s, const void *data, size_t n)
{
    struct batch b;
    char when[48];
    const char *stream = s == LOG_STDERR ? "stderr" : "stdout";
    b.w = w;
    b.n = 0;
    time_rfc3339(time_now_ns(), when, sizeof(when));
    b.head_len = (size_t)snprintf(b.full, sizeof(b.full), "%s %s F ", when, stream);
    snprintf(b.part, sizeof(b.part), "%s %s P ", when, stream);

    const char *p = data, *end = p + n;
    while (p < end) {
        size_t room = (size_t)(end - p) < LOGS_MAX_TEXT ? (size_t)(end - p) : LOGS_MAX_TEXT;
        const char *lf = memchr(p, '\n', room);
        size_t len = lf ? (size_t)(lf - p) + 1 : room;
        add_record(&b, p, len, lf != NULL);
        p += len;
    }
    flush_batch(&b);
}

/* "TIME stdout F text"; false when the line is none of ours. */
static bool parse_record(const char *line, size_t n, char *scratch, struct log_record *ret)
{
    const char *sp = memchr(line, ' ', n);
    size_t at = sp ? (size_t)(sp - line) : n;
    (void)scratch;
    if (!sp || n - at < sizeof(" stdout F") - 1)
        return false;
    bool out = memcmp(sp, " stdout ", 8) == 0;
    if (!out && memcmp(sp, " stderr ", 8) != 0)
        return false;
    if ((sp[8] != 'F' && sp[8] != 'P') || (n - at > 9 && sp[9] != ' '))
        return false;
    *ret = (struct log_record){
        .time = line,
        .time_len = at,
        .stream = out ? LOG_STDOUT : LOG_STDERR,
        .whole = sp[8] == 'F',
        .text = n - at > 10 ? sp + 10 : "",
        .text_len = n - at > 10 ? n - at - 10 : 0,
    };
    return true;
}

static int k8s_file_read(const struct log_read *o, struct err *e)
{
    return log_file_read(o, parse_record, e);
}

const struct log_driver log_driver_k8s_file = {
    .name = "k8s-file",
    .summary = "a file of lines \"TIME STREAM F|P TEXT\" in the container's directory",
    .check = k8s_file_check,
    .open = log_file_open,
    .write = k8s_file_write,
    .reopen = log_file_reopen,
    .close = log_file_close,
    .read = k8s_file_read,
};
