/* tree - the writer of an unpacked layer: entries in archive order become files below one
 * directory.
 *
 * Every step is relative to a descriptor of a verified parent, which is resolved with no symbolic
 * link in the path at all: links of the layer are first resolved by us, inside the root. A worker
 * is the only one who writes there, so nothing can change between check and use; RESOLVE_IN_ROOT
 * holds even if that were wrong. Names arrive as normalised by entry.h. */
#pragma once

/* On files whose owner was squashed: "UID:GID" of the archive. */
#define TREE_OWNER_XATTR "user.rootlet.owner"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/err.h"
#include "base/str.h"
#include "layer/entry.h"
#include "layer/layer.h"
#include "layer/split.h"

struct userns_map;

struct tree_dir {
    struct timespec mtime;
    mode_t mode; /* special bits to set, 0: none */
    uint16_t len;
    uint8_t kind; /* enum tree_dir_kind */
};
enum tree_dir_kind {
    TREE_DIR_ENTRY,
    TREE_DIR_IMPLIED, /* made for what is below it */
    TREE_DIR_HIDDEN,  /* no more than: it does not inherit */
};

struct tree {
    int root_fd;     /* diff/ */
    int replaced_fd; /* replaced/: where replaced entries go that split still needs */
    const struct userns_map *map;
    const struct layer_limits *limits;
    bool squash, want_whiteouts;
    const struct more_ids { /* for the hint on an owner outside the map; may be NULL */
        char user[64];
        uint64_t first; /* behind all ranges given to anyone */
    } * more_ids;
    struct split_writer *split;  /* NULL: no headers are kept */
    struct layer_result *result; /* counters and notes go here */

    /* The last parent directory: as named by the archive, and where that really is. */
    struct tree_parent {
        int fd; /* O_PATH, -1: none */
        char named[PATH_MAX], real[PATH_MAX];
    } parent;

    /* Directories whose times (and set-id bits) are set at the end, since entries made in them
     * change the times and inherit the group. Packed struct tree_dir + path. */
    struct str dirs;
    uint64_t n_implied;            /* records of that kind among them */
    struct timespec implied_mtime; /* for directories that no entry makes: of the entry in work */
    bool whiteout_by_link;         /* noted once */
    bool dir_replaced; /* earlier records may be of directories that are gone: each sets its mode */
    bool owner_noted;  /* TREE_OWNER_XATTR was set somewhere: a later entry may take it back */
    bool acl_default;  /* a default ACL was set somewhere: modes of new entries need a chmod */

    uint64_t budget;   /* bytes that may still be written, by the free space at the start */
    uint64_t replaced; /* numbers given in replaced/ */

    /* The open regular file. */
    int file_fd;
    uint64_t file_at; /* offset of the descriptor */
    uint64_t file_id; /* counts them, for split_content */
    uint64_t file_size;
    char file_path[PATH_MAX];
};

/* root_fd and replaced_fd are borrowed. The other public fields are set by the caller afterwards.
 */
int tree_init(struct tree *t, int root_fd, int replaced_fd, struct err *e);
void tree_release(struct tree *t);

/* Makes one entry; for a regular file with content t->file_fd is then open until tree_file_end. */
int tree_add(struct tree *t, struct layer_entry *x,
             struct err *e); /* x's owner is squashed if need be */
int tree_file_write(struct tree *t, const void *data, size_t n, uint64_t offset, struct err *e);
int tree_file_end(struct tree *t, const struct layer_entry *x, struct err *e);
/* Times and set-id bits of directories. */
int tree_finish(struct tree *t, struct err *e);
/* Writes the paths of directories that no entry made. In implied.c. */
int tree_write_implied(struct tree *t, int fd, struct err *e);

void tree_note(struct layer_result *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- between the parts of the writer --- */

/* The directory that holds path's last part in t->parent (made when missing), that part in
 * *ret_name (borrowed from path). for_whiteout: returns 1 when a part of the way is a whiteout or a
 * file, where nothing needs hiding any more. */
int tree_open_parent(struct tree *t, const char *path, bool for_whiteout, const char **ret_name,
                     struct err *e);
void tree_forget_parent(struct tree *t);
/* The real path of name in t->parent. */
int tree_real_path(const struct tree *t, const char *name, char ret[static PATH_MAX],
                   struct err *e);
/* openat2 of a directory, O_PATH, no symbolic link anywhere. fd or -errno. */
int tree_open_dir(int root_fd, const char *path);
void tree_later(struct tree *t, const char *path, mode_t mode, struct timespec mtime);
/* name in t->parent is hidden and made anew: nothing of lower layers' is left, neither owner nor
 * mode. */
int tree_hidden(struct tree *t, const char *name, struct err *e);
bool tree_is_whiteout(const struct stat *st);

/* Removes what is at name in t->parent, keeping content that split refers to. */
int tree_replace(struct tree *t, const char *name, const struct stat *st, struct err *e);

/* whiteout.c: x is a .wh. name. 1 = done, 0 = it is none, or -errno. */
int tree_whiteout_entry(struct tree *t, const struct layer_entry *x, struct err *e);
int tree_make_whiteout(struct tree *t, const char *name, struct err *e);
int tree_set_opaque(int parent_fd, const char *name, struct err *e);

/* xattr.c: those of x for the file or directory behind fd (not O_PATH). */
int tree_set_xattrs(struct tree *t, int fd, const struct layer_entry *x, struct err *e);
/* Counts what cannot be stored on x, which is neither file nor directory. */
void tree_skip_xattrs(struct tree *t, const struct layer_entry *x);
