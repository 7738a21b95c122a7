/* enter - this very process goes into a new user namespace; a child that stays outside maps it. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sys/sock.h"
#include "userns/userns.h"

struct answer {
    int r;
    struct err e;
};

static void map_parent(pid_t parent, const struct userns_map *map, int sock)
    __attribute__((noreturn));
static void map_parent(pid_t parent, const struct userns_map *map, int sock)
{
    struct answer a = {.r = 0};
    char go;
    int fds[SOCK_MAX_FDS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sock_recv(sock, &go, 1, fds) != 1)
        _exit(1);
    a.r = userns_map_write(parent, -1, map, &a.e);
    _exit(sock_send(sock, &a, sizeof(a), NULL, 0) < 0 ? 1 : 0);
}

static int ask_for_maps(int sock, struct err *e)
{
    struct answer a = {.r = 0};
    int fds[SOCK_MAX_FDS];
    int r = sock_send(sock, "g", 1, NULL, 0);
    if (r < 0)
        return err_set(e, -r, "ask for the id maps");
    if (sock_recv(sock, &a, sizeof(a), fds) != (ssize_t)sizeof(a))
        return err_msg(e, EIO, "the process that maps ids has ended");
    if (a.r < 0 && e)
        *e = a.e;
    return a.r;
}

int userns_enter(const struct userns_map *map, int extra_flags, struct err *e)
{
    int sv[2];
    int r = sock_pair(sv, e);
    if (r < 0)
        return r;
    scoped_fd int mine = sv[0], theirs = sv[1], pidfd = -1;
    pid_t self = getpid(), child = fork_pidfd(&pidfd);
    if (child < 0)
        return err_set(e, errno, "fork");
    if (child == 0) {
        fd_close(&mine);
        map_parent(self, map, theirs);
    }
    fd_close(&theirs);
    r = unshare(CLONE_NEWUSER | extra_flags) < 0 ? userns_explain(errno, e) : ask_for_maps(mine, e);
    fd_close(&mine); /* it waits for nothing any more */
    pidfd_wait(pidfd, NULL);
    return r < 0 ? r : userns_become_root(map->single, e);
}
