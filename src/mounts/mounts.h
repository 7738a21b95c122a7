/* mounts - the inside of a container's file system: from a root mount to a pivoted "/".
 *
 * Runs as the mapped root in the new mount namespace. Targets are resolved below the root by
 * openat2, missing ones are made part by part, mounts are attached fd to fd (security.md 1.2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "spec/spec.h"

struct mounts_env {
    int root_mount;      /* detached mount of the root file system; owned by the caller */
    int root_at;         /* O_PATH of the host's directory that it is attached to, where hooks of
                            the host look for it (bundle and root.path); -1: on "/" */
    bool no_pivot;       /* the root is moved over "/" in place of pivot_root(2) */
    bool own_netns;      /* sysfs can be mounted; else the host's /sys is bound read-only */
    bool own_pidns;      /* proc can be mounted; else the host's /proc is bound */
    bool own_ipcns;      /* mqueue can be mounted; else the host's /dev/mqueue is bound */
    bool in_userns;      /* device nodes are bound, not made */
    const int *bind_fds; /* per spec mount: a tree fd the caller opened (or -1, then it is opened by
                            its source); NULL: all by source. See mounts_open_sources */
    bool idmapped;       /* those of mounts_open_idmapped are among them */
    const char *bundle;  /* relative sources are looked for here; NULL: in the working directory */
};

/* Makes every mount of this namespace a slave, so that nothing done here reaches the host and the
 * host's later mounts still arrive. The functions below do it themselves. Returns 0 or -errno. */
int mounts_isolate(struct err *e);

/* A descriptor, now -1, for each mount of spec; and the end of it (NULL is fine). */
int *mounts_new_fds(const struct spec *spec);
void mounts_close_fds(const struct spec *spec, int *fds);

/* Has any mount id mappings of its own, or the option "idmap"? */
bool mounts_any_idmapped(const struct spec *spec);
/* Opens and maps the sources of those mounts: only who owns a file system may map its ids, so this
 * runs before the clone, as root of the host. ret_fds as below; the others stay untouched. Nothing
 * of it shows in the caller's mounts. -EPERM, -EINVAL with a hint where the kernel or the file
 * system cannot do it. mount_setattr(2) */
int mounts_open_idmapped(const struct spec *spec, const char *bundle, int *ret_fds, struct err *e);

/* Opens the sources of all bind mounts (open_tree(2) with OPEN_TREE_CLONE): for i < spec->n_mounts,
 * ret_fds[i] (of mounts_new_fds) is then a descriptor, or -1 for mounts without a source. One that
 * is open already stays.
 *
 * Wants a process that is already in the new user and mount namespaces but still has the user's own
 * ids: before userns_become_root, at best while the parent writes the maps. Only so do a user's
 * private directories and supplementary groups count when id 0 of the map is somebody else
 * (--userns auto, or root of the host). A missing one is -ENOENT `mount /data: source "/x" does not
 * exist`. */
int mounts_open_sources(const struct spec *spec, const char *bundle, int *ret_fds, struct err *e);

/* A file system between its two steps; mounts_free accepts NULL. */
struct mounts;

/* The first step: attaches the root, performs spec->mounts in order and fills /dev (nodes, links,
 * ptmx; console is the caller's). "/" is still the host's and everything can be written, as the
 * hooks prestart, createRuntime and createContainer want it. env and the descriptors in it are
 * used until mounts_pivot. Every message begins with the destination: "mount /data: ". */
int mounts_prepare(const struct spec *spec, const struct mounts_env *env, struct mounts **ret,
                   struct err *e);
/* The second step: the working directory where nothing can be made later, masked and read-only
 * paths, read-only mounts and root; pivots into the root and detaches the old one; rootfs
 * propagation. After it "/" is the container's and nothing of the host is reachable. */
int mounts_pivot(struct mounts *m, struct err *e);
void mounts_free(struct mounts *m);
/* Both. */
int mounts_enter(const struct spec *spec, const struct mounts_env *env, struct err *e);

/* For a container that runs, in its namespaces: performs spec->mounts below env->root_mount, its
 * "/"; bind_fds were opened in a namespace that had the host's mounts. Those before one that fails
 * stay. */
int mounts_add(const struct spec *spec, const struct mounts_env *env, struct err *e);
/* -EPERM for "/", /proc, /sys, /dev and what spec masks or makes read-only: it protects the host.
 */
int mounts_check_removable(const struct spec *spec, const char *path, struct err *e);
/* Detaches the mount at path below root, unless it is one of those, whatever links lead to it.
 * -EINVAL when that is no mount point. fds_dir: our own /proc/self/fd, opened outside; the working
 * directory becomes another. source: what must be mounted there, -EPERM; NULL or st_ino 0:
 * anything.
 */
int mounts_remove(const struct spec *spec, int root, int fds_dir, const char *path,
                  const struct stat *source, struct err *e);

/* Copy-up: fills an empty volume directory (fd) with what the image holds at path below root_fd:
 * owners, modes, times, xattrs, links. A symbolic link at path is refused by name; a missing path,
 * or one that is no directory, copies nothing. The volume's root gets the directory's owner and
 * mode too. */
int mounts_copy_up(int root_fd, const char *path, int volume_fd, struct err *e);

/* An option of our own. As in mount(8), words that begin with "x-" are for programs, not for the
 * kernel. */
#define MOUNT_SOURCE_IS_REAL "x-rootlet.real"

/* Parses one mount's options (OCI list) into attributes; used by validation too. */
struct mount_options {
    uint64_t attr_set, attr_clear;         /* MOUNT_ATTR_* */
    uint64_t rec_attr_set, rec_attr_clear; /* rro, rnoexec, ... */
    uint64_t propagation;                  /* MS_PRIVATE, ... | MS_REC; 0 = not given */
    uint64_t propagation_then;             /* a second one, after it */
    bool bind, recursive, tmpcopyup, copy_symlink, idmap, ridmap, remount;
    bool source_is_real; /* MOUNT_SOURCE_IS_REAL: no part of the way to the source, or to a
                            directory that an overlay shows, may be a link */
    char *idmap_text;    /* of "idmap=uids=...;gids=..."; owned */
    char *data;          /* the rest, comma separated; owned; NULL when nothing is left */
};
/* -EINVAL for more than two propagations; unknown words go to data, empty ones nowhere. */
int mount_options_parse(char *const *options, struct mount_options *ret, struct err *e);
void mount_options_release(struct mount_options *o);
/* All words that are understood, sorted, without those of single file systems. Owned. */
char **mount_option_words(void);
