/* remover - one child in a user namespace for many removals: mapping ids costs two programs. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/str.h"
#include "storage/storage-priv.h"
#include "sys/clone.h"
#include "sys/sock.h"

#define PATH_BYTES 4096

/* Of the process: wanted between begin and end, begun with the first removal that needs it. */
static bool wanted;
static int sock = -1, pidfd = -1;

struct answer {
    int r;
    struct err e;
};

static void serve(int fd, bool single) __attribute__((noreturn));
static void serve(int fd, bool single)
{
    char path[PATH_BYTES];
    int fds[SOCK_MAX_FDS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct answer a = {.r = 0};
    if (sock_recv(fd, path, 1, fds) != 1 || userns_become_root(single, &a.e) < 0)
        _exit(1);
    for (;;) {
        ssize_t n = sock_recv(fd, path, sizeof(path) - 1, fds);
        if (n <= 0)
            _exit(0);
        path[n] = '\0';
        a = (struct answer){.r = 0};
        scoped_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        a.r = dir < 0 ? err_set(&a.e, errno, "open %s", path) : storage_remove_parts(dir, &a.e);
        if (sock_send(fd, &a, sizeof(a), NULL, 0) < 0)
            _exit(1);
    }
}

static void stop(void)
{
    fd_close(&sock); /* it ends by that */
    if (pidfd >= 0)
        pidfd_wait(pidfd, NULL);
    fd_close(&pidfd);
}

static int start(struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    int sv[2], r = userns_map_default(&map, e);
    r = r < 0 ? r : sock_pair(sv, e);
    if (r < 0)
        return r;
    sock = sv[0];
    scoped_fd int theirs = sv[1];
    pid_t pid = sys_clone(CLONE_NEWUSER, -1, &pidfd);
    if (pid < 0)
        return userns_explain(-pid, e);
    if (pid == 0) {
        fd_close(&sock);
        serve(theirs, map.single);
    }
    r = userns_map_write(pid, pidfd, &map, e);
    return r < 0 ? r : sock_send(sock, "g", 1, NULL, 0);
}

void storage_remover_begin(void)
{
    wanted = geteuid() != 0;
}

void storage_remover_end(void)
{
    wanted = false;
    stop();
}

bool storage_remover_remove(const char *path)
{
    struct answer a = {.r = 0};
    int fds[SOCK_MAX_FDS];
    size_t n = strlen(path);
    if (!wanted || n == 0 || n >= PATH_BYTES)
        return false;
    if (sock < 0 && start(&a.e) < 0) {
        storage_remover_end(); /* each removal on its own then, with its own error */
        return false;
    }
    return sock_send(sock, path, n, NULL, 0) >= 0 &&
           sock_recv(sock, &a, sizeof(a), fds) == (ssize_t)sizeof(a) && a.r == 0;
}
