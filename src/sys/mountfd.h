/* mountfd - the new mount API (fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2),
 * mount_setattr(2)), with the kernel's own explanation in the error. All return 0/fd or -errno;
 * descriptors are close-on-exec and the caller's. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* MOUNT_ATTR_*, OPEN_TREE_*, MOVE_MOUNT_*, FSCONFIG_* come from <linux/mount.h>, which cannot be
 * included beside <sys/mount.h> of old C libraries. */
#include <linux/mount.h>

/* OVL_MAX_STACK of the kernel: lower layers of an overlay, data-only ones too, without the upper.
 */
#define MOUNTFD_OVERLAY_LOWERS 500

int mountfd_open(const char *fstype, struct err *e);         /* fsopen */
int mountfd_flag(int fs_fd, const char *key, struct err *e); /* FSCONFIG_SET_FLAG */
/* value: at most 255 bytes, a limit of fsconfig(2); -E2BIG above. */
int mountfd_string(int fs_fd, const char *key, const char *value, struct err *e);
int mountfd_fd(int fs_fd, const char *key, int fd, struct err *e); /* FSCONFIG_SET_FD */
/* Options "a=b,c", set one by one. */
int mountfd_options(int fs_fd, const char *options, struct err *e);
/* Changes options of the file system that is mounted at fd (fspick(2)). */
int mountfd_reconfigure(int fd, const char *options, struct err *e);
/* FSCONFIG_CMD_CREATE + fsmount with MOUNT_ATTR_* attributes: a detached mount. */
int mountfd_mount(int fs_fd, uint64_t attr, struct err *e);
/* All in one; source and options may be NULL. */
int mountfd_new(const char *fstype, const char *source, const char *options, uint64_t attr,
                struct err *e);
/* open_tree(OPEN_TREE_CLONE [| AT_RECURSIVE]) of what (dirfd, path) names; path "" is dirfd. */
int mountfd_clone(int dirfd, const char *path, int recursive, struct err *e);
/* move_mount(mnt_fd, "" -> target_fd, ""), both by descriptor. */
int mountfd_attach(int mnt_fd, int target_fd, struct err *e);
/* mount_setattr on a mount fd: attributes to set and clear, propagation (MS_SLAVE..., 0 = leave).
 */
int mountfd_setattr(int mnt_fd, int recursive, uint64_t set, uint64_t clear, uint64_t propagation,
                    struct err *e);
