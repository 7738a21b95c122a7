/* clone - clone3(2) and the namespace calls, without libc's wrappers in the way. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* clone3 with flags (CLONE_NEW*, CLONE_PARENT...), SIGCHLD unless CLONE_PARENT, and CLONE_PIDFD
 * when ret_pidfd is given. cgroup_fd >= 0 adds CLONE_INTO_CGROUP. Returns as fork(2); -errno on
 * error. */
pid_t sys_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd);
/* The error of a process that could not be made, with what to look at when there are too many. */
int sys_clone_failed(int why, const char *what, struct err *e);
/* Marks all descriptors from first on close-on-exec (or closes them). close_range(2). */
int sys_close_from(unsigned first, int cloexec_only);
/* NS_GET_NSTYPE, NS_GET_OWNER_UID of the owning user namespace. ioctl_ns(2). 0 or -errno. */
int sys_ns_type(int ns_fd, int *ret_clone_flag);
int sys_ns_owner(int ns_fd, uid_t *ret_uid);
int sys_pivot_root(const char *new_root, const char *put_old); /* 0 or -errno */
/* The CLONE_NEW* flag of an OCI namespace name ("pid", "network", "mount", "ipc", "uts", "user",
 * "cgroup", "time"), 0 if unknown; and the name below /proc/PID/ns. */
uint64_t sys_ns_flag(const char *oci_type);
const char *sys_ns_file(const char *oci_type);
