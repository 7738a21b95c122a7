/* unshare - a command in the user namespace of the containers: the user's own files of subordinate
 * ids, to be looked at, changed and deleted. */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "network/user.h"
#include "userns/userns.h"

struct unshare_opts {
    bool netns;
    char *network;
};

static const struct opt unshare_table[] = {
    {"network", 0, OPT_STRING, offsetof(struct unshare_opts, network), "NAME",
     "in the namespaces of a user network that has members, to look at its links, routes and rules",
     0},
    {"rootless-netns", 0, OPT_FLAG, offsetof(struct unshare_opts, netns), NULL,
     "no network namespace is shared by all containers: --network NAME enters that of a network, "
     "rootlet exec CONTAINER that of a container",
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

/* Who owns the user namespace has all rights in it. setns(2) */
static int enter_network(const char *name, struct err *e)
{
    int fds[2];
    int r = network_user_space(cli_conf(), name, fds, e);
    if (r < 0)
        return r;
    scoped_fd int user = fds[0], net = fds[1];
    if (setns(user, CLONE_NEWUSER) < 0 || setns(net, CLONE_NEWNET) < 0)
        return err_set(e, errno, "enter the namespaces of network %s", name);
    return 0;
}

static int unshare_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    char *shell[] = {(char *)(uintptr_t)user_shell(), NULL};
    const struct unshare_opts *o = opts;
    (void)cmd;
    if (o->network) {
        int r = enter_network(o->network, e);
        return r < 0 ? err_add(e, r, "unshare") : execute(*args ? args : shell, e);
    }
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
                   "ROOTLET_ROOT and ROOTLET_RUNROOT name the store. With --network: in the "
                   "namespaces of that network instead, with the files of the host.",
        .examples = "rootlet unshare\nrootlet unshare du -sh ~/.local/share/rootlet/volumes\n"
                    "rootlet unshare rm -rf ./build-of-a-container\n"
                    "rootlet unshare --network backend ip -brief address",
    },
    {NULL},
};
