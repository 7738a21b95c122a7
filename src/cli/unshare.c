/* unshare - a command in the user namespace of the containers: the user's own files of subordinate
 * ids, to be looked at, changed and deleted. */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "userns/userns.h"

struct unshare_opts {
    bool netns;
};

static const struct opt unshare_table[] = {
    {"rootless-netns", 0, OPT_FLAG, offsetof(struct unshare_opts, netns), NULL,
     "no network namespace is shared by all containers: rootlet exec CONTAINER enters that of one",
     OPT_LATER},
    {NULL},
};

static const char *user_shell(void)
{
    const char *shell = getenv("SHELL");
    return shell && *shell == '/' ? shell : "/bin/sh";
}

static int execute(char *const *argv, struct err *e)
{
    execvp(argv[0], argv);
    int status = errno == ENOENT ? 127 : 126;
    return err_exit(e, err_set(e, errno, "unshare %s", argv[0]), status);
}

static int unshare_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    char *shell[] = {(char *)(uintptr_t)user_shell(), NULL};
    (void)cmd, (void)opts;
    if (geteuid() == 0 && userns_is_initial())
        return err_hint(e, err_msg(e, EINVAL, "unshare: root of the host needs no user namespace"),
                        "all files of the store are root's to read and to delete");
    int r = userns_map_default(&map, e);
    if (r == 0)
        r = userns_enter(&map, CLONE_NEWNS, e);
    if (r < 0)
        return err_add(e, r, "unshare");
    setenv("ROOTLET_ROOT", cli_conf()->root, 1);
    setenv("ROOTLET_RUNROOT", cli_conf()->run_root, 1);
    return execute(*args ? args : shell, e);
}

const struct cmd cli_unshare_cmds[] = {
    {
        .name = "unshare",
        .args = "[COMMAND [ARG...]]",
        .summary = "Run a command, or a shell, where the files of containers are yours",
        .opts = unshare_table,
        .opts_size = sizeof(struct unshare_opts),
        .max_args = -1,
        .flags = CMD_STOP_AT_ARG,
        .run = unshare_command,
        .details = "In a new user namespace with the default id map, and a mount namespace. "
                   "ROOTLET_ROOT and ROOTLET_RUNROOT name the store.",
        .examples = "rootlet unshare\nrootlet unshare du -sh ~/.local/share/rootlet/volumes\n"
                    "rootlet unshare rm -rf ./build-of-a-container",
    },
    {NULL},
};
