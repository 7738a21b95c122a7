/* table - see table.h. Data only. */
#include "supervise/table.h"

/* As users know them. */
static const char *const phases[PH_MAX] = {"created", "running",    "stopping",
                                           "ending",  "restarting", "ended"};

static const char *const events[EV_MAX] = {
    [EV_START] = "start",
    [EV_SIGNAL] = "signal",
    [EV_STOP] = "stop",
    [EV_PAUSE] = "pause",
    [EV_UNPAUSE] = "unpause",
    [EV_FINISH] = "finish",
    [EV_OWNER_GONE] = "owner gone",
    [EV_INIT_ENDED] = "init ended",
    [EV_STOP_TIME] = "stop time over",
    [EV_RUN_TIME] = "run time over",
    [EV_TERM] = "SIGTERM",
    [EV_DRAINED] = "drained",
    [EV_KILL] = "kill by a check",
    [EV_RESTART] = "restart by a check",
    [EV_RESTART_TIME] = "wait over",
    [EV_USER_RESTART] = "restart",
};

static const char *const actions[ACT_MAX] = {
    [ACT_NEVER] = "-",
    [ACT_IGNORE] = "nothing",
    [ACT_REFUSE] = "refuse",
    [ACT_START] = "start",
    [ACT_TAKE_BACK] = "take back",
    [ACT_START_FAILED] = "start failed",
    [ACT_SIGNAL] = "signal",
    [ACT_STOP] = "stop",
    [ACT_END] = "end",
    [ACT_END_AFTER] = "end after it",
    [ACT_PAUSE] = "pause",
    [ACT_UNPAUSE] = "unpause",
    [ACT_DRAIN] = "drain",
    [ACT_KILL] = "kill",
    [ACT_KILL_TIMEOUT] = "kill, say why",
    [ACT_STOP_TO_RESTART] = "stop, restart",
    [ACT_STOP_TO_RESTART_NOW] = "stop, restart at once",
    [ACT_CONCLUDE] = "conclude",
    [ACT_DROP] = "drop output",
    [ACT_DROP_UNLESS_RESTART] = "drop unless restart",
    [ACT_STAY_DOWN] = "stay down",
    [ACT_STAY_DOWN_BY_SIGNAL] = "stay down or refuse",
    [ACT_NO_RUN] = "no run",
    [ACT_RUN] = "run again",
};

