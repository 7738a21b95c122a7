/* procfs - reads and writes in /proc through a descriptor that is proven to be a procfs.
 *
 * A container can put anything over /proc (CVE-2025-52881): every access goes through a private
 * mount (fsopen "proc") or a verified /proc, with RESOLVE_BENEATH|NO_XDEV|NO_SYMLINKS. */
#pragma once

#include "base/err.h"

/* A directory fd of a procfs of the current pid namespace; host side: /proc, verified. */
int procfs_open(struct err *e);
/* Opens path ("sys/net/ipv4/ip_forward", "self/attr/exec") below it; verified. flags as open(2). */
int procfs_open_file(int proc_fd, const char *path, int flags, struct err *e);
int procfs_write(int proc_fd, const char *path, const char *text, struct err *e);
