/* session - see session.h. */
#include "term/session.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/loop.h"
#include "base/proc.h"

#define CHUNK 32768

/* One call of session_follow. */
struct follower {
    struct session *s;
    struct loop *loop;
    int pidfd, console;
    int status; /* wait status, valid when ended */
    bool ended;
};

/* All that would end us, so that the process decides what they mean; but not those that stop us,
 * nor those of our own errors. */
static void forwarded_signals(sigset_t *set)
{
    static const int ours[] = {SIGCHLD, SIGURG, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGSEGV, SIGBUS,
                               SIGFPE,  SIGILL, SIGABRT, SIGTRAP, SIGSYS,  SIGXCPU, SIGXFSZ};
    sigfillset(set);
    for (size_t i = 0; i < N_ELEMENTS(ours); i++)
        sigdelset(set, ours[i]);
}

static void copy_size(const struct follower *f)
{
    uint16_t rows, columns;
    if (term_size(STDIN_FILENO, &rows, &columns) == 0)
        term_set_size(f->console, rows, columns);
}

static void on_signal(void *data, uint32_t events)
{
    struct follower *f = data;
    struct signalfd_siginfo si;
    (void)events;
    if (read(f->s->signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
        return;
    if (si.ssi_signo == SIGWINCH) {
        if (f->console >= 0)
            copy_size(f);
        return;
    }
    pidfd_signal(f->pidfd, (int)si.ssi_signo);
}

/* The pty's output still to come is read before the loop ends. */
static void drain_console(struct follower *f)
{
    char buf[CHUNK];
    ssize_t n;
    if (f->console < 0)
        return;
    fcntl(f->console, F_SETFL, O_NONBLOCK);
    while ((n = read(f->console, buf, sizeof(buf))) > 0)
        if (fs_write_all(STDOUT_FILENO, buf, (size_t)n) < 0)
            return;
}

static void on_exit_of_child(void *data, uint32_t events)
{
    struct follower *f = data;
    (void)events;
    if (pidfd_wait(f->pidfd, &f->status) == 0)
        f->ended = true;
    drain_console(f);
    relay_drain(&f->s->relay);
    if (f->s->also >= 0)
        f->s->on_also(f->s->also_data, 0); /* what it said last */
    loop_quit(f->loop);
}

static void on_console(void *data, uint32_t events)
{
    struct follower *f = data;
    char buf[CHUNK];
    (void)events;
    ssize_t n = read(f->console, buf, sizeof(buf));
    if (n > 0 && fs_write_all(STDOUT_FILENO, buf, (size_t)n) == 0)
        return;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    loop_forget(f->loop, f->console); /* EIO: the last user of the terminal is gone */
}

static void on_stdin(void *data, uint32_t events)
{
    struct follower *f = data;
    unsigned char in[CHUNK], out[CHUNK + DETACH_KEYS_MAX];
    size_t n_out;
    (void)events;
    ssize_t n = read(STDIN_FILENO, in, sizeof(in));
    if (n <= 0) {
        loop_forget(f->loop, STDIN_FILENO);
        return;
    }
    if (f->s->keys.n == 0) {
        fs_write_all(f->console, in, (size_t)n);
        return;
    }
    bool done = detach_keys_feed(&f->s->keys, in, (size_t)n, out, &n_out);
    fs_write_all(f->console, out, n_out);
    if (done)
        loop_quit(f->loop);
}

static int watch(struct follower *f, struct err *e)
{
    int r = loop_fd(f->loop, f->pidfd, EPOLLIN, on_exit_of_child, f, e);
    if (r == 0)
        r = loop_fd(f->loop, f->s->signals, EPOLLIN, on_signal, f, e);
    if (r == 0)
        r = relay_started(&f->s->relay, f->loop, e);
    if (r == 0 && f->s->also >= 0)
        r = loop_fd(f->loop, f->s->also, EPOLLIN, f->s->on_also, f->s->also_data, e);
    if (r == 0 && f->console >= 0)
        r = loop_fd(f->loop, f->console, EPOLLIN, on_console, f, e);
    if (r == 0 && f->console >= 0 && f->s->interactive) {
        struct err ignored = ERR_INIT; /* a file cannot be polled: then there is no input */
        loop_fd(f->loop, STDIN_FILENO, EPOLLIN, on_stdin, f, &ignored);
    }
    return r;
}

static void hold_back(struct session *s)
{
    if (!s->blocked)
        sigprocmask(SIG_BLOCK, &s->mask, &s->old_mask);
    s->blocked = true;
}

int session_open(struct session *s, int stdio[3], struct err *e)
{
    if (s->detach_keys && *s->detach_keys) {
        int r = detach_keys_parse(s->detach_keys, &s->keys, e);
        if (r < 0)
            return r;
    }
    /* With a terminal of its own, the process has that and nothing of ours. */
    int r = s->tty ? 0 : relay_open(&s->relay, stdio, e);
    if (r < 0)
        return r;
    forwarded_signals(&s->mask);
    s->signals = signalfd(-1, &s->mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signals < 0)
        return err_set(e, errno, "signalfd");
    if (!s->interruptible)
        hold_back(s);
    return 0;
}

int session_follow(struct session *s, int pidfd, int console, int *ret_status, struct err *e)
{
    struct term_saved saved SCOPED(term_restore) = TERM_SAVED_INIT;
    struct follower f = {.s = s, .pidfd = pidfd, .console = console};
    hold_back(s);
    if (s->tty && s->interactive)
        term_raw(STDIN_FILENO, &saved);
    f.loop = loop_new(e);
    if (!f.loop)
        return -ENOMEM;
    int r = watch(&f, e);
    if (r == 0)
        r = loop_run(f.loop, e);
    s->relay.loop = NULL;
    loop_free(f.loop);
    if (r < 0)
        return r;
    if (f.ended)
        *ret_status = f.status;
    return f.ended;
}

void session_close(struct session *s)
{
    if (s->blocked)
        sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
    s->blocked = false;
    fd_close(&s->signals);
    relay_release(&s->relay);
}
