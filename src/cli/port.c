/* port - the published ports of containers, as their state holds them: "0.0.0.0:8080->80/tcp". */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/fs.h"
#include "cli/cli.h"
#include "net/ports.h"
#include "network/publish.h"
#include "sys/sock.h"

struct port_opts {
    bool all, latest, stats;
};

#define O(m) offsetof(struct port_opts, m)
static const struct opt port_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "Of all running containers, with their ids in front"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"stats", 0, OPT_FLAG, O(stats), NULL, "What went through all its ports since the start"},
    {NULL},
};

char *cli_ports_text(char *const *ports)
{
    scoped_str struct str out = STR_INIT;
    char text[NET_PORT_TEXT];
    for (char *const *p = ports; p && *p; p++) {
        struct net_port range, next;
        bool known = net_port_parse_shown(*p, &range) == 0;
        while (known && p[1] && net_port_parse_shown(p[1], &next) == 0 &&
               net_port_join(&range, &next))
            p++;
        str_addf(&out, "%s%s", out.len ? ", " : "", known ? net_port_format(&range, text) : *p);
    }
    return str_detach(&out);
}

/* "80", "80/tcp": a port of the container; tcp unless said otherwise. Owned; NULL: none. */
static char *wanted_port(const char *text)
{
    scoped_free char *number = xstrndup(text, strcspn(text, "/"));
    const char *proto = strchr(text, '/');
    uint32_t n;
    if (parse_u32(number, &n) < 0 || n == 0 || n > UINT16_MAX || (proto && !proto[1]))
        return NULL;
    return xasprintf("%u/%s", n, proto ? proto + 1 : "tcp");
}

bool cli_network_owner(const struct container *c, struct container *ret)
{
    const struct network_plan *p = &c->rec.network;
    struct err ignored = ERR_INIT;
    return c->rec.pod_id && streq(p->mode, "container") && p->target &&
           container_open_id(cli_conf(), p->target, ret, &ignored) == 0;
}

/* How many lines were printed. */
static size_t print_ports(char *const *ports, const char *want, const char *in_front)
{
    size_t n = 0;
    for (char *const *p = ports; p && *p; p++) {
        const char *arrow = strstr(*p, "->");
        int host = arrow ? (int)(arrow - *p) : 0;
        if (!arrow || (want && !streq(arrow + 2, want)))
            continue;
        if (want)
            printf("%.*s\n", host, *p);
        else
            printf("%s%s -> %.*s\n", in_front, arrow + 2, host, *p);
        n++;
    }
    return n;
}

static int all_ports(struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0;
    int r = container_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        scoped_free char *in_front = xasprintf("%.12s\t", list[i].id);
        if (ctr_state_alive(&list[i]))
            print_ports(list[i].ports, NULL, in_front);
    }
    container_list_free(list, n);
    return r;
}

/* Asks the process that serves the ports, which takes questions from everybody of our user id. */
static int print_stats(const struct container *c, struct err *e)
{
    struct wire_ports_stats s = {.ports = 0};
    scoped_fd int dir_fd =
        ctr_state_alive(&c->state) ? conf_open_run(cli_conf(), c->id, false, NULL) : -1;
    scoped_fd int fd = dir_fd < 0 ? -1 : sock_connect_at(dir_fd, "ports.sock", NULL);
    if (fd < 0)
        return err_msg(e, ENOENT, "--stats: %s publishes no ports now", c->rec.name);
    struct publish_peer to = {.fd = fd, .wait_ms = PUBLISH_ANSWER_MS};
    int r = publish_ask_stats(&to, &s, e);
    if (r < 0)
        return r;
    printf("ports             %u%s\n", s.ports, s.paused ? " (paused: no descriptors left)" : "");
    printf("tcp now           %u\ntcp accepted      %llu\ntcp refused       %llu\n", s.connections,
           (unsigned long long)s.accepted, (unsigned long long)s.refused);
    printf("tcp bytes in      %llu\ntcp bytes out     %llu\n", (unsigned long long)s.bytes_in,
           (unsigned long long)s.bytes_out);
    printf("udp clients now   %u\nudp packets in    %llu\nudp packets out   %llu\n", s.flows,
           (unsigned long long)s.packets_in, (unsigned long long)s.packets_out);
    printf("udp packets lost  %llu\n", (unsigned long long)s.packets_lost);
    return 0;
}

static int port(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct port_opts *o = opts;
    scoped_container struct container c = {.dir_fd = -1};
    const char *name = o->latest ? NULL : args[0];
    (void)cmd;
    if (o->all && (o->latest || args[0]))
        return err_msg(e, EINVAL, "port: --all and %s exclude each other",
                       o->latest ? "--latest" : "names");
    if (o->all && o->stats)
        return err_msg(e, EINVAL, "port: --stats is of one container");
    if (o->all)
        return all_ports(e);
    if (!o->latest && !name)
        return err_hint(e, err_msg(e, EINVAL, "port: no container given"),
                        "a name or id, --latest or --all");
    const char *typed = o->latest ? args[0] : args[1];
    if (typed && o->stats)
        return err_msg(e, EINVAL, "port: --stats is of all ports together");
    scoped_free char *want = typed ? wanted_port(typed) : NULL;
    if (typed && !want)
        return err_hint(e, err_msg(e, EINVAL, "port: \"%s\" is not a port of a container", typed),
                        "for example 80 or 53/udp");
    int r =
        name ? container_open(cli_conf(), name, &c, e) : container_open_latest(cli_conf(), &c, e);
    if (r < 0)
        return err_add(e, r, "port");
    scoped_container struct container owner = {.dir_fd = -1};
    if (o->stats)
        return print_stats(cli_network_owner(&c, &owner) ? &owner : &c, e);
    char *const *ports = cli_network_owner(&c, &owner) ? owner.state.ports : c.state.ports;
    size_t n = ctr_state_alive(&c.state) ? print_ports(ports, want, "") : 0;
    if (want && !n)
        return err_hint(e,
                        err_msg(e, ENOENT, "port %s: failed to find published port \"%s\"",
                                name ? name : c.id, typed),
                        "rootlet port %s lists them; the port of the container is asked for",
                        c.rec.name);
    return 0;
}

static int port_ls(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct port_opts o = {.all = !args[0]};
    (void)opts;
    return port(cmd, &o, args, e);
}

static const char *const port_aliases[] = {"container port", NULL};
static const char *const ls_aliases[] = {"port list", NULL};

const struct cmd cli_port_cmds[] = {
    {
        .name = "port",
        .args = "[CONTAINER [PORT[/PROTOCOL]]]",
        .summary = "Show the published ports of a container",
        .opts = port_table,
        .opts_size = sizeof(struct port_opts),
        .max_args = 2,
        .run = port,
        .aliases = port_aliases,
        .details =
            "Where they are on the host: all addresses of it are shown as 0.0.0.0. A container "
            "with --network host uses the host's own ports, which are not listed.",
        .examples = "rootlet port web\nrootlet port web 80/tcp\nrootlet port --all",
    },
    {
        .name = "port ls",
        .args = "[CONTAINER [PORT[/PROTOCOL]]]",
        .summary = "List published ports, of one container or of all that run",
        .max_args = 2,
        .run = port_ls,
        .aliases = ls_aliases,
        .details = "The same as rootlet port CONTAINER; without a name as rootlet port --all.",
        .examples = "rootlet port ls\nrootlet port ls web",
    },
    {NULL},
};
