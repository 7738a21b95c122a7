/* unit - run --unit: this process becomes the container's supervisor and a unit's main process. */
#pragma once

#include "cli/runopts.h"
#include "container/container.h"

/* Refuses what a unit cannot have: a terminal, input, the background, a restart policy. */
int cli_unit_check(const struct run_opts *o, struct err *e);
/* Holds the signals of a stop back: the supervisor that this process becomes takes them, and a
 * container that has just been made does not stay behind. */
void cli_unit_hold_signals(void);
/* A value of --sdnotify (may be NULL) in our words: podman's "conmon" is "monitor". */
int unit_sdnotify_check(char **mode, struct err *e);
/* --sdnotify healthy without a health check would never be ready. */
int unit_healthy_check(const struct ctr_record *rec, struct err *e);
/* Is this variable a message of systemd to this very process, of no meaning inside? */
bool unit_env_private(const char *name_value);
