/* exec_session - see exec_session.h. */
#include "cli/exec_session.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/proc.h"
#include "term/session.h"

int exec_session_run(struct exec_session *s, struct err *e)
{
    struct engine_exec child = {.pid = -1, .pidfd = -1, .console = -1};
    scoped_session struct session session = SESSION_INIT;
    scoped_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    session.tty = s->tty;
    session.interactive = s->interactive;
    session.detach_keys = s->detach_keys;
    if (s->tty && s->interactive && !s->detach && !isatty(STDIN_FILENO))
        return err_hint(e, err_msg(e, ENOTTY, "-t: standard input is not a terminal"),
                        "leave out -t when piping");
    s->params->stdio[0] = s->interactive && !s->detach ? STDIN_FILENO : null;
    s->params->stdio[1] = s->detach ? null : STDOUT_FILENO;
    s->params->stdio[2] = s->detach ? null : STDERR_FILENO;
    int r = session_open(&session, s->params->stdio, e);
    if (r == 0)
        r = engine_exec(s->params, &child, e);
    if (r == 0 && !s->detach) {
        int status = 0;
        r = session_follow(&session, child.pidfd, child.console, &status, e);
        r = r > 0 ? wait_status_code(status) : r;
    }
    fd_close(&child.pidfd);
    fd_close(&child.console);
    return r;
}
