/* dir - directories of the cgroup hierarchy and their common files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"
#include "cgroup/cgroup.h"

#define FILE_MAX (4u << 20)

static int open_beneath(int dir_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    for (int tries = 0; tries < 64; tries++) {
        long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -errno;
}

int cgroup_root_open(struct err *e)
{
    scoped_fd int fd = open(CGROUP_MOUNT, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct statfs fs;
    if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
        return take_fd(&fd);
    return cgroup_refuse(e);
}

int cgroup_dir_open(int dir_fd, const char *path, struct err *e)
{
    path += strspn(path, "/");
    int fd = open_beneath(dir_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY);
    return fd >= 0 ? fd : err_set(e, -fd, "open cgroup /%s", path);
}

int cgroup_file_open(int dir_fd, const char *name, int flags)
{
    return open_beneath(dir_fd, name, flags);
}

ssize_t cgroup_file_read(int dir_fd, const char *name, char **ret)
{
    scoped_fd int fd = open_beneath(dir_fd, name, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t n = fs_read_fd(fd, FILE_MAX, ret, NULL);
    if (n > 0 && (*ret)[n - 1] == '\n')
        (*ret)[--n] = '\0';
    return n;
}

int cgroup_file_write(int dir_fd, const char *name, const char *text)
{
    scoped_fd int fd = open_beneath(dir_fd, name, O_WRONLY);
    if (fd < 0)
        return fd;
    ssize_t n;
    do
        n = write(fd, text, strlen(text));
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

char **cgroup_controllers(int dir_fd, const char *file)
{
    scoped_free char *text = NULL;
    if (cgroup_file_read(dir_fd, file, &text) < 0)
        return NULL;
    return strv_split(text, " \n", false);
}

/* Such a group cannot hand memory or io down. It could cpu and pids, but would become the root of
 * a threaded subtree by that, in which nobody can make an ordinary group any more. The root of the
 * hierarchy (it has no type) is exempt. */
static bool holds_processes(int dir_fd)
{
    scoped_fd int type = open_beneath(dir_fd, "cgroup.type", O_PATH);
    scoped_fd int procs = open_beneath(dir_fd, "cgroup.procs", O_RDONLY);
    char first;
    return type >= 0 && procs >= 0 && read(procs, &first, 1) == 1;
}

void cgroup_enable(int dir_fd, char *const *want, int *ret_errno)
{
    scoped_strv char **here = cgroup_controllers(dir_fd, "cgroup.controllers");
    scoped_strv char **on = cgroup_controllers(dir_fd, "cgroup.subtree_control");
    scoped_str struct str all = STR_INIT;
    scoped_strv char **each = NULL;
    int failed = 0;
    for (; want && *want; want++) {
        if (!strv_has(here, *want) || strv_has(on, *want))
            continue;
        str_addf(&all, "%s+%s", all.len ? " " : "", *want);
        strv_addf(&each, "+%s", *want);
    }
    if (each && holds_processes(dir_fd)) {
        failed = EBUSY;
    } else if (each && cgroup_file_write(dir_fd, "cgroup.subtree_control", all.s) < 0) {
        /* All or nothing: what one refuses another may take. */
        for (char **one = each; *one; one++) {
            int r = cgroup_file_write(dir_fd, "cgroup.subtree_control", *one);
            failed = r < 0 ? -r : failed;
        }
    }
    if (ret_errno)
        *ret_errno = failed;
}

int cgroup_of_process(pid_t pid, char **ret, struct err *e)
{
    char path[64] = "/proc/self/cgroup";
    if (pid > 0)
        snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, 64u << 10, &text, e);
    if (n < 0)
        return (int)n;
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        const char *group = str_after(line, "0::");
        if (group) {
            *ret = xstrdup(group);
            return 0;
        }
    }
    return err_msg(e, EPROTO, "%s has no cgroup v2 line", path);
}

int cgroup_check_path(const char *path, const char *what, struct err *e)
{
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_msg(e, EINVAL, "%s: control characters are not allowed", what);
    scoped_strv char **parts = strv_split(path, "/", false);
    for (char **p = parts; p && *p; p++) {
        if (streq(*p, ".") || streq(*p, ".."))
            return err_msg(e, EINVAL, "%s: \"%s\" is not allowed in \"%s\"", what, *p, path);
        if (strlen(*p) > NAME_MAX)
            return err_msg(e, EINVAL, "%s: a name in it is longer than %d bytes", what, NAME_MAX);
        if (str_after(*p, "cgroup."))
            return err_msg(e, EINVAL, "%s: names with \"cgroup.\" in front are the kernel's", what);
    }
    return 0;
}

int cgroup_add_process(int dir_fd, const char *dir_path, pid_t pid, struct err *e)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", (int)pid);
    int r = cgroup_file_write(dir_fd, "cgroup.procs", text);
    if (r == 0)
        return 0;
    err_set(e, -r, "put process %d into cgroup %s", (int)pid, dir_path);
    if (r == -EBUSY)
        err_hint(e, r, "it hands controllers to groups below it, and so holds no processes");
    else if (r == -EOPNOTSUPP)
        err_hint(e, r,
                 "a group above it is threaded or holds processes of its own: give the container a "
                 "cgroupsPath below a group without processes");
    else if (r == -EACCES || r == -EPERM)
        err_hint(e, r,
                 "we must be allowed to write cgroup.procs of the group that is above both it and "
                 "our own: start from a group that was delegated to us");
    return r;
}

