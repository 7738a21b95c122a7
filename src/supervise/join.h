/* join - namespaces of other containers, /dev/shm with them, and the pod of a member. */
#pragma once

#include "supervise/supervise.h"

#define JOIN_MAX 8
struct join {
    int fd[JOIN_MAX]; /* owned */
    size_t n;
    int userns_fd; /* owned, or -1 */
    int shm_fd;    /* a copy of /dev/shm that is shared with IPC; owned, or -1 */
};
/* shm.c: a detached copy of the mount /dev/shm in these namespaces, or -errno. */
int shm_open_shared(int userns_fd, int mntns_fd, struct err *e);
/* Puts the namespaces of other containers into the specification, as descriptors that are open in
 * j; tells the pod's infra container, if there is one, that we are there. */
int join_all(struct sup *s, const struct ctr_record *rec, struct join *j, struct err *e);
void join_release(struct join *j);
/* As a member of a pod: connects to its infra container. */
int join_pod(struct sup *s, const struct ctr_record *rec, struct err *e);
void join_leave(struct sup *s);                  /* of the pod: we have ended for good */
void join_member(struct sup *s, struct peer *p); /* p is a member's supervisor */
void join_member_gone(struct sup *s, const struct peer *p);
