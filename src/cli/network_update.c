/* network_update - other name servers for a network, also while containers are in it. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/str.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "cli/network.h"
#include "events/events.h"
#include "network/user.h"

struct update_opts {
    char **add, **drop;
};

#define O(m) offsetof(struct update_opts, m)
static const struct opt update_table[] = {
    {"dns-add", 0, OPT_COMMAS, O(add), "ADDRESS", "Name server that is asked for other names, too"},
    {"dns-drop", 0, OPT_COMMAS, O(drop), "ADDRESS", "Name server that is asked no more"},
    {NULL},
};

/* As of podman that is no error: scripts say it again. */
static void tell_unknown(const char *ref, char *const *drop)
{
    scoped_network_config struct network_config n = {.name = NULL};
    struct err none = ERR_INIT;
    if (network_open(cli_conf(), ref, &n, &none) < 0)
        return;
    for (char *const *v = drop; v && *v; v++) {
        struct net_addr a;
        char text[NET_ADDR_TEXT];
        if (net_addr_parse(*v, &a) < 0 || strv_has(n.dns, net_addr_format(&a, text)))
            continue;
        scoped_free char *notice = xasprintf("network %s has no name server %s", n.name, text);
        cli_notice(notice);
    }
}

static int update(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct update_opts *o = opts;
    scoped_network_config struct network_config n = {.name = NULL};
    (void)cmd;
    if (!o->add && !o->drop)
        return err_hint(e, err_msg(e, EINVAL, "network update: nothing to change"),
                        "--dns-add and --dns-drop change the name servers; all else stays as "
                        "'rootlet network create' made it");
    tell_unknown(args[0], o->drop);
    int r = network_change_dns(cli_conf(), args[0], o->add, o->drop, &n, e);
    if (r < 0)
        return err_add(e, r, "network update");
    event_named(cli_conf(), "network", "update", n.id, n.name);
    puts(args[0]);
    r = streq(n.driver, "user") ? network_user_changed(cli_conf(), n.name, e) : 0;
    return r < 0 ? err_add(e, r, "network update: its containers have the old servers still") : 0;
}

const struct cmd cli_network_update_cmds[] = {
    {
        .name = "network update",
        .args = "NETWORK",
        .summary = "Change the name servers of a network, also while it has members",
        .opts = update_table,
        .opts_size = sizeof(struct update_opts),
        .min_args = 1,
        .max_args = 1,
        .run = update,
        .examples = "rootlet network update --dns-add 192.0.2.53 web\n"
                    "rootlet network update --dns-drop 192.0.2.53 web",
    },
    {NULL},
};
