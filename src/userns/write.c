/* write - uid_map, gid_map and setgroups of a child in a new user namespace. user_namespaces(7) */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "userns/userns.h"

#define HELPER_TIMEOUT_MS 10000

static void map_text(const struct idmap *m, struct str *out)
{
    for (size_t i = 0; i < m->n; i++)
        str_addf(out, "%u %u %u\n", m->v[i].inside, m->v[i].outside, m->v[i].count);
}

static int write_direct(pid_t pid, const struct userns_map *map, struct err *e)
{
    char dir[32];
    snprintf(dir, sizeof(dir), "/proc/%d", pid);
    scoped_fd int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "open %s", dir);
    scoped_str struct str uid = STR_INIT, gid = STR_INIT;
    map_text(&map->uid, &uid);
    map_text(&map->gid, &gid);
    int r = 0;
    /* Without CAP_SETGID the kernel takes a gid map only where setgroups can no longer drop a group
     * that denies access. */
    if (geteuid() != 0)
        r = fs_write_text(fd, "setgroups", "deny", e);
    if (r == 0)
        r = fs_write_text(fd, "uid_map", uid.s, e);
    if (r == 0)
        r = fs_write_text(fd, "gid_map", gid.s, e);
    return r < 0 ? err_add(e, r, "map ids") : 0;
}

static char **helper_argv(const char *helper, pid_t pid, const struct idmap *m)
{
    char **v = NULL;
    strv_add(&v, helper);
    strv_addf(&v, "%d", pid);
    for (size_t i = 0; i < m->n; i++) {
        strv_addf(&v, "%u", m->v[i].inside);
        strv_addf(&v, "%u", m->v[i].outside);
        strv_addf(&v, "%u", m->v[i].count);
    }
    return v;
}

static const char *find_helper(const char *name, char *buf, size_t size)
{
    static const char *const dirs[] = {"/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin",
                                       "/run/wrappers/bin"};
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        snprintf(buf, size, "%s/%s", dirs[i], name);
        if (access(buf, X_OK) == 0)
            return buf;
    }
    return NULL;
}

/* Why a helper that ran has failed: what it lacks shows in its file, else it is the subid range. */
static int explain_helper(int r, const char *path, struct err *e)
{
    struct stat st;
    const char *name = strrchr(path, '/') + 1;
    bool is_uid = name[3] == 'u';
    if (r == 0)
        return 0;
    if (stat(path, &st) == 0 && !(st.st_mode & S_ISUID) &&
        getxattr(path, "security.capability", NULL, 0) <= 0)
        err_hint(e, 0,
                 "%s is neither setuid nor has it file capabilities: "
                 "sudo chmod u+s %s (or reinstall the package uidmap / shadow-utils)",
                 path, path);
    else if (strstr(e->msg, "not allowed") || strstr(e->msg, "permission")) {
        scoped_free char *fix = userns_subids_fix(NULL);
        err_hint(e, 0, "the range must be in %s for this user: %s",
                 is_uid ? "/etc/subuid" : "/etc/subgid", fix);
    } else
        err_hint(e, 0, "\"rootlet doctor\" checks the id maps");
    return err_add(e, r < 0 ? r : -EPERM, "map ids");
}

static int start_helpers(pid_t pid, const struct userns_map *map, struct userns_mapping *ret,
                         struct err *e)
{
    char *up = ret->uid_helper, *gp = ret->gid_helper;
    if (!find_helper("newuidmap", up, sizeof(ret->uid_helper)) ||
        !find_helper("newgidmap", gp, sizeof(ret->gid_helper)))
        return err_hint(e, err_msg(e, ENOENT, "map ids: newuidmap or newgidmap is not installed"),
                        "sudo apt-get install uidmap (Debian, Ubuntu), sudo dnf install "
                        "shadow-utils-subid (Fedora)");
    scoped_strv char **ua = helper_argv(up, pid, &map->uid), **ga = helper_argv(gp, pid, &map->gid);
    struct proc_cmd u = {.argv = ua, .stdin_fd = -1, .stdout_fd = -1};
    struct proc_cmd g = {.argv = ga, .stdin_fd = -1, .stdout_fd = -1};
    /* Side by side: each costs more than the rest of the maps' work (performance.md section 1). */
    int r = proc_start(&u, &ret->uid, e);
    if (r < 0)
        return err_add(e, r, "map ids");
    r = proc_start(&g, &ret->gid, e);
    if (r < 0) {
        proc_finish(&ret->uid, HELPER_TIMEOUT_MS, NULL);
        return err_add(e, r, "map ids");
    }
    ret->running = true;
    return 0;
}

