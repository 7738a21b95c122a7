/* systemd - the group is that of a scope, which the manager of the system or of the user makes.
 *
 * Its D-Bus interface is spoken by a helper, rootlet-scope, so that no other program links
 * libsystemd. The helper is started with the container's creation and connects while the rest of it
 * goes on; only the call itself and the end of its job are waited for. Delegate=yes: the files of
 * the group are ours to write. systemd.scope(5), CGROUP_DELEGATION of systemd */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"
#include "cgroup/resources.h"
#include "cgroup/scope-helper.h"
#include "cgroup/systemd-unit.h"

struct scope {
    json_t *properties; /* owned */
    char *subgroup;     /* below the scope, for the processes; owned; NULL: none */
    struct scope_helper helper;
};

static struct scope *scope_of(struct cgroup *c)
{
    if (!c->state) {
        struct scope *s = xcalloc(1, sizeof(*s));
        s->helper.sock = -1;
        c->state = s;
    }
    return c->state;
}

/* Not root of the host: the manager of the user, as the system's would ask for a password. */
static bool of_user(const struct cgroup *c)
{
    return c->in_userns || geteuid() != 0;
}

static int helper_start(struct cgroup *c, struct err *e)
{
    struct scope *s = scope_of(c);
    return s->helper.sock >= 0 ? 0 : scope_helper_start(&s->helper, of_user(c), e);
}

/* One request and its answer. pidfd goes along, or is -1. */
static int helper_call(struct cgroup *c, json_t *request, int pidfd, struct err *e)
{
    struct scope *s = scope_of(c);
    int r = helper_start(c, e);
    if (r == 0)
        r = scope_helper_send(&s->helper, request, pidfd, e);
    return r == 0 ? scope_helper_receive(&s->helper, e) : r;
}

static json_t *new_request(const struct cgroup *c, const char *op)
{
    json_t *request = json_object();
    json_object_set_new(request, "op", json_string(op));
    json_object_set_new(request, "unit", json_string(c->unit));
    return request;
}

/* Later ones replace earlier ones: annotations have the last word, but for what is ours. */
static int make_properties(struct cgroup *c, const struct cgroup_request *r, const char *slice,
                           const struct plan *plan, struct err *e)
{
    json_t *list = scope_of(c)->properties = json_array();
    unit_set(list, "Description", "s", json_sprintf("Container %s", r->id));
    unit_set(list, "Slice", "s", json_string(slice));
    unit_set(list, "Delegate", "b", json_true());
    unit_set(list, "DefaultDependencies", "b", json_false());
    unit_set(list, "CollectMode", "s", json_string("inactive-or-failed"));
    unit_set_limits(list, plan, -1);
    return unit_set_annotations(list, r->annotations, e);
}

static int systemd_create(struct cgroup *c, const struct cgroup_request *r, const struct plan *plan,
                          struct err *e)
{
    scoped_free char *slice = NULL;
    scoped_fd int root = cgroup_root_open(e);
    if (root < 0)
        return root;
    int rc = unit_of_path(r->path, r->id, of_user(c), &slice, &c->unit, e);
    if (rc < 0)
        return rc;
    for (char *const *a = r->annotations; a && *a; a++) {
        const char *sub = str_after(*a, "run.oci.systemd.subgroup=");
        if (sub && *sub) {
            free(scope_of(c)->subgroup);
            scope_of(c)->subgroup = xstrdup(sub);
        }
    }
    rc = make_properties(c, r, slice, plan, e);
    return rc < 0 ? rc : helper_start(c, e);
}

/* The group the manager has put the process in. */
static int open_scope(struct cgroup *c, pid_t pid, struct err *e)
{
    int r = cgroup_of_process(pid, &c->path, e);
    if (r < 0)
        return r;
    const char *slash = strrchr(c->path, '/');
    if (!slash || !streq(slash + 1, c->unit))
        return err_msg(e, ESRCH, "scope %s: process %d is in cgroup %s", c->unit, (int)pid,
                       c->path);
    r = cgroup_check_path(c->path, "cgroup of the scope", e);
    if (r < 0)
        return r;
    scoped_fd int root = cgroup_root_open(e);
    if (root < 0)
        return root;
    c->fd = cgroup_dir_open(root, c->path, e);
    return c->fd < 0 ? c->fd : 0;
}

