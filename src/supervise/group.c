/* group - the control groups of a supervisor and its container. */
#include "supervise/supervise.h"

#include <errno.h>

#include "base/str.h"
#include "base/strv.h"

int group_begin(struct sup *s, const char *driver, const char *parent, struct err *e)
{
    const struct cgroup_session_request r = {
        .driver = driver, .id = s->id, .parent = parent, .replace = s->lock_fd >= 0};
    if (s->session)
        return 0;
    return cgroup_session_begin(&r, &s->session, e);
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
