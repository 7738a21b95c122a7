/* supervise - one process per container: owns its output, its log, its exit status and its end.
 *
 * It runs as the plain user outside all namespaces, a sub-reaper in a session of its own, in one
 * epoll loop. It holds RUN_ROOT/ID/lock for life and is the only writer of state.json meanwhile.
 * Whoever started it talks over descriptor 3 (the owner), everybody else over attach.sock; what
 * they may ask for depends on the phase (table.c).
 *
 * With a restart policy one supervisor sees several runs: lock, log and peers stay, all else is of
 * one run, made by sup_run_begin and taken back by sup_run_end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "container/container.h"
#include "container/proto.h"
#include "engine/engine.h"
#include "logs/logs.h"
#include "supervise/group.h"
#include "supervise/notify.h"
#include "supervise/table.h"
#include "supervise/unit.h"

#define BUF_SIZE (40u << 10) /* whole pages, at least a struct proto_msg */
/* Output that peers have not taken yet, all of them together. */
#define OUT_MAX (1u << 20)
/* Input of one peer that the container has not taken yet: the window and what was on the way. */
#define STDIN_MAX (2 * PROTO_STDIN_WINDOW)
/* The same of all peers, of those that have left it behind too; who sends more is dropped. */
#define IN_MAX (2u << 20)

struct sup;

/* A message for several peers, in the order of sending. */
struct chunk {
    struct chunk *next;
    struct proto_head head;
    unsigned char data[];
};

struct peer {
    struct peer *next;
    struct sup *sup;
    int fd;
    bool member;         /* it keeps the pod running whose infra container is ours */
    bool owner;          /* it started us: gets all output, at the price of the container waiting */
    bool detached, gone; /* nothing is sent any more; to be freed at the end of the event */
    unsigned want;       /* PROTO_WANT_* */
    struct chunk *out;   /* the first message it has not got; NULL: none */
    struct chunk *last;  /* after this one it is let go; NULL: it stays */
    struct chunk *reply; /* to a request; nothing more is read from it before that is sent */
    uint32_t unacked, ack_due; /* bytes of its STDIN */
    bool asks_health;          /* it waits for the result of a check */
};

/* Input on its way to the container. */
struct input {
    struct input *next;
    struct peer *from; /* NULL when it has gone */
    uint32_t len, off; /* len 0: the end of the input */
    unsigned char data[];
};

enum { STREAM_OUT, STREAM_ERR, STREAM_MAX };

struct restart {
    char *policy; /* of the record, when last read */
    int32_t retries;
    bool asked;        /* EV_RESTART: once, whatever the policy */
    bool at_once;      /* by the user: it does not count, and needs no pause before it */
    bool again;        /* decided: another run follows this one */
    uint32_t delay_ms; /* the last one, 0: none yet */
    int timer;
};

struct sup {
    struct conf conf;
    char id[ID_LEN + 1];
    bool discard, trace_stages, early;
    bool adopt;    /* its supervisor was killed: we take it over */
    bool detached; /* no command wants its output as an owner does */
    unsigned preserve_fds;
    const char *secret_env; /* a file of variables for one run; NULL: none, or they were given */

    int dir_fd, run_fd, lock_fd, listen_fd, sig_fd, owner_fd;
    struct loop *loop;
    struct log_writer *log;
    struct ctr_state state;
    /* Of the record, what is needed while it runs. */
    bool tty, open_stdin, auto_remove;
    int stop_signal;
    int64_t stop_timeout_s, timeout_s;
    bool pids_default;
    char *pidfile;
    char *pod;                 /* NULL: in none */
    bool pod_infra, pod_stops; /* ours is the pod; it ends with its last member */
    unsigned members;          /* peers that are members of it */
    int pod_fd;                /* as a member: our connection to it, or -1 */
    char *bundle;              /* containers/ID, for the engine */

    enum phase phase;
    bool removed, final_written;
    bool ending;    /* we were told to end: no restart follows */
    bool force_end; /* what peers have not taken is dropped */
    struct restart restart;

    /* Of one run. */
    struct spec spec; /* after the start only what its end needs (hooks) */
    struct network_plan network;
    struct network_session *net;      /* NULL: the plan needs nobody who looks after it */
    struct network_session *net_past; /* of the run before: stopped */
    struct storage_server server;     /* of its root file system */
    struct engine *engine;
    struct group_args groups;
    struct cgroup_session *session; /* of all runs; NULL: no control groups */
    struct cgroup *cgroup;          /* the container's */
    bool init_ended, paused_by_signal;
    bool adopted;       /* it was begun by another supervisor */
    int oom_fd;         /* memory.events of the group; -1: it has none */
    uint64_t oom_kills; /* that have been told */
    struct pressure *pressure;
    struct health *health; /* NULL: it has no check */
    int stop_timer, drain_timer, run_timer, trim_timer, state_timer;
    int64_t stop_due_ns, ended_ns; /* monotonic */

    int stream_fd[STREAM_MAX]; /* our ends; with a tty STREAM_OUT is the pty's master */
    int stdin_fd;              /* our end, or the master (not owned then), or -1 */
    bool streams_parked, stdin_eof;
    struct input *in_head, *in_tail;
    size_t in_bytes;

    struct unit unit;
    struct notify *notify; /* NULL: systemd does not listen */

    struct peer *peers, *owner;
    struct chunk *out_head, *out_tail;
    size_t out_bytes;
    unsigned char *buf; /* BUF_SIZE, given back to the kernel when idle */
};

/* start.c */
/* Once: lock, log, signals, socket, and the first run. e carries the exit status for the command.
 */
