/* session - see session.h; here what all drivers share, and groups that we make ourselves.
 *
 * In place, several containers of one unit (a script starts them) live beside each other: each has
 * a group of its own below the unit's, as it would have a scope of its own. The unit's own
 * processes go to a leaf beside them. systemd does not mind: to it all of it is the unit. */
#include "cgroup/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/place.h"
#include "cgroup/resources.h"
#include "cgroup/session-priv.h"

/* What a container gets whether it has limits or not; see cgroupfs.c. */
static const char *const usual[] = {"cpu", "cpuset", "io", "memory", "pids"};

static void session_free(struct cgroup_session *s)
{
    free(s->driver);
    free(s->id);
    free(s->path);
    free(s->origin);
    free(s->unit);
    fd_close(&s->fd);
    free(s);
}

/* --- groups that we make --- */

/* As /proc/PID/cgroup writes it, with which it is compared: "a//b/" is "/a/b". */
static char *as_kernel(const char *path)
{
    scoped_strv char **parts = strv_split(path, "/", false);
    scoped_free char *joined = strv_join(parts, "/");
    return joined && *joined ? xasprintf("/%s", joined) : xstrdup("");
}

static int find_base(const struct cgroup_session *s, const char *parent, char **ret, struct err *e)
{
    if (parent)
        *ret = as_kernel(parent);
    else if (streq(s->driver, "inplace"))
        *ret = place_unit(s->origin, true);
    else
        *ret = place_group(s->origin);
    return *ret ? 0
                : err_msg(e, EPERM, "no group around %s is delegated to us any more", s->origin);
}

/* Lets the groups in base have controllers. One that holds processes hands nothing down: if they
 * are ours to move, which is so in our own group and in our unit, they go to a leaf first,
 * ourselves among them. */
static void open_up(int base_fd, const char *base, bool ours)
{
    scoped_strv char **here = cgroup_controllers(base_fd, "cgroup.controllers");
    scoped_strv char **want = NULL;
    struct err why = ERR_INIT;
    for (size_t i = 0; i < N_ELEMENTS(usual); i++)
        if (strv_has(here, usual[i]))
            strv_add(&want, usual[i]);
    int failed = 0;
    cgroup_enable(base_fd, want, &failed);
    if (failed != EBUSY || !ours)
        return;
    if (cgroup_evacuate(base_fd, SESSION_LEAF, &why) < 0)
        log_debug("cgroup %s: %s", base, why.msg);
    else
        cgroup_enable(base_fd, want, NULL);
}

