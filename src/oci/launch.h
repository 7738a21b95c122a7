/* launch - from a bundle to a created container: what create and run have in common. */
#pragma once

#include "engine/engine.h"
#include "oci/config.h"
#include "oci/notify.h"
#include "oci/oci.h"

struct launch_opts {
    char *bundle, *config, *pid_file, *console_socket;
    int64_t preserve_fds;
    bool no_pivot, no_new_keyring, detach, keep;
};

struct launch {
    const struct launch_opts *o;
    bool stays;   /* we stay with the container until it ends */
    int stdio[3]; /* for the container; borrowed */
    /* The rest is launch's own. */
    struct oci_config config;
    struct oci_container c;
    struct cgroup *cgroup;
    struct seccomp_prog seccomp;
    struct engine_params params;
    struct engine *engine;
    struct oci_notify notify;
    int listen_fd, console;
    bool made, wrote_pid_file;
};
#define LAUNCH_INIT                                                                                \
    {                                                                                              \
        .stdio = {0, 1, 2}, .c = OCI_CONTAINER_INIT, .listen_fd = -1, .console = -1,               \
        .notify = OCI_NOTIFY_INIT                                                                  \
    }

/* The options and the configuration: nothing is made yet. */
int launch_load(struct launch *l, struct err *e);
/* Up to "created", with everything on disk; on failure nothing is left. When we do not stay, the
 * terminal has been sent, and the container survives us after engine_detach. */
int launch_create(struct launch *l, const char *id, struct err *e);
/* Takes everything back: kills, runs poststop hooks, removes cgroup and state. */
void launch_undo(struct launch *l);
void launch_release(struct launch *l);
#define scoped_launch SCOPED(launch_release)
