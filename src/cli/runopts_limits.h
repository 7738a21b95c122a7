/* runopts_limits - the options of run, create and update that limit resources, as they are typed.
 *
 * Data only: build_resources.c knows what they mean. */
#pragma once

#include "base/opt.h"

struct limit_opts {
    char *memory, *memory_high, *memory_reservation, *memory_swap, *memory_swappiness;
    char *cpus, *cpu_shares, *cpu_quota, *cpu_period, *cpuset_cpus, *cpuset_mems;
    char *pids_limit, *blkio_weight;
    char **blkio_weight_device, **device_read_bps, **device_write_bps, **device_read_iops,
        **device_write_iops;
    char **hugetlb, **cgroup_conf;
    bool oom_kill_disable;
};

/* The lines of the tables; with runopts_lines.h. */
/* clang-format off */
#define LIMIT_OPTIONS \
    TEXT("blkio-weight", 0, limit.blkio_weight, "N", "Relative I/O weight, 10 to 1000"), \
    LIST("blkio-weight-device", 0, limit.blkio_weight_device, "DEV:N", "I/O weight at a device"), \
    LIST("cgroup-conf", 0, limit.cgroup_conf, "FILE=VALUE", "Write any cgroup v2 file"), \
    TEXT("cpu-period", 0, limit.cpu_period, "USEC", "CPU period in microseconds (100000)"), \
    TEXT("cpu-quota", 0, limit.cpu_quota, "USEC", "CPU time per period in microseconds; 0: no limit"), \
    TEXT("cpu-shares", 'c', limit.cpu_shares, "N", "Relative CPU weight, 2 to 262144 (1024)"), \
    TEXT("cpus", 0, limit.cpus, "N", "Number of CPUs, or \"QUOTA PERIOD\" in microseconds"), \
    ALIAS("cpu", 0, OPT_STRING, limit.cpus, "N", "cpus"), \
    TEXT("cpuset-cpus", 0, limit.cpuset_cpus, "LIST", "CPUs to run on (0-3,5)"), \
    TEXT("cpuset-mems", 0, limit.cpuset_mems, "LIST", "Memory nodes to use (0,1)"), \
    LIST("device-read-bps", 0, limit.device_read_bps, "DEV:RATE", "Limit reads of a device, bytes per second"), \
    LIST("device-read-iops", 0, limit.device_read_iops, "DEV:N", "Limit reads of a device, operations per second"), \
    LIST("device-write-bps", 0, limit.device_write_bps, "DEV:RATE", "Limit writes to a device, bytes per second"), \
    LIST("device-write-iops", 0, limit.device_write_iops, "DEV:N", "Limit writes to a device, operations per second"), \
    LIST("hugetlb", 0, limit.hugetlb, "PAGE=SIZE", "Limit huge pages of one size (2MB=1g)"), \
    TEXT("memory", 'm', limit.memory, "SIZE", "Memory limit; above it processes are killed"), \
    TEXT("memory-high", 0, limit.memory_high, "SIZE", "Memory above which the container is slowed down"), \
    TEXT("memory-reservation", 0, limit.memory_reservation, "SIZE", "Memory that is not reclaimed from it"), \
    TEXT("memory-swap", 0, limit.memory_swap, "SIZE", "Memory and swap together; -1: any swap (as --memory)"), \
    {"memory-swappiness", 0, OPT_STRING, O(limit.memory_swappiness), "N", NULL, OPT_HIDDEN}, \
    {"oom-kill-disable", 0, OPT_FLAG, O(limit.oom_kill_disable), NULL, NULL, OPT_HIDDEN}, \
    TEXT("pids-limit", 0, limit.pids_limit, "N", "Limit the number of processes (2048); -1: no limit")
/* clang-format on */

/* The first limit asked for that needs a cgroup controller ("--memory"), or NULL. */
const char *limit_opts_first(const struct limit_opts *o);
