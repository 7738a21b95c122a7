/* tables - which member of config.json is which field. The order is that of the specification and
 * of what is emitted. runtime-spec 1.2: config.md, config-linux.md */
#include "spec/tables.h"

#define FIELD(T, json, type, member, flags)                                                        \
    {                                                                                              \
        json, type, offsetof(struct T, member), flags                                              \
    }
/* A number whose absence differs from 0. */
#define OPTIONAL(T, json, type, member)                                                            \
    {                                                                                              \
        json, type, offsetof(struct T, member), .set_offset = offsetof(struct T, has_##member)     \
    }
#define OBJECT(T, json, member, table)                                                             \
    {                                                                                              \
        json, J_POINTER, offsetof(struct T, member), .sub = (table),                               \
                                                     .sub_size = sizeof(*((struct T *)0)->member)  \
    }
#define LIST(T, json, member, count, table)                                                        \
    {                                                                                              \
        json, J_ARRAY, offsetof(struct T, member), .sub = (table),                                 \
                                                   .sub_size = sizeof(*((struct T *)0)->member),   \
                                                   .count_offset = offsetof(struct T, count)       \
    }
#define EXTRA(T) FIELD(T, "", J_EXTRA, extra, 0)

static const struct jfield box_fields[] = {
    FIELD(spec_box, "height", J_UINT32, height, JF_REQUIRED),
    FIELD(spec_box, "width", J_UINT32, width, JF_REQUIRED),
    EXTRA(spec_box),
    {0},
};

static const struct jfield user_fields[] = {
    FIELD(spec_user, "uid", J_UINT32, uid, JF_REQUIRED),
    FIELD(spec_user, "gid", J_UINT32, gid, JF_REQUIRED),
    OPTIONAL(spec_user, "umask", J_UINT32, umask),
    FIELD(spec_user, "additionalGids", J_U32V, additional_gids, 0),
    FIELD(spec_user, "username", J_STRING, username, 0),
    EXTRA(spec_user),
    {0},
};

static const struct jfield caps_fields[] = {
    FIELD(spec_caps, "bounding", J_STRV, bounding, 0),
    FIELD(spec_caps, "effective", J_STRV, effective, 0),
    FIELD(spec_caps, "inheritable", J_STRV, inheritable, 0),
    FIELD(spec_caps, "permitted", J_STRV, permitted, 0),
    FIELD(spec_caps, "ambient", J_STRV, ambient, 0),
    EXTRA(spec_caps),
    {0},
};

static const struct jfield rlimit_fields[] = {
    FIELD(spec_rlimit, "type", J_STRING, type, JF_REQUIRED),
    FIELD(spec_rlimit, "hard", J_UINT64, hard, JF_REQUIRED),
    FIELD(spec_rlimit, "soft", J_UINT64, soft, JF_REQUIRED),
    EXTRA(spec_rlimit),
    {0},
};

static const struct jfield scheduler_fields[] = {
    FIELD(spec_scheduler, "policy", J_STRING, policy, JF_REQUIRED),
    FIELD(spec_scheduler, "nice", J_INT32, nice, 0),
    FIELD(spec_scheduler, "priority", J_INT32, priority, 0),
    FIELD(spec_scheduler, "flags", J_STRV, flags, 0),
    FIELD(spec_scheduler, "runtime", J_UINT64, runtime, 0),
    FIELD(spec_scheduler, "deadline", J_UINT64, deadline, 0),
    FIELD(spec_scheduler, "period", J_UINT64, period, 0),
    EXTRA(spec_scheduler),
    {0},
};

static const struct jfield io_priority_fields[] = {
    FIELD(spec_io_priority, "class", J_STRING, class_name, JF_REQUIRED),
    FIELD(spec_io_priority, "priority", J_INT32, priority, JF_REQUIRED),
    EXTRA(spec_io_priority),
    {0},
};

static const struct jfield cpu_affinity_fields[] = {
    FIELD(spec_cpu_affinity, "initial", J_STRING, initial, 0),
    FIELD(spec_cpu_affinity, "final", J_STRING, final, 0),
    EXTRA(spec_cpu_affinity),
    {0},
};

const struct jfield spec_process_fields[] = {
    FIELD(spec_process, "terminal", J_BOOL, terminal, 0),
    OBJECT(spec_process, "consoleSize", console_size, box_fields),
    {"user", J_STRUCT, offsetof(struct spec_process, user), .sub = user_fields},
    FIELD(spec_process, "args", J_STRV, args, 0),
    FIELD(spec_process, "commandLine", J_STRING, command_line, 0),
    FIELD(spec_process, "env", J_STRV, env, 0),
    FIELD(spec_process, "cwd", J_STRING, cwd, JF_REQUIRED),
    OBJECT(spec_process, "capabilities", capabilities, caps_fields),
    LIST(spec_process, "rlimits", rlimits, n_rlimits, rlimit_fields),
    FIELD(spec_process, "noNewPrivileges", J_BOOL, no_new_privileges, 0),
    FIELD(spec_process, "apparmorProfile", J_STRING, apparmor_profile, 0),
    OPTIONAL(spec_process, "oomScoreAdj", J_INT32, oom_score_adj),
    OBJECT(spec_process, "scheduler", scheduler, scheduler_fields),
    FIELD(spec_process, "selinuxLabel", J_STRING, selinux_label, 0),
    OBJECT(spec_process, "ioPriority", io_priority, io_priority_fields),
    OBJECT(spec_process, "execCPUAffinity", exec_cpu_affinity, cpu_affinity_fields),
    EXTRA(spec_process),
    {0},
};

static const struct jfield root_fields[] = {
    FIELD(spec_root, "path", J_STRING, path, JF_REQUIRED),
    FIELD(spec_root, "readonly", J_BOOL, readonly, 0),
    EXTRA(spec_root),
    {0},
};

static const struct jfield id_map_fields[] = {
    FIELD(spec_id_map, "containerID", J_UINT32, container_id, JF_REQUIRED),
    FIELD(spec_id_map, "hostID", J_UINT32, host_id, JF_REQUIRED),
    FIELD(spec_id_map, "size", J_UINT32, size, JF_REQUIRED),
    EXTRA(spec_id_map),
    {0},
};

const struct jfield spec_mount_fields[] = {
    FIELD(spec_mount, "destination", J_STRING, destination, JF_REQUIRED),
    FIELD(spec_mount, "type", J_STRING, type, 0),
    FIELD(spec_mount, "source", J_STRING, source, 0),
    FIELD(spec_mount, "options", J_STRV, options, 0),
    LIST(spec_mount, "uidMappings", uid_mappings, n_uid_mappings, id_map_fields),
    LIST(spec_mount, "gidMappings", gid_mappings, n_gid_mappings, id_map_fields),
    EXTRA(spec_mount),
    {0},
};

static const struct jfield hook_fields[] = {
    FIELD(spec_hook, "path", J_STRING, path, JF_REQUIRED),
    FIELD(spec_hook, "args", J_STRV, args, 0),
    FIELD(spec_hook, "env", J_STRV, env, 0),
    OPTIONAL(spec_hook, "timeout", J_INT32, timeout),
    EXTRA(spec_hook),
    {0},
};

static const struct jfield hooks_fields[] = {
    LIST(spec_hooks, "prestart", prestart.v, prestart.n, hook_fields),
    LIST(spec_hooks, "createRuntime", create_runtime.v, create_runtime.n, hook_fields),
    LIST(spec_hooks, "createContainer", create_container.v, create_container.n, hook_fields),
    LIST(spec_hooks, "startContainer", start_container.v, start_container.n, hook_fields),
    LIST(spec_hooks, "poststart", poststart.v, poststart.n, hook_fields),
    LIST(spec_hooks, "poststop", poststop.v, poststop.n, hook_fields),
    EXTRA(spec_hooks),
    {0},
};

const struct jfield spec_namespace_fields[] = {
    FIELD(spec_namespace, "type", J_STRING, type, JF_REQUIRED),
    FIELD(spec_namespace, "path", J_STRING, path, 0),
    EXTRA(spec_namespace),
    {0},
};

/* major and minor appear even when 0, as readers of other make expect. */
static const struct jfield device_fields[] = {
    FIELD(spec_device, "type", J_STRING, type, JF_REQUIRED),
    FIELD(spec_device, "path", J_STRING, path, JF_REQUIRED),
    FIELD(spec_device, "major", J_INT64, major, JF_KEEP_EMPTY),
    FIELD(spec_device, "minor", J_INT64, minor, JF_KEEP_EMPTY),
    OPTIONAL(spec_device, "fileMode", J_UINT32, file_mode),
    OPTIONAL(spec_device, "uid", J_UINT32, uid),
    OPTIONAL(spec_device, "gid", J_UINT32, gid),
    EXTRA(spec_device),
    {0},
};

static const struct jfield seccomp_arg_fields[] = {
    FIELD(spec_seccomp_arg, "index", J_UINT32, index, JF_REQUIRED),
    FIELD(spec_seccomp_arg, "value", J_UINT64, value, JF_REQUIRED),
    FIELD(spec_seccomp_arg, "valueTwo", J_UINT64, value_two, 0),
    FIELD(spec_seccomp_arg, "op", J_STRING, op, JF_REQUIRED),
    EXTRA(spec_seccomp_arg),
    {0},
};

static const struct jfield seccomp_rule_fields[] = {
    FIELD(spec_seccomp_rule, "names", J_STRV, names, JF_REQUIRED),
    FIELD(spec_seccomp_rule, "action", J_STRING, action, JF_REQUIRED),
    OPTIONAL(spec_seccomp_rule, "errnoRet", J_UINT32, errno_ret),
    LIST(spec_seccomp_rule, "args", args, n_args, seccomp_arg_fields),
    EXTRA(spec_seccomp_rule),
    {0},
};

const struct jfield spec_seccomp_fields[] = {
    FIELD(spec_seccomp, "defaultAction", J_STRING, default_action, JF_REQUIRED),
    OPTIONAL(spec_seccomp, "defaultErrnoRet", J_UINT32, default_errno_ret),
    FIELD(spec_seccomp, "architectures", J_STRV, architectures, 0),
    FIELD(spec_seccomp, "flags", J_STRV, flags, 0),
    FIELD(spec_seccomp, "listenerPath", J_STRING, listener_path, 0),
    FIELD(spec_seccomp, "listenerMetadata", J_STRING, listener_metadata, 0),
    LIST(spec_seccomp, "syscalls", syscalls, n_syscalls, seccomp_rule_fields),
    EXTRA(spec_seccomp),
    {0},
};

static const struct jfield linux_fields[] = {
    LIST(spec_linux, "uidMappings", uid_mappings, n_uid_mappings, id_map_fields),
    LIST(spec_linux, "gidMappings", gid_mappings, n_gid_mappings, id_map_fields),
    FIELD(spec_linux, "sysctl", J_MAP, sysctl, 0),
    FIELD(spec_linux, "resources", J_RAW, resources, 0),
    FIELD(spec_linux, "cgroupsPath", J_STRING, cgroups_path, 0),
    LIST(spec_linux, "namespaces", namespaces, n_namespaces, spec_namespace_fields),
    LIST(spec_linux, "devices", devices, n_devices, device_fields),
    FIELD(spec_linux, "netDevices", J_RAW, net_devices, 0),
    OBJECT(spec_linux, "seccomp", seccomp, spec_seccomp_fields),
    FIELD(spec_linux, "rootfsPropagation", J_STRING, rootfs_propagation, 0),
    FIELD(spec_linux, "maskedPaths", J_STRV, masked_paths, 0),
    FIELD(spec_linux, "readonlyPaths", J_STRV, readonly_paths, 0),
    FIELD(spec_linux, "mountLabel", J_STRING, mount_label, 0),
    FIELD(spec_linux, "intelRdt", J_RAW, intel_rdt, 0),
    FIELD(spec_linux, "memoryPolicy", J_RAW, memory_policy, 0),
    FIELD(spec_linux, "personality", J_RAW, personality, 0),
    FIELD(spec_linux, "timeOffsets", J_RAW, time_offsets, 0),
    EXTRA(spec_linux),
    {0},
};

const struct jfield spec_fields[] = {
    FIELD(spec, "ociVersion", J_STRING, oci_version, JF_REQUIRED),
    OBJECT(spec, "process", process, spec_process_fields),
    OBJECT(spec, "root", root, root_fields),
    FIELD(spec, "hostname", J_STRING, hostname, 0),
    FIELD(spec, "domainname", J_STRING, domainname, 0),
    LIST(spec, "mounts", mounts, n_mounts, spec_mount_fields),
    OBJECT(spec, "hooks", hooks, hooks_fields),
    FIELD(spec, "annotations", J_MAP, annotations, 0),
    OBJECT(spec, "linux", linux_, linux_fields),
    EXTRA(spec),
    {0},
};
