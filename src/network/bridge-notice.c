/* bridge-notice - what other firewalls of the host will drop of a bridge's packets, and the
 * commands by which its administrator lets them pass. rootlet-net-helper, which may look at the
 * chains, only names them. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "net/bridge-answer.h"
#include "network/bridge.h"

static void tell(struct network_run *run, const char *text)
{
    scoped_strv char **attributes = NULL;
    strv_addf(&attributes, "reason=%s", text);
    if (run->event)
        run->event(run->event_data, "network_notice", attributes);
}

/* Names of others' chains go to terminals. */
static void clean(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; n < size - 1 && from[n]; n++)
        to[n] = from[n] > 0x20 && from[n] < 0x7f ? from[n] : '?';
    to[n] = '\0';
}

static void tell_iptables(struct network_run *run, const struct bridge_notice *c,
                          const char *bridge)
{
    char text[512];
    const char *program = c->family == 6 ? "ip6tables" : "iptables",
               *chain = c->docker ? "DOCKER-USER" : "FORWARD";
    snprintf(text, sizeof(text),
             "%s drops what the bridge forwards (policy of FORWARD); as root: %s -I %s -i %s -j "
             "ACCEPT && %s -I %s -o %s -j ACCEPT",
             c->docker ? "docker's firewall" : "the firewall", program, chain, bridge, program,
             chain, bridge);
    tell(run, text);
}

static void tell_chain(struct network_run *run, const struct bridge_notice *c, const char *bridge)
{
    char text[512], table[sizeof(c->table)], chain[sizeof(c->chain)];
    const char *family = c->family == 0 ? "inet" : c->family == 6 ? "ip6" : "ip";
    clean(table, sizeof(table), c->table);
    clean(chain, sizeof(chain), c->chain);
    snprintf(text, sizeof(text),
             "the chain %s %s %s drops what the bridge forwards; as root: nft insert rule %s %s %s "
             "iifname %s accept && nft insert rule %s %s %s oifname %s accept",
             family, table, chain, family, table, chain, bridge, family, table, chain, bridge);
    tell(run, text);
}

static bool is_zero(const char *path)
{
    char c = 0;
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &c, 1) == 1 && c == '0';
}

/* The helper has switched forwarding on for the bridge where the kernel knows that of IPv6. */
static void tell_ipv6(struct network_run *run, const char *bridge)
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/force_forwarding", bridge);
    if (is_zero("/proc/sys/net/ipv6/conf/all/forwarding") && access(path, F_OK) < 0)
        tell(run, "the host does not forward IPv6, and this kernel knows no switch for single "
                  "devices; as root: sysctl net.ipv6.conf.all.forwarding=1 (and accept_ra=2 on an "
                  "uplink that gets its address by router advertisements)");
}

void network_bridge_notices(struct network_run *run, const struct bridge_answer *a)
{
    char text[256];
    for (size_t i = 0; i < a->n_notices; i++) {
        const struct bridge_notice *c = &a->notices[i];
        if (streq(c->table, "firewalld")) {
            snprintf(text, sizeof(text),
                     "firewalld may drop what the bridge forwards; if so, as root: firewall-cmd "
                     "--permanent --zone=trusted --add-interface=%s && firewall-cmd --reload",
                     a->bridge);
            tell(run, text);
        } else if (streq(c->table, "filter") && streq(c->chain, "FORWARD")) {
            tell_iptables(run, c, a->bridge);
        } else {
            tell_chain(run, c, a->bridge);
        }
    }
    if (a->address6.addr.family)
        tell_ipv6(run, a->bridge);
}
