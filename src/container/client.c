/* client - requests to a supervisor. */
#include "container/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "container/container-priv.h"
#include "sys/sock.h"

#define POLL_NS 10000000
/* Two seconds, in which whoever takes it over has done so. */
#define ADOPT_TRIES 100
#define ANSWER_MS 28000 /* more than for one that is stopped */
#define ADOPT_MS 30000
#define ADOPT_STEP_NS 20000000
/* One that is just ending has gone by then. */
#define UNREACHABLE_TRIES 25

int client_connect(const struct conf *c, const char *id, struct err *e)
{
    struct err why = ERR_INIT;
    scoped_fd int run_fd = conf_open_run(c, id, false, &why);
    int fd = run_fd < 0 ? run_fd : sock_connect_at(run_fd, "attach.sock", &why);
    if (fd == -ENOENT || fd == -ECONNREFUSED)
        return err_msg(e, -fd, "container %.12s is not running", id);
    if (fd < 0 && e)
        *e = why;
    return fd;
}

/* Starts a supervisor for a container that has outlived its own. */
static int adopt(const struct conf *c, const char *id, struct err *e)
{
    scoped_free struct proto_msg *m = xmalloc(sizeof(*m));
    struct supervisor_opts o = {.id = id, .adopt = true};
    struct err why = ERR_INIT;
    scoped_fd int fd = supervisor_spawn(c, &o, &why);
    int r = fd < 0 ? fd : 0;
    if (r == 0 && pidfd_poll(fd, ADOPT_MS) == 0)
        r = err_msg(&why, ETIMEDOUT, "it has not answered for half a minute");
    if (r == 0)
        r = client_wait(fd, PROTO_STARTED, m, &why);
    /* Another command was quicker, or it has just ended: both show at the next look. */
    if (r == 0 || r == -EBUSY || r == -EWOULDBLOCK || r == -ESRCH || r == -ENOENT)
        return 0;
    return err_hint(e,
                    err_msg(e, ENOTCONN,
                            "its supervisor was killed, and another could not be started: %s",
                            why.msg),
                    "rootlet rm -f ends it in any case");
}

/* Its socket was removed, with the whole run root perhaps (a logout does so): it works on, but
 * nobody can tell it anything. */
static int unreachable(const struct ctr_state *s, struct err *e)
{
    int pid = (int)s->supervisor_pid;
    int r = err_msg(e, ENOTCONN,
                    "its supervisor (process %d) cannot be reached: its socket is gone", pid);
    return err_hint(e, r,
                    "\"rootlet rm -f\" ends the container; after \"kill -9 %d\" the next command "
                    "gives it another supervisor",
                    pid);
}

int container_connect(const struct conf *c, const char *id, struct err *e)
{
    int fd = client_connect(c, id, e);
    for (int tries = 0; (fd == -ENOENT || fd == -ECONNREFUSED) && tries < ADOPT_TRIES; tries++) {
        scoped_container struct container ctr = {.dir_fd = -1};
        if (container_open_id(c, id, &ctr, NULL) < 0)
            return fd;
        const struct ctr_state *s = &ctr.state;
        container_note_end(c, s);
        int r = 0;
        if (ctr_state_unsupervised(s))
            r = adopt(c, id, e);
        else if (!ctr_state_alive(s) || !ctr_process_alive(s->pid, s->pid_start))
            return fd;
        else if (tries >= UNREACHABLE_TRIES &&
                 ctr_process_alive(s->supervisor_pid, s->supervisor_start))
            r = unreachable(s, e);
        else /* somebody is just taking it over, or looks at its lock */
            nanosleep(&(struct timespec){.tv_nsec = ADOPT_STEP_NS}, NULL);
        if (r < 0)
            return r;
        err_clear(e);
        fd = client_connect(c, id, e);
    }
    return fd;
}

int client_wait(int fd, enum proto_type type, struct proto_msg *ret, struct err *e)
{
    for (;;) {
        int r = proto_recv(fd, ret);
        if (r == 0)
            return err_msg(e, ECONNRESET, "the supervisor of the container has gone away");
        if (r < 0)
            return err_set(e, -r, "read from the supervisor");
        if (ret->head.type == type)
            return 0;
        if (ret->head.type == PROTO_ERROR || ret->head.type == PROTO_REFUSED)
            return proto_err(ret, e);
        if (ret->head.type == PROTO_EXIT)
            return err_msg(e, ESHUTDOWN, "the container has ended");
    }
}

