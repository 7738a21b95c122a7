/* relay - see relay.h. */
#include "term/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

/* Nothing can be had from it but what the stream is for. */
static bool may_be_given(int fd)
{
    struct stat st;
    struct statfs fs;
    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return true; /* a closed one is the engine's to complain of */
    /* A FIFO with a name is a file of the user's as well. */
    return (S_ISFIFO(st.st_mode) && fs.f_type == PIPEFS_MAGIC) || S_ISSOCK(st.st_mode) ||
           (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

int relay_open(struct relay *r, int stdio[3], struct err *e)
{
    for (int i = 0; i < 3; i++) {
        int fd[2];
        if (stdio[i] < 0 || may_be_given(stdio[i]))
            continue;
        if (pipe2(fd, O_CLOEXEC) < 0)
            return err_set(e, errno, "make a pipe");
        struct relay_stream *s = &r->v[i];
        s->caller = stdio[i];
        s->pipe = fd[i == 0];
        s->theirs = stdio[i] = fd[i != 0];
        /* Our end only: the flag belongs to the open file, and each end is one. */
        (void)!fcntl(s->pipe, F_SETFL, O_NONBLOCK);
        /* Programs open /dev/stdout anew, under whatever id they run as. */
        (void)!fchmod(s->theirs, 0666);
    }
    return 0;
}

static void end(struct relay *r, int i)
{
    struct relay_stream *s = &r->v[i];
    if (s->pipe < 0)
        return;
    if (r->loop) {
        loop_forget(r->loop, s->pipe);
        if (i == 0)
            loop_forget(r->loop, s->caller);
    }
    fd_close(&s->pipe);
}

/* Reads once. 1: there may be more, 0: nothing now, -1: the end. */
static int copy_output(struct relay *r, int i)
{
    char buf[RELAY_CHUNK];
    ssize_t n = read(r->v[i].pipe, buf, sizeof(buf));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    /* When the caller's stream takes no more, the process hears of it by SIGPIPE. */
    if (n > 0 && fs_write_all(r->v[i].caller, buf, (size_t)n) == 0)
        return 1;
    end(r, i);
    return -1;
}

static void on_stdout(void *data, uint32_t events)
{
    (void)events;
    copy_output(data, 1);
}

static void on_stderr(void *data, uint32_t events)
{
    (void)events;
    copy_output(data, 2);
}

static void on_input(void *data, uint32_t events);

static void on_room(void *data, uint32_t events)
{
    struct relay *r = data;
    struct relay_stream *s = &r->v[0];
    (void)events;
    ssize_t n = write(s->pipe, r->input + r->off, r->len - r->off);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) { /* nobody reads any more */
        end(r, 0);
        return;
    }
    r->off += (size_t)n;
    if (r->off == r->len) {
        loop_forget(r->loop, s->pipe);
        (void)!loop_fd(r->loop, s->caller, EPOLLIN, on_input, r, NULL);
    }
}

/* Reads a piece, and looks away until the process has taken it. */
static void on_input(void *data, uint32_t events)
{
    struct relay *r = data;
    struct relay_stream *s = &r->v[0];
    (void)events;
    ssize_t n = read(s->caller, r->input, RELAY_CHUNK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end(r, 0);
        return;
    }
    r->off = 0;
    r->len = (size_t)n;
    loop_forget(r->loop, s->caller);
    if (loop_fd(r->loop, s->pipe, EPOLLOUT, on_room, r, NULL) < 0)
        end(r, 0);
}

int relay_started(struct relay *r, struct loop *loop, struct err *e)
{
    loop_fn *const fn[] = {on_input, on_stdout, on_stderr};
    int ret = 0;
    r->loop = loop;
    if (r->v[0].pipe >= 0) {
        r->input = xmalloc(RELAY_CHUNK);
        signal(SIGPIPE, SIG_IGN); /* a process that does not read its input is no fault of ours */
    }
    for (int i = 0; ret == 0 && i < 3; i++) {
        struct relay_stream *s = &r->v[i];
        fd_close(&s->theirs);
        if (s->pipe >= 0)
            ret = loop_fd(loop, i == 0 ? s->caller : s->pipe, EPOLLIN, fn[i], r, e);
    }
    return ret;
}

void relay_drain(struct relay *r)
{
    for (int i = 1; i < 3; i++)
        while (r->v[i].pipe >= 0 && copy_output(r, i) > 0)
            ;
}

void relay_release(struct relay *r)
{
    r->loop = NULL; /* it may be gone already */
    for (int i = 0; i < 3; i++) {
        end(r, i);
        fd_close(&r->v[i].theirs);
    }
    free(take_ptr(r->input));
}
