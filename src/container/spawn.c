/* spawn - starts a container's supervisor. */
#include "container/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "sys/clone.h"
#include "sys/sock.h"

extern char **environ;

/* Arranges the supervisor's descriptors: 3 is the socket, the caller's preserved ones follow. All
 * others have close-on-exec. */
static int arrange_fds(int sock, unsigned preserve)
{
    /* Out of the way of all numbers that are about to be given. */
    int high = fcntl(sock, F_DUPFD_CLOEXEC, (int)(4 + preserve));
    if (high < 0)
        return -errno;
    for (unsigned i = preserve; i > 0; i--)
        if (dup2((int)(2 + i), (int)(3 + i)) < 0)
            return -errno;
    return dup2(high, 3) < 0 ? -errno : 0;
}

struct child {
    char **argv, **envp;
    int sock;
    unsigned preserve;
};

static int exec_supervisor(void *data)
{
    const struct child *c = data;
    struct err e = ERR_INIT;
    int sock = c->sock;
    int r = arrange_fds(sock, c->preserve);
    if (r < 0) {
        err_set(&e, -r, "pass descriptors to the supervisor");
    } else {
        execve(c->argv[0], c->argv, c->envp);
        err_set(&e, errno, "execute %s", c->argv[0]);
        sock = 3;
    }
    (void)!proto_send_err(sock, PROTO_ERROR, &e);
    _exit(127);
}

/* Command line and environment. */
static int prepare(const struct conf *c, const struct supervisor_opts *o, char ***ret_argv,
                   char ***ret_envp, struct err *e)
{
    for (unsigned i = 0; i < o->preserve_fds; i++)
        if (fcntl((int)(3 + i), F_GETFD) < 0)
            return err_set(e, errno, "pass descriptor %u to the container", 3 + i);
    strv_take(ret_argv, path_join(c->libexec, "rootlet-supervise"));
    strv_addf(ret_argv, "--id=%s", o->id);
    if (o->adopt)
        strv_add(ret_argv, "--adopt");
    if (o->detached)
        strv_add(ret_argv, "--detached");
    if (o->discard)
        strv_add(ret_argv, "--discard");
    if (o->early)
        strv_add(ret_argv, "--early");
    if (o->early && o->cgroups)
        strv_addf(ret_argv, "--cgroups=%s", o->cgroups);
    if (o->early && o->cgroup_parent)
        strv_addf(ret_argv, "--cgroup-parent=%s", o->cgroup_parent);
    for (char *const *p = o->early ? o->scope_properties : NULL; p && *p; p++)
        strv_addf(ret_argv, "--scope-property=%s", *p);
    if (o->trace_stages)
        strv_add(ret_argv, "--trace-stages");
    if (o->preserve_fds)
        strv_addf(ret_argv, "--preserve-fds=%u", o->preserve_fds);
    if (o->secret_env)
        strv_addf(ret_argv, "--secret-env=%s", o->secret_env);
    if (o->listen_fds)
        strv_addf(ret_argv, "--listen-fds=%u", o->listen_fds);
    *ret_envp = strv_dup(environ);
    conf_env(c, ret_envp);
    return 0;
}

int supervisor_become(const struct conf *c, const struct supervisor_opts *o, struct err *e)
{
    scoped_strv char **argv = NULL, **envp = NULL;
    int r = prepare(c, o, &argv, &envp, e);
    if (r < 0)
        return r;
    strv_add(&argv, "--unit");
    execve(argv[0], argv, envp);
    return err_hint(e, err_set(e, errno, "execute %s", argv[0]),
                    "is rootlet installed completely?");
}

int supervisor_spawn(const struct conf *c, const struct supervisor_opts *o, struct err *e)
{
    scoped_strv char **argv = NULL, **envp = NULL;
    scoped_fd int pidfd = -1;
    int pair[2];
    int r = prepare(c, o, &argv, &envp, e);
    if (r < 0)
        return r;
    r = sock_pair(pair, e);
    if (r < 0)
        return r;
    struct child child = {argv, envp, pair[1], o->preserve_fds};
    pid_t pid = spawn_pidfd(exec_supervisor, &child, &pidfd);
    int why = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return sys_clone_failed(why, "start the supervisor", e);
    }
    return pair[0];
}
