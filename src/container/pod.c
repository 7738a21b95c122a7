/* pod - see pod.h. */
#include "container/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/lock.h"
#include "base/opt.h"
#include "base/str.h"
#include "base/strv.h"

#define UNIT_NAME_MAX 255

bool pod_is_infra(const struct ctr_state *s)
{
    return s->pod_id && streq(s->pod_id, s->id);
}

/* A pod whose infra container is being removed is none any more. */
static void add_pod(const struct conf *c, struct pod_set *s, const struct ctr_state *infra)
{
    struct err gone = ERR_INIT;
    struct pod p = {.infra.dir_fd = -1};
    if (container_open_id(c, infra->id, &p.infra, &gone) < 0)
        return;
    if (!p.infra.rec.pod) { /* its record is broken */
        p.infra.rec.pod = xstrdup(infra->pod);
        p.infra.rec.pod_infra = true;
    }
    p.members = xcalloc(s->n_states, sizeof(struct ctr_state *));
    for (size_t i = 0; i < s->n_states; i++)
        if (!pod_is_infra(&s->states[i]) && streq(s->states[i].pod_id, infra->id))
            p.members[p.n++] = &s->states[i];
    s->v = xrealloc(s->v, (s->n + 1) * sizeof(*s->v));
    s->v[s->n++] = p;
}

int pod_set_load(const struct conf *c, struct pod_set *ret, struct err *e)
{
    struct pod_set s = {.n = 0};
    int r = container_list(c, &s.states, &s.n_states, e);
    for (size_t i = 0; r == 0 && i < s.n_states; i++)
        if (pod_is_infra(&s.states[i]))
            add_pod(c, &s, &s.states[i]);
    *ret = s;
    return r;
}

void pod_set_release(struct pod_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        container_release(&s->v[i].infra);
        free(s->v[i].members);
    }
    free(s->v);
    container_list_free(s->states, s->n_states);
    *s = (struct pod_set){.n = 0};
}

int pod_find(const struct pod_set *s, const char *ref, const struct pod **ret, struct err *e)
{
    const struct pod *found = NULL;
    scoped_free const char **names = xcalloc(s->n + 1, sizeof(*names));
    for (size_t i = 0; i < s->n; i++) {
        names[i] = s->v[i].infra.rec.pod;
        if (streq(names[i], ref)) {
            *ret = &s->v[i];
            return 0;
        }
    }
    for (size_t i = 0; i < s->n && id_is_hex(ref); i++) {
        if (!str_after(s->v[i].infra.id, ref))
            continue;
        if (found)
            return err_msg(e, EEXIST, "\"%s\" begins the ids of several pods", ref);
        found = &s->v[i];
    }
    *ret = found;
    if (found)
        return 0;
    const char *close = opt_suggest(ref, names);
    int r = err_msg(e, ENOENT, "no such pod: \"%s\"", ref);
    return close ? err_hint(e, r, "did you mean \"%s\"?", close) : r;
}

const char *pod_status(const struct pod *p)
{
    size_t count[CTR_RESTARTING + 1] = {0}, up, total = p->n + 1;
    for (size_t i = 0; i < p->n; i++)
        count[p->members[i]->status]++;
    /* The infra has nothing to do that could be paused. */
    if (count[CTR_PAUSED] > 0 && count[CTR_RUNNING] == 0)
        return "Paused";
    count[p->infra.state.status]++;
    up = count[CTR_RUNNING] + count[CTR_STARTING];
    if (count[CTR_DEAD] == total)
        return "Dead";
    if (up == total)
        return "Running";
    if (up > 0)
        return "Degraded";
    if (count[CTR_CREATED] == total)
        return "Created";
    return count[CTR_STOPPED] == total ? "Stopped" : "Exited";
}

int pod_lock(const struct conf *c, bool exclusive, struct err *e)
{
    scoped_fd int fd = conf_open_root(c, "containers", true, e);
    if (fd < 0)
        return fd;
    int r = lock_fd(fd, exclusive ? LOCK_EXCLUSIVE : LOCK_SHARED, -1, "the pods", e);
    return r < 0 ? r : take_fd(&fd);
}

bool pod_shares(const struct ctr_record *infra, const char *type)
{
    return strv_has(infra->pod_share, type);
}

char *pod_slice(const char *name)
{
    /* A dash would be a slice within a slice; systemd.unit(5), string escaping. */
    scoped_str struct str s = STR_INIT;
    for (const char *p = name; *p; p++) {
        if (*p == '-')
            str_add(&s, "\\x2d");
        else
            str_addc(&s, *p);
    }
    char *slice = xasprintf("rootlet-pod-%s.slice", s.s);
    if (strlen(slice) > UNIT_NAME_MAX) /* none of its own then */
        free(take_ptr(slice));
    return slice;
}
