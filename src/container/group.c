/* group - the control group of a container, from what its state says. */
#include <errno.h>

#include "base/str.h"
#include "container/container-priv.h"

/* ".../rootlet-ID[-HEX].scope/container", as all of them are called. */
bool group_is_own(const struct ctr_state *s)
{
    const char *driver = json_string_value(json_object_get(s->cgroup, "driver"));
    const char *path = json_string_value(json_object_get(s->cgroup, "path"));
    scoped_free char *name = xasprintf("/rootlet-%s", s->id ? s->id : "");
    const char *at = path ? strstr(path, name) : NULL;
    if (!at || !streq(driver, "scope") || strlen(name) != strlen("/rootlet-") + ID_LEN)
        return false;
    at += strlen(name);
    const char *slash = strchr(at, '/');
    return (*at == '.' || *at == '-') && slash && str_ends(path, ".scope/container") &&
           strlen(slash) == strlen("/container");
}

int container_cgroup(const struct container *c, struct cgroup **ret, struct err *e)
{
    const struct ctr_state *s = &c->state;
    if (s->status != CTR_RUNNING && s->status != CTR_PAUSED && s->status != CTR_STARTING)
        return err_msg(e, ESRCH, "the container is not running (%s)", ctr_status_names[s->status]);
    if (!json_is_object(s->cgroup)) {
        int r = err_msg(e, ENOTSUP, "the container has no cgroup");
        if (c->rec.cgroups && !streq(c->rec.cgroups, "disabled"))
            return err_hint(e, r, "start it anew: rootlet restart %s", c->rec.name);
        return err_hint(e, r,
                        "it was made without one; \"rootlet doctor\" tells what keeps cgroups "
                        "from being used");
    }
    if (!group_is_own(s))
        return err_msg(e, EINVAL, "its state names a cgroup that is not the container's");
    struct err why = ERR_INIT;
    int r = cgroup_load(s->cgroup, ret, &why);
    if (r == -ENOENT)
        return err_msg(e, ESRCH, "the container has just ended");
    if (r < 0 && e)
        *e = why;
    return r;
}
