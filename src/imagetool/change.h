/* change - Dockerfile instructions that set an image's configuration (import --change). */
#pragma once

#include <jansson.h>

#include "base/err.h"

/* "CMD [\"sh\"]", "ENV A=b C=d", "USER 1:2", ... applied to the "config" object. The form "CMD=..."
 * is accepted as podman does. -EINVAL names the instruction. */
int change_apply(json_t *config, const char *text, struct err *e);
