/* container - the records of containers on disk: find, list, create, lock, remove. No database.
 *
 *   ROOT/containers/ID/config.json     the OCI configuration it runs with
 *   ROOT/containers/ID/container.json  what was asked for (struct ctr_record)
 *   ROOT/containers/ID/state.json      what happened (struct ctr_state), one row for ps
 *   ROOT/containers/ID/log             k8s-file
 *   ROOT/containers/ID/{upper,work}    storage
 *   ROOT/names/NAME -> ID              a symbolic link: the reservation is its creation
 *   RUN_ROOT/ID/{lock,attach.sock}     exist while it runs; lost at reboot
 *
 * State is derived, never trusted: a container runs only if its supervisor holds RUN_ROOT/ID/lock
 * and the recorded boot id and start time match. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/jfield.h"
#include "cgroup/driver.h"
#include "conf/conf.h"
#include "network/network.h"
#include "storage/storage.h"

enum ctr_status {
    CTR_CREATED,
    CTR_STARTING,
    CTR_RUNNING,
    CTR_PAUSED,
    CTR_STOPPED,    /* ended by a stop that the user asked for */
    CTR_EXITED,     /* ended by itself */
    CTR_DEAD,       /* unrecoverable; reason says why */
    CTR_RESTARTING, /* it has ended, and its supervisor will start it again in a moment */
};
extern const char *const ctr_status_names[]; /* "created" ... */

/* container.json */
struct ctr_volume {
    char *name, *source, *destination, *mode; /* named or anonymous volume, or bind ("bind") */
    char *type;
    bool anonymous;
    json_t *extra;
};
/* HEALTHCHECK and --health-*. Durations in nanoseconds, as in the image configuration. */
struct ctr_health {
    char **test; /* {"CMD", ARG...}, {"CMD-SHELL", TEXT}, {"NONE"}; NULL: there is none */
    int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
    int32_t retries;
    char *on_failure; /* "none" (NULL), "kill", "restart", "stop" */
    json_t *extra;
};
struct ctr_record {
    int32_t version; /* 1 */
    char *id, *name;
    char *image, *image_id, *image_digest; /* as typed; config digest; manifest digest */
    char **image_layers;                   /* diffIDs, for diff and commit */
    char **command;                        /* what ps shows: ENTRYPOINT + CMD */
    char **entrypoint, **cmd;
    int64_t created_ns;
    char **labels; /* "k=v" */
    char *user;    /* -u or the image's USER, unresolved: "name:group"; resolved in the root */
    char *login;   /* keep-id: the caller's name, for the container's passwd */
    char **groups; /* --group-add, names or numbers */
    bool tty, open_stdin, auto_remove, init, privileged, publish_all;
    char *stop_signal; /* "SIGTERM" */
    int64_t stop_timeout_s;
    int64_t timeout_s;       /* --timeout, 0 = none */
    char *restart_policy;    /* "no", "on-failure", "always", "unless-stopped" */
    int32_t restart_retries; /* of on-failure; 0: no end */
    char *log_driver;
    char **log_opts;
    char *userns;        /* mode as asked */
    char *cgroups;       /* driver chosen: "systemd", "cgroupfs", "inplace", "disabled" */
    char *cgroup_parent; /* --cgroup-parent: a slice or a group's path; NULL */
    bool pids_default;   /* nobody asked for the limit of processes: without the controller none */
    char *sdnotify;      /* "container", "monitor", "healthy", "ignore"; NULL: as "monitor" */
    char **on_pressure;  /* --on-pressure as typed: "notify", "restart:memory=full:150ms/2s" ... */
    char *oomd;          /* --oomd: "kill", "avoid", "omit"; NULL: as systemd has it */
    char *pod;           /* name of the pod; NULL */
    bool pod_infra;      /* this one is the pod, see pod.h */
    char **pod_share;    /* of the infra: "net", "ipc", "uts", "pid" */
    char *pod_exit;      /* of the infra: "continue", "stop" (with its last member) */
    char *pod_id;        /* of a member: the infra's id */
    char **joins;        /* "ipc=ID": the namespace of another container; network has its own */
    char **requires;     /* ids of those that are started before it */
    char *auto_update;   /* "local", "registry": the user's word, never an image's label; NULL */
    struct ctr_health health;
    char *seccomp; /* "builtin:default", "file" (seccomp.bpf beside), "unconfined" */
    char *security_profile;
    char *pidfile, *cidfile;
    char **secopts, **cap_add, **cap_drop;
    struct network_plan network;
    struct storage_root storage;
    struct ctr_volume *volumes;
    size_t n_volumes;
    char **create_command; /* the whole command line */
    json_t *host_config;   /* what inspect shows of options without a field here */
    json_t *extra;
};
extern const struct jfield ctr_record_fields[];
void ctr_record_release(struct ctr_record *r);