static pid_t peer_pid(int fd)
{
    struct ucred peer = {.pid = 0};
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

int client_check_stopped(int fd, struct err *e)
{
    pid_t pid = peer_pid(fd);
    if (!proc_is_stopped(pid))
        return 0;
    return err_hint(e,
                    err_msg(e, ENOTCONN,
                            "its supervisor (process %d) does not answer: it was stopped by a "
                            "signal",
                            (int)pid),
                    "kill -CONT %d lets it go on; \"rootlet rm -f\" needs it not", (int)pid);
}

/* A supervisor answers at once, unless it is stopped, or frozen. */
static int await_answer(int fd, struct err *e)
{
    if (pidfd_poll(fd, CLIENT_STOPPED_MS) != 0)
        return 0;
    int r = client_check_stopped(fd, e);
    if (r < 0 || pidfd_poll(fd, ANSWER_MS) != 0)
        return r;
    r = err_msg(e, ENOTCONN, "its supervisor (process %d) has not answered for half a minute",
                (int)peer_pid(fd));
    return err_hint(e, r, "\"rootlet rm -f\" ends the container without it");
}

struct question {
    struct proto_head head;
    const void *data;
    enum proto_type want;
    struct proto_msg *answer;
    int fd; /* the connection, also after a failure; -1: none */
};

static void question_end(struct question *q)
{
    fd_close(&q->fd);
    free(q->answer);
}

static struct question question_of(const struct proto_head *head, const void *data)
{
    return (struct question){*head, data, PROTO_OK, xmalloc(sizeof(struct proto_msg)), -1};
}

/* *ret_unread: its supervisor has ended before it read the question, so that nothing of it was
 * done. unix(7): who closes with something unread leaves ECONNRESET. */
static int exchange(struct question *q, bool *ret_unread, struct err *e)
{
    int error = 0;
    socklen_t size = sizeof(error);
    const struct proto_head *h = &q->head;
    int r = proto_send(q->fd, (enum proto_type)h->type, h->a, h->b, q->data, h->len);
    *ret_unread = r == -EPIPE || r == -ECONNRESET;
    /* A supervisor that is about to end has said so: that is the better answer. */
    if (r < 0 && !*ret_unread)
        return err_set(e, -r, "write to the supervisor");
    r = q->want == PROTO_OK ? await_answer(q->fd, e) : 0;
    if (r < 0)
        return r;
    (void)pidfd_poll(q->fd, -1);
    if (getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNRESET)
        *ret_unread = true;
    return client_wait(q->fd, q->want, q->answer, e);
}

/* Whoever is the supervisor by the end of it: one that was just killed takes connections until the
 * kernel has closed its socket, and reads none. */
static int ask(const struct conf *c, const char *id, struct question *q, struct err *e)
{
    for (int tries = 0;; tries++) {
        bool unread = false;
        fd_close(&q->fd);
        q->fd = container_connect(c, id, e);
        if (q->fd < 0)
            return q->fd;
        int r = exchange(q, &unread, e);
        if (r != -ECONNRESET || !unread || tries >= ADOPT_TRIES)
            return r;
        err_clear(e);
        nanosleep(&(struct timespec){.tv_nsec = ADOPT_STEP_NS}, NULL);
    }
}

int container_request(const struct conf *c, const char *id, const struct proto_head *request,
                      const void *data, struct err *e)
{
    struct question q SCOPED(question_end) = question_of(request, data);
    return ask(c, id, &q, e);
}

int container_signal(const struct conf *c, const char *id, int sig, struct err *e)
{
    struct proto_head head = {.type = PROTO_SIGNAL, .a = sig};
    return container_request(c, id, &head, NULL, e);
}

int container_health(const struct conf *c, const char *id, int *ret_code, struct err *e)
{
    struct question q SCOPED(question_end) =
        question_of(&(struct proto_head){.type = PROTO_HEALTH}, NULL);
    q.want = PROTO_HEALTH_RESULT;
    int r = ask(c, id, &q, e);
    if (r == 0)
        *ret_code = q.answer->head.a;
    return r;
}

/* Reads until the supervisor has gone. Its last word about the container, if it came, in *ret. */
static bool wait_end(int fd, int *ret_code)
{
    scoped_free struct proto_msg *m = xmalloc(sizeof(*m));
    bool known = false;
    while (proto_recv(fd, m) > 0)
        if (m->head.type == PROTO_EXIT) {
            *ret_code = m->head.a;
            known = true;
        }
    return known;
}

/* Killed after it had been told to stop it: the container runs on. */
static bool lost_supervisor(const struct conf *c, const char *id)
{
    scoped_container struct container ctr = {.dir_fd = -1};
    if (container_open_id(c, id, &ctr, NULL) < 0)
        return false;
    container_note_end(c, &ctr.state);
    return ctr_state_unsupervised(&ctr.state);
}

int container_stop(const struct conf *c, const char *id, int sig, int timeout_ms, struct err *e)
{
    const struct proto_head head = {.type = PROTO_STOP, .a = sig, .b = timeout_ms};
    for (int tries = 0;; tries++) {
        struct err why = ERR_INIT;
        int ignored;
        struct question q SCOPED(question_end) = question_of(&head, NULL);
        int r = ask(c, id, &q, &why);
        if (r < 0 && r != -ESHUTDOWN && r != -ECONNRESET) {
            if (e)
                *e = why;
            return r;
        }
        if (wait_end(q.fd, &ignored) || !lost_supervisor(c, id) || tries >= ADOPT_TRIES)
            return 0;
    }
}

/* Until the run that is in before has given way to another. */
static int await_next_run(const struct conf *c, const struct container *before, struct err *e)
{
    for (;;) {
        struct container now;
        int r = container_open_id(c, before->id, &now, e);
        if (r == -ENOENT)
            return err_msg(e, ESHUTDOWN, "it did not start again, and was removed (--rm)");
        if (r < 0)
            return r;
        bool over = !ctr_state_alive(&now.state);
        bool runs = (now.state.status == CTR_RUNNING || now.state.status == CTR_PAUSED) &&
                    now.state.started_ns != before->state.started_ns;
        if (over)
            r = err_msg(e, ESHUTDOWN, "it did not start again: %s",
                        now.state.reason ? now.state.reason : "it was stopped");
        container_release(&now);
        if (over || runs)
            return r;
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
}

int container_restart(const struct conf *c, const struct container *ctr, int sig, int timeout_ms,
                      struct err *e)
{
    struct proto_head head = {.type = PROTO_RESTART, .a = sig, .b = timeout_ms};
    int r = container_request(c, ctr->id, &head, NULL, e);
    return r < 0 ? r : await_next_run(c, ctr, e);
}

int container_wait(const struct conf *c, const char *id, int *ret_code, struct err *e)
{
    scoped_fd int fd = container_connect(c, id, e);
    if (fd < 0)
        return fd;
    if (wait_end(fd, ret_code))
        return 0;
    /* Killed: what the state on disk and the processes tell. */
    struct container ctr;
    int r = container_open_id(c, id, &ctr, e);
    if (r < 0)
        return r;
    container_note_end(c, &ctr.state);
    *ret_code = ctr.state.exit_code;
    container_release(&ctr);
    return 0;
}

int container_rename_state(const struct conf *c, struct container *ctr, const char *name,
                           struct err *e)
{
    scoped_fd int lock_fd = container_lock(c, ctr->id, e);
    if (lock_fd == -EWOULDBLOCK) {
        struct proto_head head = {.type = PROTO_RENAME, .len = (uint32_t)strlen(name)};
        return container_request(c, ctr->id, &head, name, e);
    }
    if (lock_fd < 0)
        return lock_fd;
    struct ctr_state s;
    int r = container_read_state(ctr->dir_fd, &s, e);
    if (r < 0)
        return r;
    free(s.name);
    s.name = xstrdup(name);
    r = container_write_state(ctr->dir_fd, &s, e);
    ctr_state_release(&s);
    return r;
}
