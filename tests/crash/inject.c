/* inject - lets one system call of a command and of all that it starts fail.
 *
 *   inject -o LOG [-u UID:GID] [-p PID]... [-r ROLE -c CALL -n K -e ERRNO] -- COMMAND...
 *
 * Only programs whose name begins with "rootlet" are looked at: not what a container runs, nor
 * newuidmap. ROLE is the name of the program, CALL a number, and the K-th of these calls by any
 * process of that role fails by ERRNO. Then everything runs on untraced. Without
 * -r the calls are counted only, and LOG says "ROLE CALL COUNT". With it LOG says what was hit.
 *
 * -p traces processes that run already (the supervisor of a container that is to be stopped).
 *
 * The tracer is no parent: it is root, so that newuidmap keeps its rights (ptrace(2): a program
 * that is traced by somebody without CAP_SYS_PTRACE gets none), and its end ends the tracing. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define TASKS 4096
#define ROLES 8
#define CALLS 512
#define ROLE_LEN 32
/* Above the kernel's numbers. */
#define CREATES 510
#define WRITES_OUTPUT 509
#define DUPLICATES 508
#define OPTIONS                                                                                    \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |      \
     PTRACE_O_TRACEEXEC)

static struct {
    const char *log, *role;
    int uid, gid;
    long call, k, error;
    pid_t pids[16];
    int n_pids;
} opt = {.uid = -1, .gid = -1};

struct task {
    pid_t pid;
    struct user_regs_struct regs; /* at the entry of the call that is hit */
    int role;                     /* index into roles; -1: not looked at; -2: not known yet */
    bool hit;                     /* this call is to answer with the error */
};
static struct task tasks[TASKS];
static char roles[ROLES][ROLE_LEN];
static unsigned counts[ROLES][CALLS];

static void die(const char *what)
{
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    exit(99);
}

static struct task *task_of(pid_t pid)
{
    struct task *empty = NULL;
    for (struct task *t = tasks; t < tasks + TASKS; t++) {
        if (t->pid == pid)
            return t;
        if (!t->pid && !empty)
            empty = t;
    }
    if (!empty)
        exit(98);
    *empty = (struct task){.pid = pid, .role = -2};
    return empty;
}

static int role_of(pid_t pid)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n < 0)
        return -1;
    path[n] = '\0';
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (strncmp(name, "rootlet", 7) != 0)
        return -1;
    for (int i = 0; i < ROLES; i++) {
        if (!roles[i][0])
            snprintf(roles[i], ROLE_LEN, "%.31s", name);
        if (strncmp(roles[i], name, ROLE_LEN - 1) == 0)
            return i;
    }
    return -1;
}

static void say_hit(const struct task *t, const struct __ptrace_syscall_info *info)
{
    FILE *f = fopen(opt.log, "we");
    if (f) {
        fprintf(f, "%s %llu pid %d args %llx %llx %llx\n", roles[t->role],
                (unsigned long long)info->entry.nr, (int)t->pid,
                (unsigned long long)info->entry.args[0], (unsigned long long)info->entry.args[1],
                (unsigned long long)info->entry.args[2]);
        fclose(f);
    }
}

/* Some calls do different things, and fail by different errors. */
static unsigned long long call_number(const struct __ptrace_syscall_info *info)
{
    unsigned long long nr = info->entry.nr;
    if (nr == SYS_openat && (info->entry.args[2] & O_CREAT))
        return CREATES;
    if (nr == SYS_write && info->entry.args[0] <= 2)
        return WRITES_OUTPUT;
    if (nr == SYS_fcntl && info->entry.args[1] == F_DUPFD_CLOEXEC)
        return DUPLICATES;
    return nr;
}

/* The call keeps its number, which a seccomp filter has to let through, but its arguments are
 * nothing: all bits set is no descriptor, no pointer and no set of flags. What takes none becomes
 * call -1. */
static bool disarm(struct task *t, bool no_arguments)
{
    if (ptrace(PTRACE_GETREGS, t->pid, 0, &t->regs) < 0)
        return false;
    struct user_regs_struct r = t->regs;
    r.rdi = r.rsi = r.rdx = r.r10 = r.r8 = r.r9 = ~0ULL;
    if (no_arguments)
        r.orig_rax = ~0ULL;
    return ptrace(PTRACE_SETREGS, t->pid, 0, &r) == 0;
}

/* At the entry of a call: is it the one? The kernel then does call -1, which does nothing. */
static void at_entry(struct task *t, const struct __ptrace_syscall_info *info)
{
    if (t->role == -2)
        t->role = role_of(t->pid);
    unsigned long long nr = call_number(info);
    if (t->role < 0 || nr >= CALLS)
        return;
    unsigned n = ++counts[t->role][nr];
    if (!opt.role || strcmp(opt.role, roles[t->role]) != 0 || (long)nr != opt.call ||
        n != (unsigned)opt.k)
        return;
    if (!disarm(t, nr == SYS_fork || nr == SYS_vfork))
        return;
    say_hit(t, info);
    t->hit = true;
}

