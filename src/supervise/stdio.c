/* stdio - the container's three streams: pipes, or the master side of its terminal. */
#include "supervise/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "term/term.h"

/* As many as can be in a pipe of the greatest size, read one page at a time. */
#define DRAIN_READS 256

/* Quiet for so long, and the buffers go back. */
#define IDLE_MS 1000

static void on_stream_out(void *data, uint32_t events);
static void on_stream_err(void *data, uint32_t events);
static void on_stdin(void *data, uint32_t events);

/* The container's end of a pipe that we read, in a way that it counts as a reader too: when we are
 * killed its writes do not fail (most programs would die of it) but wait, as soon as the pipe is
 * full, for the supervisor that takes over. Not where somebody's leaving is to be noticed, nor for
 * processes that may outlive the container: they would wait for ever. */
static void hold_open(const struct sup *s, int *theirs)
{
    const struct spec_namespace *pid = spec_namespace_get(&s->spec, "pid");
    char path[40];
    if (!s->detached || s->unit.on || !pid || pid->path)
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", *theirs);
    int both = open(path, O_RDWR | O_CLOEXEC);
    if (both < 0)
        return;
    close(*theirs);
    *theirs = both;
}

/* A pipe of which one end is ours, non-blocking, and the other the container's. */
static int open_pipe(int *ret_ours, int *ret_theirs, bool we_read, struct err *e)
{
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    int ours = we_read ? fd[0] : fd[1], theirs = we_read ? fd[1] : fd[0];
    /* The file status flags are those of one end only. */
    (void)!fcntl(ours, F_SETFL, O_NONBLOCK);
    /* Programs open /dev/stdout anew, under whatever id they run as. */
    (void)!fchmod(theirs, 0666);
    *ret_ours = ours;
    *ret_theirs = theirs;
    return 0;
}

/* Where the container's output goes: to a pipe of ours, or where our own goes. */
static int open_output(struct sup *s, int stream, int *ret_child, struct err *e)
{
    int own = log_writer_stream(s->log, stream == STREAM_ERR ? LOG_STDERR : LOG_STDOUT);
    if (own < 0) {
        int r = open_pipe(&s->stream_fd[stream], ret_child, true, e);
        if (r == 0)
            hold_open(s, ret_child);
        return r;
    }
    *ret_child = fcntl(own, F_DUPFD_CLOEXEC, 3);
    return *ret_child < 0 ? err_set(e, errno, "copy descriptor %d", own) : 0;
}

static int watch_stream(struct sup *s, int stream, uint32_t events, struct err *e)
{
    if (s->stream_fd[stream] < 0)
        return 0;
    return loop_fd(s->loop, s->stream_fd[stream], events,
                   stream == STREAM_OUT ? on_stream_out : on_stream_err, s, e);
}

static uint64_t pipe_number(int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) ? st.st_ino : 0;
}

static void note_pipes(struct sup *s)
{
    s->state.stdin_pipe = pipe_number(s->stdin_fd);
    s->state.stdout_pipe = pipe_number(s->stream_fd[STREAM_OUT]);
    s->state.stderr_pipe = pipe_number(s->stream_fd[STREAM_ERR]);
}

