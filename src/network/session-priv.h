/* session-priv - a session's parts: session.c, and guard.c, which looks after its processes. */
#pragma once

#include "network/drivers-priv.h"
#include "network/session.h"

#define PARTS_MAX 16

/* A driver at work: that of the plan, those of its networks, that of the published ports. */
struct part {
    const struct network_driver *driver;
    size_t join;
    bool attached;
};

struct network_session {
    struct network_run run;
    struct network_plan plan; /* a copy: joins change while it runs */
    char *name, *hostname;
    struct part part[PARTS_MAX];
    size_t n_parts;
    int timer_fd; /* of what guard.c has to do later; -1 */
};

/* An event of one of the processes; why: NULL or a reason. */
void network_session_tell(struct network_session *n, const char *action, const char *what,
                          const char *why);
/* Those that have ended while nobody looked. */
void network_session_revive(struct network_session *n);
/* What it has said before its end, or the container's: what was refused to one that ended by it. */
void network_session_hear_out(struct network_session *n, struct network_process *p);
