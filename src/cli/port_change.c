/* port_change - port add and rm: what a container publishes, changed while it runs. The record
 * changes as well, as with update: the next start publishes the same. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/cli.h"
#include "container/client.h"
#include "net/ports.h"

struct port_change_opts {
    bool quiet;
};

#define O(m) offsetof(struct port_change_opts, m)
static const struct opt change_table[] = {
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Do not print where the ports are"},
    {NULL},
};

static int ask(const struct container *c, enum proto_type type, const char *text, struct err *e)
{
    struct proto_head head = {.type = type, .len = (uint32_t)strlen(text)};
    return container_request(cli_conf(), c->id, &head, text, e);
}

static int check_network(const struct ctr_record *rec, struct err *e)
{
    const struct network_plan *p = &rec->network;
    if (network_plan_own(p) && !streq(p->mode, "none"))
        return 0;
    if (streq(p->mode, "host"))
        return err_msg(e, EINVAL, "it shares the host's ports, there is nothing to publish");
    int r = network_plan_own(p) ? 0 : err_msg(e, EINVAL, "its network belongs to another");
    scoped_container struct container owner = {.dir_fd = -1};
    struct err ignored = ERR_INIT;
    if (r < 0 && streq(p->mode, "container") &&
        container_open_id(cli_conf(), p->target, &owner, &ignored) == 0)
        return err_hint(e, r, "rootlet port add %s publishes ports of the same network",
                        owner.rec.name);
    if (r < 0)
        return err_hint(e, r, "publish the ports of the container that it belongs to");
    return err_msg(e, EINVAL, "a container without a network has no ports");
}

/* Reads the record and the state under the lock on its directory. 1: it runs, 0: it does not. */
static int look(struct container *c, struct ctr_record *rec, struct err *e)
{
    struct ctr_state now;
    int r = container_lock_dir(cli_conf(), c, e);
    if (r == 0)
        r = container_read_record(c->dir_fd, rec, e);
    if (r == 0)
        r = check_network(rec, e);
    if (r == 0)
        r = container_read_state(c->dir_fd, &now, e);
    if (r < 0)
        return r;
    container_derive(cli_conf(), &now);
    ctr_state_release(&c->state);
    c->state = now;
    if (now.status == CTR_STARTING || now.status == CTR_RESTARTING)
        return err_hint(e, err_msg(e, EBUSY, "it is being started"), "try again in a moment");
    return now.status == CTR_RUNNING || now.status == CTR_PAUSED;
}

static void tell(const struct ctr_record *rec, const char *action, const char *port)
{
    scoped_free char *attribute = xasprintf("port=%s", port);
    container_event(cli_conf(), rec, action, attribute);
}

/* What is in a and not in b: an event for each, and a line. */
static void report(const struct ctr_record *rec, const char *action, char *const *a, char *const *b,
                   bool print)
{
    for (; a && *a; a++) {
        const char *arrow = strstr(*a, "->");
        if (strv_has(b, *a))
            continue;
        tell(rec, action, *a);
        if (print && arrow)
            printf("%s -> %.*s\n", arrow + 2, (int)(arrow - *a), *a);
    }
}

/* The state as the supervisor has written it before it answered. */
static int reread(struct container *c, struct err *e)
{
    struct ctr_state now;
    int r = container_read_state(c->dir_fd, &now, e);
    if (r < 0)
        return r;
    ctr_state_release(&c->state);
    c->state = now;
    return 0;
}

/* --- add --- */

/* In the record's form. The setting publish_address is for ports without one, as with run. */
static int parse_new(char *const *texts, char ***ret, struct err *e)
{
    const char *address = strv_env_get(cli_conf()->extra, "publish_address");
    for (; *texts; texts++) {
        struct net_port p[2];
        char text[NET_PORT_TEXT];
        int n = net_port_parse(*texts, p, e);
        if (n < 0)
            return n;
        for (int i = 0; i < n; i++) {
            if (p[i].addr.family == 0 && address && *address &&
                net_addr_parse(address, &p[i].addr) < 0)
                return err_msg(e, EINVAL, "setting publish_address: \"%s\" is not an address",
                               address);
            strv_add(ret, net_port_format_option(&p[i], text));
        }
    }
    return 0;
}

/* All or none: what was added is taken back. */
static int add_all(struct container *c, bool runs, char *const *ports, struct ctr_record *rec,
                   struct err *e)
{
    size_t done = 0, n = runs && ports ? strv_len(ports) : 0;
    int r = 0;
    while (done < n && (r = ask(c, PROTO_PORT_ADD, ports[done], e)) == 0)
        done++;
    if (r == 0) {
        strv_extend(&rec->network.ports, ports);
        r = container_write_record(c->dir_fd, rec, e);
    }
    while (r < 0 && done-- > 0)
        (void)!ask(c, PROTO_PORT_REMOVE, ports[done], NULL);
    return r;
}

