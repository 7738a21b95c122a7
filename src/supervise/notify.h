/* notify - messages between a container and the service manager that waits for it, sd_notify(3).
 *
 * Who says READY=1: "monitor": we, when the command runs; "healthy": we, when its health check
 * passes; "container": itself, through a socket of ours inside, of whose messages only those about
 * its state go on; "ignore": nobody, and $NOTIFY_SOCKET is not known inside. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct sup;
struct notify;

#define NOTIFY_MAX 4096 /* as systemd's own limit */

/* Takes what systemd has told this process out of the environment. */
void notify_take_environment(struct sup *s);
/* Before a run, with its specification read: mode as in the record, NULL is "monitor" in a unit and
 * else "ignore". A container that speaks for itself is given the socket. */
int notify_prepare(struct sup *s, const char *mode, struct err *e);
void notify_started(struct sup *s);  /* the command runs */
void notify_health(struct sup *s);   /* the state's health has changed */
void notify_stopping(struct sup *s); /* it was told to end */
void notify_close(struct sup *s);    /* frees; NULL is nothing */

/* Of a container's message (size n) the lines that may go on, each with its line feed, into out
 * (NOTIFY_MAX bytes). Returns their length; 0: nothing. *ret_barrier: it is BARRIER=1 alone, which
 * goes on with its descriptor. */
size_t notify_filter(const char *message, size_t n, char *out, bool *ret_barrier);
