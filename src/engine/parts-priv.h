/* What the stages are built from: commands, terminals, hooks, the seccomp agent, processors.
 * Included by engine-priv.h, which has the types. */
#pragma once

/* command.c */
/* Finds args[0] as execvp(3) would with this environment's PATH, and says why when it cannot be
 * executed: exit status 127 when absent, 126 otherwise. *ret is owned. */
int command_find(const char *name, char *const *env, char **ret, struct err *e);
/* The message for a failed execve of path. */
int command_explain(const char *name, const char *path, int errnum, struct err *e);

/* console.c */
/* A new pty of the devpts mounted at /dev/pts below root_fd; proven to be one. */
int console_open(int root_fd, int *ret_master, int *ret_slave, struct err *e);
int console_bind(int root_fd, int slave, struct err *e); /* at /dev/console */
int console_set_size(int fd, const struct spec_box *size, struct err *e);
/* Makes it the controlling terminal and descriptors 0 to 2. */
int console_attach(int slave, struct err *e);

/* hooks.c */
enum hook_point {
    HOOK_PRESTART,
    HOOK_CREATE_RUNTIME,
    HOOK_CREATE_CONTAINER,
    HOOK_START_CONTAINER,
    HOOK_POSTSTART,
    HOOK_POSTSTOP,
};
/* Runs the hooks of one point, state JSON on stdin. The first failure ends it (-errno), but
 * poststart and poststop only log and go on, as the specification has it. */
int hooks_run(const struct engine_params *p, enum hook_point point, pid_t pid, struct err *e);
bool hooks_any(const struct spec *spec, enum hook_point point);
/* The state of the container as JSON (runtime.md "State"), pid left out when 0. Owned; NULL when it
 * is not UTF-8. */
json_t *hooks_state(const struct engine_params *p, const char *status, pid_t pid);
int parent_hooks(struct start *s, struct err *e);
int child_create_hooks(struct start *s, struct err *e);
int child_start_hooks(struct start *s, struct err *e);

/* agent.c */
struct agent_process {
    const char *status;   /* of the container */
    pid_t container, pid; /* its init; the process whose listener it is */
};
const char *agent_path(const struct spec *spec); /* listenerPath or NULL */
int agent_send(const struct engine_params *p, const struct agent_process *process, int listener,
               struct err *e);

/* numa.c */
#define NUMA_MAX 8192u /* processors or nodes */
struct numa_set {
    unsigned long bits[NUMA_MAX / (8 * sizeof(unsigned long))];
};
int numa_parse(const char *text, struct numa_set *ret); /* "0-3,7"; -EINVAL */
/* Moves the caller to these processors; NULL and "": stays. */
int numa_run_on(const char *cpus, const char *member, struct err *e);
int numa_memory_policy(const json_t *policy, struct err *e);
