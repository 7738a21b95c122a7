/* apply - writes what resources.c has planned. */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"
#include "cgroup/resources.h"

#define INIT_USERNS_INO 0xEFFFFFFDu /* PROC_USER_INIT_INO, linux/proc_ns.h */

/* Root of a user namespace, as under rootless engines, cannot change what it was given either. */
static bool host_root(void)
{
    struct stat st;
    return geteuid() == 0 && stat("/proc/self/ns/user", &st) == 0 && st.st_ino == INIT_USERNS_INO;
}

static int explain_missing(int r, const char *controller, struct err *e)
{
    if (!host_root())
        return err_hint(e, r,
                        "it is not delegated to us: put \"[Service]\" and \"Delegate=cpu cpuset io "
                        "memory pids\" into /etc/systemd/system/user@.service.d/delegate.conf, run "
                        "systemctl daemon-reload and log in again");
    return err_hint(e, r,
                    "the kernel has no controller %s (see /proc/cgroups), cgroup v1 holds it, or a "
                    "group above does not hand it down: write \"+%s\" to its "
                    "cgroup.subtree_control",
                    controller, controller);
}

int plan_check(const struct plan *p, char *const *available, const char *dir_path, struct err *e)
{
    for (size_t i = 0; p->controllers && p->controllers[i]; i++) {
        const char *name = p->controllers[i];
        if (strv_has(available, name))
            continue;
        scoped_free char *have = strv_join(available, " ");
        int r = err_msg(e, ENOTSUP, "%s: the controller %s is not available in cgroup %s (%s)",
                        p->reasons[i], name, dir_path, have && *have ? have : "it has none");
        return explain_missing(r, name, e);
    }
    return 0;
}

static char *first_word(int dir_fd, const char *file)
{
    char *text = NULL;
    if (cgroup_file_read(dir_fd, file, &text) < 0)
        return xstrdup("max");
    text[strcspn(text, " \n")] = '\0';
    return text;
}

char *plan_value(const struct plan_write *w, int dir_fd)
{
    uint64_t total, memory;
    if (w->flags & PLAN_KEEP) {
        scoped_free char *first = first_word(dir_fd, w->file);
        return xasprintf("%s %s", first, w->value);
    }
    if (w->flags & PLAN_LESS_MEMORY) {
        scoped_free char *max = first_word(dir_fd, "memory.max");
        if (parse_u64(max, &memory) == 0 && parse_u64(w->value, &total) == 0)
            return total < memory ? NULL : xasprintf("%" PRIu64, total - memory);
    }
    return xstrdup(w->value);
}

static int write_one(const struct plan_write *w, int dir_fd, struct err *e)
{
    scoped_free char *value = plan_value(w, dir_fd);
    if (!value)
        return err_msg(e, EINVAL,
                       "linux.resources.%s: %s is memory and swap together, and less than "
                       "memory.max",
                       w->what, w->value);
    const char *file = w->file, *text = value;
    int r = cgroup_file_write(dir_fd, file, text);
    if (r == -ENOENT && w->alt_file) {
        file = w->alt_file;
        text = w->alt_value;
        r = cgroup_file_write(dir_fd, file, text);
    }
    if (r == -ENOENT && w->flags & PLAN_OPTIONAL) {
        if (!streq(text, "max") && !streq(text, "0"))
            log_warn("linux.resources.%s: left out, this kernel has no %s", w->what, file);
        return 0;
    }
    if (r == -ENOENT)
        return err_msg(e, ENOTSUP, "linux.resources.%s: this kernel has no %s", w->what, file);
    return r < 0 ? err_set(e, -r, "linux.resources.%s: write \"%s\" to %s", w->what, text, file)
                 : 0;
}

static int check_usage(const struct plan *p, int dir_fd, struct err *e)
{
    scoped_free char *text = NULL;
    uint64_t used;
    if (p->check_usage < 0 || cgroup_file_read(dir_fd, "memory.current", &text) < 0 ||
        parse_u64(text, &used) < 0 || (uint64_t)p->check_usage > used)
        return 0;
    return err_msg(e, EBUSY,
                   "linux.resources.memory.limit: %" PRIi64 " is not above the %" PRIu64
                   " bytes in use, and checkBeforeUpdate is set",
                   p->check_usage, used);
}

int plan_apply(const struct plan *p, int dir_fd, const char *dir_path, struct err *e)
{
    int r = check_usage(p, dir_fd, e);
    bool again = false;
    for (size_t i = 0; i < p->n && r == 0; i++) {
        r = write_one(&p->writes[i], dir_fd, e);
        if (r == -EINVAL && p->writes[i].flags & PLAN_RETRY) {
            again = true;
            r = 0;
        }
    }
    for (size_t i = 0; again && i < p->n && r == 0; i++)
        if (p->writes[i].flags & PLAN_RETRY)
            r = write_one(&p->writes[i], dir_fd, e);
    return r < 0 ? err_add(e, r, "cgroup %s", dir_path) : 0;
}
