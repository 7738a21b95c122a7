/* From a prepared root to execve: who the payload is, what it holds, what it may do. Shared by the
 * init and by exec. The order matters: ids, then capabilities, then seccomp, then execve. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "engine/engine-priv.h"
#include "security/caps.h"
#include "security/limits.h"
#include "security/lsm.h"
#include "sys/clone.h"
#include "sys/procfs.h"

#define DEFAULT_UMASK 0022

void process_die_with_parent(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int process_session(struct start *s, struct err *e)
{
    (void)s;
    /* Nothing inside can push input to a terminal outside (TIOCSTI), nor is it hit by what a user
     * types at the caller's. Early, since the scheduler's new autogroup costs a place in the queue
     * on a busy machine. EPERM: we are the leader of one. */
    if (setsid() < 0 && errno != EPERM)
        return err_set(e, errno, "setsid");
    /* Handlers go at execve, but what the caller ignores (SIGPIPE, nohup's SIGHUP) would stay. By
     * the system call, as libc hides signals 32 and 33, which its posix_spawn leaves ignored
     * (whatever make starts has that). All members zero is SIG_DFL on every architecture. */
    struct {
        sighandler_t handler;
        unsigned long rest[4];
    } now, dfl = {.handler = SIG_DFL};
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        if (syscall(SYS_rt_sigaction, sig, NULL, &now, _NSIG / 8) == 0 && now.handler == SIG_IGN)
            syscall(SYS_rt_sigaction, sig, &dfl, NULL, _NSIG / 8);
    }
    return 0;
}

int process_keyring(struct start *s, struct err *e)
{
    (void)e;
    if (s->p->keep_keyring)
        return 0;
    /* A session keyring of its own: the caller's holds tickets and keys of the desktop. Not fatal:
     * kernels without keys, and a full quota; the seccomp profile refuses keyctl anyway. */
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
        log_debug("no session keyring of its own: errno %d", errno);
    return 0;
}

int process_user(struct start *s, struct err *e)
{
    scoped_strv char **groups = NULL;
    for (char *const *g = s->groups; g && *g; g++) {
        if (!streq(*g, "keep-groups"))
            strv_add(&groups, *g);
    }
    const struct user_request q = {
        .text = s->user_text,
        .groups = groups,
        .spec = &s->process->user,
        .want_home = !strv_env_get(s->process->env, "HOME"),
    };
    int r = user_resolve(s->root_fd, &q, &s->user, e);
    if (r < 0)
        return r;
    if (s->login)
        user_announce(s->root_fd, s->login, &s->user);
    /* The last of several values counts, as in crun and runc: programs would take the first. */
    s->env = strv_env_dup(s->process->env);
    if (s->p->listen_pid) {
        scoped_free char *pid = xasprintf("LISTEN_PID=%d", (int)getpid());
        strv_env_set(&s->env, pid);
    }
    if (q.want_home) {
        scoped_free char *home = xasprintf("HOME=%s", s->user.home ? s->user.home : "/");
        strv_env_set(&s->env, home);
    }
    return 0;
}

static int refuse_cwd(const char *cwd, int r, struct err *e)
{
    if (r == -ELOOP) /* a magic link of /proc, refused, or a directory that is not below "/" */
        r = err_msg(e, ELOOP, "working directory \"%s\" is outside the container", cwd);
    else
        r = err_set(e, -r, "working directory \"%s\"", cwd);
    return err_exit(e, r, EXIT_NOT_EXECUTABLE);
}

/* A working directory that the image names but does not hold is made, by the container's root and
 * inside the container's root (docker and podman do so, CVE-2026-55686 did it outside). */
int process_make_cwd(struct start *s, struct err *e)
{
    const char *cwd = s->process->cwd;
    if (!cwd || streq(cwd, "/"))
        return 0;
    scoped_fd int fd = path_mkdirs_in_root(s->root_fd, cwd, 0755, NULL);
    return fd < 0 ? refuse_cwd(cwd, fd, e) : 0;
}

int process_limits(struct start *s, struct err *e)
{
    return limits_apply(s->process->rlimits, s->process->n_rlimits, e);
}

int process_limit_files(struct start *s, struct err *e)
{
    return limits_apply_files(s->process->rlimits, s->process->n_rlimits, e);
}

