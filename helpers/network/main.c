/* rootlet-network - the process of one user network: namespace, addresses, names, way out.
 *
 *   rootlet-network NAME
 *
 * Started by the first supervisor that has a member for it, with the descriptors
 *
 *   3  its connection, on which the first request waits
 *   4  the lock RUN_ROOT/networks/NAME/lock, which is held for life
 *   5  the listening socket beside it
 *   6  the directory of both
 *   7, 8 (or none)  the user and network namespace of a manager before us that was killed
 *
 * It ends a moment after the last member. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/scoped.h"
#include "base/str.h"
#include "helpers/network/network.h"
#include "sys/clone.h"
#include "sys/sock.h"

enum { CONNECTION_FD = 3, LOCK_FD, LISTEN_FD, DIR_FD, USERNS_FD, NETNS_FD, PAST_FDS };

#define HINT "next"
#define MTU_DEFAULT 65520 /* as the uplink's: small packets cost */
#define FIRST_MS 10000    /* for the first request to come */
#define IDLE_MS 500       /* after the last member: a container that is restarted comes back */

static void on_idle(void *data, uint32_t events)
{
    struct network *n = data;
    (void)events;
    n->idle_timer = false;
    if (n->n_members == 0)
        loop_quit(n->loop);
}

void members_changed(struct network *n)
{
    if (n->n_members == 0 && !n->idle_timer)
        n->idle_timer = loop_timer(n->loop, IDLE_MS, on_idle, n, NULL) >= 0;
}

static int take_config(struct network *n, const struct wire_network *cfg, struct err *e)
{
    n->cfg = *cfg;
    n->mtu = cfg->mtu ? cfg->mtu : MTU_DEFAULT;
    for (size_t i = 0; i < 2; i++) {
        const struct wire_subnet *s = &cfg->subnet[i];
        struct ipam_range *r = &n->range[i];
        if (!s->net.addr.family)
            continue;
        *r = (struct ipam_range){.net = s->net, .first = s->first, .last = s->last};
        r->net.addr = net_cidr_first(&s->net);
        r->gateway = s->gateway;
        if (!r->gateway.family && net_cidr_nth(&r->net, 1, &r->gateway) < 0)
            return err_msg(e, EINVAL, "no room for a gateway in the subnet");
    }
    if (!n->range[0].net.addr.family && !n->range[1].net.addr.family)
        return err_msg(e, EINVAL, "the network has no subnet");
    return 0;
}

static int open_network(struct network *n, const struct wire_network_request *q, bool old_space,
                        struct err *e)
{
    struct err no_scope = ERR_INIT;
    n->loop = loop_new(e);
    if (!n->loop)
        return -ENOMEM;
    int r = q->groups ? scope_enter(&n->cfg, &no_scope) : 0;
    if (r < 0)
        fprintf(stderr, "rootlet-network: %s: no scope: %s\n", n->cfg.name, no_scope.msg);
    r = space_open(n, old_space ? USERNS_FD : -1, old_space ? NETNS_FD : -1, e);
    if (r == 0)
        r = members_find(n, e);
    if (r == 0)
        r = rules_set(n, e);
    uplink_choose(n);
    if (r == 0)
        r = dnsproc_start(n, e);
    if (r == 0 && !n->cfg.internal)
        r = uplink_start(n, e);
    if (r == 0)
        r = serve_listen(n, e);
    return r < 0 ? err_add(e, r, "network %s", n->cfg.name) : 0;
}

/* Where the next addresses are to be taken from, for the next of us: a hint, which may be wrong. */
static void read_hint(struct network *n)
{
    scoped_free char *text = NULL;
    char four[NET_ADDR_TEXT], six[NET_ADDR_TEXT];
    if (fs_read(DIR_FD, HINT, 256, &text, NULL) < 0 || sscanf(text, "%45s %45s", four, six) != 2)
        return;
    net_addr_parse(four, &n->range[0].next);
    net_addr_parse(six, &n->range[1].next);
}

