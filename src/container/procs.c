/* procs - see procs.h. All of it is read below the descriptor of /proc/PID: when the process ends
 * its number may be another's, the descriptor leads nowhere. */
#include "container/procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "container/container-priv.h"

#define ARGS_MAX (16u << 10)
#define FILE_MAX (64u << 10)
#define LABEL_MAX 4096

/* Who is one of them. */
struct search {
    const struct container *c;
    int proc_fd;
    const char *file; /* namespace that tells, "ns/pid"; NULL: it is known by number */
    struct stat ns;
    size_t depth; /* of the container's pid namespace, below ours */
    struct ctr_procs *found;
};

void container_procs_release(struct ctr_procs *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->v[i].groups);
        free(p->v[i].args);
        free(p->v[i].label);
    }
    free(p->v);
    userns_map_release(&p->map);
    *p = (struct ctr_procs){0};
}

/* What stands behind "Name:\t" in a status file; NULL. */
static const char *field(const char *status, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = status; p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, name, n) == 0 && p[n] == ':')
            return p + n + 1 + strspn(p + n + 1, "\t ");
    }
    return NULL;
}

/* Number i of a line of numbers; -1: it has fewer. */
static int64_t nth(const char *line, size_t i)
{
    for (size_t k = 0; line; k++) {
        line += strspn(line, "\t ");
        if (*line < '0' || *line > '9')
            return -1;
        if (k == i)
            return strtoll(line, NULL, 10);
        line += strcspn(line, "\t \n");
    }
    return -1;
}

static uint64_t number(const char *status, const char *name, int base)
{
    const char *value = field(status, name);
    return value ? strtoull(value, NULL, base) : 0;
}

/* The numbers of stat(5) behind the name, which may hold anything. 3 is the state. */
static bool parse_stat(const char *text, struct ctr_proc *p)
{
    const char *at = strrchr(text, ')');
    unsigned long utime, stime;
    unsigned long long start;
    int ppid, nice, tty;
    if (!at || sscanf(at + 1,
                      " %c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %d %*d %*d "
                      "%llu",
                      &p->state, &ppid, &tty, &utime, &stime, &nice, &start) != 7)
        return false;
    p->host_ppid = ppid;
    p->tty = (unsigned)tty;
    p->nice = nice;
    p->cpu_ticks = (uint64_t)utime + stime;
    p->start_ticks = start;
    const char *open = strchr(text, '(');
    size_t n = open && open < at ? (size_t)(at - open - 1) : 0;
    n = n < sizeof(p->comm) - 1 ? n : sizeof(p->comm) - 1;
    memcpy(p->comm, open ? open + 1 : "", n);
    p->comm[n] = '\0';
    return true;
}

