/* driver - what all drivers have in common: one group by its descriptor. */
#include "cgroup/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"
#include "cgroup/devices.h"
#include "cgroup/resources.h"

/* A process that does not end (in uninterruptible sleep) must not hold us for ever. */
#define WAIT_MS 10000

static int disabled_create(struct cgroup *c, const struct cgroup_request *r,
                           const struct plan *plan, struct err *e)
{
    (void)c;
    (void)r;
    if (plan->n == 0)
        return 0;
    return err_hint(e,
                    err_msg(e, ENOTSUP,
                            "linux.resources.%s needs a cgroup, and cgroups are disabled",
                            plan->writes[0].what),
                    "leave out the limit, or --cgroup-manager disabled");
}

const struct cgroup_driver cgroup_driver_disabled = {.name = "disabled", .create = disabled_create};

static const struct cgroup_driver *const drivers[] = {
    &cgroup_driver_systemd,
    &cgroup_driver_cgroupfs,
    &cgroup_driver_scope,
    &cgroup_driver_disabled,
};

static const struct cgroup_driver *find_driver(const char *name)
{
    for (size_t i = 0; i < N_ELEMENTS(drivers); i++)
        if (streq(drivers[i]->name, name))
            return drivers[i];
    return NULL;
}

struct cgroup *cgroup_new(const struct cgroup_driver *driver)
{
    struct cgroup *c = xcalloc(1, sizeof(*c));
    c->driver = driver;
    c->fd = -1;
    return c;
}

void cgroup_close(struct cgroup *c)
{
    if (!c)
        return;
    if (c->driver->release)
        c->driver->release(c);
    fd_close(&c->fd);
    free(c->path);
    free(c->unit);
    json_decref(c->pending);
    free(c);
}

int cgroup_apply(struct cgroup *c, const struct plan *plan, const json_t *resources, bool update,
                 struct err *e)
{
    int r = plan_apply(plan, c->fd, cgroup_path(c), e);
    if (r < 0 || !c->in_userns)
        return r < 0 ? r : devices_apply(resources, c->fd, update, e);
    if (json_array_size(json_object_get(resources, "devices")))
        log_debug("linux.resources.devices: left out, only root of the host can restrict devices");
    return 0;
}

