/* keeper - the processes of a session that are trusted: they fork, wait and clean up. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "layer/job.h"
#include "sys/clone.h"
#include "sys/sock.h"

/* Descriptors of a worker, fixed so that all others can be closed by one call. */
enum { W_REPLY = 3, W_IO, W_DIR, W_DIFF, W_REPLACED, W_HEADERS, W_LIST, W_GROW, W_END };

/* Dies with its parent, also with one that has died just now, before this was set. */
static void die_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

static void worker(const struct layer_task *in, int reply_fd) __attribute__((noreturn));
static void worker(const struct layer_task *in, int reply_fd)
{
    const int from[] = {reply_fd,        in->io_fd,      in->dir_fd,  in->diff_fd,
                        in->replaced_fd, in->headers_fd, in->list_fd, in->grow_fd};
    int high[N_ELEMENTS(from)];
    struct layer_task task = *in;
    static struct layer_reply reply;

    /* First out of the way of the numbers they shall get. Hostile bytes are not read beside a
     * descriptor that should not be there. */
    for (size_t i = 0; i < N_ELEMENTS(from); i++) {
        high[i] = from[i] >= 0 ? fcntl(from[i], F_DUPFD_CLOEXEC, W_END + 1) : -1;
        if (from[i] >= 0 && high[i] < 0)
            _exit(1);
    }
    for (size_t i = 0; i < N_ELEMENTS(from); i++)
        if (high[i] < 0)
            close(W_REPLY + (int)i);
        else if (dup3(high[i], W_REPLY + (int)i, O_CLOEXEC) < 0)
            _exit(1);
    sys_close_from(W_END, 0);
    task.io_fd = W_IO;
    task.dir_fd = W_DIR;
    task.diff_fd = in->diff_fd >= 0 ? W_DIFF : -1;
    task.replaced_fd = in->replaced_fd >= 0 ? W_REPLACED : -1;
    task.headers_fd = in->headers_fd >= 0 ? W_HEADERS : -1;
    task.list_fd = in->list_fd >= 0 ? W_LIST : -1;
    task.grow_fd = in->grow_fd >= 0 ? W_GROW : -1;
    switch (task.req->op) {
    case LAYER_OP_UNPACK:
        reply.r = unpack_run(&task, &reply.result, &reply.err);
        break;
    case LAYER_OP_REBUILD:
        reply.r = rebuild_run(&task, &reply.result, &reply.err);
        break;
    default:
        reply.r = pack_run(&task, &reply.result, &reply.err);
        break;
    }
    _exit(fs_write_all(W_REPLY, &reply, sizeof(reply)) == 0 ? 0 : 1);
}

/* Forks a worker and waits for its reply and its end. */
static void run_worker(const struct layer_task *task, struct layer_reply *reply)
{
    int sv[2] = {-1, -1}, fds[SOCK_MAX_FDS], status = 0;
    int r = sock_pair(sv, &reply->err);
    ssize_t n;
    pid_t self = getpid(), pid;

    reply->r = r;
    if (r < 0)
        return;
    pid = fork();
    if (pid < 0) {
        reply->r = err_set(&reply->err, errno, "fork");
        return;
    }
    if (pid == 0) {
        die_with(self);
        worker(task, sv[1]);
    }
    close(sv[1]);
    n = sock_recv(sv[0], reply, sizeof(*reply), fds);
    close(sv[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (n == (ssize_t)sizeof(*reply))
        return;
    memset(reply, 0, sizeof(*reply));
    reply->r = err_msg(&reply->err, EIO, "the unpacking process was ended by %s",
                       WIFSIGNALED(status) ? signal_name(WTERMSIG(status)) : "an error");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        err_hint(&reply->err, reply->r,
                 "it made a system call that it is not allowed: the image may be an attack, or "
                 "this is a bug worth reporting");
}

static int open_part(int dir_fd, const char *name, bool make, struct err *e)
{
    int flags = make ? O_WRONLY | O_CREAT | O_EXCL : O_RDONLY;
    int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC, 0644);

    return fd < 0 ? err_set(e, errno, "%s %s of the layer", make ? "create" : "open", name) : fd;
}

static int open_subdir(int dir_fd, const char *name, mode_t make_mode, struct err *e)
{
    int fd;

    if (make_mode && mkdirat(dir_fd, name, make_mode) < 0)
        return err_set(e, errno, "make directory %s of the layer", name);
    fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "open directory %s of the layer", name) : fd;
}

static const char *const made[] = {"diff", "replaced", "headers.zst", LAYER_IMPLIED};

