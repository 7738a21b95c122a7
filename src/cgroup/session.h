/* session - the groups that a supervisor and its container live in.
 *
 *   .../rootlet-ID.scope/      a scope of the user's systemd, or a directory that we make
 *       supervisor/            we, and the processes that work for us
 *       container/             the payload; its limits are the files there
 *
 * "systemd": the scope comes by D-Bus from the user's manager, asked for at once and waited for
 * only when the container's group is needed. "inplace": we are in a unit with Delegate=yes, the
 * groups are made in its own. "cgroupfs": as that, in a delegated subtree without a manager.
 * "disabled": there are none. cgroup v2 only. systemd: docs/CGROUP_DELEGATION */
#pragma once

#include <stdint.h>

#include "cgroup/driver.h"

struct cgroup_session; /* what a supervisor holds; NULL for "disabled" */

/* Adds the property of a scope that lets a container have this time to stop when the manager ends
 * it: systemd's default will do for short ones. */
void cgroup_session_stop_time(char ***properties, int64_t seconds);

struct cgroup_session_request {
    const char *driver;      /* as cgroup_choose decided */
    const char *id;          /* of the container, 64 hex digits */
    const char *parent;      /* --cgroup-parent: "NAME.slice" (systemd), a path (cgroupfs); NULL */
    char *const *properties; /* of the scope, "NAME=VALUE" in GVariant text; NULL. One that the
                                manager does not know is left out */
    bool replace; /* the caller holds the container's lock: what a scope of its name holds is left
                     over from a supervisor that was killed, and is ended */
};

/* Begins to make the groups for the calling process and returns without waiting for a manager.
 * *ret is owned; with "disabled" it is NULL. */
int cgroup_session_begin(const struct cgroup_session_request *r, struct cgroup_session **ret,
                         struct err *e);
/* Shall the container's first process be born before the group is waited for, and move there later?
 * True while a manager is at work, unless the process could only be moved by it: that takes longer
 * than to be born in the group. */
bool cgroup_session_late(const struct cgroup_session *s);
/* Waits for the groups, goes to supervisor/ and makes container/ with these limits
 * (linux.resources; may be NULL), empty and anew when it was there. owner: as in struct
 * cgroup_request. *ret is owned and may be closed before the session; NULL without a session. A
 * limit whose controller is missing fails as in cgroup_create, and nothing stays. */
int cgroup_session_container(struct cgroup_session *s, const json_t *resources, uid_t owner,
                             struct cgroup **ret, struct err *e);
/* A child that was begun before the groups were there: to supervisor/, where we are. */
void cgroup_session_take(struct cgroup_session *s, pid_t pid);
/* The same for who has taken a container over: its group is ".../container". Between us and it may
 * lie what only the manager crosses. Where it does not help, the process stays with us. */
void cgroup_session_join(const char *container_path, pid_t pid);
/* When there is time: lets go of what only the making needed. */
void cgroup_session_settle(struct cgroup_session *s);
/* Of the whole: ".../rootlet-ID.scope"; borrowed; "" before cgroup_session_container and for NULL.
 */
const char *cgroup_session_path(const struct cgroup_session *s);
/* Ends what is left in container/ and removes it. The rest goes with the calling process, or at
 * once when it made the directory itself. Frees. NULL is nothing. */
void cgroup_session_end(struct cgroup_session *s);
/* Of a session whose process was killed: the empty groups around ".../container". */
void cgroup_remove_session(const char *container_path);
