/* derive - what a state says, corrected by what is: the supervisor's lock, its start time, boot id.
 */
#include "container/container-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/proc.h"
#include "base/str.h"
#include "cgroup/session.h"
#include "container/client.h"
#include "container/hunt.h"
#include "network/run.h"

/* Exit code of a container whose end nobody saw. */
#define EXIT_UNKNOWN 255
#define KILLED "supervisor was killed"
#define REBOOTED "the host was restarted"
#define COPIED "its records were copied while it ran"
#define UNSUPERVISED                                                                               \
    "its supervisor was killed; \"rootlet start\" gives it another, as does any other command "    \
    "for it"
/* A killed process is gone within this, unless the kernel waits for a device. */
#define SURVIVOR_MS 10000
/* An ending supervisor is let be for so long before it is asked to finish. */
#define PATIENCE_MS 300
#define FINISH_MS 2000

bool ctr_process_alive(pid_t pid, uint64_t start)
{
    uint64_t now;
    if (pid <= 0 || proc_start_time(pid, &now) < 0 || now != start)
        return false;
    char path[40];
    scoped_free char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (fs_read(AT_FDCWD, path, 4096, &text, NULL) < 0)
        return false;
    /* "PID (COMM) S ...": the name may hold anything, so from the right. proc_pid_stat(5) */
    const char *p = strrchr(text, ')');
    return p && p[1] == ' ' && p[2] != 'Z' && p[2] != 'X';
}

/* The supervisor lives when its process does. If it is not to be seen it may still live in another
 * pid namespace: the lock knows, but looking at a lock disturbs who wants to take it, so it comes
 * second. */
static bool supervisor_alive(const struct conf *c, const struct ctr_state *s)
{
    if (ctr_process_alive(s->supervisor_pid, s->supervisor_start))
        return true;
    scoped_fd int run_fd = conf_open_run(c, s->id, false, NULL);
    return run_fd >= 0 && lock_held(run_fd, "lock") > 0;
}

/* Did the supervisor write a newer state while we looked at it? Then that one is in s. */
static bool state_moved_on(const struct conf *c, struct ctr_state *s)
{
    scoped_free char *path = xasprintf("containers/%s", s->id);
    scoped_fd int dir_fd = conf_open_root(c, path, false, NULL);
    struct ctr_state now;
    if (dir_fd < 0 || container_read_state(dir_fd, &now, NULL) < 0)
        return false;
    bool moved = !ctr_state_alive(&now) || now.supervisor_start != s->supervisor_start ||
                 now.supervisor_pid != s->supervisor_pid;
    if (!moved) {
        ctr_state_release(&now);
        return false;
    }
    ctr_state_release(s);
    *s = now;
    return true;
}

static void set_ended(struct ctr_state *s, const char *reason)
{
    /* Between two runs the last end is known. */
    if (s->status != CTR_RESTARTING) {
        s->exit_code = EXIT_UNKNOWN;
        s->signal = 0;
    }
    s->status = CTR_EXITED;
    s->unwritten = true;
    s->pid = s->supervisor_pid = 0;
    free(s->reason);
    s->reason = xstrdup(reason);
    /* When it ended is not known: not before this. */
    if (s->finished_ns < s->started_ns)
        s->finished_ns = s->started_ns;
}

static const char *ended_elsewhere(const struct ctr_state *s)
{
    return streq(s->boot_id, BOOT_OF_A_COPY) ? COPIED : REBOOTED;
}

/* The container goes on without anybody who looks after it. False: it has ended as well. */
static bool set_unsupervised(struct ctr_state *s)
{
    /* One that waits for its start ends with its creator. */
    if (s->status == CTR_RESTARTING || !ctr_process_alive(s->pid, s->pid_start))
        return false;
    if (s->status == CTR_STARTING)
        s->status = CTR_RUNNING;
    s->supervisor_pid = 0;
    free(s->reason);
    s->reason = xstrdup(UNSUPERVISED);
    return true;
}

static void without_supervisor(struct ctr_state *s)
{
    if (!set_unsupervised(s))
        set_ended(s, KILLED);
}

void derive_state(const struct conf *c, const char *boot_id, struct ctr_state *s)
{
    /* Once more when the first look was overtaken by a change. */
    for (int tries = 0; tries < 2 && ctr_state_alive(s); tries++) {
        /* Unknown (no descriptor free, say): start times and the lock tell enough. */
        if (boot_id[0] && !streq(s->boot_id, boot_id)) {
            set_ended(s, ended_elsewhere(s));
            return;
        }
        if (supervisor_alive(c, s))
            return;
        if (!state_moved_on(c, s)) {
            without_supervisor(s);
            return;
        }
    }
}

