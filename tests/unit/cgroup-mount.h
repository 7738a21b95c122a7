/* cgroup-mount - a cgroup2 hierarchy at /sys/fs/cgroup that only this test program sees. */
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/magic.h>

#include "cgroup/cgroup-priv.h"
#include "unit.h"

static char unit_group[64]; /* "/rltest-unit-PID": all groups of the test are below it */
static bool unit_cgroup2;   /* we have it */

static inline int unit_cgroup_setup(void **state)
{
    struct statfs fs;
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 0;
    if (statfs(CGROUP_MOUNT, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC) {
        umount2(CGROUP_MOUNT, MNT_DETACH);
        if (mount("none", CGROUP_MOUNT, "cgroup2", 0, NULL) < 0)
            return 0;
    }
    snprintf(unit_group, sizeof(unit_group), "/rltest-unit-%d", (int)getpid());
    scoped_free char *dir = xasprintf(CGROUP_MOUNT "%s", unit_group);
    unit_cgroup2 = mkdir(dir, 0755) == 0;
    return 0;
}

static inline int unit_cgroup_teardown(void **state)
{
    struct err e = ERR_INIT;
    (void)state;
    if (!unit_cgroup2)
        return 0;
    scoped_fd int root = cgroup_root_open(&e);
    if (cgroup_remove_tree(root, unit_group + 1, &e) < 0)
        fail_msg("%s", e.msg);
    return 0;
}

/* Without it these tests cannot run: not root, or a container without cgroup2. */
#define unit_cgroup_needed()                                                                       \
    do {                                                                                           \
        if (!unit_cgroup2)                                                                         \
            skip();                                                                                \
    } while (0)

/* Whether a group of the hierarchy is there, and a file of it without the last newline ("" if it
 * is not there); owned. */
static inline bool unit_group_exists(const char *path)
{
    scoped_free char *dir = xasprintf(CGROUP_MOUNT "%s", path);
    return access(dir, F_OK) == 0;
}

static inline char *unit_group_read(const char *path, const char *name)
{
    scoped_free char *dir = xasprintf(CGROUP_MOUNT "%s", path);
    scoped_fd int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *text = NULL;
    return fd >= 0 && cgroup_file_read(fd, name, &text) >= 0 ? text : xstrdup("");
}

static inline void unit_group_make(const char *path)
{
    scoped_free char *dir = xasprintf(CGROUP_MOUNT "%s", path);
    assert_int_equal(mkdir(dir, 0755), 0);
}
