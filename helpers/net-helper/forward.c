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
void forward_restore(int family, const char *uplink)
{
    const char *name = family == 4 ? "ipv4" : "ipv6";
    if (read_sysctl(name, "all", "forwarding") == 0)
        write_sysctl(name, uplink, family == 4 ? "forwarding" : "force_forwarding", false);
}

enum { FOUND_MAX = 8 };
struct found {
    struct nft_base v[FOUND_MAX];
    size_t n;
};

static int keep_forward(const struct nft_base *c, void *data)
{
    struct found *w = data;
    bool ip = c->family == NFPROTO_INET || c->family == NFPROTO_IPV4 || c->family == NFPROTO_IPV6;
    bool firewalld = strcmp(c->table, "firewalld") == 0 && strcmp(c->type, "filter") == 0;
    if (ip && c->hook == NF_INET_FORWARD && strcmp(c->table, RULES_TABLE) != 0 &&
        (c->policy == NF_DROP || firewalld) && w->n < FOUND_MAX)
        w->v[w->n++] = *c;
    return 0;
}

/* Names of foreign tables go to terminals. */
static void clean(char *s)
{
    for (; *s; s++) {
        if (*s < 0x21 || *s > 0x7e)
            *s = '?';
    }
}

static void say(struct helper *h, const struct bridge *b, struct nft_base *c, struct answer *a)
{
    char text[512];
    bool v6 = c->family == NFPROTO_IPV6;
    const char *family = c->family == NFPROTO_INET ? "inet" : v6 ? "ip6" : "ip";
    if (v6 && !b->net6.addr.family)
        return;
    /* The administrator has a rule about the bridge there: he knows. */
    if (nft_mentions(h->nf, c->family, c->table, b->name) == 1)
        return;
    bool iptables = strcmp(c->table, "filter") == 0 && strcmp(c->chain, "FORWARD") == 0;
    bool docker = nft_chain_get(h->nf, c->family, c->table, "DOCKER-USER") == 0;
    clean(c->table);
    clean(c->chain);
    if (strcmp(c->table, "firewalld") == 0)
        snprintf(text, sizeof(text),
                 "firewalld drops what the bridge forwards; as root: firewall-cmd --permanent "
                 "--zone=trusted --add-interface=%s && firewall-cmd --reload",
                 b->name);
    else if (iptables)
        snprintf(text, sizeof(text),
                 "%s drops what the bridge forwards (policy of FORWARD); as root: %s -I %s -i %s "
                 "-j ACCEPT && %s -I %s -o %s -j ACCEPT",
                 docker ? "docker's firewall" : "the firewall", v6 ? "ip6tables" : "iptables",
                 docker ? "DOCKER-USER" : "FORWARD", b->name, v6 ? "ip6tables" : "iptables",
                 docker ? "DOCKER-USER" : "FORWARD", b->name);
    else
        snprintf(text, sizeof(text),
                 "the chain %s %s %s drops what the bridge forwards; as root: nft insert rule %s "
                 "%s %s iifname %s accept && nft insert rule %s %s %s oifname %s accept",
                 family, c->table, c->chain, family, c->table, c->chain, b->name, family, c->table,
                 c->chain, b->name);
    answer_text(a, NULL, text);
}

void forward_look(struct helper *h, const struct bridge *b, struct answer *a)
{
    struct found w = {.n = 0};
    answer_open(a, "notices", '[');
    nft_bases(h->nf, keep_forward, &w);
    for (size_t i = 0; i < w.n; i++)
        say(h, b, &w.v[i], a);
    if (b->net6.addr.family && read_sysctl("ipv6", "all", "forwarding") == 0 &&
        read_sysctl("ipv6", b->name, "force_forwarding") != 1)
        answer_text(a, NULL,
                    "the host does not forward IPv6, and this kernel knows no switch for single "
                    "devices; as root: sysctl net.ipv6.conf.all.forwarding=1 (and accept_ra=2 on "
                    "an uplink that gets its address by router advertisements)");
    answer_close(a, ']');
}
