/* root - a child that sees the files of a container.
 *
 * Running: one short-lived process joins user and mount namespace and hands the root out as a
 * descriptor; the one that works joins the user namespace alone, so that "/proc" and every other
 * path that it names are the host's. Else: a new user namespace with the container's map, and a
 * mount namespace in which its storage is mounted; both end with the process. */
#include "container/root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "container/container-priv.h"
#include "mounts/mounts.h"
#include "sys/mountfd.h"
#include "sys/sock.h"

struct access {
    const struct container *ctr;
    unsigned flags;
    int (*fn)(int root_fd, void *data, struct err *e);
    void *data;
    /* running */
    int root, sock;
    /* not running */
    struct storage_root storage; /* borrowed members, but for layers */
    struct storage_fds fds;
    struct spec spec; /* its mounts are the binds that count, borrowed */
    int *bind_fds;
};

/* --- OF A RUNNING ONE --- */

/* In the container's mount namespace: what we name is the container's. Sends the root away. */
static int find_root(void *data, struct err *e)
{
    struct access *a = data;
    scoped_fd int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), alone = -1;
    if (top < 0)
        return err_set(e, errno, "open the container's root");
    if (!(a->flags & CTR_ROOT_MOUNTS)) {
        alone = mountfd_clone(top, "", false, e);
        /* What came into the namespace together with its root (--rootfs) is locked to it. */
        if (alone < 0 && alone != -EINVAL)
            return alone;
        err_clear(e);
    }
    int r = sock_send(a->sock, "r", 1, alone >= 0 ? &alone : &top, 1);
    return r < 0 ? err_set(e, -r, "hand over the container's root") : 0;
}

static int take_root(struct access *a, int pidfd, struct err *e)
{
    int pair[2], fds[SOCK_MAX_FDS];
    char byte;
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int mine = pair[0], theirs = pair[1];
    a->sock = theirs;
    r = userns_run_in(pidfd, CLONE_NEWNS, find_root, a, e);
    if (r < 0)
        return r;
    ssize_t n = sock_recv(mine, &byte, 1, fds);
    if (n != 1 || fds[0] < 0)
        return err_set(e, EPROTO, "receive the container's root");
    a->root = fds[0];
    return 0;
}

static int work(void *data, struct err *e)
{
    struct access *a = data;
    return a->fn(a->root, a->data, e);
}

static int run_joined(struct access *a, int pidfd, struct err *e)
{
    int r = take_root(a, pidfd, e);
    struct stat ours, theirs;
    /* A process that has not entered its root yet has the host's. */
    if (r == 0 && stat("/", &ours) == 0 && fstat(a->root, &theirs) == 0 &&
        ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
        r = err_msg(e, EBUSY, "it is being started");
    if (r == 0)
        r = userns_run_in(pidfd, 0, work, a, e);
    fd_close(&a->root);
    return r;
}

/* A pidfd of the container's first process when that runs, whether or not its supervisor does:
 * the state on disk names it, its start time proves it. -ESRCH: it does not run. */
static int find_init(const struct container *ctr)
{
    struct ctr_state s;
    char boot_id[40] = "";
    uint64_t start = 0;
    if (container_read_state(ctr->dir_fd, &s, NULL) < 0)
        return -ESRCH;
    (void)!proc_boot_id(boot_id);
    bool runs = (s.status == CTR_RUNNING || s.status == CTR_PAUSED) && s.pid > 0 &&
                streq(s.boot_id, boot_id);
    /* First the descriptor, then the look: what we join is what we looked at. */
    scoped_fd int pidfd = runs ? pidfd_open_pid(s.pid) : -1;
    bool same = pidfd >= 0 && proc_start_time(s.pid, &start) == 0 && start == s.pid_start &&
                pidfd_poll(pidfd, 0) == 0;
    ctr_state_release(&s);
    return same ? take_fd(&pidfd) : -ESRCH;
}

/* --- OF ONE THAT DOES NOT RUN --- */

static bool is_volume(const struct ctr_record *rec, const struct spec_mount *m)
{
    for (size_t i = 0; i < rec->n_volumes; i++)
        if (streq(rec->volumes[i].destination, m->destination))
            return true;
    return false;
}

/* Opens what is to be mounted, one by one: a source that is gone says nothing of the others. */
static int open_binds(struct access *a, struct err *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < a->spec.n_mounts; i++) {
        struct spec one = a->spec;
        struct err why = ERR_INIT;
        one.mounts = &a->spec.mounts[i];
        one.n_mounts = 1;
        r = mounts_open_sources(&one, NULL, &a->bind_fds[i], &why);
        if (r < 0 && !(a->flags & CTR_ROOT_WRITE)) {
            log_debug("left out: %s", why.msg);
            r = 0;
        } else if (r < 0 && e) {
            *e = why;
        }
    }
    return r;
}

static int open_storage(void *data, struct err *e)
{
    struct access *a = data;
    int r = mounts_isolate(e);
    if (r == 0 && a->spec.n_mounts)
        r = open_binds(a, e);
    return r == 0 ? storage_open(&a->storage, &a->fds, e) : r;
}

