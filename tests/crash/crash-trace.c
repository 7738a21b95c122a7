/* crash-trace - runs a command as a user and kills a process of it at one system call.
 *
 *   crash-trace --log FILE [--uid N --gid N] [--attach PID]... [--tail MS] [--limit MS]
 *               [--kill self|group|all|PID|EXE --at ROLE:N | --meanwhile SHELL --at|--after ROLE:N]
 *               -- COMMAND...
 *
 * Follows the command, all its children, and processes that run already (--attach: a supervisor).
 * A ROLE is a place in the tree of processes: "m" is the command, "m.0" its first child, "m.0.1"
 * that one's second child; "a" is what was attached. N counts the calls of that process that change
 * something outside of it ("points"); calls that only look are none. The process is stopped before
 * it makes the call when the kill comes, and does not make it.
 *
 * Without --kill each point is written to the log: "point ROLE N SYSCALL EXE". With it "hit ROLE N
 * SYSCALL EXE" or "missed". Then all others are let go, and the end of the command is waited for:
 * "exit STATUS", "signal N", or "hang" (it is ended then). With --meanwhile nobody is killed: who
 * makes the call waits before it (--after: once it is made) while a shell command runs to its end
 * as the same user, for a second at most (it may wait for a lock that the other holds); its end is
 * "meanwhile STATUS", -1 when it comes later; that is waited for. --tail: how long others are
 * followed after the command's end. Root can follow programs that are setuid; others cannot. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_TASKS 512
#define ROLE_LEN 64
#define OPTIONS                                                                                    \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |      \
     PTRACE_O_TRACEEXEC)

struct task {
    pid_t pid; /* 0: free */
    char role[ROLE_LEN], exe[32];
    unsigned points, children;
    bool known, stopped; /* a child may stop before its parent tells of it */
};

static struct task tasks[MAX_TASKS];
static FILE *log_file;
static const char *kill_what, *at_role, *meanwhile;
static long uid = -1, gid = -1;
static unsigned at_n;
static bool after;              /* the call is made first */
static const struct task *held; /* it makes that call */
static bool finished;           /* the kill was done, or nothing is to come any more */
static pid_t main_pid;
static int main_status = -1;
static long tail_ms = 100, limit_ms = 20000;

static const struct {
    long nr;
    const char *name;
} points[] = {
#define P(n)                                                                                       \
    {                                                                                              \
        SYS_##n, #n                                                                                \
    }
    P(write),
    P(pwrite64),
    P(writev),
    P(sendmsg),
    P(sendto),
    P(sendfile),
    P(splice),
    P(copy_file_range),
    P(openat),
    P(openat2),
    P(mkdirat),
    P(renameat),
    P(renameat2),
    P(linkat),
    P(symlinkat),
    P(unlinkat),
    P(mknodat),
    P(fchmod),
    P(fchmodat),
    P(fchown),
    P(fchownat),
    P(ftruncate),
    P(fallocate),
    P(utimensat),
    P(setxattr),
    P(lsetxattr),
    P(fsetxattr),
    P(flock),
    P(mount),
    P(umount2),
    P(move_mount),
    P(open_tree),
    P(fsopen),
    P(fsconfig),
    P(fsmount),
    P(mount_setattr),
    P(pivot_root),
    P(chroot),
    P(clone),
    P(clone3),
    P(execve),
    P(execveat),
    P(setns),
    P(unshare),
    P(kill),
    P(tgkill),
    P(pidfd_send_signal),
    P(bind),
    P(listen),
    P(connect),
    P(accept4),
    P(setsid),
    P(syncfs),
    P(sethostname),
    P(exit_group),
#ifdef SYS_open
    P(open),
    P(mkdir),
    P(rename),
    P(link),
    P(symlink),
    P(unlink),
    P(rmdir),
    P(mknod),
    P(chmod),
    P(chown),
    P(lchown),
    P(fork),
    P(vfork),
#endif
#undef P
};

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vfprintf(log_file, format, ap);
    va_end(ap);
    fputc('\n', log_file);
}

