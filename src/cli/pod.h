/* pod - what the commands of pods share with run, create and start. */
#pragma once

#include "cli/runopts.h"
#include "container/pod.h"
#include "userns/userns.h"

/* A container that is being made as a member of a pod. */
struct pod_member {
    struct pod_set set;
    const struct pod *pod; /* NULL: of none */
    int lock;              /* the pod stays until this is closed, or -1 */
    struct run_opts o;     /* the options as the pod makes them; strings borrowed */
    char **network;        /* --network of o */
    char *self;            /* "container:ID" */
};
#define POD_MEMBER_INIT                                                                            \
    {                                                                                              \
        .lock = -1                                                                                 \
    }
/* o->pod is a pod's name, or "new:NAME": that is made first. */
int pod_member_begin(struct pod_member *m, const struct run_opts *o, struct err *e);
void pod_member_release(struct pod_member *m);

/* Starts the infra container of this id if it does not run. */
int cli_pod_up(const char *infra_id, struct err *e);
/* The same for the pod of a member's record; nothing for others. */
int cli_pod_of(const struct ctr_record *rec, struct err *e);

/* Makes a pod of this name, with what its first member says of all that the pod is to share. */
int cli_pod_make(const char *name, const struct run_opts *first, struct err *e);
/* Stops a pod (seconds < 0: as long as each container's own time) and removes it with its members.
 */
int cli_pod_remove(const char *ref, int64_t seconds, struct err *e);
