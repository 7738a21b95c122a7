/* storage-priv - what the files of this folder share. */
#pragma once

#include "storage/storage.h"

extern const struct storage_driver storage_overlay, storage_fuse, storage_copy, storage_dir;

/* ids.c: files unpacked under one map, shown in a container with another. */
struct storage_shift {
    const struct userns_map *from, *to; /* the store's and the container's */
    bool direct;                        /* we are root of the host and see host ids */
};
/* Is there anything to change between these maps? */
bool shift_needed(const struct userns_map *from, const struct userns_map *to);
/* tree_copy's shift function; data is a const struct storage_shift. */
int shift_ids(void *data, uint32_t *uid, uint32_t *gid, struct err *e);
/* Names a pair of maps in a file name. 16 digits and a terminator. */
void shift_hash(const struct storage_shift *s, char ret[static 17]);
struct tree_copy;
int shift_setup(const struct storage_shift *s, struct tree_copy *t, struct err *e);

/* Runs fn where files of all ids of the map can be handled: directly as root of the host, else as
 * the root of a throw-away user namespace. */
int run_as_owner(const struct userns_map *map, int (*fn)(void *data, struct err *e), void *data,
                 struct err *e);

/* progress.c: tree_copy's tick; one line on stderr when the work takes long. */
struct storage_progress {
    const char *what;
    bool quiet, terminal, shown;
    int64_t next_ns;       /* when it is told again */
    uint64_t files, bytes; /* of the trees before this one */
    uint64_t now_files, now_bytes;
};
void progress_begin(struct storage_progress *p, const char *what, bool quiet);
void progress_tree(struct storage_progress *p, struct tree_copy *t); /* the next one */
void progress_end(struct storage_progress *p);

/* remove.c: what storage_remove removes, by who may. */
int storage_remove_parts(int dir, struct err *e);
/* remover.c: false when it is to be removed in the ordinary way, or could not be. */
bool storage_remover_remove(const char *path);

/* overlay.c */
enum overlay_form { OVERLAY_BY_FD, OVERLAY_BY_NAME, OVERLAY_CLASSIC };
int overlay_mount_form(const struct storage_root *r, const struct storage_fds *f,
                       enum overlay_form form, struct err *e);

/* server.c: what storage_serve maps by. */
void storage_note_map(const struct userns_map *map, struct storage_root *r);

/* confine.c: before fuse-overlayfs runs. A rule set, or -1 where there is none; add what it needs;
 * then for ever (after no_new_privs). */
int confine_begin(void);
int confine_allow(int set, int dir, bool change);
int confine_end(int set);

/* probe.c: runs fn(single, why) in an empty directory below root, in throw-away user and mount
 * namespaces; fn's answer, or -errno when the namespaces could not be had. */
int probe_run(const char *root, const struct userns_map *map,
              int (*fn)(bool single, char why[static 256]), char why[static 256], struct err *e);
int probe_overlay(bool single, char why[static 256]);
int probe_data_only(bool single, char why[static 256]);
int probe_fuse(bool single, char why[static 256]);
int probe_copy(bool single, char why[static 256]);

/* shift.c: the trees of layers for another map. *ret_layers, *ret_data: owned. */
enum shift_how { SHIFT_METADATA, SHIFT_FUSE, SHIFT_COPY };
int shift_choose(const struct storage_create *c, const struct storage_shift *s, enum shift_how *ret,
                 struct err *e);
int shift_layers(const struct storage_create *c, const struct storage_shift *s, bool metadata,
                 char ***ret_layers, char ***ret_data, struct err *e);
