/* build_names - namespaces, id maps and host name. */
#include <errno.h>
#include <stdlib.h>

#include "base/path.h"
#include "base/strv.h"
#include "cli/build.h"
#include "security/limits.h"

void build_map_lines(const struct idmap *m, struct spec_id_map **ret, size_t *ret_n)
{
    free(*ret);
    *ret = xcalloc(m->n ? m->n : 1, sizeof(**ret));
    *ret_n = m->n;
    for (size_t i = 0; i < m->n; i++)
        (*ret)[i] = (struct spec_id_map){m->v[i].inside, m->v[i].outside, m->v[i].count, NULL};
}

/* --pid container:ID and its like: which process has the namespace is found at every start, but so
 * is who will never have one. */
int build_container_ns(struct build *b, const char *flag, const char *ref, const char *type,
                       char **ret_id, struct err *e)
{
    scoped_container struct container c = {.dir_fd = -1};
    int r = container_open(b->conf, ref, &c, e);
    if (r < 0)
        return err_add(e, r, "%s container:%s", flag, ref);
    /* A pod is started with its first member. */
    bool of_pod = streq(c.id, b->rec->pod_id);
    if (!of_pod && c.state.status != CTR_RUNNING && c.state.status != CTR_PAUSED)
        return err_hint(e, err_msg(e, EINVAL, "%s container:%s: it is not running", flag, ref),
                        "rootlet start %s", ref);
    const char *file = streq(type, "network") ? "net" : type;
    scoped_free char *path = xasprintf("/proc/%d/ns/%s", c.state.pid, file);
    spec_namespace_set(b->spec, type, path);
    *ret_id = xstrdup(c.id);
    return 0;
}

/* --pid, --ipc, --uts: private (default), host, container:ID. */
static int simple_ns(struct build *b, const char *flag, const char *mode, const char *type,
                     struct err *e)
{
    const char *ref;
    if (!mode || !*mode || streq(mode, "private") || (streq(mode, "shareable") && type[0] == 'i'))
        return 0;
    if (streq(mode, "host")) {
        spec_namespace_remove(b->spec, type);
        return 0;
    }
    if ((ref = str_after(mode, "container:"))) {
        scoped_free char *id = NULL;
        int r = build_container_ns(b, flag, ref, type, &id, e);
        if (r == 0)
            strv_addf(&b->rec->joins, "%s=%s", type, id);
        return r;
    }
    return err_hint(e, err_msg(e, EINVAL, "%s %s: unknown mode", flag, mode),
                    "known are private, host and container:NAME");
}

/* Private by default: what the caller's cgroups are called is none of the container's business. */
static int build_cgroupns(struct build *b, struct err *e)
{
    spec_namespace_set(b->spec, "cgroup", NULL);
    return simple_ns(b, "--cgroupns", b->o->cgroupns, "cgroup", e);
}

static bool has_own(const struct build *b, const char *type)
{
    const struct spec_namespace *ns = spec_namespace_get(b->spec, type);
    return ns && !ns->path;
}

/* The last group id of those from 0 on without a hole. The kernel compares ids of the host: a range
 * that goes down there would mean nobody. icmp(7) */
static uint32_t last_group(const struct idmap *m)
{
    enum { MAX_GROUP = INT32_MAX };
    uint32_t next = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].inside != next || m->v[i].count == 0)
            continue;
        next += m->v[i].count;
        i = (size_t)-1; /* lines come in any order */
    }
    if (next > MAX_GROUP)
        next = MAX_GROUP;
    return next > 0 && idmap_to_host(m, next - 1) > idmap_to_host(m, 0) ? next - 1 : 0;
}

static int build_sysctl(struct build *b, struct err *e)
{
    struct spec_linux *l = b->spec->linux_;
    bool net = has_own(b, "network"), ipc = has_own(b, "ipc"), uts = has_own(b, "uts");
    if (net && !b->map->single) { /* ping works without a capability, whoever calls it */
        scoped_free char *range =
            xasprintf("net.ipv4.ping_group_range=0 %u", last_group(&b->map->gid));
        strv_env_set(&l->sysctl, range);
    }
    if (net) /* a server binds port 80 there whoever it runs as; the host's ports are another matter
              */
        strv_env_set(&l->sysctl, "net.ipv4.ip_unprivileged_port_start=0");
    for (char **v = b->o->sysctl; v && *v; v++) {
        const char *eq = strchr(*v, '=');
        if (!eq || eq == *v)
            return err_msg(e, EINVAL, "--sysctl %s: not KEY=VALUE", *v);
        scoped_free char *key = xstrndup(*v, (size_t)(eq - *v));
        int r = sysctl_check(key, net, ipc, uts, e);
        if (r < 0)
            return err_add(e, r, "--sysctl");
        strv_env_set(&l->sysctl, *v);
    }
    return 0;
}

