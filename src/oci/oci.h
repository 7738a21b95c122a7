/* oci - what the commands of rootlet-oci share: global settings, messages, containers by id. */
#pragma once

#include "base/err.h"
#include "base/opt.h"
#include "oci/record.h"
#include "security/seccomp.h"

struct oci_settings {
    char *root;         /* state directories are ROOT/ID; absolute */
    const char *cgroup; /* driver for new containers: "cgroupfs", "systemd", "disabled" */
    bool debug;
    enum { OCI_ROOTLESS_AUTO, OCI_ROOTLESS_YES, OCI_ROOTLESS_NO } rootless;
};
/* Set once in main before a command runs. */
const struct oci_settings *oci_settings(void);

/* Are we root of the host, not of a user namespace? */
bool oci_host_root(void);

/* log.c: where --log and --log-format send messages. */
/* path NULL: stderr. format NULL: "text". Later log_at() calls go there too. */
int oci_log_open(const char *path, const char *format, struct err *e);
/* The error of the program: a line of the log file if there is one, and "Error: ..." on stderr. */
void oci_log_err(const struct err *e);

/* seccomp.c: linux.seccomp as a program: 1 with *ret filled (the caller releases it), 0 without a
 * section. compile keeps it in the container's directory, where open finds it for exec. */
int oci_seccomp_compile(const struct oci_container *c, const struct spec *spec,
                        struct seccomp_prog *ret, struct err *e);
int oci_seccomp_open(const struct oci_container *c, const struct spec *spec,
                     struct seccomp_prog *ret, struct err *e);

/* Commands, one file each: cmd-NAME.c. */
extern const struct cmd oci_cmd_checkpoint;
extern const struct cmd oci_cmd_create; /* and run */
extern const struct cmd oci_cmd_delete;
extern const struct cmd oci_cmd_events;
extern const struct cmd oci_cmd_exec;
extern const struct cmd oci_cmd_features;
extern const struct cmd oci_cmd_kill;
extern const struct cmd oci_cmd_list;
extern const struct cmd oci_cmd_mounts_add;
extern const struct cmd oci_cmd_mounts_remove;
extern const struct cmd oci_cmd_pause;
extern const struct cmd oci_cmd_ps;
extern const struct cmd oci_cmd_restore;
extern const struct cmd oci_cmd_resume;
extern const struct cmd oci_cmd_run;
extern const struct cmd oci_cmd_spec;
extern const struct cmd oci_cmd_start;
extern const struct cmd oci_cmd_state;
extern const struct cmd oci_cmd_update;
