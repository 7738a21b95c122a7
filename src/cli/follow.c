/* follow - see follow.h. */
#include "cli/follow.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "container/client.h"

#define LISTEN_FDS_MAX 500 /* the supervisor takes 1000 descriptors */

static struct supervisor_opts supervisor_for(const struct follow *f)
{
    return (struct supervisor_opts){
        .id = f->id,
        .discard = f->discard,
        .detached = f->detached,
        .trace_stages = cli_trace(),
        .preserve_fds = f->preserve_fds,
        .listen_fds = f->listen_fds,
        .secret_env = f->secret_env,
        .cgroups = f->cgroups,
        .cgroup_parent = f->cgroup_parent,
        .scope_properties = f->scope_properties,
    };
}

static int spawn(const struct follow *f, bool early, struct err *e)
{
    struct supervisor_opts s = supervisor_for(f);
    s.early = early;
    return supervisor_spawn(cli_conf(), &s, e);
}

int follow_become(const struct follow *f, struct err *e)
{
    struct supervisor_opts s = supervisor_for(f);
    fflush(NULL);
    return supervisor_become(cli_conf(), &s, e);
}

int follow_listen_fds(unsigned *ret, struct err *e)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint32_t ours, n;
    *ret = 0;
    if (!pid || !count || parse_u32(pid, &ours) < 0 || ours != (uint32_t)getpid())
        return 0;
    if (parse_u32(count, &n) < 0 || n > LISTEN_FDS_MAX)
        return err_msg(e, EINVAL, "LISTEN_FDS=%s: not a number of sockets", count);
    *ret = n;
    return 0;
}

int follow_spawn_early(struct follow *f, struct err *e)
{
    f->early_fd = spawn(f, true, e);
    f->early = f->early_fd >= 0;
    return f->early ? 0 : f->early_fd;
}

/* The first process of a pid namespace gets no signal that it has no handler for: ctrl-c seems
 * dead. pid_namespaces(7) */
static void tell_ignored(void *data)
{
    const struct follow *f = data;
    char text[200];
    snprintf(text, sizeof(text),
             "it goes on after three interrupts; 'rootlet stop %.12s' ends it, and with --init "
             "ctrl-c would",
             f->id);
    if (isatty(STDERR_FILENO))
        cli_notice(text);
}

static void let_go(void *data)
{
    const struct follow *f = data;
    if (f->made_fd)
        fd_close(f->made_fd);
}

static int attach(const struct follow *f, int fd, bool start, struct err *e)
{
    struct attach_opts a = {
        .fd = fd,
        .start = start,
        .in_fd = f->in ? STDIN_FILENO : -1,
        .out_fd = f->out ? STDOUT_FILENO : -1,
        .err_fd = f->err && !f->tty ? STDERR_FILENO : -1,
        .tty = f->tty,
        .sig_proxy = f->sig_proxy,
        .detach_keys = f->detach_keys,
        .started = let_go,
        .ignored = tell_ignored,
        .data = (void *)(uintptr_t)f,
    };
    struct attach_result result = {0};
    int r = attach_run(&a, &result, e);
    if (r < 0)
        return r;
    return result.detached ? 0 : result.exit_code;
}

int follow_start(const struct follow *f, struct err *e)
{
    scoped_fd int fd = f->early ? f->early_fd : spawn(f, false, e);
    return fd < 0 ? fd : attach(f, fd, true, e);
}

int follow_attach(const struct follow *f, struct err *e)
{
    scoped_fd int fd = container_connect(cli_conf(), f->id, e);
    return fd < 0 ? fd : attach(f, fd, false, e);
}

int follow_detached(const struct follow *f, struct err *e)
{
    struct follow alone = *f;
    alone.detached = true;
    scoped_fd int fd = f->early ? f->early_fd : spawn(&alone, false, e);
    if (fd < 0)
        return fd;
    int r = proto_send(fd, PROTO_START, 0, 0, NULL, 0);
    /* A supervisor that has given up has said why before it went. */
    if (r < 0 && r != -EPIPE && r != -ECONNRESET)
        return err_set(e, -r, "send to the supervisor");
    struct proto_msg m;
    return client_wait(fd, PROTO_STARTED, &m, e);
}
