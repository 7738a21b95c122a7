/* run - a function as the root of a throw-away user namespace. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "sys/clone.h"
#include "sys/sock.h"
#include "userns/userns.h"

int userns_become_root(bool single, struct err *e)
{
    /* The raw calls act on this thread only, which is all there is in a clone child. */
    if (!single && syscall(SYS_setgroups, 0, NULL) < 0 && errno != EPERM)
        return err_set(e, errno, "drop supplementary groups");
    if (syscall(SYS_setresgid, 0, 0, 0) < 0)
        return err_set(e, errno, "become group 0 of the user namespace");
    if (syscall(SYS_setresuid, 0, 0, 0) < 0)
        return err_set(e, errno, "become user 0 of the user namespace");
    return 0;
}

struct result {
    int r;
    struct err e;
};

struct job {
    int (*early)(void *data, struct err *e); /* or NULL */
    int (*fn)(void *data, struct err *e);
    void *data;
    bool single;
};

/* A change of ids takes the signal away (prctl(2)), so this is for after it too. Whoever died
 * before has closed the socket. */
static void die_with_parent(int sock)
{
    struct pollfd p = {.fd = sock, .events = POLLIN};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (poll(&p, 1, 0) > 0 && (p.revents & POLLHUP))
        _exit(1);
}

static void finish(const struct job *job, struct result *res, int sock) __attribute__((noreturn));
static void finish(const struct job *job, struct result *res, int sock)
{
    if (res->r == 0)
        res->r = userns_become_root(job->single, &res->e);
    die_with_parent(sock);
    if (res->r == 0)
        res->r = job->fn(job->data, &res->e);
    _exit(sock_send(sock, res, sizeof(*res), NULL, 0) < 0 ? 1 : 0);
}

static void child(const struct job *job, int sock) __attribute__((noreturn));
static void child(const struct job *job, int sock)
{
    struct result res = {0};
    char go;
    int fds[SOCK_MAX_FDS];
    die_with_parent(sock);
    if (job->early)
        res.r = job->early(job->data, &res.e);
    if (sock_recv(sock, &go, 1, fds) != 1)
        _exit(1); /* the parent is gone or could not write the maps */
    finish(job, &res, sock);
}

static int collect(int sock, int pidfd, struct err *e)
{
    struct result res;
    int fds[SOCK_MAX_FDS], status = 0;
    ssize_t n = sock_recv(sock, &res, sizeof(res), fds);
    int r = pidfd_wait(pidfd, &status);
    if (n == (ssize_t)sizeof(res)) {
        res.e.msg[sizeof(res.e.msg) - 1] = '\0';
        res.e.hint[sizeof(res.e.hint) - 1] = '\0';
        if (res.r < 0 && e)
            *e = res.e;
        return res.r;
    }
    if (r < 0)
        return err_set(e, -r, "wait for a child in a user namespace");
    return err_msg(e, EIO, "child in a user namespace ended with status %d",
                   wait_status_code(status));
}

int userns_run_early(const struct userns_map *map, uint64_t extra_flags,
                     int (*early)(void *data, struct err *e), int (*fn)(void *data, struct err *e),
                     void *data, struct err *e)
{
    struct job job = {early, fn, data, map->single};
    int sv[2];
    int r = sock_pair(sv, e);
    if (r < 0)
        return r;
    scoped_fd int mine = sv[0], theirs = sv[1], pidfd = -1;
    pid_t pid = sys_clone(CLONE_NEWUSER | extra_flags, -1, &pidfd);
    if (pid < 0)
        return userns_explain(-pid, e);
    if (pid == 0) {
        fd_close(&mine);
        child(&job, theirs);
    }
    fd_close(&theirs);
    r = userns_map_write(pid, pidfd, map, e);
    if (r < 0 || (r = sock_send(mine, "g", 1, NULL, 0)) < 0) {
        pidfd_signal(pidfd, SIGKILL);
        pidfd_wait(pidfd, NULL);
        return r;
    }
    return collect(mine, pidfd, e);
}

int userns_run(const struct userns_map *map, uint64_t extra_flags,
               int (*fn)(void *data, struct err *e), void *data, struct err *e)
{
    return userns_run_early(map, extra_flags, NULL, fn, data, e);
}

/* EINVAL: we are in that user namespace already. setns(2) */
static int enter(int pidfd, uint64_t more_flags, struct err *e)
{
    if (setns(pidfd, (int)(CLONE_NEWUSER | more_flags)) == 0)
        return 0;
    if (errno == EINVAL && (!more_flags || setns(pidfd, (int)more_flags) == 0))
        return 0;
    return errno == ESRCH ? err_msg(e, ESRCH, "the process has just ended")
                          : err_set(e, errno, "join the container's namespaces");
}

static void join(const struct job *job, int pidfd, uint64_t more_flags, int sock)
    __attribute__((noreturn));
static void join(const struct job *job, int pidfd, uint64_t more_flags, int sock)
{
    struct result res = {0};
    die_with_parent(sock);
    /* No process of the container may trace us or use our descriptors (CVE-2016-9962). */
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        res.r = err_set(&res.e, errno, "make the process undumpable");
    else
        res.r = enter(pidfd, more_flags, &res.e);
    finish(job, &res, sock);
}

int userns_run_in(int pidfd, uint64_t more_flags, int (*fn)(void *data, struct err *e), void *data,
                  struct err *e)
{
    struct job job = {NULL, fn, data, false};
    int sv[2];
    int r = sock_pair(sv, e);
    if (r < 0)
        return r;
    scoped_fd int mine = sv[0], theirs = sv[1], child_fd = -1;
    pid_t pid = fork_pidfd(&child_fd);
    if (pid < 0)
        return err_set(e, errno, "fork");
    if (pid == 0) {
        fd_close(&mine);
        join(&job, pidfd, more_flags, theirs);
    }
    fd_close(&theirs);
    return collect(mine, child_fd, e);
}

bool userns_is_initial(void)
{
    struct stat st;
    return stat("/proc/self/ns/user", &st) < 0 || st.st_ino == 0xEFFFFFFDu;
}
