/* driver - the control group of one container: made, limited, filled, watched, removed.
 *
 * Drivers: "systemd" (a scope or slice below it, by the manager's D-Bus interface), "cgroupfs" (a
 * directory we make), "disabled". cgroup v2 only; files are reached by descriptors of the cgroup's
 * own directory, which is proven to be on a cgroup2 file system. Kernel: cgroup-v2.rst. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/jfield.h"

struct cgroup; /* the open group of one container */

struct cgroup_request {
    const char *driver;       /* "systemd", "cgroupfs", "disabled" */
    const char *id;           /* of the container */
    const char *path;         /* linux.cgroupsPath; "slice:prefix:name" with systemd; NULL: by id */
    const json_t *resources;  /* linux.resources; NULL: no limits */
    char *const *annotations; /* "key=value": org.systemd.property.*, run.oci.*; may be NULL */
    bool in_userns;           /* we are not root of the host: no device program can be loaded, its
                                 rules are left out. (The container's own user namespace does not
                                 count: root of the host still loads it.) */
    uid_t owner; /* host uid that may manage the group (the container's root, where it has a cgroup
                    namespace and a writable /sys/fs/cgroup): the directory, cgroup.procs,
                    cgroup.threads and cgroup.subtree_control become its,
                    where we may give them away. 0: they stay ours */
};

/* Makes the group and applies the limits (cgroupfs), or begins to (systemd: the scope comes with
 * the first process). A limit whose controller is missing: an error that names it and the fix,
 * nothing left behind. cgroupfs paths: absolute ones start at the cgroup mount, others and NULL in
 * the parent of our own group (below ours where the parent cannot be written). A group that holds
 * processes already is refused, -EBUSY. An unprivileged caller who may not make groups, and asks
 * for no limit, gets one that stands for where we are: cgroup_path "". */
int cgroup_create(const struct cgroup_request *r, struct cgroup **ret, struct err *e);
/* For CLONE_INTO_CGROUP: a directory descriptor (borrowed), or -1 when cgroup_enter must do it. */
int cgroup_clone_fd(const struct cgroup *c);
/* Puts a process in; the first one of a systemd scope makes the scope and applies the limits. The
 * process must not yet have a cgroup namespace of its own. Nothing to do where there is no group.
 */
int cgroup_enter(struct cgroup *c, pid_t pid, struct err *e);
/* What a record keeps, and back. load: -ENOENT when the group is gone. NULL record: "disabled". */
json_t *cgroup_emit(const struct cgroup *c);
int cgroup_load(const json_t *record, struct cgroup **ret, struct err *e);
/* The group for an exec. path ("exec --cgroup") is below the container's and must exist; no "..".
 * NULL: the container's own or, where that has handed its controllers to groups below and so takes
 * no processes, the one below it that init (the container's first process) is in. Owned. */
int cgroup_open_child(const struct cgroup *c, const char *path, pid_t init, struct cgroup **ret,
                      struct err *e);
const char *cgroup_path(const struct cgroup *c); /* below /sys/fs/cgroup; "" when disabled */

/* Without a group (disabled, or see cgroup_create) these are -ENOTSUP with a message; frozen is
 * false, destroy fine. */
int cgroup_update(struct cgroup *c, const json_t *resources, struct err *e);
int cgroup_freeze(struct cgroup *c, bool freeze, struct err *e); /* waits until it is so */
bool cgroup_frozen(const struct cgroup *c);
/* Every process of the group and of those below; cgroup.kill for SIGKILL. Does not wait. */
int cgroup_kill(struct cgroup *c, int sig, struct err *e);
/* Of the group and those below, in our pid namespace, ascending; owned. */
int cgroup_pids(const struct cgroup *c, pid_t **ret, size_t *ret_n, struct err *e);
/* "stats" of runc's `events`: cpu, memory, pids, blkio, hugetlb, rdma, pressure. Owned. */
int cgroup_stats(const struct cgroup *c, json_t **ret, struct err *e);
/* Kills what is left, waits for its end, removes the group and those below. Fine when it is gone
 * already. A group that was there before us stays, empty. */
int cgroup_destroy(struct cgroup *c, struct err *e);
void cgroup_close(struct cgroup *c); /* frees; the group stays */
static inline void scoped_cgroup_fn(struct cgroup **c)
{
    cgroup_close(*c);
}
#define scoped_cgroup SCOPED(scoped_cgroup_fn)
