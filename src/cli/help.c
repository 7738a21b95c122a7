/* help - help for a command, and the tables as lines for completion and the man page test. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/cli.h"

struct help_opts {
    bool dump;
};
static const struct opt help_table[] = {
    {"dump", 0, OPT_FLAG, offsetof(struct help_opts, dump), NULL, "All tables as lines",
     OPT_HIDDEN},
    {NULL},
};

static int help(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct help_opts *o = opts;
    const struct cmd *const *tables = cli_tables();
    scoped_str struct str out = STR_INIT;
    int used = 0;
    (void)cmd;
    if (o->dump) {
        cmd_dump(tables, &out);
    } else if (*args) {
        const struct cmd *found = cmd_find(tables, args, &used);
        if (!found)
            return err_hint(e, err_msg(e, EINVAL, "help: no command \"%s\"", args[0]),
                            "rootlet --help lists the commands");
        cmd_help("rootlet", found, &out);
    } else {
        char *none[] = {NULL};
        return cmd_dispatch("rootlet", tables, none, e);
    }
    fputs(out.s, stdout);
    return 0;
}

const struct cmd cli_help_cmds[] = {
    {
        .name = "help",
        .args = "[COMMAND]",
        .summary = "Show help for a command",
        .opts = help_table,
        .opts_size = sizeof(struct help_opts),
        .max_args = 2,
        .run = help,
    },
    {NULL},
};
