/* probes_network - what this host offers to the networks of containers. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "cli/probes.h"
#include "network/network.h"
#include "network/plan.h"
#include "network/resolv.h"

static const struct network_driver *driver_of(const struct network_driver *const *d,
                                              const char *name)
{
    for (; *d; d++)
        if (streq((*d)->name, name))
            return *d;
    return NULL;
}

/* What a container gets that does not say. */
static void probe_default(const struct conf *c, struct finding *f)
{
    scoped_free char *why = NULL;
    if (!network_plan_is_default(c->network)) {
        finding_set(f, FINDING_OK, "%s (rootlet.conf)", c->network);
        return;
    }
    const char *mode = network_plan_default(&why);
    if (!why) {
        const struct network_driver *d = driver_of(network_drivers(), mode);
        finding_set(f, FINDING_OK, "%s: %s", mode, d ? d->summary : "");
        return;
    }
    finding_set(f, FINDING_NOTE, "containers have none: %s", why);
    finding_fix(f, "install rootlet with libslirp, or give containers --network host");
}

static void probe_joining(const char *name, struct finding *f)
{
    char why[256] = "this version has no such driver";
    const struct network_driver *d = driver_of(network_joining_drivers(), name);
    bool usable = d && (!d->probe || d->probe(why) > 0);
    finding_set(f, usable ? FINDING_OK : FINDING_NOTE, "%s", why);
}

static void probe_user(const struct conf *c, struct finding *f)
{
    (void)c;
    probe_joining("user", f);
}

static void probe_bridge(const struct conf *c, struct finding *f)
{
    (void)c;
    probe_joining("bridge", f);
    scoped_free char *libexec = conf_libexec();
    scoped_free char *helper = xasprintf("%s/rootlet-net-helper", libexec);
    struct stat st;
    if (stat(helper, &st) == 0 && st.st_uid != 0) { /* whoever owns it says what it does */
        finding_fix(f,
                    "%s is not root's, and must not get a privilege: an installation by root "
                    "(sudo make install) has one that may, see rootlet-net-helper(8); networks of "
                    "the driver user do without",
                    helper);
        return;
    }
    finding_fix(
        f,
        "as root: setcap cap_net_admin+ep %s, and lines like \"bridge rlbr0 "
        "172.20.0.0/16 masquerade\" and \"USER rlbr0 8 auto\" in /etc/rootlet/net.conf, see "
        "rootlet-net-helper(8); networks of the driver user do without",
        helper);
}

/* Two numbers of a file below /proc/sys/net/ipv4; how many there are. */
static int read_numbers(const char *name, unsigned *a, unsigned *b)
{
    scoped_free char *path = xasprintf("/proc/sys/net/ipv4/%s", name);
    scoped_free char *text = NULL;
    if (fs_read(AT_FDCWD, path, 256, &text, NULL) < 0)
        return 0;
    return sscanf(text, "%u %u", a, b); /* NOLINT(cert-err34-c): what the kernel prints */
}

static void probe_ports(const struct conf *c, struct finding *f)
{
    unsigned first = 0, none = 0;
    (void)c;
    if (read_numbers("ip_unprivileged_port_start", &first, &none) < 1)
        first = 1024;
    finding_set(f, first > 80 && geteuid() != 0 ? FINDING_NOTE : FINDING_OK,
                "ports of the host from %u on can be published", geteuid() == 0 ? 1 : first);
    finding_fix(f, "for ports below: sudo sysctl net.ipv4.ip_unprivileged_port_start=80");
}

/* The host sends a container's pings only for who may ping himself. */
static void probe_ping(const struct conf *c, struct finding *f)
{
    unsigned low = 1, high = 0;
    gid_t groups[256];
    int n = getgroups(256, groups);
    (void)c;
    bool may =
        read_numbers("ping_group_range", &low, &high) == 2 && getegid() >= low && getegid() <= high;
    for (int i = 0; i < n; i++)
        may |= groups[i] >= low && groups[i] <= high;
    finding_set(f, may ? FINDING_OK : FINDING_NOTE,
                may ? "containers can ping what is outside"
                    : "containers cannot ping what is outside: net.ipv4.ping_group_range has none "
                      "of your groups");
    finding_fix(f, "sudo sysctl net.ipv4.ping_group_range='0 2147483647'");
}

static void probe_dns(const struct conf *c, struct finding *f)
{
    struct resolv_conf r SCOPED(resolv_release) = {NULL};
    (void)c;
    resolv_of_host(true, &r);
    scoped_free char *servers = strv_join(r.servers, " ");
    if (servers && *servers) {
        finding_set(f, FINDING_OK, "names are asked for at %s", servers);
        return;
    }
    finding_set(f, FINDING_NOTE,
                "/etc/resolv.conf names no server: containers find no names of "
                "other hosts");
    finding_fix(f, "--dns ADDRESS, or dns = in rootlet.conf");
}

const struct probe network_probes[] = {
    {"network", "containers that do not say which", probe_default},
    {"named networks", "rootlet network create", probe_user},
    {"host bridge", "network create -d bridge", probe_bridge},
    {"ports", "--publish", probe_ports},
    {"ping", "ping from containers", probe_ping},
    {"name servers", "names of other hosts", probe_dns},
    {NULL},
};