/* True: done, it was hit. */
static bool at_syscall(struct task *t)
{
    struct __ptrace_syscall_info info;
    memset(&info, 0, sizeof(info));
    if (ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof(info), &info) < 0)
        return false;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        at_entry(t, &info);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->hit) {
        t->regs.rax = (unsigned long long)-opt.error;
        ptrace(PTRACE_SETREGS, t->pid, 0, &t->regs);
        return true;
    }
    return false;
}

static bool at_stop(pid_t pid, int status)
{
    struct task *t = task_of(pid);
    int sig = WSTOPSIG(status), event = status >> 16;
    if (sig == (SIGTRAP | 0x80)) {
        if (at_syscall(t))
            return true;
        sig = 0;
    } else if (event == PTRACE_EVENT_STOP &&
               (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)) {
        ptrace(PTRACE_LISTEN, pid, 0, 0); /* stopped by a signal, and stays so */
        return false;
    } else if (event) {
        if (event == PTRACE_EVENT_EXEC)
            t->role = -2;
        sig = 0;
    }
    ptrace(PTRACE_SYSCALL, pid, 0, (long)sig);
    return false;
}

static void tell_counts(void)
{
    FILE *f = fopen(opt.log, "we");
    for (int r = 0; f && r < ROLES; r++)
        for (int c = 0; c < CALLS; c++)
            if (counts[r][c])
                fprintf(f, "%s %d %u\n", roles[r], c, counts[r][c]);
    if (f)
        fclose(f);
}

/* The next of ours that has stopped or ended; 0: we were told to end. */
static pid_t next_stop(int *ret_status)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    for (;;) {
        pid_t pid = waitpid(-1, ret_status, __WALL | WNOHANG);
        if (pid > 0)
            return pid;
        if (pid < 0 && errno != EINTR && errno != ECHILD)
            die("wait");
        if (sigwaitinfo(&set, NULL) == SIGTERM)
            return 0;
    }
}

static void trace(pid_t child, int ready)
{
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    for (int i = -1; i < opt.n_pids; i++) {
        pid_t pid = i < 0 ? child : opt.pids[i];
        if (ptrace(PTRACE_SEIZE, pid, 0, OPTIONS) < 0)
            die("trace");
        ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    }
    if (write(ready, "", 1) != 1)
        die("write");
    for (;;) {
        int status;
        pid_t pid = next_stop(&status);
        if (pid == 0)
            break;
        if (WIFSTOPPED(status)) {
            if (at_stop(pid, status))
                break;
        } else {
            *task_of(pid) = (struct task){.pid = 0};
        }
    }
    if (!opt.role)
        tell_counts();
    _exit(0); /* and all of them run on */
}

static pid_t start(char **argv, int *ret_go, int *ret_ready)
{
    int go[2], ready[2];
    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
        die("pipe");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        char byte;
        close(go[1]);
        if (read(go[0], &byte, 1) != 1)
            _exit(99);
        if (opt.uid >= 0 && (setgroups(0, NULL) < 0 ||
                             setresgid((gid_t)opt.gid, (gid_t)opt.gid, (gid_t)opt.gid) < 0 ||
                             setresuid((uid_t)opt.uid, (uid_t)opt.uid, (uid_t)opt.uid) < 0))
            die("become the user");
        execvp(argv[0], argv);
        die(argv[0]);
    }
    pid_t tracer = fork();
    if (tracer < 0)
        die("fork");
    if (tracer == 0) {
        close(go[1]);
        trace(child, ready[1]);
    }
    close(ready[1]);
    char byte;
    if (read(ready[0], &byte, 1) != 1) {
        kill(child, SIGKILL);
        exit(99);
    }
    *ret_go = go[1];
    *ret_ready = (int)tracer;
    return child;
}

static int usage(void)
{
    fputs("usage: inject -o LOG [-u UID:GID] [-p PID]... [-r ROLE -c CALL -n K -e ERRNO] -- "
          "COMMAND...\n",
          stderr);
    return 99;
}

int main(int argc, char **argv)
{
    int o;
    while ((o = getopt(argc, argv, "+o:u:p:r:c:n:e:")) != -1) {
        if (o == 'o')
            opt.log = optarg;
        else if (o == 'u' && sscanf(optarg, "%d:%d", &opt.uid, &opt.gid) == 2)
            continue;
        else if (o == 'p' && opt.n_pids < 16)
            opt.pids[opt.n_pids++] = (pid_t)atol(optarg);
        else if (o == 'r')
            opt.role = optarg;
        else if (o == 'c')
            opt.call = atol(optarg);
        else if (o == 'n')
            opt.k = atol(optarg);
        else if (o == 'e')
            opt.error = atol(optarg);
        else
            return usage();
    }
    if (!opt.log || optind >= argc)
        return usage();
    int go = -1, tracer = -1, status = 0;
    pid_t child = start(argv + optind, &go, &tracer);
    if (write(go, "", 1) != 1)
        die("write");
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    kill((pid_t)tracer, SIGTERM);
    while (waitpid((pid_t)tracer, NULL, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
