/* runopts - the options of run and create, as they are typed: data only. */
#pragma once

#include "base/opt.h"
#include "cli/runopts_limits.h"

/* What `pod create` says of the pod itself. */
struct pod_wish {
    const char *name, *exit_policy;
    char **share;
};

struct run_opts {
    struct limit_opts limit;

    /* Restart policies and health checks. */
    bool no_healthcheck, health_retries_set;
    char *restart, *health_cmd, *health_interval, *health_timeout, *health_start_period;
    char *health_start_interval, *health_on_failure;
    int64_t health_retries;

    /* Units, messages to systemd, where output goes. */
    bool unit;
    char *sdnotify;
    char *log_driver;
    char **log_opt;

    /* When resources run short. */
    char **on_pressure;
    char *oomd;

    /* Pods. */
    char *pod, *auto_update;
    const struct pod_wish *infra; /* it is a pod's infra container that is made */

    /* The rest. */
    bool detach, interactive, tty, rm, init, privileged, read_only, publish_all, quiet, replace;
    bool ignored, env_host, read_only_tmpfs, read_only_tmpfs_set, sig_proxy, sig_proxy_set;
    char *name, *entrypoint, *workdir, *user, *hostname, *domainname, *userns, *pid, *ipc;
    char *uts, *cgroups, *cgroupns, *cgroup_parent, *shm_size, *stop_signal;
    char *cidfile, *pidfile, *pull, *image_volume, *platform, *tz, *umask, *detach_keys, *spec, *os,
        *arch, *variant;
    char *authfile, *creds, *cert_dir, *pull_retry, *pull_retry_delay; /* for --pull */
    bool tls_verify, tls_verify_set;
    char *security_profile;
    bool rootfs, entrypoint_set, unsetenv_all, http_proxy, no_hosts, passwd, passwd_set;
    bool no_hostname;
    char *ip, *ip6, *mac_address, *hosts_file;
    char **network, **network_alias, **egress;
    char **env_merge, **requires;
    char **attach, **env, **env_file, **unsetenv, **group_add, **add_host, **dns, **dns_search;
    char **dns_option, **publish, **expose, **volume, **mount, **raw_mount, **tmpfs, **volumes_from,
        **ulimit;
    char **cap_add, **cap_drop, **security_opt, **uidmap, **gidmap, **device, **sysctl, **label;
    char **label_file, **annotation;
    uint64_t stop_timeout_ms, timeout_ms;
    bool stop_timeout_set;
    int64_t preserve_fds, oom_score_adj;
    bool oom_score_adj_set;
};

extern const struct opt run_table[];    /* run */
extern const struct opt create_table[]; /* create: run's without -d, --sig-proxy, --detach-keys */
