/* netdev - see netdev.h. Messages of rtnetlink(7); the flags by ioctl, netdevice(7). */
#include "sys/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/str.h"

#define ADDRESSES_MAX 64

/* One message with room for its attributes. */
struct request {
    struct nlmsghdr head;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg addr;
    };
    char attributes[512];
};

struct addresses {
    struct request v[ADDRESSES_MAX]; /* RTM_NEWADDR, ready to be sent but for the index */
    size_t n;
};

static struct request *begin(struct request *q, int type, unsigned flags, size_t body)
{
    *q = (struct request){.head = {.nlmsg_type = (uint16_t)type,
                                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                                   .nlmsg_len = (uint32_t)NLMSG_LENGTH(body)}};
    return q;
}

static int add(struct request *q, int type, const void *data, size_t size)
{
    size_t at = NLMSG_ALIGN(q->head.nlmsg_len);
    if (at + RTA_SPACE(size) > sizeof(*q))
        return -EMSGSIZE;
    struct rtattr *a = (struct rtattr *)(void *)((char *)q + at);
    a->rta_type = (unsigned short)type;
    a->rta_len = (unsigned short)RTA_LENGTH(size);
    memcpy(RTA_DATA(a), data, size);
    q->head.nlmsg_len = (uint32_t)(at + RTA_LENGTH(size));
    return 0;
}

static int open_netlink(struct err *e)
{
    scoped_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return fd < 0 ? err_set(e, errno, "open a netlink socket") : take_fd(&fd);
}

/* Sends and takes the acknowledgement: 0 or the kernel's -errno. */
static int transact(int fd, struct request *q)
{
    char buf[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
    q->head.nlmsg_flags |= NLM_F_ACK;
    if (send(fd, q, q->head.nlmsg_len, 0) < 0)
        return -errno;
    ssize_t n = recv(fd, buf, sizeof(buf), 0);
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)buf;
    if (n < 0)
        return -errno;
    if (!NLMSG_OK(h, (size_t)n) || h->nlmsg_type != NLMSG_ERROR ||
        h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        return -EPROTO;
    return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
}

/* Permanent and global, as RFC 3549 has it: what the device shall keep. */
static void keep_address(const struct nlmsghdr *h, int index, struct addresses *ret)
{
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWADDR || h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) ||
        (int)m->ifa_index != index || !(m->ifa_flags & IFA_F_PERMANENT) ||
        m->ifa_scope != RT_SCOPE_UNIVERSE || ret->n >= ADDRESSES_MAX)
        return;
    struct request *q =
        begin(&ret->v[ret->n], RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*m));
    q->addr = *m;
    size_t left = IFA_PAYLOAD(h);
    for (const struct rtattr *a = IFA_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        bool wanted =
            a->rta_type == IFA_ADDRESS || a->rta_type == IFA_LOCAL || a->rta_type == IFA_BROADCAST;
        if (wanted && add(q, a->rta_type, RTA_DATA(a), RTA_PAYLOAD(a)) < 0)
            return;
    }
    ret->n++;
}

static int read_addresses(int fd, int index, struct addresses *ret)
{
    char buf[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct request q;
    begin(&q, RTM_GETADDR, NLM_F_DUMP, sizeof(q.addr));
    if (send(fd, &q, q.head.nlmsg_len, 0) < 0)
        return -errno;
    for (;;) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n < 0)
            return -errno;
        size_t left = (size_t)n;
        for (const struct nlmsghdr *h = (const void *)buf; NLMSG_OK(h, left);
             h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE)
                return 0;
            if (h->nlmsg_type == NLMSG_ERROR)
                return -EIO;
            keep_address(h, index, ret);
        }
    }
}

static int move(int fd, int index, const char *as, int ns_fd)
{
    struct request q;
    begin(&q, RTM_NEWLINK, 0, sizeof(q.link));
    q.link.ifi_index = index;
    int r = add(&q, IFLA_NET_NS_FD, &ns_fd, sizeof(ns_fd));
    if (r == 0)
        r = add(&q, IFLA_IFNAME, as, strlen(as) + 1);
    return r < 0 ? r : transact(fd, &q);
}

static bool listed(const struct if_nameindex *v, unsigned index)
{
    for (; v && v->if_index; v++) {
        if (v->if_index == index)
            return true;
    }
    return false;
}

static int bring_up(const char *name)
{
    scoped_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq q = {.ifr_flags = 0};
    snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &q) < 0)
        return -errno;
    q.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &q) < 0 ? -errno : 0;
}

/* In the other namespace. The device may have another number and name there: it is the one that
 * was not there before. */
static int settle(const struct if_nameindex *before, struct addresses *a, struct err *e)
{
    struct if_nameindex *now = if_nameindex(), *d = now;
    while (d && d->if_index && listed(before, d->if_index))
        d++;
    scoped_fd int fd = open_netlink(e);
    int r = !d || !d->if_index ? err_msg(e, ENODEV, "it did not arrive") : fd < 0 ? fd : 0;
    for (size_t i = 0; r == 0 && i < a->n; i++) {
        a->v[i].addr.ifa_index = d->if_index;
        r = transact(fd, &a->v[i]);
        if (r < 0)
            err_set(e, -r, "give it its address back");
    }
    if (r == 0 && (r = bring_up(d->if_name)) < 0)
        err_set(e, -r, "bring it up");
    if_freenameindex(now);
    return r;
}

static int move_and_settle(int fd, int index, const char *as, int ns_fd, struct err *e)
{
    scoped_free struct addresses *a = xcalloc(1, sizeof(*a));
    scoped_fd int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int r = read_addresses(fd, index, a);
    if (r < 0 || home < 0)
        return err_set(e, r < 0 ? -r : errno, "read its addresses");
    if (setns(ns_fd, CLONE_NEWNET) < 0)
        return err_set(e, errno, "enter the container's network namespace");
    struct if_nameindex *before = if_nameindex();
    /* The socket is still of the namespace that we come from. */
    r = before ? move(fd, index, as, ns_fd) : -errno;
    if (r < 0)
        err_set(e, -r, "move it to the container as %s", as);
    else
        r = settle(before, a, e);
    if_freenameindex(before);
    if (setns(home, CLONE_NEWNET) < 0)
        return err_set(e, errno, "return to our network namespace");
    return r;
}

int netdev_move(const char *name, const char *as, int ns_fd, struct err *e)
{
    unsigned index = if_nametoindex(name);
    if (index == 0)
        return err_set(e, errno, "network device %s", name);
    scoped_fd int fd = open_netlink(e);
    int r = fd < 0 ? fd : move_and_settle(fd, (int)index, as && *as ? as : name, ns_fd, e);
    return r < 0 ? err_add(e, r, "network device %s", name) : 0;
}
