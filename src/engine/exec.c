/* A further process in a running container.
 *
 * Three processes: the caller; a helper that joins the container's namespaces through the pidfd of
 * its init, all at once, and clones; the clone, which alone is inside the pid namespace. It is a
 * child of the caller (CLONE_PARENT) and becomes the payload. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "engine/engine-priv.h"
#include "security/why.h"
#include "sys/clone.h"

/* What exec needs of the engine's context, on the caller's stack. */
struct exec {
    struct start s;
    struct engine en;
    const struct engine_exec_params *p;
    uint64_t flags;
};

/* Is the namespace of the container our own one? -errno. */
static int shares(const struct exec *x, const char *file)
{
    char theirs[40], ours[40];
    struct stat a, b;
    snprintf(theirs, sizeof(theirs), "/proc/%d/ns/%s", x->p->pid, file);
    snprintf(ours, sizeof(ours), "/proc/self/ns/%s", file);
    if (stat(theirs, &a) < 0 || stat(ours, &b) < 0)
        return -errno;
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* In our mount namespace the container is what lies below its root. */
static int open_root(struct exec *x, struct err *e)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/%d/root", x->p->pid);
    x->s.root_at = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return x->s.root_at < 0 ? err_set(e, errno, "open the container's root") : 0;
}

/* The namespaces of the container that are not ours: those of its configuration, and the user
 * namespace, which may have come with a shared network. */
static int find_flags(struct exec *x, struct err *e)
{
    const struct spec_linux *l = x->p->spec->linux_;
    for (size_t i = 0; l && i < l->n_namespaces; i++)
        x->flags |= sys_ns_flag(l->namespaces[i].type);

    int user = shares(x, "user"), mount = shares(x, "mnt");
    if (user < 0 || mount < 0) {
        int r = user < 0 ? user : mount;
        return r == -ENOENT || r == -ESRCH ? err_msg(e, ESRCH, "the container is not running")
                                           : err_set(e, -r, "look at the container's namespaces");
    }
    /* The kernel refuses to enter the user namespace that we are in, setns(2). */
    x->flags &= ~(uint64_t)CLONE_NEWUSER;
    if (!user)
        x->flags |= CLONE_NEWUSER;
    if (mount)
        x->flags &= ~(uint64_t)CLONE_NEWNS;
    x->s.join_userns = x->flags & CLONE_NEWUSER;
    return mount ? open_root(x, e) : 0;
}

int exec_become_root(struct start *s, struct err *e)
{
    int r = s->root_at >= 0 ? chroot_enter(s, e) : 0;
    if (r < 0)
        return r;
    s->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->root_fd < 0)
        return err_set(e, errno, "open the container's root");
    return child_become_root(s, e);
}

int exec_console(struct start *s, struct err *e)
{
    if (!s->process->terminal)
        return 0;
    scoped_fd int master = -1;
    int r = console_open(s->root_fd, &master, &s->console_slave, e);
    if (r == 0)
        r = console_set_size(master, s->process->console_size, e);
    if (r < 0)
        return r;
    r = msg_send(s->sock, MSG_CONSOLE, 0, &master, 1);
    return r < 0 ? err_set(e, -r, "send the terminal") : 0;
}

_Noreturn static void payload_main(struct exec *x)
{
    struct err e = ERR_INIT;
    process_die_with_parent();
    int r = stages_run(&x->s, SIDE_EXEC, &e);
    child_fail(&x->s, r, &e);
}

static int enter(struct exec *x, struct err *e)
{
    int r = parent_oom_score(&x->s, e); /* while our own /proc files are still ours to write */
    if (r < 0)
        return r;
    /* The host's: what the container has at that path is its own affair. */
    x->s.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (x->s.null_fd < 0)
        return err_set(e, errno, "open /dev/null");
    /* The container's processes must neither trace us nor reach our descriptors through /proc
     * (CVE-2016-9962). Inherited by the clone, lifted by execve. */
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return err_set(e, errno, "make the process undumpable");
    if (x->flags == 0 || setns(x->p->pidfd, (int)x->flags) == 0)
        return 0;
    if (errno == ESRCH)
        return err_msg(e, ESRCH, "the container is not running");
    return err_set(e, errno, "join the container's namespaces");
}

