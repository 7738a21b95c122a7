/* session-priv - a supervisor's session: what its two kinds share. */
#pragma once

#include "cgroup/cgroup-priv.h"
#include "cgroup/scope-helper.h"
#include "cgroup/session.h"

#define SESSION_SUPERVISOR "supervisor"
#define SESSION_CONTAINER "container"
/* Leaf of a delegated group for who was in it: a group that hands controllers down holds no
 * processes. */
#define SESSION_LEAF "main"

struct cgroup_session {
    char *driver, *id;
    char *path;                 /* of the whole, "/a/rootlet-ID.scope"; owned; NULL: not yet */
    int fd;                     /* its directory; -1: not yet */
    bool made;                  /* by us: we remove it */
    char *origin;               /* made: where we have come from; owned */
    char *unit;                 /* systemd: name of the scope; owned */
    struct scope_helper helper; /* systemd */
    bool foreign;               /* between us and the scope is what only the manager may cross */
    bool asked;                 /* of it, and not yet answered */
    bool lost;                  /* the helper has died before it answered */
    bool fresh;                 /* container/ is there and has never been used */
};

/* session-scope.c: the scope of a manager. */
int session_scope_begin(struct cgroup_session *s, const struct cgroup_session_request *r,
                        struct err *e);
/* Until the manager has made it: path, fd, we are in supervisor/. */
int session_scope_await(struct cgroup_session *s, struct err *e);
void session_scope_end(struct cgroup_session *s);
