/* runopts_limits - see runopts_limits.h. */
#include "cli/runopts_limits.h"

#include "base/str.h"

const char *limit_opts_first(const struct limit_opts *o)
{
    const struct {
        const void *set;
        const char *name;
    } limits[] = {
        {o->memory, "--memory"},
        {o->memory_high, "--memory-high"},
        {o->memory_reservation, "--memory-reservation"},
        {o->memory_swap, "--memory-swap"},
        {o->cpus, "--cpus"},
        {o->cpu_shares, "--cpu-shares"},
        {o->cpu_quota, "--cpu-quota"},
        {o->cpu_period, "--cpu-period"},
        {o->cpuset_cpus, "--cpuset-cpus"},
        {o->cpuset_mems, "--cpuset-mems"},
        {o->pids_limit, "--pids-limit"},
        {o->blkio_weight, "--blkio-weight"},
        {o->blkio_weight_device, "--blkio-weight-device"},
        {o->device_read_bps, "--device-read-bps"},
        {o->device_write_bps, "--device-write-bps"},
        {o->device_read_iops, "--device-read-iops"},
        {o->device_write_iops, "--device-write-iops"},
        {o->hugetlb, "--hugetlb"},
        {o->cgroup_conf, "--cgroup-conf"},
    };
    for (size_t i = 0; i < N_ELEMENTS(limits); i++)
        if (limits[i].set)
            return limits[i].name;
    return NULL;
}
