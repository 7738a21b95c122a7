/* userns - id maps: which host ids a container sees as which, and how the kernel is told.
 *
 * user_namespaces(7), newuidmap(1), subuid(5). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/proc.h"
#include "base/scoped.h"

struct idmap_line {
    uint32_t inside, outside, count;
};

#define IDMAP_MAX 340 /* lines the kernel accepts (since 4.15) */

struct idmap {
    struct idmap_line *v; /* owned */
    size_t n;
};

struct userns_map {
    struct idmap uid, gid;
    bool single; /* one id only: no subordinate ids were there, setgroups is denied */
};

/* The subordinate ranges of a user (subuid(5) files; by name and by number), largest first. */
int userns_subids(const char *file, uid_t uid, const char *user, struct idmap *ret, struct err *e);

/* The command that gives a user 65536 ids which nobody has; user NULL: "$USER". Owned. */
char *userns_subids_fix(const char *user);

/* Builds the map for a --userns mode: "" or "default" (0 is the caller), "keep-id[:uid=N,gid=N]",
 * "auto[:size=N]"/"isolated" (0 is a subordinate id), "nomap" (as isolated with all subordinate
 * ids), "host" (without root there is no container without a user namespace: the default map;
 * refused for the host's root). uidmap/gidmap: explicit
 * --uidmap/--gidmap entries "inside:outside:count" or NULL. As root of the host: 0 is the first
 * subordinate id of root, or 524288 (to 589823) when /etc/subuid has no line for it. As root of a
 * user namespace: all its ids, each as itself. Single-id mode when no subordinate
 * ids exist: ret->single, and *ret_notice (owned) tells so. */
int userns_map_build(const char *mode, char *const *uidmap, char *const *gidmap,
                     struct userns_map *ret, char **ret_notice, struct err *e);
/* The map images are unpacked under: the default one. */
int userns_map_default(struct userns_map *ret, struct err *e);
void userns_map_release(struct userns_map *m);
#define scoped_userns_map SCOPED(userns_map_release)
bool userns_map_equal(const struct userns_map *a, const struct userns_map *b);
/* The host id of an inside id, or -1 when it is not mapped; and back. */
int64_t idmap_to_host(const struct idmap *m, uint32_t inside);
int64_t idmap_to_inside(const struct idmap *m, uint32_t host);

/* Writes both maps for a child that sits in a new user namespace: directly when allowed (single
 * id, root), else by newuidmap and newgidmap, both started before either is waited for. Failures
 * are recognised (no subuid line, helper missing, not setuid, AppArmor, sysctl) and hinted. */
int userns_map_write(pid_t pid, int pidfd, const struct userns_map *map, struct err *e);
/* The same in two steps, so that the caller has something else to do while the helpers run. A
 * finish without a start that succeeded (all zero) does nothing. pid: not reaped before the finish.
 */
struct userns_mapping {
    bool running;
    struct proc_child uid, gid;
    char uid_helper[64], gid_helper[64];
};
int userns_map_start(pid_t pid, const struct userns_map *map, struct userns_mapping *ret,
                     struct err *e);
int userns_map_finish(struct userns_mapping *m, struct err *e);

/* Becomes ids 0:0 (or the first mapped id) in the user namespace just entered, with no
 * supplementary groups where that is allowed. */
int userns_become_root(bool single, struct err *e);

/* Runs fn in a child inside a new user namespace with this map (plus the namespaces in
 * extra_flags, CLONE_NEWNS for instance), as its root. fn's result: 0, or negative errno with e
 * filled, which crosses back to the caller. Descriptors are inherited. Used for trees whose files
 * belong to subordinate ids. */
int userns_run(const struct userns_map *map, uint64_t extra_flags,
               int (*fn)(void *data, struct err *e), void *data, struct err *e);

/* The same; early runs first in the child, in the new namespaces but still with the caller's own
 * ids, while the maps are written: for what the map's root may not open (a user's directories when
 * id 0 is a subordinate one). */
int userns_run_early(const struct userns_map *map, uint64_t extra_flags,
                     int (*early)(void *data, struct err *e), int (*fn)(void *data, struct err *e),
                     void *data, struct err *e);

/* Runs fn in a child that has joined the user namespace of the process behind pidfd (and those of
 * more_flags, CLONE_NEWNS for instance), as its root. The child cannot be traced from in there.
 * fn's result as above; -ESRCH when the process has ended. */
int userns_run_in(int pidfd, uint64_t more_flags, int (*fn)(void *data, struct err *e), void *data,
                  struct err *e);

/* Takes this process itself into a new user namespace with this map (and the namespaces of
 * extra_flags), as its root. It must have one thread only. Failing, it may be inside already. */
int userns_enter(const struct userns_map *map, int extra_flags, struct err *e);

/* Whether we are in the user namespace that the machine began with. By the inode number, which is
 * fixed (PROC_USER_INIT_INO of <linux/proc_ns.h>): ids tell nothing, since a nested namespace can
 * map all of them to themselves. */
bool userns_is_initial(void);

/* Login name of uid, or NULL. Owned. */
char *userns_user_name(uid_t uid);

/* Explains why clone(CLONE_NEWUSER) failed here with errnum: sets message and hint. Returns
 * -errnum. */
int userns_explain(int errnum, struct err *e);
