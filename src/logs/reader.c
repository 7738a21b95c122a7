/* reader - the reading half of the file log: rotated files in order, the last lines, following. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "logs/logs-priv.h"

/* A record has at most 16 KiB of text, each byte six in JSON. */
#define READ_BUF (256u << 10)
#define OUT_BUF (32u << 10)
#define FRONT_MAX 512          /* prefix, time, line feed */
#define TAIL_SEARCH (1u << 20) /* so far before the last lines pieces of them are looked for */

struct reader {
    const struct log_read *o;
    log_parse_fn *parse;
    struct log_file_opts file;
    char *scratch; /* of parse */
    int fd;        /* the file that is being read, owned */
    off_t end;     /* up to here; -1: all that comes */
    char *buf;
    size_t len; /* in buf: not yet a whole record */
    char *out;
    size_t out_len;
    int out_fd;       /* whose text is in out */
    bool mid_line[2]; /* the stream's last record was a piece */
    size_t skip[2];   /* so many records of the stream are older than the last lines wanted */
    bool reached_until;
};

/* Others write whole lines to the same place. */
static void lock_out(const struct reader *r, short type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET};
    if (r->o->lock_fd > 0)
        (void)!fcntl(r->o->lock_fd, F_SETLKW, &l);
}

static int flush_out(struct reader *r, struct err *e)
{
    if (!r->out_len)
        return 0;
    lock_out(r, F_WRLCK);
    int rc = fs_write_all(r->out_fd, r->out, r->out_len);
    lock_out(r, F_UNLCK);
    r->out_len = 0;
    return rc < 0 ? err_set(e, -rc, "write the log") : 0;
}

static int put(struct reader *r, int fd, const char *data, size_t n, struct err *e)
{
    /* Both streams may be one terminal: what came first must be there first. */
    if (fd != r->out_fd || r->out_len + n > OUT_BUF) {
        int rc = flush_out(r, e);
        if (rc < 0)
            return rc;
    }
    r->out_fd = fd;
    if (n > OUT_BUF) { /* only in files that others made */
        int rc = fs_write_all(fd, data, n);
        return rc < 0 ? err_set(e, -rc, "write the log") : 0;
    }
    memcpy(r->out + r->out_len, data, n);
    r->out_len += n;
    return 0;
}

static int64_t record_time(const struct log_record *rec)
{
    char text[64];
    int64_t ns = 0;
    snprintf(text, sizeof(text), "%.*s", (int)(rec->time_len < 63 ? rec->time_len : 63), rec->time);
    return time_parse(text, &ns) == 0 ? ns : 0;
}

/* What stands in front of a line. */
static int put_front(struct reader *r, int fd, const struct log_record *rec, struct err *e)
{
    const struct log_read *o = r->o;
    int rc = 0;
    if (o->prefix && r->out_len + rec->text_len + FRONT_MAX > OUT_BUF)
        rc = flush_out(r, e);
    if (rc == 0 && o->prefix)
        rc = put(r, fd, o->prefix, strlen(o->prefix), e);
    if (rc == 0 && o->timestamps)
        rc = put(r, fd, rec->time, rec->time_len, e);
    if (rc == 0 && o->timestamps)
        rc = put(r, fd, " ", 1, e);
    if (rc == 0 && o->details && rec->details)
        rc = put(r, fd, rec->details, strlen(rec->details), e);
    return rc == 0 && o->details && rec->details ? put(r, fd, " ", 1, e) : rc;
}

static int print_record(struct reader *r, const char *line, size_t n, struct err *e)
{
    struct log_record rec;
    if (!r->parse(line, n, r->scratch, &rec))
        return 0; /* torn by a full disk or a power cut */
    if (r->skip[rec.stream] > 0) {
        r->skip[rec.stream]--;
        return 0;
    }
    const struct log_read *o = r->o;
    if (o->since_ns || o->until_ns) {
        int64_t when = record_time(&rec);
        if (when && o->since_ns && when < o->since_ns)
            return 0;
        if (when && o->until_ns && when > o->until_ns) {
            r->reached_until = true;
            return 0;
        }
    }
    int fd = rec.stream == LOG_STDOUT ? o->out_fd : o->err_fd;
    bool starts = !r->mid_line[rec.stream];
    r->mid_line[rec.stream] = !rec.whole;
    if (fd < 0)
        return 0;
    int rc = starts ? put_front(r, fd, &rec, e) : 0;
    if (rc == 0)
        rc = put(r, fd, rec.text, rec.text_len, e);
    return rc == 0 && rec.whole ? put(r, fd, "\n", 1, e) : rc;
}

