/* linger - see linger.h. */
#include "cli/linger.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "cli/cli.h"
#include "userns/userns.h"

#define UNIT "rootlet-restart.service"
#define WANTS "systemd/user/default.target.wants/" UNIT
#define LINGER "loginctl enable-linger"

bool linger_has_systemd(void)
{
    return access("/run/systemd/system", F_OK) == 0;
}

bool linger_is_on(void)
{
    scoped_free char *name = userns_user_name(getuid());
    if (!name)
        return false;
    scoped_free char *path = path_join("/var/lib/systemd/linger", name);
    return access(path, F_OK) == 0;
}

bool linger_restart_enabled(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    scoped_free char *base = config && *config ? xstrdup(config)
                             : home            ? path_join(home, ".config")
                                               : NULL;
    scoped_free char *own = base ? path_join(base, WANTS) : NULL;
    return (own && access(own, F_OK) == 0) || access("/etc/" WANTS, F_OK) == 0;
}

const char *linger_enable_command(void)
{
    /* systemd looks for units below these prefixes; elsewhere it wants the path. */
    return str_after(USERUNITDIR, "/usr/") ? "systemctl --user enable " UNIT
                                           : "systemctl --user enable " USERUNITDIR "/" UNIT;
}

/* Told once per boot: the directory is lost with it. */
static bool first_time(const char *name)
{
    scoped_fd int dir = conf_open_run(cli_conf(), "", true, NULL);
    if (dir < 0 || faccessat(dir, name, F_OK, 0) == 0)
        return false;
    scoped_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0;
}

void linger_notice(const char *policy)
{
    bool boots = streq(policy, "always") || streq(policy, "unless-stopped");
    /* root's containers belong to no session. */
    if (getuid() == 0 || !first_time(boots ? "told-restart" : "told-linger") ||
        !linger_has_systemd())
        return;
    bool linger = linger_is_on(), enabled = !boots || linger_restart_enabled();
    scoped_free char *text = NULL;
    if (!enabled)
        text = xasprintf("to have --restart %s at the next boot too: %s%s", policy,
                         linger_enable_command(), linger ? "" : " && " LINGER);
    else if (!linger)
        text = xstrdup(boots ? "to have containers start at boot, not at the first login: " LINGER
                             : "systemd ends containers at the last logout; to keep them: " LINGER);
    cli_notice(text);
}
