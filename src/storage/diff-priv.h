/* diff-priv - the lower layers of a directory, seen as one, for diff. */
#pragma once

#include <sys/stat.h>

#include "storage/diff.h"
#include "storage/storage-priv.h"

/* What counts of an inode; directories can have many entries. */
struct diff_inode {
    mode_t mode; /* 0: there is none */
    uid_t uid;
    gid_t gid;
    bool whiteout;
    uint64_t rdev, size;
    struct timespec mtime;
};

/* A name of a directory: in the tree, and in the lower layers. */
struct diff_entry {
    char *name; /* owned */
    struct diff_inode tree, lower;
    bool settled; /* a layer has said what the lower layers have */
};

struct diff_dir {
    struct diff_entry *v; /* sorted by name */
    size_t n, alloc;
};
void diff_dir_release(struct diff_dir *d);
void diff_dir_add(struct diff_dir *d, const char *name);
void diff_dir_sort(struct diff_dir *d);

/* The layers, topmost first; of a directory only the first `n` show (those below are hidden by an
 * opaque directory, a file or a whiteout). */
struct diff_lower {
    const int *fds;
    size_t n;
};

/* Opens a directory below a descriptor whatever the length of its path ("" is itself); no links.
 * fd or -errno; e is not set. */
int diff_open_dir(int root, const char *path);
/* Looks name up in dir; 0, or -errno with e untouched. */
int diff_stat(int dir, const char *name, struct diff_inode *ret);
bool diff_is_opaque(int dir);
/* Reads the names of a directory into d; 0 or -errno. */
int diff_read_names(int dir, struct diff_dir *d);

/* What the lower layers have of path's entries: fills lower. With all set, entries that only they
 * have are added. */
int diff_lower_look(const struct diff_lower *l, const char *path, struct diff_dir *d, bool all,
                    struct err *e);
/* How many of l's layers show in the directory path, which is in those that show in its parent. */
size_t diff_lower_below(const struct diff_lower *l, const char *path);
/* Do the extended attributes of path differ? For files that are the same to stat. */
bool diff_xattrs_differ(const struct diff_lower *l, const char *path, int tree_dir,
                        const char *name);
