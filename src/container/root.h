/* root - the files of a container, whatever it does: to be read or changed by cp, export, diff. */
#pragma once

#include "container/container.h"

enum {
    /* To be changed. A container that does not run is locked meanwhile, so that no start comes in
     * between; -EBUSY when something else holds it. With --read-only only volumes can be changed.
     */
    CTR_ROOT_WRITE = 1,
    /* With its mounts: of a running container all that it sees, of others its binds and volumes
     * (of which missing ones are left out, with CTR_ROOT_WRITE an error). Without this flag the
     * root file system alone. */
    CTR_ROOT_MOUNTS = 2,
};

/* Runs fn in a child of ours, inside the container's user namespace as its root, but with the
 * host's mounts and processes around it: only root_fd, the container's "/" (borrowed, O_PATH or
 * not), leads into the container. A running (or paused) one is joined, also when its supervisor is
 * gone; the root of others is mounted for the time, where only the child has it. fn's result: 0, or
 * negative errno with e filled, which comes back to the caller. Descriptors are inherited.
 *
 * What lies below root_fd is the container's, which may change it at any moment: path_*_in_root,
 * then descriptors. Nothing of this is left, whichever process is killed. */
int container_root_run(const struct conf *c, const struct container *ctr, unsigned flags,
                       int (*fn)(int root_fd, void *data, struct err *e), void *data,
                       struct err *e);