void container_derive(const struct conf *c, struct ctr_state *s)
{
    char boot_id[40] = "";
    if (!ctr_state_alive(s))
        return;
    (void)!proc_boot_id(boot_id);
    derive_state(c, boot_id, s);
}

void container_derive_locked(struct ctr_state *s)
{
    char boot_id[40] = "";
    if (!ctr_state_alive(s))
        return;
    (void)!proc_boot_id(boot_id);
    if (!boot_id[0] || streq(s->boot_id, boot_id))
        without_supervisor(s);
    else
        set_ended(s, ended_elsewhere(s));
}

void container_settle(const struct conf *c, struct container *ctr)
{
    struct ctr_state s;
    char boot_id[40] = "", code[24];
    if (container_read_state(ctr->dir_fd, &s, NULL) < 0)
        return;
    bool alive = ctr_state_alive(&s), told = s.status == CTR_RESTARTING;
    if (!alive) {
        ctr_state_release(&s);
        return;
    }
    (void)!proc_boot_id(boot_id);
    bool now = !boot_id[0] || streq(s.boot_id, boot_id);
    if (boot_id[0] && now)
        network_state_kill(s.network);
    set_ended(&s, now ? KILLED : ended_elsewhere(&s));
    s.unwritten = false;
    (void)!container_write_state(ctr->dir_fd, &s, NULL);
    ctr_state_release(&ctr->state);
    ctr->state = s;
    snprintf(code, sizeof(code), "exitCode=%d", s.exit_code);
    if (now && !told)
        container_event(c, &ctr->rec, "died", code);
}

void container_note_end(const struct conf *c, const struct ctr_state *s)
{
    scoped_container struct container ctr = {.dir_fd = -1};
    scoped_fd int lock_fd = s->unwritten ? container_lock_now(c, s->id) : -1;
    if (lock_fd < 0 || container_open_id(c, s->id, &ctr, NULL) < 0)
        return;
    container_derive_locked(&ctr.state);
    if (!ctr_state_alive(&ctr.state))
        container_settle(c, &ctr);
}

/* Whatever its group still holds: processes that forked away from the init, those of an exec. What
 * is around it a manager removes by itself; what we have made, we do. */
static int end_group(const struct ctr_state *s, struct err *e)
{
    scoped_cgroup struct cgroup *c = NULL;
    struct err why = ERR_INIT;
    if (!group_is_own(s))
        return 0;
    int r = cgroup_load(s->cgroup, &c, &why);
    if (r == 0)
        r = cgroup_destroy(c, &why);
    if (r == 0 && !json_object_get(s->cgroup, "unit"))
        cgroup_remove_session(cgroup_path(c));
    if (r == 0 || r == -ENOENT || r == -ENOTSUP)
        return 0;
    if (e)
        *e = why;
    return err_add(e, r, "end what is left of an earlier run");
}

/* What shares the host's processes does not end with its first one. */
static int find_userns(int dir_fd, const struct ctr_state *s, int pidfd)
{
    scoped_spec struct spec spec = {0};
    struct err ignored = ERR_INIT;
    if (json_is_object(s->cgroup) || container_read_spec(dir_fd, &spec, &ignored) < 0)
        return -1;
    return container_own_userns(&spec, s->pid, pidfd);
}

static int end_init(int dir_fd, const struct ctr_state *s, struct err *e)
{
    uint64_t start = 0;
    /* First the descriptor, then the look: what we signal is what we looked at. */
    scoped_fd int pidfd = pidfd_open_pid(s->pid);
    if (pidfd < 0 || proc_start_time(s->pid, &start) < 0 || start != s->pid_start)
        return 0;
    scoped_fd int userns_fd = find_userns(dir_fd, s, pidfd);
    int r = pidfd_signal(pidfd, SIGKILL);
    r = r == -ESRCH ? 1 : r == 0 ? pidfd_poll(pidfd, SURVIVOR_MS) : r;
    container_end_userns(userns_fd);
    if (r == 0)
        return err_msg(e, EBUSY, "process %d of an earlier run does not end", (int)s->pid);
    return r < 0 ? err_set(e, -r, "end process %d of an earlier run", (int)s->pid) : 0;
}

