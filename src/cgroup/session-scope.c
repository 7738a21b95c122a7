/* session-scope - the scope of a supervisor, which the user's (or the system's) systemd makes. */
#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/place.h"
#include "cgroup/session-priv.h"
#include "cgroup/systemd-unit.h"

static int scope_load(struct cgroup *c, const json_t *record, struct err *e)
{
    (void)c, (void)record, (void)e;
    return 0;
}

static int scope_attach(struct cgroup *c, pid_t pid, struct err *e)
{
    return scope_helper_attach(c->path, geteuid() != 0, pid, e);
}

const struct cgroup_driver cgroup_driver_scope = {
    .name = "scope",
    .load = scope_load,
    .attach = scope_attach,
};

void cgroup_session_stop_time(char ***properties, int64_t seconds)
{
    enum { DEFAULT = 90, MARGIN = 10, LONGEST = 1000000 };
    if (seconds > DEFAULT - MARGIN && seconds < LONGEST)
        strv_addf(properties, "TimeoutStopUSec=uint64 %lld",
                  (long long)(seconds + MARGIN) * 1000000);
}

static int make_properties(const struct cgroup_session_request *r, json_t *list, struct err *e)
{
    unit_set(list, "Description", "s", json_sprintf("Container %.12s", r->id));
    unit_set(list, "Slice", "s", json_string(r->parent ? r->parent : "rootlet.slice"));
    unit_set(list, "Delegate", "b", json_true());
    unit_set(list, "CollectMode", "s", json_string("inactive-or-failed"));
    unit_set(list, "OOMPolicy", "s", json_string("continue"));
    for (char *const *p = r->properties; p && *p; p++) {
        int rc = unit_set_property(list, *p, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Logins are beside the user's manager, not below it. */
static bool is_foreign(void)
{
    scoped_free char *own = NULL;
    if (cgroup_of_process(0, &own, NULL) < 0)
        return true;
    scoped_free char *manager = place_manager_group(own);
    return geteuid() != 0 && !str_after(own, manager);
}

int session_scope_begin(struct cgroup_session *s, const struct cgroup_session_request *r,
                        struct err *e)
{
    scoped_json json_t *request = json_object(), *list = json_array();
    int rc = make_properties(r, list, e);
    if (rc == 0)
        rc = scope_helper_start(&s->helper, geteuid() != 0, e);
    if (rc < 0)
        return rc;
    s->foreign = is_foreign();
    json_object_set_new(request, "op", json_string("session"));
    json_object_set_new(request, "unit", json_sprintf("rootlet-%s.scope", s->id));
    json_object_set_new(request, "pid", json_integer(getpid()));
    json_object_set_new(request, "replace", json_boolean(r->replace));
    json_object_set(request, "properties", list);
    scoped_fd int pidfd = pidfd_open_pid(getpid());
    rc = scope_helper_send(&s->helper, request, pidfd, e);
    s->asked = rc == 0;
    return rc;
}

/* We are in supervisor/ now: that tells where the rest is, and how the scope is named. */
static int find_scope(struct cgroup_session *s, struct err *e)
{
    scoped_free char *own = NULL;
    int r = cgroup_of_process(0, &own, e);
    if (r < 0)
        return r;
    char *end = str_ends(own, "/" SESSION_SUPERVISOR) ? strrchr(own, '/') : NULL;
    if (!end)
        return err_msg(e, ESRCH, "systemd has made a scope, but we are in cgroup %s", own);
    *end = '\0';
    scoped_fd int root = cgroup_root_open(e);
    if (root < 0)
        return root;
    s->path = take_ptr(own);
    s->unit = xstrdup(strrchr(s->path, '/') + 1);
    s->fd = cgroup_dir_open(root, s->path, e);
    return s->fd < 0 ? s->fd : 0;
}

int session_scope_await(struct cgroup_session *s, struct err *e)
{
    if (!s->asked)
        return 0;
    s->asked = false;
    int r = scope_helper_receive(&s->helper, e);
    s->lost = r < 0 && s->helper.sock < 0;
    /* It must not stay for as long as a container runs; while it ends we go on. */
    shutdown(s->helper.sock, SHUT_RDWR);
    if (r == 0)
        r = find_scope(s, e);
    s->fresh = r == 0;
    return r < 0 ? err_add(e, r, "make a scope for the container") : 0;
}

/* The helper was killed: the scope may be about to be made, and one whose process ended just then
 * would stay for ever. The manager ends it, and with it us. */
static void stop_scope(struct cgroup_session *s)
{
    /* What the helper has asked for may not have been begun: to stop it would be in vain. */
    bool there = false;
    for (int i = 0; i < 100 && !there; i++) {
        scoped_free char *own = NULL;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        there = cgroup_of_process(0, &own, NULL) == 0 && strstr(own, s->id);
    }
    struct scope_helper h = {.sock = -1};
    scoped_json json_t *request = json_object();
    json_object_set_new(request, "op", json_string("stop"));
    json_object_set_new(request, "unit", json_sprintf("rootlet-%s.scope", s->id));
    if (scope_helper_start(&h, geteuid() != 0, NULL) == 0 &&
        scope_helper_send(&h, request, -1, NULL) == 0)
        scope_helper_receive(&h, NULL);
    scope_helper_end(&h, NULL);
}

void session_scope_end(struct cgroup_session *s)
{
    scope_helper_end(&s->helper, NULL);
    if (s->lost)
        stop_scope(s);
    s->lost = false;
}
