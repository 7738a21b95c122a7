/* published - the ports of a container as a driver: bound before it is made, served by
 * rootlet-ports when its interfaces are there.
 *
 * The sockets stay with the supervisor as well: another rootlet-ports takes over what waits in
 * them, and nobody else gets the ports meanwhile. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "net/addr.h"
#include "network/bridge.h"
#include "network/drivers-priv.h"
#include "network/publish.h"
#include "sys/sock.h"

#define WHAT "ports"

static void show(struct network_run *run)
{
    strv_free(run->ports);
    run->ports = publish_texts(run->publish, run->n_publish);
}

static int prepare(struct network_run *run, struct err *e)
{
    if (streq(run->plan->mode, "none"))
        return err_hint(e, err_msg(e, EINVAL, "--publish: network none has no ports to reach"),
                        "--network slirp, or a network's name");
    int r = publish_bind(run->plan->ports, run->port_holder, run->event_data, &run->publish,
                         &run->n_publish, e);
    if (r == 0)
        show(run);
    return r;
}

static void take(const char *text, struct net_addr *ret)
{
    scoped_free char *only = text ? xstrndup(text, strcspn(text, "/")) : NULL;
    if (only && !ret->family)
        (void)!net_addr_parse(only, ret);
}

static struct publish_addresses addresses(const struct network_run *run)
{
    struct publish_addresses a = {.address4.family = 0};
    for (size_t i = 0; i < run->n_interfaces; i++) {
        const struct network_interface *n = &run->interfaces[i];
        bool first4 = !a.address4.family, first6 = !a.address6.family;
        take(n->address, &a.address4);
        take(n->address6, &a.address6);
        if (first4 && a.address4.family)
            take(n->gateway, &a.gateway4);
        if (first6 && a.address6.family)
            take(n->gateway6, &a.gateway6);
    }
    return a;
}

/* What is said to the process; it is owed what was not waited for. */
static struct publish_peer begin(const struct network_run *run, const struct network_process *p)
{
    int ms = run->patience_ms ? run->patience_ms : PUBLISH_ANSWER_MS;
    return (struct publish_peer){.fd = p->ctl, .wait_ms = ms, .owed = p->owed};
}

/* later: of a run that goes on meanwhile, the answers come by message. */
static int serve(struct network_run *run, struct network_process *p, bool later, struct err *e)
{
    scoped_fd int listener = network_listen(run, WHAT, e);
    if (listener < 0)
        return listener;
    struct publish_addresses a = addresses(run);
    const int fds[] = {run->init_fd, run->userns_fd, run->netns_fd, listener};
    p->owed = 0;
    struct publish_peer to = begin(run, p);
    to.later = later;
    int r = publish_send_start(&to, &a, fds, e);
    for (size_t i = 0; r == 0 && i < run->n_publish; i++)
        r = publish_send_add(&to, &run->publish[i], e);
    p->owed = to.owed;
    if (r == 0)
        network_bridge_publish(run, run->publish, run->n_publish);
    if (r == 0 && later)
        network_process_expect(p, PUBLISH_ANSWER_MS);
    return r < 0 ? err_add(e, r, "publish ports") : 0;
}

static const struct network_start program = {.what = WHAT, .program = "rootlet-ports"};

static int attach(struct network_run *run, const struct network_target *t, struct err *e)
{
    (void)t;
    struct network_process *p = network_process_start(run, network_ports_driver(), &program, e);
    return p ? serve(run, p, false, e) : -EIO;
}

static void detach(struct network_run *run)
{
    publish_free(run->publish, run->n_publish);
    run->publish = NULL;
    run->n_publish = 0;
}

/* Is it one of both families? States show these as 0.0.0.0, the plan has no address for them. */
static bool planned_for_all(const struct network_run *run, const struct net_port *shown)
{
    struct net_port p[2], bare = *shown;
    bare.addr = (struct net_addr){.family = 0};
    if (!net_addr_is_any(&shown->addr) || shown->addr.family != 4)
        return false;
    for (char *const *text = run->plan->ports; text && *text; text++) {
        int n = net_port_parse(*text, p, NULL);
        for (int i = 0; i < n; i++)
            if (!p[i].addr.family && net_port_means(&bare, &p[i]))
                return true;
    }
    return false;
}

/* The sockets anew, of the numbers that they had. */
static int bind_again(struct network_run *run, struct err *e)
{
    scoped_strv char **texts = NULL;
    for (char *const *text = run->ports; text && *text; text++) {
        struct net_port p;
        char option[NET_PORT_TEXT];
        if (net_port_parse_shown(*text, &p) < 0)
            continue;
        if (planned_for_all(run, &p))
            p.addr = (struct net_addr){.family = 0};
        strv_add(&texts, net_port_format_option(&p, option));
    }
    return publish_bind(texts, run->port_holder, run->event_data, &run->publish, &run->n_publish,
                        e);
}

static int revive(struct network_run *run, struct network_process *p, struct err *e)
{
    int r = network_process_again(run, p, &program, e);
    return r == 0 ? serve(run, p, true, e) : r;
}

/* Of a port that the process before had served. */
static void tell_refusal(struct network_run *run, const char *why)
{
    scoped_strv char **attributes = NULL;
    char text[512];
    err_escape(text, sizeof(text), why);
    strv_addf(&attributes, "process=" WHAT);
    strv_addf(&attributes, "reason=%s", text);
    if (run->event)
        run->event(run->event_data, "network_failed", attributes);
}

