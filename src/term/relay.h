/* relay - the caller's own streams, copied through pipes for a process in a container. */
#pragma once

#include <stddef.h>

#include "base/loop.h"

#define RELAY_CHUNK 32768

/* A descriptor cannot be given away in part. Who has a terminal as its output reads what is typed
 * there; who has a file as its input opens it for writing, through /proc/self/fd. So a container's
 * process gets pipes in place of both, and the caller copies. Pipes, sockets and /dev/null are
 * handed on as they are. */
struct relay {
    struct loop *loop;
    struct relay_stream {
        int caller; /* the stream that is copied, -1: this one is handed on */
        int pipe;   /* our end of the pipe; owned */
        int theirs; /* the other end, until relay_started; owned */
    } v[3];
    char *input; /* read from the caller, not yet taken by the process: off to len */
    size_t off, len;
};
#define RELAY_INIT                                                                                 \
    {                                                                                              \
        .v = {{-1, -1, -1}, {-1, -1, -1}, {-1, -1, -1}},                                           \
    }

/* Replaces in stdio what must not be given away; those of -1 stay. */
int relay_open(struct relay *r, int stdio[3], struct err *e);
/* The process has its ends: closes ours of them and watches the rest in loop, which is borrowed. */
int relay_started(struct relay *r, struct loop *loop, struct err *e);
/* Copies what is in the pipes already, without waiting for more. */
void relay_drain(struct relay *r);
void relay_release(struct relay *r);
