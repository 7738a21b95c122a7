/* exec_session - stdio of an exec: copied through pipes, or through a terminal. */
#pragma once

#include <stdbool.h>

#include "engine/engine.h"

struct exec_session {
    struct engine_exec_params *params;
    bool detach, interactive, tty;
    const char *detach_keys;
};

/* Starts the process and, unless detached, follows it. Returns its exit status or -errno. */
int exec_session_run(struct exec_session *s, struct err *e);