int process_security_label(struct start *s, struct err *e)
{
    const char *apparmor = s->process->apparmor_profile, *selinux = s->process->selinux_label;
    if ((!apparmor || streq(apparmor, "unconfined")) && !selinux)
        return 0;
    scoped_fd int proc = procfs_open(e);
    return proc < 0 ? proc : lsm_set_exec_label(proc, apparmor, selinux, e);
}

/* A pipe that the engine's caller made belongs to its user: the payload, when it is somebody else,
 * could not open /dev/stdout again. Files and terminals of the user stay as they are. */
static void give_stdio(int fd, uid_t uid)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_uid != uid &&
        fchown(fd, uid, (gid_t)-1) < 0)
        log_debug("standard stream stays as it is: errno %d", errno);
}

static int connect_streams(struct start *s, struct err *e)
{
    int from[3];
    /* Moved above 2 first, so that no dup2 below overwrites a source that comes later. */
    for (int i = 0; i < 3; i++) {
        int fd = s->stdio[i] >= 0 ? s->stdio[i] : s->null_fd;
        from[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (from[i] < 0)
            return err_set(e, errno, "copy descriptor %d", fd);
    }
    for (int i = 0; i < 3; i++) {
        if (s->user.uid != 0)
            give_stdio(from[i], s->user.uid);
        if (dup2(from[i], i) < 0)
            return err_set(e, errno, "connect descriptor %d", i);
        close(from[i]);
    }
    return 0;
}

int process_stdio(struct start *s, struct err *e)
{
    if (!s->process->terminal)
        return connect_streams(s, e);
    /* fchown by root of the namespace that the slave's inode belongs to. */
    if (s->user.uid != 0 && fchown(s->console_slave, s->user.uid, (gid_t)-1) < 0)
        return err_set(e, errno, "give the terminal to user %u", s->user.uid);
    return console_attach(s->console_slave, e);
}

static int set_groups(struct start *s, struct err *e)
{
    if (s->keep_groups)
        return 0;
    if (s->no_setgroups) {
        if (s->user.n_groups > 0)
            log_debug("supplementary groups cannot be set: setgroups is denied here");
        return 0;
    }
    if (syscall(SYS_setgroups, s->user.n_groups, s->user.groups) == 0)
        return 0;
    if (errno != EINVAL)
        return err_set(e, errno, "set supplementary groups");
    return err_exit(e,
                    err_msg(e, EINVAL, "a supplementary group is not mapped in the user namespace"),
                    EXIT_NOT_EXECUTABLE);
}

static int not_mapped(const char *what, unsigned id, struct err *e)
{
    if (errno != EINVAL)
        return err_set(e, errno, "become %s %u", what, id);
    int r = err_msg(e, EINVAL, "%s %u is not mapped in the container's user namespace", what, id);
    err_hint(e, r, "\"rootlet info\" shows the range; /etc/subuid and /etc/subgid grant it");
    return err_exit(e, r, EXIT_NOT_EXECUTABLE);
}

/* seccomp(2) wants no_new_privs or CAP_SYS_ADMIN, and the filter is loaded after everything else.
 * So that capability stays until then. It never reaches the payload: execve computes the permitted
 * set anew, from the bounding and ambient sets, which are final here. capabilities(7) */
static struct spec_caps with_sys_admin(const struct spec_caps *c)
{
    struct spec_caps copy = *c;
    copy.effective = strv_dup(c->effective);
    copy.permitted = strv_dup(c->permitted);
    strv_add(&copy.effective, "CAP_SYS_ADMIN");
    strv_add(&copy.permitted, "CAP_SYS_ADMIN");
    return copy;
}

static char **both(char *const *a, char *const *b)
{
    char **found = NULL;
    for (; a && *a; a++)
        if (strv_has(b, *a))
            strv_add(&found, *a);
    return found;
}

/* Of an ordinary user's capabilities execve keeps the ambient ones. The others end here: they would
 * open and execute what this user may not, and no_new_privs would let file capabilities stand that
 * the process is permitted already. */
static struct spec_caps of_ordinary_user(const struct spec_caps *c)
{
    struct spec_caps copy = *c;
    copy.effective = both(c->effective, c->ambient);
    copy.permitted = both(c->permitted, c->ambient);
    return copy;
}

int process_identity(struct start *s, struct err *e)
{
    static const struct spec_caps nothing;
    const struct spec_caps *caps = s->process->capabilities ? s->process->capabilities : &nothing;
    int r = cap_apply_bounding(caps, e);
    if (r == 0)
        r = set_groups(s, e);
    if (r < 0)
        return r;
    if (syscall(SYS_setresgid, s->user.gid, s->user.gid, s->user.gid) < 0)
        return not_mapped("gid", s->user.gid, e);
    if (syscall(SYS_setresuid, s->user.uid, s->user.uid, s->user.uid) < 0)
        return not_mapped("uid", s->user.uid, e);
    process_die_with_parent(); /* the change of ids has cleared it */
    umask(s->process->user.has_umask ? (mode_t)s->process->user.umask : DEFAULT_UMASK);

    struct spec_caps fewer, wider;
    if (s->user.uid != 0) {
        fewer = of_ordinary_user(caps);
        caps = &fewer;
    }
    if (s->seccomp && !s->process->no_new_privileges) {
        wider = with_sys_admin(caps);
        caps = &wider;
    }
    return cap_apply_sets(caps, e);
}

int process_enter_cwd(struct start *s, struct err *e)
{
    const char *cwd = s->process->cwd ? s->process->cwd : "/";
    scoped_fd int fd = path_open_in_root(s->root_fd, cwd, O_PATH | O_DIRECTORY, 0, NULL);
    int r = fd;
    if (fd >= 0 && fchdir(fd) < 0)
        r = -errno;
    /* The raw call: libc's asks again when the kernel says "(unreachable)" (CVE-2024-21626). */
    char now[4096];
    if (r >= 0 && (syscall(SYS_getcwd, now, sizeof(now)) < 0 || now[0] != '/'))
        r = -ELOOP;
    return r < 0 ? refuse_cwd(cwd, r, e) : 0;
}

/* Clients of a runtime expect "create" to refuse a program that is not there. A startContainer hook
 * may still bring it. */
int process_look_for_command(struct start *s, struct err *e)
{
    const struct spec_hooks *h = s->spec->hooks;
    if (!s->p->start_listen || !s->process->args || (h && h->start_container.n > 0))
        return 0;
    scoped_free char *found = NULL;
    return command_find(s->process->args[0], s->env, &found, e);
}

int process_find_command(struct start *s, struct err *e)
{
    if (!s->process->args)
        return err_msg(e, EINVAL, "process: the configuration has none that could be started");
    return command_find(s->process->args[0], s->env, &s->command, e);
}

/* Everything but the filter and execve, since a filter may forbid these calls. */
static int last_preparations(struct start *s, struct err *e)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (unsigned i = 0; i < s->preserve_fds; i++) {
        if (fcntl((int)(3 + i), F_SETFD, 0) < 0)
            return err_set(e, errno, "preserve descriptor %u", 3 + i);
    }
    /* Whatever the caller had open without close-on-exec ends here (CVE-2024-21626). */
    int r = sys_close_from(3 + s->preserve_fds, 1);
    if (r < 0)
        return err_set(e, -r, "close descriptors");
    if (s->process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(e, errno, "set no_new_privs");
    /* The payload outlives its supervisor: an upgrade of rootlet must not stop a service. */
    if (!s->dies_with_us)
        prctl(PR_SET_PDEATHSIG, 0);
    return 0;
}

int process_seccomp(struct start *s, struct err *e)
{
    bool asks = s->seccomp && seccomp_wants_listener(s->seccomp);
    if (asks && !s->p->learn_dir && !agent_path(s->spec))
        return err_msg(e, EINVAL, "SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath");
    int r = last_preparations(s, e);
    if (r < 0 || !s->seccomp)
        return r;
    if (asks) {
        struct msg m = {.type = MSG_LISTENER};
        return why_load_and_send(s->seccomp, s->sock, &m, offsetof(struct msg, err), e);
    }
    return seccomp_prog_load(s->seccomp, e);
}

int process_exec(struct start *s, struct err *e)
{
    static char *const no_env[] = {NULL};
    execve(s->command, s->process->args, s->env ? s->env : no_env);
    return command_explain(s->process->args[0], s->command, errno, e);
}