int container_end_survivor(int dir_fd, struct err *e)
{
    struct ctr_state s;
    char boot_id[40] = "";
    /* A state that cannot be read names no process. */
    if (container_read_state(dir_fd, &s, NULL) < 0)
        return 0;
    int r = 0;
    if (proc_boot_id(boot_id) < 0)
        r = err_msg(e, EIO, "the boot id cannot be read: does an earlier run live?");
    if (r == 0 && ctr_state_alive(&s) && s.pid > 0 && streq(s.boot_id, boot_id))
        r = end_init(dir_fd, &s, e);
    if (r == 0 && ctr_state_alive(&s) && streq(s.boot_id, boot_id))
        network_state_kill(s.network);
    if (r == 0 && json_is_object(s.cgroup) && streq(s.boot_id, boot_id))
        r = end_group(&s, e);
    ctr_state_release(&s);
    return r;
}

void container_end_supervisor(const struct ctr_state *s)
{
    uint64_t start = 0;
    scoped_fd int pidfd = s->supervisor_pid > 0 ? pidfd_open_pid(s->supervisor_pid) : -1;
    if (pidfd >= 0 && proc_start_time(s->supervisor_pid, &start) == 0 &&
        start == s->supervisor_start && pidfd_signal(pidfd, SIGKILL) == 0)
        (void)!pidfd_poll(pidfd, SURVIVOR_MS);
}

bool container_is_removed(const struct conf *c, const char *id)
{
    scoped_fd int containers_fd = conf_open_root(c, "containers", false, NULL);
    return containers_fd >= 0 && !entry_exists(containers_fd, id);
}

static int make_lock(const struct conf *c, const char *id, int wait_ms, struct err *e)
{
    char what[40];
    snprintf(what, sizeof(what), "container %.12s", id);
    /* Whoever removes a container removes its lock and the directory of it as well. */
    for (int tries = 0; tries < 100; tries++) {
        scoped_fd int run_fd = conf_open_run(c, id, true, e);
        if (run_fd < 0)
            return run_fd;
        int lock_fd = lock_take_of(run_fd, "lock", what, LOCK_EXCLUSIVE, wait_ms, e);
        if (lock_fd != -ENOENT) /* the directory went away between the two */
            return lock_fd;
    }
    return err_msg(e, EBUSY, "lock container %.12s: it is removed again and again", id);
}

/* Of one that was removed meanwhile the lock was made anew, and it goes with whoever made it. It is
 * not removed by anybody else while we have it. */
static int take_lock(const struct conf *c, const char *id, int wait_ms, struct err *e)
{
    scoped_fd int fd = make_lock(c, id, wait_ms, e);
    if (!container_is_removed(c, id))
        return take_fd(&fd);
    if (fd >= 0)
        container_remove_run(c, id);
    else
        sweep_lock(c, id); /* somebody has only looked whether it is held, and kept us from it */
    if (fd == -EWOULDBLOCK)
        return fd;
    err_clear(e);
    return err_msg(e, ENOENT, "no such container: \"%.12s\"", id);
}

/* Asks the holder of the lock to make an end, if the container has ended. False: it runs. */
static bool ask_to_finish(const struct conf *c, const char *id)
{
    scoped_fd int fd = client_connect(c, id, NULL);
    if (fd < 0)
        return true; /* a command holds it, or a supervisor that is just going */
    scoped_free struct proto_msg *m = xmalloc(sizeof(*m));
    int r = proto_send(fd, PROTO_FINISH, 0, 0, NULL, 0);
    /* It may be at work on a start and not answer. */
    if (r == 0 && pidfd_poll(fd, FINISH_MS) == 0)
        return false;
    r = r == -EPIPE || r == -ECONNRESET ? 0 : r;
    r = r == 0 ? client_wait(fd, PROTO_OK, m, NULL) : r;
    return r == 0 || r == -ECONNRESET || r == -ESHUTDOWN;
}

int container_lock_dir(const struct conf *c, const struct container *ctr, struct err *e)
{
    scoped_free char *what = xasprintf("container %s", ctr->rec.name);
    int r = lock_fd(ctr->dir_fd, LOCK_EXCLUSIVE, -1, what, e);
    if (r == 0 && container_is_removed(c, ctr->id))
        return err_msg(e, ENOENT, "it was removed meanwhile");
    return r;
}

int container_lock_wait(const struct conf *c, const char *id, int wait_ms, struct err *e)
{
    int first = wait_ms < PATIENCE_MS ? wait_ms : PATIENCE_MS;
    int r = take_lock(c, id, first, e);
    if (r != -EWOULDBLOCK || wait_ms <= PATIENCE_MS || !ask_to_finish(c, id))
        return r;
    return take_lock(c, id, wait_ms - first, e);
}

int container_lock_now(const struct conf *c, const char *id)
{
    return take_lock(c, id, 0, NULL);
}

int container_lock(const struct conf *c, const char *id, struct err *e)
{
    /* Not zero: who looks whether the lock is held takes it for a moment. */
    return container_lock_wait(c, id, 50, e);
}
