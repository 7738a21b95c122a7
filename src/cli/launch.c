/* launch - see launch.h. */
#include "cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "container/proto.h"
#include "sys/clone.h"
#include "sys/sock.h"

#define SUPERVISOR_FD 3

/* Descriptors for the payload move up by one, behind the supervisor's own connection; nothing else
 * but stdio survives the exec. */
static int arrange_fds(int sock, int64_t preserve)
{
    for (int64_t i = preserve - 1; i >= 0; i--)
        if (dup2(SUPERVISOR_FD + (int)i, SUPERVISOR_FD + (int)i + 1) < 0)
            return -errno;
    if (sock == SUPERVISOR_FD)
        return fcntl(sock, F_SETFD, 0) < 0 ? -errno : 0;
    return dup2(sock, SUPERVISOR_FD) < 0 ? -errno : 0;
}

static void child(const char *path, char *const *argv, char *const *env, int sock, int64_t preserve)
    __attribute__((noreturn));
static void child(const char *path, char *const *argv, char *const *env, int sock, int64_t preserve)
{
    struct err e = ERR_INIT;
    /* Out of the way of the payload's descriptors before they are moved. */
    int high = fcntl(sock, F_DUPFD_CLOEXEC, SUPERVISOR_FD + (int)preserve + 1);
    if (high < 0 || arrange_fds(high, preserve) < 0)
        err_set(&e, errno, "hand descriptors to the supervisor");
    sys_close_from(SUPERVISOR_FD + (unsigned)preserve + 1, 1);
    if (!e.msg[0]) {
        execve(path, argv, env);
        err_set(&e, errno, "start %s", path);
        err_hint(&e, 0, "is rootlet installed completely?");
    }
    proto_send_err(SUPERVISOR_FD, PROTO_ERROR, &e);
    _exit(125);
}

static int spawn(const char *id, const struct launch_opts *o, struct err *e)
{
    int sv[2];
    int r = sock_pair(sv, e);
    if (r < 0)
        return r;
    scoped_fd int mine = sv[0], theirs = sv[1], pidfd = -1;
    scoped_free char *path = path_join(cli_conf()->libexec, "rootlet-supervise");
    scoped_strv char **argv = NULL, **env = strv_dup(environ);
    conf_env(cli_conf(), &env);
    strv_add(&argv, "rootlet-supervise");
    strv_addf(&argv, "--id=%s", id);
    if (o->trace_stages)
        strv_add(&argv, "--trace-stages");
    if (o->preserve_fds > 0)
        strv_addf(&argv, "--preserve-fds=%lld", (long long)o->preserve_fds);
    pid_t pid = fork_pidfd(&pidfd);
    if (pid < 0)
        return err_set(e, errno, "fork for %s", path);
    if (pid == 0)
        child(path, argv, env, theirs, o->preserve_fds);
    return take_fd(&mine);
}

/* Waits for one message; everything but `want` is an error of the start. */
static int expect(int sock, enum proto_type want, struct err *e)
{
    struct proto_msg m;
    int r = proto_recv(sock, &m);
    if (r < 0)
        return err_set(e, -r, "receive from the supervisor");
    if (r == 0)
        return err_hint(e, err_msg(e, EPIPE, "the supervisor ended without a word"),
                        "try again with --log-level debug");
    if (m.head.type == (uint32_t)want)
        return 0;
    if (m.head.type != PROTO_ERROR || m.head.len != sizeof(struct err))
        return err_msg(e, EPROTO, "unexpected message %u from the supervisor", m.head.type);
    struct err got;
    memcpy(&got, m.data, sizeof(got));
    got.msg[sizeof(got.msg) - 1] = got.hint[sizeof(got.hint) - 1] = '\0';
    *e = got;
    return got.errnum > 0 ? -got.errnum : -EIO;
}

int launch_supervisor(const char *id, const struct launch_opts *o, struct err *e)
{
    scoped_fd int sock = spawn(id, o, e);
    if (sock < 0)
        return sock;
    int r = 0;
    if (o->attach)
        r = proto_send(sock, PROTO_ATTACH, (int32_t)o->attach, 0, NULL, 0);
    if (r == 0)
        r = expect(sock, PROTO_CREATED, e);
    if (r == 0)
        r = proto_send(sock, PROTO_START, 0, 0, NULL, 0);
    if (r == 0)
        r = expect(sock, PROTO_STARTED, e);
    if (r < 0)
        return r;
    return take_fd(&sock);
}
