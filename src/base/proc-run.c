/* proc-run - helpers that run to their end: one deadline, and the last thing they complained of. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/timefmt.h"

#define STANDARD_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What a helper that is dead may still have left in its pipe. */
#define DRAIN_MAX 65536

/* Tries every directory of the standard PATH; only system calls, this is between vfork and exec. */
static int exec_search(const char *name, char *const *argv, char *const *envp)
{
    if (strchr(name, '/')) {
        execve(name, argv, envp);
        return errno;
    }
    int found = ENOENT;
    for (const char *dir = STANDARD_PATH; *dir; dir += dir[0] == ':') {
        char path[512];
        size_t n = strcspn(dir, ":");
        if ((size_t)snprintf(path, sizeof(path), "%.*s/%s", (int)n, dir, name) >= sizeof(path))
            return ENAMETOOLONG;
        execve(path, argv, envp);
        if (errno != ENOENT && errno != ENOTDIR)
            found = errno; /* EACCES: perhaps a later directory has one that runs */
        dir += n;
    }
    return found;
}

/* A descriptor above 2, so that placing one of the three does not destroy another's source. */
static int above_stdio(int fd, int flags)
{
    if (fd < 0)
        fd = open("/dev/null", flags | O_CLOEXEC);
    return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

struct child {
    const struct proc_cmd *cmd;
    int err_fd;
};

static int child_exec(void *data)
{
    const struct child *c = data;
    const struct proc_cmd *cmd = c->cmd;
    char path[] = "PATH=" STANDARD_PATH, lang[] = "LANG=C";
    char *const minimal[] = {path, lang, NULL};
    int in = above_stdio(cmd->stdin_fd, O_RDONLY);
    int out = above_stdio(cmd->stdout_fd, O_WRONLY);
    int err = above_stdio(c->err_fd, O_WRONLY);
    if (in < 0 || out < 0 || err < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(126);

    /* Our blocked and ignored signals are no business of the helper. */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    if (cmd->own_group)
        setpgid(0, 0);

    int why = exec_search(cmd->path ? cmd->path : cmd->argv[0], cmd->argv,
                          cmd->envp ? cmd->envp : minimal);
    const char *text = strerror(why);
    ssize_t n = write(2, text, strlen(text));
    (void)n;
    _exit(why == ENOENT || why == ENOTDIR ? 127 : 126);
}

int proc_start(const struct proc_cmd *cmd, struct proc_child *ret, struct err *e)
{
    int fds[2];
    const char *name = cmd->name ? cmd->name : path_name(cmd->path ? cmd->path : cmd->argv[0]);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe for %s", name);
    scoped_fd int rd = fds[0], wr = fds[1];
    struct proc_child c = {.pidfd = -1, .own_group = cmd->own_group};

    c.pid = spawn_pidfd(child_exec, &(struct child){cmd, wr}, &c.pidfd);
    if (c.pid < 0)
        return err_set(e, errno, "start %s", name);
    /* Non-blocking: what a dead helper left is read without waiting for those who inherited it. */
    fcntl(rd, F_SETFL, O_NONBLOCK);
    c.err_fd = take_fd(&rd);
    snprintf(c.name, sizeof(c.name), "%s", name);
    *ret = c;
    return 0;
}

/* The last line that is not empty, whether or not a newline ends it. */
struct last_line {
    char now[256], last[256];
    size_t len;
};

static void line_end(struct last_line *l)
{
    if (l->len == 0)
        return;
    memcpy(l->last, l->now, l->len);
    l->last[l->len] = '\0';
    l->len = 0;
}

static void line_add(struct last_line *l, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n' || data[i] == '\r')
            line_end(l);
        else if (l->len < sizeof(l->now) - 1 && data[i])
            l->now[l->len++] = data[i];
    }
}

/* Reads what is there, at most DRAIN_MAX bytes. Returns false at the end of the pipe. */
static bool drain(int fd, struct last_line *l)
{
    char buf[4096];
    for (size_t total = 0; total < DRAIN_MAX;) {
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        line_add(l, buf, (size_t)n);
        total += (size_t)n;
    }
    return true;
}

/* Until the child has ended. 0, -ETIMEDOUT or -errno. */
static int watch(struct proc_child *c, int timeout_ms, struct last_line *l)
{
    int64_t end = time_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        int64_t left = timeout_ms <= 0 ? -1 : (end - time_monotonic_ns() + 999999) / 1000000;
        if (timeout_ms > 0 && left <= 0)
            return -ETIMEDOUT;
        struct pollfd p[2] = {{.fd = c->pidfd, .events = POLLIN},
                              {.fd = c->err_fd, .events = POLLIN}};
        int r = poll(p, 2, (int)left);
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r <= 0)
            continue;
        /* What it wrote before its end is in the pipe by now. */
        if (p[1].revents && !drain(c->err_fd, l))
            fd_close(&c->err_fd);
        if (p[0].revents) {
            if (c->err_fd >= 0)
                drain(c->err_fd, l);
            return 0;
        }
    }
}

int proc_finish(struct proc_child *c, int timeout_ms, struct err *e)
{
    struct last_line l = {.len = 0};
    int status = 0;
    int r = watch(c, timeout_ms, &l);
    if (r < 0)
        pidfd_signal(c->pidfd, SIGKILL);
    if (r < 0 && c->own_group)
        kill(-c->pid, SIGKILL); /* not reaped yet: the number is its */
    int waited = pidfd_wait(c->pidfd, &status);
    fd_close(&c->pidfd);
    fd_close(&c->err_fd);
    line_end(&l);

    if (r == -ETIMEDOUT)
        return err_msg(e, ETIMEDOUT, "%s: no end after %d ms", c->name, timeout_ms);
    if (r < 0)
        return err_set(e, -r, "watch %s", c->name);
    if (waited < 0)
        return err_set(e, -waited, "wait for %s", c->name);
    if (status == 0)
        return 0;
    const char *colon = l.last[0] ? ": " : "";
    if (WIFSIGNALED(status))
        err_msg(e, EIO, "%s: killed by %s%s%s", c->name, signal_name(WTERMSIG(status)), colon,
                l.last);
    else
        err_msg(e, EIO, "%s: exit status %d%s%s", c->name, WEXITSTATUS(status), colon, l.last);
    return wait_status_code(status);
}

int proc_run(const struct proc_cmd *cmd, struct err *e)
{
    struct proc_child c;
    int r = proc_start(cmd, &c, e);
    return r < 0 ? r : proc_finish(&c, cmd->timeout_ms, e);
}