void write_hint(const struct network *n)
{
    char four[NET_ADDR_TEXT], six[NET_ADDR_TEXT];
    net_addr_format(&n->range[0].next, four);
    net_addr_format(&n->range[1].next, six);
    scoped_free char *text = xasprintf("%s %s\n", *four ? four : "-", *six ? six : "-");
    fs_write_atomic(DIR_FD, HINT, text, strlen(text), 0600, FS_NO_SYNC, NULL);
}

/* The first request says which network it is. */
static int receive_first(struct wire_network_request *q, int fds[SOCK_MAX_FDS])
{
    struct pollfd p = {.fd = CONNECTION_FD, .events = POLLIN};
    if (poll(&p, 1, FIRST_MS) != 1 || sock_recv(CONNECTION_FD, q, sizeof(*q), fds) != sizeof(*q))
        return -EPROTO;
    q->id[sizeof(q->id) - 1] = q->interface[sizeof(q->interface) - 1] = '\0';
    q->network.name[sizeof(q->network.name) - 1] = '\0';
    q->network.egress[sizeof(q->network.egress) - 1] = '\0';
    for (size_t i = 0; i < WIRE_NAMES_MAX; i++)
        q->names[i][WIRE_NAME_SIZE - 1] = '\0';
    return 0;
}

static void fail(uint32_t serial, const struct err *e)
{
    static struct wire_network_reply reply;
    reply.head = (struct wire_head){WIRE_ERROR, e->errnum};
    reply.err = *e;
    reply.serial = serial;
    sock_send(CONNECTION_FD, &reply, sizeof(reply), NULL, 0);
    fprintf(stderr, "rootlet-network: %s\n", e->msg);
}

static int serve(struct network *n, bool old_space)
{
    static struct wire_network_request q;
    int fds[SOCK_MAX_FDS];
    struct err e = ERR_INIT;
    int r = receive_first(&q, fds);
    if (r < 0)
        return 1;
    r = take_config(n, &q.network, &e);
    read_hint(n);
    if (r == 0)
        r = open_network(n, &q, old_space, &e);
    /* Nobody is waited for: a supervisor that is stopped is no concern of the others'. */
    fcntl(CONNECTION_FD, F_SETFL, O_RDWR | O_NONBLOCK);
    if (r == 0) {
        serve_request(n, CONNECTION_FD, &q, fds);
        r = serve_connection(n, CONNECTION_FD, &e);
    }
    for (size_t i = 0; i < SOCK_MAX_FDS; i++)
        fd_close(&fds[i]);
    if (r == 0) {
        members_changed(n);
        r = loop_run(n->loop, &e);
    } else {
        fail(q.serial, &e);
    }
    /* Who connects now is told by the end of the connection to try again. */
    unlinkat(DIR_FD, "sock", 0);
    write_hint(n);
    child_end(n, &n->dns);
    child_end(n, &n->uplink);
    return r < 0;
}

/* As many files as we may have: one or two for each member. */
static void raise_files(void)
{
    struct rlimit v;
    if (getrlimit(RLIMIT_NOFILE, &v) == 0) {
        v.rlim_cur = v.rlim_max;
        setrlimit(RLIMIT_NOFILE, &v);
    }
}

int main(int argc, char **argv)
{
    static struct network n = {
        .lock_fd = LOCK_FD,
        .listen_fd = LISTEN_FD,
        .userns_fd = -1,
        .netns_fd = -1,
        .route_fd = -1,
        .monitor_fd = -1,
        .dns_fd = {-1, -1, -1, -1},
        .nft_fd = -1,
        .tap_fd = -1,
        .dns = {.pidfd = -1, .ctl = -1},
        .uplink = {.pidfd = -1, .ctl = -1},
    };
    if (argc != 2 || fcntl(DIR_FD, F_GETFD) < 0) {
        fprintf(stderr, "rootlet-network is started by other programs of rootlet\n");
        return 2;
    }
    (void)argv;
    bool old_space = fcntl(NETNS_FD, F_GETFD) >= 0;
    sys_close_from(old_space ? PAST_FDS : USERNS_FD, 0);
    sys_close_from(3, 1);
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    raise_files();
    return serve(&n, old_space);
}