/* So much of the file may be read into what is free of buf. */
static size_t room(const struct reader *r)
{
    size_t size = READ_BUF - r->len;
    off_t at = r->end < 0 ? 0 : lseek(r->fd, 0, SEEK_CUR);
    off_t left = r->end < 0 ? (off_t)size : r->end > at ? r->end - at : 0;
    return left < (off_t)size ? (size_t)left : size;
}

/* Prints all whole records that the current file has. */
static int print_rest(struct reader *r, struct err *e)
{
    while (!r->reached_until) {
        ssize_t n = read(r->fd, r->buf + r->len, room(r));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "read the log");
        if (n == 0)
            break;
        r->len += (size_t)n;
        char *p = r->buf, *end = p + r->len, *lf;
        while (!r->reached_until && (lf = memchr(p, '\n', (size_t)(end - p)))) {
            int rc = print_record(r, p, (size_t)(lf - p), e);
            if (rc < 0)
                return rc;
            p = lf + 1;
        }
        /* No writer of ours makes such a line. */
        if (p == r->buf && r->len == READ_BUF)
            p = end;
        r->len = (size_t)(end - p);
        memmove(r->buf, p, r->len);
    }
    return flush_out(r, e);
}

/* Where the last lines begin. The pieces of a line may have records of the other stream between
 * them: these are older than what is wanted and left out. */
struct tail {
    int64_t want;      /* lines */
    bool open[2];      /* of the oldest wanted line of this stream there may be more pieces */
    size_t pending[2]; /* unwanted records before the last wanted one */
    off_t passed;      /* bytes looked at after the last line was found */
    unsigned file;     /* start: the number of the file, the place in it */
    off_t at;
};

static bool tail_found(const struct tail *t)
{
    return t->want == 0 && ((!t->open[0] && !t->open[1]) || t->passed > (off_t)TAIL_SEARCH);
}

static bool tail_wants(struct tail *t, const struct log_record *rec)
{
    bool *open = &t->open[rec->stream];
    if (!rec->whole)
        return *open |= t->want > 0;
    *open = t->want > 0;
    t->want -= *open;
    return *open;
}

/* One record, from the last to the first; it begins at the given place. */
static void tail_record(struct reader *r, struct tail *t, const char *line, size_t len, off_t at,
                        unsigned file)
{
    struct log_record rec;
    if (t->want == 0)
        t->passed += (off_t)len;
    if (!r->parse(line, len, r->scratch, &rec))
        return;
    if (!tail_wants(t, &rec)) {
        t->pending[rec.stream]++;
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        r->skip[i] += t->pending[i];
        t->pending[i] = 0;
    }
    t->at = at;
    t->file = file;
}

/* Looks at the records of one file from its end backwards. */
static void tail_file(struct reader *r, struct tail *t, unsigned file)
{
    struct stat st;
    if (r->fd < 0 || fstat(r->fd, &st) < 0)
        return;
    off_t end = st.st_size;
    if (file == 0)
        t->at = end;
    while (end > 0 && !tail_found(t)) {
        off_t start = end > (off_t)READ_BUF ? end - (off_t)READ_BUF : 0;
        ssize_t n = pread(r->fd, r->buf, (size_t)(end - start), start);
        if (n <= 0)
            return;
        /* Records begin behind line feeds; the window's first one may be cut. */
        const char *first = start ? memchr(r->buf, '\n', (size_t)n) : r->buf - 1;
        const char *stop = r->buf + n;
        if (!first || first + 1 >= stop)
            return;
        first++;
        while (stop > first && !tail_found(t)) {
            const char *lf = memrchr(first, '\n', (size_t)(stop - 1 - first));
            const char *line = lf ? lf + 1 : first;
            off_t at = start + (line - r->buf);
            if (stop[-1] == '\n')
                tail_record(r, t, line, (size_t)(stop - 1 - line), at, file);
            else if (file == 0)
                t->at = at; /* the rest of it is being written */
            stop = line;
        }
        end = start + (first - r->buf);
    }
}