/* It becomes a line of /etc/hosts and a word of prompts: nothing that those would read otherwise.
 */
static bool name_is_sane(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = strlen(name);
    return n > 0 && n <= 64 && strspn(name, allowed) == n;
}

static int build_hostname(struct build *b, struct err *e)
{
    const char *name = b->o->hostname;
    if (name && !has_own(b, "uts"))
        return err_msg(e, EINVAL, "--hostname needs a UTS namespace of the container's own");
    if (name && !name_is_sane(name))
        return err_msg(e, EINVAL,
                       "--hostname \"%s\": not 1 to 64 letters, digits, \"-\", \"_\", \".\"", name);
    free(b->spec->hostname);
    b->spec->hostname = NULL;
    if (has_own(b, "uts"))
        b->spec->hostname = name ? xstrdup(name) : xstrndup(b->rec->id, 12);
    if (b->o->domainname) {
        free(b->spec->domainname);
        b->spec->domainname = xstrdup(b->o->domainname);
    }
    return 0;
}

/* The label of podman counts where the user gives it. One of an image's does not: what an image
 * says is no setting. */
static int build_auto_update(struct build *b, char *const *labels, struct err *e)
{
    const char *policy = b->o->auto_update;
    const char *label = strv_env_get(labels, "io.containers.autoupdate");
    if (policy && !streq(policy, "local") && !streq(policy, "registry") &&
        !streq(policy, "disabled"))
        return err_msg(e, EINVAL, "--auto-update %s: not local, registry or disabled", policy);
    b->rec->auto_update = xstrdup(policy ? policy : label);
    return 0;
}

static int build_labels(struct build *b, struct err *e)
{
    if (b->image)
        b->rec->labels = strv_dup(b->image->labels);
    scoped_strv char **all = NULL;
    for (char **f = b->o->label_file; f && *f; f++) {
        int r = build_read_lines(*f, &all, e);
        if (r < 0)
            return err_add(e, r, "--label-file");
    }
    strv_extend(&all, b->o->label);
    int r = build_auto_update(b, all, e);
    if (r < 0)
        return r;
    for (char **l = all; l && *l; l++) {
        scoped_free char *pair = strchr(*l, '=') ? xstrdup(*l) : xasprintf("%s=", *l);
        if (*pair == '=')
            return err_msg(e, EINVAL, "--label %s: no key", *l);
        strv_env_set(&b->rec->labels, pair);
    }
    for (char **a = b->o->annotation; a && *a; a++) {
        const char *eq = strchr(*a, '=');
        if (!eq || eq == *a || str_after(*a, "org.rootlet."))
            return err_msg(e, EINVAL, "--annotation %s: not KEY=VALUE, or a reserved key", *a);
        scoped_free char *key = xstrndup(*a, (size_t)(eq - *a));
        spec_annotate(b->spec, key, eq + 1);
    }
    return 0;
}

void build_maps(struct build *b)
{
    struct spec_linux *l = b->spec->linux_;
    build_map_lines(&b->map->uid, &l->uid_mappings, &l->n_uid_mappings);
    build_map_lines(&b->map->gid, &l->gid_mappings, &l->n_gid_mappings);
}

int build_names(struct build *b, struct err *e)
{
    build_maps(b);
    b->rec->userns = xstrdup(b->o->userns ? b->o->userns : b->conf->userns);
    int r = simple_ns(b, "--pid", b->o->pid, "pid", e);
    if (r == 0)
        r = simple_ns(b, "--ipc", b->o->ipc, "ipc", e);
    if (r == 0)
        r = simple_ns(b, "--uts", b->o->uts, "uts", e);
    if (r == 0)
        r = build_cgroupns(b, e);
    if (r == 0)
        r = build_network(b, e);
    if (r == 0)
        r = build_hostname(b, e);
    if (r == 0)
        r = build_sysctl(b, e);
    return r == 0 ? build_labels(b, e) : r;
}
