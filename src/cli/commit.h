/* commit - the configuration of an image that is made of a container. */
#pragma once

#include <jansson.h>

#include "container/container.h"

/* The "config" object of the container's image, with what the container was made with in its
 * place. with_volumes: also the places of its volumes. */
int commit_config(const struct container *ctr, bool with_volumes, json_t **ret, struct err *e);
