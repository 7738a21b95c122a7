/* unit - see unit.h. */
#include "cli/unit.h"

#include <errno.h>
#include <signal.h>

#include "base/str.h"
#include "base/strv.h"

int cli_unit_check(const struct run_opts *o, struct err *e)
{
    if (o->tty || o->interactive || o->attach)
        return err_hint(e,
                        err_msg(e, EINVAL,
                                "--unit excludes %s: a unit has no terminal and no input",
                                o->tty           ? "-t"
                                : o->interactive ? "-i"
                                                 : "-a"),
                        "rootlet exec -it CONTAINER works beside it");
    if (o->detach)
        return err_hint(e,
                        err_msg(e, EINVAL, "--unit excludes -d: the unit's main process must stay"),
                        "leave out -d");
    if (o->restart && !streq(o->restart, "no"))
        return err_hint(
            e,
            err_msg(e, EINVAL, "--unit excludes --restart %s: systemd restarts a unit", o->restart),
            "write Restart=%s into the unit",
            str_after(o->restart, "on-failure") ? "on-failure" : "always");
    return 0;
}

void cli_unit_hold_signals(void)
{
    static const int held[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGABRT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < N_ELEMENTS(held); i++)
        sigaddset(&set, held[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int unit_sdnotify_check(char **mode, struct err *e)
{
    static const char *const known[] = {"container", "monitor", "healthy", "ignore"};
    if (streq(*mode, "conmon")) {
        free(*mode);
        *mode = xstrdup("monitor");
    }
    if (!*mode)
        return 0;
    for (size_t i = 0; i < N_ELEMENTS(known); i++)
        if (streq(*mode, known[i]))
            return 0;
    return err_msg(e, EINVAL,
                   "--sdnotify %s: not container, monitor (or conmon), healthy or ignore", *mode);
}

int unit_healthy_check(const struct ctr_record *rec, struct err *e)
{
    bool checked = rec->health.test && !streq(rec->health.test[0], "NONE");
    if (!streq(rec->sdnotify, "healthy") || checked)
        return 0;
    return err_hint(e,
                    err_msg(e, EINVAL,
                            "--sdnotify healthy: the container has no health check, and "
                            "would never be ready"),
                    "--health-cmd COMMAND gives it one");
}

bool unit_env_private(const char *name_value)
{
    static const char *const names[] = {
        "NOTIFY_SOCKET=",  "LISTEN_PID=",   "LISTEN_FDS=",    "LISTEN_FDNAMES=",
        "LISTEN_PIDFDID=", "WATCHDOG_PID=", "WATCHDOG_USEC=", "CREDENTIALS_DIRECTORY=",
        "JOURNAL_STREAM="};
    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        if (str_after(name_value, names[i]))
            return true;
    return false;
}