static int port_add(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct port_change_opts *o = opts;
    scoped_container struct container c = {.dir_fd = -1};
    struct ctr_record rec SCOPED(ctr_record_release) = {0};
    scoped_strv char **ports = NULL;
    (void)cmd;
    int r = parse_new(args + 1, &ports, e);
    if (r == 0)
        r = container_open(cli_conf(), args[0], &c, e);
    if (r == 0)
        r = look(&c, &rec, e);
    bool runs = r > 0;
    scoped_strv char **before = strv_dup(c.state.ports);
    if (r >= 0)
        r = add_all(&c, runs, ports, &rec, e);
    if (r == 0 && runs)
        r = reread(&c, e);
    if (r < 0)
        return err_add(e, r, "port add %s", args[0]);
    report(&rec, "publish", runs ? c.state.ports : ports, runs ? before : NULL, !o->quiet);
    return 0;
}

/* --- rm --- */

static int parse_meant(const char *text, struct net_port ret[static 2], struct err *e)
{
    if (net_port_parse_shown(text, &ret[0]) == 0)
        return 1;
    return net_port_parse(text, ret, e);
}

/* An entry of the record without the ports that are meant: what is left of a range stays. */
static bool drop_from(char ***list, const char *entry, const struct net_port *want, int n_want)
{
    struct net_port have[2];
    char text[NET_PORT_TEXT];
    char **left = NULL;
    bool dropped = false;
    int n = parse_meant(entry, have, NULL);
    for (int i = 0; i < n; i++) {
        bool one_of_many = have[i].count == 1;
        for (unsigned k = 0; k < have[i].count; k++) {
            struct net_port one = one_of_many ? have[i] : net_port_nth(&have[i], k);
            bool meant =
                net_port_means(&want[0], &one) || (n_want > 1 && net_port_means(&want[1], &one));
            dropped = dropped || meant;
            if (!meant)
                strv_add(&left, net_port_format_option(&one, text));
        }
    }
    if (dropped)
        strv_extend(list, left);
    else
        strv_add(list, entry);
    strv_free(left);
    return dropped;
}

static bool drop(struct ctr_record *rec, const struct net_port *want, int n_want)
{
    char **kept = NULL;
    bool dropped = false;
    for (char **p = rec->network.ports; p && *p; p++)
        dropped = drop_from(&kept, *p, want, n_want) || dropped;
    strv_free(rec->network.ports);
    rec->network.ports = kept;
    return dropped;
}

static int remove_one(struct container *c, bool runs, const char *text, struct ctr_record *rec,
                      struct err *e)
{
    struct net_port want[2];
    struct err asked = ERR_INIT;
    int n = parse_meant(text, want, e);
    if (n < 0)
        return n;
    int r = runs ? ask(c, PROTO_PORT_REMOVE, text, &asked) : -ENOENT;
    bool dropped = (r == 0 || r == -ENOENT) && drop(rec, want, n);
    if (r == 0 || dropped)
        return container_write_record(c->dir_fd, rec, e);
    if (r != -ENOENT) {
        *e = asked;
        return r;
    }
    return err_hint(e, err_msg(e, ENOENT, "it does not publish %s", text),
                    "rootlet port %s shows what it does; a number alone is the container's port",
                    c->rec.name);
}

static int port_rm(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_container struct container c = {.dir_fd = -1};
    struct ctr_record rec SCOPED(ctr_record_release) = {0};
    (void)cmd;
    (void)opts;
    int r = container_open(cli_conf(), args[0], &c, e);
    if (r == 0)
        r = look(&c, &rec, e);
    bool runs = r > 0;
    scoped_strv char **before = strv_dup(runs ? c.state.ports : rec.network.ports);
    for (char **text = args + 1; r >= 0 && *text; text++)
        r = remove_one(&c, runs, *text, &rec, e);
    struct err ignored = ERR_INIT;
    if (before && (!runs || reread(&c, &ignored) == 0))
        report(&rec, "unpublish", before, runs ? c.state.ports : rec.network.ports, false);
    return r < 0 ? err_add(e, r, "port rm %s", args[0]) : 0;
}

static const char *const rm_aliases[] = {"port remove", NULL};

const struct cmd cli_port_change_cmds[] = {
    {
        .name = "port add",
        .args = "CONTAINER [IP:][HOST]:PORT[/PROTOCOL]...",
        .summary = "Publish ports of a container, while it runs",
        .opts = change_table,
        .opts_size = sizeof(struct port_change_opts),
        .min_args = 2,
        .max_args = -1,
        .run = port_add,
        .details = "What --publish of run takes. Where they are is printed; without a number for "
                   "the host the kernel chooses one.\nThe container keeps them when it is started "
                   "again.",
        .examples = "rootlet port add web 8080:80\nrootlet port add web 127.0.0.1::9090\n"
                    "rootlet port add dns 5353:53/tcp,udp",
    },
    {
        .name = "port rm",
        .args = "CONTAINER PORT...",
        .summary = "Publish ports of a container no more, while it runs",
        .min_args = 2,
        .max_args = -1,
        .run = port_rm,
        .aliases = rm_aliases,
        .details = "A port of the container (80, 53/udp), or what --publish or ps say of it: "
                   "8080:80, 0.0.0.0:8080->80/tcp. Its connections end.",
        .examples = "rootlet port rm web 80\nrootlet port rm web 8080:80\n"
                    "rootlet port rm dns 53/tcp,udp",
    },
    {NULL},
};
