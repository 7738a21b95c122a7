/* storage-priv - what the files of this folder share. */
#pragma once

#include "storage/storage.h"

#define OVERLAY_MAX_LOWERS 500 /* OVL_MAX_STACK of the kernel */

extern const struct storage_driver storage_overlay, storage_copy, storage_dir;

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

/* remove.c: what storage_remove removes, by who may. */
int storage_remove_parts(int dir, struct err *e);
/* remover.c: false when it is to be removed in the ordinary way, or could not be. */
bool storage_remover_remove(const char *path);

/* overlay.c */
enum overlay_form { OVERLAY_BY_FD, OVERLAY_BY_NAME, OVERLAY_CLASSIC };
int overlay_mount_form(const struct storage_root *r, const struct storage_fds *f,
                       enum overlay_form form, struct err *e);

/* probe.c: runs fn(single, why) in an empty directory below root, in throw-away user and mount
 * namespaces; fn's answer, or -errno when the namespaces could not be had. */
int probe_run(const char *root, const struct userns_map *map,
              int (*fn)(bool single, char why[static 256]), char why[static 256], struct err *e);
int probe_overlay(bool single, char why[static 256]);
int probe_data_only(bool single, char why[static 256]);
int probe_copy(bool single, char why[static 256]);

/* shift.c: the trees of layers for another map. *ret_layers, *ret_data: owned. */
int shift_layers(const struct storage_create *c, const struct storage_shift *s, char ***ret_layers,
                 char ***ret_data, struct err *e);
