/* users - the containers that use a volume or a network: told, or removed with it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* kind and name of what cannot go because of these containers (full ids). -EBUSY, exit status 2. */
int cli_users_error(const char *kind, const char *name, char *const *ids, struct err *e);
/* Stops and removes them; those that are gone are fine. seconds: that running ones get to stop by
 * SIGTERM, negative for any time; NULL: none, they are killed. */
int cli_users_remove(char *const *ids, const int64_t *seconds, struct err *e);

/* Removes one object; data is the caller's. */
typedef int cli_remove_fn(const char *name, const void *data, struct err *e);
/* Removes each and prints its name, goes on after errors, prints each error but the last, which is
 * in e. The exit status is the worst: 1 for one that is not there, which is no error with force. */
int cli_remove_names(char *const *names, bool force, cli_remove_fn *fn, const void *data,
                     struct err *e);
