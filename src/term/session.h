/* session - who starts a process in a container stays with it: streams or a terminal are copied,
 * signals handed on, until it ends. */
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "term/relay.h"
#include "term/term.h"

struct session {
    bool tty;                /* the process has a terminal of its own */
    bool interactive;        /* with tty: what is typed is the process's */
    const char *detach_keys; /* keys that end the session, not the process; NULL or "": none */
    bool interruptible;      /* until session_follow signals do to us what they do to others */
    int also; /* a descriptor that is watched as well, with on_also as in loop.h; -1 */
    loop_fn *on_also;
    void *also_data;
    /* The rest is the session's own. */
    struct relay relay;
    struct detach_keys keys;
    sigset_t mask, old_mask;
    int signals; /* signalfd */
    bool blocked;
};
#define SESSION_INIT                                                                               \
    {                                                                                              \
        .also = -1, .relay = RELAY_INIT, .signals = -1                                             \
    }

/* Before the process is started: replaces in stdio what must not be given away (relay.h; not with a
 * terminal), and holds back the signals that are handed on later (not when interruptible). */
int session_open(struct session *s, int stdio[3], struct err *e);
/* Stays until the child behind pidfd has ended, and reaps it: *ret_status is its wait status, the
 * result 1. 0: the user typed the detach keys. console: the pty's master, or -1. Both borrowed. */
int session_follow(struct session *s, int pidfd, int console, int *ret_status, struct err *e);
void session_close(struct session *s);
#define scoped_session SCOPED(session_close)
