#include "cli/hand.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "container/client.h"
#include "container/root.h"
#include "image/rows.h"
#include "image/store.h"
#include "sys/sock.h"

struct sending {
    int sock;
    bool served; /* then the receiver tells when it is done */
};

static int send_root(int root_fd, void *data, struct err *e)
{
    const struct sending *s = data;
    scoped_fd int userns = s->served ? open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC) : -1;
    const int fds[] = {root_fd, userns};
    char byte;
    if (s->served && userns < 0)
        return err_set(e, errno, "/proc/self/ns/user");
    int r = sock_send(s->sock, "r", 1, fds, s->served ? 2 : 1);
    if (r < 0)
        return err_set(e, -r, "hand over the container's root");
    while (s->served && sock_recv(s->sock, &byte, 1, NULL) == -EINTR)
        ;
    return 0;
}

void hand_root_release(struct hand_root *r)
{
    fd_close(&r->tree);
    fd_close(&r->userns);
    fd_close(&r->keeper);
}

/* The program of the file system is a child of this one, and ends with its mount. */
static void keep_root(const struct container *ctr, int sock) __attribute__((noreturn));
static void keep_root(const struct container *ctr, int sock)
{
    struct sending s = {sock, true};
    struct err e = ERR_INIT;
    signal(SIGINT, SIG_IGN); /* who reads has the say */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < STDERR_FILENO; i++)
        dup2(null, i); /* nobody is to wait for us at the end of a pipe */
    int r = container_root_run(cli_conf(), ctr, 0, send_root, &s, &e);
    if (r < 0)
        sock_send(sock, &e, sizeof(e), NULL, 0);
    _exit(0);
}

static int receive_root(int sock, struct hand_root *ret, struct err *e)
{
    int fds[SOCK_MAX_FDS];
    struct err why;
    ssize_t n = sock_recv(sock, &why, sizeof(why), fds);
    if (n == (ssize_t)sizeof(why)) {
        *e = why;
        return -(why.errnum ? why.errnum : EIO);
    }
    if (n != 1 || fds[0] < 0)
        return err_msg(e, EPROTO, "the container's root has not come");
    ret->tree = fds[0];
    ret->userns = fds[1];
    return 0;
}

int hand_root(const struct container *ctr, struct hand_root *ret, struct err *e)
{
    int pair[2], pidfd = -1;
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int mine = pair[0], theirs = pair[1];
    if (!storage_is_served(&ctr->rec.storage)) {
        struct sending s = {theirs, false};
        r = container_root_run(cli_conf(), ctr, 0, send_root, &s, e);
        return r < 0 ? r : receive_root(mine, ret, e);
    }
    pid_t pid = fork_pidfd(&pidfd);
    if (pid < 0)
        return err_set(e, errno, "fork");
    if (pid == 0) {
        fd_close(&mine);
        keep_root(ctr, theirs);
    }
    fd_close(&pidfd);
    fd_close(&theirs);
    r = receive_root(mine, ret, e);
    if (r == 0)
        ret->keeper = take_fd(&mine);
    return r;
}

int hand_map(const struct container *ctr, bool upper, json_t *request, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    /* The upper of fuse-overlayfs has the ids of the layers. */
    bool stored = upper && storage_is_served(&ctr->rec.storage);
    int r = stored ? store_idmap(cli_conf(), &map, e) : container_map(ctr->dir_fd, &map, e);
    if (r == 0)
        json_object_set_new(request, "map", jfield_emit(store_idmap_fields, &map));
    return r;
}

/* --- PAUSE --- */

struct paused {
    int r;
    struct err e;
};

static int request(const char *id, int type, struct err *e)
{
    const struct proto_head head = {.type = (uint16_t)type};
    return container_request(cli_conf(), id, &head, NULL, e);
}

/* Outlives a command that is killed, and what a terminal sends to all. */
static void keep_paused(const char *id, int sock) __attribute__((noreturn));
static void keep_paused(const char *id, int sock)
{
    static const int deaf[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP};
    struct paused p = {0};
    char byte;
    for (size_t i = 0; i < N_ELEMENTS(deaf); i++)
        signal(deaf[i], SIG_IGN);
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i <= STDERR_FILENO; i++)
        dup2(null, i);
    p.r = request(id, PROTO_PAUSE, &p.e);
    sock_send(sock, &p, sizeof(p), NULL, 0);
    while (p.r == 0 && sock_recv(sock, &byte, 1, NULL) == -EINTR)
        ;
    if (p.r == 0)
        request(id, PROTO_UNPAUSE, NULL);
    _exit(0);
}

int hand_pause(const struct container *ctr, struct err *e)
{
    int pair[2], pidfd = -1;
    struct paused p;
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int mine = pair[0], theirs = pair[1];
    pid_t pid = fork_pidfd(&pidfd);
    if (pid < 0)
        return err_set(e, errno, "fork");
    if (pid == 0) {
        fd_close(&mine);
        keep_paused(ctr->id, theirs);
    }
    fd_close(&theirs);
    ssize_t n = sock_recv(mine, &p, sizeof(p), NULL);
    if (n != (ssize_t)sizeof(p))
        p = (struct paused){.r = err_msg(&p.e, EIO, "the process that pauses it has ended")};
    if (p.r < 0) {
        pidfd_wait(pidfd, NULL);
        *e = p.e;
    }
    close(pidfd);
    return p.r < 0 ? p.r : take_fd(&mine);
}

/* --- HAND OVER --- */

static int write_request(const json_t *request, struct err *e)
{
    scoped_free char *text = json_text(request, false);
    scoped_fd int fd = memfd_create("request", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : text ? fs_write_all(fd, text, strlen(text)) : -EINVAL;
    return r < 0 ? err_set(e, -r, "write the request") : take_fd(&fd);
}

int hand_over(const struct hand *h, struct err *e)
{
    scoped_fd int request = write_request(h->request, e);
    const int fds[] = {request, h->root.tree >= 0 ? h->root.tree : h->tree, h->list, h->hold,
                       h->root.userns};
    scoped_strv char **argv = NULL;
    if (request < 0)
        return request;
    strv_add(&argv, "rootlet-image");
    strv_add(&argv, h->verb);
    for (size_t i = 0; i < N_ELEMENTS(fds); i++) {
        if (fds[i] < 0) {
            strv_add(&argv, "-");
            continue;
        }
        strv_addf(&argv, "%d", fds[i]);
        if (fcntl(fds[i], F_SETFD, 0) < 0)
            return err_set(e, errno, "inherit a descriptor");
    }
    if (h->root.keeper >= 0 && fcntl(h->root.keeper, F_SETFD, 0) < 0)
        return err_set(e, errno, "inherit a descriptor");
    return cli_exec_program("rootlet-image", argv, e);
}