int stdio_open(struct sup *s, int ret_child[3], struct err *e)
{
    ret_child[0] = ret_child[1] = ret_child[2] = -1;
    note_pipes(s);
    if (s->tty)
        return 0;
    int r = 0;
    if (s->open_stdin)
        r = open_pipe(&s->stdin_fd, &ret_child[0], false, e);
    else if ((ret_child[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
        r = err_set(e, errno, "open /dev/null");
    if (r == 0)
        r = open_output(s, STREAM_OUT, &ret_child[1], e);
    if (r == 0)
        r = open_output(s, STREAM_ERR, &ret_child[2], e);
    note_pipes(s);
    return r;
}

/* The file system of the payload's choice is asked nothing: one in its hands would not answer. */
static bool is_pipe(int at, uint64_t inode)
{
    struct statx st, own;
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) < 0)
        return false;
    int r = statx(fd[0], "", AT_EMPTY_PATH, STATX_BASIC_STATS, &own);
    close(fd[0]);
    close(fd[1]);
    if (r == 0)
        r = statx(at, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st);
    /* All pipes are on one device, and nothing else is. */
    return r == 0 && st.stx_dev_major == own.stx_dev_major &&
           st.stx_dev_minor == own.stx_dev_minor && S_ISFIFO(st.stx_mode) && st.stx_ino == inode;
}

/* Our end of a pipe that the container's process has as this descriptor, if it is still the one
 * that we gave it: nothing else is opened. -1: it is not. */
static int reopen(const struct sup *s, int fd, uint64_t inode, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)s->state.pid, fd);
    scoped_fd int at = inode ? open(path, O_PATH | O_CLOEXEC) : -1;
    if (at < 0 || !is_pipe(at, inode))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
    return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void stdio_adopt(struct sup *s)
{
    if (s->tty)
        return; /* a terminal has gone with the one who held it */
    s->stdin_fd = reopen(s, STDIN_FILENO, s->state.stdin_pipe, O_WRONLY);
    s->stream_fd[STREAM_OUT] = reopen(s, STDOUT_FILENO, s->state.stdout_pipe, O_RDONLY);
    s->stream_fd[STREAM_ERR] = reopen(s, STDERR_FILENO, s->state.stderr_pipe, O_RDONLY);
    (void)!watch_stream(s, STREAM_OUT, EPOLLIN, NULL);
    (void)!watch_stream(s, STREAM_ERR, EPOLLIN, NULL);
}

int stdio_watch(struct sup *s, struct err *e)
{
    if (s->tty) {
        int master = engine_take_console(s->engine);
        if (master < 0)
            return err_msg(e, EIO, "the container has made no terminal");
        (void)!fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
        s->stream_fd[STREAM_OUT] = s->stdin_fd = master;
    }
    int r = watch_stream(s, STREAM_OUT, EPOLLIN, e);
    return r == 0 ? watch_stream(s, STREAM_ERR, EPOLLIN, e) : r;
}

/* With a terminal, input and output are one descriptor with one watch. */
static void update_watches(struct sup *s)
{
    uint32_t in = s->streams_parked ? 0 : EPOLLIN;
    if (s->tty) {
        (void)!watch_stream(s, STREAM_OUT, in | (s->in_head ? EPOLLOUT : 0), NULL);
        return;
    }
    (void)!watch_stream(s, STREAM_OUT, in, NULL);
    (void)!watch_stream(s, STREAM_ERR, in, NULL);
    if (s->stdin_fd >= 0)
        (void)!loop_fd(s->loop, s->stdin_fd, s->in_head ? EPOLLOUT : 0, on_stdin, s, NULL);
}

void stdio_update(struct sup *s)
{
    bool park = s->owner && s->owner->out && !s->owner->gone && !s->force_end;
    if (park == s->streams_parked)
        return;
    s->streams_parked = park;
    update_watches(s);
}

void stdio_close_stream(struct sup *s, int stream)
{
    int *fd = &s->stream_fd[stream];
    if (*fd < 0)
        return;
    loop_forget(s->loop, *fd);
    if (s->tty && s->stdin_fd == *fd)
        s->stdin_fd = -1;
    fd_close(fd);
}

/* Reads once. 1: there may be more, 0: nothing now, -1: the end (closed). */
static int read_stream(struct sup *s, int stream)
{
    int fd = s->stream_fd[stream];
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, s->buf, PROTO_MAX_DATA);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0) { /* EIO: a terminal whose last user has gone */
        stdio_close_stream(s, stream);
        return -1;
    }
    bool err = stream == STREAM_ERR;
    log_writer_write(s->log, err ? LOG_STDERR : LOG_STDOUT, s->buf, (size_t)n);
    peers_send(s, err ? PROTO_STDERR : PROTO_STDOUT, 0, 0, s->buf, (uint32_t)n);
    return 1;
}

bool stdio_drain(struct sup *s)
{
    bool end = true;
    for (int stream = 0; stream < STREAM_MAX; stream++) {
        int r = 1;
        /* Whoever else holds the pipe may write as fast as we read. */
        for (unsigned i = 0; i < DRAIN_READS && r > 0 && !s->streams_parked; i++)
            r = read_stream(s, stream);
        end &= s->stream_fd[stream] < 0;
    }
    return end;
}

static void after_stream(struct sup *s)
{
    stdio_idle(s);
    if (s->init_ended && s->stream_fd[STREAM_OUT] < 0 && s->stream_fd[STREAM_ERR] < 0)
        sup_event(s, EV_DRAINED, NULL, NULL, NULL);
    peers_settle(s);
}

