/* path - names below a root descriptor, resolved by openat2(2) only.
 *
 * No function here, or anywhere, makes a system call on a container path given as a string without
 * a root descriptor: that is the bug class behind most runtime CVEs (security.md 1.2). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/scoped.h"

/* Opens path with root_fd as its "/": symlinks and ".." never leave it, magic links fail.
 * flags as open(2), O_CLOEXEC is added. Returns an fd the caller owns, or -errno. */
int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode, struct err *e);

/* As above, but no symbolic link at all is followed (RESOLVE_NO_SYMLINKS) and the result stays
 * beneath (RESOLVE_BENEATH): for trees that we wrote ourselves. */
int path_open_beneath(int root_fd, const char *path, int flags, mode_t mode, struct err *e);

/* Opens a regular file of a container for reading: O_NONBLOCK, refused unless S_ISREG and at most
 * max bytes. Its content, zero terminated, is the caller's. Returns the length or -errno. */
ssize_t path_read_in_root(int root_fd, const char *path, size_t max, char **ret, struct err *e);

/* Creates the missing parts of a directory path with mode (the umask applies) and opens the last
 * O_PATH|O_DIRECTORY. Every part is made from the last verified descriptor; symbolic links to what
 * does not exist yet (/var/run -> /run) are followed inside the root. Returns an fd or -errno. */
int path_mkdirs_in_root(int root_fd, const char *path, mode_t mode, struct err *e);

/* Opens the directory that holds path's last part (creating it when make is set) and gives that
 * part's name in ret_name (owned; never "", "." or ".."). Returns the O_PATH fd or -errno. */
int path_open_parent(int root_fd, const char *path, bool make, char **ret_name, struct err *e);

/* a + "/" + b without doubled slashes; owned. */
char *path_join(const char *a, const char *b);
/* Lexical: one slash between parts, no "." parts, ".." taken back, "/" in front. Owned. */
char *path_clean(const char *path);
/* The part after the last slash (borrowed). */
const char *path_name(const char *path);
