#include "cli/adopt.h"

#include <errno.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "cli/cli.h"
#include "image/others.h"

bool cli_adopt_needed(const struct store_image *i)
{
    if (!i->store || i->is_copied)
        return false;
    for (char **l = i->layers; l && *l; l++) {
        bool direct = false;
        if (store_of_layer(cli_conf(), *l, &direct) && !direct)
            return true;
    }
    return false;
}

int cli_adopt(const struct store_image *i, struct err *e)
{
    scoped_free char *program = path_join(cli_conf()->libexec, "rootlet-image");
    scoped_strv char **env = strv_dup(environ);
    char *const argv[] = {program, (char[]){"adopt-image"}, i->id, NULL};
    conf_env(cli_conf(), &env);
    struct proc_cmd cmd = {.argv = argv, .envp = env, .stdin_fd = -1, .stdout_fd = STDERR_FILENO};
    int r = proc_run(&cmd, e);
    return r == 0 ? 0 : err_add(e, r < 0 ? r : -EIO, "copy it from %s", i->store);
}
