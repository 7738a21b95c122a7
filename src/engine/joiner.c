/* Namespaces that exist already. A helper process enters them, user namespace first, and clones the
 * init from there with CLONE_PARENT, so that the init is a child of the engine's caller. */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/str.h"
#include "engine/engine-priv.h"
#include "sys/clone.h"

static int add(struct start *s, int fd, uint64_t flag, const char *path, struct err *e)
{
    if (s->n_join >= NS_MAX) {
        close(fd);
        return err_msg(e, EINVAL, "more than %d namespaces by path", NS_MAX);
    }
    s->join[s->n_join++] = (struct ns_join){.fd = fd, .flag = flag, .path = path};
    s->join_userns |= flag == CLONE_NEWUSER;
    return 0;
}

static bool is_our(const char *file, int fd)
{
    struct stat theirs, ours;
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/ns/%s", file);
    return fstat(fd, &theirs) == 0 && stat(path, &ours) == 0 && theirs.st_dev == ours.st_dev &&
           theirs.st_ino == ours.st_ino;
}

/* To enter the user namespace that we are in is refused, setns(2); and what is in our own mount
 * namespace is the host's. Both are as if they had not been named. */
static bool stays(const char *type, int fd)
{
    return (streq(type, "user") || streq(type, "mount")) && is_our(sys_ns_file(type), fd);
}

int join_check(struct start *s, const struct spec_namespace *ns, struct err *e)
{
    scoped_fd int fd = open(ns->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set(e, errno, "open %s namespace %s", ns->type, ns->path);
    int type = 0;
    uint64_t want = sys_ns_flag(ns->type);
    if (sys_ns_type(fd, &type) < 0 || (uint64_t)(unsigned)type != want)
        return err_msg(e, EINVAL, "%s is not a namespace of type %s", ns->path, ns->type);
    if (stays(ns->type, fd))
        return 0;
    s->host_mounts &= want != CLONE_NEWNS;
    return add(s, take_fd(&fd), want, ns->path, e);
}

/* setns(2) needs CAP_SYS_ADMIN in the user namespace that owns what is entered: when that is not
 * ours it is entered first, and takes the place of a new one. */
int join_owner(struct start *s, struct err *e)
{
    if (s->p->userns_fd >= 0) {
        int fd = fcntl(s->p->userns_fd, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? err_set(e, errno, "copy the user namespace's descriptor")
                      : add(s, fd, CLONE_NEWUSER, "of the shared network", e);
    }
    bool named = s->join_userns;
    for (size_t i = 0; i < s->n_join; i++) {
        if (s->join[i].flag == CLONE_NEWUSER)
            continue;
        scoped_fd int owner = ioctl(s->join[i].fd, NS_GET_USERNS);
        s->join[i].ours = owner >= 0 && is_our("user", owner);
        if (named)
            continue;
        if (owner < 0)
            return err_hint(e, err_set(e, errno, "enter namespace %s", s->join[i].path),
                            "it belongs to a user namespace that is not this user's");
        if (!s->join[i].ours) {
            int r = add(s, take_fd(&owner), CLONE_NEWUSER, s->join[i].path, e);
            if (r < 0)
                return r;
            named = true;
        } else if (geteuid() != 0)
            return err_msg(e, EPERM, "namespace %s belongs to the host: only root can join it",
                           s->join[i].path);
    }
    return 0;
}

static int enter(const struct ns_join *j, struct err *e)
{
    if (setns(j->fd, (int)j->flag) < 0)
        return err_set(e, errno, "enter namespace %s", j->path);
    return 0;
}

int join_enter(struct start *s, struct err *e)
{
    int r = parent_oom_score(s, e); /* while our own /proc files are still ours to write */
    if (r < 0)
        return r;
    /* Processes of the namespaces we enter must not trace us, nor open our descriptors through
     * /proc (CVE-2016-9962). The init inherits it until its execve. */
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return err_set(e, errno, "make the process undumpable");
    /* Each while we have the capabilities that its owner wants: ours, the user namespace, its. */
    for (size_t i = 0; r == 0 && i < s->n_join; i++) {
        if (s->join[i].ours)
            r = enter(&s->join[i], e);
    }
    for (size_t i = 0; r == 0 && i < s->n_join; i++) {
        if (s->join[i].flag == CLONE_NEWUSER)
            r = enter(&s->join[i], e);
    }
    for (size_t i = 0; r == 0 && i < s->n_join; i++) {
        if (!s->join[i].ours && s->join[i].flag != CLONE_NEWUSER)
            r = enter(&s->join[i], e);
    }
    return r;
}

int join_clone(struct start *s, struct err *e)
{
    scoped_fd int pidfd = -1;
    uint64_t flags = s->new_flags & (CLONE_NEWUSER | CLONE_NEWPID);
    pid_t pid = parent_clone_into(s, flags | CLONE_PARENT, &pidfd);
    if (pid == 0)
        child_main(s);
    if (pid < 0)
        return flags & CLONE_NEWUSER ? userns_explain(-pid, e)
                                     : sys_clone_failed(-pid, "start a process", e);
    int r = msg_send(s->sock, s->in_cgroup ? MSG_PID : MSG_PID_OUT, pid, &pidfd, 1);
    if (r == 0)
        return 0;
    kill(pid, SIGKILL); /* not ours to reap; the engine's caller does when it sees our failure */
    return err_set(e, -r, "hand over the container's first process");
}

_Noreturn void joiner_main(struct start *s)
{
    struct err e = ERR_INIT;
    process_die_with_parent();
    int r = stages_run(s, SIDE_JOIN, &e);
    if (r < 0)
        msg_send_err(s->sock, &e);
    _exit(r < 0 ? EXIT_FAILED : 0);
}
