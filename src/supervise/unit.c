/* unit - when the supervisor is the main process of a systemd unit: nobody started it who could be
 * told of errors or of the end, so they go to standard error and into the exit status. */
#include "supervise/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"

void unit_clean_environment(struct sup *s)
{
    /* What systemd says to its child is for us; the helpers that we start are not asked. */
    static const char *const names[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
                                        "LISTEN_PIDFDID"};
    const char *fd_names = getenv("LISTEN_FDNAMES");
    if (s->unit.listen_fds && fd_names)
        s->unit.listen_names = xstrdup(fd_names);
    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        unsetenv(names[i]);
}

int unit_streams_done(struct sup *s, struct err *e)
{
    scoped_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0)
        return err_set(e, errno, "open /dev/null");
    /* The times of the stages and a unit's errors are written there. */
    if (!s->trace_stages && !s->unit.on && dup2(null_fd, STDERR_FILENO) < 0)
        return err_set(e, errno, "close standard error");
    return 0;
}

/* sd_listen_fds(3). LISTEN_PID is set by the process itself, who knows its number inside. */
void unit_give_sockets(struct sup *s)
{
    struct spec_process *p = s->spec.process;
    if (!s->unit.listen_fds || !p)
        return;
    scoped_free char *count = xasprintf("LISTEN_FDS=%u", s->unit.listen_fds);
    strv_env_set(&p->env, count);
    strv_env_unset(p->env, "LISTEN_FDNAMES");
    if (s->unit.listen_names) {
        scoped_free char *names = xasprintf("LISTEN_FDNAMES=%s", s->unit.listen_names);
        strv_env_set(&p->env, names);
    }
}

void unit_started(struct sup *s)
{
    if (s->unit.again)
        return;
    credentials_forget(s);
    /* There is no other run, and who waits for the end of a pipe waits for ours too. */
    for (unsigned i = 0; i < s->preserve_fds; i++)
        close((int)(3 + i));
    s->preserve_fds = s->unit.listen_fds = 0;
}

void unit_failed(struct sup *s, const struct err *why)
{
    char text[4 * sizeof(why->msg)];
    if (!s->unit.on)
        return;
    fprintf(stderr, "Error: %s\n", err_escape(text, sizeof(text), why->msg));
    if (why->hint[0])
        fprintf(stderr, "hint: %s\n", err_escape(text, sizeof(text), why->hint));
    s->unit.status = why->exit_status ? why->exit_status : 125;
}

int unit_status(const struct sup *s)
{
    if (s->unit.status)
        return s->unit.status;
    if (s->state.signal > 0)
        return -s->state.signal;
    /* An init or a shell inside tells so that its command died of the stop signal. */
    bool stopped = s->state.stop_requested && s->state.exit_code == 128 + s->stop_signal;
    return stopped ? -s->stop_signal : s->state.exit_code;
}

int unit_leave(int status)
{
    if (status >= 0)
        return status;
    /* Died of a signal: so do we, that systemd and shells see what happened. A SIGTERM that was
     * asked for is a clean end then. No second core file. */
    sigset_t set;
    prctl(PR_SET_DUMPABLE, 0);
    signal(-status, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, -status);
    raise(-status);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return 128 - status;
}
