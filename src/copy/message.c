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

int copy_msg_parse(const char *buf, size_t n, struct copy_packet *ret, struct err *e)
{
    struct copy_packet p = {.fd = -1};
    if (n >= sizeof(p.m))
        memcpy(&p.m, buf, sizeof(p.m));
    if (n < sizeof(p.m) || !fits(&p.m) ||
        n != sizeof(p.m) + p.m.path_len + p.m.link_len + p.m.xattrs_len + 3)
        return err_msg(e, EPROTO, "the reading side sent something else");
    p.path = buf + sizeof(p.m);
    p.link = p.path + p.m.path_len + 1;
    p.xattrs = p.link + p.m.link_len + 1;
    if (p.path[p.m.path_len] || p.link[p.m.link_len] || p.xattrs[p.m.xattrs_len])
        return err_msg(e, EPROTO, "the reading side sent a text without an end");
    *ret = p;
    return 0;
}

int copy_next_xattr(const struct copy_packet *p, size_t *at, struct copy_xattr *ret)
{
    const char *name = p->xattrs + *at;
    size_t left = p->m.xattrs_len - *at, len = strnlen(name, left) + 1;
    if (left <= len + sizeof(ret->size))
        return 0;
    memcpy(&ret->size, name + len, sizeof(ret->size));
    len += sizeof(ret->size);
    if (ret->size > left - len)
        return 0;
    ret->name = name;
    ret->value = name + len;
    *at += len + ret->size;
    return 1;
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
    int r = copy_msg_parse(buf, (size_t)n, ret, e);
    if (r < 0)
        fd_close(&fds[0]);
    else
        ret->fd = fds[0];
    return r;
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
