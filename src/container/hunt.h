/* hunt - ends what still runs of containers whose records tell nothing: found by what the kernel
 * says of each process. */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"
#include "spec/spec.h"

/* Kills the supervisors of these ids, then every process whose mounts come from the directory of
 * one of them. Only processes of ours can be found. -EBUSY names one that does not end. */
int container_hunt(char *const *ids, struct err *e);

/* Signals every process of a namespace ("pid", "user"); how many there were. */
unsigned container_signal_members(const char *type, const struct stat *ns, int sig);

/* One that shares the pids of others, and has no group, is known by its user namespace alone: that
 * of its init, when it is the container's own. The descriptor (-1: there is none) keeps the
 * namespace's number from being given to another. */
int container_own_userns(const struct spec *s, pid_t init, int pidfd);
/* Kills what is in it, also what forks meanwhile. */
void container_end_userns(int userns_fd);
