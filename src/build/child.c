/* child - rootlet and rootlet-image, started as anyone would start them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/strv.h"
#include "build/build.h"
#include "sys/clone.h"

#define TEXT_MAX (1u << 20)

static int signals = -1;

static void deadly(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

int child_init(struct err *e)
{
    sigset_t set;
    deadly(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals < 0 ? err_set(e, errno, "signalfd") : 0;
}

static char *program(const struct build *b, const char *name)
{
    const char *self = getenv("ROOTLET_SELF");
    if (streq(name, "rootlet") && self && *self == '/')
        return xstrdup(self);
    return path_join(b->conf->libexec, name);
}

struct start {
    const struct child *c;
    const char *path;
    char **env;
    int out, err;
    pid_t parent;
};

/* A group of its own: what a terminal sends reaches us, and we decide. */
static void become(const struct start *s) __attribute__((noreturn));
static void become(const struct start *s)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    setpgid(0, 0);
    /* It ends with us; a step's container does so by its guard, and takes its client along. */
    if (!s->c->container && !s->c->ends_itself && prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        _exit(127);
    if (getppid() != s->parent)
        _exit(127);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    int out = fcntl(s->out, F_DUPFD_CLOEXEC, 3), err = fcntl(s->err, F_DUPFD_CLOEXEC, 3);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(127);
    for (size_t i = 0; i < s->c->n_fds; i++)
        fcntl(s->c->fds[i], F_SETFD, 0);
    execve(s->path, s->c->argv, s->env);
    _exit(127);
}

static int start(struct build *b, const struct child *c, int out, int err, int *ret_pidfd,
                 struct err *e)
{
    scoped_free char *path = program(b, c->argv[0]);
    scoped_strv char **env = strv_dup(environ);
    struct start s = {c, path, NULL, out, err, getpid()};
    conf_env(b->conf, &env);
    if (streq(c->argv[1], "pull") || streq(c->argv[1], "push"))
        conf_env_creds(b->o->creds, &env);
    s.env = env;
    if (b->out)
        fflush(b->out);
    pid_t pid = fork_pidfd(ret_pidfd);
    if (pid < 0)
        return err_set(e, errno, "fork");
    if (pid == 0)
        become(&s);
    return 0;
}

/* Ends the container of a step when we were killed and cannot. It holds nothing of ours: neither
 * the caller's pipes nor our locks. */
struct guard {
    int pidfd, tell;
};

static void guard_main(int in, const char *path, char *const *argv, char *const *env)
    __attribute__((noreturn));
static void guard_main(int in, const char *path, char *const *argv, char *const *env)
{
    sigset_t none;
    char byte;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), high = fcntl(in, F_DUPFD_CLOEXEC, 10);
    setsid();
    for (int i = 0; i < 3; i++)
        if (null < 0 || dup2(null, i) < 0)
            _exit(127);
    if (high < 0 || dup3(high, 3, O_CLOEXEC) < 0 || sys_close_from(4, 0) < 0)
        _exit(127);
    if (read(3, &byte, 1) !=
        0) /* nothing interrupts it: no handler is set, what comes is blocked */
        _exit(0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execve(path, argv, env);
    _exit(127);
}

static int guard_start(struct build *b, const char *name, struct guard *ret, struct err *e)
{
    char *argv[] = {(char *)"rootlet", (char *)"rm", (char *)"-f", (char *)"-t",
                    (char *)"0",       (char *)name, NULL};
    scoped_free char *path = program(b, argv[0]);
    scoped_strv char **env = strv_dup(environ);
    int ends[2];
    conf_env(b->conf, &env);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    scoped_fd int in = ends[0], tell = ends[1];
    if (b->out)
        fflush(b->out);
    pid_t pid = fork_pidfd(&ret->pidfd);
    if (pid < 0)
        return err_set(e, errno, "fork");
    if (pid == 0)
        guard_main(in, path, argv, env);
    ret->tell = take_fd(&tell);
    return 0;
}

static void guard_end(struct guard *g)
{
    if (g->tell >= 0 && write(g->tell, "", 1) == 1)
        pidfd_wait(g->pidfd, NULL);
    fd_close(&g->tell);
    fd_close(&g->pidfd);
}

/* "Error: " and "hint: " lines of a program of ours, else its last words. */
static void take_message(int fd, struct err *e)
{
    scoped_free char *text = NULL;
    lseek(fd, 0, SEEK_SET);
    if (fs_read_fd(fd, TEXT_MAX, &text, NULL) < 0)
        return;
    scoped_strv char **lines = strv_split(text, "\n", false);
    const char *message = NULL, *hint = NULL, *v;
    for (char **l = lines; l && *l; l++) {
        if ((v = str_after(*l, "Error: ")))
            message = v;
        else if ((v = str_after(*l, "hint: ")))
            hint = v;
        else if (!message)
            message = *l;
    }
    if (message)
        err_msg(e, EIO, "%s", message);
    if (hint)
        err_hint(e, -EIO, "%s", hint);
}

static void end_container(struct build *b, const char *name)
{
    char *argv[] = {(char *)"rootlet", (char *)"rm", (char *)"-f", (char *)"-t",
                    (char *)"0",       (char *)name, NULL};
    const struct child c = {.argv = argv};
    int pidfd = -1, null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (start(b, &c, null, null, &pidfd, NULL) == 0)
        pidfd_wait(pidfd, NULL);
    fd_close(&pidfd);
    fd_close(&null);
}

