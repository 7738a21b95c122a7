/* The caller's side of a start: clone, id maps, network, hooks, and the wait for the init. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "engine/engine-priv.h"
#include "mounts/mounts.h"
#include "sys/clone.h"
#include "sys/netdev.h"
#include "sys/procfs.h"

static const struct {
    uint64_t flag;
    enum own own;
    const char *path;
} owned[] = {
    {CLONE_NEWNET, OWN_NET, "/proc/self/ns/net"},
    {CLONE_NEWPID, OWN_PID, "/proc/self/ns/pid"},
    {CLONE_NEWIPC, OWN_IPC, "/proc/self/ns/ipc"},
    {CLONE_NEWUTS, OWN_UTS, "/proc/self/ns/uts"},
    {CLONE_NEWCGROUP, OWN_CGROUP, "/proc/self/ns/cgroup"},
    {CLONE_NEWTIME, OWN_TIME, "/proc/self/ns/time"},
    {CLONE_NEWUSER, OWN_USER, "/proc/self/ns/user"},
};

/* A path may name the namespace that we are in ourselves: the host's. */
static bool is_other(const struct ns_join *j, const char *ours)
{
    struct stat a, b;
    return fstat(j->fd, &a) == 0 && stat(ours, &b) == 0 && a.st_ino != b.st_ino;
}

/* Whether the container's root may mount and set what belongs to a namespace: when it is new, or
 * came with the user namespace that we join, or with our own. */
static void find_owned(struct start *s)
{
    bool new_userns = s->new_flags & CLONE_NEWUSER;
    for (size_t i = 0; i < N_ELEMENTS(owned); i++) {
        s->own[owned[i].own] = s->new_flags & owned[i].flag;
        for (size_t j = 0; j < s->n_join && !new_userns; j++)
            s->own[owned[i].own] |= s->join[j].flag == owned[i].flag &&
                                    !(s->join_userns && s->join[j].ours) &&
                                    is_other(&s->join[j], owned[i].path);
    }
}

static int check_userns(struct start *s, struct err *e)
{
    bool initial = userns_is_initial();
    s->make_userns = s->new_flags & CLONE_NEWUSER;
    s->in_userns = s->make_userns || s->join_userns || !initial;
    if (s->make_userns || s->join_userns) {
        const struct spec_linux *l = s->spec->linux_;
        if (s->make_userns && (l->n_uid_mappings == 0 || l->n_gid_mappings == 0))
            return err_msg(e, EINVAL, "linux.uidMappings: a new user namespace needs mappings");
        return 0;
    }
    if (geteuid() != 0)
        return err_msg(e, EPERM, "without a user namespace of its own only root can start it");
    if (initial && !s->p->host_root)
        return err_hint(e, err_msg(e, EPERM, "it would run as root of the host"),
                        "give linux.namespaces an entry of type \"user\" with mappings");
    return 0;
}

int parent_open_namespaces(struct start *s, struct err *e)
{
    const struct spec_linux *l = s->spec->linux_;
    s->host_mounts = true;
    for (size_t i = 0; l && i < l->n_namespaces; i++) {
        const struct spec_namespace *ns = &l->namespaces[i];
        uint64_t flag = sys_ns_flag(ns->type);
        if (flag == 0)
            return err_msg(e, EINVAL, "linux.namespaces[%zu]: unknown type \"%s\"", i, ns->type);
        s->host_mounts &= ns->path || flag != CLONE_NEWNS;
        if (ns->path) {
            int r = join_check(s, ns, e);
            if (r < 0)
                return r;
        } else {
            s->new_flags |= flag;
        }
    }
    int r = s->host_mounts ? chroot_check(s, e) : 0;
    if (r == 0)
        r = join_owner(s, e);
    if (r < 0)
        return r;
    if (s->join_userns)
        s->new_flags &= ~(uint64_t)CLONE_NEWUSER;
    find_owned(s);
    s->announces = s->p->attach || json_object_size(s->spec->linux_->net_devices) > 0;
    s->runtime_hooks = hooks_any(s->spec, HOOK_PRESTART) || hooks_any(s->spec, HOOK_CREATE_RUNTIME);
    return check_userns(s, e);
}

