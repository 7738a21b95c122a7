/* lock - advisory locks on files (flock(2)): released by the kernel when the holder dies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* flock(2) that a signal does not end: 0, or -1 with errno. */
int lock_wait(int fd, int operation);

enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE };

/* Opens (creating 0600) and locks a file below dirfd. wait_ms 0: try once; < 0: for ever. Returns
 * the fd that holds the lock (close it to unlock), -EWOULDBLOCK when another holds it, or -errno.
 * Who waits for long says once whom for; the message of -EWOULDBLOCK names the holder, too. */
int lock_take(int dirfd, const char *name, enum lock_mode mode, int wait_ms, struct err *e);
/* Is an exclusive lock held by anyone? A missing file is not locked. 1, 0 or -errno. It takes a
 * shared lock for an instant: a lock_take that must not fail by that waits some milliseconds. */
int lock_held(int dirfd, const char *name);
/* The same; messages call it so ("container web"). */
int lock_take_of(int dirfd, const char *name, const char *what, enum lock_mode mode, int wait_ms,
                 struct err *e);
/* Locks an open file or directory, called so in messages ("the names of containers"), in the same
 * way: 0, -EWOULDBLOCK or -errno. */
int lock_fd(int fd, enum lock_mode mode, int wait_ms, const char *what, struct err *e);
/* Who holds a lock on the file: "process 12 (rootlet stop web)". False: it is not known. */
bool lock_holder(int fd, char *buf, size_t size);