static void die(const char *what)
{
    fprintf(stderr, "crash-trace: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct task *find(pid_t pid)
{
    for (size_t i = 0; i < MAX_TASKS; i++)
        if (tasks[i].pid == pid)
            return &tasks[i];
    return NULL;
}

static struct task *add(pid_t pid)
{
    struct task *t = find(pid);
    if (!t && (t = find(0)))
        *t = (struct task){.pid = pid};
    if (!t)
        die("too many processes");
    return t;
}

static void read_exe(struct task *t)
{
    char path[40], to[4096];
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)t->pid);
    ssize_t n = readlink(path, to, sizeof(to) - 1);
    to[n < 0 ? 0 : n] = '\0';
    char *base = strrchr(to, '/');
    base = base ? base + 1 : to;
    base[strcspn(base, " ")] = '\0';
    /* A program that has copied itself into memory: what it calls itself. */
    if (strncmp(base, "memfd:", 6) == 0)
        base += 6;
    snprintf(t->exe, sizeof(t->exe), "%.31s", *base ? base : "?");
}

static uint64_t peek(pid_t pid, uint64_t address)
{
    uint64_t v = 0;
    struct iovec ours = {&v, sizeof(v)}, theirs = {(void *)(uintptr_t)address, sizeof(v)};
    return process_vm_readv(pid, &ours, 1, &theirs, 1, 0) == sizeof(v) ? v : 0;
}

/* The name of a call that is a point, or NULL. */
static const char *point_name(pid_t pid, const struct __ptrace_syscall_info *s)
{
    const uint64_t *a = s->entry.args;
    long nr = (long)s->entry.nr;
    uint64_t writes = O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
        if (points[i].nr != nr)
            continue;
        if (nr == SYS_openat && !(a[2] & writes))
            return NULL;
        if (nr == SYS_openat2 && !(peek(pid, a[2]) & writes))
            return NULL;
#ifdef SYS_open
        if (nr == SYS_open && !(a[1] & writes))
            return NULL;
#endif
        return points[i].name;
    }
    return NULL;
}

static void kill_exe(const char *exe)
{
    for (size_t i = 0; i < MAX_TASKS; i++)
        if (tasks[i].pid && strcmp(tasks[i].exe, exe) == 0)
            kill(tasks[i].pid, SIGKILL);
}

static void do_kill(const struct task *t)
{
    if (strcmp(kill_what, "self") == 0)
        kill(t->pid, SIGKILL);
    else if (strcmp(kill_what, "group") == 0)
        kill(-main_pid, SIGKILL);
    else if (strcmp(kill_what, "all") == 0)
        for (size_t i = 0; i < MAX_TASKS; i++)
            if (tasks[i].pid)
                kill(tasks[i].pid, SIGKILL);
    if (kill_what[0] >= '0' && kill_what[0] <= '9')
        kill((pid_t)strtol(kill_what, NULL, 10), SIGKILL);
    else
        kill_exe(kill_what);
}

static void become_user(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (uid >= 0 && (setgroups(0, NULL) < 0 || setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid) < 0 ||
                     setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) < 0))
        _exit(126);
}

static int meanwhile_fd = -1;

/* Its end, if it comes in time. */
static bool meanwhile_ended(int wait_ms, const char *word)
{
    int status = 0;
    struct pollfd p = {.fd = meanwhile_fd, .events = POLLIN};
    if (meanwhile_fd < 0 || poll(&p, 1, wait_ms) != 1 ||
        read(meanwhile_fd, &status, sizeof(status)) <= 0)
        return false;
    say("%s %d", word, WIFEXITED(status) ? WEXITSTATUS(status) : 128);
    close(meanwhile_fd);
    meanwhile_fd = -1;
    return true;
}

