/* sock - unix sockets that keep message borders. */
#include "sys/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scoped.h"

union control {
    char buf[CMSG_SPACE(SOCK_MAX_FDS * sizeof(int))];
    struct cmsghdr align;
};

int sock_pair(int ret[static 2], struct err *e)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0)
        return err_set(e, errno, "make a socket pair");
    return 0;
}

int sock_send(int fd, const void *data, size_t size, const int *fds, size_t n_fds)
{
    union control control = {.buf = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > SOCK_MAX_FDS)
        return -EINVAL;
    if (n_fds > 0) {
        msg.msg_control = control.buf;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* Takes the descriptors out of a received message: into fds, the rest is closed. */
static void take_rights(struct msghdr *msg, int *fds)
{
    size_t at = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (at < SOCK_MAX_FDS)
                fds[at++] = fd;
            else
                close(fd);
        }
    }
}

ssize_t sock_recv(int fd, void *buf, size_t size, int fds[SOCK_MAX_FDS])
{
    union control control;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fds) {
        msg.msg_control = control.buf;
        msg.msg_controllen = sizeof(control.buf);
        for (int i = 0; i < SOCK_MAX_FDS; i++)
            fds[i] = -1;
    }
    ssize_t n;
    bool reset = false;
    /* A peer that ends without having read all of ours leaves ECONNRESET, which the kernel tells
     * once, and before what the peer has said. */
    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !reset && (reset = true))));
    if (n < 0)
        return -errno;
    if (fds)
        take_rights(&msg, fds);
    /* Without fds the kernel drops descriptors and says so; that is what was asked for. */
    if ((msg.msg_flags & MSG_TRUNC) || (fds && (msg.msg_flags & MSG_CTRUNC))) {
        for (int i = 0; fds && i < SOCK_MAX_FDS; i++)
            fd_close(&fds[i]);
        return -EMSGSIZE;
    }
    return n;
}

/* The address of name in dirfd, short whatever the directory's path is. */
static int address(int dirfd, const char *name, struct sockaddr_un *ret)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = dirfd == AT_FDCWD
                ? snprintf(a.sun_path, sizeof(a.sun_path), "%s", name)
                : snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", dirfd, name);
    if (n >= (int)sizeof(a.sun_path))
        return -ENAMETOOLONG;
    *ret = a;
    return 0;
}

int sock_listen_at(int dirfd, const char *name, struct err *e)
{
    struct sockaddr_un a;
    int r = address(dirfd, name, &a);
    if (r < 0)
        return err_set(e, -r, "listen on %s", name);
    scoped_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, errno, "make a socket for %s", name);
    r = bind(fd, (struct sockaddr *)&a, sizeof(a));
    if (r < 0 && errno == EADDRINUSE) {
        /* Left by a process that died: the caller holds the lock that makes it the only listener.
         */
        unlinkat(dirfd, name, 0);
        r = bind(fd, (struct sockaddr *)&a, sizeof(a));
    }
    if (r < 0 || listen(fd, 16) < 0)
        return err_set(e, errno, "listen on %s", name);
    return take_fd(&fd);
}

int sock_connect_at(int dirfd, const char *name, struct err *e)
{
    struct sockaddr_un a;
    int r = address(dirfd, name, &a);
    if (r < 0)
        return err_set(e, -r, "connect to %s", name);
    scoped_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, errno, "make a socket for %s", name);
    do
        r = connect(fd, (struct sockaddr *)&a, sizeof(a));
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return err_set(e, errno, "connect to %s", name);
    return take_fd(&fd);
}

int sock_peer_uid(int fd, uid_t *ret)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    *ret = cred.uid;
    return 0;
}
