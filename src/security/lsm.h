/* lsm - labels of Linux security modules: AppArmor and SELinux, as far as the kernel has them. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Names of the active modules ("capability", "landlock", "yama", "apparmor", ...), owned. Read
 * from securityfs; where that is not mounted, found by probing, which finds fewer ones: *ret_probed
 * (may be NULL) says so. */
char **lsm_list(bool *ret_probed);
bool lsm_active(const char *name);

/* Sets the label that the next execve of the calling thread takes. apparmor: a profile name, NULL
 * or "unconfined" for none; selinux: a context or NULL. proc_fd: from procfs_open, or -1.
 * -EOPNOTSUPP when the kernel lacks the module that is asked for, -ENOENT for a profile that is
 * not loaded. apparmor(7), proc_pid_attr(5) */
int lsm_set_exec_label(int proc_fd, const char *apparmor, const char *selinux, struct err *e);
