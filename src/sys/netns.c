/* netns - a child that enters a container's namespaces and hands out what it opens there. */
#include "sys/netns.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include "base/proc.h"
#include "base/scoped.h"
#include "sys/clone.h"

struct job {
    int userns_fd, netns_fd;
    int (*fn)(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e);
    void *data;
};

struct result {
    int r;
    struct err e;
};

/* EINVAL: it is the user namespace that we are in. setns(2) */
static int enter(const struct job *job, struct err *e)
{
    /* No process of the container may trace us or use our descriptors (CVE-2016-9962). */
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return err_set(e, errno, "make the process undumpable");
    if (job->userns_fd >= 0 && setns(job->userns_fd, CLONE_NEWUSER) < 0 && errno != EINVAL)
        return err_set(e, errno, "enter the container's user namespace");
    if (job->netns_fd >= 0 && setns(job->netns_fd, CLONE_NEWNET) < 0)
        return err_set(e, errno, "enter the container's network namespace");
    return 0;
}

static void child(const struct job *job, int sock) __attribute__((noreturn));
static void child(const struct job *job, int sock)
{
    struct result res = {0};
    int fds[SOCK_MAX_FDS], held[SOCK_MAX_FDS];
    size_t n = 0;
    struct pollfd p = {.fd = sock, .events = POLLIN};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (poll(&p, 1, 0) > 0 && (p.revents & POLLHUP))
        _exit(1);
    for (size_t i = 0; i < SOCK_MAX_FDS; i++)
        fds[i] = -1;
    res.r = enter(job, &res.e);
    if (res.r == 0)
        res.r = job->fn(job->data, fds, &res.e);
    while (res.r == 0 && n < SOCK_MAX_FDS && fds[n] >= 0) {
        held[n] = fds[n];
        n++;
    }
    _exit(sock_send(sock, &res, sizeof(res), held, n) < 0 ? 1 : 0);
}

static int collect(int sock, int pidfd, int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    struct result res;
    int status = 0;
    ssize_t n = sock_recv(sock, &res, sizeof(res), ret_fds);
    int r = pidfd_wait(pidfd, &status);
    if (n == (ssize_t)sizeof(res) && res.r == 0)
        return 0;
    for (size_t i = 0; i < SOCK_MAX_FDS; i++)
        fd_close(&ret_fds[i]);
    if (n == (ssize_t)sizeof(res)) {
        res.e.msg[sizeof(res.e.msg) - 1] = '\0';
        res.e.hint[sizeof(res.e.hint) - 1] = '\0';
        if (e)
            *e = res.e;
        return res.r;
    }
    if (r < 0)
        return err_set(e, -r, "wait for a child in the container's network namespace");
    return err_msg(e, EIO, "child in the container's network namespace ended with status %d",
                   wait_status_code(status));
}

int netns_run(int userns_fd, int netns_fd,
              int (*fn)(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e), void *data,
              int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    struct job job = {userns_fd, netns_fd, fn, data};
    int sv[2];
    for (size_t i = 0; i < SOCK_MAX_FDS; i++)
        ret_fds[i] = -1;
    int r = sock_pair(sv, e);
    if (r < 0)
        return r;
    scoped_fd int mine = sv[0], theirs = sv[1], pidfd = -1;
    pid_t pid = fork_pidfd(&pidfd);
    if (pid < 0)
        return sys_clone_failed(errno, "fork", e);
    if (pid == 0) {
        fd_close(&mine);
        child(&job, theirs);
    }
    fd_close(&theirs);
    return collect(mine, pidfd, ret_fds, e);
}