static void do_unpack(struct layer_task *task, struct layer_reply *reply)
{
    scoped_fd int diff = -1, replaced = -1, headers = -1, implied = -1;
    struct err *e = &reply->err, ignored;

    umask(0);
    diff = reply->r = open_subdir(task->dir_fd, "diff", 0755, e);
    if (reply->r >= 0)
        replaced = reply->r = open_subdir(task->dir_fd, "replaced", 0700, e);
    if (reply->r >= 0 && task->req->keep_headers)
        headers = reply->r = open_part(task->dir_fd, "headers.zst", true, e);
    if (reply->r >= 0)
        implied = reply->r = open_part(task->dir_fd, LAYER_IMPLIED, true, e);
    if (reply->r < 0 && reply->err.errnum == EEXIST)
        return; /* not ours to clean up */
    if (reply->r >= 0) {
        /* A set-group-ID bit or group of the store's directory must not reach the layer. */
        if (fchown(diff, 0, 0) < 0 || fchmod(diff, 0755) < 0)
            reply->r = err_set(e, errno, "set up the layer directory");
    }
    if (reply->r >= 0) {
        task->diff_fd = diff;
        task->replaced_fd = replaced;
        task->headers_fd = headers;
        task->list_fd = implied;
        run_worker(task, reply);
    }
    if (reply->r >= 0 && !reply->result.implied)
        unlinkat(task->dir_fd, LAYER_IMPLIED, 0);
    if (reply->r >= 0 && !task->req->keep_headers)
        fs_remove_tree(task->dir_fd, "replaced", &ignored);
    else if (reply->r >= 0)
        unlinkat(task->dir_fd, "replaced", AT_REMOVEDIR); /* stays when it holds something */
    for (size_t i = 0; reply->r < 0 && i < N_ELEMENTS(made); i++)
        fs_remove_tree(task->dir_fd, made[i], &ignored);
}

static void do_rebuild(struct layer_task *task, struct layer_reply *reply)
{
    scoped_fd int diff = -1, replaced = -1, headers = -1;
    struct err ignored;

    headers = reply->r = open_part(task->dir_fd, "headers.zst", false, &reply->err);
    if (reply->r >= 0)
        diff = reply->r = open_subdir(task->dir_fd, "diff", 0, &reply->err);
    if (reply->r < 0)
        return;
    replaced = open_subdir(task->dir_fd, "replaced", 0, &ignored);
    task->diff_fd = diff;
    task->replaced_fd = replaced;
    task->headers_fd = headers;
    run_worker(task, reply);
}

static void minder(const struct layer_env *env, const struct layer_request *req,
                   int fds[SOCK_MAX_FDS]) __attribute__((noreturn));
static void minder(const struct layer_env *env, const struct layer_request *req,
                   int fds[SOCK_MAX_FDS])
{
    static struct layer_reply reply;
    struct layer_task task = {.req = req,
                              .env = env,
                              .io_fd = fds[1],
                              .dir_fd = fds[2],
                              .diff_fd = -1,
                              .replaced_fd = -1,
                              .headers_fd = -1,
                              .list_fd = req->with_list ? fds[3] : -1,
                              .grow_fd = req->grows ? fds[3] : -1};

    signal(SIGCHLD, SIG_DFL);
    switch (req->op) {
    case LAYER_OP_UNPACK:
        do_unpack(&task, &reply);
        break;
    case LAYER_OP_REBUILD:
        do_rebuild(&task, &reply);
        break;
    case LAYER_OP_PACK:
        run_worker(&task, &reply);
        break;
    default:
        reply.r = fs_remove_tree(fds[1], req->name, &reply.err);
        break;
    }
    if (reply.r > 0)
        reply.r = 0;
    _exit(sock_send(fds[0], &reply, sizeof(reply), NULL, 0) < 0);
}

/* Minders are waited for, though their reply tells all: so the time that they took counts as that
 * of the command, in time(1) and in limits. */
struct minders {
    pid_t pid[64];
    size_t n;
};

/* Takes those that have ended; with `all` it ends the others too. */
static void reap(struct minders *m, bool all)
{
    size_t left = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (all)
            kill(m->pid[i], SIGKILL); /* it has replied, or nobody waits for its reply */
        if (waitpid(m->pid[i], NULL, all ? 0 : WNOHANG) == 0)
            m->pid[left++] = m->pid[i];
    }
    m->n = left;
}

void keeper_main(const struct layer_env *env, int sock)
{
    static struct layer_request req;
    struct minders minders = {.n = 0};
    const pid_t self = getpid();
    int fds[SOCK_MAX_FDS];

    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        ssize_t n = sock_recv(sock, &req, sizeof(req), fds);
        pid_t pid = 0;
        if (n == -EINTR)
            continue;
        reap(&minders, n <= 0);
        if (n <= 0)
            _exit(0);
        if (minders.n == N_ELEMENTS(minders.pid)) /* wait for the oldest */
            (void)!waitpid(minders.pid[0], NULL, 0);
        if (n == (ssize_t)sizeof(req))
            pid = fork();
        if (pid > 0)
            minders.pid[minders.n == N_ELEMENTS(minders.pid) ? 0 : minders.n++] = pid;
        if (n == (ssize_t)sizeof(req) && pid == 0) {
            die_with(self);
            close(sock);
            minder(env, &req, fds);
        }
        /* A failed fork shows as a reply socket that closes without a reply. */
        for (size_t i = 0; i < SOCK_MAX_FDS; i++)
            fd_close(&fds[i]);
    }
}
