/* "bridge": a bridge of the host, by rootlet-net-helper, the only program of ours with a privilege.
 *
 * The helper makes a veth pair, one end of it in the container's network namespace, which is handed
 * to it as a descriptor, and says which address that end may use. The rest is done here without
 * any privilege: the namespace is the user's. rootlet-net-helper(8) */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "net/addr.h"
#include "net/bridge-answer.h"
#include "network/bridge.h"
#include "network/drivers-priv.h"
#include "network/resolv.h"
#include "network/store.h"
#include "sys/rtnl.h"

#define HELPER "rootlet-net-helper"
#define HELPER_MS 40000 /* it ends itself after 30 s */

/* The helper's own words are enough: not that it is a program which has ended with a status.
 * -ENOTSUP: there is none here, nor was there to be one; all else is a failure. */
static int reword(int r, const char *path, struct err *e)
{
    const int code = r == BRIDGE_NOT_SET_UP ? ENOTSUP : EIO;
    static const char lacks[] = "it lacks its capability";
    const char *at = e && r > 0 && r < 128 ? strstr(e->msg, HELPER ": ") : NULL;
    for (const char *next = at; next; next = strstr(at + 1, HELPER ": "))
        at = next;
    if (!at)
        return r < 0 ? r : -EIO;
    scoped_free char *text = xstrdup(at + strlen(HELPER ": "));
    struct stat st;
    if (strncmp(text, lacks, strlen(lacks)) == 0 && stat(path, &st) == 0 && st.st_uid != 0)
        return err_msg(e, ENOTSUP, /* for good */
                       HELPER " has no privilege, and %s should get none: it is not root's", path);
    if (strncmp(text, lacks, strlen(lacks)) == 0)
        return err_msg(e, code, HELPER " lacks its capability: as root, setcap cap_net_admin+ep %s",
                       path);
    r = err_msg(e, code, "%s", text);
    if (strstr(text, "granted to anybody"))
        err_hint(e, r,
                 "the administrator makes it: \"bridge rlbr0 172.20.0.0/16 masquerade\" and "
                 "\"USER rlbr0 8 auto\" are a beginning, rootlet-net.conf(5) has the rest");
    else if (strstr(text, "that this user may have") || strstr(text, "no free address"))
        err_hint(e, r,
                 "containers that have ended give theirs back; the administrator may grant more: "
                 "rootlet-net.conf(5)");
    else if (strstr(text, "net.conf"))
        err_hint(e, r, "the administrator grants bridges there: rootlet-net.conf(5)");
    else if (strstr(text, "capability"))
        err_hint(e, r, "rootlet-net-helper(8) tells what the administrator does");
    return r;
}

/* Which one, and how long it may take: while a container runs others wait meanwhile. */
struct helper {
    const char *libexec;
    int wait_ms;
};

static struct helper helper_of(const struct network_run *run)
{
    return (struct helper){run->conf->libexec, run->patience_ms ? run->patience_ms : HELPER_MS};
}

/* Runs the helper with args; fds keep their numbers in it. */
static int call(struct helper h, char *const *args, const int *fds, size_t n_fds,
                struct bridge_answer *ret, struct err *e)
{
    scoped_free char *path = path_join(h.libexec, HELPER);
    scoped_strv char **argv = NULL;
    scoped_fd int out = memfd_create("answer", MFD_CLOEXEC);
    if (out < 0)
        return err_set(e, errno, "make a file for an answer");
    strv_add(&argv, path);
    strv_extend(&argv, args);
    for (size_t i = 0; i < n_fds; i++)
        fcntl(fds[i], F_SETFD, 0);
    struct proc_cmd cmd = {.argv = argv, .stdin_fd = -1, .stdout_fd = out, .timeout_ms = h.wait_ms};
    int r = proc_run(&cmd, e);
    for (size_t i = 0; i < n_fds; i++)
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    if (r == 127)
        return err_hint(e, err_msg(e, ENOTSUP, "%s is not installed", path),
                        "rootlet-net-helper(8) tells what the administrator does");
    if (r == 126 && access(path, X_OK) < 0 && errno == EACCES)
        return err_hint(e, err_msg(e, EPERM, "%s is not for this user to call", path),
                        "the administrator lets a group call it: rootlet-net-helper(8)");
    if (r != 0)
        return reword(r, path, e);
    if (pread(out, ret, sizeof(*ret), 0) != (ssize_t)sizeof(*ret) ||
        ret->version != BRIDGE_ANSWER_VERSION || ret->n_grants > BRIDGE_GRANTS ||
        ret->n_notices > BRIDGE_NOTICES)
        return err_msg(e, EPROTO, "%s is of another version", path);
    return 0;
}

