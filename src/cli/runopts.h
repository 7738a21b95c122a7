/* runopts - the options of run and create, as they are typed: data only. */
#pragma once

#include "base/opt.h"

struct run_opts {
    bool detach, interactive, tty, rm, init, privileged, read_only, publish_all, quiet, replace;
    bool ignored, env_host, no_healthcheck, read_only_tmpfs, read_only_tmpfs_set, sig_proxy,
        sig_proxy_set;
    char *name, *entrypoint, *workdir, *user, *hostname, *domainname, *network, *userns, *pid, *ipc;
    char *uts, *cgroups, *cgroupns, *cgroup_parent, *shm_size, *stop_signal, *restart, *log_driver;
    char *cidfile, *pidfile, *pull, *platform, *tz, *umask, *detach_keys, *spec, *passwd;
    char *security_profile, *memory, *memory_swap, *memory_reservation, *memory_high, *cpus;
    char *cpu_shares, *cpu_quota, *cpu_period, *cpuset_cpus, *cpuset_mems, *pids_limit;
    bool rootfs, entrypoint_set;
    char **attach, **env, **env_file, **unsetenv, **group_add, **add_host, **dns, **dns_search;
    char **dns_option, **publish, **expose, **volume, **mount, **tmpfs, **volumes_from, **ulimit;
    char **cap_add, **cap_drop, **security_opt, **uidmap, **gidmap, **device, **sysctl, **label;
    char **label_file, **annotation, **log_opt, **cgroup_conf, **device_read_bps,
        **device_write_bps;
    uint64_t stop_timeout_ms, timeout_ms;
    bool stop_timeout_set;
    int64_t preserve_fds, oom_score_adj;
    bool oom_score_adj_set;
};

extern const struct opt run_table[];    /* run */
extern const struct opt create_table[]; /* create: run's without -d, --sig-proxy, --detach-keys */

/* The first limit asked for that needs a cgroup controller ("--memory"), or NULL. */
const char *run_opts_limit(const struct run_opts *o);