/* Those whose place is not there are no part of what can be read. */
static int mount_binds(struct access *a, int root, struct err *e)
{
    for (size_t i = 0; i < a->spec.n_mounts; i++) {
        struct spec one = a->spec;
        struct err why = ERR_INIT;
        if (a->bind_fds[i] < 0)
            continue;
        one.mounts = &a->spec.mounts[i];
        one.n_mounts = 1;
        const struct mounts_env env = {
            .root_mount = root, .root_at = -1, .in_userns = true, .bind_fds = &a->bind_fds[i]};
        int r = mounts_add(&one, &env, &why);
        if (r < 0 && (a->flags & CTR_ROOT_WRITE)) {
            if (e)
                *e = why;
            return r;
        }
        if (r < 0)
            log_debug("left out: %s", why.msg);
    }
    return 0;
}

/* Mounts can be put only on what is itself mounted: over "/", where nobody looks for it. */
static int attach_with_binds(struct access *a, int root, struct err *e)
{
    scoped_fd int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (host < 0)
        return err_set(e, errno, "open /");
    int r = mountfd_attach(root, host, e);
    return r < 0 ? r : mount_binds(a, root, e);
}

static int mount_and_work(void *data, struct err *e)
{
    struct access *a = data;
    bool closed = !(a->flags & CTR_ROOT_WRITE) || a->storage.readonly;
    scoped_fd int root = storage_mount_opened(&a->storage, &a->fds, e);
    storage_fds_release(&a->fds);
    int r = root < 0 ? root : 0;
    if (r == 0 && a->spec.n_mounts)
        r = attach_with_binds(a, root, e);
    /* Last: places of mounts may have to be made. */
    if (r == 0 && closed)
        r = mountfd_setattr(root, !(a->flags & CTR_ROOT_WRITE), MOUNT_ATTR_RDONLY, 0, 0, e);
    return r == 0 ? a->fn(root, a->data, e) : r;
}

/* The upper as the topmost of layers that nobody writes: what it holds shows, whiteouts too, and
 * work stays for who writes. */
static void read_only_storage(struct access *a)
{
    char **layers = NULL;
    if (!a->storage.upper)
        return;
    strv_add(&layers, a->storage.upper);
    for (char **l = a->storage.layers; l && *l; l++)
        strv_add(&layers, *l);
    a->storage.layers = layers;
    a->storage.upper = a->storage.work = NULL;
    a->storage.is_volatile = false;
}

static int choose_mounts(struct access *a, const struct spec *spec)
{
    a->spec = *spec;
    a->spec.n_mounts = 0;
    a->spec.mounts = xcalloc(spec->n_mounts + 1, sizeof(*a->spec.mounts));
    for (size_t i = 0; i < spec->n_mounts; i++) {
        const struct spec_mount *m = &spec->mounts[i];
        if (streq(m->type, "bind") && is_volume(&a->ctr->rec, m))
            a->spec.mounts[a->spec.n_mounts++] = *m;
    }
    a->bind_fds = mounts_new_fds(&a->spec);
    return 0;
}

static int run_mounted(struct access *a, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    scoped_spec struct spec spec = {0};
    if (!a->ctr->rec.storage.driver)
        return err_msg(e, EIO, "its records are damaged");
    int r = container_map(a->ctr->dir_fd, &map, e);
    if (r == 0 && (a->flags & CTR_ROOT_MOUNTS)) {
        r = container_read_spec(a->ctr->dir_fd, &spec, e);
        if (r == 0)
            r = choose_mounts(a, &spec);
    }
    if (r < 0)
        return r;
    a->storage = a->ctr->rec.storage;
    if (!(a->flags & CTR_ROOT_WRITE))
        read_only_storage(a);
    scoped_storage_server struct storage_server server = STORAGE_SERVER_INIT;
    a->storage.server = &server;
    r = storage_serve(&a->storage, false, &server, e);
    if (r == 0)
        r = userns_run_early(&map, CLONE_NEWNS, open_storage, mount_and_work, a, e);
    if (a->storage.layers != a->ctr->rec.storage.layers)
        strv_free(a->storage.layers);
    free(a->spec.mounts);
    free(a->bind_fds);
    a->storage.server = NULL;
    return r;
}

/* Without an interval in which it could start: nobody starts what we have locked. */
static int run_locked(const struct conf *c, struct access *a, struct err *e)
{
    scoped_fd int lock = container_lock(c, a->ctr->id, e);
    scoped_fd int pidfd = find_init(a->ctr); /* it may have begun to run just now */
    if (pidfd >= 0) {
        err_clear(e);
        fd_close(&lock);
        return run_joined(a, pidfd, e);
    }
    if (lock == -EWOULDBLOCK)
        return err_msg(e, EBUSY, "it is being started, ended or changed by another command");
    return lock < 0 ? lock : run_mounted(a, e);
}

int container_root_run(const struct conf *c, const struct container *ctr, unsigned flags,
                       int (*fn)(int root_fd, void *data, struct err *e), void *data, struct err *e)
{
    struct access a = {.ctr = ctr,
                       .flags = flags,
                       .fn = fn,
                       .data = data,
                       .root = -1,
                       .sock = -1,
                       .fds = STORAGE_FDS_INIT};
    scoped_fd int pidfd = find_init(ctr);
    if (pidfd >= 0)
        return run_joined(&a, pidfd, e);
    return flags & CTR_ROOT_WRITE ? run_locked(c, &a, e) : run_mounted(&a, e);
}
