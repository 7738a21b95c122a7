/* net - the container's network: made before its init, looked after while it runs. */
#include "supervise/supervise.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup.h"
#include "cgroup/session.h"
#include "network/resolv.h"
#include "network/run.h"
#include "network/session.h"

static void on_event(void *data, const char *action, char *const *attributes)
{
    sup_journal_all(data, action, attributes);
}

/* Whose container has that port of the host. */
static char *port_holder(const struct net_port *p, void *data)
{
    const struct sup *s = data;
    struct ctr_state *v = NULL;
    size_t n = 0;
    char *name = NULL;
    if (container_list(&s->conf, &v, &n, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < n && !name; i++)
        for (char *const *port = ctr_state_alive(&v[i]) ? v[i].ports : NULL; port && *port;
             port++) {
            struct net_port other;
            if (net_port_parse_shown(*port, &other) == 0 && net_port_conflict(p, &other))
                name = name ? name : xstrdup(v[i].name);
        }
    container_list_free(v, n);
    return name;
}

/* The members of our pod, whether they run or not: the file is written before they do. */
static char **pod_names(void *data)
{
    const struct sup *s = data;
    struct ctr_state *v = NULL;
    size_t n = 0;
    char **names = NULL;
    if (!s->pod_infra || container_list(&s->conf, &v, &n, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (streq(v[i].pod_id, s->id) && !streq(v[i].id, s->id) &&
            strv_has(v[i].networks, "container"))
            strv_add(&names, v[i].name);
    container_list_free(v, n);
    return names;
}

/* The pod was started before we were made: its file of hosts, which is ours, has us now. */
static void tell_pod(const struct sup *s)
{
    scoped_container struct container infra = {.dir_fd = -1};
    if (s->pod_infra || !s->state.pod_id || !streq(s->network.mode, "container") ||
        !streq(s->network.target, s->state.pod_id) ||
        container_open_id(&s->conf, s->state.pod_id, &infra, NULL) < 0)
        return;
    network_files_pod_name(infra.dir_fd, s->state.name);
}

static struct network_request request(struct sup *s)
{
    return (struct network_request){.conf = &s->conf,
                                    .plan = &s->network,
                                    .id = s->id,
                                    .name = s->state.name,
                                    .hostname = s->spec.hostname,
                                    .dir_fd = s->dir_fd,
                                    .run_fd = s->run_fd,
                                    .event = on_event,
                                    .port_holder = port_holder,
                                    .pod_names = pod_names,
                                    .event_data = s};
}

int net_prepare(struct sup *s, struct err *e)
{
    struct network_request req = request(s);
    tell_pod(s);
    int r = network_session_new(&req, &s->net, e);
    return r < 0 ? err_add(e, r, "network") : 0;
}

/* They are begun before a manager has made the scope, or by a supervisor that has taken over: what
 * belongs to the container's run ends with that, not with the command that was its start. */
void net_enter_group(struct sup *s)
{
    pid_t pids[NETWORK_PROCESSES];
    size_t n = s->net ? network_session_pids(s->net, pids) : 0;
    for (size_t i = 0; i < n; i++)
        if (!s->session && s->cgroup)
            cgroup_session_join(cgroup_path(s->cgroup), pids[i]);
        else
            cgroup_session_take(s->session, pids[i]);
}

static void unwatch(struct sup *s)
{
    int fds[NETWORK_FDS];
    size_t n = s->net && s->loop ? network_session_watch(s->net, fds) : 0;
    for (size_t i = 0; i < n; i++)
        loop_forget(s->loop, fds[i]);
}

static int watch(struct sup *s, struct err *e);

/* Which descriptors there are may be another list after it. */
static void on_ready(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    unwatch(s);
    if (network_session_ready(s->net) > 0) {
        if (s->adopted) /* the group of a command is ours, and what we begin is in it, too */
            net_enter_group(s);
        net_state(s);
        state_set(s, (enum ctr_status)s->state.status);
    }
    (void)!watch(s, NULL);
    peers_settle(s);
}

static int watch(struct sup *s, struct err *e)
{
    int fds[NETWORK_FDS], r = 0;
    size_t n = s->net ? network_session_watch(s->net, fds) : 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = loop_fd(s->loop, fds[i], EPOLLIN, on_ready, s, e);
    return r;
}

int net_watch(struct sup *s, struct err *e)
{
    return watch(s, e);
}

void net_state(struct sup *s)
{
    struct ctr_state *st = &s->state;
    if (!s->net)
        return;
    strv_free(st->ports);
    strv_free(st->networks);
    json_decref(st->network);
    st->ports = network_session_ports(s->net);
    st->networks = network_session_networks(s->net);
    st->network = network_session_emit(s->net);
}

void net_adopt(struct sup *s)
{
    struct err e = ERR_INIT;
    struct network_request req = request(s);
    struct network_was was = {.state = s->state.network,
                              .ports = s->state.ports,
                              .pid = s->state.pid,
                              .pidfd = engine_pidfd(s->engine)};
    if (network_session_adopt(&req, &was, &s->net, &e) < 0) {
        scoped_free char *why = xasprintf("reason=%s", e.msg);
        sup_journal(s, "network_failed", why);
    }
    net_enter_group(s);
    net_state(s);
    (void)!watch(s, NULL);
}

void net_stop(struct sup *s)
{
    unwatch(s);
    network_session_stop(s->net);
    /* The container was ending when it was taken over: its namespaces could not be opened. */
    if (!s->net)
        network_state_kill(s->state.network);
}

void net_end(struct sup *s)
{
    net_stop(s);
    if (s->net)
        net_forget(s);
    s->net_past = s->net ? s->net : s->net_past;
    s->net = NULL;
}

void net_forget(struct sup *s)
{
    network_session_end(s->net_past);
    s->net_past = NULL;
}

bool net_owns(const struct sup *s, pid_t pid)
{
    return network_session_owns(s->net, pid);
}

/* --- requests --- */

static int change(struct sup *s, uint32_t type, const char *text, struct err *e)
{
    struct network_join join = {.network = NULL};
    if (type == PROTO_PORT_ADD)
        return network_session_port_add(s->net, text, e);
    if (type == PROTO_PORT_REMOVE)
        return network_session_port_remove(s->net, text, e);
    if (type == PROTO_NETWORK_DISCONNECT)
        return network_session_disconnect(s->net, text, e);
    scoped_json json_t *j = json_parse(text, strlen(text), PROTO_MAX_DATA, "request", e);
    int r = j ? jfield_parse(j, network_join_fields, "", &join, e) : -EINVAL;
    if (r == 0)
        r = network_session_connect(s->net, &join, e);
    jfield_release(network_join_fields, &join);
    return r;
}

int net_request(struct sup *s, const struct proto_msg *m, struct err *e)
{
    scoped_free char *text = xstrndup((const char *)m->data, m->head.len);
    if (s->phase != PH_RUNNING && s->phase != PH_STOPPING)
        return err_msg(e, EINVAL, "container %s is %s", s->state.name, phase_name(s->phase));
    if (!s->net)
        return err_msg(e, ENOTSUP, "network mode %s has nothing that can be changed",
                       s->network.mode ? s->network.mode : "none");
    unwatch(s);
    int r = change(s, m->head.type, text, e);
    (void)!watch(s, NULL);
    if (r < 0)
        return r;
    if (s->adopted)
        net_enter_group(s);
    net_state(s);
    state_set(s, (enum ctr_status)s->state.status);
    return 0;
}
