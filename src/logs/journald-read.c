/* journald-read - the reading half of the journal log: journalctl(1) finds the entries, as who may
 * read what is its business, and we print them as any other log. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "logs/logs-priv.h"

#define CHUNK (64u << 10)
#define ENTRY_MAX (1u << 20)
/* After the container's end its last entries are on their way through the journal so long. */
#define LAST_MS 500
#define FINISH_MS 5000

struct reading {
    const struct log_read *o;
    struct proc_child child;
    int fd;     /* what journalctl says; owned */
    bool ended; /* it has said all */
    struct str buf, text;
    bool mid_line[2];
    uint64_t entries;
};

static char **command(const struct log_read *o)
{
    char **argv = NULL;
    strv_add(&argv, "journalctl");
    strv_add(&argv, "--quiet");
    strv_add(&argv, "--no-pager");
    strv_add(&argv, "--all");
    strv_add(&argv, "--output=json");
    strv_add(&argv, "--output-fields=MESSAGE,PRIORITY,CONTAINER_PARTIAL_MESSAGE");
    if (o->tail >= 0)
        strv_addf(&argv, "--lines=%lld", (long long)o->tail);
    else
        strv_add(&argv, "--lines=all");
    if (o->follow)
        strv_add(&argv, "--follow");
    if (o->since_ns)
        strv_addf(&argv, "--since=@%lld.%06lld", (long long)(o->since_ns / 1000000000),
                  (long long)(o->since_ns % 1000000000 / 1000));
    if (o->until_ns)
        strv_addf(&argv, "--until=@%lld.%06lld", (long long)(o->until_ns / 1000000000),
                  (long long)(o->until_ns % 1000000000 / 1000));
    strv_addf(&argv, "CONTAINER_ID_FULL=%s", o->ident.id);
    /* Who wrote an entry says the journal itself; the rest anybody may claim. */
    strv_addf(&argv, "_UID=%u", (unsigned)geteuid());
    return argv;
}

/* A text, or the bytes of one that is not UTF-8. */
static void message_text(const json_t *j, struct str *out)
{
    size_t i;
    json_t *v;
    str_reset(out);
    if (json_is_string(j))
        str_addn(out, json_string_value(j), json_string_length(j));
    json_array_foreach(j, i, v) str_addc(out, (char)json_integer_value(v));
}

static const char *member(const json_t *entry, const char *name)
{
    const char *s = json_string_value(json_object_get(entry, name));
    return s ? s : "";
}

/* Puts what stands in front of a line there. */
static void put_front(struct reading *r, const json_t *entry)
{
    const struct log_read *o = r->o;
    char when[48] = "";
    uint64_t us;
    if (o->timestamps && parse_u64(member(entry, "__REALTIME_TIMESTAMP"), &us) == 0)
        time_rfc3339((int64_t)us * 1000, when, sizeof(when));
    if (!*when && !o->prefix)
        return;
    size_t n = r->text.len;
    scoped_free char *text = xmalloc(n + 1);
    memcpy(text, r->text.s, n);
    str_reset(&r->text);
    str_addf(&r->text, "%s%s%s", o->prefix ? o->prefix : "", when, *when ? " " : "");
    str_addn(&r->text, text, n);
}

static int print_entry(struct reading *r, const json_t *entry)
{
    const struct log_read *o = r->o;
    bool is_err = !streq(member(entry, "PRIORITY"), "6");
    bool partial = json_object_get(entry, "CONTAINER_PARTIAL_MESSAGE") != NULL;
    bool begins = !r->mid_line[is_err];
    int fd = is_err ? o->err_fd : o->out_fd;
    r->entries++;
    r->mid_line[is_err] = partial;
    if (fd < 0)
        return 0;
    message_text(json_object_get(entry, "MESSAGE"), &r->text);
    if (begins)
        put_front(r, entry);
    if (!partial)
        str_addc(&r->text, '\n');
    return fs_write_all(fd, r->text.s, r->text.len);
}

/* The whole lines of buf. */
static int print_lines(struct reading *r, struct err *e)
{
    char *p = r->buf.s, *end = p + r->buf.len, *lf;
    while ((lf = memchr(p, '\n', (size_t)(end - p)))) {
        struct err none = ERR_INIT;
        scoped_json json_t *entry = json_parse(p, (size_t)(lf - p), ENTRY_MAX, "entry", &none);
        int rc = entry ? print_entry(r, entry) : 0;
        if (rc < 0)
            return err_set(e, -rc, "write the log");
        p = lf + 1;
    }
    size_t rest = (size_t)(end - p);
    if (rest > ENTRY_MAX)
        rest = 0; /* none of ours */
    memmove(r->buf.s, end - rest, rest);
    r->buf.len = rest;
    return 0;
}

