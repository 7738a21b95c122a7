/* k8s-file - the writing half of the file log. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
    size_t bytes;
};

const char *log_file_name(const char *path, unsigned n, char *buf, size_t size)
{
    if (n == 0)
        snprintf(buf, size, "%s", path);
    else
        snprintf(buf, size, "%s.%u", path, n);
    return buf;
}

static int open_file(struct log_writer *w)
{
    struct stat st;
    int fd = openat(w->dir_fd, w->path,
                    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
                    0600);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    w->fd = fd;
    w->size = (uint64_t)st.st_size;
    return 0;
}

static int k8s_file_check(char *const *opts, struct err *e)
{
    struct log_file_opts o;
    return log_file_opts_parse(opts, &o, e);
}

static int k8s_file_open(struct log_writer *w, const struct log_ident *ident, struct err *e)
{
    struct log_file_opts o;
    int r = log_file_opts_parse(ident->opts, &o, e);
    if (r < 0)
        return r;
    w->max_size = o.max_size;
    w->max_files = o.max_files;
    w->path = xstrdup(o.path);
    w->dir_fd = fcntl(ident->dir_fd, F_DUPFD_CLOEXEC, 3);
    r = w->dir_fd < 0 ? -errno : open_file(w);
    return r < 0 ? err_set(e, -r, "%s", o.path) : 0;
}

static void k8s_file_reopen(struct log_writer *w)
{
    fd_close(&w->fd);
    (void)!open_file(w);
}

/* log.1 becomes log.2 and so on, log becomes log.1; with one file only it starts anew. */
static void rotate(struct log_writer *w)
{
    char from[4096], to[4096];
    for (unsigned n = w->max_files - 1; n > 0; n--)
        (void)!renameat(w->dir_fd, log_file_name(w->path, n - 1, from, sizeof(from)), w->dir_fd,
                        log_file_name(w->path, n, to, sizeof(to)));
    if (w->max_files == 1)
        (void)!unlinkat(w->dir_fd, w->path, 0);
    k8s_file_reopen(w);
}

static void flush_batch(struct batch *b)
{
    struct log_writer *w = b->w;
    if (w->max_size && w->size && w->size + b->bytes > w->max_size)
        rotate(w);
    struct iovec *v = b->iov;
    int n = b->n;
    b->n = 0;
    b->bytes = 0;
    while (n > 0 && w->fd >= 0) {
        ssize_t done = writev(w->fd, v, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* a full disk loses lines, not the container */
        w->size += (uint64_t)done;
        for (; n > 0 && (size_t)done >= v->iov_len; v++, n--)
            done -= (ssize_t)v->iov_len;
        if (n > 0) {
            v->iov_base = (char *)v->iov_base + done;
            v->iov_len -= (size_t)done;
        }
    }
}

static void push(struct batch *b, const void *data, size_t n)
{
    b->iov[b->n++] = (struct iovec){(void *)(uintptr_t)data, n};
    b->bytes += n;
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
    b.bytes = 0;
    time_rfc3339(time_now_ns(), when, sizeof(when));
    b.head_len = (size_t)snprintf(b.full, sizeof(b.full), "%s %s F ", when, stream);
    snprintf(b.part, sizeof(b.part), "%s %s P ", when, stream);
    if (w->fd < 0)
        (void)!open_file(w);

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

static void k8s_file_close(struct log_writer *w)
{
    fd_close(&w->fd);
    fd_close(&w->dir_fd);
    free(w->path);
}

const struct log_driver log_driver_k8s_file = {
    .name = "k8s-file",
    .summary = "a file of lines \"TIME STREAM F|P TEXT\" in the container's directory",
    .check = k8s_file_check,
    .open = k8s_file_open,
    .write = k8s_file_write,
    .reopen = k8s_file_reopen,
    .close = k8s_file_close,
    .read = k8s_file_read,
};
