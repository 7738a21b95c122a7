/* cgroupfs - groups made by mkdir(2), for hosts and callers without a systemd manager. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"
#include "cgroup/resources.h"
#include "cgroup/scope-helper.h"

/* What a container gets whether it has limits or not: `stats` reads their files, and a manager of
 * groups inside needs them. Others are switched on for who asks for a limit. */
static const char *const usual[] = {"cpu", "cpuset", "io", "memory", "pids"};

/* A way down to the group that is to be made. */
struct walk {
    int root_fd;        /* of the hierarchy */
    const char *path;   /* whole, from there */
    char **parts;       /* of it */
    size_t depth;       /* parts that are open or made so far */
    size_t first_made;  /* parts from here on are ours; SIZE_MAX: none */
    int fd;             /* of the last one; owned */
    char **controllers; /* to hand down; owned */
    const struct plan *plan;
};

static char *path_of(const struct walk *w, size_t depth)
{
    struct str s = STR_INIT;
    for (size_t i = 0; i < depth; i++)
        str_addf(&s, "/%s", w->parts[i]);
    return s.len ? str_detach(&s) : xstrdup("/");
}

static void undo(struct walk *w)
{
    /* The next one may have been made and not yet opened. */
    size_t n = w->depth + (w->parts[w->depth] ? 1 : 0);
    scoped_free char *path = path_of(w, n);
    if (w->first_made < n)
        cgroup_remove_empty(w->root_fd, path, n - w->first_made - 1);
}

/* The group that ours is to be made in must have the controllers that are asked for, and hand them
 * down. failed: why it may not do so. */
static int check_parent(const struct walk *w, int failed, struct err *e)
{
    if (!w->plan->controllers)
        return 0;
    scoped_free char *here = path_of(w, w->depth);
    scoped_strv char **offered = cgroup_controllers(w->fd, "cgroup.controllers");
    int r = plan_check(w->plan, offered, here, e);
    if (r < 0)
        return r;
    scoped_strv char **on = cgroup_controllers(w->fd, "cgroup.subtree_control");
    if (plan_check(w->plan, on, here, NULL) == 0)
        return 0;
    r = err_set(e, failed ? failed : EBUSY, "%s: hand its controller down in cgroup %s",
                w->plan->reasons[0], here);
    if (r == -EBUSY)
        err_hint(e, r,
                 "the group holds processes itself, so it cannot: move them into a group below it, "
                 "or give the container a linux.cgroupsPath below another one");
    return r;
}

static int make_part(struct walk *w, const char *name, struct err *e)
{
    scoped_free char *here = path_of(w, w->depth);
    if (mkdirat(w->fd, name, 0755) == 0) {
        if (w->first_made == SIZE_MAX)
            w->first_made = w->depth;
        return 0;
    }
    if (errno == EEXIST)
        return 0;
    int r = err_set(e, errno, "make cgroup %s in %s", name, here);
    return r == -EAGAIN
               ? err_hint(e, r, "cgroup.max.descendants or cgroup.max.depth there is reached")
               : r;
}

static int descend(struct walk *w, const char *name, struct err *e)
{
    /* Those above may be out of our reach, and have handed down what is needed long ago. */
    int failed = 0, r = 0;
    cgroup_enable(w->fd, w->controllers, &failed);
    int fd = cgroup_dir_open(w->fd, name, NULL);
    if (fd == -ENOENT || !w->parts[w->depth + 1])
        r = check_parent(w, failed, e);
    if (r == 0 && fd == -ENOENT) {
        r = make_part(w, name, e);
        fd = r == 0 ? cgroup_dir_open(w->fd, name, NULL) : -ENOENT;
    }
    if (r == 0 && fd < 0) {
        scoped_free char *here = path_of(w, w->depth);
        r = err_set(e, -fd, "open cgroup %s in %s", name, here);
    }
    if (r < 0) {
        fd_close(&fd);
        return r;
    }
    fd_close(&w->fd);
    w->fd = fd;
    w->depth++;
    return 0;
}

/* A group that was there must not be somebody's; in a frozen one nothing would ever start. */
static int check_vacant(const struct walk *w, struct err *e)
{
    if (w->first_made >= w->depth && cgroup_wait_event(w->fd, "populated", 0, 0) == -ETIMEDOUT)
        return err_hint(e, err_msg(e, EBUSY, "cgroup %s holds processes already", w->path),
                        "give the container a linux.cgroupsPath of its own");
    if (cgroup_wait_event(w->fd, "frozen", 0, 0) == -ETIMEDOUT)
        return err_hint(e, err_msg(e, EBUSY, "cgroup %s is frozen", w->path),
                        "it, or a group above it, has 1 in cgroup.freeze");
    return 0;
}

