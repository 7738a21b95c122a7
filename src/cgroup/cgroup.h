/* cgroup - which control groups this host offers, and the refusal where they are not v2.
 *
 * Decision 8: cgroup v2 only; never a silent fallback to v1. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

struct cgroup_host {
    enum cgroup_mode mode;
    bool delegated;        /* v2: our own cgroup's directory is writable for us */
    char own_path[512];    /* v2: of this process, from /proc/self/cgroup */
    char controllers[256]; /* v2: cgroup.controllers there */
};

int cgroup_detect(struct cgroup_host *ret, struct err *e);
const char *cgroup_mode_name(enum cgroup_mode m); /* "v2", "hybrid", ... */
/* -ENOTSUP: the message and hint where this host's cgroups are not v2. */
int cgroup_refuse(struct err *e);

/* Decides for a container: setting is "enabled" (default), "disabled"... wants_limits: a limit was
 * asked for, limit names it ("--memory"). On success *ret_driver is "disabled" (static string) or a
 * driver's name, and *ret_notice (owned, may be NULL) is one line for the user. On v1 and hybrid
 * hosts without "disabled": -ENOTSUP, message, hint. A limit with "disabled": refused. */
int cgroup_choose(const char *setting, const char *limit, const char **ret_driver,
                  char **ret_notice, struct err *e);
