/* mounts - the inside of a container's file system: from a root mount to a pivoted "/".
 *
 * Runs as the mapped root in the new mount namespace. Targets are resolved below the root by
 * openat2, missing ones are made part by part, mounts are attached fd to fd (security.md 1.2). */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "spec/spec.h"

struct mounts_env {
    int root_mount;      /* detached mount of the root file system; owned by the caller */
    bool own_netns;      /* sysfs can be mounted; else the host's /sys is bound read-only */
    bool own_pidns;      /* proc can be mounted */
    bool own_ipcns;      /* mqueue */
    bool in_userns;      /* device nodes are bound, not made */
    const int *bind_fds; /* per spec mount: a tree fd the caller opened (or -1); NULL: by source */
};

/* Performs spec->mounts in order, /dev (nodes, links, ptmx, console is the caller's), attaches the
 * root, pivots into it and detaches the old one; then masked and read-only paths, root read-only,
 * rootfs propagation. After it "/" is the container's and nothing of the host is reachable. */
int mounts_enter(const struct spec *spec, const struct mounts_env *env, struct err *e);

/* Copy-up: fills an empty volume directory (fd) with what the image holds at path below root_fd:
 * owners, modes, times, xattrs, links. A symbolic link at path is refused by name. */
int mounts_copy_up(int root_fd, const char *path, int volume_fd, struct err *e);

/* Parses one mount's options (OCI list) into attributes; used by validation too. */
struct mount_options {
    uint64_t attr_set, attr_clear;         /* MOUNT_ATTR_* */
    uint64_t rec_attr_set, rec_attr_clear; /* rro, rnoexec, ... */
    uint64_t propagation;                  /* MS_PRIVATE, ... | MS_REC */
    bool bind, recursive, tmpcopyup, copy_symlink, idmap, ridmap, remount;
    char *data; /* the rest, comma separated; owned */
};
int mount_options_parse(char *const *options, struct mount_options *ret, struct err *e);