int userns_map_finish(struct userns_mapping *m, struct err *e)
{
    if (!m->running)
        return 0;
    m->running = false;
    int r = explain_helper(proc_finish(&m->uid, HELPER_TIMEOUT_MS, e), m->uid_helper, e);
    if (r < 0) {
        proc_finish(&m->gid, HELPER_TIMEOUT_MS, NULL);
        return r;
    }
    return explain_helper(proc_finish(&m->gid, HELPER_TIMEOUT_MS, e), m->gid_helper, e);
}

static bool is_self_only(const struct idmap *m, uint32_t self)
{
    return m->n == 1 && m->v[0].count == 1 && m->v[0].outside == self;
}

int userns_map_start(pid_t pid, const struct userns_map *map, struct userns_mapping *ret,
                     struct err *e)
{
    ret->running = false;
    if (map->uid.n == 0 || map->gid.n == 0 || map->uid.n > IDMAP_MAX || map->gid.n > IDMAP_MAX)
        return err_msg(e, EINVAL, "map ids: %zu uid and %zu gid lines (1 to %d are possible)",
                       map->uid.n, map->gid.n, IDMAP_MAX);
    bool self = is_self_only(&map->uid, geteuid()) && is_self_only(&map->gid, getegid());
    return geteuid() == 0 || self ? write_direct(pid, map, e) : start_helpers(pid, map, ret, e);
}

int userns_map_write(pid_t pid, int pidfd, const struct userns_map *map, struct err *e)
{
    /* pidfd is held by the caller and the child is not reaped yet: the number cannot be reused. */
    (void)pidfd;
    struct userns_mapping m;
    int r = userns_map_start(pid, map, &m, e);
    return r < 0 ? r : userns_map_finish(&m, e);
}

static bool sysctl_is(const char *path, const char *value)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, 64, &text, NULL);
    return n > 0 && strncmp(text, value, strlen(value)) == 0 &&
           (text[strlen(value)] == '\n' || text[strlen(value)] == '\0');
}

int userns_explain(int errnum, struct err *e)
{
    int r = err_set(e, errnum, "create user namespace");
    if (sysctl_is("/proc/sys/kernel/unprivileged_userns_clone", "0"))
        return err_hint(e, r,
                        "sudo sysctl -w kernel.unprivileged_userns_clone=1 (and a file in "
                        "/etc/sysctl.d to keep it)");
    if (sysctl_is("/proc/sys/user/max_user_namespaces", "0"))
        return err_hint(e, r,
                        "user namespaces are switched off: sudo sysctl -w "
                        "user.max_user_namespaces=15000");
    if (sysctl_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"))
        return err_hint(e, r,
                        "AppArmor restricts user namespaces: install rootlet's AppArmor "
                        "profile, or sudo sysctl -w "
                        "kernel.apparmor_restrict_unprivileged_userns=0");
    if (errnum == ENOSPC || errnum == EUSERS)
        return err_hint(e, r,
                        "too many user namespaces, or nested too deeply (32): see "
                        "user.max_user_namespaces");
    if (errnum == EPERM)
        return err_hint(e, r,
                        "a chroot, a seccomp filter or an outer container forbids it; "
                        "\"rootlet doctor\" tells more");
    if (errnum == EINVAL)
        return err_hint(e, r, "this kernel is built without CONFIG_USER_NS");
    return r;
}
