/* engine - executes a struct spec: clone, maps, root, limits, exec. Mechanism without policy.
 *
 * The start is a table of stages with do and undo (engine/stages.c), each timed when asked. The
 * child waits for its maps, builds its world, reports CREATED and waits again; START lets it exec.
 * Failures in the child cross as struct err over a socket; success closes it (close-on-exec). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "cgroup/driver.h"
#include "network/network.h"
#include "security/seccomp.h"
#include "spec/spec.h"
#include "storage/storage.h"

/* A file that the payload alone may read. */
struct engine_file {
    const char *name; /* one part of a path */
    const void *data;
    size_t size;
};

/* Source of a bind that leads nowhere: what is mounted there is engine_params.shm_fd. */
#define ENGINE_SHARED_SHM "/proc/self/shared-shm"

/* What the pointers name is borrowed and outlives the engine. */
struct engine_params {
    const struct spec *spec; /* validated */
    const char *id;
    const struct storage_root *root;    /* NULL: spec->root->path as a plain directory */
    const struct network_plan *network; /* may be NULL: as the spec's namespaces say */
    /* Gives the container its network from outside, while its first process waits; join of the
     * target is 0. What it has done the caller takes back. NULL: nothing is to be done. */
    int (*attach)(void *data, const struct network_target *t, struct err *e);
    void *attach_data;
    const struct seccomp_prog *seccomp; /* NULL: unconfined */
    const int *learn_dir;               /* directory where calls that the filter asks a listener
                                           for are noted (security/why.h); NULL: they fail */
    const char *user;                   /* unresolved "name:group", or NULL: spec's uid and gid */
    const char *login;     /* tell the container's passwd this name of the user; NULL */
    char *const *groups;   /* extra groups by name or number, or NULL */
    int stdio[3];          /* the container's 0, 1, 2; borrowed; ignored with a terminal */
    unsigned preserve_fds; /* descriptors 3 .. 3+n-1 are kept for the payload */
    /* Written before the ids are dropped, owned by the payload's user, mode 0400: into the root of
     * a mount of the spec, which is read-only afterwards. files_dir NULL: none. */
    const char *files_dir;
    const struct engine_file *files;
    size_t n_files;
    bool listen_pid;    /* LISTEN_PID of the payload's environment becomes its pid */
    int userns_fd;      /* >= 0: join this user namespace instead of a new one; -1: the one that
                           owns a network given by path is found by the engine */
    const int *shm_fd;  /* a detached mount for the mount with the source ENGINE_SHARED_SHM */
    bool trace_stages;  /* times to stderr */
    const char *bundle; /* for the hooks' state, and a relative root.path; may be NULL */

    /* For rootlet-oci, where the caller does not stay: */
    bool host_root;        /* root of the host may start it without a user namespace */
    bool no_pivot;         /* MS_MOVE and chroot(2) in place of pivot_root(2): root on initramfs */
    bool keep_keyring;     /* no session keyring of its own */
    struct cgroup *cgroup; /* made by the caller, its limits applied; NULL: stays in ours */
    /* With cgroup NULL: gives it (borrowed) when it is needed. Called while the ids of the init,
     * which then enters it, are being mapped: what makes it goes on meanwhile. May be NULL. */
    int (*await_cgroup)(void *data, struct cgroup **ret, struct err *e);
    void *await_data;
    const int *start_listen; /* listening SOCK_SEQPACKET unix socket, borrowed: after engine_detach
                               the init waits on it for engine_start_at. NULL: engine_start */
};

struct engine;

/* Up to CREATED: the init process exists, waits before execve. On failure everything is undone. */
int engine_create(const struct engine_params *p, struct engine **ret, struct err *e);
/* Lets it exec. 0 when execve succeeded; else -errno with exit status 126 or 127 in e. */
int engine_start(struct engine *en, struct err *e);
/* Takes over a container that another process has started: of p what its end needs. pidfd (owned)
 * is that of the process that began at start. Nothing is done to it. */