static const unsigned char table[PH_MAX][EV_MAX] = {
    [PH_CREATED] =
        {
            [EV_START] = ACT_START,
            [EV_SIGNAL] = ACT_REFUSE,
            [EV_STOP] = ACT_TAKE_BACK,
            [EV_PAUSE] = ACT_REFUSE,
            [EV_UNPAUSE] = ACT_REFUSE,
            [EV_FINISH] = ACT_REFUSE,
            [EV_OWNER_GONE] = ACT_TAKE_BACK,
            [EV_INIT_ENDED] = ACT_START_FAILED,
            [EV_STOP_TIME] = ACT_NEVER,
            [EV_RUN_TIME] = ACT_NEVER,
            [EV_TERM] = ACT_TAKE_BACK,
            [EV_DRAINED] = ACT_NEVER,
            [EV_KILL] = ACT_NEVER,
            [EV_RESTART] = ACT_NEVER,
            [EV_RESTART_TIME] = ACT_NEVER,
            [EV_USER_RESTART] = ACT_REFUSE,
        },
    [PH_RUNNING] =
        {
            [EV_START] = ACT_REFUSE,
            [EV_SIGNAL] = ACT_SIGNAL,
            [EV_STOP] = ACT_STOP,
            [EV_PAUSE] = ACT_PAUSE,
            [EV_UNPAUSE] = ACT_UNPAUSE,
            [EV_FINISH] = ACT_REFUSE,
            [EV_OWNER_GONE] = ACT_IGNORE,
            [EV_INIT_ENDED] = ACT_DRAIN,
            [EV_STOP_TIME] = ACT_NEVER,
            [EV_RUN_TIME] = ACT_KILL_TIMEOUT,
            [EV_TERM] = ACT_END,
            [EV_DRAINED] = ACT_NEVER,
            [EV_KILL] = ACT_KILL,
            [EV_RESTART] = ACT_STOP_TO_RESTART,
            [EV_RESTART_TIME] = ACT_NEVER,
            [EV_USER_RESTART] = ACT_STOP_TO_RESTART_NOW,
        },
    [PH_STOPPING] =
        {
            [EV_START] = ACT_REFUSE,
            [EV_SIGNAL] = ACT_SIGNAL,
            [EV_STOP] = ACT_STOP,
            [EV_PAUSE] = ACT_REFUSE,
            [EV_UNPAUSE] = ACT_REFUSE,
            [EV_FINISH] = ACT_REFUSE,
            [EV_OWNER_GONE] = ACT_IGNORE,
            [EV_INIT_ENDED] = ACT_DRAIN,
            [EV_STOP_TIME] = ACT_KILL,
            [EV_RUN_TIME] = ACT_KILL_TIMEOUT,
            [EV_TERM] = ACT_END_AFTER,
            [EV_DRAINED] = ACT_NEVER,
            [EV_KILL] = ACT_IGNORE,
            [EV_RESTART] = ACT_IGNORE,
            [EV_RESTART_TIME] = ACT_NEVER,
            [EV_USER_RESTART] = ACT_REFUSE,
        },
    [PH_DRAINING] =
        {
            [EV_START] = ACT_REFUSE,
            [EV_SIGNAL] = ACT_STAY_DOWN_BY_SIGNAL,
            [EV_STOP] = ACT_STAY_DOWN,
            [EV_PAUSE] = ACT_REFUSE,
            [EV_UNPAUSE] = ACT_REFUSE,
            [EV_FINISH] = ACT_DROP_UNLESS_RESTART,
            [EV_OWNER_GONE] = ACT_IGNORE,
            [EV_INIT_ENDED] = ACT_NEVER,
            [EV_STOP_TIME] = ACT_NEVER,
            [EV_RUN_TIME] = ACT_NEVER,
            [EV_TERM] = ACT_DROP,
            [EV_DRAINED] = ACT_CONCLUDE,
            [EV_KILL] = ACT_IGNORE,
            [EV_RESTART] = ACT_IGNORE,
            [EV_RESTART_TIME] = ACT_NEVER,
            [EV_USER_RESTART] = ACT_REFUSE,
        },
    [PH_WAITING] =
        {
            [EV_START] = ACT_REFUSE,
            [EV_SIGNAL] = ACT_STAY_DOWN_BY_SIGNAL,
            [EV_STOP] = ACT_STAY_DOWN,
            [EV_PAUSE] = ACT_REFUSE,
            [EV_UNPAUSE] = ACT_REFUSE,
            [EV_FINISH] = ACT_REFUSE,
            [EV_OWNER_GONE] = ACT_IGNORE,
            [EV_INIT_ENDED] = ACT_NEVER,
            [EV_STOP_TIME] = ACT_NEVER,
            [EV_RUN_TIME] = ACT_NEVER,
            [EV_TERM] = ACT_NO_RUN,
            [EV_DRAINED] = ACT_NEVER,
            [EV_KILL] = ACT_NEVER,
            [EV_RESTART] = ACT_NEVER,
            [EV_RESTART_TIME] = ACT_RUN,
            [EV_USER_RESTART] = ACT_REFUSE,
        },
    [PH_DONE] =
        {
            [EV_START] = ACT_REFUSE,
            [EV_SIGNAL] = ACT_REFUSE,
            [EV_STOP] = ACT_DROP,
            [EV_PAUSE] = ACT_REFUSE,
            [EV_UNPAUSE] = ACT_REFUSE,
            [EV_FINISH] = ACT_DROP,
            [EV_OWNER_GONE] = ACT_IGNORE,
            [EV_INIT_ENDED] = ACT_NEVER,
            [EV_STOP_TIME] = ACT_NEVER,
            [EV_RUN_TIME] = ACT_NEVER,
            [EV_TERM] = ACT_DROP,
            [EV_DRAINED] = ACT_NEVER,
            [EV_KILL] = ACT_NEVER,
            [EV_RESTART] = ACT_NEVER,
            [EV_RESTART_TIME] = ACT_NEVER,
            [EV_USER_RESTART] = ACT_REFUSE,
        },
};

const char *phase_name(enum phase p)
{
    return phases[p];
}

const char *event_name(enum event ev)
{
    return events[ev];
}

const char *action_name(enum action a)
{
    return actions[a];
}

enum action table_action(enum phase p, enum event ev)
{
    return (enum action)table[p][ev];
}