static void parse_status(const char *text, size_t depth, struct ctr_proc *p)
{
    static const char *const caps[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    const char *uid = field(text, "Uid"), *gid = field(text, "Gid");
    const char *groups = field(text, "Groups");
    int64_t inside = nth(field(text, "NSpid"), depth), group = nth(field(text, "NSpgid"), depth);
    p->pid = (pid_t)(inside > 0 ? inside : 0);
    p->pgid = (pid_t)(group > 0 ? group : 0);
    p->ruid = (uint32_t)nth(uid, 0);
    p->uid = (uint32_t)nth(uid, 1);
    p->rgid = (uint32_t)nth(gid, 0);
    p->gid = (uint32_t)nth(gid, 1);
    p->groups = xstrndup(groups ? groups : "", groups ? strcspn(groups, "\n") : 0);
    for (size_t i = 0; i < N_ELEMENTS(caps); i++)
        p->caps[i] = number(text, caps[i], 16);
    p->seccomp = (int)number(text, "Seccomp", 10);
    p->vsz = number(text, "VmSize", 10);
    p->rss = number(text, "VmRSS", 10);
}

/* So much of a file as max; owned. What cannot be read is empty. */
static char *read_some(int dir, const char *name, size_t max, size_t *ret_n)
{
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    char *text = xmalloc(max + 1);
    size_t n = 0;
    ssize_t got = 1;
    while (fd >= 0 && n < max && (got = read(fd, text + n, max - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    if (ret_n)
        *ret_n = n;
    return text;
}

static void read_args(int dir, struct ctr_proc *p)
{
    size_t n;
    p->args = read_some(dir, "cmdline", ARGS_MAX, &n);
    while (n > 0 && p->args[n - 1] == '\0')
        n--;
    for (size_t i = 0; i < n; i++)
        if (p->args[i] == '\0')
            p->args[i] = ' ';
    if (n > 0)
        return;
    free(p->args);
    p->args = xasprintf("[%s]", p->comm);
}

/* What is seen of one, -ESRCH when it has gone. */
static int read_one(int dir, size_t depth, struct ctr_proc *p)
{
    scoped_free char *stat_text = read_some(dir, "stat", 4096, NULL);
    scoped_free char *status = read_some(dir, "status", FILE_MAX, NULL);
    if (!*status || !parse_stat(stat_text, p))
        return -ESRCH;
    parse_status(status, depth, p);
    read_args(dir, p);
    p->label = read_some(dir, "attr/current", LABEL_MAX, NULL);
    p->label[strcspn(p->label, "\n")] = '\0';
    return 0;
}

static void add_one(const struct search *s, pid_t pid)
{
    char name[16];
    struct stat st;
    snprintf(name, sizeof(name), "%d", (int)pid);
    scoped_fd int dir = openat(s->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || (s->file && (fstatat(dir, s->file, &st, 0) < 0 || st.st_ino != s->ns.st_ino ||
                                st.st_dev != s->ns.st_dev)))
        return;
    struct ctr_proc p = {.host_pid = pid};
    if (read_one(dir, s->depth, &p) < 0 || p.pid == 0) {
        free(p.groups);
        free(p.args);
        free(p.label);
        return;
    }
    struct ctr_procs *all = s->found;
    all->v = xrealloc(all->v, (all->n + 1) * sizeof(*all->v));
    all->v[all->n++] = p;
}

/* Lines "INSIDE OUTSIDE COUNT", the middle as we see it. user_namespaces(7) */
static void read_map(int dir, const char *file, struct idmap *ret)
{
    scoped_free char *text = read_some(dir, file, FILE_MAX, NULL);
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **l = lines; l && *l; l++) {
        int64_t v[3];
        for (size_t i = 0; i < N_ELEMENTS(v); i++)
            v[i] = nth(*l, i);
        if (v[2] < 0)
            return;
        ret->v = xrealloc(ret->v, (ret->n + 1) * sizeof(*ret->v));
        ret->v[ret->n++] = (struct idmap_line){(uint32_t)v[0], (uint32_t)v[1], (uint32_t)v[2]};
    }
}

static int find_init(struct search *s, pid_t *ret_inside, struct err *e)
{
    char name[32];
    struct ctr_proc init = {0};
    const struct ctr_state *state = &s->c->state;
    if (state->status != CTR_RUNNING && state->status != CTR_PAUSED)
        return err_msg(e, ESRCH, "it is not running (%s)", ctr_status_names[state->status]);
    snprintf(name, sizeof(name), "%d", (int)state->pid);
    scoped_fd int dir = openat(s->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    scoped_free char *stat_text = read_some(dir, "stat", 4096, NULL);
    scoped_free char *status = read_some(dir, "status", FILE_MAX, NULL);
    if (dir < 0 || !parse_stat(stat_text, &init) || init.start_ticks != state->pid_start)
        return err_msg(e, ESRCH, "the container's first process has just ended");
    const char *numbers = field(status, "NSpid");
    while (nth(numbers, s->depth + 1) >= 0)
        s->depth++;
    *ret_inside = (pid_t)nth(numbers, s->depth);
    s->file = *ret_inside == 1 ? "ns/pid" : "ns/mnt";
    if (fstatat(dir, s->file, &s->ns, 0) < 0)
        return err_set(e, errno, "look at the container's namespaces");
    read_map(dir, "uid_map", &s->found->map.uid);
    read_map(dir, "gid_map", &s->found->map.gid);
    return 0;
}

static int by_cgroup(struct search *s, struct err *e)
{
    scoped_cgroup struct cgroup *group = NULL;
    scoped_free pid_t *pids = NULL;
    size_t n = 0;
    int r = container_cgroup(s->c, &group, e);
    if (r == 0)
        r = cgroup_pids(group, &pids, &n, e);
    s->file = NULL;
    for (size_t i = 0; r == 0 && i < n; i++)
        add_one(s, pids[i]);
    return r;
}

static int by_namespace(struct search *s, struct err *e)
{
    int copy = openat(s->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *ent;
    uint32_t pid;
    if (!d) {
        int r = err_set(e, errno, "list /proc");
        fd_close(&copy);
        return r;
    }
    while ((ent = readdir(d)))
        if (parse_u32(ent->d_name, &pid) == 0)
            add_one(s, (pid_t)pid);
    return 0;
}

static int by_pid(const void *a, const void *b)
{
    const struct ctr_proc *left = a, *right = b;
    return (left->pid > right->pid) - (left->pid < right->pid);
}

/* Of the number that the host has for it to the one inside. */
static void set_parents(struct ctr_procs *all)
{
    for (size_t i = 0; i < all->n; i++)
        for (size_t k = 0; k < all->n; k++)
            if (all->v[k].host_pid == all->v[i].host_ppid)
                all->v[i].ppid = all->v[k].pid;
}

int container_procs(const struct container *c, struct ctr_procs *ret, struct err *e)
{
    struct ctr_procs found = {0};
    struct search s = {.c = c, .found = &found};
    struct err none = ERR_INIT;
    pid_t inside;
    scoped_fd int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0)
        return err_set(e, errno, "open /proc");
    s.proc_fd = proc_fd;
    int r = find_init(&s, &inside, e);
    const char *file = s.file;
    if (r == 0 && (by_cgroup(&s, &none) < 0 || !found.n)) {
        s.file = file;
        r = by_namespace(&s, e);
    }
    if (r < 0) {
        container_procs_release(&found);
        return r;
    }
    set_parents(&found);
    if (found.n)
        qsort(found.v, found.n, sizeof(*found.v), by_pid);
    *ret = found;
    return 0;
}
