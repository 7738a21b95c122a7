/* spec - the OCI runtime configuration (runtime-spec 1.2, config.json) in memory: pure data.
 *
 * Policy (command line, image configuration, profiles) builds a struct spec; the engine executes
 * it. The same tables parse, validate, emit and release. Unknown members survive in `extra`.
 * Field names follow the specification; see config.md and config-linux.md there. */
#pragma once

#include "base/jfield.h"

struct spec_user {
    uint32_t uid, gid, umask;
    bool has_umask;
    struct jfield_u32v additional_gids;
    char *username;
    json_t *extra;
};

struct spec_caps {
    char **bounding, **effective, **inheritable, **permitted, **ambient; /* "CAP_CHOWN" */
    json_t *extra;
};

struct spec_rlimit {
    char *type; /* "RLIMIT_NOFILE" */
    uint64_t soft, hard;
    json_t *extra;
};

struct spec_box {
    uint32_t height, width; /* characters */
    json_t *extra;
};

struct spec_scheduler {
    char *policy;
    int32_t nice, priority;
    char **flags;
    uint64_t runtime, deadline, period; /* ns */
    json_t *extra;
};

struct spec_io_priority {
    char *class_name; /* "class" */
    int32_t priority;
    json_t *extra;
};

struct spec_cpu_affinity {
    char *initial, *final;
    json_t *extra;
};

struct spec_process {
    bool terminal;
    struct spec_box *console_size;
    struct spec_user user;
    char **args, **env;
    char *command_line; /* Windows; kept */
    char *cwd;
    struct spec_caps *capabilities;
    struct spec_rlimit *rlimits;
    size_t n_rlimits;
    bool no_new_privileges;
    char *apparmor_profile, *selinux_label;
    int32_t oom_score_adj;
    bool has_oom_score_adj;
    struct spec_scheduler *scheduler;
    struct spec_io_priority *io_priority;
    struct spec_cpu_affinity *exec_cpu_affinity;
    json_t *extra;
};

struct spec_root {
    char *path;
    bool readonly;
    json_t *extra;
};

struct spec_id_map {
    uint32_t container_id, host_id, size;
    json_t *extra;
};

struct spec_mount {
    char *destination, *type, *source;
    char **options;
    struct spec_id_map *uid_mappings, *gid_mappings;
    size_t n_uid_mappings, n_gid_mappings;
    json_t *extra;
};

struct spec_hook {
    char *path;
    char **args, **env;
    int32_t timeout; /* seconds; 0 = none */
    bool has_timeout;
    json_t *extra;
};

struct spec_hook_list {
    struct spec_hook *v;
    size_t n;
};

struct spec_hooks {
    struct spec_hook_list prestart, create_runtime, create_container, start_container, poststart,
        poststop;
    json_t *extra;
};

struct spec_namespace {
    char *type; /* "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time" */
    char *path; /* NULL: a new one */
    json_t *extra;
};

struct spec_device {
    char *type; /* "c" "b" "u" "p" */
    char *path;
    int64_t major, minor;
    uint32_t file_mode, uid, gid;
    bool has_file_mode, has_uid, has_gid;
    json_t *extra;
};

struct spec_seccomp_arg {
    uint32_t index;
    uint64_t value, value_two;
    char *op; /* SCMP_CMP_* */
    json_t *extra;
};

struct spec_seccomp_rule {
    char **names;
    char *action; /* SCMP_ACT_* */
    uint32_t errno_ret;
    bool has_errno_ret;
    struct spec_seccomp_arg *args;
    size_t n_args;
    json_t *extra;
};

struct spec_seccomp {
    char *default_action;
    uint32_t default_errno_ret;
    bool has_default_errno_ret;
    char **architectures, **flags; /* SCMP_ARCH_*, SECCOMP_FILTER_FLAG_* */
    char *listener_path, *listener_metadata;
    struct spec_seccomp_rule *syscalls;
    size_t n_syscalls;
    json_t *extra;
};

struct spec_time_offset {
    int64_t secs;
    uint32_t nanosecs;
    json_t *extra;
};

