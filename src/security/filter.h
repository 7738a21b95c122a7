/* filter - from what a container's record says of seccomp to the program that is loaded: one answer
 * for the start, for exec and for why. */
#pragma once

#include "base/err.h"
#include "security/seccomp.h"
#include "spec/spec.h"

/* what: "builtin:NAME", "file" (seccomp.bpf in dirfd, the container's directory) or "unconfined";
 * NULL is the last. caps: the process' sets, NULL for none. Returns 1 with *ret filled (the caller
 * releases it), 0 for unconfined, -errno else: an unknown word is an error, never no filter. */
int seccomp_filter_open(const char *what, const struct spec_caps *caps, int dirfd,
                        struct seccomp_prog *ret, struct err *e);