static int make_whole(struct cgroup_session *s, const char *base, struct err *e)
{
    scoped_fd int root = cgroup_root_open(e);
    if (root < 0)
        return root;
    scoped_fd int base_fd = cgroup_dir_open(root, base, e);
    if (base_fd < 0)
        return base_fd;
    open_up(base_fd, base, streq(s->driver, "inplace") || streq(base, s->origin));
    scoped_free char *name = xasprintf("rootlet-%s.scope", s->id);
    if (mkdirat(base_fd, name, 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make cgroup %s in %s", name, *base ? base : "/");
    s->made = true;
    s->path = xasprintf("%s/%s", base, name);
    s->fd = cgroup_dir_open(base_fd, name, e);
    return s->fd < 0 ? s->fd : 0;
}

/* The path of --cgroup-parent may be new. */
static int make_parents(const char *path, struct err *e)
{
    scoped_fd int at = cgroup_root_open(e);
    scoped_strv char **parts = strv_split(path, "/", false);
    for (char **p = parts; at >= 0 && p && *p; p++) {
        int next = cgroup_dir_open(at, *p, NULL);
        if (next == -ENOENT) {
            if (mkdirat(at, *p, 0755) < 0 && errno != EEXIST)
                return err_set(e, errno, "--cgroup-parent %s: make cgroup %s", path, *p);
            next = cgroup_dir_open(at, *p, e);
        }
        if (next < 0)
            return err_set(e, -next, "--cgroup-parent %s: open cgroup %s", path, *p);
        open_up(at, path, false);
        fd_close(&at);
        at = next;
    }
    return at < 0 ? at : 0;
}

static int go_to_supervisor(struct cgroup_session *s, struct err *e)
{
    if (mkdirat(s->fd, SESSION_SUPERVISOR, 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make cgroup " SESSION_SUPERVISOR " in %s", s->path);
    scoped_fd int fd = cgroup_dir_open(s->fd, SESSION_SUPERVISOR, e);
    return fd < 0 ? fd : cgroup_add_process(fd, s->path, getpid(), e);
}

static int begin_directory(struct cgroup_session *s, const char *parent, struct err *e)
{
    scoped_free char *base = NULL;
    int r = cgroup_of_process(0, &s->origin, e);
    if (r == 0 && parent)
        r = cgroup_check_path(parent, "--cgroup-parent", e);
    if (r == 0 && parent)
        r = make_parents(parent, e);
    if (r == 0)
        r = find_base(s, parent, &base, e);
    if (r == 0)
        r = make_whole(s, base, e);
    if (r == 0) {
        /* In the base itself we may not stay; and where we come from must be there at our end. */
        free(s->origin);
        s->origin = NULL;
        r = cgroup_of_process(0, &s->origin, e);
    }
    return r == 0 ? go_to_supervisor(s, e) : r;
}

/* --- all --- */

int cgroup_session_begin(const struct cgroup_session_request *r, struct cgroup_session **ret,
                         struct err *e)
{
    *ret = NULL;
    if (!r->driver || streq(r->driver, "disabled"))
        return 0;
    struct cgroup_session *s = xcalloc(1, sizeof(*s));
    s->fd = s->helper.sock = -1;
    s->driver = xstrdup(r->driver);
    s->id = xstrdup(r->id);
    int rc;
    if (streq(r->driver, "systemd"))
        rc = session_scope_begin(s, r, e);
    else if (streq(r->driver, "inplace") || streq(r->driver, "cgroupfs"))
        rc = begin_directory(s, r->parent, e);
    else
        rc = err_msg(e, EINVAL, "cgroup driver %s: unknown", r->driver);
    if (rc < 0) {
        cgroup_session_end(s);
        return rc;
    }
    *ret = s;
    return 0;
}

/* A group of an earlier run of this container, with what is in it. */
static int clear_container(struct cgroup_session *s, struct err *e)
{
    if (s->fresh)
        return 0;
    scoped_fd int fd = cgroup_dir_open(s->fd, SESSION_CONTAINER, NULL);
    if (fd < 0)
        return fd == -ENOENT ? 0 : err_set(e, -fd, "open cgroup %s/" SESSION_CONTAINER, s->path);
    struct cgroup *c = cgroup_new(&cgroup_driver_scope);
    c->fd = take_fd(&fd);
    c->path = xasprintf("%s/" SESSION_CONTAINER, s->path);
    c->made = true;
    int r = cgroup_destroy(c, e);
    cgroup_close(c);
    return r;
}

/* Controllers that systemd knows nothing of (hugetlb) it leaves alone: where the user's manager was
 * given one, it comes down to the scope by us. */
static void fetch_others(const struct cgroup_session *s, char *const *want)
{
    if (!s->unit || !want)
        return;
    scoped_strv char **have = cgroup_controllers(s->fd, "cgroup.controllers");
    scoped_strv char **missing = NULL;
    for (; *want; want++)
        if (!strv_has(have, *want))
            strv_add(&missing, *want);
    if (!missing)
        return;
    scoped_free char *base = place_manager_group(s->path), *at = xstrdup(s->path);
    scoped_fd int root = cgroup_root_open(NULL);
    for (size_t i = streq(base, "/") ? 0 : strlen(base); root >= 0 && at[i]; i++) {
        if (at[i] != '/')
            continue;
        at[i] = '\0';
        scoped_fd int fd = cgroup_dir_open(root, at, NULL);
        if (fd >= 0)
            cgroup_enable(fd, missing, NULL);
        at[i] = '/';
    }
}

/* Hands down what is planned and what is usual, as far as it is there. */
static int hand_down(struct cgroup_session *s, const struct plan *plan, struct err *e)
{
    scoped_strv char **want = strv_dup(plan->controllers);
    fetch_others(s, want);
    for (size_t i = 0; i < N_ELEMENTS(usual); i++)
        if (!strv_has(want, usual[i]))
            strv_add(&want, usual[i]);
    int failed = 0;
    if (!s->fresh || plan->controllers) /* else it is done */
        cgroup_enable(s->fd, want, &failed);
    if (!plan->controllers)
        return 0;
    scoped_strv char **on = cgroup_controllers(s->fd, "cgroup.subtree_control");
    int r = plan_check(plan, on, s->path, e);
    return r < 0 && failed == EBUSY ? err_hint(e, r, "the group holds processes of its own") : r;
}

static int make_container(struct cgroup_session *s, struct cgroup *c, struct err *e)
{
    if (!s->fresh && mkdirat(s->fd, SESSION_CONTAINER, 0755) < 0)
        return err_set(e, errno, "make cgroup " SESSION_CONTAINER " in %s", s->path);
    s->fresh = false;
    c->made = true;
    c->in_userns = geteuid() != 0;
    c->path = xasprintf("%s/" SESSION_CONTAINER, s->path);
    c->unit = xstrdup(s->unit);
    c->fd = cgroup_dir_open(s->fd, SESSION_CONTAINER, e);
    return c->fd < 0 ? c->fd : 0;
}

int cgroup_session_container(struct cgroup_session *s, const json_t *resources, uid_t owner,
                             struct cgroup **ret, struct err *e)
{
    *ret = NULL;
    if (!s)
        return 0;
    struct plan plan;
    int r = resources_plan(resources, false, &plan, e);
    if (r < 0)
        return r;
    struct cgroup *c = cgroup_new(&cgroup_driver_scope);
    r = session_scope_await(s, e);
    if (r == 0 && s->fd < 0)
        r = err_msg(e, ESRCH, "the groups could not be made before");
    if (r == 0)
        r = clear_container(s, e);
    if (r == 0)
        r = hand_down(s, &plan, e);
    if (r == 0)
        r = make_container(s, c, e);
    if (r == 0)
        r = cgroup_apply(c, &plan, resources, false, e);
    if (r == 0 && owner)
        r = cgroup_delegate(c->fd, owner, e);
    if (r < 0 && c->made)
        cgroup_destroy(c, NULL);
    plan_release(&plan);
    if (r < 0)
        cgroup_close(c);
    else
        *ret = c;
    return r;
}

void cgroup_session_take(struct cgroup_session *s, pid_t pid)
{
    struct err e = ERR_INIT;
    scoped_fd int fd = s && s->fd >= 0 ? cgroup_dir_open(s->fd, SESSION_SUPERVISOR, &e) : -1;
    if (fd >= 0 && cgroup_add_process(fd, s->path, pid, &e) < 0)
        log_debug("process %d: %s", (int)pid, e.msg);
}

void cgroup_session_join(const char *container_path, pid_t pid)
{
    struct err e = ERR_INIT;
    if (!str_ends(container_path, "/" SESSION_CONTAINER))
        return;
    int whole = (int)(strlen(container_path) - strlen("/" SESSION_CONTAINER));
    scoped_free char *path = xasprintf("%.*s/" SESSION_SUPERVISOR, whole, container_path);
    scoped_fd int root = cgroup_root_open(&e);
    scoped_fd int fd = root < 0 ? -1 : cgroup_dir_open(root, path, &e);
    int r = fd < 0 ? -ENOENT : cgroup_add_process(fd, path, pid, &e);
    if (r == -EACCES || r == -EPERM)
        r = scope_helper_attach(path, geteuid() != 0, pid, &e);
    if (r < 0)
        log_debug("process %d: %s", (int)pid, e.msg);
}

bool cgroup_session_late(const struct cgroup_session *s)
{
    struct pollfd p = {.fd = s ? s->helper.sock : -1, .events = POLLIN};
    return s && s->asked && !s->foreign && poll(&p, 1, 0) == 0;
}

const char *cgroup_session_path(const struct cgroup_session *s)
{
    return s && s->path ? s->path : "";
}

void cgroup_session_settle(struct cgroup_session *s)
{
    if (s && !s->asked)
        session_scope_end(s);
}

/* We stand in it ourselves: back to where we have come from. Where we could not go in we are there
 * already, and may not even be put there again. */
static void remove_whole(struct cgroup_session *s)
{
    struct err e = ERR_INIT;
    if (!s->origin)
        return;
    scoped_fd int root = cgroup_root_open(&e);
    scoped_fd int origin = root < 0 ? root : cgroup_dir_open(root, s->origin, &e);
    scoped_free char *own = NULL;
    char *name = strrchr(s->path, '/') + 1;
    int r = origin;
    if (r >= 0 && (cgroup_of_process(0, &own, NULL) < 0 || !streq(own, s->origin)))
        r = cgroup_add_process(origin, s->origin, getpid(), &e);
    scoped_fd int base = r < 0 ? r : openat(s->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base >= 0)
        r = cgroup_remove_tree(base, name, &e);
    if (r < 0)
        log_debug("%s", e.msg);
}

void cgroup_session_end(struct cgroup_session *s)
{
    struct err e = ERR_INIT;
    if (!s)
        return;
    if (s->fd >= 0 && clear_container(s, &e) < 0)
        log_debug("%s", e.msg);
    if (s->made && s->fd >= 0)
        remove_whole(s);
    session_scope_end(s);
    session_free(s);
}

void cgroup_remove_session(const char *container_path)
{
    scoped_free char *whole = xstrdup(container_path);
    if (!str_ends(whole, "/" SESSION_CONTAINER))
        return;
    *strrchr(whole, '/') = '\0';
    char *name = strrchr(whole, '/');
    scoped_fd int root = cgroup_root_open(NULL);
    if (!name || root < 0 || !str_after(name, "/rootlet-"))
        return;
    *name++ = '\0';
    scoped_fd int base = cgroup_dir_open(root, whole, NULL);
    if (base >= 0)
        (void)!cgroup_remove_tree(base, name, NULL);
}
