/* meter - what a group uses, read again and again through descriptors that stay open. */
#pragma once

#include "cgroup/driver.h"

#define CGROUP_NO_LIMIT UINT64_MAX

enum cgroup_resource { CGROUP_CPU, CGROUP_MEMORY, CGROUP_IO, CGROUP_RESOURCES };
extern const char *const cgroup_resource_names[CGROUP_RESOURCES]; /* "cpu", "memory", "io" */

/* Shares of the last ten seconds, in percent, in which some or all tasks waited. Kernel:
 * accounting/psi.rst */
struct cgroup_pressure {
    bool there; /* the kernel keeps account of it */
    double some_avg10, full_avg10;
    uint64_t some_us, full_us; /* since the group was made */
};

struct cgroup_sample {
    int64_t time_ns; /* CLOCK_MONOTONIC */
    uint64_t cpu_ns, user_ns, system_ns;
    bool has_memory, has_swap, has_pids, has_io;     /* the controller is there */
    uint64_t memory, memory_limit, swap, swap_limit; /* bytes; limits: CGROUP_NO_LIMIT */
    uint64_t pids, pids_limit; /* without the controller the processes are counted */
    uint64_t read_bytes, write_bytes;
    struct cgroup_pressure pressure[CGROUP_RESOURCES];
};

struct cgroup_meter;
/* Opens the files of a group; c may be closed before. *ret is owned. -ENOTSUP: it has none. */
int cgroup_meter_open(const struct cgroup *c, struct cgroup_meter **ret, struct err *e);
/* -ENODEV when the group is gone. */
int cgroup_meter_read(const struct cgroup_meter *m, struct cgroup_sample *ret);
void cgroup_meter_close(struct cgroup_meter *m); /* NULL is nothing */

/* "avg10=.. avg60=.. avg300=.. total=.." of one line of a pressure file. */
bool cgroup_pressure_parse(const char *text, struct cgroup_pressure *ret);
