/* client - the command's side of the protocol: start a supervisor, ask it, attach to its container.
 *
 * A command never needs to stay alive for the container's sake; what it leaves undone, the
 * supervisor finishes or takes back. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "conf/conf.h"
#include "container/container.h"
#include "container/proto.h"

struct supervisor_opts {
    const char *id;
    bool discard;          /* an auto_remove container that does not start is removed (run --rm) */
    bool trace_stages;     /* the times of the start go to stderr */
    unsigned preserve_fds; /* descriptors 3 .. 3+n-1 of the caller become the payload's */
    unsigned listen_fds;   /* so many of them are sockets of systemd, sd_listen_fds(3) */
    /* "NAME=VALUE" 0 ...: variables of the next run alone, which no record has. The file, of the
     * caller's and read by nobody else, is removed. NULL: none. */
    const char *secret_env;
    bool adopt;    /* it runs, and its supervisor was killed: STARTED or ERROR follows */
    bool detached; /* nobody is going to read its output at the other end of the descriptor */
    /* The container is still being made: nothing is read before our first message. */
    bool early;
    /* With early: the driver of its control groups, which are begun meanwhile, --cgroup-parent, and
     * further properties of a scope ("NAME=VALUE" in GVariant text). NULL: as the record says. */
    const char *cgroups, *cgroup_parent;
    char *const *scope_properties;
};
/* Starts rootlet-supervise for a container. It answers CREATED (or ERROR), then waits for START.
 * Closing the descriptor before START takes everything back. Returns the descriptor (SEQPACKET,
 * close-on-exec), or -errno. The process is a child; nobody need wait for it. */
int supervisor_spawn(const struct conf *c, const struct supervisor_opts *o, struct err *e);

/* Becomes the supervisor of a container that has been made, with our own environment: for units
 * (rootlet-supervise --unit). Returns only on failure. */
int supervisor_become(const struct conf *c, const struct supervisor_opts *o, struct err *e);

/* Receives until a message of this type comes. An ERROR or REFUSED on the way becomes e and its
 * errno; -ECONNRESET when the supervisor goes away. EXIT ends the waiting with -ESHUTDOWN (the
 * message is in *ret), unless it is what was waited for. */
int client_wait(int fd, enum proto_type type, struct proto_msg *ret, struct err *e);
/* A supervisor that is stopped is told of after so long; whatever else keeps one from answering, is
 * waited for longer. */
#define CLIENT_STOPPED_MS 2000
/* -ENOTCONN: the supervisor at the other end was stopped by a signal. */
int client_check_stopped(int fd, struct err *e);
/* Sends a request to the supervisor of a container and waits for OK. One that was killed before it
 * had read it gets a successor, who is asked instead. */
int container_request(const struct conf *c, const char *id, const struct proto_head *request,
                      const void *data, struct err *e);

/* For containers that run (else -ENOENT or -ECONNREFUSED, "... is not running"): */
int container_signal(const struct conf *c, const char *id, int sig, struct err *e);
/* Sends sig, after timeout_ms SIGKILL (< 0: never), and waits until the container has ended and its
 * supervisor has finished. 0 also when it had ended by itself meanwhile. */
int container_stop(const struct conf *c, const char *id, int sig, int timeout_ms, struct err *e);
/* Ends the run of a container as container_stop does, lets its supervisor begin another, and waits
 * until that has started: what an end would remove stays. */
int container_restart(const struct conf *c, const struct container *ctr, int sig, int timeout_ms,
                      struct err *e);
/* Runs its health check now; *ret_code is the check's exit code, -1 when it gave none in time. */
int container_health(const struct conf *c, const char *id, int *ret_code, struct err *e);
/* Waits for the end; *ret_code is the exit code (128 + n for signal n). */
int container_wait(const struct conf *c, const char *id, int *ret_code, struct err *e);

struct attach_opts {
    int fd;                      /* of supervisor_spawn or container_connect; borrowed */
    bool start;                  /* send START, and wait for STARTED before anything else */
    int in_fd, out_fd, err_fd;   /* < 0: not wanted */
    bool tty;                    /* the container has a terminal: raw mode, size, keys */
    bool sig_proxy;              /* signals to us go to the container */
    const char *detach_keys;     /* with a tty only; NULL or "": none */
    void (*started)(void *data); /* called when the container runs; may be NULL */
    void (*ignored)(void *data); /* called when it goes on after three SIGINT; may be NULL */
    void *data;
};
struct attach_result {
    bool started;  /* it ran at all */
    bool detached; /* by the keys: it goes on */
    int exit_code; /* else; 128 + n for signal n */
    int signal;    /* or 0 */
};
/* Copies between our descriptors and the container until it ends or the user detaches. When the
 * start failed e is what the supervisor said, with exit status 125, 126 or 127. The terminal is
 * restored on every way out, signals included. */
int attach_run(const struct attach_opts *o, struct attach_result *ret, struct err *e);
