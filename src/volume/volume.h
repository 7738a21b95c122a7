/* volume - named directories that outlive containers: ROOT/volumes/NAME/{_data,volume.json}.
 *
 * _data is owned by the user outside, which is root inside under the default map. A volume that is
 * new is filled from the image at its first use ("needs_copy_up" in volume.json).
 *
 * A volume with options has no data of its own: type=tmpfs is a tmpfs of each container, o=bind is
 * the directory that device= names.
 *
 * Who makes a container that mounts a volume holds a shared flock(2) on ROOT/volumes/NAME until the
 * container's record names it; who removes the volume takes it exclusively. What is being removed
 * was renamed to .rm-NAME-HEX first.
 *
 * An anonymous volume is its container's. While that one is being made there is a file .new-NAME,
 * which its maker holds a lock on: without one, the volume goes unless a container has it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/jfield.h"
#include "conf/conf.h"

struct volume {
    char *name;
    char *path; /* of _data, absolute; not stored */
    int64_t created_ns;
    bool anonymous, needs_copy_up;
    char **labels, **options; /* "key=value" */
    json_t *extra;
};
void volume_release(struct volume *v);
#define scoped_volume SCOPED(volume_release)

/* Opens an existing one. -ENOENT: no such volume, with a suggestion. */
int volume_open(const struct conf *c, const char *name, struct volume *ret, struct err *e);
/* Opens it for a container that is being made, making the volume when it is missing. *ret_lock: a
 * descriptor to be closed when the container's record is on disk. 1: it was made, 0, -errno. */
int volume_use(const struct conf *c, const char *name, bool anonymous, struct volume *ret,
               int *ret_lock, struct err *e);
/* Before volume_use makes an anonymous one: *ret_lock is to be closed when the container is there,
 * or is not to be. Before that volume_keep says that it is there, or the volume not. */
int volume_begin(const struct conf *c, const char *name, int *ret_lock, struct err *e);
void volume_keep(const struct conf *c, const char *name);
/* Makes v->name with v's labels and options, which must be good (volume_check_options). -EEXIST. */
int volume_create(const struct conf *c, struct volume *v, struct err *e);
/* Writes volume.json again (needs_copy_up has changed). */
int volume_write(const struct conf *c, const struct volume *v, struct err *e);
/* All, by name. Broken ones are left out. *ret is an owned array. */
int volume_list(const struct conf *c, struct volume **ret, size_t *ret_n, struct err *e);
void volume_list_free(struct volume *v, size_t n);

/* Refuses what a volume of this user cannot be, by name. */
int volume_check_options(char *const *options, struct err *e);
/* NULL: a plain volume; "tmpfs"; or "bind". */
const char *volume_kind(const struct volume *v);

/* For who removes it: nobody is making a container with it while the returned descriptor is open.
 * -ENOENT, -EBUSY: somebody is. */
int volume_lock(const struct conf *c, const char *name, struct err *e);
/* Takes it out of the list: *ret_debris (owned) is its new name below ROOT/volumes. */
int volume_set_aside(const struct conf *c, const char *name, char **ret_debris, struct err *e);
/* Names below ROOT/volumes that interrupted removals left; owned. */
char **volume_debris(const struct conf *c);
/* Names of anonymous volumes whose maker has not come to an end; owned. */
char **volume_orphans(const struct conf *c);
/* Takes one over from a maker that is no more: until the descriptor is closed no other begins it.
 * Negative when somebody has it. */
int volume_claim(const struct conf *c, const char *name);
