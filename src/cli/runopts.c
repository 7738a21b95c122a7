/* runopts - see runopts.h. A group of options per subject; help and manual sort them by name. */
#include "cli/runopts.h"

#include "cli/runopts_life.h"
#include "cli/runopts_lines.h"
#include "cli/runopts_network.h"
#include "cli/runopts_refused.h"

/* clang-format off */
/* Units of systemd, messages to it, and where output goes. */
#define UNIT_OPTIONS \
    TEXT("log-driver", 0, log_driver, "NAME", "k8s-file, json-file, journald, passthrough or none"), \
    LIST("log-opt", 0, log_opt, "KEY=VALUE", "Option of the log driver (max-size, tag)"), \
    TEXT("sdnotify", 0, sdnotify, "MODE", "Who tells systemd: container, monitor, healthy, ignore")

/* When resources run short. */
#define WATCH_OPTIONS \
    LIST("on-pressure", 0, on_pressure, "ACTION[:SPEC]", "notify, freeze or restart when tasks wait too long for a resource"), \
    TEXT("oomd", 0, oomd, "MODE", "What systemd-oomd does: kill, avoid, omit or auto")

/* Pods. */
#define POD_OPTIONS \
    TEXT("auto-update", 0, auto_update, "POLICY", "local, registry or disabled; see rootlet-auto-update(1)"), \
    TEXT("pod", 0, pod, "POD", "Pod to be a member of; new:NAME makes it first")