int sup_prepare(struct sup *s, struct err *e);
/* A run up to CREATED: records and specification as they are on disk now, streams, the init. What
 * it has made on failure is for sup_run_end. */
int sup_run_begin(struct sup *s, struct err *e);
/* Takes back all that belongs to one run, whether or not it was started. The init is reaped. */
void sup_run_end(struct sup *s);
/* Lets the init exec, writes states. On failure the container has ended already. */
int sup_start(struct sup *s, struct err *e);
/* Frees what only the start needed. */
void sup_shrink(struct sup *s);
/* adopt.c: instead of sup_prepare and sup_start. */
int sup_adopt(struct sup *s, struct err *e);
void sup_adopted_end(struct sup *s); /* its run has ended: the control group goes */

/* state.c */
int state_write(struct sup *s, struct err *e);
void state_set(struct sup *s, enum ctr_status status); /* what fails is tried again later */
void state_clear_init(struct ctr_state *st);           /* the run has ended */
void state_clear_run(struct ctr_state *st);            /* and nothing of it runs any more */
void state_reason(struct sup *s, const char *reason);
/* Takes a container that did not start back: removed when it was to be, else as it was before,
 * with reason and exit code. */
void state_start_failed(struct sup *s, const struct err *why);

/* events.c */
/* Looks up phase x event and does it. 0, or -errno with e for the peer that asked (may be NULL). */
int sup_event(struct sup *s, enum event ev, struct peer *p, const struct proto_head *h,
              struct err *e);
int events_open(struct sup *s, struct err *e);     /* signals */
int events_init(struct sup *s, struct err *e);     /* the init's pidfd */
int events_learn(struct sup *s, struct err *e);    /* the seccomp listener, if there is one */
int events_run_time(struct sup *s, struct err *e); /* --timeout begins */
void events_reap(struct sup *s); /* what has come to us as the sub-reaper and has ended */

/* journal.c */
/* An event of the container for the journal; attribute: "key=value" or NULL. */
void sup_journal(struct sup *s, const char *action, const char *attribute);
void sup_journal_all(struct sup *s, const char *action, char *const *attributes);

/* restart.c */
/* The run has ended, its exit code is in the state: does another follow? */
bool restart_wanted(struct sup *s);
int restart_arm(struct sup *s, struct err *e); /* EV_RESTART_TIME comes after the delay */
void restart_now(struct sup *s);               /* or at once */
/* Is it one by which a user wants an end, and no restart? */
bool restart_signal_ends(const struct sup *s, int sig);

/* net.c */
int net_prepare(struct sup *s, struct err *e); /* ports, processes: before the init is made */
int net_watch(struct sup *s, struct err *e);   /* after it */
void net_state(struct sup *s);                 /* into s->state, not written */
void net_enter_group(struct sup *s);           /* its processes, once we are in ours */
void net_adopt(struct sup *s);
void net_stop(struct sup *s);                  /* the init has ended */
void net_end(struct sup *s);                   /* and the run is over */
void net_forget(struct sup *s);                /* of the run before, when nobody waits */
bool net_owns(const struct sup *s, pid_t pid); /* it reaps that child itself */
int net_request(struct sup *s, const struct proto_msg *m, struct err *e);

/* finish.c */
void finish_init_ended(struct sup *s);
void finish_drained(struct sup *s);
/* It will not be started: by a failure, or (why NULL) because nobody wants it any more. */
void finish_not_started(struct sup *s, const struct err *why);
/* A restart did not succeed: that counts as a run that has failed. */
void finish_not_restarted(struct sup *s, const struct err *why);
/* Between two runs somebody wants no further one. */
void finish_waiting(struct sup *s);
/* Before the loop, or because of it, nothing works: tells the owner and leaves nothing. */
void finish_failed(struct sup *s, const struct err *why);
void finish_if_flushed(struct sup *s); /* quits the loop once PH_DONE and all peers have all */
void finish_close(struct sup *s);      /* the lock first, then the peers see our end */

/* stdio.c */
int stdio_open(struct sup *s, int ret_child[3], struct err *e);
void stdio_adopt(struct sup *s);               /* our ends of the pipes of a container that runs */
int stdio_watch(struct sup *s, struct err *e); /* after the start; takes the console */
void stdio_update(struct sup *s);              /* parks the streams while the owner lags behind */
/* Reads what is there; true when all streams are at their end. */
bool stdio_drain(struct sup *s);
void stdio_close(struct sup *s);
void stdio_close_stream(struct sup *s, int stream);
void stdio_input(struct sup *s, struct peer *p, const void *data, uint32_t len);
void stdio_forget_peer(struct sup *s, const struct peer *p);
void stdio_resize(struct sup *s, uint16_t rows, uint16_t columns);
void stdio_idle(struct sup *s); /* (re)sets the timer that gives buffers back */

/* peers.c */
int peers_listen(struct sup *s, struct err *e);
int peers_add(struct sup *s, int fd, bool owner, struct err *e);
/* To all that want it (output) or all that listen (STARTED, EXIT). */
void peers_send(struct sup *s, enum proto_type type, int32_t a, int32_t b, const void *data,
                uint32_t len);
/* Ends every callback of the loop: frees peers that have gone, and does what follows from it. */
void peers_settle(struct sup *s);
/* A run has ended and another will follow: who is attached is told the end of this one, as by
 * docker, and let go. Who only waits for the end goes on waiting. */
void peers_dismiss(struct sup *s, int32_t code, int32_t sig);
void peer_reply(struct peer *p, enum proto_type type, const struct err *e);
void peer_answer(struct peer *p, enum proto_type type, int32_t a);
void peer_ack(struct peer *p, uint32_t bytes);
bool peers_flushed(const struct sup *s);
void peers_close(struct sup *s);
