/* pod_member - run and create --pod; and a pod is started before its first member. */
#include <errno.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/str.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/pod.h"
#include "container/client.h"

#define UP_MS 10000

static int refuse_own(const struct run_opts *o, const struct ctr_record *infra, struct err *e)
{
    if (o->spec)
        return err_msg(e, EINVAL, "--pod excludes --spec");
    if (o->userns || o->uidmap || o->gidmap)
        return err_hint(e,
                        err_msg(e, EINVAL, "--%s: the containers of a pod share its user namespace",
                                o->userns   ? "userns"
                                : o->uidmap ? "uidmap"
                                            : "gidmap"),
                        "give it to 'rootlet pod create'");
    const struct {
        const char *flag;
        bool given;
    } of_network[] = {
        {"network", o->network},
        {"publish", o->publish},
        {"publish-all", o->publish_all},
        {"network-alias", o->network_alias},
        {"ip", o->ip},
        {"ip6", o->ip6},
        {"mac-address", o->mac_address},
        {"egress", o->egress},
    };
    for (size_t i = 0; pod_shares(infra, "net") && i < N_ELEMENTS(of_network); i++)
        if (of_network[i].given)
            return err_hint(e,
                            err_msg(e, EINVAL, "--%s: pod %s shares its network",
                                    of_network[i].flag, infra->pod),
                            "give it to 'rootlet pod create', or make a pod with --share ipc,uts");
    return 0;
}

/* A network that is not the infra's own is joined as the infra has joined it. */
static void share_network(struct pod_member *m, const struct ctr_record *infra, const char *self)
{
    const struct network_plan *n = &infra->network;
    if (streq(n->mode, "host"))
        strv_add(&m->network, "host");
    else if (streq(n->mode, "ns") || streq(n->mode, "container"))
        strv_addf(&m->network, "%s:%s", n->mode, n->target);
    else
        strv_add(&m->network, self);
    m->o.network = m->network;
}

/* What the container says itself wins. */
static void share(struct pod_member *m, const struct ctr_record *infra, char *self)
{
    struct run_opts *o = &m->o;
    const struct {
        const char *type;
        char **mode;
    } simple[] = {{"ipc", &o->ipc}, {"uts", &o->uts}, {"pid", &o->pid}};
    if (pod_shares(infra, "net"))
        share_network(m, infra, self);
    for (size_t i = 0; i < N_ELEMENTS(simple); i++)
        if (!*simple[i].mode && pod_shares(infra, simple[i].type))
            *simple[i].mode = self;
    o->userns = infra->userns;
    o->no_hosts |= infra->network.no_hosts;
}

/* A pod made by its first member has what that one says of network, names and ids, as with podman;
 * the member then has these by the pod. */
static int make_pod(struct pod_member *m, const char *name, struct err *e)
{
    struct run_opts *o = &m->o;
    int r = 0;
    if (o->spec)
        r = err_msg(e, EINVAL, "--pod excludes --spec");
    else if (o->publish_all)
        r = err_hint(e, err_msg(e, EINVAL, "--publish-all: pod %s has no image", name),
                     "--publish names the ports");
    if (r == 0)
        r = cli_pod_make(name, o, e);
    o->network = o->publish = o->network_alias = o->egress = o->uidmap = o->gidmap = NULL;
    o->dns = o->dns_search = o->dns_option = o->add_host = NULL;
    o->ip = o->ip6 = o->mac_address = o->userns = o->hostname = o->hosts_file = NULL;
    return r;
}

int pod_member_begin(struct pod_member *m, const struct run_opts *o, struct err *e)
{
    const char *name = str_after(o->pod, "new:");
    m->o = *o;
    int r = name ? make_pod(m, name, e) : 0;
    if (r < 0)
        return err_add(e, r, "--pod");
    name = name ? name : o->pod;
    m->lock = pod_lock(cli_conf(), false, e);
    r = m->lock < 0 ? m->lock : pod_set_load(cli_conf(), &m->set, e);
    if (r == 0)
        r = pod_find(&m->set, name, &m->pod, e);
    if (r < 0)
        return err_add(e, r, "--pod");
    struct ctr_record *infra = (struct ctr_record *)(uintptr_t)&m->pod->infra.rec;
    r = refuse_own(&m->o, infra, e);
    if (r < 0)
        return r;
    m->self = xasprintf("container:%s", m->pod->infra.id);
    share(m, infra, m->self);
    return 0;
}

void pod_member_release(struct pod_member *m)
{
    pod_set_release(&m->set);
    fd_close(&m->lock);
    strv_free(m->network);
    free(m->self);
}

static bool is_up(const struct container *c)
{
    return (c->state.status == CTR_RUNNING || c->state.status == CTR_PAUSED) &&
           !c->state.stop_requested;
}

/* Its last member has just ended, and with it the pod. */
static bool is_going(const struct container *c)
{
    return ctr_state_alive(&c->state) && c->state.stop_requested;
}

/* So that it counts its members. */
static int watch_over(const struct container *c, struct err *e)
{
    scoped_fd int fd =
        ctr_state_unsupervised(&c->state) ? container_connect(cli_conf(), c->id, e) : -1;
    return ctr_state_unsupervised(&c->state) && fd < 0 ? fd : 0;
}

int cli_pod_up(const char *infra_id, struct err *e)
{
    scoped_container struct container infra = {.dir_fd = -1};
    int code, r = container_open_id(cli_conf(), infra_id, &infra, e);
    if (r < 0 || is_up(&infra))
        return r < 0 ? r : watch_over(&infra, e);
    /* Two members that are started at once start it once. */
    scoped_fd int run = conf_open_run(cli_conf(), infra_id, true, e);
    if (run < 0)
        return run;
    scoped_fd int lock = lock_take(run, "up", LOCK_EXCLUSIVE, UP_MS, e);
    if (lock < 0)
        return err_add(e, lock, "start pod %s", infra.rec.pod);
    if (is_going(&infra))
        (void)!container_wait(cli_conf(), infra_id, &code, NULL);
    container_release(&infra);
    infra = (struct container){.dir_fd = -1};
    r = container_open_id(cli_conf(), infra_id, &infra, e);
    if (r == -ENOENT) /* removed meanwhile: the directory of the lock is made anew */
        container_remove_run(cli_conf(), infra_id);
    if (r < 0 || is_up(&infra))
        return r;
    struct follow f = {.id = infra.id};
    r = follow_detached(&f, e);
    return r < 0 ? err_add(e, r, "start pod %s", infra.rec.pod) : 0;
}

int cli_pod_of(const struct ctr_record *rec, struct err *e)
{
    return rec->pod_id ? cli_pod_up(rec->pod_id, e) : 0;
}
