/* group - the control groups of a supervisor and its container. */
#include "supervise/supervise.h"

#include <errno.h>

#include "base/str.h"
#include "base/strv.h"

int group_begin(struct sup *s, struct err *e)
{
    const struct cgroup_session_request r = {
        .driver = s->groups.driver,
        .id = s->id,
        .parent = s->groups.parent,
        .properties = s->groups.properties,
        .replace = s->lock_fd >= 0,
    };
    return cgroup_session_begin(&r, &s->session, e);
}

int group_begin_recorded(struct sup *s, const struct ctr_record *rec, struct err *e)
{
    if (s->session || s->groups.driver)
        return 0;
    s->groups.driver = rec->cgroups;
    s->groups.parent = rec->cgroup_parent;
    int r = group_begin(s, e);
    s->groups.driver = s->groups.parent = NULL; /* the record's, which goes */
    return r;
}

/* Its root may make groups below its own where it could see and write them; on the host it has this
 * id. 0: nobody. */
static uid_t owner(const struct spec *s)
{
    bool writable = false;
    for (size_t i = 0; i < s->n_mounts; i++) {
        const char *type = s->mounts[i].type;
        writable |= (streq(type, "cgroup") || streq(type, "cgroup2")) &&
                    !strv_has(s->mounts[i].options, "ro");
    }
    const struct spec_linux *l = s->linux_;
    if (!writable || !spec_namespace_get(s, "cgroup"))
        return 0;
    for (size_t i = 0; i < l->n_uid_mappings; i++)
        if (l->uid_mappings[i].container_id == 0)
            return l->uid_mappings[i].host_id;
    return 0;
}

int group_container(struct sup *s, struct err *e)
{
    const json_t *limits = s->spec.linux_ ? s->spec.linux_->resources : NULL;
    cgroup_close(s->cgroup);
    s->cgroup = NULL;
    int r = cgroup_session_container(s->session, limits, owner(&s->spec), &s->cgroup, e);
    if (r < 0 || !s->cgroup)
        return r;
    json_decref(s->state.cgroup);
    s->state.cgroup = cgroup_emit(s->cgroup);
    free(s->state.cgroup_path);
    s->state.cgroup_path = xstrdup(cgroup_path(s->cgroup));
    return 0;
}

void group_end(struct sup *s)
{
    cgroup_close(s->cgroup);
    s->cgroup = NULL;
    cgroup_session_end(s->session);
    s->session = NULL;
}