static void write_input(struct sup *s);

static void on_stream_out(void *data, uint32_t events)
{
    struct sup *s = data;
    if (s->tty && (events & EPOLLOUT))
        write_input(s);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !s->streams_parked)
        read_stream(s, STREAM_OUT);
    after_stream(s);
}

static void on_stream_err(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    read_stream(s, STREAM_ERR);
    after_stream(s);
}

/* --- input --- */

static void free_input(struct sup *s)
{
    struct input *in = s->in_head;
    s->in_head = in->next;
    s->in_bytes -= sizeof(*in) + in->len;
    if (!s->in_head)
        s->in_tail = NULL;
    if (in->from && in->len)
        peer_ack(in->from, in->len);
    free(in);
}

static void close_stdin(struct sup *s)
{
    if (s->stdin_fd >= 0 && !s->tty) {
        loop_forget(s->loop, s->stdin_fd);
        fd_close(&s->stdin_fd);
    }
    s->stdin_fd = -1;
    while (s->in_head)
        free_input(s);
}

/* The end of the input: of a pipe it is its end, at a terminal it is the key for it. */
static bool write_end(struct sup *s)
{
    if (!s->tty) {
        close_stdin(s);
        return true;
    }
    struct termios t;
    unsigned char eof = 4;
    if (tcgetattr(s->stdin_fd, &t) == 0)
        eof = t.c_cc[VEOF];
    return write(s->stdin_fd, &eof, 1) == 1 || errno != EAGAIN;
}

static void write_input(struct sup *s)
{
    while (s->in_head && s->stdin_fd >= 0) {
        struct input *in = s->in_head;
        if (in->len == 0) {
            if (!write_end(s))
                break;
            if (s->in_head)
                free_input(s);
            continue;
        }
        ssize_t n = write(s->stdin_fd, in->data + in->off, in->len - in->off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) { /* the container has closed it: what comes is taken and dropped */
            close_stdin(s);
            return;
        }
        in->off += (uint32_t)n;
        if (in->off == in->len)
            free_input(s);
    }
    update_watches(s);
}

static void on_stdin(void *data, uint32_t events)
{
    struct sup *s = data;
    if (events & EPOLLERR)
        close_stdin(s);
    else
        write_input(s);
    stdio_idle(s);
    peers_settle(s);
}

void stdio_input(struct sup *s, struct peer *p, const void *data, uint32_t len)
{
    if (s->stdin_fd < 0) {
        if (p && len)
            peer_ack(p, len);
        return;
    }
    /* Two ends are one. */
    if (!len && s->in_tail && !s->in_tail->len)
        return;
    /* Peers come and go, what they have sent stays; without a peer it is the owner's end. */
    bool room = !p || s->in_bytes + sizeof(struct input) + len <= IN_MAX;
    struct input *in = room ? malloc(sizeof(*in) + len) : NULL;
    if (!in) {
        if (p)
            p->gone = true;
        return;
    }
    *in = (struct input){.from = p, .len = len};
    if (len)
        memcpy(in->data, data, len);
    if (s->in_tail)
        s->in_tail->next = in;
    else
        s->in_head = in;
    s->in_tail = in;
    s->in_bytes += sizeof(*in) + len;
    if (s->in_head == in)
        write_input(s);
}

void stdio_forget_peer(struct sup *s, const struct peer *p)
{
    for (struct input *in = s->in_head; in; in = in->next)
        if (in->from == p)
            in->from = NULL;
}

void stdio_resize(struct sup *s, uint16_t rows, uint16_t columns)
{
    if (s->tty && s->stream_fd[STREAM_OUT] >= 0)
        (void)!term_set_size(s->stream_fd[STREAM_OUT], rows, columns);
}

void stdio_close(struct sup *s)
{
    close_stdin(s);
    for (int stream = 0; stream < STREAM_MAX; stream++)
        stdio_close_stream(s, stream);
}

static void on_idle(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    s->trim_timer = -1;
    madvise(s->buf, BUF_SIZE, MADV_DONTNEED);
    malloc_trim(0);
}

void stdio_idle(struct sup *s)
{
    if (s->trim_timer < 0 && s->phase < PH_DRAINING)
        s->trim_timer = loop_timer(s->loop, IDLE_MS, on_idle, s, NULL);
}
