/* health - the container's health check: a command inside, at intervals, and what its results mean.
 *
 * docker's rules: three failures in a row (retries) are "unhealthy", one success is "healthy", what
 * fails in the start period does not count before the first success. The command runs in a child of
 * ours that joins the container, so that the loop never waits for it. What came out is in
 * containers/ID/health.json, the status in the state. */
#pragma once

#include <sys/types.h>

#include "container/container.h"

#define HEALTH_OUTPUT_MAX 4096
#define HEALTH_LOG_MAX 5

struct sup;
struct peer;
struct health;

/* Before a run: takes the check out of the record. Nothing is made when it has none. */
void health_prepare(struct sup *s, struct ctr_health *check);
void health_begin(struct sup *s); /* the command runs; the state is written after it */
/* For a run that another supervisor began: what that one had found out counts on. */
void health_resume(struct sup *s);
/* The run has ended: a check that runs is killed. What was found stays in the state. */
void health_end(struct sup *s);
/* Runs a check now (or waits for the one that runs); the peer gets PROTO_HEALTH_RESULT. */
int health_ask(struct sup *s, struct peer *p, struct err *e);
/* The child that runs a check, or -1. */
pid_t health_pid(const struct sup *s);

/* check.c: one check. */
struct check {
    pid_t pid;
    int pidfd, out_fd; /* owned; out_fd: what it says */
};
/* The child ends with the command's exit code; when the time is over it has killed it. Of the
 * container nothing but its own files, read anew, is looked at. */
int check_start(struct sup *s, char *const *test, int64_t timeout_ms, struct check *ret,
                struct err *e);
