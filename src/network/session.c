/* session - runs the drivers of a plan over the life of one run of a container. */
#include "network/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "network/resolv.h"
#include "network/session-priv.h"

#define ADOPTION_MS 10000 /* a command waits for it half a minute */
#define IN_LOOP_MS 2000   /* all else waits meanwhile: signals, logs, stop */

static int add_part(struct network_session *n, const struct network_driver *d, size_t join,
                    struct err *e)
{
    if (n->n_parts == PARTS_MAX)
        return err_msg(e, E2BIG, "a container is in at most %d networks", PARTS_MAX - 2);
    n->part[n->n_parts++] = (struct part){d, join, false};
    return 0;
}

static bool serves(const struct network_driver *d)
{
    return d->prepare || d->attach;
}

static int find_parts(struct network_session *n, struct err *e)
{
    const struct network_plan *p = &n->plan;
    bool networks = streq(p->mode, "networks");
    int r = 0;
    for (size_t i = 0; r == 0 && networks && i < p->n_joins; i++) {
        const struct network_driver *d = network_driver_of(n->run.conf, p->joins[i].network, e);
        r = d ? add_part(n, d, i, e) : -EINVAL;
    }
    const struct network_driver *d = networks ? NULL : network_driver_get(p->mode, e);
    if (!networks && !d)
        return -EINVAL;
    if (r == 0 && d && serves(d))
        r = add_part(n, d, 0, e);
    if (r < 0 || strv_len(p->ports) == 0 || !network_plan_own(p))
        return r;
    return add_part(n, network_ports_driver(), 0, e);
}

static struct network_session *session_new(const struct network_request *req)
{
    struct network_session *n = xcalloc(1, sizeof(*n));
    n->run = (struct network_run){.conf = req->conf,
                                  .plan = &n->plan,
                                  .id = req->id,
                                  .dir_fd = req->dir_fd,
                                  .run_fd = req->run_fd,
                                  .route_fd = -1,
                                  .netns_fd = -1,
                                  .userns_fd = -1,
                                  .init_fd = -1,
                                  .event = req->event,
                                  .port_holder = req->port_holder,
                                  .pod_names = req->pod_names,
                                  .event_data = req->event_data};
    n->timer_fd = -1;
    n->run.name = n->name = xstrdup(req->name);
    n->run.hostname = n->hostname = xstrdup(req->hostname);
    /* A copy by way of the document: the plan of the record is borrowed, ours changes. */
    scoped_json json_t *j = jfield_emit(network_plan_fields, req->plan);
    (void)!jfield_parse(j, network_plan_fields, "", &n->plan, NULL);
    return n;
}

int network_session_new(const struct network_request *req, struct network_session **ret,
                        struct err *e)
{
    *ret = NULL;
    if (!req->plan->mode)
        return 0;
    struct network_session *n = session_new(req);
    int r = network_files_prepare(&n->run, e);
    if (r == 0)
        r = find_parts(n, e);
    /* What can be refused is refused before anything is started: the ports come first. */
    for (size_t i = n->n_parts; r == 0 && i-- > 0;) {
        n->run.join = n->part[i].join;
        if (n->part[i].driver->prepare)
            r = n->part[i].driver->prepare(&n->run, e);
    }
    /* Else they are written when the addresses are known. */
    if (r == 0 && n->n_parts == 0)
        r = network_files_write(&n->run, e);
    if (r < 0 || n->n_parts == 0)
        network_session_end(n);
    else
        *ret = n;
    return r;
}

static int keep_target(struct network_run *run, const struct network_target *t, struct err *e)
{
    run->netns_fd = fcntl(t->netns_fd, F_DUPFD_CLOEXEC, 3);
    run->userns_fd = fcntl(t->userns_fd, F_DUPFD_CLOEXEC, 3);
    run->init_fd = fcntl(t->pidfd, F_DUPFD_CLOEXEC, 3);
    if (run->netns_fd < 0 || run->userns_fd < 0 || run->init_fd < 0)
        return err_set(e, errno, "keep the container's network namespace");
    return 0;
}

static int attach_part(struct network_session *n, struct part *p, struct err *e)
{
    struct network_target t = {n->run.netns_fd, n->run.userns_fd, n->run.init_fd, p->join};
    n->run.join = p->join;
    int r = p->driver->attach ? p->driver->attach(&n->run, &t, e) : 0;
    p->attached = r >= 0;
    return r < 0 ? r : 0;
}

int network_session_attach(void *session, const struct network_target *t, struct err *e)
{
    struct network_session *n = session;
    int r = keep_target(&n->run, t, e);
    for (size_t i = 0; r == 0 && i < n->n_parts; i++)
        r = attach_part(n, &n->part[i], e);
    n->run.patience_ms = IN_LOOP_MS;
    return r == 0 ? network_files_write(&n->run, e) : r;
}

/* --- after the death of a supervisor --- */

