/* fs - files and directories of the host that belong to rootlet: read whole, write by rename. */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/scoped.h"

/* Reads a whole file of at most max bytes. *ret is owned and zero terminated. Returns the length,
 * -EFBIG above max, or -errno. dirfd may be AT_FDCWD. */
ssize_t fs_read(int dirfd, const char *name, size_t max, char **ret, struct err *e);
/* Reads what fd still gives, up to max bytes; as fs_read. */
ssize_t fs_read_fd(int fd, size_t max, char **ret, struct err *e);
/* Writes all n bytes, restarting after EINTR and short writes. Returns 0 or -errno. */
int fs_write_all(int fd, const void *data, size_t n);

enum fs_sync { FS_NO_SYNC, FS_SYNC };
/* Replaces the file by one that holds data: temporary name (".tmp-" and 16 hex digits), write,
 * (fdatasync,) rename, (fsync of the directory). A reader sees the old or the new content, never a
 * part. mode is set whatever the umask. */
int fs_write_atomic(int dirfd, const char *name, const void *data, size_t n, mode_t mode,
                    enum fs_sync sync, struct err *e);
/* Writes text to an existing (kernel) file by one write(2). */
int fs_write_text(int dirfd, const char *name, const char *text, struct err *e);

/* mkdir -p of a host path with mode for the missing parts. */
int fs_mkdirs(const char *path, mode_t mode, struct err *e);
/* Opens a directory O_RDONLY|O_DIRECTORY|O_CLOEXEC, making it (and its parents) first if wanted. */
int fs_open_dir(const char *path, bool make, mode_t mode, struct err *e);
/* The next entry of a directory, NULL at its end; *ret is then 0, or -errno of what could not be
 * read: half a directory must not pass for a whole one. */
struct dirent *fs_next_entry(DIR *d, int *ret);
/* rm -rf of name below dirfd, never following a link nor entering a mount (-EBUSY), with bounded
 * descriptors; own directories without permission bits are given them. ENOENT is success. */
int fs_remove_tree(int dirfd, const char *name, struct err *e);
/* What the files of a tree hold: no holes, no directories, links counted once, no other mounts.
 * disk: the blocks that they take, directories too. hidden: there is something that we may not
 * read. Other errors are skipped; nothing there is 0. */
struct fs_size {
    uint64_t bytes, disk;
    bool hidden;
};
void fs_tree_size(int dirfd, const char *name, struct fs_size *ret);