/* state.json: written by the holder of the lock (the supervisor) or by create */
struct ctr_state {
    char *id, *uuid, *name, *image, *command; /* a row of ps needs no other file */
    int status;                               /* enum ctr_status, as its name in JSON */
    int32_t pid, supervisor_pid;              /* 0: none */
    uint64_t pid_start, supervisor_start;     /* clock ticks, proc_start_time */
    char *boot_id;
    int32_t exit_code, signal; /* signal that ended it, or 0 */
    bool oom_killed, stop_requested;
    char *reason; /* dead, or why a start failed */
    int64_t created_ns, started_ns, finished_ns;
    int32_t restart_count;
    char *cgroup_path, *rootfs;
    json_t *cgroup;    /* cgroup_emit of the container's group; NULL: it has none */
    char *health;      /* "starting", "healthy", "unhealthy"; NULL: no health check */
    char **namespaces; /* "pid=/proc/PID/ns/pid" ... */
    char **ports, **networks, **labels;
    json_t *network;   /* struct network_state (network/run.h), while it runs */
    bool user_stopped; /* the user wanted this end (stop, kill): "unless-stopped" stays down */
    uint64_t memory_limit, memory_peak; /* bytes, when oom_killed; 0: not known */
    char *pod, *pod_id;                 /* of its pod, whose infra container has that id */
    /* Inode numbers of its pipes, for a supervisor that takes it over; 0: none. */
    uint64_t stdin_pipe, stdout_pipe, stderr_pipe;
    uint64_t directory; /* inode number of the container's, where this was written; 0: not known */
    json_t *extra;
    bool unwritten; /* no field of the file: its end was found out just now */
};
extern const struct jfield ctr_state_fields[];
void ctr_state_release(struct ctr_state *s);
/* A supervisor owns it: starting, running, paused, or between two runs. */
bool ctr_state_alive(const struct ctr_state *s);
/* It lives, but its supervisor was killed: container_connect starts another that takes it over. */
bool ctr_state_unsupervised(const struct ctr_state *s);

struct container {
    char id[ID_LEN + 1];
    int dir_fd; /* containers/ID */
    struct ctr_record rec;
    struct ctr_state state; /* corrected against reality */
};
void container_release(struct container *c);
#define scoped_container SCOPED(container_release)

/* Opens by name, full id, or unique prefix (>= 1 digit); -ENOENT: "no such container: x" with a
 * suggestion; -EEXIST: ambiguous prefix. Reads record and state. */
int container_open(const struct conf *c, const char *ref, struct container *ret, struct err *e);
int container_open_latest(const struct conf *c, struct container *ret, struct err *e);
/* By full id only; a broken container opens too, as dead. */
int container_open_id(const struct conf *c, const char *id, struct container *ret, struct err *e);

/* All containers, state only (fast: one file each), newest first. Broken ones come with status
 * dead and a reason. *ret is an owned array. */
int container_list(const struct conf *c, struct ctr_state **ret, size_t *ret_n, struct err *e);
void container_list_free(struct ctr_state *v, size_t n);

/* Absolute path of containers/ID; owned. Paths in a specification must use this one, also while
 * the container is being made. */
char *container_dir(const struct conf *c, const char *id);
/* The names of the networks in its record, else the mode; owned. */
char **container_networks(const struct ctr_record *rec);
/* The state of a container that was never started. */
void container_state_init(const struct ctr_record *rec, struct ctr_state *ret);

/* Makes the directory (as containers/.tmp-ID, renamed when complete), reserves the name (random if
 * rec->name is NULL), writes config.json, container.json and state.json. rec->id is set when NULL.
 * The storage must be prepared by `prepare` (called with the directory's path before the rename;
 * the paths it puts into rec->storage are moved along). A crash at any moment leaves either nothing
 * that counts or the whole container. No fsync. Returns an owned descriptor of the directory with
 * a lock on it: until it is closed container_prune leaves the container alone. */
int container_create(const struct conf *c, struct ctr_record *rec, const struct spec *spec,
                     int (*prepare)(const char *dir, struct ctr_record *rec, void *data,
                                    struct err *e),
                     void *data, struct err *e);
