/* read - the journal of events from its old file to what is just being written. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "base/timefmt.h"
#include "events/events.h"

#define READ_BYTES (64u << 10)
/* Longer lines are none of ours. */
#define LINE_BYTES (1u << 20)
/* How every line begins, a number behind it. Inside of a text its quotes would be escaped; a label
 * of this name has a text. */
#define LINE_BEGIN "{\"timeNano\":"

struct source {
    int fd;          /* owned; -1: none */
    struct str line; /* not yet whole */
};

struct reader {
    const struct event_query *q;
    int dir_fd;
    struct source old, now; /* the one before and the current one */
    event_fn *fn;
    void *data;
};

static void source_close(struct source *s)
{
    fd_close(&s->fd);
    str_release(&s->line);
}

static void reader_close(struct reader *r)
{
    source_close(&r->old);
    source_close(&r->now);
    fd_close(&r->dir_fd);
}
#define scoped_reader SCOPED(reader_close)

/* A line that a full disk has cut lies before the next one without a line feed between. */
static const char *last_begin(const char *line)
{
    const char *found = NULL;
    for (const char *p = line; (p = strstr(p, LINE_BEGIN)); p++)
        if (p[sizeof(LINE_BEGIN) - 1] >= '0' && p[sizeof(LINE_BEGIN) - 1] <= '9')
            found = p;
    return found;
}

static int take_line(const struct reader *r, const char *line, struct err *e)
{
    struct err none = ERR_INIT;
    const char *begin = last_begin(line);
    scoped_json json_t *ev =
        begin ? json_parse(begin, strlen(begin), LINE_BYTES, EVENTS_FILE, &none) : NULL;
    if (!json_is_object(ev))
        return 0;
    int64_t when = event_time(ev);
    if ((r->q->since_ns && when < r->q->since_ns) || (r->q->until_ns && when > r->q->until_ns) ||
        !event_filter_match(r->q->filter, ev))
        return 0;
    return r->fn(ev, r->data, e);
}

static int take_bytes(const struct reader *r, struct source *s, char *p, size_t n, struct err *e)
{
    char *lf;
    int rc = 0;
    while (rc >= 0 && (lf = memchr(p, '\n', n))) {
        str_addn(&s->line, p, (size_t)(lf - p));
        rc = take_line(r, s->line.s, e);
        str_reset(&s->line);
        n -= (size_t)(lf + 1 - p);
        p = lf + 1;
    }
    if (s->line.len + n > LINE_BYTES)
        str_reset(&s->line);
    else
        str_addn(&s->line, p, n);
    return rc < 0 ? rc : 0;
}

