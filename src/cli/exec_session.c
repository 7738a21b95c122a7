/* exec_session - see exec_session.h. */
#include "cli/exec_session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/proc.h"
#include "security/why.h"
#include "term/session.h"

/* An exec of a container that learns: whoever is there lets its calls run. */
struct learning {
    struct why_learn seen;
    int listener, dir;
};

static void on_learn(void *data, uint32_t events)
{
    struct learning *l = data;
    (void)events;
    (void)!why_learn_step(&l->seen, l->listener, l->dir, NULL);
}

static void release(struct engine_exec *child)
{
    fd_close(&child->pidfd);
    fd_close(&child->console);
    fd_close(&child->listener);
}

/* --- the one that stays --- */

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Nothing of the caller's is held: it may wait for the end of our output, or want to unmount. */
static void let_go(const struct engine_exec *child, const struct engine_exec_params *p, int null,
                   int answer)
{
    int ours[] = {
        2,      child->pidfd, child->console, child->listener, p->learn_dir ? *p->learn_dir : -1,
        answer, INT_MAX};
    qsort(ours, N_ELEMENTS(ours), sizeof(ours[0]), by_number);
    setsid();
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    for (size_t i = 1; i < N_ELEMENTS(ours); i++)
        if (ours[i - 1] >= 2 && ours[i] > ours[i - 1] + 1)
            close_range((unsigned)ours[i - 1] + 1, (unsigned)ours[i] - 1, 0);
    (void)!chdir("/");
    signal(SIGHUP, SIG_IGN); /* the terminal's end is the caller's affair */
}

/* Holds the terminal open, which else would hang up, and answers for what learns, until the process
 * has ended. */
static void keep(struct engine_exec *child, const struct engine_exec_params *params)
{
    struct learning learning = {.listener = child->listener,
                                .dir = params->learn_dir ? *params->learn_dir : -1};
    char buf[4096];
    struct pollfd p[] = {{.fd = child->pidfd, .events = POLLIN},
                         {.fd = child->console, .events = POLLIN},
                         {.fd = child->listener, .events = POLLIN}};
    while (poll(p, 3, -1) >= 0 || errno == EINTR) {
        if (p[0].revents)
            return;
        if (p[1].revents && read(child->console, buf, sizeof(buf)) <= 0 && errno != EINTR)
            p[1].fd = -1; /* EIO: its last user has gone */
        if (p[2].revents & POLLIN)
            on_learn(&learning, POLLIN);
        else if (p[2].revents)
            p[2].fd = -1;
        p[0].revents = p[1].revents = p[2].revents = 0;
    }
}

/* --detach: a child starts the process, says how that went, and stays. */
_Noreturn static void keeper(struct exec_session *s, int null, int answer)
{
    struct engine_exec child = ENGINE_EXEC_INIT;
    struct err e = ERR_INIT;
    int status = 0, code = -1;
    int r = engine_exec(s->params, &child, &e);
    if (r == 0)
        let_go(&child, s->params, null, answer);
    if (write(answer, &e, sizeof(e)) != (ssize_t)sizeof(e) || r < 0)
        _exit(1);
    close(answer);
    keep(&child, s->params);
    if (pidfd_wait(child.pidfd, &status) == 0)
        code = wait_status_code(status);
    s->ended(s->data, code);
    _exit(0);
}

static int start_detached(struct exec_session *s, int null, struct err *e)
{
    int fd[2];
    struct err answer = ERR_INIT;
    if (pipe2(fd, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(fd[0]);
        keeper(s, null, fd[1]);
    }
    close(fd[1]);
    int r = pid < 0 ? err_set(e, errno, "fork") : 0;
    ssize_t n = -1;
    while (r == 0 && (n = read(fd[0], &answer, sizeof(answer))) < 0 && errno == EINTR)
        ;
    close(fd[0]);
    if (r < 0)
        return r;
    if (n != (ssize_t)sizeof(answer))
        return err_msg(e, ECHILD, "the process that started it was killed");
    if (answer.errnum == 0)
        return 0;
    *e = answer;
    return -answer.errnum;
}

/* The user has typed the detach keys: the terminal goes to a process that stays. */
static void leave_to_keeper(struct exec_session *s, struct engine_exec *child, int null)
{
    fflush(NULL);
    if (fork() != 0)
        return;
    let_go(child, s->params, null, -1);
    keep(child, s->params);
    s->ended(s->data, -1);
    _exit(0);
}

/* --- the one that follows --- */

static int follow(struct exec_session *s, struct session *session, struct engine_exec *child,
                  int null, struct err *e)
{
    int status = 0;
    if (child->listener >= 0) {
        session->also = child->listener;
        session->on_also = on_learn;
    }
    int r = session_follow(session, child->pidfd, child->console, &status, e);
    if (r == 0)
        leave_to_keeper(s, child, null);
    if (r <= 0)
        return r;
    r = wait_status_code(status);
    s->ended(s->data, r);
    return r;
}

int exec_session_run(struct exec_session *s, struct err *e)
{
    struct engine_exec child = ENGINE_EXEC_INIT;
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
    if (s->detach)
        return start_detached(s, null, e);
    /* One with a terminal gets a hangup when we are killed, and must outlive us when the user
     * detaches. */
    s->params->dies_with_us = !s->tty;
    int r = session_open(&session, s->params->stdio, e);
    if (r == 0)
        r = engine_exec(s->params, &child, e);
    struct learning learning = {.listener = child.listener,
                                .dir = s->params->learn_dir ? *s->params->learn_dir : -1};
    session.also_data = &learning;
    if (r == 0)
        r = follow(s, &session, &child, null, e);
    release(&child);
    return r;
}
