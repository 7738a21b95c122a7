/* table - what happens in which phase of a container: no combination is left to chance. The same
 * table, in words, is in docs/architecture.md; a test compares them. */
#pragma once

enum phase {
    PH_CREATED, /* the init waits for START */
    PH_RUNNING,
    PH_STOPPING, /* told to end, SIGKILL follows */
    PH_DRAINING, /* the init has ended, output is on its way */
    PH_WAITING,  /* between two runs: the next one begins in a moment */
    PH_DONE,     /* all is written; only peers are being served */
    PH_MAX,
};
const char *phase_name(enum phase p);

enum event {
    EV_START,
    EV_SIGNAL,
    EV_STOP,
    EV_PAUSE,
    EV_UNPAUSE,
    EV_FINISH, /* an ended container's reader has stalled, and somebody wants the container */
    EV_OWNER_GONE,
    EV_INIT_ENDED,
    EV_STOP_TIME, /* the time that STOP gave is over */
    EV_RUN_TIME,  /* --timeout */
    EV_TERM,      /* we were told to end (SIGTERM) */
    EV_DRAINED,
    EV_KILL,         /* SIGKILL to the init; the policy decides what follows (health, pressure) */
    EV_RESTART,      /* end this run and begin another, whatever the policy (health, pressure) */
    EV_RESTART_TIME, /* the wait between two runs is over */
    EV_USER_RESTART, /* the same because the user wants it, and at once */
    EV_MAX,
};
const char *event_name(enum event ev);

enum action {
    ACT_NEVER = 1, /* it cannot come in this phase; nothing would be done */
    ACT_IGNORE,    /* it can, and nothing follows from it */
    ACT_REFUSE,
    ACT_START,
    ACT_TAKE_BACK,
    ACT_START_FAILED,
    ACT_SIGNAL,
    ACT_STOP,
    ACT_END, /* stop, by who shuts the host down: no wish of the user's */
    ACT_END_AFTER,
    ACT_PAUSE,
    ACT_UNPAUSE,
    ACT_DRAIN,
    ACT_KILL,
    ACT_KILL_TIMEOUT,
    ACT_STOP_TO_RESTART,
    ACT_STOP_TO_RESTART_NOW,
    ACT_CONCLUDE,
    ACT_DROP,
    ACT_DROP_UNLESS_RESTART,
    ACT_STAY_DOWN,
    ACT_STAY_DOWN_BY_SIGNAL,
    ACT_NO_RUN,
    ACT_RUN,
    ACT_MAX,
};
const char *action_name(enum action a);

enum action table_action(enum phase p, enum event ev);
