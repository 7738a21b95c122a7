/* psfilter - see psfilter.h. */
#include "cli/psfilter.h"

#include <errno.h>
#include <stdlib.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "cli/cli.h"
#include "cli/filter.h"
#include "container/restart.h"
#include "net/ports.h"
#include "network/store.h"

static const char *const keys[] = {
    "id",    "name",    "status",  "label",  "ancestor", "exited",         "before",
    "since", "network", "command", "volume", "health",   "restart-policy", "should-start-on-boot",
    "pod",   "until",   "publish", "expose", NULL};

static int status_known(const char *value)
{
    for (int i = CTR_CREATED; ctr_status_names[i]; i++)
        if (streq(value, ctr_status_names[i]))
            return 1;
    return 0;
}

/* Of a filter about ports: "80" (tcp), "53/udp", "8000-8010/tcp". */
static bool port_bad(const char *key, const char *value)
{
    struct net_port p;
    return (streq(key, "publish") || streq(key, "expose")) &&
           net_port_parse_container(value, &p, NULL) < 0;
}

static int check_value(const char *term, const char *key, struct err *e)
{
    const char *value = filter_value(term);
    int64_t when;
    if (streq(key, "status") && !status_known(value))
        return err_hint(e, err_msg(e, EINVAL, "--filter %s: unknown status", term),
                        "known: created, starting, running, paused, restarting, stopped, exited, "
                        "dead");
    if (streq(key, "name") && filter_name("", value) < 0)
        return err_hint(e, err_msg(e, EINVAL, "--filter %s: not a regular expression", term),
                        "a part of the name, or for example name=^web$");
    if (streq(key, "until") && time_parse(value, &when) < 0)
        return err_hint(e, err_msg(e, EINVAL, "--filter %s: not a time", term),
                        "for example until=2026-01-31T12:00:00Z, or until=10m");
    if (port_bad(key, value))
        return err_hint(e, err_msg(e, EINVAL, "--filter %s: not a port of containers", term),
                        "for example %s=80, or %s=8000-8010/udp", key, key);
    return 0;
}

int ps_filter_parse(char *const *terms, struct ps_filter *ret, struct err *e)
{
    struct ps_filter f = {0};
    for (char *const *t = terms; t && *t; t++) {
        scoped_free char *key = NULL;
        int r = filter_check(*t, keys, &key, e);
        r = r < 0 ? r : check_value(*t, key, e);
        if (r < 0)
            return r;
        f.has_status |= streq(key, "status") || streq(key, "exited");
    }
    f.terms = strv_dup(terms);
    *ret = f;
    return 0;
}

/* Who has this volume is in the records, which a list does not read. */
static int find_users(struct ps_filter *f, const char *term, struct err *e)
{
    scoped_strv char **ids = NULL;
    const char *rest = str_after(term, "volume"), *value = filter_value(term);
    if (!rest || (*rest != '=' && *rest != '!'))
        return 0;
    int r = container_volume_users(cli_conf(), value, &ids, e);
    for (char **id = ids; id && *id; id++)
        strv_addf(&f->users, "%s %s", value, *id);
    return r;
}

/* A member of a pod has the networks of the pod's own container. */
static void find_shared(struct ps_filter *f, const struct ctr_state *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!list[i].pod_id || !strv_has(list[i].networks, "container"))
            continue;
        for (size_t k = 0; k < n; k++)
            for (char **v = streq(list[k].id, list[i].pod_id) ? list[k].networks : NULL; v && *v;
                 v++)
                strv_addf(&f->shared, "%s %s", *v, list[i].id);
    }
}

int ps_filter_resolve(struct ps_filter *f, const struct ctr_state *list, size_t n, struct err *e)
{
    for (char **t = f->terms; t && *t; t++) {
        const char *before = str_after(*t, "before="), *since = str_after(*t, "since=");
        const char *ref = before ? before : since;
        size_t i = 0;
        int r = find_users(f, *t, e);
        if (r < 0)
            return r;
        if (str_after(*t, "network") && !f->shared)
            find_shared(f, list, n);
        if (!ref)
            continue;
        while (i < n && !streq(list[i].name, ref) && !str_after(list[i].id, ref))
            i++;
        if (i == n)
            return err_msg(e, ENOENT, "--filter %s: no such container", *t);
        *(before ? &f->before_ns : &f->since_ns) = list[i].created_ns;
    }
    return 0;
}