struct spec_linux {
    struct spec_id_map *uid_mappings, *gid_mappings;
    size_t n_uid_mappings, n_gid_mappings;
    char **sysctl;     /* "key=value" */
    json_t *resources; /* parsed by cgroup/: struct there; NULL when absent */
    char *cgroups_path;
    struct spec_namespace *namespaces;
    size_t n_namespaces;
    struct spec_device *devices;
    size_t n_devices;
    struct spec_seccomp *seccomp;
    char *rootfs_propagation; /* "slave" "private" "shared" "unbindable", with "r" prefix too */
    char **masked_paths, **readonly_paths;
    char *mount_label;
    json_t *intel_rdt, *personality, *time_offsets, *net_devices, *memory_policy;
    json_t *extra;
};

struct spec {
    char *oci_version;
    struct spec_process *process;
    bool no_process; /* none was given: process is an empty one that can be created, not started */
    struct spec_root *root;
    char *hostname, *domainname;
    struct spec_mount *mounts;
    size_t n_mounts;
    struct spec_hooks *hooks;
    struct spec_linux *linux_; /* "linux" ("linux" itself is a macro of gnu11) */
    char **annotations;        /* "key=value" */
    json_t *extra;             /* solaris, windows, vm, unknown */
};

#define SPEC_OCI_VERSION "1.2.0"     /* what is understood */
#define SPEC_OCI_VERSION_OLD "1.0.2" /* what older runtimes accept too */
#define SPEC_MAX_BYTES (4u << 20)

void spec_release(struct spec *s);
#define scoped_spec SCOPED(spec_release)

/* Parses and validates; on failure *ret is untouched. what names the text in messages. After it
 * process, root and linux_ are never NULL. */
int spec_parse(const char *text, size_t len, const char *what, struct spec *ret, struct err *e);
/* The rules of the specification that types alone do not give (absolute paths, known namespace
 * names, no duplicates, mappings that overlap, terminal rules...): message with the JSON path. */
int spec_validate(const struct spec *s, struct err *e);
/* Only the types: for a configuration that is looked at, not run (process and root may be NULL). */
int spec_parse_unchecked(const char *text, size_t len, const char *what, struct spec *ret,
                         struct err *e);
json_t *spec_emit(const struct spec *s);
/* What `rootlet spec` prints: a complete, rootless, runnable configuration. It has a user
 * namespace without mappings: whoever runs it fills in the caller's. */
void spec_default(struct spec *ret);

/* Separate process object: `exec --process`, and the rootlet's own exec records. path "" for a
 * document of its own. parse validates. */
int spec_process_parse(const json_t *obj, const char *path, struct spec_process *ret,
                       struct err *e);
int spec_process_validate(const struct spec_process *p, const char *path, struct err *e);
json_t *spec_process_emit(const struct spec_process *p);
void spec_process_release(struct spec_process *p);

/* Seccomp section on its own (also a user profile in docker's form is turned into one). */
extern const struct jfield spec_seccomp_fields[];
int spec_seccomp_parse(const json_t *obj, const char *path, struct spec_seccomp *ret,
                       struct err *e);
int spec_seccomp_validate(const struct spec_seccomp *s, const char *path, struct err *e);
/* Without the members that are not known: in docker's form some of them have a meaning. */
json_t *spec_seccomp_emit(const struct spec_seccomp *s);
void spec_seccomp_release(struct spec_seccomp *s);

/* Helpers for builders. The strings are copied. */
struct spec_mount *spec_add_mount(struct spec *s, const char *destination, const char *type,
                                  const char *source, const char *options_commas);
void spec_remove_mount(struct spec *s, const char *destination);
struct spec_namespace *spec_namespace_get(const struct spec *s, const char *type); /* or NULL */
void spec_namespace_set(struct spec *s, const char *type, const char *path);
void spec_namespace_remove(struct spec *s, const char *type);
const char *spec_annotation(const struct spec *s, const char *key); /* or NULL */
/* The value replaces an earlier one; key without '='. */
void spec_annotate(struct spec *s, const char *key, const char *value);
/* Sets ociVersion to the oldest version that has everything the configuration uses: a runtime that
 * knows only 1.0 refuses any newer number, whatever is in the file. */
void spec_claim_version(struct spec *s);
/* The offset of "monotonic" or "boottime": 1 and *ret filled, or 0 if there is none. */
int spec_time_offset(const struct spec *s, const char *clock, struct spec_time_offset *ret);