static const char *text_of(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

/* The bridges that this user may use. */
static int ask_info(struct helper h, struct bridge_answer *ret, struct err *e)
{
    char *args[] = {(char *)(uintptr_t) "info", NULL};
    return call(h, args, NULL, 0, ret, e);
}

static int probe(char why[static 256])
{
    struct err e = ERR_INIT;
    struct bridge_answer a = {.version = 0};
    char subnet[NET_CIDR_TEXT];
    scoped_free char *libexec = conf_libexec();
    if (ask_info((struct helper){libexec, HELPER_MS}, &a, &e) < 0) {
        snprintf(why, 256, "%.255s", e.msg);
        return 0;
    }
    if (a.n_grants == 0) {
        snprintf(why, 256, "net.conf grants this user no bridge");
        return 0;
    }
    snprintf(why, 256, "bridge %s, network %s, %u interfaces", a.grants[0].name,
             net_cidr_format(&a.grants[0].net4, subnet), a.grants[0].slots);
    return 2;
}

static int plan(const struct network_plan *p, struct spec *s, struct err *e)
{
    (void)p, (void)e;
    spec_namespace_set(s, "network", NULL);
    return 0;
}

static int inside(const struct network_plan *p, struct err *e)
{
    (void)p;
    return network_loopback_up(e);
}

/* What the network says, or the first one that is granted; NULL: none is. */
static const char *pick_bridge(const struct network_config *n, const struct bridge_answer *a)
{
    const char *wanted = network_option(n, "bridge");
    const char *subnet = n->n_subnets ? n->subnets[0].subnet : NULL;
    struct net_cidr want = {.bits = 0};
    if (subnet)
        (void)!net_cidr_parse(subnet, &want);
    for (size_t i = 0; i < a->n_grants; i++) {
        if (wanted ? streq(a->grants[i].name, wanted)
                   : !subnet || memcmp(&want, &a->grants[i].net4, sizeof(want)) == 0)
            return a->grants[i].name;
    }
    return NULL;
}

static int choose_bridge(struct helper h, const struct network_config *n, char **ret, struct err *e)
{
    struct bridge_answer a = {.version = 0};
    const char *wanted = network_option(n, "bridge");
    int r = ask_info(h, &a, e);
    if (r < 0)
        return r;
    const char *found = pick_bridge(n, &a);
    if (found) {
        *ret = xstrdup(found);
        return 0;
    }
    err_msg(e, EPERM, "net.conf grants this user no bridge%s%s",
            wanted         ? " of the name "
            : n->n_subnets ? " with the network "
                           : "",
            wanted         ? wanted
            : n->n_subnets ? n->subnets[0].subnet
                           : "");
    return err_hint(e, -EPERM, "the administrator grants bridges there: rootlet-net.conf(5)");
}

/* Its containers would have a way out by the host all the same. */
static int refuse_internal(const struct network_config *n, struct err *e)
{
    return n->internal ? err_msg(e, ENOTSUP, "a bridge of the host is not internal") : 0;
}

int network_bridge_check(const struct network_config *n, struct err *e)
{
    scoped_free char *libexec = conf_libexec();
    scoped_free char *bridge = NULL;
    int r = refuse_internal(n, e);
    return r < 0 ? r : choose_bridge((struct helper){libexec, HELPER_MS}, n, &bridge, e);
}

static bool is_taken(const struct network_run *run, const char *device)
{
    size_t i = 0;
    while (i < run->n_interfaces && !streq(run->interfaces[i].name, device))
        i++;
    return i < run->n_interfaces;
}

/* eth0, eth1...: the first that no interface of the container has. */
static void free_device(const struct network_run *run, char ret[static 16])
{
    unsigned n = 0;
    do
        snprintf(ret, 16, "eth%u", n++);
    while (n < 64 && is_taken(run, ret));
}

static struct rtnl_ip to_ip(const struct net_addr *a, uint8_t bits)
{
    struct rtnl_ip ip = {.family = a->family == 4 ? AF_INET : AF_INET6, .prefix = bits};
    memcpy(ip.bytes, a->b, net_addr_size(a));
    return ip;
}

/* Address and default route of one family. A second network's route is not the default one. */
static int configure_family(int fd, int index, const struct net_cidr *own,
                            const struct net_addr *gateway, struct err *e)
{
    char text[NET_CIDR_TEXT];
    if (!own->addr.family)
        return 0;
    struct rtnl_ip ip = to_ip(&own->addr, own->bits);
    int r = rtnl_address_add(fd, index, &ip);
    /* A kernel that was started without IPv6. */
    if (own->addr.family == 6 && (r == -EOPNOTSUPP || r == -EACCES || r == -EPERM))
        return 0;
    if (r < 0 && r != -EEXIST)
        return err_set(e, -r, "give the container the address %s", net_cidr_format(own, text));
    struct rtnl_route route = {.via = to_ip(gateway, 0), .oif = index};
    r = rtnl_route_add(fd, &route);
    return r < 0 && r != -EEXIST ? err_set(e, -r, "give the container the route by %s",
                                           net_addr_format(gateway, text))
                                 : 0;
}

static int configure(int fd, const char *device, const struct bridge_answer *a, struct err *e)
{
    struct rtnl_link l;
    int r = rtnl_link_get(fd, device, &l);
    if (r < 0)
        return err_set(e, -r, "find the container's %s", device);
    struct rtnl_change change = {.mac = a->mac};
    r = rtnl_link_set(fd, l.index, &change);
    if (r == 0)
        r = rtnl_link_set(fd, l.index, &(struct rtnl_change){.up = 1});
    if (r < 0)
        return err_set(e, -r, "set the container's %s up", device);
    r = configure_family(fd, l.index, &a->address, &a->gateway, e);
    if (r == 0)
        r = configure_family(fd, l.index, &a->address6, &a->gateway6, e);
    return r;
}

static void remember(struct network_run *run, const char *device, const char *network,
                     const struct bridge_answer *a)
{
    struct network_interface *i = network_run_add(run, device, network);
    char mac[NET_MAC_TEXT];
    i->address = network_cidr_text(&a->address);
    i->gateway = network_addr_text(&a->gateway);
    i->address6 = network_cidr_text(&a->address6);
    i->gateway6 = network_addr_text(&a->gateway6);
    i->mac = xstrdup(net_mac_format(a->mac, mac));
    i->extra = json_object();
    json_object_set_new(i->extra, "slot", json_string(a->slot));
    json_object_set_new(i->extra, "bridge", json_string(a->bridge));
}

/* The container's end of a pair whose other one the helper did not get to, or about which it did
 * not get to tell: with it both go. 0: it is gone. */
static int remove_device(struct network_run *run, const char *device)
{
    struct rtnl_link l;
    struct err ignored = ERR_INIT;
    int fd = network_run_route(run, &ignored);
    int r = fd < 0 ? fd : rtnl_link_get(fd, device, &l);
    if (r == 0 && streq(l.kind, "veth"))
        r = rtnl_link_del(fd, l.index);
    return r == -ENODEV ? 0 : r;
}

static int attach(struct network_run *run, const struct network_target *t, struct err *e)
{
    const struct network_join *join = &run->plan->joins[t->join];
    scoped_free char *bridge = NULL;
    struct bridge_answer a = {.version = 0};
    scoped_strv char **args = NULL;
    char device[16];
    scoped_network_config struct network_config n = {.name = NULL};
    if (join->mac || join->ip6)
        return err_msg(e, ENOTSUP, "network %s: a bridge of the host gives the addresses of %s",
                       join->network, join->mac ? "cards" : "IPv6, by those of IPv4");
    int r = network_open(run->conf, join->network, &n, e);
    if (r == 0)
        r = refuse_internal(&n, e);
    if (r == 0)
        r = choose_bridge(helper_of(run), &n, &bridge, e);
    if (r < 0)
        return err_add(e, r, "network %s", join->network);
    free_device(run, device);
    if (join->interface)
        snprintf(device, sizeof(device), "%s", join->interface);
    strv_add(&args, "add");
    strv_add(&args, bridge);
    strv_addf(&args, "%d", run->netns_fd);
    strv_add(&args, device);
    if (join->ip)
        strv_addf(&args, "ip=%s", join->ip);
    r = call(helper_of(run), args, &run->netns_fd, 1, &a, e);
    if (r == 0) {
        remember(run, device, join->network, &a);
        network_bridge_notices(run, &a);
        r = network_run_route(run, e);
        if (r >= 0)
            r = configure(run->route_fd, device, &a, e);
    } else if (r == -ETIMEDOUT && !is_taken(run, device)) {
        (void)!remove_device(run, device);
    }
    return r < 0 ? err_add(e, r, "network %s", join->network) : 0;
}

/* A network's interface, as it was remembered; NULL: it has none with a slot. */
static const struct network_interface *find_interface(const struct network_run *run,
                                                      const char *network)
{
    for (size_t i = 0; i < run->n_interfaces; i++) {
        const struct network_interface *n = &run->interfaces[i];
        if (n->network && streq(n->network, network) && *text_of(n->extra, "slot"))
            return n;
    }
    return NULL;
}

static void tell_left(struct network_run *run, const char *device, const char *why)
{
    scoped_strv char **attributes = NULL;
    strv_add(&attributes, "process=" HELPER);
    strv_addf(&attributes, "reason=%s is still connected: %s", device, why);
    if (run->event)
        run->event(run->event_data, "network_failed", attributes);
}

static void detach(struct network_run *run)
{
    const struct network_interface *i =
        run->join < run->plan->n_joins ? find_interface(run, run->plan->joins[run->join].network)
                                       : NULL;
    const char *slot = i ? text_of(i->extra, "slot") : NULL;
    struct err e = ERR_INIT;
    struct bridge_answer a = {.version = 0};
    scoped_strv char **args = NULL;
    strv_add(&args, slot ? "del" : "gc");
    if (slot)
        strv_add(&args, slot);
    int r = call(helper_of(run), args, NULL, 0, &a, &e);
    /* The container ends, and its devices with it; or it goes on, and must not stay in there. */
    if (r < 0 && i && run->init_fd >= 0 && pidfd_poll(run->init_fd, 0) == 0 &&
        (remove_device(run, i->name) < 0 || if_nametoindex(slot) > 0))
        tell_left(run, i->name, e.msg);
}

/* The slot lives in the kernel; nothing of ours is to be found again. */
static int adopt(struct network_run *run, const struct network_state *st, struct err *e)
{
    (void)run, (void)st, (void)e;
    return 0;
}

/* The kernel's own way for clients from outside, beside the forwarder. Ports that the policy does
 * not grant stay with the forwarder alone; so does everything when this fails. It ends by itself
 * with the last of the sockets. */
void network_bridge_publish(struct network_run *run, const struct publish *v, size_t n)
{
    for (size_t i = 0; i < run->n_interfaces; i++) {
        const char *slot = text_of(run->interfaces[i].extra, "slot");
        scoped_strv char **args = NULL;
        int fds[40];
        size_t n_fds = 0;
        struct err e = ERR_INIT;
        struct bridge_answer a = {.version = 0};
        if (!*slot)
            continue;
        strv_add(&args, "publish");
        strv_add(&args, slot);
        for (size_t k = 0; k < n && n_fds < N_ELEMENTS(fds); k++) {
            if (v[k].fd < 0)
                continue;
            fds[n_fds++] = v[k].fd;
            strv_addf(&args, "%d:%u", v[k].fd, v[k].port.ctr);
        }
        if (n_fds)
            (void)!call(helper_of(run), args, fds, n_fds, &a, &e);
        return;
    }
}

/* The kernel takes a dead namespace apart when it finds the time; before that the slot counts as
 * one that lives; a machine with much to do takes seconds. Another container of ours may have the
 * same one by now: then there is nothing to do. */
static void wait_for_end(const char *slot)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    for (int i = 0; i < 150 && if_nametoindex(slot) > 0; i++)
        nanosleep(&pause, NULL);
}

void network_bridge_collect(const char *libexec, const json_t *state)
{
    struct network_state st;
    bool any = false;
    network_state_parse(state, &st);
    for (size_t i = 0; i < st.n_interfaces; i++) {
        const char *slot = text_of(st.interfaces[i].extra, "slot");
        if (*slot)
            wait_for_end(slot);
        any = any || *slot;
    }
    network_state_release(&st);
    char *args[] = {(char *)(uintptr_t) "gc", NULL};
    struct err e = ERR_INIT;
    struct bridge_answer a = {.version = 0};
    if (any)
        (void)!call((struct helper){libexec, HELPER_MS}, args, NULL, 0, &a, &e);
}

const struct network_driver network_bridge = {
    .name = "bridge",
    .summary = "a bridge of the host, by the privileged helper",
    .joins = true,
    .probe = probe,
    .plan = plan,
    .inside = inside,
    .attach = attach,
    .detach = detach,
    .adopt = adopt,
};
