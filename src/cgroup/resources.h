/* resources - linux.resources as writes to cgroup v2 files: a pure translation, and its doing. */
#pragma once

#include "base/err.h"
#include "base/jfield.h"

enum {
    PLAN_OPTIONAL = 1,    /* a missing file is no error (no swap in the kernel, an old kernel) */
    PLAN_RETRY = 2,       /* -EINVAL: once more after the others, which may have made room for it */
    PLAN_KEEP = 4,        /* the file's first word stays, value is the second */
    PLAN_LESS_MEMORY = 8, /* memory.max is to be subtracted from value */
};

struct plan_write {
    char *file, *value;         /* owned; "memory.max", "1048576" */
    char *alt_file, *alt_value; /* instead, where file does not exist; owned; may be NULL */
    char *what;                 /* the member that asks for it: "memory.limit"; owned */
    unsigned flags;
};

/* Order matters: it is the one in which a running group can be changed. */
struct plan {
    struct plan_write *writes;
    size_t n;
    char **controllers;  /* that must be available, in the order of the writes; owned */
    char **reasons;      /* beside each: "linux.resources.memory.limit"; owned */
    int64_t check_usage; /* refuse when more bytes of memory are in use; -1: do not look */
};

/* Reads resources (NULL: an empty plan). update: of a group that runs, whose other limits stay.
 * -EINVAL or -ENOTSUP names the member: malformed, out of range, or something that cgroup v2 does
 * not have. Device rules are not files: see device.h. */
int resources_plan(const json_t *resources, bool update, struct plan *ret, struct err *e);
void plan_release(struct plan *p);
/* The first of p's controllers that is not in available: -ENOTSUP naming it and its member, with
 * the fix as a hint. dir_path: where it is missing. */
int plan_check(const struct plan *p, char *const *available, const char *dir_path, struct err *e);
/* Writes the files below dir_fd. dir_path for messages. */
int plan_apply(const struct plan *p, int dir_fd, const char *dir_path, struct err *e);
/* What is really written: with what the group has now. Owned; NULL: impossible. */
char *plan_value(const struct plan_write *w, int dir_fd);

/* cpu.shares (2 to 262144) to cpu.weight (1 to 10000). */
uint64_t cpu_weight_of_shares(uint64_t shares);