/* The rest. */
#define COMMON_OPTIONS \
    LIST("annotation", 0, annotation, "KEY=VALUE", "Add an OCI annotation"), \
    COMMAS("attach", 'a', attach, "STREAM", "Attach to stdin, stdout or stderr only"), \
    COMMAS("cap-add", 0, cap_add, "CAP", "Add a capability, or ALL"), \
    COMMAS("cap-drop", 0, cap_drop, "CAP", "Drop a capability, or ALL"), \
    TEXT("cgroup-parent", 0, cgroup_parent, "PATH", "Slice or cgroup to live in"), \
    TEXT("cgroupns", 0, cgroupns, "MODE", "Cgroup namespace: private or host"), \
    TEXT("cgroups", 0, cgroups, "MODE", "enabled, or disabled: no resource control"), \
    TEXT("cidfile", 0, cidfile, "FILE", "Write the container's id to a file"), \
    LIST("device", 0, device, "HOST[:CTR[:rwm]]", "Make a host device available"), \
    TEXT("domainname", 0, domainname, "NAME", "NIS domain name inside"), \
    {"entrypoint", 0, OPT_STRING, O(entrypoint), "CMD", \
     "Replace the image's ENTRYPOINT (text or JSON array; empty: none)", 0, NULL, NULL, \
     O(entrypoint_set)}, \
    LIST("env", 'e', env, "NAME[=VALUE]", "Set an environment variable, or copy it from here"), \
    LIST("env-file", 0, env_file, "FILE", "Read environment variables from a file"), \
    FLAG("env-host", 0, env_host, "Copy the whole environment from here"), \
    LIST("env-merge", 0, env_merge, "NAME=VALUE", "Set a variable; ${NAME} in it is the image's value"), \
    LIST("gidmap", 0, gidmap, "IN:OUT[:N]", "Map group ids"), \
    LIST("group-add", 0, group_add, "GROUP", "Add a supplementary group"), \
    TEXT("hostname", 'h', hostname, "NAME", "Host name inside"), \
    TEXT("image-volume", 0, image_volume, "KIND", "Volumes that the image declares: anonymous (default), tmpfs or ignore"), \
    FLAG("init", 0, init, "Run an init that reaps zombies and forwards signals"), \
    FLAG("interactive", 'i', interactive, "Keep standard input open"), \
    FLAG("http-proxy", 0, http_proxy, "Copy http_proxy, no_proxy and their kin from here"), \
    TEXT("ipc", 0, ipc, "MODE", "IPC namespace: private, host, or container:ID"), \
    LIST("label", 'l', label, "KEY[=VALUE]", "Set a label"), \
    LIST("label-file", 0, label_file, "FILE", "Read labels from a file"), \
    LIST("mount", 0, mount, "type=TYPE,...", "Mount a bind, volume or tmpfs"), \
    TEXT("name", 0, name, "NAME", "Name of the container"), \
    {"oom-score-adj", 0, OPT_INT, O(oom_score_adj), "N", \
     "Readiness of the kernel to kill it, -1000 to 1000", 0, NULL, NULL, O(oom_score_adj_set)}, \
    TEXT("pid", 0, pid, "MODE", "PID namespace: private, host, or container:ID"), \
    {"passwd", 0, OPT_FLAG, O(passwd), NULL, \
     "Tell the container's passwd the caller's name (default of keep-id)", 0, NULL, NULL, \
     O(passwd_set)}, \
    TEXT("pidfile", 0, pidfile, "FILE", "Write the pid of the container's first process"), \
    TEXT("platform", 0, platform, "OS/ARCH", "Platform of the image"), \
    TEXT("os", 0, os, "OS", "Operating system of the image"), \
    TEXT("arch", 0, arch, "ARCH", "Architecture of the image"), \
    TEXT("variant", 0, variant, "VARIANT", "Variant of the image's architecture"), \
    FLAG("privileged", 0, privileged, "All capabilities, no seccomp, nothing masked"), \
    TEXT("pull", 0, pull, "POLICY", "missing (default), always, newer or never"), \
    TEXT("authfile", 0, authfile, "FILE", "Credentials for the pull from this file"), \
    TEXT("cert-dir", 0, cert_dir, "DIR", "Certificates for the pull"), \
    TEXT("creds", 0, creds, "USER[:PASSWORD]", "Credentials for the pull"), \
    TEXT("retry", 0, pull_retry, "N", "Tries of the pull after a failure of the network"), \
    TEXT("retry-delay", 0, pull_retry_delay, "TIME", "Time before the first of them"), \
    {"tls-verify", 0, OPT_FLAG, O(tls_verify), NULL, "Verify the registry's certificate", 0, NULL, \
     NULL, O(tls_verify_set)}, \
    FLAG("quiet", 'q', quiet, "No progress"), \
    FLAG("read-only", 0, read_only, "Root file system read-only"), \
    {"read-only-tmpfs", 0, OPT_FLAG, O(read_only_tmpfs), NULL, \
     "With --read-only: tmpfs on /run, /tmp and /var/tmp (default)", 0, NULL, NULL, \
     O(read_only_tmpfs_set)}, \
    FLAG("replace", 0, replace, "Remove a container of the same name first"), \
    COMMAS("requires", 0, requires, "CTR", "Containers that are started before it"), \
    FLAG("rm", 0, rm, "Remove the container when it ends"), \
    FLAG("rootfs", 0, rootfs, "IMAGE is a directory that serves as root file system"), \
    LIST("security-opt", 0, security_opt, "OPTION", \
         "seccomp=, no-new-privileges, mask=, unmask=, apparmor=, label="), \
    TEXT("security-profile", 0, security_profile, "NAME", "default, hardened or minimal"), \
    {"raw-mount", 0, OPT_STRV, O(raw_mount), "LINES", "A mount as it stands in a configuration", OPT_HIDDEN}, \
    TEXT("shm-size", 0, shm_size, "SIZE", "Size of /dev/shm (64m)"), \
    TEXT("spec", 0, spec, "FILE", "Run this OCI configuration; IMAGE is then optional"), \
    TEXT("stop-signal", 0, stop_signal, "SIGNAL", "Signal of stop (SIGTERM)"), \
    {"stop-timeout", 0, OPT_DURATION, O(stop_timeout_ms), "SECONDS", \
     "Time from stop's signal to SIGKILL (10)", 0, NULL, NULL, O(stop_timeout_set)}, \
    LIST("sysctl", 0, sysctl, "KEY=VALUE", "Set a kernel parameter of the container's namespaces"), \
    {"timeout", 0, OPT_DURATION, O(timeout_ms), "SECONDS", "Kill the container after this time"}, \
    LIST("tmpfs", 0, tmpfs, "DIR[:OPTIONS]", "Mount a tmpfs"), \
    FLAG("tty", 't', tty, "Allocate a terminal"), \
    TEXT("tz", 0, tz, "ZONE", "Time zone inside, or \"local\""), \
    LIST("uidmap", 0, uidmap, "IN:OUT[:N]", "Map user ids"), \
    LIST("ulimit", 0, ulimit, "NAME=SOFT[:HARD]", "Resource limit"), \
    TEXT("umask", 0, umask, "OCTAL", "File mode mask (0022)"), \
    LIST("unsetenv", 0, unsetenv, "NAME", "Remove an environment variable of the image"), \
    FLAG("unsetenv-all", 0, unsetenv_all, "Remove all environment variables of the image"), \
    TEXT("user", 'u', user, "USER[:GROUP]", "User by name or number"), \
    TEXT("userns", 0, userns, "MODE", "keep-id[:uid=,gid=], auto, isolated, nomap or host"), \
    TEXT("uts", 0, uts, "MODE", "UTS namespace: private, host, or container:ID"), \
    LIST("volume", 'v', volume, "[SRC:]DIR[:OPTIONS]", "Mount a directory or a named volume"), \
    LIST("volumes-from", 0, volumes_from, "CTR[:OPTIONS]", "Mount another container's volumes"), \
    TEXT("workdir", 'w', workdir, "DIR", "Working directory inside"), \
    IGNORED("disable-content-trust", OPT_FLAG, ignored, NULL, "For docker's sake, does nothing"), \
    {"preserve-fds", 0, OPT_INT, O(preserve_fds), "N", "Hand on N descriptors from 3 on"}

#define ALL_OPTIONS \
    LIMIT_OPTIONS, LIFE_OPTIONS, UNIT_OPTIONS, WATCH_OPTIONS, POD_OPTIONS, NETWORK_OPTIONS, \
        COMMON_OPTIONS, REFUSED_OPTIONS

const struct opt run_table[] = {
    ALL_OPTIONS,
    FLAG("detach", 'd', detach, "Run in the background and print the id"),
    FLAG("unit", 0, unit, "Become the container's supervisor: for ExecStart= of a systemd unit"),
    TEXT("detach-keys", 0, detach_keys, "KEYS", "Keys that detach a terminal (ctrl-p,ctrl-q)"),
    {"sig-proxy", 0, OPT_FLAG, O(sig_proxy), NULL, "Send received signals on (default)", 0, NULL,
     NULL, O(sig_proxy_set)},
    {NULL},
};

const struct opt create_table[] = {
    ALL_OPTIONS,
    {NULL},
};
/* clang-format on */