/* 1: there may be more, 0: the end. */
static int read_some(struct reading *r, int timeout_ms)
{
    char chunk[CHUNK];
    struct pollfd p[] = {{.fd = r->fd, .events = POLLIN},
                         {.fd = timeout_ms < 0 ? r->o->stop_fd : -1, .events = POLLIN},
                         {.fd = r->o->out_fd}};
    int n = poll(p, 3, timeout_ms);
    if (n < 0)
        return errno == EINTR ? 1 : -errno;
    if (p[2].revents & (POLLERR | POLLHUP | POLLNVAL))
        return -EPIPE; /* nobody reads any more what may never come */
    if (p[1].revents && !p[0].revents)
        return 0;
    if (!p[0].revents)
        return 0;
    ssize_t got = read(r->fd, chunk, sizeof(chunk));
    r->ended = got == 0;
    if (got <= 0)
        return got < 0 && errno == EINTR ? 1 : got < 0 ? -errno : 0;
    str_addn(&r->buf, chunk, (size_t)got);
    return 1;
}

static int pump(struct reading *r, int timeout_ms, struct err *e)
{
    for (;;) {
        int more = read_some(r, timeout_ms);
        if (more < 0)
            return err_set(e, -more, "read what journalctl says");
        int rc = print_lines(r, e);
        if (rc < 0 || !more)
            return rc;
    }
}

/* Silence may be a container's or that of a journal that we must not read: tell them apart. */
static void explain_silence(const struct reading *r)
{
    static const char text[] =
        "rootlet: nothing of it is to be read in the journal, of which you see only a part: who is "
        "in group\nsystemd-journal sees all of it (sudo usermod -aG systemd-journal USER)\n";
    char id[64] = "";
    scoped_free char *machine = NULL;
    struct err none = ERR_INIT;
    if (r->entries || r->o->follow || r->o->since_ns || r->o->until_ns || r->o->tail >= 0)
        return;
    if (fs_read(AT_FDCWD, "/etc/machine-id", sizeof(id) - 1, &machine, &none) < 32)
        return;
    scoped_free char *kept = xasprintf("/var/log/journal/%.32s/system.journal", machine);
    scoped_free char *lost = xasprintf("/run/log/journal/%.32s/system.journal", machine);
    if (access(kept, R_OK) < 0 && access(lost, R_OK) < 0 && r->o->err_fd >= 0)
        (void)!fs_write_all(r->o->err_fd, text, sizeof(text) - 1);
}

static int start(struct reading *r, struct err *e)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    r->fd = fds[0];
    scoped_fd int theirs = fds[1];
    scoped_strv char **argv = command(r->o);
    struct proc_cmd cmd = {.argv = argv, .stdin_fd = -1, .stdout_fd = theirs};
    return proc_start(&cmd, &r->child, e);
}

/* Its own word, where it had to give up. */
static int finish(struct reading *r, bool killed, struct err *e)
{
    struct err why = ERR_INIT;
    if (killed)
        pidfd_signal(r->child.pidfd, SIGTERM);
    int rc = proc_finish(&r->child, FINISH_MS, &why);
    if (rc == 0 || killed)
        return 0;
    *e = why;
    rc = err_add(e, rc < 0 ? rc : -EIO, "read the journal");
    return err_hint(e, rc,
                    "members of group systemd-journal read all of it; a user's own journal needs a "
                    "persistent one (mkdir /var/log/journal); --log-driver k8s-file keeps a file");
}

int journald_read(const struct log_read *o, struct err *e)
{
    struct reading r = {.o = o, .fd = -1, .buf = STR_INIT, .text = STR_INIT};
    int rc = start(&r, e);
    if (rc == 0) {
        rc = pump(&r, -1, e);
        if (rc == 0 && !r.ended) /* the container has, when it is followed */
            rc = pump(&r, LAST_MS, e);
        struct err later = ERR_INIT; /* what went wrong first is told */
        int end = finish(&r, !r.ended, rc < 0 ? &later : e);
        rc = rc < 0 ? rc : end;
    }
    if (rc == 0)
        explain_silence(&r);
    fd_close(&r.fd);
    str_release(&r.buf);
    str_release(&r.text);
    return rc;
}
