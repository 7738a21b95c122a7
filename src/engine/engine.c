/* The engine's life: created, started, freed. The work is in the table of stages.c. */
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "engine/engine-priv.h"

int engine_check_preserved(unsigned n, struct err *e)
{
    for (unsigned i = 0; i < n; i++) {
        if (fcntl((int)(3 + i), F_GETFD) < 0)
            return err_msg(e, EBADF, "descriptor %u, which is to be preserved, is not open", 3 + i);
    }
    return 0;
}

/* An undumpable process can be looked at, and its namespaces entered, by who has this capability
 * where our program was executed. Asked before the ids of our copy change. ptrace(2) */
static bool can_trace(void)
{
    return geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_SYS_PTRACE, 0, 0, 0) == 1;
}

static int start_init(struct start *s, struct engine *en, struct err *e)
{
    *s = (struct start){
        .en = en,
        .p = &en->p,
        .spec = en->p.spec,
        .process = en->p.spec->process,
        .sock = -1,
        .cgroup_fd = en->p.cgroup ? cgroup_clone_fd(en->p.cgroup) : -1,
        .root_mount = -1,
        .root_at = -1,
        .root_fds = STORAGE_FDS_INIT,
        .root_fd = -1,
        .null_fd = -1,
        .console_slave = -1,
        .seccomp = en->p.seccomp,
        .user_text = en->p.user,
        .login = en->p.login,
        .groups = en->p.groups,
        .stdio = {en->p.stdio[0], en->p.stdio[1], en->p.stdio[2]},
        .preserve_fds = en->p.preserve_fds,
        .hidden = can_trace(),
    };
    if (!s->process || (!s->spec->no_process && (!s->process->args || !s->process->args[0])))
        return err_exit(e, err_msg(e, EINVAL, "process.args: no command is given"), 125);
    if (s->spec->linux_ && s->spec->linux_->intel_rdt)
        return err_hint(e, err_msg(e, ENOTSUP, "linux.intelRdt: not supported"),
                        access("/sys/fs/resctrl/schemata", F_OK) == 0
                            ? "a group below /sys/fs/resctrl can be made by a createRuntime hook"
                            : "this host has no resource director (/sys/fs/resctrl is empty)");
    if (en->p.network) {
        s->network = network_driver_get(en->p.network->mode, e);
        if (!s->network)
            return -EINVAL;
    }
    return engine_check_preserved(en->p.preserve_fds, e);
}

int engine_create(const struct engine_params *p, struct engine **ret, struct err *e)
{
    struct engine *en = xcalloc(1, sizeof(*en));
    *en =
        (struct engine){.pid = -1, .pidfd = -1, .sock = -1, .console = -1, .listener = -1, .p = *p};
    if (p->trace_stages)
        en->trace = trace_new();

    struct start s;
    int r = start_init(&s, en, e);
    if (r == 0)
        r = stages_run(&s, SIDE_PARENT, e);
    parent_close_namespaces(&s);
    parent_close_idmapped(&s);
    if (r < 0) {
        engine_free(en);
        return r;
    }
    en->created = true;
    *ret = en;
    return 0;
}

struct engine *engine_adopt(const struct engine_params *p, pid_t pid, uint64_t start, int pidfd)
{
    struct engine *en = xcalloc(1, sizeof(*en));
    *en = (struct engine){.pid = pid,
                          .pidfd = pidfd,
                          .sock = -1,
                          .console = -1,
                          .listener = -1,
                          .created = true,
                          .adopted = true,
                          .start = start,
                          .p = *p};
    return en;
}

int engine_wait(struct engine *en, int *ret_status)
{
    return en->adopted ? pidfd_exit_status(en->pidfd, en->pid, en->start, ret_status)
                       : pidfd_wait(en->pidfd, ret_status);
}

int engine_listener(const struct engine *en)
{
    return en->listener;
}

int engine_learn(struct engine *en, struct err *e)
{
    return why_learn_step(&en->learn, en->listener, *en->p.learn_dir, e);
}

/* Even execve may be a call that waits for the listener. */
int engine_await_exec(struct engine *en, struct err *e)
{
    int fds[SOCK_MAX_FDS];
    struct msg m;
    for (;;) {
        struct pollfd p[] = {{.fd = en->sock, .events = POLLIN},
                             {.fd = en->listener, .events = POLLIN}};
        if (en->listener >= 0 && poll(p, 2, -1) < 0 && errno != EINTR)
            return err_set(e, errno, "wait for the container's first process");
        if (en->listener >= 0 && p[1].revents & POLLIN)
            engine_learn(en, NULL);
        if (en->listener >= 0 && !p[0].revents)
            continue;
        int r = msg_recv(en->sock, &m, fds);
        if (r < 0)
            return err_set(e, -r, "receive from the container's first process");
        if (r == 0)
            return 0;
        if (m.type == MSG_LISTENER && en->p.learn_dir && en->listener < 0)
            en->listener = take_fd(&fds[0]);
        else if (m.type == MSG_LISTENER)
            r = agent_send(&en->p, &(struct agent_process){"created", en->pid, en->pid}, fds[0], e);
        for (size_t i = 0; i < SOCK_MAX_FDS; i++)
            fd_close(&fds[i]);
        if (r < 0) {
            pidfd_signal(en->pidfd, SIGKILL); /* nobody would answer its calls */
            return r;
        }
        if (m.type == MSG_LISTENER)
            continue;
        if (e)
            *e = m.err;
        return m.err.errnum > 0 ? -m.err.errnum : -EIO;
    }
}

int engine_start(struct engine *en, struct err *e)
{
    int64_t begin = clock_ns();
    int r = msg_send(en->sock, MSG_START, 0, NULL, 0);
    if (r < 0)
        return err_set(e, -r, "start the container's first process");
    r = engine_await_exec(en, e);
    if (r < 0)
        return r;
    fd_close(&en->sock);
    if (en->trace) {
        trace_add(en->trace, "start", SIDE_PARENT, clock_ns() - begin);
        trace_print_and_free(en->trace);
        en->trace = NULL;
    }
    return hooks_run(&en->p, HOOK_POSTSTART, en->pid, e);
}

pid_t engine_pid(const struct engine *en)
{
    return en->pid;
}

int engine_pidfd(const struct engine *en)
{
    return en->pidfd;
}

int engine_take_console(struct engine *en)
{
    return take_fd(&en->console);
}

void engine_free(struct engine *en)
{
    if (!en)
        return;
    if (!en->detached)
        engine_reap(en);
    if ((en->created || en->hooks_begun) && !en->detached)
        hooks_run(&en->p, HOOK_POSTSTOP, 0, NULL);
    if (en->trace)
        trace_print_and_free(en->trace);
    fd_close(&en->pidfd);
    fd_close(&en->sock);
    fd_close(&en->console);
    fd_close(&en->listener);
    free(en);
}