/* The child of a child, so that follow() does not meet it; a pipe tells of its end. */
static void run_meanwhile(void)
{
    int end[2], status = -1;
    if (pipe2(end, O_CLOEXEC) < 0)
        die("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        pid_t shell = fork();
        if (shell == 0) {
            become_user();
            execl("/bin/sh", "sh", "-c", meanwhile, (char *)NULL);
            _exit(127);
        }
        waitpid(shell, &status, 0);
        _exit(write(end[1], &status, sizeof(status)) < 0);
    }
    close(end[1]);
    meanwhile_fd = end[0];
    if (!meanwhile_ended(1000, "meanwhile"))
        say("meanwhile -1");
}

static void let_all_go(void)
{
    finished = true;
    for (size_t i = 0; i < MAX_TASKS; i++)
        if (tasks[i].pid && ptrace(PTRACE_DETACH, tasks[i].pid, 0, 0) < 0)
            ptrace(PTRACE_INTERRUPT, tasks[i].pid, 0, 0); /* it goes when it stops */
}

/* A task is about to make a call. */
static void on_call(struct task *t)
{
    struct __ptrace_syscall_info s;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof(s), &s) < 0)
        return;
    if (held == t) {
        run_meanwhile();
        let_all_go();
    }
    if (held || s.op != PTRACE_SYSCALL_INFO_ENTRY)
        return;
    const char *name = *t->exe ? point_name(t->pid, &s) : NULL; /* not what stands above */
    if (!name)
        return;
    unsigned n = t->points++;
    if (!at_role)
        say("point %s %u %s %s", t->role, n, name, t->exe);
    if (!at_role || n != at_n || strcmp(t->role, at_role) != 0)
        return;
    say("hit %s %u %s %s", t->role, n, name, t->exe);
    held = after ? t : NULL;
    if (held)
        return;
    if (meanwhile)
        run_meanwhile();
    else
        do_kill(t);
    let_all_go();
}

static void resume(struct task *t, int sig)
{
    if (finished)
        ptrace(PTRACE_DETACH, t->pid, 0, sig);
    else
        ptrace(PTRACE_SYSCALL, t->pid, 0, sig);
}

static void on_child(struct task *parent)
{
    unsigned long pid = 0;
    ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &pid);
    struct task *child = add((pid_t)pid);
    if (child->known)
        return;
    child->known = true;
    memcpy(child->exe, parent->exe, sizeof(child->exe));
    snprintf(child->role, sizeof(child->role), "%.50s.%u", parent->role, parent->children++);
    if (child->stopped)
        resume(child, 0);
    child->stopped = false;
}

static void on_stop(pid_t pid, int status)
{
    struct task *t = add(pid);
    int sig = WSTOPSIG(status), event = status >> 16;
    if (!t->known && !finished) { /* its parent has not told of it yet */
        t->stopped = true;
        return;
    }
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE)
        on_child(t);
    else if (event == PTRACE_EVENT_EXEC)
        read_exe(t);
    else if (event == PTRACE_EVENT_STOP &&
             (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) && !finished) {
        ptrace(PTRACE_LISTEN, pid, 0, 0);
        return;
    } else if (sig == (SIGTRAP | 0x80) && !finished) {
        on_call(t);
        if (finished)
            return; /* gone, or let go */
    }
    resume(t, event || (sig & 0x80) ? 0 : sig);
}

/* One report of the kernel: false when there is none at present. */
static bool one_report(void)
{
    int status;
    pid_t pid = waitpid(-1, &status, __WALL | WNOHANG);
    if (pid <= 0)
        return false;
    if (WIFSTOPPED(status)) {
        on_stop(pid, status);
        return true;
    }
    if (pid == main_pid)
        main_status = status;
    struct task *t = find(pid);
    if (t)
        t->pid = 0;
    return true;
}

static bool nobody_left(void)
{
    for (size_t i = 0; i < MAX_TASKS; i++)
        if (tasks[i].pid)
            return false;
    return true;
}