/* Takes all whole lines that a file has by now. */
static int drain(const struct reader *r, struct source *s, struct err *e)
{
    char buf[READ_BYTES];
    while (s->fd >= 0) {
        ssize_t n = read(s->fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "read the journal of events");
        if (n == 0)
            break;
        int rc = take_bytes(r, s, buf, (size_t)n, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int open_file(const struct reader *r, const char *name)
{
    return openat(r->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

static bool is_still(const struct reader *r, const char *name, int fd)
{
    struct stat ours, there;
    if (fstatat(r->dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
        return fd < 0;
    return fd >= 0 && fstat(fd, &ours) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

/* Both files; again, when a rotation came between, since what was the current one is lost then. */
static void open_both(struct reader *r)
{
    for (int tries = 0; tries < 10; tries++) {
        source_close(&r->now);
        source_close(&r->old);
        r->now.fd = open_file(r, EVENTS_FILE);
        r->old.fd = open_file(r, EVENTS_OLD);
        if (is_still(r, EVENTS_FILE, r->now.fd))
            return;
    }
}

/* After rotations the current file is the one before, or even older. */
static int follow_rotation(struct reader *r, struct err *e)
{
    for (int tries = 0; tries < 10 && !is_still(r, EVENTS_FILE, r->now.fd); tries++) {
        int fd = open_file(r, EVENTS_FILE);
        if (fd < 0)
            return 0; /* not there yet: its creation wakes us */
        int rc = drain(r, &r->now, e);
        source_close(&r->old);
        r->old = r->now;
        r->now = (struct source){.fd = fd, .line = STR_INIT};
        if (rc == 0 && r->old.fd >= 0 && !is_still(r, EVENTS_OLD, r->old.fd)) {
            source_close(&r->old);
            r->old.fd = open_file(r, EVENTS_OLD);
            rc = drain(r, &r->old, e);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Who had opened a file before its rotation writes to the old one. */
static int drain_all(struct reader *r, struct err *e)
{
    int rc = drain(r, &r->old, e);
    if (rc == 0)
        rc = drain(r, &r->now, e);
    if (rc == 0)
        rc = follow_rotation(r, e);
    return rc == 0 ? drain(r, &r->now, e) : rc;
}

/* 1: there may be more; 0: the end has come. */
static int wait_more(const struct reader *r, int watch_fd)
{
    int timeout = -1;
    if (r->q->until_ns) {
        int64_t left = (r->q->until_ns - time_now_ns()) / 1000000;
        if (left < 0)
            return 0;
        timeout = left > 3600000 ? 3600000 : (int)left + 1;
    }
    struct pollfd p[] = {{.fd = watch_fd, .events = POLLIN}, {.fd = r->q->out_fd}};
    if (poll(p, 2, timeout) < 0)
        return errno == EINTR;
    /* What has changed is seen in the files; this only empties the queue. */
    char news[4096];
    if (p[0].revents)
        (void)!read(watch_fd, news, sizeof(news));
    return !(p[1].revents & (POLLERR | POLLHUP | POLLNVAL));
}

/* The directory above tells when ours goes: as we hold ours open, it would not say so itself. /tmp
 * would wake us all the time, and no logout empties it. */
static int watch(const struct reader *r, const struct conf *c, struct err *e)
{
    char dir[40], above[48];
    scoped_fd int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    snprintf(dir, sizeof(dir), "/proc/self/fd/%d", r->dir_fd);
    snprintf(above, sizeof(above), "%s/..", dir);
    if (fd < 0 || inotify_add_watch(fd, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
        return err_set(e, errno, "watch the journal of events");
    if (!conf_run_is_makeshift(c))
        (void)inotify_add_watch(fd, above, IN_DELETE | IN_MOVED_FROM);
    return take_fd(&fd);
}

/* A logout removes the user's runtime directory; who comes back gets another one. */
static int check_removed(const struct reader *r, const struct conf *c, struct err *e)
{
    struct stat st;
    if (fstat(r->dir_fd, &st) < 0 || st.st_nlink > 0)
        return 0;
    return err_hint(
        e, err_msg(e, ENOENT, "the journal of events has gone, with the directory %s", c->run_root),
        "the last logout removes it, unless \"loginctl enable-linger\" was given");
}

int event_read(const struct conf *c, const struct event_query *q, event_fn *fn, void *data,
               struct err *e)
{
    scoped_reader struct reader r = {.q = q,
                                     .old = {.fd = -1, .line = STR_INIT},
                                     .now = {.fd = -1, .line = STR_INIT},
                                     .fn = fn,
                                     .data = data};
    scoped_fd int watch_fd = -1;
    r.dir_fd = conf_open_run(c, "", true, e);
    if (r.dir_fd < 0)
        return r.dir_fd;
    /* First, so that nothing gets lost between the look at what is there and the waiting. */
    watch_fd = q->follow ? watch(&r, c, e) : -1;
    if (q->follow && watch_fd < 0)
        return watch_fd;
    open_both(&r);
    if (!q->past) {
        source_close(&r.old);
        if (r.now.fd >= 0)
            lseek(r.now.fd, 0, SEEK_END);
    }
    int rc = drain_all(&r, e);
    while (rc == 0 && q->follow && wait_more(&r, watch_fd)) {
        rc = drain_all(&r, e);
        if (rc == 0)
            rc = check_removed(&r, c, e);
    }
    return rc;
}