static int wanted_end(void)
{
    struct signalfd_siginfo si;
    return read(signals, &si, sizeof(si)) == (ssize_t)sizeof(si) ? (int)si.ssi_signo : 0;
}

static volatile sig_atomic_t watched = -1, came;

static void on_signal(int signo)
{
    int saved = errno;
    came = signo;
    pidfd_signal(watched, SIGTERM);
    errno = saved;
}

static void handle(void (*handler)(int))
{
    static const int all[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < N_ELEMENTS(all); i++)
        sigaction(all[i], &sa, NULL);
}

void child_watch(int pidfd)
{
    sigset_t set;
    deadly(&set);
    watched = pidfd;
    came = 0;
    handle(on_signal);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void child_watch_end(void)
{
    sigset_t set;
    deadly(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    handle(SIG_DFL);
    watched = -1;
    if (came)
        raise(came);
}

/* Keeps the end of what was said, so that nothing grows with it. */
static void read_tail(struct child_tail *t)
{
    const size_t half = sizeof(t->text) / 2;
    ssize_t n;
    while (t && (n = read(t->fd, t->text + t->n, sizeof(t->text) - t->n)) > 0) {
        t->n += (size_t)n;
        if (t->n == sizeof(t->text)) {
            memmove(t->text, t->text + half, half);
            t->n = half;
        }
    }
}

/* 0, or the signal that came meanwhile. */
static int wait_for(struct build *b, const struct child *c, int pidfd, int *ret_status)
{
    struct pollfd p[] = {{.fd = pidfd, .events = POLLIN},
                         {.fd = signals, .events = POLLIN},
                         {.fd = c->tail ? c->tail->fd : -1, .events = POLLIN}};
    int signo = 0;
    while (!(p[0].revents & POLLIN)) {
        if (poll(p, N_ELEMENTS(p), signo ? 5000 : -1) == 0)
            pidfd_signal(pidfd, SIGKILL);
        read_tail(c->tail);
        if (!signo && (p[1].revents & POLLIN) && (signo = wanted_end())) {
            p[1].fd = -1;
            if (c->container)
                end_container(b, c->container);
            else if (!c->ends_itself)
                pidfd_signal(pidfd, SIGTERM);
        }
    }
    pidfd_wait(pidfd, ret_status);
    read_tail(c->tail);
    return signo;
}

static int result(const struct child *c, int signo, int status, int err_fd, struct err *e)
{
    int code = wait_status_code(status);
    if (signo) {
        err_msg(e, EINTR, "interrupted by %s", signal_name(signo));
        return err_exit(e, -EINTR, 128 + signo);
    }
    if (code != 0) {
        err_msg(e, EIO, "%s %s: exit status %d", c->argv[0], c->argv[1] ? c->argv[1] : "", code);
        if (err_fd >= 0)
            take_message(err_fd, e);
    }
    return code;
}

static int read_out(int fd, char **ret, struct err *e)
{
    lseek(fd, 0, SEEK_SET);
    ssize_t n = fs_read_fd(fd, TEXT_MAX, ret, e);
    if (n < 0)
        return (int)n;
    while (n > 0 && (*ret)[n - 1] == '\n')
        (*ret)[--n] = '\0';
    return 0;
}

int child_interrupted(struct err *e)
{
    int signo = wanted_end();
    if (!signo)
        return 0;
    err_msg(e, EINTR, "interrupted by %s", signal_name(signo));
    return err_exit(e, -EINTR, 128 + signo);
}

int child_run(struct build *b, const struct child *c, struct err *e)
{
    scoped_fd int out = c->out < 0 ? memfd_create("out", MFD_CLOEXEC) : -1;
    scoped_fd int err = c->err < 0 ? memfd_create("err", MFD_CLOEXEC) : -1;
    scoped_fd int pidfd = -1;
    struct guard guard = {-1, -1};
    int status = 0;
    if ((c->out < 0 && out < 0) || (c->err < 0 && err < 0))
        return err_set(e, errno, "memfd_create");
    int r = c->container ? guard_start(b, c->container, &guard, e) : 0;
    r = r < 0 ? r : start(b, c, c->out < 0 ? out : c->out, c->err < 0 ? err : c->err, &pidfd, e);
    int signo = r < 0 ? 0 : wait_for(b, c, pidfd, &status);
    guard_end(&guard);
    if (r < 0)
        return r;
    r = result(c, signo, status, err, e);
    if (r == 0 && c->ret_out)
        r = read_out(out, c->ret_out, e);
    return r;
}

int child_text(struct build *b, char *const *argv, char **ret, struct err *e)
{
    const struct child c = {.argv = argv, .out = -1, .err = -1, .ret_out = ret};
    int r = child_run(b, &c, e);
    return r > 0 ? -EIO : r;
}

int child_start(struct build *b, const struct child *c, int *ret_pidfd, struct err *e)
{
    return start(b, c, c->out, c->err, ret_pidfd, e);
}

int child_wait(struct build *b, const struct child *c, int pidfd, struct err *e)
{
    int status = 0;
    int signo = wait_for(b, c, pidfd, &status);
    int r = result(c, signo, status, c->err, e);
    return r > 0 ? -EIO : r;
}
