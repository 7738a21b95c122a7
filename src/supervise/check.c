/* check - the command of a health check, in a child of ours that joins the container. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "security/filter.h"
#include "supervise/health.h"
#include "supervise/supervise.h"

/* {"CMD", WORD...} or {"CMD-SHELL", TEXT}; owned. */
static char **command(char *const *test)
{
    char **argv = NULL;
    if (streq(test[0], "CMD-SHELL")) {
        strv_add(&argv, "/bin/sh");
        strv_add(&argv, "-c");
    }
    strv_extend(&argv, test + 1);
    return argv;
}

/* As the container's own process: its user, environment, directory, limits, and filter. */
static int enter(struct sup *s, char *const *test, int out_fd, struct engine_exec *ret,
                 struct err *e)
{
    scoped_spec struct spec spec = {0};
    struct ctr_record rec SCOPED(ctr_record_release) = {0};
    struct seccomp_prog prog SCOPED(seccomp_prog_release) = {0};
    int r = container_read_spec(s->dir_fd, &spec, e);
    if (r == 0)
        r = container_read_record(s->dir_fd, &rec, e);
    if (r == 0)
        r = seccomp_filter_open(rec.seccomp, spec.process->capabilities, s->dir_fd, &prog, e);
    if (r < 0)
        return r;
    bool filtered = r > 0;
    strv_free(spec.process->args);
    spec.process->args = command(test);
    spec.process->terminal = false;
    /* A container that has handed its controllers down takes processes below its own group only. */
    scoped_cgroup struct cgroup *group = NULL;
    r = s->cgroup ? cgroup_open_child(s->cgroup, NULL, engine_pid(s->engine), &group, e) : 0;
    if (r < 0)
        return r;
    scoped_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct engine_exec_params params = {
        .pid = engine_pid(s->engine),
        .pidfd = engine_pidfd(s->engine),
        .spec = &spec,
        .process = spec.process,
        .seccomp = filtered ? &prog : NULL,
        .user = rec.user,
        .groups = rec.groups,
        .stdio = {null, out_fd, out_fd},
        .cgroup = group,
        .dies_with_us = true,
    };
    return engine_exec(&params, ret, e);
}

_Noreturn static void child_main(struct sup *s, char *const *test, int64_t timeout_ms, int out_fd)
{
    pid_t supervisor = s->state.supervisor_pid;
    struct err e = ERR_INIT;
    struct engine_exec got = ENGINE_EXEC_INIT;
    int status = 0;
    /* Without a supervisor nobody wants to know. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(125);
    fd_close(&s->lock_fd);
    fd_close(&s->listen_fd);
    if (enter(s, test, out_fd, &got, &e) < 0) {
        (void)!write(out_fd, e.msg, strlen(e.msg));
        _exit(e.exit_status ? e.exit_status : 125);
    }
    int wait_ms = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
    if (pidfd_poll(got.pidfd, wait_ms) == 0) {
        /* It leads a session of its own: what it has started goes with it. */
        kill(-got.pid, SIGKILL);
        pidfd_signal(got.pidfd, SIGKILL);
    }
    pidfd_wait(got.pidfd, &status);
    _exit(wait_status_code(status));
}

int check_start(struct sup *s, char *const *test, int64_t timeout_ms, struct check *ret,
                struct err *e)
{
    int fd[2], pidfd = -1;
    if (pipe2(fd, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    (void)!fcntl(fd[0], F_SETFL, O_NONBLOCK);
    (void)!fchmod(fd[1], 0666); /* programs open /dev/stdout anew */
    pid_t pid = fork_pidfd(&pidfd);
    if (pid == 0)
        child_main(s, test, timeout_ms, fd[1]);
    int why = errno;
    close(fd[1]);
    if (pid < 0) {
        close(fd[0]);
        return err_set(e, why, "start a health check");
    }
    *ret = (struct check){.pid = pid, .pidfd = pidfd, .out_fd = fd[0]};
    return 0;
}
