/* changes - what a container has changed of its image: for diff and commit. */
#pragma once

#include "container/container.h"
#include "storage/diff.h"

/* Calls tell for each difference of a container, then end, both in a child that is the root of a
 * user namespace (storage/diff.h). targets is filled in here. -ENOTSUP without an image. */
int changes_of_container(const struct container *ctr, struct storage_diff *d, struct err *e);

/* The same of an image's topmost layer against those below it. -ENOENT: there is no such image. */
int changes_of_image(const char *name, struct storage_diff *d, struct err *e);