void parent_close_namespaces(struct start *s)
{
    for (size_t i = 0; i < s->n_join; i++)
        fd_close(&s->join[i].fd);
    s->n_join = 0;
}

/* A descriptor of the caller's for the mount that has no source. */
static int take_shm(struct start *s, struct err *e)
{
    for (size_t i = 0; i < s->spec->n_mounts; i++) {
        if (!streq(s->spec->mounts[i].source, ENGINE_SHARED_SHM))
            continue;
        fd_close(&s->bind_fds[i]);
        s->bind_fds[i] = fcntl(*s->p->shm_fd, F_DUPFD_CLOEXEC, 3);
        if (s->bind_fds[i] < 0)
            return err_set(e, errno, "copy the descriptor of /dev/shm");
    }
    return 0;
}

/* The container's root may not map the ids of the host's file systems: root of the host does. */
int parent_open_idmapped(struct start *s, struct err *e)
{
    if (s->p->shm_fd) {
        s->bind_fds = mounts_new_fds(s->spec);
        int r = take_shm(s, e);
        if (r < 0)
            return r;
    }
    if (geteuid() != 0 || !(s->make_userns || s->join_userns) || !mounts_any_idmapped(s->spec))
        return 0;
    if (!s->bind_fds)
        s->bind_fds = mounts_new_fds(s->spec);
    s->idmapped = true;
    return mounts_open_idmapped(s->spec, s->p->bundle, s->bind_fds, e);
}

void parent_close_idmapped(struct start *s)
{
    mounts_close_fds(s->spec, s->bind_fds);
    s->bind_fds = NULL;
}

/* The joiner's own end is awaited: after it nothing of the start is left but the init. An error of
 * the init can overtake the message with its pid, which is needed to reap it. */
static int receive_init(struct start *s, int joiner_pidfd, struct err *e)
{
    struct err told = ERR_INIT;
    int r = 1, status = 0;
    while (r == 1 && s->en->pid <= 0) {
        struct msg m;
        int fds[SOCK_MAX_FDS];
        r = msg_recv(s->sock, &m, fds);
        if (r == 1 && m.type == MSG_ERROR)
            told = m.err;
        if (r == 1 && (m.type == MSG_PID || m.type == MSG_PID_OUT)) {
            s->in_cgroup = m.type == MSG_PID;
            s->en->pid = m.value;
            s->en->pidfd = take_fd(&fds[0]);
        }
        for (size_t i = 0; r == 1 && i < SOCK_MAX_FDS; i++)
            fd_close(&fds[i]);
    }
    pidfd_wait(joiner_pidfd, &status);
    if (told.errnum > 0) {
        if (e)
            *e = told;
        return -told.errnum;
    }
    return s->en->pid > 0 ? 0
                          : err_msg(e, ECONNRESET, "the process that joins namespaces ended early");
}

/* Born where it belongs: to move a process later makes the kernel wait for all others. What forbids
 * it (a process that has entered a cgroup namespace, a limit of one process) may not forbid the
 * caller to move it. */
pid_t parent_clone_into(struct start *s, uint64_t flags, int *ret_pidfd)
{
    s->in_cgroup = s->cgroup_fd >= 0;
    pid_t pid = sys_clone(flags, s->cgroup_fd, ret_pidfd);
    if (pid >= 0 || !s->in_cgroup)
        return pid;
    s->in_cgroup = false;
    return sys_clone(flags, -1, ret_pidfd);
}

int parent_enter_cgroup(struct start *s, struct err *e)
{
    if (!enters_cgroup(s))
        return 0;
    struct cgroup **group = &s->en->p.cgroup;
    int r = *group ? 0 : s->p->await_cgroup(s->p->await_data, group, e);
    return r < 0 || !*group ? r : cgroup_enter(*group, s->en->pid, e);
}