static void follow(void)
{
    int64_t begin = now_ms(), tail_end = 0;
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    while (main_status < 0 || (!finished && !nobody_left())) {
        if (one_report())
            continue;
        if (main_status >= 0 && !tail_end)
            tail_end = now_ms() + tail_ms;
        if (tail_end && now_ms() > tail_end)
            break;
        if (now_ms() - begin > limit_ms) {
            say("hang");
            kill(-main_pid, SIGKILL);
            break;
        }
        sigtimedwait(&chld, NULL, &(struct timespec){.tv_nsec = 2000000});
    }
    if (at_role && !finished)
        say("missed");
    let_all_go();
    /* Those that were running stop now, to be let go. */
    for (int64_t end = now_ms() + 100; now_ms() < end && !nobody_left();)
        if (!one_report())
            sigtimedwait(&chld, NULL, &(struct timespec){.tv_nsec = 500000});
    if (main_status >= 0 && WIFSIGNALED(main_status))
        say("signal %d", WTERMSIG(main_status));
    else if (main_status >= 0)
        say("exit %d", WEXITSTATUS(main_status));
}

static void start(char **argv)
{
    main_pid = fork();
    if (main_pid < 0)
        die("fork");
    if (main_pid == 0) {
        setpgid(0, 0);
        raise(SIGSTOP);
        become_user();
        execvp(argv[0], argv);
        _exit(127);
    }
    int status;
    waitpid(main_pid, &status, WUNTRACED);
    struct task *t = add(main_pid);
    *t = (struct task){.pid = main_pid, .role = "m", .known = true};
    if (ptrace(PTRACE_SEIZE, main_pid, 0, OPTIONS) < 0)
        die("trace the command");
    kill(main_pid, SIGCONT);
}

static void attach(const char *text, unsigned n)
{
    struct task *t = add((pid_t)strtol(text, NULL, 10));
    t->known = true;
    snprintf(t->role, sizeof(t->role), n ? "a%u" : "a", n);
    read_exe(t);
    if (ptrace(PTRACE_SEIZE, t->pid, 0, OPTIONS) < 0)
        die("trace a process");
    ptrace(PTRACE_INTERRUPT, t->pid, 0, 0); /* a call that it waits in is not seen; the next is */
}

static void parse_at(char *text, bool once_made)
{
    after = once_made;
    char *colon = strrchr(text, ':');
    if (!colon)
        exit(2);
    *colon = '\0';
    at_role = text;
    at_n = (unsigned)strtoul(colon + 1, NULL, 10);
}

int main(int argc, char **argv)
{
    unsigned attached = 0;
    const char *log_path = "/dev/stderr", *attach_to[8];
    char **a = argv + 1;
    for (; argc > 1 && *a && strcmp(*a, "--") != 0; a += 2) {
        if (!a[1])
            exit(2);
        if (strcmp(*a, "--log") == 0)
            log_path = a[1];
        else if (strcmp(*a, "--uid") == 0)
            uid = strtol(a[1], NULL, 10);
        else if (strcmp(*a, "--gid") == 0)
            gid = strtol(a[1], NULL, 10);
        else if (strcmp(*a, "--tail") == 0)
            tail_ms = strtol(a[1], NULL, 10);
        else if (strcmp(*a, "--limit") == 0)
            limit_ms = strtol(a[1], NULL, 10);
        else if (strcmp(*a, "--kill") == 0)
            kill_what = a[1];
        else if (strcmp(*a, "--meanwhile") == 0)
            meanwhile = a[1];
        else if (strcmp(*a, "--at") == 0 || strcmp(*a, "--after") == 0)
            parse_at(a[1], strcmp(*a, "--after") == 0);
        else if (strcmp(*a, "--attach") == 0 && attached < 8)
            attach_to[attached++] = a[1];
        else
            exit(2);
    }
    if (!*a || !a[1] || !!kill_what + !!meanwhile != !!at_role)
        exit(2);
    log_file = fopen(log_path, "we");
    if (!log_file)
        die(log_path);
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    start(a + 1);
    for (unsigned i = 0; i < attached; i++)
        attach(attach_to[i], i);
    follow();
    if (meanwhile_fd >= 0 && !meanwhile_ended((int)limit_ms, "later"))
        say("hang");
    fclose(log_file);
    return 0;
}
