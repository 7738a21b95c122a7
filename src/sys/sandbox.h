/* sandbox - takes from a process of our own all that it does not need, once and for ever. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A system call whose argument decides: allowed when (argument & mask) == value. Several rows for
 * one call: any of them. Only the lower 32 bits are seen, as the kernel sees an int. */
struct sandbox_check {
    int call;
    unsigned arg; /* 0..5 */
    uint32_t mask, value;
};

struct sandbox {
    const char *what;                   /* the program's name, for messages */
    const int *calls;                   /* allowed system calls, the frequent ones first */
    size_t n_calls;                     /* 0: no filter */
    const struct sandbox_check *checks; /* more, by an argument; not in calls */
    size_t n_checks;
    uint64_t capabilities;         /* bits to keep, permitted and effective; 0: none */
    const char *const *read_paths; /* files and directories that stay readable; NULL: none */
    bool resolver;                 /* so does what /etc/resolv.conf may lead to */
    bool any_path;                 /* files are left to their permissions: no Landlock */
    bool tcp;                      /* TCP sockets may be bound and connected */
    uint64_t max_files;            /* RLIMIT_NOFILE; 0: as it is */
    uint64_t max_memory;           /* RLIMIT_AS in bytes; 0: as it is */
};

/* no_new_privs, not dumpable, no core, the limits, no capability but the listed ones (none in the
 * bounding set where that may be changed), Landlock where the kernel has it (landlock(7)), and a
 * seccomp filter that kills the process on any other system call, on other architectures and on
 * x32. To be called before the first byte from outside is read, by a process of one thread.
 * Programs with sanitizers, whose run time needs more, get only the first half. 0 or -errno. */
int sandbox_enter(const struct sandbox *s, struct err *e);
