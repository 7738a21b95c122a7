/* top - the columns of `rootlet top`. */
#pragma once

#include "base/str.h"
#include "container/procs.h"

/* What the columns of one container's processes are made from. */
struct top_view {
    const struct ctr_procs *procs;
    char *passwd[2], *group[2]; /* text of the container's files, of the host's; NULL: not read */
    uint64_t now_ticks, ticks_per_s, memory_kib;
};

struct top_column {
    const char *name;   /* podman's word for it */
    const char *code;   /* of ps(1), "%U"; "" */
    const char *header; /* "USER" */
    void (*print)(const struct top_view *v, const struct ctr_proc *p, struct str *out);
};

/* NULL: there is none of this name (podman's, that of ps, or its code). */
const struct top_column *top_column_find(const char *name);
char *top_column_names(void); /* for messages; owned */
