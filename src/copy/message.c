/* message - packets between the two sides of a copy. */
#include "copy/message.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/scoped.h"
#include "base/str.h"
#include "sys/sock.h"

static size_t fill(char *buf, const struct copy_msg *m, const char *path, const void *link,
                   const void *xattrs)
{
    const size_t lens[] = {m->path_len, m->link_len, m->xattrs_len};
    const void *texts[] = {path, link, xattrs};
    size_t at = sizeof(*m);
    memcpy(buf, m, sizeof(*m));
    for (size_t i = 0; i < N_ELEMENTS(lens); i++) {
        if (lens[i])
            memcpy(buf + at, texts[i], lens[i]);
        buf[at + lens[i]] = '\0';
        at += lens[i] + 1;
    }
    return at;
}

static bool fits(const struct copy_msg *m)
{
    return m->path_len <= COPY_MAX_PATH && m->link_len <= COPY_MAX_DATA &&
           m->xattrs_len <= COPY_MAX_XATTRS;
}

int copy_msg_send(int sock, const struct copy_msg *m, const char *path, const void *link,
                  const void *xattrs, int fd)
{
    char buf[COPY_MAX_PACKET];
    if (!fits(m))
        return -ENAMETOOLONG;
    return sock_send(sock, buf, fill(buf, m, path, link, xattrs), &fd, fd >= 0);
}

int copy_msg_write(int sock, const struct copy_msg *m, const char *path, const void *link,
                   const void *xattrs)
{
    char buf[COPY_MAX_PACKET];
    if (!fits(m))
        return -ENAMETOOLONG;
    size_t len = fill(buf, m, path, link, xattrs);
    ssize_t n;
    do
        n = write(sock, buf, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

int copy_msg_recv(int sock, char *buf, struct copy_packet *ret, struct err *e)
{
    int fds[SOCK_MAX_FDS];
    *ret = (struct copy_packet){.fd = -1};
    ssize_t n = sock_recv(sock, buf, COPY_MAX_PACKET, fds);
    if (n < 0)
        return err_set(e, (int)-n, "receive from the reading side");
    for (size_t i = 1; i < SOCK_MAX_FDS; i++)
        fd_close(&fds[i]);
    if (n == 0)
        return err_msg(e, EPROTO, "the reading side was ended");
    if ((size_t)n >= sizeof(ret->m))
        memcpy(&ret->m, buf, sizeof(ret->m));
    if ((size_t)n < sizeof(ret->m) || !fits(&ret->m) ||
        (size_t)n != sizeof(ret->m) + ret->m.path_len + ret->m.link_len + ret->m.xattrs_len + 3) {
        fd_close(&fds[0]);
        return err_msg(e, EPROTO, "the reading side sent something else");
    }
    ret->path = buf + sizeof(ret->m);
    ret->link = ret->path + ret->m.path_len + 1;
    ret->xattrs = ret->link + ret->m.link_len + 1;
    ret->fd = fds[0];
    return 0;
}

void copy_send_failure(int sock, const struct err *e)
{
    const struct copy_msg m = {.type = COPY_FAILED, .link_len = sizeof(*e)};
    (void)copy_msg_write(sock, &m, "", e, NULL);
}

int copy_take_failure(const struct copy_packet *p, struct err *e)
{
    struct err told;
    if (p->m.link_len != sizeof(told))
        return err_msg(e, EPROTO, "the reading side failed without a reason");
    memcpy(&told, p->link, sizeof(told));
    told.msg[sizeof(told.msg) - 1] = told.hint[sizeof(told.hint) - 1] = '\0';
    int r = told.errnum > 0 ? -told.errnum : -EIO;
    if (e)
        *e = told;
    return r;
}