/* The time of the first record behind at; 0: there is none to be found. */
static int64_t time_behind(const struct reader *r, off_t at)
{
    struct log_record rec;
    ssize_t n = pread(r->fd, r->buf, READ_BUF, at);
    char *p = r->buf, *end = p + (n > 0 ? n : 0), *lf;
    for (bool first = at > 0; p < end && (lf = memchr(p, '\n', (size_t)(end - p))); p = lf + 1) {
        if (!first && r->parse(p, (size_t)(lf - p), r->scratch, &rec) && record_time(&rec))
            return record_time(&rec);
        first = false;
    }
    return 0;
}

/* Leaves out what is older, by halves: only large files are worth it. */
static void skip_to_since(struct reader *r)
{
    struct stat st;
    if (r->fd < 0 || !r->o->since_ns || fstat(r->fd, &st) < 0 || st.st_size < 4 * (off_t)READ_BUF)
        return;
    off_t low = 0, high = st.st_size;
    while (high - low > (off_t)READ_BUF) {
        off_t middle = low + (high - low) / 2;
        int64_t when = time_behind(r, middle);
        if (!when)
            return; /* not what we have written: all of it is read */
        if (when < r->o->since_ns)
            low = middle;
        else
            high = middle;
    }
    /* Within a record, which is older: behind it. */
    ssize_t n = low > 0 ? pread(r->fd, r->buf, READ_BUF, low) : 0;
    const char *lf = n > 0 ? memchr(r->buf, '\n', (size_t)n) : NULL;
    lseek(r->fd, lf ? low + (lf - r->buf) + 1 : 0, SEEK_SET);
}

