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
#include "sys/rtnl.h"

#define ADDRESSES_MAX 64

/* What of an address is given back: RTM_NEWADDR but for the device's index. */
static const int kept[] = {IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST};
struct address {
    struct ifaddrmsg head;
    size_t size[N_ELEMENTS(kept)];
    unsigned char bytes[N_ELEMENTS(kept)][16];
};

struct addresses {
    struct address v[ADDRESSES_MAX];
    size_t n;
    int index;
};

/* Permanent and global, as RFC 3549 has it: what the device shall keep. */
static int keep_address(const struct nlmsghdr *h, void *data)
{
    struct addresses *all = data;
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWADDR || h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) ||
        (int)m->ifa_index != all->index || !(m->ifa_flags & IFA_F_PERMANENT) ||
        m->ifa_scope != RT_SCOPE_UNIVERSE || all->n >= ADDRESSES_MAX)
        return 0;
    struct address *a = &all->v[all->n++];
    *a = (struct address){.head = *m};
    for (size_t i = 0; i < N_ELEMENTS(kept); i++) {
        const struct nlattr *t = nl_attr(h, sizeof(*m), kept[i]);
        if (!t || nl_size(t) > sizeof(a->bytes[i]))
            continue;
        a->size[i] = nl_size(t);
        memcpy(a->bytes[i], nl_data(t), a->size[i]);
    }
    return 0;
}

static int read_addresses(int fd, struct addresses *ret)
{
    struct nl_msg m;
    struct ifaddrmsg want = {.ifa_family = AF_UNSPEC};
    nl_begin(&m, RTM_GETADDR, NLM_F_DUMP, &want, sizeof(want));
    return nl_dump(fd, &m, keep_address, ret);
}

static int give_back(int fd, const struct address *a, unsigned index)
{
    struct nl_msg m;
    struct ifaddrmsg head = a->head;
    head.ifa_index = index;
    nl_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
    for (size_t i = 0; i < N_ELEMENTS(kept); i++) {
        if (a->size[i])
            nl_put(&m, kept[i], a->bytes[i], a->size[i]);
    }
    return nl_transact(fd, &m);
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
    scoped_fd int fd = nl_open(NETLINK_ROUTE, e);
    int r = !d || !d->if_index ? err_msg(e, ENODEV, "it did not arrive") : fd < 0 ? fd : 0;
    for (size_t i = 0; r == 0 && i < a->n; i++) {
        r = give_back(fd, &a->v[i], d->if_index);
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
    a->index = index;
    int r = read_addresses(fd, a);
    if (r < 0 || home < 0)
        return err_set(e, r < 0 ? -r : errno, "read its addresses");
    if (setns(ns_fd, CLONE_NEWNET) < 0)
        return err_set(e, errno, "enter the container's network namespace");
    struct if_nameindex *before = if_nameindex();
    /* The socket is still of the namespace that we come from. */
    struct rtnl_change change = {.name = as, .netns = ns_fd + 1};
    r = before ? rtnl_link_set(fd, index, &change) : -errno;
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
    scoped_fd int fd = nl_open(NETLINK_ROUTE, e);
    int r = fd < 0 ? fd : move_and_settle(fd, (int)index, as && *as ? as : name, ns_fd, e);
    return r < 0 ? err_add(e, r, "network device %s", name) : 0;
}
