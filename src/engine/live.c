/* live - more mounts for a container that runs, and fewer. A helper takes the sources with the
 * caller's rights, from the caller's mounts, joins the container's namespaces and attaches them
 * there, descriptor to descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "engine/engine.h"
#include "mounts/mounts.h"
#include "sys/clone.h"
#include "sys/sock.h"
#include "userns/userns.h"

/* One change; the helper works on its copy. */
struct change {
    const struct engine_live *l;
    bool add;
    uint64_t flags;    /* namespaces of the container but for the user namespace */
    bool other_userns; /* the container's user namespace is not ours */
    bool idmapped;
    int *bind_fds, fds_dir;
    struct stat *sources; /* of what is to be removed; st_ino 0: not known */
};

struct result {
    int r;
    struct err e;
};

/* All or nothing: those before one that fails are taken away again. */
static int add_here(const struct change *ch, int root, struct err *e)
{
    const struct spec *all = ch->l->mounts;
    int r = 0;
    for (size_t i = 0; i < all->n_mounts; i++) {
        struct spec one = *all;
        one.mounts = &all->mounts[i];
        one.n_mounts = 1;
        const struct mounts_env env = {
            .root_mount = root,
            .root_at = -1,
            .own_netns = ch->flags & CLONE_NEWNET,
            .own_pidns = ch->flags & CLONE_NEWPID,
            .own_ipcns = ch->flags & CLONE_NEWIPC,
            .in_userns = ch->other_userns,
            .bind_fds = ch->bind_fds + i,
            .idmapped = ch->idmapped,
            .bundle = ch->l->bundle,
        };
        r = mounts_add(&one, &env, e);
        while (r < 0 && i-- > 0)
            (void)mounts_remove(ch->l->spec, root, ch->fds_dir, all->mounts[i].destination, NULL,
                                NULL);
        if (r < 0)
            break;
    }
    return r;
}

static int remove_here(const struct change *ch, int root, struct err *e)
{
    const struct spec *all = ch->l->mounts;
    int r = 0;
    for (size_t i = all->n_mounts; r == 0 && i-- > 0;)
        r = mounts_remove(ch->l->spec, root, ch->fds_dir, all->mounts[i].destination,
                          &ch->sources[i], e);
    return r;
}

/* As the caller sees them; one that is gone says nothing. */
static void look_at_sources(struct change *ch)
{
    const struct spec *all = ch->l->mounts;
    ch->sources = xcalloc(all->n_mounts + 1, sizeof(*ch->sources));
    for (size_t i = 0; ch->l->check_sources && i < all->n_mounts; i++) {
        const struct spec_mount *m = &all->mounts[i];
        if (streq(m->type, "bind") && m->source && stat(m->source, &ch->sources[i]) < 0)
            ch->sources[i] = (struct stat){.st_ino = 0};
    }
}

/* In the container's user namespace, but with mounts of our own: the sources are the host's, and
 * who may read them is the caller. Ids are mapped by root of the host, before. */
static int open_sources(struct change *ch, struct err *e)
{
    const struct spec *more = ch->l->mounts;
    ch->idmapped = ch->add && geteuid() == 0 && ch->other_userns && mounts_any_idmapped(more);
    if (ch->idmapped) {
        int r = mounts_open_idmapped(more, ch->l->bundle, ch->bind_fds, e);
        if (r < 0)
            return r;
    }
    if (ch->other_userns && setns(ch->l->pidfd, CLONE_NEWUSER) < 0)
        return err_set(e, errno, "join the container's user namespace");
    if (!ch->add)
        return 0;
    if (unshare(CLONE_NEWNS) < 0)
        return err_set(e, errno, "make a mount namespace");
    return mounts_open_sources(more, ch->l->bundle, ch->bind_fds, e);
}

/* The container's processes must neither trace us nor reach our descriptors (CVE-2016-9962). */
static int enter_and_run(struct change *ch, struct err *e)
{
    ch->fds_dir = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ch->fds_dir < 0)
        return err_set(e, errno, "open /proc/self/fd");
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return err_set(e, errno, "make the process undumpable");
    look_at_sources(ch);
    int r = open_sources(ch, e);
    if (r < 0)
        return r;
    if (setns(ch->l->pidfd, (int)ch->flags) < 0)
        return err_set(e, errno, "join the container's namespaces");
    r = ch->other_userns ? userns_become_root(false, e) : 0;
    if (r < 0)
        return r;
    scoped_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_set(e, errno, "open the container's root");
    return ch->add ? add_here(ch, root, e) : remove_here(ch, root, e);
}

_Noreturn static void helper(struct change *ch, int sock)
{
    struct result res = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    res.r = enter_and_run(ch, &res.e);
    _exit(sock_send(sock, &res, sizeof(res), NULL, 0) < 0 ? 1 : 0);
}

static int run_helper(struct change *ch, struct err *e)
{
    int pair[2];
    struct result res;
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int mine = pair[0], theirs = pair[1], pidfd = -1;
    pid_t pid = sys_clone(0, -1, &pidfd);
    if (pid == 0)
        helper(ch, theirs);
    if (pid < 0)
        return sys_clone_failed(-pid, "start a process", e);
    fd_close(&theirs);
    ssize_t n = sock_recv(mine, &res, sizeof(res), NULL);
    pidfd_wait(pidfd, NULL);
    if (n != (ssize_t)sizeof(res))
        return err_msg(e, EIO, "the process in the container ended early");
    if (res.r < 0 && e)
        *e = res.e;
    return res.r;
}

static int find_namespaces(struct change *ch, struct err *e)
{
    const struct spec_linux *l = ch->l->spec->linux_;
    char path[40];
    struct stat theirs, ours;
    for (size_t i = 0; l && i < l->n_namespaces; i++)
        ch->flags |= sys_ns_flag(l->namespaces[i].type);
    ch->flags &= ~(uint64_t)(CLONE_NEWUSER | CLONE_NEWTIME);
    if (!(ch->flags & CLONE_NEWNS))
        return err_msg(e, ENOTSUP, "the container has no mount namespace of its own");
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)ch->l->pid);
    if (stat(path, &theirs) < 0 || stat("/proc/self/ns/user", &ours) < 0)
        return err_set(e, errno, "look at the container's namespaces");
    ch->other_userns = theirs.st_ino != ours.st_ino;
    return 0;
}

static int change(const struct engine_live *l, bool add, struct err *e)
{
    struct change ch = {.l = l, .add = add, .fds_dir = -1};
    int r = find_namespaces(&ch, e);
    if (r < 0)
        return r;
    ch.bind_fds = mounts_new_fds(l->mounts);
    r = run_helper(&ch, e);
    mounts_close_fds(l->mounts, ch.bind_fds);
    return r;
}

int engine_mounts_add(const struct engine_live *l, struct err *e)
{
    return change(l, true, e);
}

int engine_mounts_remove(const struct engine_live *l, struct err *e)
{
    for (size_t i = 0; i < l->mounts->n_mounts; i++) {
        int r = mounts_check_removable(l->spec, l->mounts->mounts[i].destination, e);
        if (r < 0)
            return r;
    }
    return change(l, false, e);
}
