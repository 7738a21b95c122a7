/* cgroup-priv - what the drivers of this folder share. */
#pragma once

#include "cgroup/driver.h"

#define CGROUP_MOUNT "/sys/fs/cgroup"

struct plan; /* resources.h */

/* One container's group. The driver's functions fill it. */
struct cgroup {
    const struct cgroup_driver *driver;
    int fd; /* its directory, O_RDONLY (CLONE_INTO_CGROUP, bpf and openat2 take it); -1: there is
               none (yet) */
    char *path;        /* below the mount, "/a/b"; owned; NULL with fd -1 */
    bool made;         /* by us: destroy removes it */
    size_t made_above; /* as many groups right above it are ours too, should the creation fail */
    bool in_userns;    /* as in struct cgroup_request, as are owner and pending */
    uid_t owner;
    json_t *pending; /* resources that wait for the first process; owned */
    char *unit;      /* systemd: name of the scope; owned */
    void *state;     /* of the driver; its release frees it */
};

/* All return 0 or -errno with e set. NULL members: the driver has nothing to do there. */
struct cgroup_driver {
    const char *name;
    /* c is zeroed but for driver, fd -1 and in_userns. plan: r->resources read, never NULL. On
     * failure nothing is left behind; what is in c is released by the caller. */
    int (*create)(struct cgroup *c, const struct cgroup_request *r, const struct plan *plan,
                  struct err *e);
    /* Called first by cgroup_enter. With c->fd -1 (the first process): makes the scope with pid in
     * it, opens c->fd, sets c->path; the limits of c->pending are then written by the
     * caller. With c->fd set: nothing to do, the caller writes cgroup.procs. */
    int (*enter)(struct cgroup *c, pid_t pid, struct err *e);
    /* A further process, where we may not move it ourselves. */
    int (*attach)(struct cgroup *c, pid_t pid, struct err *e);
    /* Before the files are written: the manager's own properties. */
    int (*update)(struct cgroup *c, const json_t *resources, const struct plan *plan,
                  struct err *e);
    /* After the processes are gone and the directory is removed (if it is). */
    int (*destroy)(struct cgroup *c, struct err *e);
    void (*emit)(const struct cgroup *c, json_t *record);
    int (*load)(struct cgroup *c, const json_t *record, struct err *e);
    void (*release)(struct cgroup *c);
};

extern const struct cgroup_driver cgroup_driver_systemd, cgroup_driver_cgroupfs,
    cgroup_driver_disabled, cgroup_driver_scope;

/* Zeroed but for driver and fd -1. Owned. */
struct cgroup *cgroup_new(const struct cgroup_driver *driver);
/* Writes the limits, loads the device program: a process that comes in meets all of it. resources:
 * what plan was made of. */
int cgroup_apply(struct cgroup *c, const struct plan *plan, const json_t *resources, bool update,
                 struct err *e);

/* -ENOTSUP: "WHAT needs a cgroup, and the container has none". */
int cgroup_need(const struct cgroup *c, const char *what, struct err *e);

/* dir.c: directories of the hierarchy, by descriptors below its root. */

/* /sys/fs/cgroup, proven to be a cgroup2 file system; O_PATH. -ENOTSUP with the message about v1
 * and hybrid hosts. */
int cgroup_root_open(struct err *e);
/* A directory below dir_fd ("a/b", "/a/b", "" for itself) as struct cgroup's fd: no links, no "..",
 * no other file system. e may be NULL where the caller knows what to say. */
int cgroup_dir_open(int dir_fd, const char *path, struct err *e);
/* A file of a group, as openat2(2) with the same rules. */
int cgroup_file_open(int dir_fd, const char *name, int flags);
/* Its text without the last newline; owned. Length or -errno. */
ssize_t cgroup_file_read(int dir_fd, const char *name, char **ret);
/* One write(2). 0 or -errno. */
int cgroup_file_write(int dir_fd, const char *name, const char *text);
/* cgroup.controllers or cgroup.subtree_control as a vector, owned; NULL when it cannot be read. */
char **cgroup_controllers(int dir_fd, const char *file);
/* Hands controllers to the groups below dir_fd: those of want that are available here and not yet
 * on; what cannot be switched on is left, *ret_errno (may be NULL) says why the last one was not.
 */
void cgroup_enable(int dir_fd, char *const *want, int *ret_errno);
/* The group of a process ("/a/b"), from /proc/PID/cgroup; pid 0: ourselves. Owned. */
int cgroup_of_process(pid_t pid, char **ret, struct err *e);
/* -EINVAL with what is wrong: empty parts are fine, "." and ".." and control characters not. what:
 * "linux.cgroupsPath". */
int cgroup_check_path(const char *path, const char *what, struct err *e);
/* Moves a process. dir_path for the message. */
int cgroup_add_process(int dir_fd, const char *dir_path, pid_t pid, struct err *e);
/* Waits until key of cgroup.events ("populated", "frozen") is value; timeout in milliseconds.
 * 0, -ETIMEDOUT, -errno (-ENODEV: the group was removed). */
int cgroup_wait_event(int dir_fd, const char *key, int value, int timeout_ms);
/* Calls visit(parent, name, fd of it, data) for every group below dir_fd, those inside first, until
 * one returns < 0, which is returned. */
typedef int (*cgroup_visit)(int parent_fd, const char *name, int fd, void *data);
int cgroup_each_below(int dir_fd, cgroup_visit visit, void *data);
/* rmdir of name below dir_fd and of all groups in it, deepest first; all must be empty. ENOENT is
 * success. */
int cgroup_remove_tree(int dir_fd, const char *name, struct err *e);
/* rmdir of the group at path below root_fd (not of those in it) and of count above it, as far as
 * they are empty. */
void cgroup_remove_empty(int root_fd, const char *path, size_t count);
/* Moves every process of a group into the group leaf below it (made if need be), so that it may
 * hand controllers down. 0 also when a few of them could not be moved. */
int cgroup_evacuate(int dir_fd, const char *leaf, struct err *e);
/* chown of what a delegate manages. */
int cgroup_delegate(int dir_fd, uid_t owner, struct err *e);