/* First the descriptors, then the look: what was opened counts if the process still lives. */
static int open_target(struct network_run *run, pid_t pid, int pidfd, struct err *e)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    scoped_fd int net = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    scoped_fd int user = open(path, O_RDONLY | O_CLOEXEC);
    if (net < 0 || user < 0 || pidfd_poll(pidfd, 0) != 0)
        return err_msg(e, ESRCH, "the container's namespaces cannot be opened any more");
    return keep_target(run, &(struct network_target){net, user, pidfd, 0}, e);
}

static void take_state(struct network_run *run, struct network_state *st)
{
    run->interfaces = take_ptr(st->interfaces);
    run->n_interfaces = st->n_interfaces;
    st->n_interfaces = 0;
    run->dns = take_ptr(st->dns);
}

static void adopt_part(struct network_session *n, struct part *p, const struct network_state *st)
{
    const struct network_driver *d = p->driver;
    struct err e = ERR_INIT;
    n->run.join = p->join;
    p->attached = true;
    int r = 0;
    if (d->adopt)
        r = d->adopt(&n->run, st, &e);
    else if (!network_process_adopt(&n->run, d, d->name, st, &e))
        r = -EMFILE;
    if (r < 0)
        network_session_tell(n, "network_failed", d->name, e.msg);
}

int network_session_adopt(const struct network_request *req, const struct network_was *was,
                          struct network_session **ret, struct err *e)
{
    *ret = NULL;
    if (!req->plan->mode)
        return 0;
    struct network_session *n = session_new(req);
    struct network_state st;
    network_state_parse(was->state, &st);
    int r = find_parts(n, e);
    if (r == 0 && n->n_parts > 0)
        r = open_target(&n->run, was->pid, was->pidfd, e);
    n->run.ports = strv_dup(was->ports);
    n->run.patience_ms = ADOPTION_MS;
    take_state(&n->run, &st);
    for (size_t i = 0; r == 0 && i < n->n_parts; i++)
        adopt_part(n, &n->part[i], &st);
    if (r == 0)
        network_session_revive(n);
    n->run.patience_ms = IN_LOOP_MS;
    network_state_release(&st);
    if (r < 0 || n->n_parts == 0)
        network_session_leave(n);
    else
        *ret = n;
    return r;
}

/* Its name server goes with it: the gateway. */
static void forget_dns(struct network_run *run, const char *network)
{
    for (size_t i = 0; run->dns && i < run->n_interfaces; i++) {
        const struct network_interface *f = &run->interfaces[i];
        if (!streq(f->network, network))
            continue;
        if (f->gateway)
            strv_remove(run->dns, f->gateway);
        if (f->gateway6)
            strv_remove(run->dns, f->gateway6);
    }
}

/* What stands in /etc/hosts and resolv.conf changes with the networks. That it could not be written
 * does not undo them. */
static void refresh_files(struct network_session *n)
{
    struct err ignored = ERR_INIT;
    if (n->run.plan->dns)
        network_user_follow(&n->run);
    (void)!network_files_write(&n->run, &ignored);
}

/* The network leaves the plan; the numbers of those behind it go down by one. */
static void drop_join(struct network_session *n, size_t join)
{
    size_t kept = 0;
    for (size_t i = 0; i < n->n_parts; i++) {
        struct part *p = &n->part[i];
        bool mine = p->driver->joins && p->join == join;
        n->run.join = p->join;
        if (mine && p->driver->detach)
            p->driver->detach(&n->run);
        p->join -= p->driver->joins && p->join > join;
        if (!mine)
            n->part[kept++] = *p;
    }
    n->n_parts = kept;
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        struct network_process *p = &n->run.process[i];
        if (p->what && p->driver->joins && p->join == join)
            network_process_end(p);
        else if (p->what && p->driver->joins && p->join > join)
            p->join--;
    }
    forget_dns(&n->run, n->plan.joins[join].network);
    network_run_remove(&n->run, n->plan.joins[join].network);
    jfield_release(network_join_fields, &n->plan.joins[join]);
    n->plan.n_joins--;
    memmove(&n->plan.joins[join], &n->plan.joins[join + 1],
            (n->plan.n_joins - join) * sizeof(*n->plan.joins));
}

/* --- state --- */

json_t *network_session_emit(const struct network_session *n)
{
    const struct network_run *run = &n->run;
    struct network_proc procs[NETWORK_PROCESSES];
    struct network_state st = {.interfaces = run->interfaces,
                               .n_interfaces = run->n_interfaces,
                               .dns = run->dns,
                               .procs = procs};
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        const struct network_process *p = &run->process[i];
        if (p->what && p->pid > 0)
            procs[st.n_procs++] =
                (struct network_proc){.what = p->what, .pid = p->pid, .start = p->start};
    }
    return jfield_emit(network_state_fields, &st);
}

char **network_session_ports(const struct network_session *n)
{
    return strv_dup(n->run.ports);
}

