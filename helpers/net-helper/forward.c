/* forward - lets the kernel forward between the bridge and the uplink, and looks whether other
 * firewalls will let the packets pass. Forwarding is switched on for these two devices, not for the
 * host. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helpers/net-helper/rules.h"

/* A device's name is one component of the path: the kernel allows no '/' in it, nor "." and "..".
 */
static int open_sysctl(const char *family, const char *device, const char *key, int flags)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, device, key);
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW);
}

/* -1: there is no such switch. */
static int read_sysctl(const char *family, const char *device, const char *key)
{
    char c = 0;
    int fd = open_sysctl(family, device, key, O_RDONLY);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, &c, 1);
    close(fd);
    return n == 1 ? c != '0' : -1;
}

static int write_sysctl(const char *family, const char *device, const char *key, bool on)
{
    int fd = open_sysctl(family, device, key, O_WRONLY);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, on ? "1" : "0", 1);
    int r = n == 1 ? 0 : -errno;
    close(fd);
    return r;
}

static int enable(const char *family, const char *device, const char *key, struct err *e)
{
    if (read_sysctl(family, device, key) == 1)
        return 0;
    int r = write_sysctl(family, device, key, true);
    if (r < 0)
        return err_msg(e, -r,
                       "net.%s.conf.%s.%s is 0 and cannot be set here (%s): the administrator "
                       "can, by sysctl",
                       family, device, key, strerror(-r));
    return 0;
}

/* Before it is done: the device gets its old value back with the last bridge. */
static int write_down(struct helper *h, int family, const char *uplink, struct err *e)
{
    const char *name = family == 4 ? "ipv4" : "ipv6";
    if (!*uplink)
        return 0;
    if (read_sysctl(name, "all", "forwarding") == 1)
        rules_uplink_drop(h, family, uplink);
    if (read_sysctl(name, uplink, family == 4 ? "forwarding" : "force_forwarding") != 0)
        return 0;
    int r = rules_uplink_add(h, family, uplink);
    return r == -ENOENT ? -EAGAIN : r < 0 ? err_set(e, -r, "write down the uplink %s", uplink) : 0;
}

void forward_silence(const char *slot)
{
    write_sysctl("ipv6", slot, "disable_ipv6", true);
    write_sysctl("ipv4", slot, "arp_ignore", true);
}

int forward_enable(struct helper *h, const struct bridge *b, const char *uplink, struct err *e)
{
    bool v6 = b->net6.addr.family && read_sysctl("ipv6", "all", "forwarding") == 0 &&
              read_sysctl("ipv6", b->name, "force_forwarding") >= 0;
    int r = write_down(h, 4, uplink, e);
    if (r == 0 && v6)
        r = write_down(h, 6, uplink, e);
    if (r == 0)
        r = enable("ipv4", b->name, "forwarding", e);
    if (r == 0 && *uplink)
        r = enable("ipv4", uplink, "forwarding", e);
    if (r == 0 && b->net6.addr.family)
        write_sysctl("ipv6", b->name, "accept_ra", false);
    if (r == 0 && v6)
        r = enable("ipv6", b->name, "force_forwarding", e);
    if (r == 0 && v6 && *uplink)
        r = enable("ipv6", uplink, "force_forwarding", e);
    return r;
}

/* Who has switched it on for the whole host since then (docker does) keeps it. */
void forward_uplink(int family, const char *uplink, bool on)
{
    const char *name = family == 4 ? "ipv4" : "ipv6";
    if (read_sysctl(name, "all", "forwarding") == 0)
        write_sysctl(name, uplink, family == 4 ? "forwarding" : "force_forwarding", on);
}

static int keep_forward(const struct nft_base *c, void *data)
{
    struct bridge_answer *a = data;
    bool ip = c->family == NFPROTO_INET || c->family == NFPROTO_IPV4 || c->family == NFPROTO_IPV6;
    bool firewalld = strcmp(c->table, "firewalld") == 0 && strcmp(c->type, "filter") == 0;
    if (!ip || c->hook != NF_INET_FORWARD || strcmp(c->table, RULES_TABLE) == 0 ||
        (c->policy != NF_DROP && !firewalld) || a->n_notices == BRIDGE_NOTICES)
        return 0;
    struct bridge_notice *n = &a->notices[a->n_notices++];
    n->family = c->family == NFPROTO_INET ? 0 : c->family == NFPROTO_IPV4 ? 4 : 6;
    memcpy(n->table, c->table, strnlen(c->table, sizeof(n->table) - 1));
    memcpy(n->chain, c->chain, strnlen(c->chain, sizeof(n->chain) - 1));
    return 0;
}

/* Chains of which the administrator has a rule about the bridge in the table are left out: he
 * knows. */
void forward_look(struct helper *h, const struct bridge *b, struct bridge_answer *a)
{
    size_t n = 0;
    nft_bases(h->nf, keep_forward, a);
    for (size_t i = 0; i < a->n_notices; i++) {
        struct bridge_notice c = a->notices[i];
        int family = c.family == 0 ? NFPROTO_INET : c.family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
        if ((c.family == 6 && !b->net6.addr.family) ||
            nft_mentions(h->nf, family, c.table, b->name) == 1)
            continue;
        c.docker = nft_chain_get(h->nf, family, c.table, "DOCKER-USER") == 0;
        a->notices[n++] = c;
    }
    a->n_notices = (uint32_t)n;
}
