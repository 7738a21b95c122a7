/* storage - the root file system of a container: layers stacked by a driver.
 *
 * Plan data (struct storage_root) is made by the caller, kept in the container's record, and
 * mounted inside the container's namespaces by its mapped root. Drivers: overlay (kernel,
 * userxattr), fuse-overlayfs (a program), copy (a private copy of the flattened layers), dir (a
 * plain directory). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/jfield.h"
#include "userns/userns.h"

struct storage_server; /* below */

struct storage_root {
    char *driver;       /* "overlay", "fuse-overlayfs", "copy", "dir" */
    char **layers;      /* absolute host paths of layer trees, topmost first */
    char **data_layers; /* data-only lower layers of shifted trees (overlay), may be NULL */
    char *upper, *work; /* absolute; NULL: mounted read-only without an upper */
    char *dir;          /* copy, dir: the tree itself */
    bool is_volatile;   /* overlay "volatile": contents may be lost in a crash (--rm) */
    bool readonly;      /* what was asked for. storage_mount gives a writable root nevertheless, so
                           that mount points can be made; mounts_enter closes it at the end */
    /* fuse-overlayfs: "INSIDE OUTSIDE COUNT", the map that all its files are stored with, the
     * upper's too, whatever the container's own map is. */
    char **uid_map, **gid_map;
    json_t *extra;

    bool quiet;                          /* of its making */
    const struct storage_server *server; /* of one run, borrowed: see storage_serve */
};
extern const struct jfield storage_root_fields[];
void storage_root_release(struct storage_root *r);
#define scoped_storage_root SCOPED(storage_root_release)

/* The directories of a storage_root, opened: see storage_open. */
struct storage_fds {
    int *lowers; /* r->layers, then r->data_layers; O_PATH; owned */
    size_t n_lowers, n_data;
    int upper, work; /* O_PATH; owned or -1 */
    int tree;        /* copy, dir: a detached clone of the tree's mount; owned or -1 */
};
#define STORAGE_FDS_INIT                                                                           \
    {                                                                                              \
        .upper = -1, .work = -1, .tree = -1                                                        \
    }
void storage_fds_release(struct storage_fds *f);
#define scoped_storage_fds SCOPED(storage_fds_release)

struct storage_shift; /* storage-priv.h: how ids change between two maps */

struct storage_driver {
    const char *name;
    /* 0 unusable, else the higher wins; why: one sentence for `rootlet info` and errors. Runs
     * inside a throw-away user + mount namespace with the default map, in an empty directory on the
     * file system in question, which it may fill. single: only one id is mapped. */
    int (*probe)(bool single, char why[static 256]);
    /* Makes what the container needs on disk (upper, work, a copy): in a userns_run child with the
     * store's map, or as root of the host; paths are in r. shift: NULL when the ids are the
     * store's. */
    int (*prepare)(const struct storage_root *r, const struct storage_shift *shift, struct err *e);
    /* In the container's mount namespace, as its mapped root: a detached mount fd of "/". */
    int (*mount)(const struct storage_root *r, struct storage_fds *f, struct err *e);
};

/* By name; -EINVAL with the list of names for another. */
const struct storage_driver *storage_driver_get(const char *name, struct err *e);

/* Best driver for data below root: the cached answer of the probe (run_root/probe.<boot>.<dev>,
 * believed only when it is a file of our own that nobody else can write), or a fresh one. wanted:
 * NULL or "" = the best. map: the default map. *ret_why (owned) is the winner's sentence, with the
 * reasons of those that are unusable. -ENOTSUP when none, or not the wanted one, can work. */
int storage_choose(const char *root, const char *run_root, const char *wanted,
                   const struct userns_map *map, const struct storage_driver **ret, char **ret_why,
                   struct err *e);
/* Asks all drivers, for `rootlet info` and `doctor`: a start asks no further than to the first that
 * works. What it finds is in the sentence of storage_choose. */
int storage_look(const char *root, const char *run_root, const struct userns_map *map,
                 struct err *e);

/* Fills *ret and makes the directories for a new container: dir is containers/ID (absolute).
 * layer_dirs: topmost first. When map differs from the store's default map, shifted trees are made
 * (metadata tree with data-only lower where the kernel can, else a copy), outside any lock, and
 * kept beside the layers (layers/HEX/map-HASH/tree and objs, or copy-HASH/tree) for the next
 * container. fuse-overlayfs needs none, and is taken in place of a copy where it works. */
struct storage_create {
    const struct storage_driver *driver;
    const char *container_dir, *store_root;
    char *const *layer_dirs;
    const struct userns_map *map, *store_map;
    const char *run_root;
    const char
        *shift; /* for another map: "metadata", "fuse", "copy"; NULL, "" or "auto": the best */
    bool is_volatile, readonly;
    bool quiet; /* no progress of a long copy on stderr */
};
int storage_create(const struct storage_create *c, struct storage_root *ret, struct err *e);

/* By r->driver: a detached mount fd of the root file system. In the container's user and mount
 * namespaces, as its mapped root. */
int storage_mount(const struct storage_root *r, struct err *e);

/* The same in two steps, for maps whose id 0 is not the user (--userns auto, root of the host) and
 * so cannot enter the user's private directories: storage_open in the new namespaces but still with
 * the user's own ids (before userns_become_root; the maps need not be written yet), then
 * storage_mount_opened as the mapped root. Works for every map; storage_mount is short for both. */
int storage_open(const struct storage_root *r, struct storage_fds *ret, struct err *e);
int storage_mount_opened(const struct storage_root *r, struct storage_fds *f, struct err *e);

/* A driver whose file system is a program: its process. To be started by who stays outside the
 * container's namespaces, before them; storage_mount finds it in r->server. Nothing is done for
 * other drivers. here: this user namespace has the store's map already. */
struct storage_server {
    pid_t pid; /* 0: none */
    int pidfd, sock;
};
#define STORAGE_SERVER_INIT                                                                        \
    {                                                                                              \
        .pidfd = -1, .sock = -1                                                                    \
    }
int storage_serve(const struct storage_root *r, bool here, struct storage_server *ret,
                  struct err *e);
/* The root file system is mounted (or will not be). */
void storage_server_mounted(struct storage_server *s);
/* It was unmounted: waits for the process, which ends by that. */
void storage_server_end(struct storage_server *s);
#define scoped_storage_server SCOPED(storage_server_end)
/* Has r such a process? Its files have the store's ids then. */
bool storage_is_served(const struct storage_root *r);

/* Fills a new volume (an empty directory) with what the image holds at path: mounts_copy_up in
 * namespaces of its own, below a read-only mount of r's layers. The directory becomes the
 * container's root's when that is not the user. */
int storage_fill_volume(const struct storage_root *r, const struct userns_map *map,
                        const struct userns_map *store_map, const char *path, int volume_fd,
                        struct err *e);

/* What trees hold, as fs_tree_size. Those with directories of subordinate ids that the user may not
 * read are measured in a user namespace with the default map: one for all of them, if there is any.
 * -errno when that could not be had; what could be read is counted then. */
struct storage_tree {
    char *path; /* the caller's */
    struct fs_size size;
};
int storage_measure(struct storage_tree *v, size_t n, struct err *e);

/* Between these two, storage_remove needs one user namespace in all, if any, and not one each. */
void storage_remover_begin(void);
void storage_remover_end(void);

/* Deletes upper, work and copies of a container, or the _data of a volume, whose files belong to
 * subordinate ids. map: the container's or the store's. Nothing else in container_dir is touched.
 */
int storage_remove(const char *container_dir, const struct userns_map *map, struct err *e);