char **network_session_networks(const struct network_session *n)
{
    char **names = NULL;
    for (size_t i = 0; i < n->plan.n_joins; i++)
        strv_add(&names, n->plan.joins[i].network);
    if (!names)
        strv_add(&names, n->plan.mode);
    return names;
}

size_t network_session_pids(const struct network_session *n, pid_t ret[NETWORK_PROCESSES])
{
    size_t count = 0;
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        const struct network_process *p = &n->run.process[i];
        if (p->what && p->pid > 0 && !p->adopted)
            ret[count++] = p->pid;
    }
    return count;
}

bool network_session_owns(const struct network_session *n, pid_t pid)
{
    for (size_t i = 0; n && i < NETWORK_PROCESSES; i++)
        if (n->run.process[i].what && n->run.process[i].pid == pid)
            return true;
    return false;
}

/* --- changes while it runs --- */

int network_session_connect(struct network_session *n, const struct network_join *join,
                            struct err *e)
{
    struct network_plan *p = &n->plan;
    const struct network_driver *d = network_driver_of(n->run.conf, join->network, e);
    if (!d)
        return -EINVAL;
    for (size_t i = 0; i < p->n_joins; i++)
        if (streq(p->joins[i].network, join->network))
            return err_msg(e, EEXIST, "it is connected to network %s already", join->network);
    scoped_json json_t *j = jfield_emit(network_join_fields, join);
    p->joins = xrealloc(p->joins, (p->n_joins + 1) * sizeof(*p->joins));
    p->joins[p->n_joins] = (struct network_join){.network = NULL};
    int r = jfield_parse(j, network_join_fields, "", &p->joins[p->n_joins], e);
    if (r < 0)
        return r;
    r = add_part(n, d, p->n_joins++, e);
    if (r == 0)
        r = attach_part(n, &n->part[n->n_parts - 1], e);
    if (r < 0)
        drop_join(n, p->n_joins - 1);
    network_publish_follow(&n->run);
    refresh_files(n);
    return r;
}

int network_session_disconnect(struct network_session *n, const char *network, struct err *e)
{
    for (size_t i = 0; i < n->plan.n_joins; i++) {
        if (!streq(n->plan.joins[i].network, network))
            continue;
        drop_join(n, i);
        network_publish_follow(&n->run);
        refresh_files(n);
        return 0;
    }
    return err_msg(e, ENOENT, "it is not connected to network %s", network);
}

void network_session_rename(struct network_session *n, const char *name)
{
    free(n->name);
    n->run.name = n->name = xstrdup(name);
    network_user_follow(&n->run);
    refresh_files(n);
}

/* The first port of a run makes its driver one of those that end with the run. */
int network_session_port_add(struct network_session *n, const char *port, struct err *e)
{
    bool there = false;
    for (size_t i = 0; i < n->n_parts; i++)
        there = there || n->part[i].driver == network_ports_driver();
    int r = there ? 0 : add_part(n, network_ports_driver(), 0, e);
    if (r == 0 && !there)
        n->part[n->n_parts - 1].attached = true;
    return r == 0 ? network_publish_add(&n->run, port, e) : r;
}

int network_session_port_remove(struct network_session *n, const char *port, struct err *e)
{
    return network_publish_remove(&n->run, port, e);
}

/* --- the end --- */

static void session_free(struct network_session *n)
{
    struct network_run *run = &n->run;
    for (size_t i = 0; i < run->n_interfaces; i++)
        jfield_release(network_interface_fields, &run->interfaces[i]);
    free(run->interfaces);
    strv_free(run->dns);
    free(run->host);
    strv_free(run->ports);
    fd_close(&run->route_fd);
    fd_close(&run->netns_fd);
    fd_close(&run->userns_fd);
    fd_close(&run->init_fd);
    fd_close(&n->timer_fd);
    network_plan_release(&n->plan);
    free(n->name);
    free(n->hostname);
    free(n);
}

void network_session_stop(struct network_session *n)
{
    for (size_t i = 0; n && i < NETWORK_PROCESSES; i++)
        if (n->run.process[i].what && n->run.process[i].pidfd >= 0)
            network_session_hear_out(n, &n->run.process[i]);
    for (size_t i = n ? n->n_parts : 0; i-- > 0;) {
        n->run.join = n->part[i].join;
        if (n->part[i].driver->detach)
            n->part[i].driver->detach(&n->run);
        n->n_parts = i;
    }
    for (size_t i = 0; n && i < NETWORK_PROCESSES; i++)
        if (n->run.process[i].what)
            network_process_stop(&n->run.process[i]);
}

void network_session_end(struct network_session *n)
{
    if (!n)
        return;
    network_session_stop(n);
    for (size_t i = 0; i < NETWORK_PROCESSES; i++)
        if (n->run.process[i].what)
            network_process_end(&n->run.process[i]);
    session_free(n);
}

void network_session_leave(struct network_session *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        struct network_process *p = &n->run.process[i];
        if (!p->what)
            continue;
        fd_close(&p->pidfd); /* so that it is not killed */
        network_process_end(p);
    }
    session_free(n);
}