int parent_clone(struct start *s, struct err *e)
{
    int pair[2];
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int theirs = pair[1], joiner = -1;
    s->sock = s->en->sock = pair[0];
    bool join = s->n_join > 0;
    /* The other namespaces are made by the init itself while its maps are written: a network
     * namespace alone takes the kernel half a millisecond. */
    uint64_t flags = join ? 0 : s->new_flags & (CLONE_NEWUSER | CLONE_NEWPID);
    pid_t pid = join ? sys_clone(0, -1, &joiner) : parent_clone_into(s, flags, &s->en->pidfd);
    if (pid == 0) {
        close(pair[0]);
        s->sock = pair[1];
        if (join)
            joiner_main(s);
        child_main(s);
    }
    if (pid < 0)
        return flags & CLONE_NEWUSER ? userns_explain(-pid, e)
                                     : sys_clone_failed(-pid, "start a process", e);
    fd_close(&theirs); /* before any wait: the end of the other side must be seen */
    if (join)
        return receive_init(s, joiner, e);
    s->en->pid = pid;
    return 0;
}

void parent_kill(struct start *s)
{
    engine_reap(s->en);
    fd_close(&s->en->sock);
}

/* Another's child cannot be waited for as long as it takes. */
#define REAP_MS 10000

void engine_reap(struct engine *en)
{
    int status;
    if (en->pidfd < 0 || en->reaped)
        return;
    /* -ESRCH and -ECHILD: the caller's loop has seen its end and taken the status already. */
    pidfd_signal(en->pidfd, SIGKILL);
    if (en->adopted)
        (void)!pidfd_poll(en->pidfd, REAP_MS);
    else
        pidfd_wait(en->pidfd, &status);
    en->reaped = true;
}

/* Run by the parent for a plain init, and by a joiner for itself (its init inherits it). */
int parent_oom_score(struct start *s, struct err *e)
{
    bool self = s->en->pid <= 0;
    if (!s->process->has_oom_score_adj || (!self && s->n_join > 0))
        return 0;
    scoped_fd int proc = procfs_open(e);
    if (proc < 0)
        return proc;
    char path[48] = "self/oom_score_adj", text[16];
    if (!self)
        snprintf(path, sizeof(path), "%d/oom_score_adj", s->en->pid);
    snprintf(text, sizeof(text), "%d", s->process->oom_score_adj);
    struct err refused = ERR_INIT;
    int r = procfs_write(proc, path, text, &refused);
    if (r == -EACCES || r == -EPERM) {
        /* Lowering it takes CAP_SYS_RESOURCE on the host: it stays what it is, as with podman. */
        log_debug("oom score stays as it is: %s", refused.msg);
        return 0;
    }
    if (r < 0 && e)
        *e = refused;
    return r;
}

static struct idmap map_of(const struct spec_id_map *v, size_t n)
{
    struct idmap m = {.v = xcalloc(n ? n : 1, sizeof(*m.v)), .n = n};
    for (size_t i = 0; i < n; i++)
        m.v[i] = (struct idmap_line){v[i].container_id, v[i].host_id, v[i].size};
    return m;
}

/* An init that fails while its maps are written makes newuidmap fail too, with a riddle for a
 * message: what the init itself says is the cause. */
static int prefer_childs_error(struct start *s, int r, struct err *e)
{
    struct pollfd pfd = {.fd = s->sock, .events = POLLIN};
    struct msg m;
    struct err theirs = ERR_INIT;
    if (poll(&pfd, 1, 0) != 1 || msg_recv(s->sock, &m, NULL) != 1 || m.type != MSG_ERROR)
        return r;
    theirs = m.err;
    if (e)
        *e = theirs;
    return theirs.errnum > 0 ? -theirs.errnum : r;
}

int parent_map_ids(struct start *s, struct err *e)
{
    if (!s->make_userns)
        return 0;
    const struct spec_linux *l = s->spec->linux_;
    SCOPED(userns_map_release)
    struct userns_map map = {
        .uid = map_of(l->uid_mappings, l->n_uid_mappings),
        .gid = map_of(l->gid_mappings, l->n_gid_mappings),
    };
    int r = userns_map_start(s->en->pid, &map, &s->mapping, e);
    return r < 0 ? prefer_childs_error(s, r, e) : 0;
}