/* Until the caller has put us, and with us the payload, into its cgroup. */
static int await_cgroup(struct exec *x, struct err *e)
{
    struct msg m;
    return x->p->cgroup && !x->s.in_cgroup ? msg_expect(x->s.sock, MSG_GO, &m, NULL, e) : 0;
}

_Noreturn static void helper_main(struct exec *x)
{
    struct err e = ERR_INIT;
    scoped_fd int pidfd = -1;
    process_die_with_parent();
    int r = await_cgroup(x, &e);
    if (r >= 0)
        r = enter(x, &e);
    if (r >= 0) {
        pid_t pid = sys_clone(CLONE_PARENT, -1, &pidfd);
        if (pid == 0)
            payload_main(x);
        r = pid < 0 ? err_set(&e, -pid, "clone into the container")
                    : msg_send(x->s.sock, MSG_PID, pid, &pidfd, 1);
    }
    if (r < 0)
        msg_send_err(x->s.sock, &e);
    _exit(r < 0 ? EXIT_FAILED : 0);
}

/* Even execve may be a call that waits for the listener. */
static void serve_until_readable(const struct exec *x, struct why_learn *learn, int listener)
{
    struct pollfd p[] = {{.fd = x->en.sock, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
    while (poll(p, 2, -1) >= 0 || errno == EINTR) {
        if (p[0].revents)
            return;
        if (p[1].revents && why_learn_step(learn, listener, *x->p->learn_dir, NULL) == -ENODEV)
            p[1].fd = -1;
        p[0].revents = p[1].revents = 0;
    }
}

/* From the first message to the end of the socket, which is a successful execve unless an error
 * was told. It can overtake the message with the pid, so the end is awaited in any case. */
static int watch(struct exec *x, struct engine_exec *got, struct err *e)
{
    struct err told = ERR_INIT;
    scoped_fd int listener = -1;
    struct why_learn learn = {{0}};
    for (;;) {
        struct msg m;
        int fds[SOCK_MAX_FDS];
        if (got->listener >= 0)
            serve_until_readable(x, &learn, got->listener);
        int r = msg_recv(x->en.sock, &m, fds);
        if (r < 0)
            return err_set(e, -r, "receive from the process");
        if (r == 0)
            break;
        int *slot = m.type == MSG_PID        ? &got->pidfd
                    : m.type == MSG_CONSOLE  ? &got->console
                    : m.type != MSG_LISTENER ? NULL
                    : x->p->learn_dir        ? &got->listener
                                             : &listener;
        if (m.type == MSG_PID)
            got->pid = m.value;
        if (m.type == MSG_ERROR)
            told = m.err;
        if (slot && *slot < 0)
            *slot = take_fd(&fds[0]);
        for (size_t i = 0; i < SOCK_MAX_FDS; i++)
            fd_close(&fds[i]);
        if (listener >= 0 && got->pid > 0) {
            const struct agent_process who = {"running", x->p->pid, got->pid};
            r = agent_send(&x->en.p, &who, listener, e);
            fd_close(&listener);
            if (r < 0)
                return r;
        }
    }
    if (told.errnum == 0)
        return got->pid > 0 ? 0 : err_msg(e, ECONNRESET, "the process ended early");
    if (e)
        *e = told;
    return told.errnum > 0 ? -told.errnum : -EIO;
}

static void abandon(struct engine_exec *got)
{
    int status;
    if (got->pidfd >= 0) {
        pidfd_signal(got->pidfd, SIGKILL);
        pidfd_wait(got->pidfd, &status);
    }
    fd_close(&got->pidfd);
    fd_close(&got->console);
    fd_close(&got->listener);
}

static int enter_cgroup(struct exec *x, pid_t helper, struct err *e)
{
    if (!x->p->cgroup || x->s.in_cgroup)
        return 0;
    int r = cgroup_enter(x->p->cgroup, helper, e);
    if (r == 0 && (r = msg_send(x->en.sock, MSG_GO, 0, NULL, 0)) < 0)
        err_set(e, -r, "wake the process");
    return r;
}

/* On the processors of execCPUAffinity.initial: where it is when the kernel moves it to its cgroup
 * is what matters, so the caller goes there first. */
static pid_t clone_helper(struct exec *x, int *ret_pidfd, struct err *e)
{
    const struct spec_cpu_affinity *a = x->s.process->exec_cpu_affinity;
    struct numa_set before;
    bool move = a && a->initial && *a->initial;
    if (move) {
        if (syscall(SYS_sched_getaffinity, 0, sizeof(before.bits), before.bits) < 0)
            return err_set(e, errno, "process.execCPUAffinity");
        int r = numa_run_on(a->initial, "initial", e);
        if (r < 0)
            return r;
    }
    pid_t pid = parent_clone_into(&x->s, 0, ret_pidfd);
    if (move && pid != 0)
        syscall(SYS_sched_setaffinity, 0, sizeof(before.bits), before.bits);
    return pid < 0 ? sys_clone_failed(-pid, "start a process", e) : pid;
}

static int run(struct exec *x, struct engine_exec *ret, struct err *e)
{
    int pair[2], status;
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    x->en.sock = pair[0];
    scoped_fd int mine = pair[0], theirs = pair[1], helper = -1;
    pid_t pid = clone_helper(x, &helper, e);
    if (pid == 0) {
        close(mine);
        x->s.sock = theirs;
        helper_main(x);
    }
    if (pid < 0)
        return pid;
    fd_close(&theirs);
    struct engine_exec got = ENGINE_EXEC_INIT;
    r = enter_cgroup(x, pid, e);
    if (r < 0)
        pidfd_signal(helper, SIGKILL);
    else
        r = watch(x, &got, e);
    pidfd_wait(helper, &status);
    if (r < 0) {
        abandon(&got);
        return r;
    }
    *ret = got;
    return 0;
}

int engine_exec(const struct engine_exec_params *p, struct engine_exec *ret, struct err *e)
{
    struct exec x = {
        .p = p,
        .en = {.pid = -1,
               .pidfd = -1,
               .console = -1,
               .listener = -1,
               .p = {.spec = p->spec,
                     .id = p->id,
                     .bundle = p->bundle,
                     .groups = p->groups,
                     .learn_dir = p->learn_dir,
                     .userns_fd = -1,
                     .keep_keyring = p->keep_keyring}},
        .s = {.spec = p->spec,
              .cgroup_fd = p->cgroup ? cgroup_clone_fd(p->cgroup) : -1,
              .process = p->process,
              .root_mount = -1,
              .root_at = -1,
              .root_fds = STORAGE_FDS_INIT,
              .root_fd = -1,
              .null_fd = -1,
              .console_slave = -1,
              .seccomp = p->seccomp,
              .user_text = p->user,
              .groups = p->groups,
              .stdio = {p->stdio[0], p->stdio[1], p->stdio[2]},
              .preserve_fds = p->preserve_fds,
              .dies_with_us = p->dies_with_us},
    };
    x.s.en = &x.en;
    x.s.p = &x.en.p;
    if (!p->process->args || !p->process->args[0])
        return err_msg(e, EINVAL, "process.args: no command is given");
    int r = engine_check_preserved(p->preserve_fds, e);
    if (r == 0)
        r = find_flags(&x, e);
    if (r == 0)
        r = run(&x, ret, e);
    fd_close(&x.s.root_at);
    return r;
}
