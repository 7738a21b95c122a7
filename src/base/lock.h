/* lock - advisory locks on files (flock(2)): released by the kernel when the holder dies. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* flock(2) that a signal does not end: 0, or -1 with errno. */
int lock_wait(int fd, int operation);

enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE };

/* Opens (creating 0600) and locks a file below dirfd. wait_ms 0: try once; < 0: for ever. Returns
 * the fd that holds the lock (close it to unlock), -EWOULDBLOCK when another holds it, or -errno.
 */
int lock_take(int dirfd, const char *name, enum lock_mode mode, int wait_ms, struct err *e);
/* Is an exclusive lock held by anyone? A missing file is not locked. 1, 0 or -errno. It takes a
 * shared lock for an instant: a lock_take that must not fail by that waits some milliseconds. */
int lock_held(int dirfd, const char *name);
