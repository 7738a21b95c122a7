/* process - the processes that serve one container: started, found again, ended. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "network/run.h"
#include "sys/clone.h"
#include "sys/sock.h"

extern char **environ;

#define CTL_FD 3
#define FDS_MAX 16
#define END_MS 2000

struct child {
    char **argv;
    int fd[FDS_MAX]; /* what becomes 3, 4... */
    size_t n;
    int err_fd; /* for 1 and 2, or -1 */
    bool own_stderr;
};

/* First all of them above the numbers that are about to be given. */
static int arrange(const struct child *c)
{
    int high[FDS_MAX], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int base = CTL_FD + FDS_MAX;
    for (size_t i = 0; i < c->n; i++)
        if ((high[i] = fcntl(c->fd[i], F_DUPFD_CLOEXEC, base)) < 0)
            return -1;
    int err = c->err_fd >= 0 ? fcntl(c->err_fd, F_DUPFD_CLOEXEC, base) : null;
    if (null < 0 || err < 0 || dup2(null, 0) < 0 || dup2(err, 1) < 0)
        return -1;
    if (!c->own_stderr && dup2(err, 2) < 0)
        return -1;
    for (size_t i = 0; i < c->n; i++)
        if (dup2(high[i], CTL_FD + (int)i) < 0)
            return -1;
    /* What the payload is to have preserved has no close-on-exec. */
    return sys_close_from((unsigned)(CTL_FD + c->n), 1);
}

static int execute(void *data)
{
    const struct child *c = data;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    if (arrange(c) == 0)
        execve(c->argv[0], c->argv, environ);
    _exit(127);
}

/* Who does not take what we say holds nobody up. */
static void unblock(int fd)
{
    int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int start(struct network_run *run, struct network_process *p, const struct network_start *s,
                 struct err *e)
{
    struct child c = {.err_fd = s->foreign ? s->err_fd : -1,
                      .own_stderr = !s->foreign && getenv("ROOTLET_NETWORK_DEBUG")};
    int pair[2] = {-1, -1};
    int r = s->foreign ? 0 : sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int mine = pair[0], theirs = pair[1], pidfd = -1;
    if (theirs >= 0)
        c.fd[c.n++] = theirs;
    for (size_t i = 0; i < s->n_fds && c.n < FDS_MAX; i++)
        c.fd[c.n++] = s->fds[i];
    scoped_strv char **argv = NULL;
    strv_take(&argv, strchr(s->program, '/') ? xstrdup(s->program)
                                             : path_join(run->conf->libexec, s->program));
    strv_extend(&argv, s->argv);
    c.argv = argv;
    /* The caller shares our memory until it has executed, so that 127 is all it can say. */
    if (access(argv[0], X_OK) < 0)
        return err_hint(e, err_set(e, errno, "execute %s", argv[0]),
                        "is rootlet installed completely?");
    pid_t pid = spawn_pidfd(execute, &c, &pidfd);
    if (pid < 0)
        return sys_clone_failed(errno, "start a network process", e);
    p->pid = pid;
    p->start = 0;
    (void)!proc_start_time(pid, &p->start);
    p->pidfd = take_fd(&pidfd);
    fd_close(&p->ctl);
    p->ctl = take_fd(&mine);
    unblock(p->ctl);
    p->since_ns = time_monotonic_ns();
    return 0;
}

static struct network_process *take_slot(struct network_run *run, const struct network_driver *d,
                                         const char *what, struct err *e)
{
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        struct network_process *p = &run->process[i];
        if (p->what)
            continue;
        *p = (struct network_process){.what = xstrdup(what), .driver = d, .join = run->join};
        p->pidfd = p->ctl = -1;
        for (size_t k = 0; k < NETWORK_KEEP; k++)
            p->keep[k] = -1;
        return p;
    }
    err_msg(e, EMFILE, "a container has at most %d network processes", NETWORK_PROCESSES);
    return NULL;
}

struct network_process *network_process_start(struct network_run *run,
                                              const struct network_driver *d,
                                              const struct network_start *s, struct err *e)
{
    struct network_process *p = take_slot(run, d, s->what, e);
    if (!p || start(run, p, s, e) == 0)
        return p;
    network_process_end(p);
    return NULL;
}

int network_process_again(struct network_run *run, struct network_process *p,
                          const struct network_start *s, struct err *e)
{
    return start(run, p, s, e);
}

struct network_process *network_process_add(struct network_run *run, const struct network_driver *d,
                                            const char *what, int ctl, struct err *e)
{
    struct network_process *p = take_slot(run, d, what, e);
    if (p)
        p->ctl = ctl;
    else
        close(ctl);
    return p;
}

struct network_process *network_process_adopt(struct network_run *run,
                                              const struct network_driver *d, const char *what,
                                              const struct network_state *st, struct err *e)
{
    struct network_process *p = take_slot(run, d, what, e);
    for (size_t i = 0; p && i < st->n_procs; i++) {
        const struct network_proc *was = &st->procs[i];
        uint64_t start = 0;
        if (!streq(was->what, what) || was->pid <= 0)
            continue;
        scoped_fd int pidfd = pidfd_open_pid(was->pid);
        if (pidfd < 0 || proc_start_time(was->pid, &start) < 0 || start != was->start)
            continue;
        p->pid = was->pid;
        p->start = start;
        p->pidfd = take_fd(&pidfd);
        p->adopted = true;
        p->since_ns = time_monotonic_ns();
    }
    char name[64];
    if (p && snprintf(name, sizeof(name), "%s.sock", what) < (int)sizeof(name))
        p->ctl = sock_connect_at(run->run_fd, name, NULL);
    if (p && p->ctl < 0)
        p->ctl = -1;
    if (p)
        unblock(p->ctl);
    return p;
}

struct network_process *network_process_find(struct network_run *run, const char *what)
{
    for (size_t i = 0; i < NETWORK_PROCESSES; i++)
        if (run->process[i].what && streq(run->process[i].what, what))
            return &run->process[i];
    return NULL;
}

void network_process_expect(struct network_process *p, int ms)
{
    p->starting = true;
    p->due_ns = time_monotonic_ns() + (int64_t)ms * 1000000;
}

void network_process_answered(struct network_process *p)
{
    if (!p->starting)
        return;
    p->starting = false;
    p->due_ns = 0;
    p->tries = 0;
}

void network_process_stop(struct network_process *p)
{
    p->starting = false;
    p->due_ns = 0;
    fd_close(&p->ctl);
    if (p->pidfd >= 0) {
        pidfd_signal(p->pidfd, SIGKILL);
        if (p->adopted)
            (void)!pidfd_poll(p->pidfd, END_MS);
        else
            pidfd_wait(p->pidfd, NULL);
        fd_close(&p->pidfd);
    }
    p->pid = 0;
}

void network_process_end(struct network_process *p)
{
    network_process_stop(p);
    for (size_t k = 0; k < NETWORK_KEEP; k++)
        fd_close(&p->keep[k]);
    free(take_ptr(p->what));
}

int network_listen(const struct network_run *run, const char *what, struct err *e)
{
    scoped_free char *name = xasprintf("%s.sock", what);
    return sock_listen_at(run->run_fd, name, e);
}
