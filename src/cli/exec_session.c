/* exec_session - see exec_session.h. */
#include "cli/exec_session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/loop.h"
#include "base/proc.h"
#include "cli/relay.h"
#include "term/term.h"

#define CHUNK 32768

struct follower {
    struct loop *loop;
    struct engine_exec child;
    int signals; /* signalfd */
    struct relay relay;
    struct detach_keys keys;
    bool has_keys, detached;
    int status; /* wait status, valid when ended */
    bool ended;
};

/* Only signals that a user means for the command: what the terminal and kill send. */
static void forwarded_signals(sigset_t *set)
{
    static const int list[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    sigemptyset(set);
    for (size_t i = 0; i < N_ELEMENTS(list); i++)
        sigaddset(set, list[i]);
}

static void copy_size(const struct follower *f)
{
    uint16_t rows, columns;
    if (term_size(STDIN_FILENO, &rows, &columns) == 0)
        term_set_size(f->child.console, rows, columns);
}

static void on_signal(void *data, uint32_t events)
{
    struct follower *f = data;
    struct signalfd_siginfo si;
    (void)events;
    if (read(f->signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
        return;
    if (si.ssi_signo == SIGWINCH) {
        if (f->child.console >= 0)
            copy_size(f);
        return;
    }
    pidfd_signal(f->child.pidfd, (int)si.ssi_signo);
}

/* The pty's output still to come is read before the loop ends. */
static void drain_console(struct follower *f)
{
    char buf[CHUNK];
    ssize_t n;
    if (f->child.console < 0)
        return;
    fcntl(f->child.console, F_SETFL, O_NONBLOCK);
    while ((n = read(f->child.console, buf, sizeof(buf))) > 0)
        if (fs_write_all(STDOUT_FILENO, buf, (size_t)n) < 0)
            return;
}

static void on_exit_of_child(void *data, uint32_t events)
{
    struct follower *f = data;
    (void)events;
    if (pidfd_wait(f->child.pidfd, &f->status) == 0)
        f->ended = true;
    drain_console(f);
    relay_drain(&f->relay);
    loop_quit(f->loop);
}

static void on_console(void *data, uint32_t events)
{
    struct follower *f = data;
    char buf[CHUNK];
    (void)events;
    ssize_t n = read(f->child.console, buf, sizeof(buf));
    if (n > 0 && fs_write_all(STDOUT_FILENO, buf, (size_t)n) == 0)
        return;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    loop_forget(f->loop, f->child.console); /* EIO: the last user of the terminal is gone */
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
    if (!f->has_keys) {
        fs_write_all(f->child.console, in, (size_t)n);
        return;
    }
    bool done = detach_keys_feed(&f->keys, in, (size_t)n, out, &n_out);
    fs_write_all(f->child.console, out, n_out);
    if (done) {
        f->detached = true;
        loop_quit(f->loop);
    }
}

static int watch(struct follower *f, const struct exec_session *s, struct err *e)
{
    int r = loop_fd(f->loop, f->child.pidfd, EPOLLIN, on_exit_of_child, f, e);
    if (r == 0)
        r = loop_fd(f->loop, f->signals, EPOLLIN, on_signal, f, e);
    if (r == 0)
        r = relay_started(&f->relay, f->loop, e);
    if (r == 0 && f->child.console >= 0)
        r = loop_fd(f->loop, f->child.console, EPOLLIN, on_console, f, e);
    if (r == 0 && f->child.console >= 0 && s->interactive) {
        struct err ignored = ERR_INIT; /* a file cannot be polled: then there is no input */
        loop_fd(f->loop, STDIN_FILENO, EPOLLIN, on_stdin, f, &ignored);
    }
    return r;
}

static int follow(struct follower *f, const struct exec_session *s, struct err *e)
{
    struct term_saved saved SCOPED(term_restore) = TERM_SAVED_INIT;
    if (s->tty && s->interactive)
        term_raw(STDIN_FILENO, &saved);
    f->loop = loop_new(e);
    if (!f->loop)
        return -ENOMEM;
    int r = watch(f, s, e);
    if (r == 0)
        r = loop_run(f->loop, e);
    loop_free(f->loop);
    if (r < 0)
        return r;
    return f->ended ? wait_status_code(f->status) : 0;
}

static int null_fd(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int exec_session_run(struct exec_session *s, struct err *e)
{
    struct follower f = {
        .child = {.pid = -1, .pidfd = -1, .console = -1}, .signals = -1, .relay = RELAY_INIT};
    scoped_fd int null = null_fd();
    sigset_t set, old;
    if (s->tty && s->interactive && !s->detach && !isatty(STDIN_FILENO))
        return err_hint(e, err_msg(e, ENOTTY, "-t: standard input is not a terminal"),
                        "leave out -t when piping");
    f.has_keys = s->detach_keys && *s->detach_keys;
    int r = f.has_keys ? detach_keys_parse(s->detach_keys, &f.keys, e) : 0;
    if (r < 0)
        return r;
    s->params->stdio[0] = s->interactive && !s->detach ? STDIN_FILENO : null;
    s->params->stdio[1] = s->detach ? null : STDOUT_FILENO;
    s->params->stdio[2] = s->detach ? null : STDERR_FILENO;
    /* With a terminal of its own, the process has that and nothing of ours. */
    r = s->tty ? 0 : relay_open(&f.relay, s->params->stdio, e);
    if (r < 0)
        return r;
    forwarded_signals(&set);
    sigprocmask(SIG_BLOCK, &set, &old);
    scoped_fd int signals = f.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    r = signals < 0 ? err_set(e, errno, "signalfd") : engine_exec(s->params, &f.child, e);
    if (r == 0 && !s->detach)
        r = follow(&f, s, e);
    sigprocmask(SIG_SETMASK, &old, NULL);
    relay_release(&f.relay);
    fd_close(&f.child.pidfd);
    fd_close(&f.child.console);
    return r;
}
