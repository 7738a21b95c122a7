/* owner - whose a file or directory of the image becomes. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* USER[:GROUP] of --chown by the image's passwd and group files; a number alone is the group as
 * well. root_fd -1: an empty image, numbers only. */
int owner_chown(int root_fd, const char *text, uint32_t *uid, uint32_t *gid, struct err *e);
/* A directory of WORKDIR that is still to be made: "USER:GROUP/PATH", USER as the instruction of
 * that name had it, or nothing. Its path (borrowed), and the ids of USER: root's when the image
 * does not know him (yet). */
const char *owner_workdir(int root_fd, const char *entry, uint32_t *uid, uint32_t *gid);
