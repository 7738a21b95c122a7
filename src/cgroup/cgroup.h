/* cgroup - which control groups this host offers, which of them a container gets, and the refusal
 * where they are not v2.
 *
 * Decision 8: cgroup v2 only; never a silent fallback to v1. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/jfield.h"

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

struct cgroup_host {
    enum cgroup_mode mode;
    bool delegated;        /* v2: our own cgroup's directory is writable for us */
    char own_path[512];    /* v2: of this process, from /proc/self/cgroup */
    char controllers[256]; /* v2: cgroup.controllers there */
};

enum cgroup_mode cgroup_host_mode(void);
int cgroup_detect(struct cgroup_host *ret, struct err *e);
const char *cgroup_mode_name(enum cgroup_mode m); /* "v2", "hybrid", ... */
/* -ENOTSUP: the message and hint where this host's cgroups are not v2. */
int cgroup_refuse(struct err *e);

/* What a container is to have. */
struct cgroup_wish {
    const char *setting;     /* --cgroups: "enabled" (also NULL and ""), "disabled", "split",
                                "systemd", "cgroupfs", "no-conmon" */
    const char *undo;        /* how to take the setting back, for hints; NULL: it was --cgroups */
    const char *parent;      /* --cgroup-parent; NULL */
    bool unit;               /* run --unit: the unit that we are in is the container's */
    const json_t *resources; /* linux.resources; NULL: no limits */
    bool update;             /* they are a change of what a group has */
    /* The option that asked for a member ("memory.limit": "--memory"), or NULL for one that nobody
     * asked for: a default, which is not checked. Without the function all are checked and called
     * "linux.resources.MEMBER". The driver is decided without looking at them. */
    const char *(*option)(const char *member, void *data);
    void *data;
    bool want_controllers; /* fill controllers and where in any case; else only with limits */
};
struct cgroup_choice {
    const char *driver; /* static: "systemd", "inplace", "cgroupfs", "disabled" */
    char *why;          /* a sentence for `info`; owned */
    char *notice;       /* one line for the user; owned; NULL: nothing to tell */
    char **controllers; /* that a container can have limits of; owned; NULL: none, or not asked */
    char *where;        /* what they are delegated to: "user@1000.service", "/a/b"; owned; NULL */
};
void cgroup_choice_release(struct cgroup_choice *c);
bool cgroup_choice_has(const struct cgroup_choice *c, const char *controller);

/* Decides for a container, a few system calls long. On failure nothing has been made: -ENOTSUP on
 * v1 and hybrid hosts without "disabled"; a limit that was asked for and cannot be set (named by
 * its option, with the controller, where it is missing, what is there, and the fix as the hint);
 * -EINVAL for settings that are unknown or contradict each other. */
int cgroup_choose(const struct cgroup_wish *w, struct cgroup_choice *ret, struct err *e);
