/* identity - who the caller is, and the proofs that he brings: descriptors, never names or numbers
 * of processes, which could change between the look and the use. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "helpers/net-helper/net-helper.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

enum { GROUPS_MAX = 4096 };
static gid_t groups[GROUPS_MAX];
static size_t n_groups;

static bool our_group(gid_t gid)
{
    for (size_t i = 0; i < n_groups; i++) {
        if (groups[i] == gid)
            return true;
    }
    return false;
}

/* NAME:PASSWORD:ID:... of passwd(5) or group(5): marks the grants of that name when it is ours. */
static void match_line(struct policy *p, char *line, bool group, uid_t uid)
{
    uint32_t id = 0;
    char *colon = strchr(line, ':'), *second = colon ? strchr(colon + 1, ':') : NULL,
         *third = second ? strchr(second + 1, ':') : NULL;
    if (!third || colon == line)
        return;
    *colon = *third = '\0';
    if (number_parse(second + 1, '\0', UINT32_MAX, &id) < 0 || (group ? !our_group(id) : id != uid))
        return;
    for (size_t i = 0; i < p->n_grants; i++) {
        struct grant *g = &p->grants[i];
        if (g->group == group && strcmp(g->who, line) == 0)
            g->ours = true;
    }
}

/* Lines longer than the buffer (groups with very many members) count by their beginning. */
static int match_file(struct policy *p, const char *path, bool group, uid_t uid)
{
    static char buf[4096];
    char line[256];
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    for (;;) {
        ssize_t got = read(fd, buf, sizeof(buf));
        if (got <= 0) {
            int r = got < 0 ? -errno : 0;
            close(fd);
            return r;
        }
        for (ssize_t i = 0; i < got; i++) {
            if (buf[i] == '\n') {
                line[n] = '\0';
                match_line(p, line, group, uid);
                n = 0;
            } else if (n < sizeof(line) - 1) {
                line[n++] = buf[i];
            }
        }
    }
}

int identity_match(struct policy *p, struct err *e)
{
    uid_t uid = getuid();
    int n = getgroups(GROUPS_MAX - 1, groups);
    if (n < 0)
        return err_set(e, errno, "read the groups of uid %u", uid);
    n_groups = (size_t)n;
    groups[n_groups++] = getgid();
    for (size_t i = 0; i < p->n_grants; i++) {
        struct grant *g = &p->grants[i];
        uint32_t id = 0;
        if (number_parse(g->who, '\0', UINT32_MAX, &id) == 0 &&
            (g->group ? our_group(id) : id == uid))
            g->ours = true;
    }
    int r = match_file(p, "/etc/passwd", false, uid);
    if (r == 0)
        r = match_file(p, "/etc/group", true, uid);
    return r < 0 ? err_set(e, -r, "read /etc/passwd and /etc/group") : 0;
}

/* Is the user namespace, or one around it below ours, the caller's? Then he rules it, and all that
 * it holds. Ours (the host's, for who is root) does not count. */
static int owned(int userns, uid_t uid, struct err *e)
{
    struct stat own, this;
    int self = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    if (self < 0 || fstat(self, &own) < 0)
        return err_set(e, errno, "look at our own user namespace");
    close(self);
    for (int depth = 0; depth < 32; depth++) {
        uid_t owner = (uid_t)-1;
        if (fstat(userns, &this) < 0 || ioctl(userns, NS_GET_OWNER_UID, &owner) < 0)
            return err_set(e, errno, "look at the owner of the network namespace");
        if (this.st_ino == own.st_ino && this.st_dev == own.st_dev) {
            if (depth == 0)
                return err_msg(e, EPERM, "the network namespace is the host's");
            break;
        }
        if (owner == uid)
            return 0;
        int parent = ioctl(userns, NS_GET_PARENT);
        close(userns);
        if (parent < 0)
            break;
        userns = parent;
    }
    return err_msg(e, EPERM, "the network namespace belongs to another user");
}

int identity_netns(int fd, uid_t uid, struct err *e)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return err_set(e, errno, "descriptor %d", fd);
    if (fs.f_type != NSFS_MAGIC || ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
        return err_msg(e, EINVAL, "descriptor %d is no network namespace", fd);
    int userns = ioctl(fd, NS_GET_USERNS);
    if (userns < 0)
        return errno == EPERM ? err_msg(e, EPERM, "the network namespace is the host's")
                              : err_set(e, errno, "look at the owner of the network namespace");
    return owned(userns, uid, e);
}

static int option(int fd, int level, int name)
{
    int v = -1;
    socklen_t size = sizeof(v);
    return getsockopt(fd, level, name, &v, &size) < 0 ? -1 : v;
}

static bool same_namespace(int fd, int other)
{
    uint64_t a = 0, b = 0;
    socklen_t size = sizeof(a), other_size = sizeof(b);
    return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &a, &size) == 0 &&
           getsockopt(other, SOL_SOCKET, SO_NETNS_COOKIE, &b, &other_size) == 0 && a == b;
}

static int host_side(struct request_port *p, const struct sockaddr_storage *at)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (at->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)at;
        p->addr = net_addr_v4(ntohl(a->sin_addr.s_addr));
        p->host = ntohs(a->sin_port);
        return 0;
    }
    if (at->ss_family != AF_INET6)
        return -EPERM;
    const struct sockaddr_in6 *a = (const void *)at;
    p->host = ntohs(a->sin6_port);
    p->addr = (struct net_addr){.family = 6};
    memcpy(p->addr.b, &a->sin6_addr, 16);
    p->both = net_addr_is_any(&p->addr) && option(p->fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
    if (memcmp(p->addr.b, mapped, sizeof(mapped)) == 0) {
        struct net_addr v4 = {.family = 4};
        memcpy(v4.b, p->addr.b + 12, 4);
        p->addr = v4;
    }
    return 0;
}

/* A bound socket in our namespace is what the kernel gives to one user at a time, and only above
 * net.ipv4.ip_unprivileged_port_start to one without privilege: who holds it may have what comes
 * to this port. */
int identity_socket(struct request_port *p, int our_socket, struct err *e)
{
    struct sockaddr_storage at = {0};
    socklen_t size = sizeof(at);
    int proto = option(p->fd, SOL_SOCKET, SO_PROTOCOL);
    if (proto < 0)
        return err_msg(e, EINVAL, "descriptor %d is no socket", p->fd);
    bool tcp = proto == IPPROTO_TCP && option(p->fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
    if (!tcp && proto != IPPROTO_UDP)
        return err_msg(e, EINVAL, "descriptor %d: want a TCP socket that listens, or a UDP one",
                       p->fd);
    if (getsockname(p->fd, (struct sockaddr *)&at, &size) < 0 || host_side(p, &at) < 0 ||
        p->host == 0)
        return err_msg(e, EINVAL, "descriptor %d is bound to no port", p->fd);
    if (!same_namespace(p->fd, our_socket))
        return err_msg(e, EPERM, "descriptor %d is a socket of another network namespace", p->fd);
    p->proto = (uint8_t)proto;
    return 0;
}

int identity_mark(const struct request_port *p, uid_t uid)
{
    uint32_t mark = socket_mark(uid);
    return setsockopt(p->fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ? -errno : 0;
}
