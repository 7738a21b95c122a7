/* record - the containers of rootlet-oci on disk: ROOT/ID/{config.json,state.json,start}.
 *
 * config.json is the configuration as it is run (with what was added to it), state.json what is
 * known about the init process, start the socket on which the init waits while "created".
 * The status is derived at each look: the pid's start time, the socket that somebody listens on,
 * the frozen cgroup. The directory itself is the lock (flock(2)): exclusive while a container is
 * made, started or deleted. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/jfield.h"
#include "base/scoped.h"
#include "cgroup/driver.h"
#include "spec/spec.h"

enum oci_status { OCI_CREATING, OCI_CREATED, OCI_RUNNING, OCI_PAUSED, OCI_STOPPED };
extern const char *const oci_status_names[]; /* "creating", ... as the specification has them */

/* state.json. */
struct oci_record {
    char *version; /* ociVersion of the configuration */
    char *id, *bundle, *rootfs;
    char **annotations; /* "key=value" */
    int64_t created_ns;
    uint32_t owner;     /* uid of who made it */
    int32_t pid;        /* 0: there is no init yet */
    uint64_t pid_start; /* field 22 of /proc/PID/stat */
    char *boot_id;
    json_t *cgroup; /* cgroup_emit(); NULL: none */
    bool systemd_cgroup, keep_keyring, no_pivot;
    json_t *extra;
};

struct oci_container {
    char *id;
    int dir_fd; /* ROOT/ID; holds the lock when taken */
    int pidfd;  /* of the init, or -1 when it has ended */
    enum oci_status status;
    bool locked; /* by us */
    struct oci_record rec;
};
#define OCI_CONTAINER_INIT                                                                         \
    {                                                                                              \
        .dir_fd = -1, .pidfd = -1, .status = OCI_STOPPED                                           \
    }
void oci_container_release(struct oci_container *c); /* closes and frees; the files stay */
#define scoped_oci_container SCOPED(oci_container_release)

/* Letters, digits and "_+.-", at most 255, neither "." nor "..". */
int oci_check_id(const char *id, struct err *e);

/* Opens a container and derives its status. -ENOENT: "container does not exist". One whose making
 * was cut short opens as stopped, with an empty record but for its id. */
int oci_open(const char *id, struct oci_container *ret, struct err *e);
/* As oci_open with the lock held until release: waits for who makes, starts or deletes it. */
int oci_open_locked(const char *id, struct oci_container *ret, struct err *e);
/* Derives the status anew. */
int oci_refresh(struct oci_container *c, struct err *e);
/* -EINVAL "container not running" unless the status is running or paused (or created). */
int oci_want_running(const struct oci_container *c, bool created_too, struct err *e);

/* While a container runs in the foreground others may change, and even delete it. To have the lock
   again waits for them; -ENOENT: it was deleted meanwhile, and the name may be another's. */
void oci_unlock(struct oci_container *c);
int oci_lock_again(struct oci_container *c, struct err *e);

/* A new, locked, empty container directory; -EEXIST: "container with id exists". */
int oci_make(const char *id, struct oci_container *ret, struct err *e);
int oci_write_record(const struct oci_container *c, struct err *e);
int oci_write_spec(const struct oci_container *c, const struct spec *spec, struct err *e);
int oci_read_spec(const struct oci_container *c, struct spec *ret, struct err *e);
/* Its cgroup, from the record; owned (cgroup_close). */
int oci_open_cgroup(const struct oci_container *c, struct cgroup **ret, struct err *e);
/* Removes the state directory; c must hold the lock. */
int oci_remove(struct oci_container *c, struct err *e);

/* The ids below the root, sorted; owned. An absent root has none. */
int oci_list(char ***ret_ids, struct err *e);
/* "state" of the specification, with runc's rootfs, created and owner if more. New reference. */
json_t *oci_state_json(const struct oci_container *c, bool more);
