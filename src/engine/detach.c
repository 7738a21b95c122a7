/* A container whose creator does not stay: the init waits on a listening socket, whoever starts it
 * connects. With this rootlet-oci needs no process of its own between create and start. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/proc.h"
#include "base/str.h"
#include "engine/engine-priv.h"

/* --- the init --- */

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* A lock or a pipe of the creator's that stayed open here would be held for as long as the
 * container waits. */
static int close_all_but(int first, int *keep, size_t n)
{
    qsort(keep, n, sizeof(*keep), by_number);
    for (size_t i = 0; i < n; i++) {
        if (keep[i] > first && syscall(SYS_close_range, first, keep[i] - 1, 0) < 0)
            return -errno;
        if (keep[i] >= first)
            first = keep[i] + 1;
    }
    return syscall(SYS_close_range, first, ~0U, 0) < 0 ? -errno : 0;
}

int detach_prepare(struct start *s, struct err *e)
{
    int keep[] = {s->sock, *s->p->start_listen, s->p->learn_dir ? *s->p->learn_dir : -1};
    int r = close_all_but((int)(3 + s->preserve_fds), keep, N_ELEMENTS(keep));
    if (r < 0)
        return err_set(e, -r, "close the creator's descriptors");
    s->root_fd = s->null_fd = s->console_slave = -1;
    /* From now on the end of the socket tells that the creator has gone, until MSG_DETACH. */
    if (prctl(PR_SET_PDEATHSIG, 0) < 0)
        return err_set(e, errno, "outlive the creator");
    return 0;
}

/* A connection that ends without MSG_START has only asked whether we wait. */
static bool is_started_by(int conn)
{
    struct msg m;
    return msg_recv(conn, &m, NULL) == 1 && m.type == MSG_START &&
           msg_send(conn, MSG_STARTING, 0, NULL, 0) == 0;
}

static void end_by_signal(int sig)
{
    _exit(128 + sig);
}

/* The first process of a pid namespace gets only the signals that it handles; one that has not
 * begun should not have to be killed to be stopped. Until execve: that takes the handlers away. */
static void obey_signals(void)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < N_ELEMENTS(signals); i++) {
        signal(signals[i], end_by_signal);
        sigaddset(&set, signals[i]);
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void detach_await_start(struct start *s)
{
    struct msg m;
    if (msg_recv(s->sock, &m, NULL) != 1)
        _exit(EXIT_FAILED); /* the creator is gone or gave up: there is nobody to tell */
    if (m.type == MSG_START)
        return;
    if (m.type != MSG_DETACH || !s->p->start_listen)
        _exit(EXIT_FAILED);
    obey_signals();
    for (;;) {
        fd_close(&s->sock);
        s->sock = accept4(*s->p->start_listen, NULL, NULL, SOCK_CLOEXEC);
        if (s->sock < 0 && errno != EINTR && errno != ECONNABORTED)
            _exit(EXIT_FAILED);
        if (s->sock >= 0 && is_started_by(s->sock))
            break;
    }
    close(*s->p->start_listen); /* whoever connects now is told at once that it is too late */
}

/* --- its creator, its starter, its remover --- */

int engine_detach(struct engine *en, struct err *e)
{
    if (en->sock >= 0) { /* else it was started: nothing ties it to us */
        if (!en->p.start_listen)
            return err_msg(e, EINVAL, "detach: nothing listens for the start");
        int r = msg_send(en->sock, MSG_DETACH, 0, NULL, 0);
        if (r < 0)
            return err_set(e, -r, "detach from the container's first process");
        fd_close(&en->sock);
    }
    en->detached = true;
    return 0;
}

int engine_start_at(int conn, const struct engine_params *p, pid_t pid, struct err *e)
{
    scoped_fd int pidfd = pidfd_open_pid(pid);
    struct engine en = {
        .pid = pid, .pidfd = pidfd, .sock = conn, .console = -1, .listener = -1, .p = *p};
    struct msg m = {.type = 0};
    int r = msg_send(conn, MSG_START, 0, NULL, 0);
    if (r == 0)
        r = msg_recv(conn, &m, NULL);
    if (r == 0 || r == -EPIPE || r == -ECONNRESET)
        return err_msg(e, ECONNRESET, "the container does not wait to be started");
    if (r < 0)
        return err_set(e, -r, "start the container's first process");
    if (m.type != MSG_STARTING)
        return err_msg(e, EPROTO, "message %u from the container's first process", m.type);
    r = engine_await_exec(&en, e);
    fd_close(&en.listener);
    return r < 0 ? r : hooks_run(p, HOOK_POSTSTART, pid, e);
}

void engine_run_poststop(const struct engine_params *p)
{
    hooks_run(p, HOOK_POSTSTOP, 0, NULL);
}