static int make_group(struct cgroup *c, struct walk *w, struct err *e)
{
    int r = 0;
    for (size_t i = 0; w->parts[i] && r == 0; i++)
        r = descend(w, w->parts[i], e);
    if (r == 0)
        r = check_vacant(w, e);
    if (r < 0) {
        undo(w);
        return r;
    }
    c->fd = take_fd(&w->fd);
    c->made = w->first_made < w->depth;
    c->made_above = c->made ? w->depth - w->first_made - 1 : 0;
    c->path = path_of(w, w->depth);
    return 0;
}

static int make_below(struct cgroup *c, const char *base, const char *path, const struct plan *plan,
                      struct err *e)
{
    scoped_fd int root = cgroup_root_open(e);
    if (root < 0)
        return root;
    scoped_free char *whole = xasprintf("%s/%s", base, path);
    struct walk w = {.root_fd = root, .path = path, .first_made = SIZE_MAX, .plan = plan};
    w.parts = strv_split(whole, "/", false);
    w.fd = cgroup_dir_open(root, "", e);
    w.controllers = strv_dup(plan->controllers);
    for (size_t i = 0; i < N_ELEMENTS(usual); i++)
        if (!strv_has(w.controllers, usual[i]))
            strv_add(&w.controllers, usual[i]);
    int r = w.fd < 0 ? w.fd : 0;
    if (r == 0 && strv_len(w.parts) == 0)
        r = err_msg(e, EINVAL, "linux.cgroupsPath: \"%s\" is no group of its own", path);
    if (r == 0)
        r = make_group(c, &w, e);
    fd_close(&w.fd);
    strv_free(w.parts);
    strv_free(w.controllers);
    return r;
}

static bool may_not(int r)
{
    return r == -EACCES || r == -EPERM || r == -EROFS;
}

/* Relative to where we are. Our own group holds us, so it cannot hand controllers down: what we
 * make goes beside it, unless only our own was delegated to us. */
static int make_relative(struct cgroup *c, const char *path, const struct plan *plan, struct err *e)
{
    scoped_free char *own = NULL;
    int r = cgroup_of_process(0, &own, e);
    if (r < 0)
        return r;
    if (str_after(own, "/.."))
        return err_hint(e, err_msg(e, EXDEV, "our own cgroup %s is outside of " CGROUP_MOUNT, own),
                        "mount the cgroup file system in the cgroup namespace we are in");
    scoped_free char *parent = xstrdup(own);
    *strrchr(parent, '/') = '\0';
    r = make_below(c, parent, path, plan, e);
    if (may_not(r) && own[1]) {
        struct err second = ERR_INIT;
        int own_r = make_below(c, own, path, plan, &second);
        if (!may_not(own_r)) {
            if (e)
                *e = second;
            return own_r;
        }
    }
    return r;
}

static int refuse_limits(const struct plan *plan, int r, struct err *e)
{
    if (plan->n == 0)
        return r;
    err_add(e, r, "linux.resources.%s needs a cgroup", plan->writes[0].what);
    return err_hint(
        e, r,
        "none is delegated to us here: use --cgroup-manager systemd with a user session "
        "(loginctl enable-linger), or start from a unit with Delegate=yes");
}

static int cgroupfs_create(struct cgroup *c, const struct cgroup_request *r,
                           const struct plan *plan, struct err *e)
{
    bool given = r->path && *r->path;
    const char *path = given ? r->path : r->id;
    int rc = cgroup_check_path(path, given ? "linux.cgroupsPath" : "container id", e);
    if (rc == 0 && given && str_after(path, "slice:"))
        rc = err_msg(e, EINVAL, "linux.cgroupsPath: \"%s\" is of the systemd cgroup manager", path);
    if (rc < 0)
        return rc;
    struct err why = ERR_INIT;
    rc = *path == '/' ? make_below(c, "", path, plan, &why) : make_relative(c, path, plan, &why);
    if (!given && rc == 0)
        c->made = true; /* by its id: what a creation that was cut short has left */
    if (may_not(rc) && plan->n == 0 && (r->in_userns || geteuid() != 0)) {
        if (given)
            log_warn("%s: the container stays in our cgroup", why.msg);
        else
            log_debug("%s: the container stays in our cgroup", why.msg);
        return 0;
    }
    if (rc < 0 && e)
        *e = why;
    return may_not(rc) ? refuse_limits(plan, rc, e) : rc;
}

/* A group in a unit of the user's manager, entered from a session. */
static int cgroupfs_attach(struct cgroup *c, pid_t pid, struct err *e)
{
    return scope_helper_attach(c->path, geteuid() != 0, pid, e);
}

const struct cgroup_driver cgroup_driver_cgroupfs = {
    .name = "cgroupfs", .create = cgroupfs_create, .attach = cgroupfs_attach};
