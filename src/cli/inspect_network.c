/* inspect_network - NetworkSettings and the ports of HostConfig and Config, in docker's and
 * podman's form. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "cli/inspect.h"
#include "net/ports.h"
#include "network/run.h"
#include "network/store.h"

static void set_text(json_t *j, const char *key, const char *text)
{
    json_object_set_new(j, key, json_string(text ? text : ""));
}

/* "10.0.2.100/24" in two. */
static void set_address(json_t *j, const char *key, const char *bits_key, const char *cidr)
{
    size_t n = cidr ? strcspn(cidr, "/") : 0;
    json_object_set_new(j, key, json_stringn(cidr ? cidr : "", n));
    json_object_set_new(j, bits_key, json_integer(cidr && cidr[n] ? atoll(cidr + n + 1) : 0));
}

static void set_interface(json_t *j, const struct network_interface *i)
{
    static const struct network_interface none;
    i = i ? i : &none;
    set_address(j, "IPAddress", "IPPrefixLen", i->address);
    set_text(j, "Gateway", i->gateway);
    set_address(j, "GlobalIPv6Address", "GlobalIPv6PrefixLen", i->address6);
    set_text(j, "IPv6Gateway", i->gateway6);
    set_text(j, "MacAddress", i->mac);
}

/* --- ports --- */

/* map: "80/tcp" to a list of places on the host, null for none. */
static void add_place(json_t *map, const struct net_port *p, const char *address)
{
    scoped_free char *key = xasprintf("%u/%s", p->ctr, net_proto_name(p->proto));
    scoped_free char *host = p->host ? xasprintf("%u", p->host) : xstrdup("");
    json_t *list = json_object_get(map, key);
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(map, key, list);
    }
    json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp", address, "HostPort", host));
}

static void add_range(json_t *map, const struct net_port *range, const char *unspecified)
{
    for (unsigned i = 0; i < range->count; i++) {
        char address[NET_ADDR_TEXT];
        struct net_port one = net_port_nth(range, i);
        net_addr_format(&one.addr, address);
        add_place(map, &one, *address ? address : unspecified);
    }
}

json_t *inspect_port_bindings(const struct network_plan *p)
{
    json_t *map = json_object();
    for (char **text = p->ports; text && *text; text++) {
        struct net_port ports[2];
        int n = net_port_parse(*text, ports, NULL);
        for (int i = 0; i < n; i++)
            add_range(map, &ports[i], "");
    }
    return map;
}

/* "slirp", "container:ID"; "bridge" for networks, as others say. */
json_t *inspect_network_mode(const struct network_plan *p)
{
    if (streq(p->mode, "networks"))
        return json_string("bridge");
    if (p->target)
        return json_sprintf("%s:%s", p->mode, p->target);
    return json_string(p->mode ? p->mode : "");
}

json_t *inspect_exposed(const struct network_plan *p)
{
    json_t *map = json_object();
    for (char **x = p->expose; x && *x; x++)
        json_object_set_new(map, *x, json_object());
    json_t *bound = inspect_port_bindings(p);
    const char *key;
    json_t *value;
    json_object_foreach(bound, key, value) json_object_set_new(map, key, json_object());
    json_decref(bound);
    return map;
}

/* Those of the running container, else those that it was made with; exposed ones are null. */
static json_t *ports_json(const struct container *c, bool alive)
{
    json_t *map = alive ? json_object() : inspect_port_bindings(&c->rec.network);
    for (char **text = alive ? c->state.ports : NULL; text && *text; text++) {
        struct net_port p;
        if (net_port_parse_shown(*text, &p) == 0)
            add_range(map, &p, "0.0.0.0");
    }
    for (char **x = c->rec.network.expose; x && *x; x++)
        if (!json_object_get(map, *x))
            json_object_set_new(map, *x, json_null());
    return map;
}

/* --- networks --- */

static json_t *wishes_json(const struct network_join *j)
{
    json_t *o = json_object();
    if (j->ip)
        set_text(o, "IPv4Address", j->ip);
    if (j->ip6)
        set_text(o, "IPv6Address", j->ip6);
    return o;
}

static const struct network_interface *interface_of(const struct network_state *st,
                                                    const char *network)
{
    for (size_t i = 0; i < st->n_interfaces; i++)
        if (streq(st->interfaces[i].network, network))
            return &st->interfaces[i];
    return NULL;
}

static json_t *endpoint_json(const char *network, const struct network_interface *i)
{
    scoped_network_config struct network_config n = {.name = NULL};
    struct err none = ERR_INIT;
    json_t *j = json_object();
    bool known = network_open(cli_conf(), network, &n, &none) == 0;
    set_text(j, "EndpointID", "");
    set_text(j, "NetworkID", known ? n.id : network);
    set_interface(j, i);
    json_object_set_new(j, "DriverOpts", json_null());
    json_object_set_new(j, "IPAMConfig", json_object());
    json_object_set_new(j, "Links", json_null());
    json_object_set_new(j, "Aliases", json_array());
    return j;
}

static json_t *networks_json(const struct container *c, const struct network_state *st)
{
    const struct network_plan *p = &c->rec.network;
    json_t *map = json_object();
    for (size_t i = 0; i < p->n_joins; i++) {
        const struct network_join *join = &p->joins[i];
        json_t *j = endpoint_json(join->network, interface_of(st, join->network));
        json_object_set_new(j, "IPAMConfig", wishes_json(join));
        json_object_set_new(j, "Aliases", json_from_strv(join->aliases));
        if (join->mac && !interface_of(st, join->network))
            set_text(j, "MacAddress", join->mac);
        json_object_set_new(map, join->network, j);
    }
    for (size_t i = 0; i < st->n_interfaces; i++) {
        const char *name = st->interfaces[i].network;
        if (name && !json_object_get(map, name))
            json_object_set_new(map, name, endpoint_json(name, &st->interfaces[i]));
    }
    return map;
}

/* Of a member of a pod: the pod's. Its own says only whose network it has. */
static json_t *settings(const struct container *c, const struct container *owner)
{
    bool alive = c->state.status == CTR_RUNNING || c->state.status == CTR_PAUSED;
    struct network_state st;
    network_state_parse(alive ? owner->state.network : NULL, &st);
    scoped_free char *key = alive ? xasprintf("/proc/%d/ns/net", c->state.pid) : xstrdup("");
    json_t *j = json_object();
    set_interface(j, st.n_interfaces ? &st.interfaces[0] : NULL);
    json_object_set_new(j, "Ports", ports_json(owner, alive));
    json_object_set_new(j, "Networks", networks_json(owner, &st));
    set_text(j, "SandboxKey", key);
    network_state_release(&st);
    return j;
}

json_t *inspect_network(const struct container *c)
{
    scoped_container struct container owner = {.dir_fd = -1};
    bool joined = cli_network_owner(c, &owner);
    return settings(c, joined ? &owner : c);
}
