/* builtin - what gen-seccomp writes at build time: compiled profiles and the system calls' names.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

struct seccomp_builtin {
    const char *profile;
    uint64_t mentioned; /* capabilities that the profile's rules look at */
    uint64_t caps;      /* which of these this program is for */
    const struct sock_filter *insns;
    size_t n;
};

extern const struct seccomp_builtin seccomp_builtins[]; /* ends with profile NULL */
extern const uint32_t seccomp_builtin_arch;             /* AUDIT_ARCH_* they are for */
extern const char *const seccomp_names[];               /* by number; NULL in gaps */
extern const size_t seccomp_n_names;

/* The profiles as they were written (in rootlet-seccomp only); ends with name NULL. */
struct seccomp_text {
    const char *name, *json;
};
extern const struct seccomp_text seccomp_texts[];