static int check_annotations(char *const *annotations, struct err *e)
{
    for (; annotations && *annotations; annotations++) {
        const char *sub = str_after(*annotations, "run.oci.delegate-cgroup=");
        if (!sub)
            sub = str_after(*annotations, "run.oci.systemd.subgroup=");
        int r = sub ? cgroup_check_path(sub, "annotations: run.oci.* group", e) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* Of a creation: those above it that we have made go as well. */
static void undo(struct cgroup *c)
{
    scoped_fd int root = cgroup_root_open(NULL);
    if (cgroup_destroy(c, NULL) == 0 && c->made && root >= 0)
        cgroup_remove_empty(root, c->path, c->made_above);
}

static int create(struct cgroup *c, const struct cgroup_request *r, const struct plan *plan,
                  struct err *e)
{
    int rc = c->driver->create(c, r, plan, e);
    if (rc < 0 || c->fd < 0) {
        c->pending = rc == 0 ? json_incref((json_t *)r->resources) : NULL;
        return rc;
    }
    rc = cgroup_apply(c, plan, r->resources, false, e);
    if (rc == 0 && r->owner)
        rc = cgroup_delegate(c->fd, r->owner, e);
    if (rc < 0)
        undo(c);
    return rc;
}

int cgroup_create(const struct cgroup_request *r, struct cgroup **ret, struct err *e)
{
    const struct cgroup_driver *driver = find_driver(r->driver);
    if (!driver)
        return err_hint(e, err_msg(e, EINVAL, "cgroup manager %s: unknown", r->driver),
                        "known are systemd, cgroupfs and disabled");
    int rc = check_annotations(r->annotations, e);
    if (rc < 0)
        return rc;
    struct plan plan;
    rc = devices_check(r->resources, e);
    if (rc == 0)
        rc = resources_plan(r->resources, false, &plan, e);
    if (rc < 0)
        return rc;
    struct cgroup *c = cgroup_new(driver);
    c->in_userns = r->in_userns;
    c->owner = r->owner;
    rc = create(c, r, &plan, e);
    plan_release(&plan);
    if (rc < 0)
        cgroup_close(c);
    else
        *ret = c;
    return rc;
}

int cgroup_clone_fd(const struct cgroup *c)
{
    return c ? c->fd : -1;
}

const char *cgroup_path(const struct cgroup *c)
{
    return c && c->path ? c->path : "";
}

static int apply_pending(struct cgroup *c, struct err *e)
{
    struct plan plan;
    int r = resources_plan(c->pending, false, &plan, e);
    if (r < 0)
        return r;
    r = cgroup_apply(c, &plan, c->pending, false, e);
    if (r == 0 && c->owner)
        r = cgroup_delegate(c->fd, c->owner, e);
    plan_release(&plan);
    json_decref(take_ptr(c->pending));
    return r;
}

int cgroup_enter(struct cgroup *c, pid_t pid, struct err *e)
{
    bool first = c->fd < 0;
    int r = c->driver->enter ? c->driver->enter(c, pid, e) : 0;
    if (r < 0 || c->fd < 0)
        return r;
    if (first)
        return apply_pending(c, e); /* enter has put it there */
    r = cgroup_add_process(c->fd, c->path, pid, e);
    if (r != -EACCES || !c->driver->attach)
        return r;
    /* Between our session and a group of the user's manager lies what only the manager may cross.
     */
    struct err why = ERR_INIT;
    int attached = c->driver->attach(c, pid, &why);
    if (attached < 0)
        log_debug("%s", why.msg);
    else if (e)
        err_clear(e);
    return attached < 0 ? r : 0;
}

json_t *cgroup_emit(const struct cgroup *c)
{
    json_t *record = json_object();
    json_object_set_new(record, "driver", json_string(c->driver->name));
    if (c->path) {
        json_object_set_new(record, "path", json_string(c->path));
        json_object_set_new(record, "made", json_boolean(c->made));
    }
    if (c->unit)
        json_object_set_new(record, "unit", json_string(c->unit));
    if (c->in_userns)
        json_object_set_new(record, "inUserns", json_true());
    if (c->driver->emit)
        c->driver->emit(c, record);
    return record;
}

static int open_recorded(struct cgroup *c, const char *path, struct err *e)
{
    int r = cgroup_check_path(path, "record: cgroup path", e);
    if (r < 0)
        return r;
    scoped_fd int root = cgroup_root_open(e);
    if (root < 0)
        return root;
    c->path = xstrdup(path);
    c->fd = cgroup_dir_open(root, path, e);
    return c->fd < 0 ? c->fd : 0;
}

int cgroup_load(const json_t *record, struct cgroup **ret, struct err *e)
{
    const char *name = record ? json_string_value(json_object_get(record, "driver")) : "disabled";
    const char *path = json_string_value(json_object_get(record, "path"));
    const char *unit = json_string_value(json_object_get(record, "unit"));
    const struct cgroup_driver *driver = name ? find_driver(name) : NULL;
    if (!driver)
        return err_msg(e, EINVAL, "record: cgroup driver %s is unknown", name ? name : "(none)");
    struct cgroup *c = cgroup_new(driver);
    c->made = json_is_true(json_object_get(record, "made"));
    c->in_userns = json_is_true(json_object_get(record, "inUserns"));
    c->unit = xstrdup(unit);
    int r = driver->load ? driver->load(c, record, e) : 0;
    if (r == 0 && path)
        r = open_recorded(c, path, e);
    if (r < 0)
        cgroup_close(c);
    else
        *ret = c;
    return r;
}

int cgroup_need(const struct cgroup *c, const char *what, struct err *e)
{
    if (c && c->fd >= 0)
        return 0;
    return err_hint(e, err_msg(e, ENOTSUP, "%s needs a cgroup, and the container has none", what),
                    "it was made with cgroups disabled, or where none could be made");
}

/* path is of a group at or below c's: its descriptor. */
static int open_below(const struct cgroup *c, const char *path, struct cgroup **ret, struct err *e)
{
    path += strspn(path, "/");
    int fd = cgroup_dir_open(c->fd, path, NULL);
    if (fd < 0)
        return err_set(e, -fd, "open cgroup %s below %s", path, c->path);
    struct cgroup *child = cgroup_new(c->driver);
    child->fd = fd;
    child->in_userns = c->in_userns;
    child->unit = xstrdup(c->unit);
    child->path = *path ? xasprintf("%s/%s", c->path, path) : xstrdup(c->path);
    *ret = child;
    return 0;
}

int cgroup_open_child(const struct cgroup *c, const char *path, pid_t init, struct cgroup **ret,
                      struct err *e)
{
    int r = path ? cgroup_need(c, "exec --cgroup", e) : 0;
    if (r < 0)
        return r;
    if (c->fd < 0) {
        *ret = cgroup_new(&cgroup_driver_disabled);
        return 0;
    }
    if (path) {
        r = cgroup_check_path(path, "--cgroup", e);
        return r < 0 ? r : open_below(c, path, ret, e);
    }
    scoped_strv char **down = cgroup_controllers(c->fd, "cgroup.subtree_control");
    scoped_free char *where = NULL;
    const char *below = NULL;
    if (down && *down && init > 0 && cgroup_of_process(init, &where, NULL) == 0)
        below = str_after(where, c->path);
    return open_below(c, below && *below == '/' ? below : "", ret, e);
}

int cgroup_update(struct cgroup *c, const json_t *resources, struct err *e)
{
    int r = cgroup_need(c, "update", e);
    if (r < 0)
        return r;
    struct plan plan;
    r = devices_check(resources, e);
    if (r == 0)
        r = resources_plan(resources, true, &plan, e);
    if (r < 0)
        return r;
    scoped_strv char **available = cgroup_controllers(c->fd, "cgroup.controllers");
    r = plan_check(&plan, available, c->path, e);
    if (r == 0 && c->driver->update)
        r = c->driver->update(c, resources, &plan, e);
    if (r == 0)
        r = cgroup_apply(c, &plan, resources, true, e);
    plan_release(&plan);
    return r;
}

static int end_processes(struct cgroup *c, struct err *e)
{
    int r = cgroup_kill(c, 9, e);
    if (r < 0)
        return r;
    r = cgroup_wait_event(c->fd, "populated", 0, WAIT_MS);
    if (r == -ETIMEDOUT)
        return err_msg(e, EBUSY, "cgroup %s: its processes do not end after SIGKILL", c->path);
    return 0;
}

static int remove_group(struct cgroup *c, struct err *e)
{
    scoped_free char *parent = xstrdup(c->path);
    char *name = strrchr(parent, '/');
    if (!name || !name[1])
        return err_msg(e, EINVAL, "cgroup %s is not to be removed", c->path);
    *name++ = '\0';
    scoped_fd int root = cgroup_root_open(e);
    if (root < 0)
        return root;
    scoped_fd int fd = cgroup_dir_open(root, parent, NULL);
    if (fd == -ENOENT)
        return 0;
    int r = fd < 0 ? err_set(e, -fd, "open cgroup %s", parent) : cgroup_remove_tree(fd, name, e);
    return r < 0 ? err_add(e, r, "cgroup %s", c->path) : 0;
}

int cgroup_destroy(struct cgroup *c, struct err *e)
{
    int r = 0;
    if (c->fd >= 0) {
        if (cgroup_wait_event(c->fd, "populated", 0, 0) != 0)
            r = end_processes(c, e);
        if (r == 0 && c->made)
            r = remove_group(c, e);
    }
    return r == 0 && c->driver->destroy ? c->driver->destroy(c, e) : r;
}