static int message(struct network_run *run, struct network_process *p)
{
    scoped_free char *text = xcalloc(1, WIRE_MAX + 1);
    ssize_t n = sock_recv(p->ctl, text, WIRE_MAX, NULL);
    struct wire_head head;
    if (n < (ssize_t)sizeof(head))
        return n == -EAGAIN ? 0 : -ECONNRESET;
    memcpy(&head, text, sizeof(head));
    if (head.type == WIRE_EVENT) {
        network_run_event(run, text + sizeof(head), (size_t)n - sizeof(head));
    } else if ((head.type == WIRE_OK || head.type == WIRE_ERROR) && p->owed > 0) {
        if (head.type == WIRE_ERROR && p->starting)
            tell_refusal(run, text + sizeof(head));
        if (--p->owed == 0)
            network_process_answered(p);
    }
    return 0;
}

/* It has the sockets. When it was killed as well, or does not answer, they are bound once more. */
static int adopt(struct network_run *run, const struct network_state *st, struct err *e)
{
    struct network_process *p = network_process_adopt(run, network_ports_driver(), WHAT, st, e);
    if (!p)
        return -EMFILE;
    struct publish_peer to = begin(run, p);
    if (p->pidfd >= 0 && p->ctl >= 0 &&
        publish_ask_list(&to, &run->publish, &run->n_publish, NULL) == 0)
        return 0;
    network_process_end(p);
    int r = bind_again(run, e);
    return r == 0 ? attach(run, NULL, e) : r;
}

static const struct network_driver network_ports = {
    .name = WHAT,
    .summary = "published ports",
    .prepare = prepare,
    .attach = attach,
    .detach = detach,
    .revive = revive,
    .message = message,
    .adopt = adopt,
};

const struct network_driver *network_ports_driver(void)
{
    return &network_ports;
}

/* --- while it runs --- */

/* The process, started when the container had published nothing so far. */
static struct network_process *server(struct network_run *run, struct err *e)
{
    struct network_process *p = network_process_find(run, WHAT);
    if (p && p->ctl >= 0)
        return p;
    if (p) {
        err_msg(e, ENOTCONN, "rootlet-ports cannot be reached");
        return NULL;
    }
    if (attach(run, NULL, e) < 0) {
        p = network_process_find(run, WHAT);
        if (p)
            network_process_end(p);
        return NULL;
    }
    return network_process_find(run, WHAT);
}

/* All or none. One whose answer is missing may be taken later: it is taken back after it. */
static int send_all(struct network_run *run, struct network_process *p, const struct publish *v,
                    size_t n, struct err *e)
{
    struct publish_peer to = begin(run, p);
    size_t sent = 0;
    int r = 0;
    while (r == 0 && sent < n)
        r = publish_send_add(&to, &v[sent++], e);
    if (r < 0 && r != -ETIMEDOUT)
        sent--;
    while (r < 0 && sent-- > 0)
        (void)!publish_send_remove(&to, &v[sent].port, NULL);
    p->owed = to.owed;
    return r;
}

int network_publish_add(struct network_run *run, const char *text, struct err *e)
{
    char *const texts[] = {(char *)(uintptr_t)text, NULL};
    struct publish *more = NULL;
    size_t n = 0;
    struct network_process *p = server(run, e);
    int r = p ? publish_bind(texts, run->port_holder, run->event_data, &more, &n, e) : -EIO;
    if (r == 0)
        r = send_all(run, p, more, n, e);
    if (r < 0) {
        publish_free(more, n);
        return r;
    }
    network_bridge_publish(run, more, n);
    for (size_t i = 0; i < n; i++)
        publish_append(&run->publish, &run->n_publish, more[i]);
    free(more);
    show(run);
    return 0;
}

static int parse(const char *text, struct net_port ret[static 2], struct err *e)
{
    if (net_port_parse_shown(text, &ret[0]) == 0 ||
        net_port_parse_container(text, &ret[0], NULL) == 0)
        return 1;
    return net_port_parse(text, ret, e);
}

int network_publish_remove(struct network_run *run, const char *text, struct err *e)
{
    struct net_port want[2];
    struct network_process *p = network_process_find(run, WHAT);
    int n = parse(text, want, e);
    if (n < 0)
        return n;
    size_t kept = 0, gone = 0;
    struct publish_peer to = {.fd = -1};
    if (p)
        to = begin(run, p);
    for (size_t i = 0; i < run->n_publish; i++) {
        struct publish *one = &run->publish[i];
        if (!net_port_means(&want[0], &one->port) &&
            !(n > 1 && net_port_means(&want[1], &one->port))) {
            run->publish[kept++] = *one;
            continue;
        }
        if (to.fd >= 0)
            (void)!publish_send_remove(&to, &one->port, NULL);
        fd_close(&one->fd);
        gone++;
    }
    if (p)
        p->owed = to.owed;
    run->n_publish = kept;
    show(run);
    return gone ? 0 : err_msg(e, ENOENT, "%s is not published", text);
}

void network_publish_follow(struct network_run *run)
{
    struct network_process *p = network_process_find(run, WHAT);
    struct publish_addresses a = addresses(run);
    if (!p || p->ctl < 0)
        return;
    struct publish_peer to = begin(run, p);
    (void)!publish_send_addresses(&to, &a, NULL);
    p->owed = to.owed;
}
