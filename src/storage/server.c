/* server - the process behind a root file system that the kernel asks a program for (FUSE).
 *
 * It runs in a user namespace with the store's map, outside the container's namespaces. The
 * descriptor of /dev/fuse was opened in those of the container, so the kernel speaks with it in the
 * container's ids: a layer's file of id 5 is shown as the container's 5 whatever the two maps say,
 * and nothing is shifted or copied for another map.
 *
 * It ends when the file system is unmounted, which the kernel sees to when the last process of the
 * container has ended, whoever was killed before. So nobody has to take it over. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "storage/storage-priv.h"
#include "sys/clone.h"
#include "sys/sock.h"

#define PROGRAM "fuse-overlayfs"
#define END_MS 5000

static int open_keep(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY); /* kept for the program, so not close-on-exec */
    if (fd < 0)
        dprintf(2, PROGRAM ": %s: %s\n", path, strerror(errno));
    return fd;
}

/* By descriptors, since ':' and ',' in a path would end it. */
static int add_dir(struct str *out, const char *before, const char *path, int confined)
{
    int fd = open_keep(path);
    if (fd < 0)
        return fd;
    str_addf(out, "%s/proc/self/fd/%d", before, fd);
    int r = confine_allow(confined, fd, *before == ',');
    if (r < 0)
        dprintf(2, PROGRAM ": confine it to %s: %s\n", path, strerror(errno));
    return r;
}

static int make_options(const struct storage_root *r, int confined, struct str *out)
{
    for (size_t i = 0; r->layers[i]; i++)
        if (add_dir(out, i ? ":" : "lowerdir=", r->layers[i], confined) < 0)
            return -1;
    if (r->upper && (add_dir(out, ",upperdir=", r->upper, confined) < 0 ||
                     add_dir(out, ",workdir=", r->work ? r->work : "", confined) < 0))
        return -1;
    if (r->upper && r->is_volatile)
        str_add(out, ",volatile");
    return 0;
}

/* What it needs to act as the owner of all files; nothing else comes back with its execve. */
static void drop_capabilities(void)
{
    static const uint64_t keep = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
                                 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER | 1u << CAP_FSETID |
                                 1u << CAP_MKNOD | 1u << CAP_SETFCAP;
    for (unsigned cap = 0; cap <= 63; cap++)
        if (!(keep >> cap & 1))
            (void)!prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void prepare_process(int log_fd)
{
    sigset_t none;
    struct rlimit no_core = {0, 0};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sys_close_from(3, 1);
    dup2(null, 0);
    dup2(null, 1);
    dup2(log_fd, 2);
    setsid(); /* a ^C is for the container */
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &no_core);
    umask(0);
}

static void run_program(const struct storage_root *r, int fuse_fd) __attribute__((noreturn));
static void run_program(const struct storage_root *r, int fuse_fd)
{
    static const char *const dirs[] = {"/usr/local/bin/", "/usr/bin/", "/bin/", "/usr/local/sbin/",
                                       "/usr/sbin/"};
    char target[32], *const env[] = {(char *)"PATH=/usr/bin:/bin", (char *)"LANG=C", NULL};
    scoped_str struct str options = STR_INIT;
    int confined = confine_begin();
    if (make_options(r, confined, &options) < 0 || chdir("/") < 0)
        _exit(1);
    snprintf(target, sizeof(target), "/dev/fd/%d", fuse_fd);
    fcntl(fuse_fd, F_SETFD, 0);
    char *const argv[] = {(char *)PROGRAM, (char *)"-f", (char *)"-o", options.s, target, NULL};
    drop_capabilities();
    if (confine_end(confined) < 0) {
        dprintf(2, PROGRAM ": confine it: %s\n", strerror(errno));
        _exit(1);
    }
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s" PROGRAM, dirs[i]);
        execve(path, argv, env);
        if (errno != ENOENT)
            break;
    }
    dprintf(2, PROGRAM ": %s\n", errno == ENOENT ? "it is not installed" : strerror(errno));
    _exit(127);
}