struct engine *engine_adopt(const struct engine_params *p, pid_t pid, uint64_t start, int pidfd);
/* The init's wait status, when it has ended; -ENODATA: of an adopted one it is not known. */
int engine_wait(struct engine *en, int *ret_status);
pid_t engine_pid(const struct engine *en);  /* in our pid namespace */
int engine_pidfd(const struct engine *en);  /* borrowed */
int engine_take_console(struct engine *en); /* pty master, the caller's; -1 without a terminal */
/* The container no longer ends with us, and engine_free leaves it alone: after CREATED (needs
 * start_listen), or after engine_start (a "run" that does not stay). */
int engine_detach(struct engine *en, struct err *e);
/* Starts a detached init over a connection to its socket (owned by the caller): as engine_start,
 * with what the hooks and listenerPath need from p (spec, id, bundle). -ECONNRESET when it does not
 * wait to be started any more. */
int engine_start_at(int conn, const struct engine_params *p, pid_t pid, struct err *e);
/* The poststop hooks, for who deletes a container that was detached. Failures are only logged. */
void engine_run_poststop(const struct engine_params *p);

/* The seccomp listener of a container that learns (borrowed), else -1. The caller watches it and
 * lets engine_learn serve it: 0, -ENODEV when nobody can call any more (stop watching), or the
 * error of a note that could not be written. */
int engine_listener(const struct engine *en);
int engine_learn(struct engine *en, struct err *e);
/* Kills what still runs, reaps it, frees. */
void engine_free(struct engine *en);

/* A further process in a running container: joins all its namespaces (user first), then caps,
 * no_new_privs, seccomp, execve. Returns when it has exec'd. */
struct engine_exec_params {
    pid_t pid;
    int pidfd;                          /* of the container's init */
    const struct spec *spec;            /* of the container: namespaces, seccomp, mappings */
    const struct spec_process *process; /* of this exec */
    const struct seccomp_prog *seccomp;
    const char *user;
    char *const *groups;
    int stdio[3];
    unsigned preserve_fds;
    struct cgroup *cgroup;   /* where it goes; NULL: stays in ours */
    const char *id, *bundle; /* for the state that goes to listenerPath; may be NULL */
    bool detach;             /* it outlives us */
    bool dies_with_us;       /* it is killed when the caller's process ends */
    const int *learn_dir;    /* as of struct engine_params; the caller serves the listener */
    bool keep_keyring;
};
struct engine_exec {
    pid_t pid;
    int pidfd, console; /* owned; console -1 without a terminal */
    int listener;       /* of one that learns: for why_learn_step (security/why.h); owned, or -1 */
};
#define ENGINE_EXEC_INIT                                                                           \
    {                                                                                              \
        .pid = -1, .pidfd = -1, .console = -1, .listener = -1                                      \
    }
int engine_exec(const struct engine_exec_params *p, struct engine_exec *ret, struct err *e);

/* Mounts of a container that runs: all of them, or none and what was there before. */
struct engine_live {
    pid_t pid;
    int pidfd;                 /* of the container's init */
    const struct spec *spec;   /* of the container */
    const struct spec *mounts; /* its mounts are added; their destinations are unmounted */
    const char *bundle;        /* for relative sources; may be NULL */
    bool check_sources;        /* only binds of the sources in mounts are removed */
};
int engine_mounts_add(const struct engine_live *l, struct err *e);
int engine_mounts_remove(const struct engine_live *l, struct err *e);

/* Called first in main of programs that start or enter containers: when our own binary could be
 * written by ids that are mapped into containers (an install below $HOME), re-executes from a
 * sealed memfd, so that /proc/PID/exe leads to nothing (CVE-2019-5736). No cost otherwise.
 * from_root: containers may have root of the host as theirs, so it is done in any case. */
#define ENGINE_EXE_ENV "ROOTLET_EXE" /* the copy finds the path of the original in it */
int engine_protect_self(char **argv, bool from_root, struct err *e);
