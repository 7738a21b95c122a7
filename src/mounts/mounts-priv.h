/* mounts-priv - what the files of this folder share. */
#pragma once

#include "mounts/mounts.h"
#include "sys/mountfd.h"

#define scoped_mount_options SCOPED(mount_options_release)

struct mounts {
    const struct spec *spec;
    const struct mounts_env *env;
    uint64_t propagation; /* of the root; 0: as it is */
    int root;             /* the attached root, borrowed from env */
    int null_fd;          /* O_PATH of the host's /dev/null, verified; owned */
    int empty;     /* an attached, empty, read-only tmpfs that further masks clone, or -1; owned */
    int *later_ro; /* mounts that become read-only at the end (tmpfs with "ro"); owned */
    size_t n_later_ro;
    char **kernel_mounts; /* without pivot_root(2): pivot_find_kernel_mounts; owned */
};

/* root.c: spec->mounts[i]. later_ro has room for one more. */
int mount_one(struct mounts *c, size_t i, struct err *e);

/* target.c: what a mount is put on. kind: S_IFDIR or S_IFREG. Makes what is missing. O_PATH fd. */
int target_open(int root, const char *path, mode_t kind, struct err *e);
/* "/proc", "/sys" and "/dev" of an image must not be symbolic links. 0 or -ELOOP. */
int target_refuse_symlink(int root, const char *path, struct err *e);

/* Rules for what lies below /proc (path: cleaned; is_proc: what is mounted is a procfs): there
 * kernel files decide about the host. 0 or -EPERM. */
int target_check_proc(const char *path, bool is_proc, struct err *e);

/* bind.c */
int bind_open_source(const char *bundle, const char *source, const struct mount_options *o,
                     struct err *e);
/* O_PATH of a host path that leads through no link (MOUNT_SOURCE_IS_REAL). */
int bind_open_real(const char *source, struct err *e);
int bind_attach(int tree, const struct mount_options *o, int target, struct err *e);
/* mount_setattr where "no such change" (EPERM on a locked flag) may be lived with. */
int bind_setattr(int tree, bool recursive, uint64_t set, uint64_t clear, struct err *e);
int bind_propagation(int tree, uint64_t propagation, struct err *e); /* MS_... | MS_REC */
bool mount_is_bind(const struct spec_mount *m, const struct mount_options *o);

/* idmap.c */
bool idmap_wanted(const struct spec_mount *m, const struct mount_options *o);
/* Maps the ids of a detached mount by the mount's mappings, or else by the container's user
 * namespace; inside: that is ours. */
int idmap_apply(const struct spec *s, const struct spec_mount *m, const struct mount_options *o,
                bool inside, int tree, struct err *e);

/* cgroup.c: the container's part of the cgroup2 hierarchy as a detached mount; -EPERM when there is
 * none that could be shown. target: what it is for; something is attached there in between. */
int cgroup_mount(struct mounts *c, const struct spec_mount *m, const struct mount_options *o,
                 int target, struct err *e);

/* new.c: a file system of its own. */
int new_mount(struct mounts *c, const struct spec_mount *m, const struct mount_options *o,
              struct err *e);

/* dev.c */
int dev_open_null(struct err *e);
int dev_populate(struct mounts *c, struct err *e);

/* pivot.c: where the host has a whole proc or sysfs. With chroot(2) its mounts stay in the
 * namespace, and while one of these is among them the kernel lets a user namespace in the container
 * mount one of its own, without masks. */
int pivot_find_kernel_mounts(char ***ret, struct err *e);

/* mask.c */
int mask_apply(struct mounts *c, struct err *e);
