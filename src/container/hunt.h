/* hunt - ends what still runs of containers whose records tell nothing: found by what the kernel
 * says of each process. */
#pragma once

#include "base/err.h"

/* Kills the supervisors of these ids, then every process whose mounts come from the directory of
 * one of them. Only processes of ours can be found. -EBUSY names one that does not end. */
int container_hunt(char *const *ids, struct err *e);