static bool is_in(const struct ps_filter *f, const struct ctr_state *s, const char *network)
{
    scoped_free char *shared = xasprintf("%s %s", network, s->id);
    return strv_has(s->networks, network) || strv_has(f->shared, shared);
}

/* By the name, or the beginning of the id of one that has a name. */
static bool network_matches(const struct ps_filter *f, const struct ctr_state *s, const char *value)
{
    scoped_network_config struct network_config n = {.name = NULL};
    struct err ignored = ERR_INIT;
    if (is_in(f, s, value))
        return true;
    return id_is_hex(value) && network_open(cli_conf(), value, &n, &ignored) == 0 &&
           is_in(f, s, n.name);
}

static bool image_matches(const char *image, const char *value)
{
    if (!image)
        return false;
    const char *name = strrchr(image, '/') ? strrchr(image, '/') + 1 : image;
    size_t n = strlen(value);
    return streq(image, value) || streq(name, value) ||
           (strncmp(name, value, n) == 0 && name[n] == ':') ||
           (strncmp(image, value, n) == 0 && image[n] == ':');
}

static bool read_record(const struct ctr_state *s, struct ctr_record *ret)
{
    scoped_free char *path = xasprintf("containers/%s", s->id);
    scoped_fd int dir_fd = conf_open_root(cli_conf(), path, false, NULL);
    return dir_fd >= 0 && container_read_record(dir_fd, ret, NULL) >= 0;
}

/* The state does not tell the policy, which `update` can change: the record does. */
static bool policy_matches(const struct ctr_state *s, const char *key, const char *value)
{
    struct ctr_record rec = {0};
    char boot_id[40] = "";
    if (!read_record(s, &rec))
        return false;
    (void)!proc_boot_id(boot_id);
    const char *policy = rec.restart_policy ? rec.restart_policy : "no";
    bool hit = streq(key, "restart-policy")
                   ? streq(policy, value)
                   : restart_at_boot(policy, s, boot_id) == streq(value, "true");
    ctr_record_release(&rec);
    return hit;
}

/* Do the container's ports have one in common? */
static bool ports_meet(const struct net_port *a, const struct net_port *b)
{
    return a->proto == b->proto && a->ctr < (uint32_t)b->ctr + b->count &&
           b->ctr < (uint32_t)a->ctr + a->count;
}

/* What it publishes: while it runs by its state, as ports come and go; else what it will. As with
 * docker it is the container's port that counts, and what is published is exposed, too. */
static bool port_matches(const struct ctr_state *s, const char *key, const char *value)
{
    struct ctr_record rec = {0};
    struct net_port want, p[2] = {{.count = 0}};
    bool hit = false, alive = s->status == CTR_RUNNING || s->status == CTR_PAUSED;
    if (net_port_parse_container(value, &want, NULL) < 0)
        return false;
    for (char **t = s->ports; alive && t && *t; t++)
        hit = hit || (net_port_parse_shown(*t, &p[0]) == 0 && ports_meet(&want, &p[0]));
    if (hit || !read_record(s, &rec))
        return hit;
    for (char **t = alive ? NULL : rec.network.ports; t && *t; t++) {
        int n = net_port_parse(*t, p, NULL);
        for (int i = 0; i < n; i++)
            hit = hit || ports_meet(&want, &p[i]);
    }
    for (char **t = streq(key, "expose") ? rec.network.expose : NULL; t && *t; t++)
        hit = hit || (net_port_parse_container(*t, &p[0], NULL) == 0 && ports_meet(&want, &p[0]));
    ctr_record_release(&rec);
    return hit;
}

