/* profile - seccomp profiles in docker's JSON form and in OCI's (linux.seccomp), compiled to BPF.
 *
 * Build time and rootlet-seccomp only: it links libseccomp, whose reading of a rule list is the one
 * that podman, docker, crun and runc share, so that one profile means the same everywhere. */
#pragma once

#include "base/jfield.h"

/* Not security/seccomp.h: its names and libseccomp's are too close to share a file. */
struct seccomp_prog;

#define PROFILE_MAX_BYTES (1u << 20)

enum profile_action {
    PROFILE_KILL_THREAD, /* "SCMP_ACT_KILL" too */
    PROFILE_KILL_PROCESS,
    PROFILE_TRAP,
    PROFILE_ERRNO,
    PROFILE_TRACE,
    PROFILE_ALLOW,
    PROFILE_LOG,
    PROFILE_NOTIFY,
};

struct profile_arg {
    uint32_t index;
    uint64_t value, value_two; /* with MASKED_EQ: the mask, and what is left of the argument */
    int op;                    /* enum scmp_compare */
    json_t *extra;
};

/* When a rule counts: all of includes' capabilities, one of its architectures; none of excludes'.
 */
struct profile_when {
    char **caps, **arches;
    char *min_kernel;
    json_t *extra;
};

struct profile_rule {
    char *name; /* docker's first form */
    char **names;
    char *action_name;
    enum profile_action action;
    uint32_t errno_ret;
    bool has_errno;
    char *errno_name; /* "EPERM": podman writes it beside the number */
    struct profile_arg *args;
    size_t n_args;
    char *comment;
    struct profile_when *includes, *excludes;
    json_t *extra;
};

struct profile_arch {
    char *architecture;
    char **sub;
    json_t *extra;
};

struct profile {
    char *default_name;
    enum profile_action default_action;
    uint32_t default_errno;
    bool has_default_errno;
    char *default_errno_name;
    char **architectures;
    struct profile_arch *arch_map;
    size_t n_arch_map;
    char **flags;
    char *listener_path, *listener_metadata;
    struct profile_rule *rules;
    size_t n_rules;
    json_t *extra;
};

/* Reads a profile, a linux.seccomp object, or a whole config.json (its linux.seccomp). Keys and
 * system calls that nobody knows become lines of *warnings ("syscalls[3].foo: unknown key");
 * unknown actions and comparisons are errors with the JSON path. */
int profile_parse(const json_t *doc, struct profile *ret, char ***warnings, struct err *e);
void profile_release(struct profile *p);
#define scoped_profile SCOPED(profile_release)

/* "kill-process", "SCMP_ACT_LOG", "errno", ...; -EINVAL with the names. */
int profile_action_parse(const char *name, enum profile_action *ret, struct err *e);

struct profile_target {
    uint64_t caps;            /* of the container */
    const char *kernel;       /* "6.1" for minKernel; NULL: the running one */
    char *const *more_arches; /* "SCMP_ARCH_X86" or "x86": beside the native one; may be NULL */
    bool replace_default;
    enum profile_action default_action; /* with replace_default */
    bool plain; /* leave libseccomp's code as it is (for comparisons in tests) */
};

/* Is the rule in force for t? */
bool profile_rule_counts(const struct profile_rule *r, const struct profile_target *t);
/* Capabilities that any rule looks at. */
uint64_t profile_mentions(const struct profile *p);
int profile_compile(const struct profile *p, const struct profile_target *t,
                    struct seccomp_prog *ret, struct err *e);
/* Number of a system call by name: libseccomp's, or ours for newer ones; negative below -1 for
 * calls of other architectures; -1 when nobody knows it. */
int profile_syscall_nr(const char *name);
/* Name of a call that is younger than the libseccomp we were written with, or NULL. */
const char *profile_newer_name(int nr);
