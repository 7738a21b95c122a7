/* seccomp-cache - compiled filters, kept below the root: to compile one takes longer than all else
 * of a start, and most containers of a client have the same. */
#pragma once

#include "base/err.h"

/* Everything that the program depends on: section (linux.seccomp as text), compiler (a path), the
 * kernel. Owned. */
char *seccomp_cache_key(const char *section, const char *compiler);
/* Puts the program of this key into dir_fd as name: 1, or 0 when there is none. */
int seccomp_cache_take(const char *key, int dir_fd, const char *name);
/* Keeps dir_fd's program under the key. Failures are of no account. */
void seccomp_cache_keep(const char *key, int dir_fd, const char *name);