struct candidate {
    const struct ps_filter *f;
    const struct ctr_state *s;
};

static bool term_matches(const void *data, const char *key, const char *value)
{
    const struct candidate *c = data;
    const struct ps_filter *f = c->f;
    const struct ctr_state *s = c->s;
    uint32_t code;
    if (streq(key, "id"))
        return str_after(s->id, value) != NULL;
    if (streq(key, "name"))
        return s->name && filter_name(s->name, value) > 0;
    if (streq(key, "status")) /* docker knows no "stopped": what a user stopped has exited, too */
        return streq(ctr_status_names[s->status], value) ||
               (streq(value, "exited") && s->status == CTR_STOPPED);
    if (streq(key, "label"))
        return filter_label(s->labels, value);
    if (streq(key, "ancestor"))
        return image_matches(s->image, value);
    if (streq(key, "exited"))
        return (s->status == CTR_EXITED || s->status == CTR_STOPPED) &&
               parse_u32(value, &code) == 0 && (uint32_t)s->exit_code == code;
    if (streq(key, "before"))
        return s->created_ns < f->before_ns;
    if (streq(key, "since"))
        return s->created_ns > f->since_ns;
    int64_t when;
    if (streq(key, "until")) /* made before this point in time */
        return time_parse(value, &when) == 0 && s->created_ns < when;
    if (streq(key, "network"))
        return network_matches(f, s, value);
    if (streq(key, "volume")) {
        scoped_free char *user = xasprintf("%s %s", value, s->id);
        return strv_has(f->users, user);
    }
    if (streq(key, "pod"))
        return s->pod_id && (streq(s->pod, value) || str_after(s->pod_id, value));
    if (streq(key, "command"))
        return s->command && strstr(s->command, value);
    if (streq(key, "health")) /* docker's "none": it has no check */
        return streq(s->health && *s->health ? s->health : "none", value);
    if (streq(key, "restart-policy") || streq(key, "should-start-on-boot"))
        return policy_matches(s, key, value);
    if (streq(key, "publish") || streq(key, "expose"))
        return port_matches(s, key, value);
    return false;
}

bool ps_filter_match(const struct ps_filter *f, const struct ctr_state *s)
{
    return filter_match(f->terms, term_matches, &(struct candidate){f, s});
}

void ps_filter_release(struct ps_filter *f)
{
    strv_free(f->terms);
    strv_free(f->users);
    strv_free(f->shared);
    *f = (struct ps_filter){0};
}

static int by_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

#define COMPARE(name, expression)                                                                  \
    static int name(const void *pa, const void *pb)                                                \
    {                                                                                              \
        const struct ctr_state *a = pa, *b = pb;                                                   \
        return expression;                                                                         \
    }
COMPARE(by_created, (a->created_ns > b->created_ns) - (a->created_ns < b->created_ns))
COMPARE(by_command, by_text(a->command, b->command))
COMPARE(by_id, by_text(a->id, b->id))
COMPARE(by_image, by_text(a->image, b->image))
COMPARE(by_name, by_text(a->name, b->name))
COMPARE(by_started, (a->started_ns < b->started_ns) - (a->started_ns > b->started_ns))
COMPARE(by_status, a->status - b->status)

int ps_sort(struct ctr_state *list, size_t n, const char *key, struct err *e)
{
    static const struct {
        const char *key;
        int (*compare)(const void *a, const void *b);
    } orders[] = {
        {"created", by_created}, {"command", by_command}, {"id", by_id},
        {"image", by_image},     {"names", by_name},      {"runningfor", by_started},
        {"status", by_status},   {"size", by_created},
    };
    for (size_t i = 0; i < N_ELEMENTS(orders); i++) {
        if (!streq(orders[i].key, key))
            continue;
        if (n > 1)
            qsort(list, n, sizeof(*list), orders[i].compare);
        return 0;
    }
    return err_hint(e, err_msg(e, EINVAL, "--sort %s: unknown key", key),
                    "known: created, command, id, image, names, runningfor, size, status");
}
