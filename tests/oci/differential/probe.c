/* probe - prints as one JSON object what a process in a container sees of itself and its
 * surroundings: the program of the differential test's containers. Static, without libraries.
 *
 *   probe [exit=N] [path=PATH]...
 *
 * What each PATH allows (reading, writing) is told by the errno of trying. Nothing is changed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

static void string(const char *s)
{
    putchar('"');
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else if (*p < 0x20 || *p >= 0x7f)
            printf("\\u%04x", *p);
        else
            putchar(*p);
    }
    putchar('"');
}

static void key(const char *name)
{
    printf(",\n\"%s\": ", name);
}

static void number(const char *name, long value)
{
    key(name);
    printf("%ld", value);
}

static void strings(const char *name, char **list)
{
    key(name);
    putchar('[');
    for (int i = 0; list[i]; i++) {
        printf("%s", i ? ", " : "");
        string(list[i]);
    }
    putchar(']');
}

static void ids(void)
{
    uid_t u[3];
    gid_t g[3], groups[256];
    if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0)
        exit(99);
    key("uid");
    printf("[%u, %u, %u]", u[0], u[1], u[2]);
    key("gid");
    printf("[%u, %u, %u]", g[0], g[1], g[2]);
    int n = getgroups(256, groups);
    key("groups");
    putchar('[');
    for (int i = 0; i < n; i++)
        printf("%s%u", i ? ", " : "", groups[i]);
    putchar(']');
    mode_t mask = umask(0);
    umask(mask);
    number("umask", mask);
}

static void limits(void)
{
    key("rlimits");
    putchar('[');
    for (int i = 0; i < 16; i++) {
        struct rlimit r = {0};
        getrlimit(i, &r);
        printf("%s[%lld, %lld]", i ? ", " : "", (long long)r.rlim_cur, (long long)r.rlim_max);
    }
    putchar(']');
}

struct sched {
    unsigned size, policy;
    unsigned long long flags;
    int nice;
    unsigned priority;
    unsigned long long runtime, deadline, period;
};

static void scheduling(void)
{
    struct sched a = {.size = sizeof(a)};
    cpu_set_t cpus;
    long r = syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0);
    key("scheduler");
    printf("[%ld, %u, %llu, %d, %u]", r, a.policy, a.flags, a.nice, a.priority);
    number("ioprio", syscall(SYS_ioprio_get, 1, 0));
    number("cpus", sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? -1 : CPU_COUNT(&cpus));
    number("personality", personality(0xffffffff));
}

static void signals(void)
{
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    key("blocked");
    putchar('[');
    for (int i = 1, n = 0; i < 65; i++)
        if (sigismember(&set, i) == 1)
            printf("%s%d", n++ ? ", " : "", i);
    putchar(']');
    key("ignored");
    putchar('[');
    for (int i = 1, n = 0; i < 65; i++) {
        struct sigaction a;
        if (sigaction(i, NULL, &a) == 0 && a.sa_handler == SIG_IGN)
            printf("%s%d", n++ ? ", " : "", i);
    }
    putchar(']');
}

static void process(void)
{
    static const struct {
        const char *name;
        int option;
    } flags[] = {
        {"no_new_privs", PR_GET_NO_NEW_PRIVS}, {"seccomp", PR_GET_SECCOMP},
        {"dumpable", PR_GET_DUMPABLE},         {"keepcaps", PR_GET_KEEPCAPS},
        {"securebits", PR_GET_SECUREBITS},     {"timerslack", PR_GET_TIMERSLACK},
        {"thp_disable", PR_GET_THP_DISABLE},   {"subreaper", PR_GET_CHILD_SUBREAPER},
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        int value = 0;
        if (flags[i].option == PR_GET_CHILD_SUBREAPER)
            prctl(PR_GET_CHILD_SUBREAPER, &value);
        else
            value = prctl(flags[i].option, 0, 0, 0, 0);
        number(flags[i].name, value);
    }
    char dir[4096];
    key("cwd");
    string(getcwd(dir, sizeof(dir)) ? dir : strerror(errno));
    struct utsname u;
    uname(&u);
    key("hostname");
    string(u.nodename);
    key("domainname");
    string(u.domainname);
    key("machine");
    string(u.machine);
    number("pid1", getpid() == 1);
    number("session_leader", getsid(0) == getpid());
    number("group_leader", getpgrp() == getpid());
    key("terminals");
    printf("[%d, %d, %d]", isatty(0), isatty(1), isatty(2));
}

/* Descriptors beyond the standard ones that are open. */
static void descriptors(void)
{
    key("descriptors");
    putchar('[');
    for (int i = 3, n = 0; i < 1024; i++)
        if (fcntl(i, F_GETFD) >= 0)
            printf("%s%d", n++ ? ", " : "", i);
    putchar(']');
}

