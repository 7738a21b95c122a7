/* choose - which driver a container gets, and whether the limits that were asked for can be set. */
#include <errno.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"
#include "cgroup/cgroup.h"
#include "cgroup/place.h"
#include "cgroup/resources.h"

#define DROP_IN                                                                                    \
    "as root put \"[Service]\\nDelegate=cpu cpuset io memory pids\" into "                         \
    "/etc/systemd/system/user@.service.d/delegate.conf, systemctl daemon-reload, log in anew"

/* What is known on the way to the choice. */
struct choosing {
    const struct cgroup_wish *w;
    struct cgroup_choice c;
    struct plan plan; /* of the limits */
    char *own;        /* our group; owned */
    char *base;       /* where the controllers come from: a group; owned */
};

void cgroup_choice_release(struct cgroup_choice *c)
{
    free(c->why);
    free(c->notice);
    free(c->where);
    strv_free(c->controllers);
    *c = (struct cgroup_choice){0};
}

bool cgroup_choice_has(const struct cgroup_choice *c, const char *controller)
{
    return strv_has(c->controllers, controller);
}

static void decide(struct choosing *x, const char *driver, char *why)
{
    x->c.driver = driver;
    free(x->c.why);
    x->c.why = why;
}

/* The option behind a member; NULL: nobody has asked. what: "memory.limit". */
static const char *asked_by(const struct choosing *x, const char *what)
{
    if (!x->w->option)
        return what;
    return x->w->option(what, x->w->data);
}

static char *named(const struct choosing *x, const char *what)
{
    return x->w->option ? xstrdup(asked_by(x, what)) : xasprintf("linux.resources.%s", what);
}

static const char *last_name(const char *group)
{
    const char *slash = strrchr(group, '/');
    return slash && slash[1] ? slash + 1 : "the system";
}

/* --- where --- */

static bool try_inplace(struct choosing *x, bool asked)
{
    scoped_free char *unit = place_unit(x->own, asked);
    if (!unit || !place_writable(unit))
        return false;
    x->c.where = xstrdup(last_name(unit));
    decide(x, "inplace", xasprintf("we are in the unit %s, which is delegated", x->c.where));
    x->base = take_ptr(unit);
    return true;
}

static bool try_systemd(struct choosing *x)
{
    if (!place_manager())
        return false;
    x->base = place_manager_group(x->own);
    x->c.where = xstrdup(last_name(x->base));
    decide(x, "systemd",
           xstrdup(geteuid() == 0 ? "systemd makes a scope" : "the user's systemd makes a scope"));
    return true;
}

static bool try_cgroupfs(struct choosing *x)
{
    const char *parent = x->w->parent;
    scoped_free char *base = parent ? xstrdup(parent) : place_group(x->own);
    if (!base || (!parent && !place_writable(base)))
        return false;
    x->c.where = xasprintf("cgroup %s", *base ? base : "/");
    decide(x, "cgroupfs", xasprintf("%s can be written", x->c.where));
    x->base = take_ptr(base);
    return true;
}

static int check_parent(const struct choosing *x, struct err *e)
{
    const char *parent = x->w->parent, *driver = x->c.driver;
    if (!parent)
        return 0;
    bool slice = str_ends(parent, ".slice") && !strchr(parent, '/');
    if (streq(driver, "systemd") && !slice)
        return err_hint(e, err_msg(e, EINVAL, "--cgroup-parent %s: systemd wants a slice", parent),
                        "for example --cgroup-parent machine-web.slice; a path goes with "
                        "--cgroups=cgroupfs");
    if (streq(driver, "cgroupfs") && slice)
        return err_hint(e, err_msg(e, EINVAL, "--cgroup-parent %s: a slice is of systemd", parent),
                        "use --cgroups=systemd, or give the path of a group below "
                        "/sys/fs/cgroup");
    if (streq(driver, "inplace"))
        return err_hint(e,
                        err_msg(e, EINVAL, "--cgroup-parent %s: the container stays in the unit %s",
                                parent, x->c.where),
                        "Slice= of the unit chooses its place");
    return streq(driver, "cgroupfs") ? cgroup_check_path(parent, "--cgroup-parent", e) : 0;
}