void parent_stop_mapping(struct start *s)
{
    userns_map_finish(&s->mapping, NULL);
}

int parent_mapped(struct start *s, struct err *e)
{
    int r = userns_map_finish(&s->mapping, e);
    if (r == 0 && (r = msg_send(s->sock, MSG_MAPPED, 0, NULL, 0)) < 0)
        err_set(e, -r, "wake the container's first process");
    return r < 0 ? prefer_childs_error(s, r, e) : 0;
}

static int move_devices(struct start *s, int net_ns, struct err *e)
{
    const char *name;
    json_t *device;
    json_object_foreach(s->spec->linux_->net_devices, name, device)
    {
        const char *as = json_string_value(json_object_get(device, "name"));
        int r = netdev_move(name, as, net_ns, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int parent_attach(struct start *s, struct err *e)
{
    if (!s->announces)
        return 0;
    struct msg m;
    int fds[SOCK_MAX_FDS];
    int r = msg_expect(s->sock, MSG_NAMESPACES, &m, fds, e);
    if (r < 0)
        return r;
    struct network_target target = {fds[0], fds[1], s->en->pidfd, 0};
    if (s->p->attach)
        r = s->p->attach(s->p->attach_data, &target, e);
    if (r >= 0)
        r = move_devices(s, fds[0], e);
    for (size_t i = 0; i < SOCK_MAX_FDS; i++)
        fd_close(&fds[i]);
    return r;
}

int parent_hooks(struct start *s, struct err *e)
{
    /* Those of the init itself may run from now on. */
    s->en->hooks_begun |= hooks_any(s->spec, HOOK_CREATE_CONTAINER);
    if (!s->announces && !s->runtime_hooks)
        return 0;
    struct msg m;
    int r = s->runtime_hooks ? msg_expect(s->sock, MSG_MOUNTED, &m, NULL, e) : 0;
    s->en->hooks_begun |= s->runtime_hooks && r == 0;
    if (r == 0)
        r = hooks_run(s->p, HOOK_PRESTART, s->en->pid, e);
    if (r == 0)
        r = hooks_run(s->p, HOOK_CREATE_RUNTIME, s->en->pid, e);
    if (r < 0)
        return r;
    r = msg_send(s->sock, MSG_GO, 0, NULL, 0);
    return r < 0 ? prefer_childs_error(s, err_set(e, -r, "wake the init"), e) : 0;
}

/* It said nothing: something has killed it. */
static int child_gone(struct start *s, struct err *e)
{
    int status = 0;
    if (pidfd_wait(s->en->pidfd, &status) < 0 || !WIFSIGNALED(status))
        return err_msg(e, ECONNRESET, "the container's first process ended early");
    s->en->reaped = true;
    int r = err_msg(e, ECONNRESET, "the container's first process was killed by %s",
                    signal_name(WTERMSIG(status)));
    return WTERMSIG(status) == SIGKILL && s->p->cgroup
               ? err_hint(e, r, "the limit in linux.resources.memory may be too low to start it")
               : r;
}

int parent_await_created(struct start *s, struct err *e)
{
    for (;;) {
        struct msg m;
        int fds[SOCK_MAX_FDS];
        int r = msg_recv(s->sock, &m, fds);
        if (r == 1 && m.type == MSG_CONSOLE && s->en->console < 0) {
            s->en->console = fds[0];
            fds[0] = -1;
        }
        for (size_t i = 0; r > 0 && i < SOCK_MAX_FDS; i++)
            fd_close(&fds[i]);
        if (r < 0)
            return err_set(e, -r, "receive from the container's first process");
        if (r == 1 && m.type == MSG_CREATED)
            return 0;
        if (r == 1 && m.type == MSG_ERROR) {
            if (e)
                *e = m.err;
            return m.err.errnum > 0 ? -m.err.errnum : -EIO;
        }
        if (r == 0)
            return child_gone(s, e);
    }
}
