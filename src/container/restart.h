/* restart - what --restart means: docker's policies, times and counts. */
#pragma once

#include "container/container.h"

/* "no", "on-failure[:N]", "always", "unless-stopped". *ret_policy is owned. */
int container_restart_parse(const char *text, char **ret_policy, int32_t *ret_retries,
                            struct err *e);
/* A run has ended by itself: does another follow? policy NULL: no. count: restarts so far. */
bool restart_by_policy(const char *policy, int32_t retries, int32_t count, int32_t exit_code);
/* Milliseconds to the next start: 100 at first (before_ms 0) or when it had run for 10 s, else
 * twice as many as before, a minute at most. */
uint32_t restart_delay(uint32_t before_ms, int64_t ran_ns);
/* Is it to be started when the host or the session begins? "always" and "unless-stopped" are, if
 * they have been started before; what the user has stopped stays down, "unless-stopped" for good,
 * "always" until the next boot. */
bool restart_at_boot(const char *policy, const struct ctr_state *s, const char *boot_id);
