#include "cgroup/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/str.h"
#include "cgroup/cgroup-priv.h"

static bool is_delegated(const char *group)
{
    scoped_free char *dir = xasprintf(CGROUP_MOUNT "%s", group);
    char value[8];
    ssize_t n = getxattr(dir, "user.delegate", value, sizeof(value));
    return n == 1 && value[0] == '1';
}

/* A unit of the user's manager? That one marks nothing, and all groups there are the user's: who
 * asks for the unit (run --unit, --cgroups=split) is believed. */
static bool is_users(const char *group)
{
    scoped_free char *manager = xasprintf("/user@%u.service/", (unsigned)geteuid());
    return strstr(group, manager) != NULL;
}

/* Root may write everywhere, but whoever owns a group can freeze, end and move what is below it: no
 * place for what sudo starts from a service of a user. */
static bool is_users_own(const char *dir)
{
    struct stat st;
    return geteuid() == 0 && stat(dir, &st) == 0 && st.st_uid != 0;
}

bool place_writable(const char *group)
{
    scoped_free char *procs = xasprintf(CGROUP_MOUNT "%s/cgroup.procs", group);
    scoped_free char *dir = xasprintf(CGROUP_MOUNT "%s", group);
    return access(procs, W_OK) == 0 && access(dir, W_OK) == 0 && !is_users_own(dir);
}

char *place_unit(const char *own, bool asked)
{
    scoped_free char *at = xstrdup(own);
    for (char *slash; (slash = strrchr(at, '/')) && slash[1]; *slash = '\0') {
        bool service = str_ends(slash, ".service");
        if (service || (asked && str_ends(slash, ".scope")))
            return is_delegated(at) || (asked && is_users(at)) ? take_ptr(at) : NULL;
        /* Beyond a unit that is not delegated lies nothing of ours: user@.service is delegated,
         * but to the manager. */
        if (str_ends(slash, ".scope") || str_ends(slash, ".slice"))
            return NULL;
    }
    return NULL;
}

char *place_group(const char *own)
{
    scoped_free char *parent = xstrdup(own);
    char *slash = strrchr(parent, '/');
    if (slash)
        *slash = '\0';
    /* The root of the hierarchy may hold processes and groups. */
    if (streq(own, "/"))
        return place_writable("") ? xstrdup("") : NULL;
    if (place_writable(parent))
        return take_ptr(parent);
    return place_writable(own) ? xstrdup(own) : NULL;
}

static bool has_manager(const char *dir)
{
    scoped_free char *path = xasprintf("%s/systemd/private", dir);
    struct stat st;
    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid();
}

char *place_runtime_dir(void)
{
    const char *set = getenv("XDG_RUNTIME_DIR");
    if (set && set[0] == '/' && has_manager(set))
        return xstrdup(set);
    char usual[64];
    snprintf(usual, sizeof(usual), "/run/user/%u", (unsigned)geteuid());
    return has_manager(usual) ? xstrdup(usual) : NULL;
}

bool place_manager(void)
{
    if (geteuid() == 0)
        return access("/run/systemd/system", F_OK) == 0;
    scoped_free char *dir = place_runtime_dir();
    return dir != NULL;
}

char *place_manager_group(const char *own)
{
    unsigned uid = (unsigned)geteuid();
    if (uid == 0)
        return xstrdup("/");
    scoped_free char *unit = xasprintf("/user@%u.service", uid);
    const char *at = strstr(own, unit);
    size_t n = at ? (size_t)(at - own) + strlen(unit) : 0;
    if (at && (own[n] == '/' || own[n] == '\0'))
        return xstrndup(own, n);
    return xasprintf("/user.slice/user-%u.slice/user@%u.service", uid, uid);
}
