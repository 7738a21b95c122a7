/* exec_session - stdio of an exec: copied through pipes, or through a terminal; and who stays when
 * the command that began it does not. */
#pragma once

#include <stdbool.h>

#include "engine/engine.h"

struct exec_session {
    struct engine_exec_params *params;
    bool detach, interactive, tty;
    const char *detach_keys;
    /* Told once when the process has ended; code -1: nobody knows it (detached by the keys). In a
     * process of its own when the command has returned before. */
    void (*ended)(void *data, int code);
    void *data;
};

/* Starts the process and follows it: its exit status, or -errno. 0 at once with detach, and when
 * the user typed the detach keys: then a process of ours holds its terminal, reads what it writes
 * there, and ends with it. */
int exec_session_run(struct exec_session *s, struct err *e);
