/* The table of drivers, and the text form of --network. */
#include "network/network.h"

#include <errno.h>
#include <stddef.h>

#include "base/scoped.h"
#include "base/str.h"
#include "base/strv.h"
#include "network/drivers-priv.h"
#include "network/store.h"

#define F_JOIN(member, type) #member, type, offsetof(struct network_join, member)
const struct jfield network_join_fields[] = {
    {F_JOIN(network, J_STRING), JF_REQUIRED},
    {F_JOIN(aliases, J_STRV)},
    {F_JOIN(ip, J_STRING)},
    {F_JOIN(ip6, J_STRING)},
    {F_JOIN(mac, J_STRING)},
    {F_JOIN(interface, J_STRING)},
    {"", J_EXTRA, offsetof(struct network_join, extra)},
    {NULL},
};

#define F_PLAN(member, type) #member, type, offsetof(struct network_plan, member)
const struct jfield network_plan_fields[] = {
    {F_PLAN(mode, J_STRING)},
    {F_PLAN(target, J_STRING)},
    {F_PLAN(options, J_STRV)},
    {F_PLAN(joins, J_ARRAY), .sub = network_join_fields, .sub_size = sizeof(struct network_join),
     .count_offset = offsetof(struct network_plan, n_joins)},
    {F_PLAN(ports, J_STRV)},
    {F_PLAN(expose, J_STRV)},
    {F_PLAN(egress, J_STRV)},
    {F_PLAN(dns, J_STRV)},
    {F_PLAN(dns_search, J_STRV)},
    {F_PLAN(dns_options, J_STRV)},
    {F_PLAN(add_hosts, J_STRV)},
    {F_PLAN(no_hosts, J_BOOL)},
    {F_PLAN(hosts_file, J_STRING)},
    {"", J_EXTRA, offsetof(struct network_plan, extra)},
    {NULL},
};

static const struct network_driver *const drivers[] = {
    &network_slirp, &network_none,  &network_host, &network_container,
    &network_ns,    &network_pasta, NULL,
};

const struct network_driver *const *network_drivers(void)
{
    return drivers;
}

static const struct network_driver *find(const char *mode)
{
    /* What podman calls it. */
    if (streq(mode, "slirp4netns"))
        mode = "slirp";
    for (size_t i = 0; drivers[i]; i++) {
        if (streq(mode, drivers[i]->name))
            return drivers[i];
    }
    return NULL;
}

const struct network_driver *network_driver_get(const char *mode, struct err *e)
{
    const struct network_driver *d = streq(mode, "networks") ? &network_named : find(mode);
    if (d)
        return d;
    /* docker's and podman's; nobody's typing error. */
    static const char *const later[] = {"bridge", "private", "default"};
    bool planned = false;
    for (size_t i = 0; mode && i < N_ELEMENTS(later); i++)
        planned = planned || strncmp(mode, later[i], strlen(later[i])) == 0;
    scoped_str struct str known = STR_INIT;
    for (size_t i = 0; drivers[i]; i++)
        str_addf(&known, "%s%s%s%s", i ? ", " : "", drivers[i]->name, drivers[i]->target ? ":" : "",
                 drivers[i]->target ? drivers[i]->target : "");
    err_msg(e, EINVAL,
            planned ? "network mode \"%s\" is not there yet" : "unknown network mode \"%s\"",
            mode ? mode : "");
    err_hint(e, -EINVAL, "the modes are %s%s", known.s,
             planned ? "; host shares the host's network" : "");
    return NULL;
}

int network_parse(const char *text, struct network_plan *ret, struct err *e)
{
    const char *colon = strchr(text, ':');
    scoped_free char *mode = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    const struct network_driver *d = network_driver_get(mode, e);
    if (!d)
        return -EINVAL;
    if (d->target && (!colon || !colon[1]))
        return err_msg(e, EINVAL, "network mode \"%s\": want %s:%s", text, d->name, d->target);
    if (!d->target && !d->options && colon)
        return err_msg(e, EINVAL, "network mode \"%s\": %s takes no options", text, d->name);

    *ret = (struct network_plan){
        .mode = xstrdup(d->name),
        .target = colon && d->target ? xstrdup(colon + 1) : NULL,
        .options = colon && d->options ? strv_split(colon + 1, ",", false) : NULL,
    };
    return 0;
}

bool network_plan_own(const struct network_plan *p)
{
    static const char *const others[] = {"host", "container", "ns"};
    for (size_t i = 0; i < N_ELEMENTS(others); i++)
        if (streq(p->mode, others[i]))
            return false;
    return p->mode;
}

void network_plan_release(struct network_plan *p)
{
    jfield_release(network_plan_fields, p);
}

/* Of networks by name. */
static const struct network_driver *const joining[] = {&network_user, &network_bridge, NULL};

const struct network_driver *const *network_joining_drivers(void)
{
    return joining;
}

const struct network_driver *network_driver_of(const struct conf *c, const char *network,
                                               struct err *e)
{
    scoped_network_config struct network_config n = {.name = NULL};
    if (network_open(c, network, &n, e) < 0)
        return NULL;
    for (size_t i = 0; joining[i]; i++)
        if (streq(joining[i]->name, n.driver))
            return joining[i];
    err_msg(e, ENOTSUP, "network %s: this version has no driver \"%s\"", network, n.driver);
    return NULL;
}