int container_write_record(int dir_fd, const struct ctr_record *rec, struct err *e);
int container_write_spec(int dir_fd, const struct spec *spec, struct err *e);
int container_write_state(int dir_fd, const struct ctr_state *s, struct err *e);
int container_read_record(int dir_fd, struct ctr_record *ret, struct err *e);
int container_read_state(int dir_fd, struct ctr_state *ret, struct err *e); /* not corrected */
int container_read_spec(int dir_fd, struct spec *ret, struct err *e);
/* The id map that the container's files belong to (the default one when its config.json is bad). */
int container_map(int dir_fd, struct userns_map *ret, struct err *e);
/* Removes everything of a stopped container, storage and anonymous volumes (when asked) included.
 * -EBUSY when it runs. A process that outlived a killed supervisor is ended first. */
int container_remove(const struct conf *c, struct container *ctr, bool volumes, struct err *e);
/* The same for who holds the container's lock. */
int container_remove_locked(const struct conf *c, struct container *ctr, bool volumes,
                            struct err *e);
/* And for its supervisor, which knows that no process is left; of ctr only dir_fd, id and rec. */
int container_remove_ended(const struct conf *c, const struct container *ctr, bool volumes,
                           struct err *e);
/* Removes it if it does not run and nobody works on it: 1, or 0 when it was left alone. */
int container_prune(const struct conf *c, const char *id, struct err *e);
/* Removes a volume and what is in it. -ENOENT, -EBUSY: a container uses it, or is being made with
 * it.
 */
int container_volume_remove(const struct conf *c, const char *name, struct err *e);
/* Full ids of the containers that use a volume; the names of all volumes in use. Owned. */
int container_volume_users(const struct conf *c, const char *volume, char ***ret_ids,
                           struct err *e);
int container_volumes_used(const struct conf *c, char ***ret_names, struct err *e);
/* Finishes interrupted removals of volumes. */
void container_volume_sweep(const struct conf *c);
/* RUN_ROOT/ID with the lock in it: for who holds that lock, of a container that does not run. */
void container_remove_run(const struct conf *c, const char *id);
/* Finishes what interrupted commands began (removals, creations); list and remove do so too. */
void container_sweep(const struct conf *c);
/* For who changes its record: waits for the lock on ctr->dir_fd; flock(2) with LOCK_UN ends it. */
int container_lock_dir(const struct conf *c, const struct container *ctr, struct err *e);
int container_rename(const struct conf *c, struct container *ctr, const char *name, struct err *e);

/* Writes an event of it (events.h). attribute: "key=value" or NULL. create, remove and rename are
 * written here, start, died and what else happens to a running one by its supervisor. */
void container_event(const struct conf *c, const struct ctr_record *rec, const char *action,
                     const char *attribute);
/* With several attributes; NULL-terminated, or NULL. */
void container_event_with(const struct conf *c, const struct ctr_record *rec, const char *action,
                          char *const *attributes);

/* Corrects a state read from disk. One whose supervisor is gone stays running without a supervisor
 * as long as its init lives; else it becomes exited with "supervisor was killed", or "the host was
 * restarted". Does not write. */
void container_derive(const struct conf *c, struct ctr_state *s);
/* The same for who holds its lock: there is no supervisor then. */
void container_derive_locked(struct ctr_state *s);
/* Writes down an end that nobody has seen, with its event. container_settle is for who holds the
 * lock and knows that no process of it is left; ctr->state is changed too. */
void container_settle(const struct conf *c, struct container *ctr);
void container_note_end(const struct conf *c, const struct ctr_state *s);
/* The lock that a supervisor holds for life: fd, -EWOULDBLOCK when held, -ENOENT when there is no
 * such container (any more). Nobody else removes the container while it is held. */
int container_lock(const struct conf *c, const char *id, struct err *e);
/* As above, waiting. With time enough, a supervisor whose container has ended but whose reader has
 * stalled is told to finish; one whose container runs is not waited for. */
int container_lock_wait(const struct conf *c, const char *id, int wait_ms, struct err *e);
/* Ends the init of a run whose supervisor was killed, found by pid and start time in the state on
 * disk; the caller holds the lock. 0 also when there is none. */
int container_end_survivor(int dir_fd, struct err *e);
/* Ends a supervisor that does not answer, by SIGKILL: its container is a survivor then. */
void container_end_supervisor(const struct ctr_state *s);
/* The control group of a running container, to be looked at, changed, frozen or killed; owned.
 * -ENOTSUP with a hint when it has none, -ESRCH when it does not run; the caller's err_add says
 * what it is needed for. */
int container_cgroup(const struct container *c, struct cgroup **ret, struct err *e);
/* Connects to the supervisor's attach.sock; -ENOENT/-ECONNREFUSED when none. When the container has
 * outlived its supervisor another is started, which takes it over; -ENOTCONN: that failed. */
int container_connect(const struct conf *c, const char *id, struct err *e);
