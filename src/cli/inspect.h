/* inspect - parts of what `rootlet inspect` shows of a container. */
#pragma once

#include "container/container.h"

/* HostConfig of the limits, in docker's words. inspect_limits.c */
void inspect_limits(const struct ctr_record *rec, const struct spec *spec, json_t *j);
