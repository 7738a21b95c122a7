/* The container's first process, from clone to CREATED: namespaces, root, mounts, console.
 *
 * It is a fork of the caller that never runs foreign code before execve. When the caller dies it
 * dies as well: by signal, or because the socket it waits on ends. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "engine/engine-priv.h"
#include "mounts/mounts.h"
#include "security/limits.h"
#include "sys/mountfd.h"
#include "sys/procfs.h"

#define KEEP_GROUPS_ANNOTATION "run.oci.keep_original_groups"

static int await(struct start *s, enum msg_type type)
{
    struct msg m;
    int r = msg_recv(s->sock, &m, NULL);
    if (r != 1 || m.type != (uint32_t)type)
        _exit(EXIT_FAILED); /* the parent is gone or gave up: there is nobody to tell */
    return 0;
}

_Noreturn void child_fail(struct start *s, int r, struct err *e)
{
    if (e->errnum <= 0)
        e->errnum = r < 0 ? -r : EIO;
    if (e->exit_status == 0)
        e->exit_status = EXIT_FAILED;
    msg_send_err(s->sock, e);
    _exit(e->exit_status);
}

_Noreturn void child_main(struct start *s)
{
    struct err e = ERR_INIT;
    process_die_with_parent();
    /* The caller's is for its own files: what a mount or a working directory lacks on its way is
     * for every user of the container. */
    umask(0022);
    int r = stages_run(s, SIDE_EARLY, &e);
    if (r >= 0)
        r = stages_run(s, SIDE_CHILD, &e);
    if (r >= 0) {
        detach_await_start(s);
        r = stages_run(s, SIDE_FINAL, &e);
    }
    child_fail(s, r, &e);
}

/* --- early: nothing here needs a mapped id, only the capabilities that the new user namespace
 * gives. It runs beside newuidmap and newgidmap. --- */

/* Offsets can be written only before a process has entered the namespace: hence unshare, which
 * moves children alone, then setns. time_namespaces(7) */
static int enter_time_namespace(struct start *s, struct err *e)
{
    if (!(s->new_flags & CLONE_NEWTIME))
        return 0;
    if (unshare(CLONE_NEWTIME) < 0)
        return err_set(e, errno, "unshare the time namespace");
    const char *clock;
    json_t *offset;
    scoped_str struct str text = STR_INIT;
    json_object_foreach(s->spec->linux_->time_offsets, clock, offset)
        str_addf(&text, "%s %lld %lld\n", clock,
                 (long long)json_integer_value(json_object_get(offset, "secs")),
                 (long long)json_integer_value(json_object_get(offset, "nanosecs")));
    scoped_fd int proc = procfs_open(e);
    if (proc < 0)
        return proc;
    int r = text.len > 0 ? procfs_write(proc, "self/timens_offsets", text.s, e) : 0;
    if (r < 0)
        return r;
    scoped_fd int ns = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWTIME) < 0)
        return err_set(e, errno, "enter the time namespace");
    return 0;
}

int child_unshare(struct start *s, struct err *e)
{
    s->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (s->null_fd < 0)
        return err_set(e, errno, "open /dev/null");
    uint64_t flags = s->new_flags & ~(uint64_t)(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWTIME);
    if (enters_cgroup(s))
        flags &=
            ~(uint64_t)CLONE_NEWCGROUP; /* its root is where we are, and we are not there yet */
    if (unshare((int)flags) < 0)
        return err_set(e, errno, "unshare");
    return enter_time_namespace(s, e);
}

int child_loopback(struct start *s, struct err *e)
{
    if (s->network)
        return s->network->inside && (s->new_flags & CLONE_NEWNET)
                   ? s->network->inside(s->p->network, e)
                   : 0;
    return s->new_flags & CLONE_NEWNET ? network_loopback_up(e) : 0;
}

int child_hostname(struct start *s, struct err *e)
{
    const char *host = s->spec->hostname, *domain = s->spec->domainname;
    if ((host || domain) && !s->own[OWN_UTS]) {
        log_debug("host name is left alone: the UTS namespace is not the container's own");
        return 0;
    }
    if (host && sethostname(host, strlen(host)) < 0)
        return err_set(e, errno, "set host name %s", host);
    if (domain && setdomainname(domain, strlen(domain)) < 0)
        return err_set(e, errno, "set domain name %s", domain);
    return 0;
}

