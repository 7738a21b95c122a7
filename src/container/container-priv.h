/* container-priv - what the files of this folder share. */
#pragma once

#include "container/container.h"

#define RECORD_VERSION 1
#define RECORD_MAX_BYTES (4u << 20)

/* Entries of ROOT/containers that are no containers: one that is being made, one that is being
 * removed. Who works on it holds a flock on the directory; without one it is debris. */
#define DIR_TMP ".tmp-"
#define DIR_RM ".rm-"
#define DIR_RM_VOLUMES DIR_RM "v-" /* the same, with its anonymous volumes */

/* Stands for the boot id in what was copied from another place while it ran. */
#define BOOT_OF_A_COPY "copy"

char *record_text(const struct ctr_record *rec); /* owned */
char *state_text(const struct ctr_state *s);     /* owned */
int state_parse(const char *text, size_t len, struct ctr_state *ret, struct err *e);
/* Makes s dead for this reason (copied). */
void state_set_dead(struct ctr_state *s, const char *reason);

/* Fast reader of what our own emitter writes: one flat, compact, ASCII object of known fields.
 * False on anything else, with ret partly filled: the caller releases it and takes the full
 * parser, which also has the error messages. */
bool scan_object(const char *text, size_t len, const struct jfield *table, void *ret);

/* Is dirfd/name there? Anything but a clear "no" counts as there. */
bool entry_exists(int dirfd, const char *name);

/* names/: reserve NAME for ID; -EEXIST (with message) when a container has it. A link whose
 * container is gone is taken over. */
int name_reserve(const struct conf *c, const char *name, const char *id, struct err *e);
/* Frees NAME if it is ID's; -errno: it may still be. */
int name_free(const struct conf *c, const char *name, const char *id);
/* Frees all names of ID, also those that an interrupted rename left. */
void names_free_all(const struct conf *c, const char *id);
bool container_is_removed(const struct conf *c, const char *id);
/* Was a rename of it interrupted, or is one under way? */
bool rename_unfinished(int dir_fd);
/* Then makes an end of it, unless its maker lives. */
void rename_recover(const struct conf *c, const char *id);
/* The id behind a name: 1 found, 0 not, -errno. */
int name_lookup(const struct conf *c, const char *name, char ret_id[static ID_LEN + 1],
                struct err *e);
/* The first name that leads to id (owned), or NULL: for containers whose records are broken. */
char *name_of_id(const struct conf *c, const char *id);
/* All names, owned; for suggestions. */
char **name_list(const struct conf *c);

/* Puts the new name into the state: by the supervisor while it lives. */
int container_rename_state(const struct conf *c, struct container *ctr, const char *name,
                           struct err *e);
/* container_derive for many: boot_id is that of this boot. */
void derive_state(const struct conf *c, const char *boot_id, struct ctr_state *s);

/* Is this very process alive? A zombie, which keeps its number and start time, is not. */
bool ctr_process_alive(pid_t pid, uint64_t start);
/* The lock without any waiting: fd or -errno. */
int container_lock_now(const struct conf *c, const char *id);
/* As container_connect, but a container without a supervisor is left alone. */
int client_connect(const struct conf *c, const char *id, struct err *e);

/* Does the state name a group of this container, not one that a damaged or copied file leads to? */
bool group_is_own(const struct ctr_state *s);

/* Takes a directory that an interrupted command left in containers/ away. containers_fd is
 * borrowed. */
void sweep_entry(const struct conf *c, int containers_fd, const char *name);
/* RUN_ROOT/ID of a container that is no more, unless somebody has its lock. */
void sweep_lock(const struct conf *c, const char *id);
/* The same, with all else that was the container's: names, volumes, run directory. */
void sweep_debris(const struct conf *c, int containers_fd, const char *name);