static int probe(struct choosing *x, struct err *e)
{
    const char *parent = x->w->parent;
    /* A parent names its driver; else who is in a unit of its own stays there. */
    if (parent && str_ends(parent, ".slice") && !strchr(parent, '/')) {
        if (try_systemd(x))
            return 0;
        return err_hint(
            e, err_msg(e, ENOTSUP, "--cgroup-parent %s: no systemd of this user is there", parent),
            "log in anew, or \"loginctl enable-linger\"");
    }
    if (parent) {
        (void)try_cgroupfs(x);
        return 0;
    }
    if (try_inplace(x, x->w->unit))
        return 0;
    if (x->w->unit) {
        decide(x, "disabled", xstrdup("the unit is not delegated (Delegate=yes)"));
        x->c.notice = xstrdup("the unit has no Delegate=yes: the container runs without resource "
                              "control");
        return 0;
    }
    if (try_systemd(x) || try_cgroupfs(x))
        return 0;
    decide(x, "disabled", xstrdup("no cgroup is delegated, and no systemd of the user is there"));
    x->c.notice = xstrdup("no cgroup is delegated: the container runs without resource control");
    return 0;
}

static int take_setting(struct choosing *x, const char *setting, struct err *e)
{
    if (streq(setting, "enabled") || streq(setting, "no-conmon"))
        return probe(x, e);
    bool fine = streq(setting, "systemd")    ? try_systemd(x)
                : streq(setting, "cgroupfs") ? try_cgroupfs(x)
                                             : try_inplace(x, true);
    if (fine)
        return 0;
    int r = err_msg(e, ENOTSUP, "--cgroups=%s: %s", setting,
                    streq(setting, "systemd")    ? "no systemd of this user is there"
                    : streq(setting, "cgroupfs") ? "no cgroup is delegated to us here"
                                                 : "we are in no unit that is delegated to us");
    return err_hint(e, r,
                    streq(setting, "systemd")    ? "log in anew, or \"loginctl enable-linger\""
                    : streq(setting, "cgroupfs") ? "--cgroup-parent names a group that can be "
                                                   "written; --cgroups=systemd asks systemd for one"
                                                 : "put Delegate=yes into the unit, or use "
                                                   "--cgroups=enabled");
}

/* --- limits --- */

static int refuse_disabled(const struct choosing *x, const char *what, struct err *e)
{
    scoped_free char *option = named(x, what);
    if (x->c.notice && !x->w->unit)
        return err_hint(
            e,
            err_msg(e, ENOTSUP, "%s: no cgroup is delegated to this process (%s)", option, x->own),
            "log in through systemd-logind (\"loginctl enable-linger\" for su, sudo "
            "and cron), or start it from a unit with Delegate=yes");
    if (x->c.notice)
        return err_hint(e,
                        err_msg(e, ENOTSUP, "%s: the unit is not delegated (%s)", option, x->own),
                        "put Delegate=yes into its [Service] section");
    return err_hint(e, err_msg(e, EINVAL, "%s needs a cgroup, and cgroups are disabled", option),
                    "leave out the limit, or %s; --ulimit bounds single processes",
                    x->w->undo ? x->w->undo : "--cgroups=disabled");
}

/* Delegate= knows no others. systemd.resource-control(5) */
static bool of_systemd(const char *controller)
{
    static const char *const known[] = {"cpu", "cpuset", "io", "memory", "pids"};
    for (size_t i = 0; i < N_ELEMENTS(known); i++)
        if (streq(known[i], controller))
            return true;
    return false;
}

