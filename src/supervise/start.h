/* start - the way from the records to a supervised container, for one that begins (start.c) and one
 * that has outlived its supervisor (adopt.c). */
#pragma once

#include "security/filter.h"
#include "supervise/join.h"
#include "supervise/supervise.h"

/* What lives only until CREATED. */
struct prep {
    struct container ctr;
    struct seccomp_prog seccomp;
    bool confined;
    int child_fd[3];
    struct join join;
};
#define PREP_INIT                                                                                  \
    {                                                                                              \
        .ctr.dir_fd = -1, .child_fd = {-1, -1, -1}, .join = {.userns_fd = -1, .shm_fd = -1 }       \
    }
void prep_release(struct prep *p);
#define scoped_prep SCOPED(prep_release)

int start_lock(struct sup *s, struct err *e);
/* The records as they are now. The first time the state is taken, too: it is ours from then on. */
int start_read(struct sup *s, struct prep *p, struct err *e);
/* What of the record lasts longer than the start. */
void start_keep_network(struct sup *s, struct prep *p);
int start_open_log(struct sup *s, const struct ctr_record *rec, const struct spec *spec,
                   struct err *e);
/* The state is to say that it is us who look after this run. */
int start_sign(struct sup *s, struct err *e);