/* run.oci.systemd.subgroup: the processes are in a group below the scope, and the limits too. */
static int enter_subgroup(struct cgroup *c, pid_t pid, struct err *e)
{
    const char *name = scope_of(c)->subgroup;
    if (!name)
        return 0;
    if (strchr(name, '/'))
        return err_msg(e, EINVAL, "annotations: run.oci.systemd.subgroup: \"%s\" is no single name",
                       name);
    if (mkdirat(c->fd, name, 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make cgroup %s in %s", name, c->path);
    scoped_fd int fd = cgroup_dir_open(c->fd, name, e);
    int r = fd < 0 ? fd : cgroup_add_process(fd, name, pid, e);
    if (r < 0)
        return r;
    scoped_strv char **all = cgroup_controllers(c->fd, "cgroup.controllers");
    cgroup_enable(c->fd, all, NULL);
    char *path = xasprintf("%s/%s", c->path, name);
    free(c->path);
    c->path = path;
    fd_close(&c->fd);
    c->fd = take_fd(&fd);
    return 0;
}

static int check_controllers(const struct cgroup *c, struct err *e)
{
    struct plan plan;
    int r = resources_plan(c->pending, false, &plan, e);
    if (r < 0)
        return r;
    scoped_strv char **available = cgroup_controllers(c->fd, "cgroup.controllers");
    r = plan_check(&plan, available, c->path, e);
    plan_release(&plan);
    return r;
}

static int stop(struct cgroup *c, struct err *e)
{
    scoped_json json_t *request = new_request(c, "stop");
    return helper_call(c, request, -1, e);
}

static int systemd_enter(struct cgroup *c, pid_t pid, struct err *e)
{
    if (c->fd >= 0)
        return 0;
    struct scope *s = scope_of(c);
    scoped_json json_t *request = new_request(c, "start");
    json_object_set(request, "properties", s->properties);
    json_object_set_new(request, "pid", json_integer(pid));
    scoped_fd int pidfd = pidfd_open_pid(pid);
    int r = helper_call(c, request, pidfd, e);
    if (r < 0)
        return err_add(e, r, "scope %s", c->unit);
    /* It must not stay for as long as a container runs; while it ends we go on. */
    shutdown(s->helper.sock, SHUT_RDWR);
    r = open_scope(c, pid, e);
    if (r == 0)
        r = check_controllers(c, e);
    if (r == 0)
        r = enter_subgroup(c, pid, e);
    scope_helper_end(&s->helper, NULL);
    if (r < 0)
        stop(c, NULL); /* and what is in it */
    return r;
}

static int systemd_attach(struct cgroup *c, pid_t pid, struct err *e)
{
    return scope_helper_attach(c->path, of_user(c), pid, e);
}

static int systemd_update(struct cgroup *c, const json_t *resources, const struct plan *plan,
                          struct err *e)
{
    (void)resources;
    scoped_json json_t *properties = json_array();
    unit_set_limits(properties, plan, c->fd);
    if (json_array_size(properties) == 0)
        return 0;
    scoped_json json_t *request = new_request(c, "set");
    json_object_set(request, "properties", properties);
    int r = helper_call(c, request, -1, e);
    return r < 0 ? err_add(e, r, "scope %s", c->unit) : 0;
}

/* Without a manager the directory is ours to remove, after a moment in which one that is alive (and
 * only out of our reach) sees that it is empty. */
static int remove_scope(const struct cgroup *c, struct err *e)
{
    scoped_free char *parent = xstrdup(c->path);
    char *at = strstr(parent, c->unit); /* a subgroup is behind it */
    scoped_fd int root = cgroup_root_open(e);
    if (!at || root < 0)
        return root < 0 ? root : err_msg(e, EINVAL, "cgroup %s is not of %s", c->path, c->unit);
    *at = '\0';
    scoped_fd int dir = cgroup_dir_open(root, parent, NULL);
    for (int tries = 0; dir >= 0 && faccessat(dir, c->unit, F_OK, 0) == 0 && tries < 100; tries++)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    return dir < 0 ? 0 : cgroup_remove_tree(dir, c->unit, e);
}

/* Its processes have ended. The manager removes the group: it takes a scope whose group somebody
 * else has removed for one that is active still. The end of the job is waited for, so that the name
 * is free. A scope that never was ours (its name was taken) is not ended. */
static int systemd_destroy(struct cgroup *c, struct err *e)
{
    struct err why = ERR_INIT;
    if (!c->unit || c->fd < 0)
        return 0;
    if (stop(c, &why) == 0)
        return 0;
    log_debug("scope %s: %s", c->unit, why.msg);
    return remove_scope(c, e);
}

static int systemd_load(struct cgroup *c, const json_t *record, struct err *e)
{
    (void)record;
    return c->unit ? 0 : err_msg(e, EINVAL, "record: the cgroup has no unit");
}

static void systemd_release(struct cgroup *c)
{
    struct scope *s = c->state;
    if (!s)
        return;
    scope_helper_end(&s->helper, NULL);
    json_decref(s->properties);
    free(s->subgroup);
    free(s);
    c->state = NULL;
}

const struct cgroup_driver cgroup_driver_systemd = {
    .name = "systemd",
    .create = systemd_create,
    .enter = systemd_enter,
    .attach = systemd_attach,
    .update = systemd_update,
    .destroy = systemd_destroy,
    .load = systemd_load,
    .release = systemd_release,
};
