/* pressure - what --on-pressure asks for, and the kernel's trigger for it.
 *
 *   ACTION[:RESOURCE[=KIND[:STALL/WINDOW]]]     notify, freeze or restart, when within WINDOW some
 *   or all tasks have waited for RESOURCE for STALL. Kernel: accounting/psi.rst */
#pragma once

#include "cgroup/meter.h"

enum pressure_action { PRESSURE_NOTIFY, PRESSURE_FREEZE, PRESSURE_RESTART };
extern const char *const pressure_action_names[]; /* "notify" ...; NULL ends */

struct pressure_rule {
    enum pressure_action action;
    enum cgroup_resource resource;
    bool full; /* all tasks; else some */
    uint32_t stall_us, window_us;
};

/* -EINVAL says what is wrong with the text, and what would be right. What is left out is
 * memory=some:150ms/2s. */
int pressure_parse(const char *text, struct pressure_rule *ret, struct err *e);
/* "some 150ms/2s" */
void pressure_describe(const struct pressure_rule *r, char *buf, size_t size);

/* Opens the group's file with the trigger set: it polls EPOLLPRI at most once a window. Before
 * Linux 6.5 the kernel refuses it to users: *ret_trigger is false then, and whoever wants to know
 * reads the file once a window. A descriptor, or -errno. */
int pressure_open(const struct cgroup *c, const struct pressure_rule *r, bool *ret_trigger,
                  struct err *e);
int pressure_read(int fd, struct cgroup_pressure *ret);

/* The properties of a scope that say what systemd-oomd(8) is to do with it, for
 * cgroup_session_begin: mode "kill", "avoid", "omit"; "auto" and NULL are none. *ret is owned. */
int oomd_properties(const char *mode, char ***ret, struct err *e);
