/* tasks - the processes of a group: listed, stopped, signalled. */
#include <errno.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"

#define FREEZE_MS 10000

struct pids {
    pid_t *v;
    size_t n, alloc;
};

static void add_pid(struct pids *p, pid_t pid)
{
    if (p->n == p->alloc) {
        p->alloc = p->alloc ? p->alloc * 2 : 32;
        p->v = xrealloc(p->v, p->alloc * sizeof(*p->v));
    }
    p->v[p->n++] = pid;
}

static int add_group(int dir_fd, struct pids *p)
{
    scoped_free char *text = NULL;
    ssize_t n = cgroup_file_read(dir_fd, "cgroup.procs", &text);
    if (n == -EOPNOTSUPP || n == -ENODEV || n == -ENOENT)
        return 0; /* threaded: its processes are listed above it; or it has just gone */
    if (n < 0)
        return (int)n;
    for (char *s = text, *end; *s; s = end + (*end == '\n')) {
        long pid = strtol(s, &end, 10);
        if (end == s)
            break;
        if (pid > 0) /* 0: in no pid namespace that we see */
            add_pid(p, (pid_t)pid);
    }
    return 0;
}

static int visit_group(int parent_fd, const char *name, int fd, void *data)
{
    (void)parent_fd;
    (void)name;
    return add_group(fd, data);
}

static int compare(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

static int list(const struct cgroup *c, struct pids *p, struct err *e)
{
    int r = add_group(c->fd, p);
    if (r == 0)
        r = cgroup_each_below(c->fd, visit_group, p);
    if (r < 0)
        return err_set(e, -r, "list the processes of cgroup %s", c->path);
    if (p->n)
        qsort(p->v, p->n, sizeof(*p->v), compare);
    /* One that moved between two groups while we read is there twice. */
    size_t kept = 0;
    for (size_t i = 0; i < p->n; i++)
        if (i == 0 || p->v[i] != p->v[i - 1])
            p->v[kept++] = p->v[i];
    p->n = kept;
    return 0;
}

int cgroup_pids(const struct cgroup *c, pid_t **ret, size_t *ret_n, struct err *e)
{
    int r = cgroup_need(c, "the list of all processes", e);
    if (r < 0)
        return r;
    struct pids p = {0};
    r = list(c, &p, e);
    if (r < 0) {
        free(p.v);
        return r;
    }
    *ret = p.v;
    *ret_n = p.n;
    return 0;
}

bool cgroup_frozen(const struct cgroup *c)
{
    scoped_free char *text = NULL;
    return c && c->fd >= 0 && cgroup_file_read(c->fd, "cgroup.freeze", &text) >= 0 &&
           streq(text, "1");
}

/* Freezing ourselves would be for ever. */
static int check_not_inside(const struct cgroup *c, struct err *e)
{
    scoped_free char *own = NULL;
    const char *below = NULL;
    if (cgroup_of_process(0, &own, NULL) == 0)
        below = str_after(own, c->path);
    if (!below || (*below && *below != '/'))
        return 0;
    return err_msg(e, EDEADLK, "cgroup %s: we are in it ourselves", c->path);
}

int cgroup_freeze(struct cgroup *c, bool freeze, struct err *e)
{
    int r = cgroup_need(c, freeze ? "pause" : "resume", e);
    if (r == 0 && freeze)
        r = check_not_inside(c, e);
    if (r < 0)
        return r;
    const char *verb = freeze ? "freeze" : "thaw";
    r = cgroup_file_write(c->fd, "cgroup.freeze", freeze ? "1" : "0");
    if (r < 0)
        return err_set(e, -r, "%s cgroup %s", verb, c->path);
    r = cgroup_wait_event(c->fd, "frozen", freeze, FREEZE_MS);
    if (r == 0)
        return 0;
    if (freeze)
        cgroup_file_write(c->fd, "cgroup.freeze", "0");
    err_set(e, -r, "%s cgroup %s", verb, c->path);
    return err_hint(e, r,
                    freeze ? "a process in it cannot be stopped (uninterruptible sleep); it runs "
                             "on"
                           : "a group above it may be frozen");
}

/* Only if it is still of the group: the number may have been given to another process. */
static void signal_one(const struct cgroup *c, pid_t pid, int sig)
{
    scoped_fd int fd = pidfd_open_pid(pid);
    scoped_free char *where = NULL;
    if (fd < 0 || cgroup_of_process(pid, &where, NULL) < 0)
        return;
    const char *below = str_after(where, c->path);
    if (below && (*below == '\0' || *below == '/'))
        pidfd_signal(fd, sig);
}

static bool has_pid(const struct pids *p, pid_t pid)
{
    return p->n && bsearch(&pid, p->v, p->n, sizeof(pid), compare);
}

/* Again until there is nobody new; a group that forks faster than we look is bounded. */
static int signal_all(const struct cgroup *c, int sig, struct err *e)
{
    struct pids before = {0};
    int r = 0;
    bool fresh = true;
    for (int round = 0; fresh && round < 100 && r == 0; round++) {
        struct pids now = {0};
        fresh = false;
        r = list(c, &now, e);
        for (size_t i = 0; i < now.n && r == 0; i++) {
            if (has_pid(&before, now.v[i]))
                continue;
            signal_one(c, now.v[i], sig);
            fresh = true;
        }
        free(before.v);
        before = now;
    }
    free(before.v);
    return r;
}

int cgroup_kill(struct cgroup *c, int sig, struct err *e)
{
    int r = cgroup_need(c, "kill --all", e);
    if (r < 0)
        return r;
    if (sig == SIGKILL) {
        r = check_not_inside(c, e);
        if (r == 0)
            r = cgroup_file_write(c->fd, "cgroup.kill", "1");
        if (r == 0 || r == -EDEADLK)
            return r;
        if (r == -ENODEV || r == -ENOENT) {
            scoped_free char *text = NULL;
            ssize_t n = cgroup_file_read(c->fd, "cgroup.procs", &text);
            if (n == -ENODEV || n == -ENOENT)
                return 0; /* the group has gone */
        }
        /* Linux before 5.14, or threaded. */
    }
    return signal_all(c, sig, e);
}