int child_announce(struct start *s, struct err *e)
{
    if (!s->announces)
        return 0;
    /* Sent by us because the parent may not look: once our ids have changed, /proc/PID/ns is
     * closed to it. */
    scoped_fd int net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    scoped_fd int user = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    if (net < 0 || user < 0)
        return err_set(e, errno, "open our namespaces");
    int r = msg_send(s->sock, MSG_NAMESPACES, 0, (const int[]){net, user}, 2);
    return r < 0 ? err_set(e, -r, "send our namespaces") : 0;
}

/* --- as the container's root --- */

int child_await_maps(struct start *s, struct err *e)
{
    (void)e;
    return await(s, MSG_MAPPED);
}

/* MSG_MAPPED came after the parent had put us into our cgroup. */
int child_unshare_cgroup(struct start *s, struct err *e)
{
    if (!(s->new_flags & CLONE_NEWCGROUP) || !enters_cgroup(s))
        return 0;
    return unshare(CLONE_NEWCGROUP) < 0 ? err_set(e, errno, "unshare") : 0;
}

static bool setgroups_denied(void)
{
    scoped_free char *text = NULL;
    scoped_fd int proc = procfs_open(NULL);
    scoped_fd int fd = proc < 0 ? -1 : procfs_open_file(proc, "self/setgroups", O_RDONLY, NULL);
    return fd >= 0 && fs_read_fd(fd, 64, &text, NULL) > 0 && str_after(text, "deny");
}

int child_become_root(struct start *s, struct err *e)
{
    const struct spec_linux *l = s->spec->linux_;
    if (l && l->n_gid_mappings > 0)
        s->no_setgroups = l->n_gid_mappings == 1 && l->gid_mappings[0].size == 1;
    else
        s->no_setgroups = s->in_userns && setgroups_denied();
    s->keep_groups = streq(spec_annotation(s->spec, KEEP_GROUPS_ANNOTATION), "1") ||
                     strv_has(s->p->groups, "keep-groups");
    int r = userns_become_root(s->no_setgroups || s->keep_groups, e);
    process_die_with_parent();
    return r;
}

int child_await_go(struct start *s, struct err *e)
{
    int r = s->runtime_hooks ? msg_send(s->sock, MSG_MOUNTED, 0, NULL, 0) : 0;
    if (r < 0)
        return err_set(e, -r, "report");
    return s->announces || s->runtime_hooks ? await(s, MSG_GO) : 0;
}

int child_sysctls(struct start *s, struct err *e)
{
    char **v = s->spec->linux_->sysctl;
    for (size_t i = 0; v && v[i]; i++) {
        scoped_free char *key = xstrndup(v[i], strcspn(v[i], "="));
        int r = sysctl_check(key, s->own[OWN_NET], s->own[OWN_IPC], s->own[OWN_UTS], e);
        if (r < 0)
            return r;
    }
    return sysctl_apply(v, e);
}

/* The directory of root.path. */
static int open_root(struct start *s, struct err *e)
{
    if (!s->spec->root || !s->spec->root->path)
        return err_msg(e, EINVAL, "root.path: missing");
    const char *path = s->spec->root->path;
    scoped_free char *full =
        path[0] != '/' && s->p->bundle ? path_join(s->p->bundle, path) : xstrdup(path);
    fd_close(&s->root_at);
    s->root_at = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->root_at < 0)
        return err_set(e, errno, "root.path: open %s", full);
    return 0;
}

/* What the host's file system gives: opened while the ids are still the user's. Later they may be
 * those of somebody who cannot enter the user's directories (--userns auto, root of the host); and
 * now the parent is busy with the maps. */
