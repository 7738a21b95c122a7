/* pod - containers that share namespaces and live together. There is no record of a pod: it is the
 * record of its infra container, which holds the namespaces, and its id is that one's.
 *
 * Every member's record and state have the pod's name. Who makes or removes a pod holds the lock
 * exclusively, who makes a member shared, until the records are on disk. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "container/container.h"

struct pod {
    struct container infra;     /* infra.rec.pod is the name */
    struct ctr_state **members; /* without the infra; borrowed from the set, the array is owned */
    size_t n;
};
struct pod_set {
    struct ctr_state *states; /* of all containers, newest first */
    size_t n_states;
    struct pod *v; /* newest first */
    size_t n;
};
int pod_set_load(const struct conf *c, struct pod_set *ret, struct err *e);
void pod_set_release(struct pod_set *s);
#define scoped_pod_set SCOPED(pod_set_release)

/* Is it the infra container of its pod? */
bool pod_is_infra(const struct ctr_state *s);

/* By name, or the first digits of the id. -ENOENT: "no such pod", with a suggestion. */
int pod_find(const struct pod_set *s, const char *ref, const struct pod **ret, struct err *e);
/* "Created", "Running", "Degraded" (some members do not run), "Paused", "Stopped" (all were
 * stopped), "Exited", "Dead"; podman's words. */
const char *pod_status(const struct pod *p);
/* A descriptor that holds the lock. Waits. */
int pod_lock(const struct conf *c, bool exclusive, struct err *e);
/* Are the namespaces of this type ("net", "ipc", "uts", "pid") the pod's? */
bool pod_shares(const struct ctr_record *infra, const char *type);
/* The slice of systemd that a pod's scopes are in; owned. NULL: its name would be too long. */
char *pod_slice(const char *name);