static int explain_missing(const struct choosing *x, const char *name, int r, struct err *e)
{
    if (!of_systemd(name) && !streq(x->c.driver, "cgroupfs"))
        return err_hint(e, r,
                        "systemd does not delegate %s: as root write \"+%s\" to "
                        "cgroup.subtree_control of each group above " CGROUP_MOUNT "%s",
                        name, name, x->base);
    scoped_free char *user = xasprintf("user@%u.service", (unsigned)geteuid());
    bool in_user = x->base && strstr(x->base, user);
    if (streq(x->c.driver, "inplace") && !in_user)
        return err_hint(e, r, "put Delegate=yes into the [Service] section of %s", x->c.where);
    if (streq(x->c.driver, "systemd") || streq(x->c.driver, "inplace"))
        return err_hint(e, r,
                        geteuid() == 0 ? "the kernel has no such controller, or cgroup v1 holds it "
                                         "(/proc/cgroups)"
                                       : DROP_IN);
    return err_hint(e, r, "who owns the group above writes \"+%s\" to its cgroup.subtree_control",
                    name);
}

static int check_limits(struct choosing *x, struct err *e)
{
    const struct plan *p = &x->plan;
    if (streq(x->c.driver, "disabled")) {
        for (size_t i = 0; i < p->n; i++)
            if (!streq(p->writes[i].value, "max") && asked_by(x, p->writes[i].what))
                return refuse_disabled(x, p->writes[i].what, e);
        return 0;
    }
    for (size_t i = 0; p->controllers && p->controllers[i]; i++) {
        const char *what = str_after(p->reasons[i], "linux.resources.");
        if (strv_has(x->c.controllers, p->controllers[i]) || !asked_by(x, what))
            continue;
        scoped_free char *option = named(x, what);
        scoped_free char *have = strv_join(x->c.controllers, " ");
        int r = err_msg(e, ENOTSUP, "%s: controller %s is not delegated to %s (has: %s)", option,
                        p->controllers[i], x->c.where, have && *have ? have : "none");
        return explain_missing(x, p->controllers[i], r, e);
    }
    return 0;
}

/* Of a group that is still to be made: those of the nearest one above it that is there. */
static void read_controllers(struct choosing *x)
{
    if (!x->base || (!x->w->want_controllers && !x->plan.controllers))
        return;
    scoped_fd int root = cgroup_root_open(NULL);
    scoped_free char *at = xstrdup(x->base);
    while (root >= 0) {
        scoped_fd int dir = cgroup_dir_open(root, at, NULL);
        char *slash = strrchr(at, '/');
        if (dir >= 0)
            x->c.controllers = cgroup_controllers(dir, "cgroup.controllers");
        if (dir >= 0 || !slash)
            return;
        *slash = '\0';
    }
}

static int choose(struct choosing *x, struct err *e)
{
    const char *setting = x->w->setting && *x->w->setting ? x->w->setting : "enabled";
    static const char *const known[] = {"enabled", "disabled", "split",    "inplace",
                                        "systemd", "cgroupfs", "no-conmon"};
    bool fine = false;
    for (size_t i = 0; i < N_ELEMENTS(known); i++)
        fine |= streq(setting, known[i]);
    if (!fine)
        return err_hint(e, err_msg(e, EINVAL, "--cgroups %s: unknown", setting),
                        "known are enabled, disabled, split, systemd, cgroupfs and no-conmon");
    int r = resources_plan(x->w->resources, x->w->update, &x->plan, e);
    if (r < 0)
        return r;
    if (streq(setting, "disabled")) {
        decide(x, "disabled", xstrdup("as asked for"));
        return check_limits(x, e);
    }
    if (cgroup_host_mode() != CGROUP_V2)
        return cgroup_refuse(e);
    r = cgroup_of_process(0, &x->own, e);
    if (r == 0)
        r = take_setting(x, setting, e);
    if (r == 0)
        r = check_parent(x, e);
    if (r < 0)
        return r;
    read_controllers(x);
    return check_limits(x, e);
}

int cgroup_choose(const struct cgroup_wish *w, struct cgroup_choice *ret, struct err *e)
{
    struct choosing x = {.w = w};
    int r = choose(&x, e);
    plan_release(&x.plan);
    free(x.own);
    free(x.base);
    if (r < 0)
        cgroup_choice_release(&x.c);
    else
        *ret = x.c;
    return r;
}
