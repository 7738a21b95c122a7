/* runopts_refused - options of docker and podman for run and create that are known and refused,
 * each with what does its work or why nothing can. With runopts_lines.h. */
#pragma once

#define RT "control groups v2 have no real-time budget; --ulimit rtprio= lets it ask for a priority"
#define WINDOWS "it is for containers of Windows"

/* clang-format off */
#define REFUSED_OPTIONS \
    LATER("conmon-pidfile", "in a unit, 'rootlet run --unit' is the main process itself; else rootlet inspect -f '{{.State.ConmonPid}}'"), \
    LATER("device-cgroup-rule", "--device makes a device available and allows it"), \
    LATER("gpus", "--device makes the nodes of a device available"), \
    LATER("hostuser", "--userns keep-id makes the container know the caller"), \
    LATER("init-ctr", "start one that prepares things first: --requires, or a oneshot unit"), \
    LATER("init-path", "--init runs rootlet's own; else name another in front of COMMAND"), \
    LATER("link", "containers of one network find each other by name: rootlet network create"), \
    LATER("link-local-ip", "--ip and --ip6 give addresses of the network"), \
    LATER("passwd-entry", "--userns keep-id adds the caller; others belong into the image"), \
    LATER("personality", "start the command with setarch(8)"), \
    LATER("pod-id-file", "--pod $(cat FILE)"), \
    LATER("rmi", "rootlet rmi IMAGE removes it afterwards"), \
    LATER("runtime", "rootlet is the runtime"), \
    LATER("seccomp-policy", "--security-opt seccomp=FILE takes a profile"), \
    LATER("secret", "-v FILE:/run/secrets/NAME:ro mounts one"), \
    LATER("storage-opt", "a file system of its own as --root bounds what containers write"), \
    LATER("subgidname", "--gidmap says which group ids are mapped"), \
    LATER("subuidname", "--uidmap says which user ids are mapped"), \
    LATER("systemd", "leave it out, and give systemd --tmpfs /run --tmpfs /tmp"), \
    LATER("use-api-socket", "there is no daemon, and no socket of one"), \
    LATER("volume-driver", "'rootlet volume create' makes a volume first"), \
    NEVER("chrootdirs", "what is in the container's own root needs no copies of these files"), \
    NEVER("cpu-count", WINDOWS), NEVER("cpu-percent", WINDOWS), NEVER("io-maxbandwidth", WINDOWS), \
    NEVER("io-maxiops", WINDOWS), NEVER("isolation", WINDOWS), \
    NEVER("cpu-rt-period", RT), NEVER("cpu-rt-runtime", RT), \
    NEVER("kernel-memory", "control groups v2 count it with the rest: --memory")
/* clang-format on */