/* "g": the ids are mapped; "m" comes with /dev/fuse and the file for messages. */
static void serve(const struct storage_root *r, int sock, bool single) __attribute__((noreturn));
static void serve(const struct storage_root *r, int sock, bool single)
{
    char byte;
    int fds[SOCK_MAX_FDS];
    if (sock_recv(sock, &byte, 1, fds) != 1 || userns_become_root(single, NULL) < 0 ||
        sock_recv(sock, &byte, 1, fds) != 1 || fds[0] < 0 || fds[1] < 0)
        _exit(1); /* nobody wants it any more */
    prepare_process(fds[1]);
    run_program(r, fds[0]);
}

static int parse_map(char *const *lines, struct idmap *ret)
{
    ret->n = strv_len(lines);
    ret->v = xcalloc(ret->n + 1, sizeof(*ret->v));
    for (size_t i = 0; i < ret->n; i++)
        if (sscanf(lines[i], "%u %u %u", &ret->v[i].inside, &ret->v[i].outside, &ret->v[i].count) !=
            3)
            return -EINVAL;
    return ret->n ? 0 : -EINVAL;
}

void storage_note_map(const struct userns_map *map, struct storage_root *r)
{
    for (size_t i = 0; i < map->uid.n; i++)
        strv_addf(&r->uid_map, "%u %u %u", map->uid.v[i].inside, map->uid.v[i].outside,
                  map->uid.v[i].count);
    for (size_t i = 0; i < map->gid.n; i++)
        strv_addf(&r->gid_map, "%u %u %u", map->gid.v[i].inside, map->gid.v[i].outside,
                  map->gid.v[i].count);
}

static int read_map(const struct storage_root *r, struct userns_map *ret, struct err *e)
{
    if (parse_map(r->uid_map, &ret->uid) < 0 || parse_map(r->gid_map, &ret->gid) < 0)
        return err_msg(e, EIO, "the records of its storage are damaged (uidMap, gidMap)");
    ret->single = ret->uid.n == 1 && ret->uid.v[0].count == 1;
    return 0;
}

bool storage_is_served(const struct storage_root *r)
{
    return r->driver && streq(r->driver, storage_fuse.name);
}

/* here: this user namespace has the store's map already. */
static int start(const struct storage_root *r, const struct userns_map *map, bool here,
                 struct storage_server *s, struct err *e)
{
    int sv[2], q = sock_pair(sv, e);
    if (q < 0)
        return q;
    s->sock = sv[0];
    scoped_fd int theirs = sv[1];
    uint64_t flags = CLONE_NEWNET | CLONE_NEWIPC | (here ? 0 : CLONE_NEWUSER);
    s->pid = sys_clone(flags, -1, &s->pidfd);
    if (s->pid < 0)
        return userns_explain((int)-s->pid, e);
    if (s->pid == 0) {
        fd_close(&s->sock);
        serve(r, theirs, here || map->single);
    }
    q = here ? 0 : userns_map_write(s->pid, s->pidfd, map, e);
    return q < 0 ? q : sock_send(s->sock, "g", 1, NULL, 0);
}

int storage_serve(const struct storage_root *r, bool here, struct storage_server *ret,
                  struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    struct storage_server s = {.pidfd = -1, .sock = -1};
    if (!storage_is_served(r))
        return 0;
    int q = here ? 0 : read_map(r, &map, e);
    if (q == 0)
        q = start(r, &map, here, &s, e);
    if (q < 0) {
        storage_server_end(&s);
        return err_add(e, q, "start " PROGRAM);
    }
    *ret = s;
    return 0;
}

void storage_server_mounted(struct storage_server *s)
{
    fd_close(&s->sock);
}

void storage_server_end(struct storage_server *s)
{
    fd_close(&s->sock);
    if (s->pidfd >= 0) {
        if (pidfd_poll(s->pidfd, END_MS) <= 0) {
            log_debug(PROGRAM " has to be killed");
            pidfd_signal(s->pidfd, SIGKILL);
        }
        pidfd_wait(s->pidfd, NULL);
    }
    fd_close(&s->pidfd);
    s->pid = 0;
}