/* A file as an array of its lines. */
static void lines(const char *name, const char *path)
{
    char line[8192];
    FILE *f = fopen(path, "re");
    key(name);
    if (!f) {
        printf("%d", errno);
        return;
    }
    putchar('[');
    for (int n = 0; fgets(line, sizeof(line), f); n++) {
        line[strcspn(line, "\n")] = 0;
        printf("%s\n  ", n ? "," : "");
        string(line);
    }
    putchar(']');
    fclose(f);
}

static void namespaces(void)
{
    static const char *const names[] = {"cgroup", "ipc",  "mnt",  "net",
                                        "pid",    "time", "user", "uts"};
    key("namespaces");
    putchar('{');
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64], target[64] = "";
        snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        printf("%s\"%s\": ", i ? ", " : "", names[i]);
        string(n > 0 ? target : "");
    }
    putchar('}');
}

static void describe(int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        printf("%d", errno);
        return;
    }
    if (S_ISLNK(st.st_mode)) {
        char target[1024] = "";
        ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = 0;
        string(target);
        return;
    }
    printf("[%u, %u, %u, %u, %u]", st.st_mode, st.st_uid, st.st_gid, major(st.st_rdev),
           minor(st.st_rdev));
}

static void directory(const char *path)
{
    struct dirent **list;
    int n = scandir(path, &list, NULL, alphasort),
        dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    key(path);
    if (n < 0 || dir < 0) {
        printf("%d", errno);
        return;
    }
    putchar('{');
    for (int i = 0, shown = 0; i < n; i++) {
        if (list[i]->d_name[0] == '.' && (!list[i]->d_name[1] || !strcmp(list[i]->d_name, "..")))
            continue;
        printf("%s\n  ", shown++ ? "," : "");
        string(list[i]->d_name);
        printf(": ");
        describe(dir, list[i]->d_name);
    }
    putchar('}');
    close(dir);
}

/* [what it is, errno of reading, errno of writing], then what reading gives (at most a line). */
static void try_path(const char *name)
{
    char text[128] = "";
    key(name);
    putchar('[');
    describe(AT_FDCWD, name);
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    printf(", %d", fd < 0 ? errno : 0);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    if (fd >= 0)
        close(fd);
    fd = open(name, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    printf(", %d, ", fd < 0 ? errno : 0);
    if (fd >= 0)
        close(fd);
    string(text);
    putchar(']');
}

/* Harmless calls that the seccomp filters of the generator name. */
static void calls(void)
{
    static const struct {
        const char *name;
        long number, argument;
    } list[] = {
        {"getppid", SYS_getppid, 0},
        {"times", SYS_times, 0},
        {"mkdir", SYS_mkdir, 0},
        {"personality", SYS_personality, 0xffffffff},
        {"alarm", SYS_alarm, 0},
        {"unshare", SYS_unshare, 0x10000},
        {"sethostname", SYS_sethostname, -1},
        {"getpgid", SYS_getpgid, 0},
    };
    key("calls");
    putchar('{');
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        long r = syscall(list[i].number, list[i].argument, -1);
        printf("%s\"%s\": %d", i ? ", " : "", list[i].name, r < 0 ? errno : 0);
    }
    putchar('}');
}

int main(int argc, char **argv)
{
    int code = 0;
    printf("{\n\"probe\": 1");
    strings("argv", argv);
    strings("env", environ);
    ids();
    limits();
    scheduling();
    signals();
    process();
    descriptors();
    namespaces();
    lines("mounts", "/proc/self/mountinfo");
    lines("status", "/proc/self/status");
    lines("cgroup", "/proc/self/cgroup");
    lines("oom_score_adj", "/proc/self/oom_score_adj");
    lines("uid_map", "/proc/self/uid_map");
    lines("gid_map", "/proc/self/gid_map");
    lines("setgroups", "/proc/self/setgroups");
    lines("timens_offsets", "/proc/self/timens_offsets");
    directory("/dev");
    directory("/");
    directory("/dir");
    calls();
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "exit=", 5) == 0)
            code = (int)strtol(argv[i] + 5, NULL, 10);
        else if (strncmp(argv[i], "path=", 5) == 0)
            try_path(argv[i] + 5);
    }
    printf("\n}\n");
    fflush(stdout);
    return code;
}
