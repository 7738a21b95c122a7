/* cgroup - see cgroup.h. cgroups(7), Documentation/admin-guide/cgroup-v2.rst */
#include "cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cgroup/cgroup-priv.h"

#define CGROUP_DIR CGROUP_MOUNT

const char *cgroup_mode_name(enum cgroup_mode m)
{
    static const char *const names[] = {"none", "v1", "hybrid", "v2"};
    return names[m];
}

/* v1 and hybrid hosts mount a tmpfs on /sys/fs/cgroup with a folder per hierarchy; hybrid ones have
 * cgroup2 in "unified" there (systemd's name for it). */
enum cgroup_mode cgroup_host_mode(void)
{
    struct statfs fs;
    if (statfs(CGROUP_DIR, &fs) < 0)
        return CGROUP_NONE;
    if (fs.f_type == CGROUP2_SUPER_MAGIC)
        return CGROUP_V2;
    if (statfs(CGROUP_DIR "/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
        return CGROUP_HYBRID;
    return access("/proc/cgroups", F_OK) == 0 && fs.f_type == TMPFS_MAGIC ? CGROUP_V1 : CGROUP_NONE;
}

static int own_cgroup(struct cgroup_host *h, struct err *e)
{
    scoped_free char *path = NULL;
    int r = cgroup_of_process(0, &path, e);
    if (r == 0)
        snprintf(h->own_path, sizeof(h->own_path), "%s", path);
    return r;
}

int cgroup_detect(struct cgroup_host *ret, struct err *e)
{
    struct cgroup_host h = {.mode = cgroup_host_mode()};
    if (h.mode == CGROUP_V2) {
        int r = own_cgroup(&h, e);
        if (r < 0)
            return r;
        scoped_free char *dir = xasprintf(CGROUP_DIR "%s", h.own_path);
        scoped_free char *file = xasprintf("%s/cgroup.controllers", dir);
        scoped_free char *text = NULL;
        h.delegated = access(dir, W_OK) == 0;
        if (fs_read(AT_FDCWD, file, sizeof(h.controllers) - 1, &text, NULL) >= 0) {
            text[strcspn(text, "\n")] = '\0';
            snprintf(h.controllers, sizeof(h.controllers), "%s", text);
        }
    }
    *ret = h;
    return 0;
}

int cgroup_refuse(struct err *e)
{
    enum cgroup_mode mode = cgroup_host_mode();
    int r =
        err_msg(e, ENOTSUP, "cgroup v2 unified hierarchy not available: this host runs cgroup %s",
                cgroup_mode_name(mode));
    return err_hint(e, r,
                    "boot with systemd.unified_cgroup_hierarchy=1 for resource control; "
                    "--cgroups=disabled (or cgroups = \"disabled\" in rootlet.conf, or "
                    "ROOTLET_CGROUPS=disabled; rootlet-oci: --cgroup-manager disabled) runs "
                    "without it");
}