static int open_nth(const struct reader *r, unsigned n)
{
    char name[4096];
    int fd = openat(r->o->ident.dir_fd, log_file_name(r->file.path, n, name, sizeof(name)),
                    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

/* Leaves out what is before the last `tail` lines: returns the file to begin with, its descriptor
 * in r->fd at the right place. */
static unsigned skip_to_tail(struct reader *r, unsigned oldest)
{
    struct tail t = {.want = r->o->tail};
    for (unsigned n = 0; n <= oldest && !(n > 0 && tail_found(&t)); n++) {
        fd_close(&r->fd);
        r->fd = open_nth(r, n);
        tail_file(r, &t, n);
    }
    if (t.want > 0) { /* there are not so many */
        t.file = oldest;
        t.at = 0;
    }
    fd_close(&r->fd);
    r->fd = open_nth(r, t.file);
    if (r->fd >= 0)
        lseek(r->fd, t.at, SEEK_SET);
    return t.file;
}

/* All files from the oldest to the current one; r->fd is then the current one's (or -1). */
static int print_files(struct reader *r, struct err *e)
{
    unsigned n = 0;
    for (unsigned i = 1; i < LOG_FILES_MAX; i++) {
        scoped_fd int fd = open_nth(r, i);
        if (fd < 0)
            break;
        n = i;
    }
    if (r->o->tail >= 0)
        n = skip_to_tail(r, n);
    else
        r->fd = open_nth(r, n);
    for (;; n--) {
        struct stat st;
        if (r->o->tail < 0)
            skip_to_since(r);
        /* Who writes faster than we read would keep us for ever: what is there now is shown. */
        if (n == 0 && !r->o->follow && r->fd >= 0 && fstat(r->fd, &st) == 0)
            r->end = st.st_size;
        int rc = r->fd >= 0 ? print_rest(r, e) : 0;
        if (rc < 0 || n == 0)
            return rc;
        fd_close(&r->fd);
        r->len = 0;
        r->fd = open_nth(r, n - 1);
    }
}

/* Under which number the file that is being read is to be found now; -1: it is gone. */
static int current_index(const struct reader *r)
{
    struct stat ours, there;
    char name[4096];
    if (r->fd < 0 || fstat(r->fd, &ours) < 0)
        return -1;
    for (unsigned n = 0; n < LOG_FILES_MAX; n++) {
        log_file_name(r->file.path, n, name, sizeof(name));
        if (fstatat(r->o->ident.dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0) {
            if (n > 0) /* between two renames of a rotation number 0 is missing */
                break;
            continue;
        }
        if (ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
            return (int)n;
    }
    return -1;
}

/* Goes on to the files that rotations have made since, one by one. */
static int change_file(struct reader *r, struct err *e)
{
    for (int tries = 0; tries < 2 * LOG_FILES_MAX; tries++) {
        int at = current_index(r);
        if (at == 0)
            return 0;
        scoped_fd int next = open_nth(r, at > 0 ? (unsigned)at - 1 : 0);
        if (next < 0)
            return 0; /* not there yet: its creation wakes us */
        if (at > 0 && current_index(r) != at)
            continue; /* rotated meanwhile: it may not be the next one */
        /* What was written between our last read and the rename. */
        int rc = r->fd >= 0 ? print_rest(r, e) : 0;
        fd_close(&r->fd);
        r->fd = take_fd(&next);
        r->len = 0;
        rc = rc < 0 ? rc : print_rest(r, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Waits for a change. 1: there may be more, 0: the end has come. */
static int wait_change(const struct reader *r, int watch_fd)
{
    int timeout = -1;
    if (r->o->until_ns) {
        int64_t left = (r->o->until_ns - time_now_ns()) / 1000000;
        if (left <= 0)
            return 0;
        timeout = left > 3600000 ? 3600000 : (int)left + 1;
    }
    struct pollfd p[] = {{.fd = watch_fd, .events = POLLIN},
                         {.fd = r->o->stop_fd, .events = POLLIN},
                         {.fd = r->o->out_fd}};
    if (poll(p, 3, timeout) < 0)
        return errno == EINTR ? 1 : 0;
    char events[4096];
    if (p[0].revents)
        (void)!read(watch_fd, events, sizeof(events));
    /* Nobody reads any more what may never come. */
    return p[1].revents || (p[2].revents & (POLLERR | POLLHUP | POLLNVAL)) ? 0 : 1;
}

static int follow(struct reader *r, struct err *e)
{
    char dir[40];
    scoped_fd int watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    /* The directory: it tells of writes to the file as well as of its rotation. */
    snprintf(dir, sizeof(dir), "/proc/self/fd/%d", r->o->ident.dir_fd);
    const char *what = r->file.path[0] == '/' ? r->file.path : dir;
    if (watch_fd < 0 || inotify_add_watch(watch_fd, what, IN_MODIFY | IN_CREATE | IN_MOVE) < 0)
        return err_set(e, errno, "watch the log");
    for (int more = 1;; more = wait_change(r, watch_fd)) {
        int rc = r->fd >= 0 ? print_rest(r, e) : 0;
        if (rc == 0)
            rc = change_file(r, e);
        if (rc < 0 || !more || r->reached_until)
            return rc;
    }
}

int log_file_read(const struct log_read *o, log_parse_fn *parse, struct err *e)
{
    struct reader r = {.o = o, .parse = parse, .fd = -1, .end = -1, .out_fd = -1};
    int rc = log_file_opts_parse(o->ident.opts, &r.file, e);
    if (rc < 0)
        return rc;
    scoped_free char *buf = xmalloc(READ_BUF), *out = xmalloc(OUT_BUF);
    scoped_free char *scratch = xmalloc(2 * READ_BUF + 2);
    r.buf = buf;
    r.scratch = scratch;
    r.out = out;
    rc = print_files(&r, e);
    if (rc == 0 && o->follow && !r.reached_until)
        rc = follow(&r, e);
    fd_close(&r.fd);
    return rc;
}
