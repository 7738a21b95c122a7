/* sandbox - confines a worker to one directory, the descriptors it holds and a few system calls. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* The seccomp program: compiled once per session, loaded by every worker. */
struct sandbox_filter;
int sandbox_filter_new(struct sandbox_filter **ret, struct err *e);
void sandbox_filter_free(struct sandbox_filter *f);

/* Must be called before any byte of an image is read. Afterwards: root directory is dir_fd,
 * Landlock allows that directory only (kernel 5.19 or later; skipped before), capabilities for
 * owners and modes of files only, resource limits, and any system call outside the list kills the
 * process. Must not be undone; no network, no new processes, only threads. */
int layer_sandbox_enter(int dir_fd, uint64_t max_file_bytes, const struct sandbox_filter *f,
                        struct err *e);
