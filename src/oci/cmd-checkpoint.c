/* checkpoint, restore - refused by name, so that a client learns why. */
#include <errno.h>
#include <stddef.h>

#include "oci/oci.h"

/* What runc and crun take, as whatever is asked for gets the same answer. */
struct refused_opts {
    bool flag;
    char *value;
};
#define FLAG(name)                                                                                 \
    {                                                                                              \
        name, 0, OPT_FLAG, offsetof(struct refused_opts, flag), NULL, "", OPT_HIDDEN               \
    }
#define VALUE(name, letter)                                                                        \
    {                                                                                              \
        name, letter, OPT_STRING, offsetof(struct refused_opts, value), "VALUE", "", OPT_HIDDEN    \
    }
static const struct opt table[] = {
    FLAG("auto-dedup"),         FLAG("detach"),
    FLAG("ext-unix-sk"),        FLAG("file-locks"),
    FLAG("lazy-pages"),         FLAG("leave-running"),
    FLAG("no-pivot"),           FLAG("no-subreaper"),
    FLAG("pre-dump"),           FLAG("shell-job"),
    FLAG("tcp-established"),    FLAG("tcp-skip-in-flight"),
    FLAG("link-remap"),         VALUE("bundle", 'b'),
    VALUE("console-socket", 0), VALUE("empty-ns", 0),
    VALUE("image-path", 0),     VALUE("lsm-mount-context", 0),
    VALUE("lsm-profile", 0),    VALUE("manage-cgroups-mode", 0),
    VALUE("page-server", 0),    VALUE("parent-path", 0),
    VALUE("pid-file", 0),       VALUE("status-fd", 0),
    VALUE("work-path", 0),      {NULL},
};

static int refuse(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)opts;
    (void)args;
    return err_hint(e, err_msg(e, ENOTSUP, "%s: rootlet-oci makes no checkpoints", cmd->name),
                    "crun and runc make them with CRIU");
}

const struct cmd oci_cmd_checkpoint = {
    .name = "checkpoint",
    .args = "ID",
    .summary = "Refused: there are no checkpoints",
    .opts = table,
    .opts_size = sizeof(struct refused_opts),
    .max_args = -1,
    .flags = CMD_HIDDEN,
    .run = refuse,
};

const struct cmd oci_cmd_restore = {
    .name = "restore",
    .args = "ID",
    .summary = "Refused: there are no checkpoints",
    .opts = table,
    .opts_size = sizeof(struct refused_opts),
    .max_args = -1,
    .flags = CMD_HIDDEN,
    .run = refuse,
};