int cgroup_evacuate(int dir_fd, const char *leaf, struct err *e)
{
    if (mkdirat(dir_fd, leaf, 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make cgroup %s", leaf);
    scoped_fd int leaf_fd = cgroup_dir_open(dir_fd, leaf, e);
    if (leaf_fd < 0)
        return leaf_fd;
    /* They fork while we look. */
    for (int rounds = 0; rounds < 20; rounds++) {
        scoped_free char *text = NULL;
        ssize_t n = cgroup_file_read(dir_fd, "cgroup.procs", &text);
        if (n <= 0)
            return n < 0 ? err_set(e, (int)-n, "list the processes of a cgroup") : 0;
        scoped_strv char **pids = strv_split(text, "\n", false);
        for (char **pid = pids; pid && *pid; pid++)
            (void)!cgroup_file_write(leaf_fd, "cgroup.procs", *pid);
    }
    return 0;
}

static int event_value(int fd, const char *key)
{
    char text[256];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    for (char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *rest = str_after(line, key);
        if (rest && *rest == ' ')
            return rest[1] - '0';
    }
    return -EPROTO;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int cgroup_wait_event(int dir_fd, const char *key, int value, int timeout_ms)
{
    scoped_fd int fd = open_beneath(dir_fd, "cgroup.events", O_RDONLY);
    if (fd < 0)
        return fd == -ENOENT ? -ENODEV : fd;
    int64_t end = now_ms() + timeout_ms;
    for (;;) {
        int is = event_value(fd, key);
        if (is < 0 || is == value)
            return is < 0 ? is : 0;
        int64_t left = end - now_ms();
        if (left <= 0)
            return -ETIMEDOUT;
        struct pollfd p = {.fd = fd, .events = POLLPRI};
        if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
            return -errno;
    }
}

/* Names of the groups in dir_fd: they may change while we look. */
static char **subgroups(int dir_fd)
{
    char **names = NULL;
    int fd = open_beneath(dir_fd, ".", O_RDONLY | O_DIRECTORY);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (entry->d_type == DT_DIR && !streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
            strv_add(&names, entry->d_name);
    return names;
}

/* A group on the way down: those in it, and how many of them have been entered. */
struct level {
    char **names;
    size_t entered;
};

/* A container may nest groups as deep as it likes: neither our stack nor our descriptors grow with
 * that. The way back is "..": a cgroup2 directory cannot be moved. */
int cgroup_each_below(int dir_fd, cgroup_visit visit, void *data)
{
    scoped_fd int here = open_beneath(dir_fd, ".", O_RDONLY | O_DIRECTORY);
    struct level *way = NULL;
    size_t depth = 0;
    int r = here < 0 ? here : 0;
    for (int next = here; r == 0;) {
        if (next >= 0) {
            way = xrealloc(way, (depth + 1) * sizeof(*way));
            way[depth++] = (struct level){.names = subgroups(next)};
        }
        struct level *l = &way[depth - 1];
        const char *name = l->names ? l->names[l->entered] : NULL;
        if (name) {
            l->entered++;
            next = open_beneath(here, name, O_RDONLY | O_DIRECTORY);
            if (next >= 0) { /* else it has just gone */
                close(here);
                here = next;
            }
            continue;
        }
        strv_free(l->names);
        if (--depth == 0)
            break;
        scoped_fd int group = take_fd(&here);
        here = openat(group, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        l = &way[depth - 1];
        r = here < 0 ? -errno : visit(here, l->names[l->entered - 1], group, data);
        next = -1;
    }
    while (depth > 0)
        strv_free(way[--depth].names);
    free(way);
    return r;
}

static int remove_one(int dir_fd, const char *name, int fd, void *data)
{
    (void)fd;
    (void)data;
    /* A process that has ended counts for a moment more. */
    for (int tries = 0; unlinkat(dir_fd, name, AT_REMOVEDIR) < 0; tries++) {
        if (errno == ENOENT)
            return 0;
        if (errno != EBUSY || tries == 100)
            return -errno;
        nanosleep(&(struct timespec){.tv_nsec = 1000000L << (tries < 4 ? tries : 4)}, NULL);
    }
    return 0;
}

int cgroup_remove_tree(int dir_fd, const char *name, struct err *e)
{
    scoped_fd int fd = open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY);
    if (fd == -ENOENT)
        return 0;
    int r = fd < 0 ? fd : cgroup_each_below(fd, remove_one, NULL);
    if (r == 0)
        r = remove_one(dir_fd, name, fd, NULL);
    return r < 0 ? err_set(e, -r, "remove cgroup %s", name) : 0;
}

void cgroup_remove_empty(int root_fd, const char *path, size_t count)
{
    scoped_free char *at = xstrdup(path);
    for (size_t i = 0; i <= count; i++) {
        char *name = strrchr(at, '/');
        if (!name || !name[1])
            return;
        *name++ = '\0';
        scoped_fd int fd = cgroup_dir_open(root_fd, at, NULL);
        if (fd < 0 || (unlinkat(fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT))
            return;
    }
}

/* Ours already, or an id that is not ours to give to or that our user namespace does not map. */
static bool cannot_give(int error)
{
    return (error == EPERM && geteuid() != 0) || error == EINVAL;
}

int cgroup_delegate(int dir_fd, uid_t owner, struct err *e)
{
    static const char *const files[] = {".", "cgroup.procs", "cgroup.subtree_control",
                                        "cgroup.threads"};
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        scoped_fd int fd = open_beneath(dir_fd, files[i], O_PATH);
        int r = fd;
        if (fd >= 0)
            r = fchownat(fd, "", owner, (gid_t)-1, AT_EMPTY_PATH) < 0 ? -errno : 0;
        if (r < 0 && cannot_give(-r))
            return 0;
        if (r < 0)
            return err_set(e, -r, "give %s of the cgroup to user %u", files[i], (unsigned)owner);
    }
    return 0;
}