static int open_sources(struct start *s, struct err *e)
{
    if (s->host_mounts)
        return open_root(s, e);
    if (!s->bind_fds)
        s->bind_fds = mounts_new_fds(s->spec);
    int r = mounts_open_sources(s->spec, s->p->bundle, s->bind_fds, e);
    if (r < 0)
        return r;
    if (s->p->root)
        return storage_open(s->p->root, &s->root_fds, e);
    r = open_root(s, e);
    if (r < 0)
        return r;
    /* A copy of the mount: pivot_root(2) wants a mount point, and a plain directory is none (A19).
     * Recursive, since what is mounted below was locked when we left the host's namespace. */
    s->root_mount = mountfd_clone(s->root_at, "", 1, e);
    return s->root_mount < 0 ? err_add(e, s->root_mount, "root.path") : 0;
}

int child_open_sources(struct start *s, struct err *e)
{
    int r = open_sources(s, e);
    s->sources_denied = r == -EACCES && s->make_userns;
    if (!s->sources_denied)
        return r;
    err_clear(e);
    return 0;
}

/* A directory on the way is somebody's whom the container has as an id: rootless podman gives that
 * of a container with a map of its own to the container's root. Now that the ids are mapped they
 * are no strangers, and the user's own directories are still open. */
int child_open_denied_sources(struct start *s, struct err *e)
{
    return s->sources_denied ? open_sources(s, e) : 0;
}

/* Not before the ids are mapped, though the user would be its owner then as well: the kernel tries
 * the overlay's work directory, whose mode is 0, and only a mapped root may enter that. */
int child_mount_root(struct start *s, struct err *e)
{
    if (!s->p->root)
        return 0;
    s->root_mount = storage_mount_opened(s->p->root, &s->root_fds, e);
    storage_fds_release(&s->root_fds);
    return s->root_mount < 0 ? s->root_mount : 0;
}

int child_mounts(struct start *s, struct err *e)
{
    if (s->host_mounts)
        return 0;
    s->mounts_env = (struct mounts_env){
        .root_mount = s->root_mount,
        .root_at = s->root_at,
        .no_pivot = s->p->no_pivot,
        .own_netns = s->own[OWN_NET],
        .own_pidns = s->own[OWN_PID],
        .own_ipcns = s->own[OWN_IPC],
        .in_userns = s->in_userns,
        .bind_fds = s->bind_fds,
        .idmapped = s->idmapped,
        .bundle = s->p->bundle,
    };
    int r = mounts_prepare(s->spec, &s->mounts_env, &s->mounts, e);
    mounts_close_fds(s->spec, s->bind_fds);
    s->bind_fds = NULL;
    return r;
}

int child_pivot(struct start *s, struct err *e)
{
    int r = s->host_mounts ? chroot_enter(s, e) : mounts_pivot(s->mounts, e);
    mounts_free(s->mounts);
    s->mounts = NULL;
    fd_close(&s->root_mount);
    fd_close(&s->root_at);
    if (r < 0)
        return r;
    /* From here on "/" is the container's, and this descriptor its proof against path games. */
    s->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return s->root_fd < 0 ? err_set(e, errno, "open the container's root") : 0;
}

int child_console(struct start *s, struct err *e)
{
    if (!s->process->terminal)
        return 0;
    scoped_fd int master = -1;
    int r = console_open(s->root_fd, &master, &s->console_slave, e);
    if (r == 0)
        r = console_bind(s->root_fd, s->console_slave, e);
    if (r == 0)
        r = console_set_size(master, s->process->console_size, e);
    if (r < 0)
        return r;
    r = msg_send(s->sock, MSG_CONSOLE, 0, &master, 1);
    return r < 0 ? err_set(e, -r, "send the terminal") : 0;
}

int child_created(struct start *s, struct err *e)
{
    /* It has no seccomp filter yet and holds the socket of its start: what exec puts beside it has
     * its ids and capabilities, and must not get hold of it. Until execve. */
    if (s->hidden && prctl(PR_SET_DUMPABLE, 0) < 0)
        return err_set(e, errno, "make the process undumpable");
    int r = s->p->start_listen ? detach_prepare(s, e) : 0;
    if (r < 0)
        return r;
    r = msg_send(s->sock, MSG_CREATED, 0, NULL, 0);
    return r < 0 ? err_set(e, -r, "report") : 0;
}
