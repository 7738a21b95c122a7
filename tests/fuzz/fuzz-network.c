/* fuzz-network - any lines as --network, --add-host and a resolv.conf: what is taken is what could
 * be said again, and no text makes a line of its own in a file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "net/addr.h"
#include "network/plan.h"
#include "network/resolv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_plan(const struct network_plan *p)
{
    struct net_addr a;
    uint8_t mac[6];
    check(p->mode && (p->n_joins > 0) == streq(p->mode, "networks"));
    for (size_t i = 0; i < p->n_joins; i++) {
        const struct network_join *j = &p->joins[i];
        check(j->network && *j->network && !strpbrk(j->network, "/\n ,:="));
        check(!j->ip || (net_addr_parse(j->ip, &a) == 0 && a.family == 4));
        check(!j->ip6 || (net_addr_parse(j->ip6, &a) == 0 && a.family == 6));
        check(!j->mac || net_mac_parse(j->mac, mac) == 0);
        check(!j->interface || strlen(j->interface) < 16);
        for (char **name = j->aliases; name && *name; name++)
            check(**name && !strpbrk(*name, " \t\n"));
    }
}

static size_t count_lines(const char *s)
{
    size_t n = 0;
    while ((s = strchr(s, '\n'))) {
        n++;
        s++;
    }
    return n;
}

static void check_hosts(char **lines)
{
    struct network_plan p = {.mode = NULL};
    struct err e = ERR_INIT;
    for (char **l = lines; l && *l; l++)
        if (network_check_add_host(*l, &e) == 0)
            strv_add(&p.add_hosts, *l);
    const struct network_files f = {.plan = &p, .hostname = "h", .host_address = "10.0.2.2"};
    char *text = network_hosts_text(&f);
    check(count_lines(text) <= 5 + strv_len(p.add_hosts));
    free(text);
    network_plan_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct network_plan p = {.mode = NULL}, none = {.mode = NULL};
    struct resolv_conf conf;
    struct err e = ERR_INIT;
    if (size > 4096)
        return 0;
    char *text = xstrndup((const char *)data, size);
    char **lines = strv_split(text, "\n", true);
    int r = 0;
    for (char **l = lines; r == 0 && l && *l; l++)
        r = network_plan_add(&p, *l, &e);
    if (r == 0)
        check_plan(&p);
    check_hosts(lines);
    resolv_parse(text, &conf);
    const struct network_files f = {.plan = &none};
    char *made = network_resolv_text(&f, &conf);
    struct resolv_conf again;
    resolv_parse(made, &again);
    check(strv_len(again.servers) == strv_len(conf.servers));
    resolv_release(&again);
    resolv_release(&conf);
    network_plan_release(&p);
    strv_free(lines);
    free(made);
    free(text);
    return 0;
}
