/* floor - what starting a container costs when nobody manages it: the system calls and no more.
 *
 *   floor [-p] [-s] ROOTFS WORKDIR FIRST-SUBUID FIRST-SUBGID COUNT PROGRAM [ARG...]
 *
 * One clone3 with six new namespaces, the id maps by newuidmap and newgidmap, an overlay on ROOTFS
 * with its upper directory in WORKDIR, /proc, /dev with six devices, devpts, shm, mqueue and /sys,
 * pivot_root, exec. Nothing is secured, recorded, logged or cleaned up. No container manager can be
 * faster with the same namespaces and mounts; by how much it is slower is its own work.
 *
 *   -p  both id map helpers at once, as a manager should start them
 *   -s  a single id, written by ourselves: no helpers
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct floor {
    const char *rootfs, *workdir, *subuid, *subgid, *count;
    char **command;
    bool parallel, single;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    _exit(125);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fail(path);
    close(fd);
}

static void mount_or_fail(const char *type, const char *target, unsigned long flags,
                          const char *options)
{
    if (mount(type, target, type, flags, options) < 0)
        fail(target);
}

static void enter_overlay(const struct floor *f)
{
    char merged[512], options[2048];
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        fail("make mounts slaves");
    snprintf(merged, sizeof(merged), "%s/merged", f->workdir);
    snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s/upper,workdir=%s/work,userxattr",
             f->rootfs, f->workdir, f->workdir);
    mount_or_fail("overlay", merged, 0, options);
    if (chdir(merged) < 0)
        fail(merged);
}

static void make_dev(void)
{
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    mount_or_fail("tmpfs", "dev", MS_NOSUID, "mode=755,size=64k");
    for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
        char from[32], to[32];
        snprintf(from, sizeof(from), "/dev/%s", devices[i]);
        snprintf(to, sizeof(to), "dev/%s", devices[i]);
        int fd = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
        if (fd < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0)
            fail(to);
        close(fd);
    }
    if (mkdir("dev/pts", 0755) < 0 || mkdir("dev/shm", 01777) < 0 || mkdir("dev/mqueue", 0755) < 0)
        fail("make directories in /dev");
    mount_or_fail("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666");
    mount_or_fail("tmpfs", "dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777");
    mount_or_fail("mqueue", "dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static _Noreturn void contain(const struct floor *f, int mapped)
{
    char byte;
    if (read(mapped, &byte, 1) != 1)
        _exit(125);
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
        fail("become root");
    enter_overlay(f);
    mount_or_fail("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    make_dev();
    mount_or_fail("sysfs", "sys", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        fail("change the root");
    if (sethostname("floor", 5) < 0)
        fail("set the hostname");
    execv(f->command[0], f->command);
    fail(f->command[0]);
}

static pid_t start_helper(const char *program, pid_t child, unsigned self, const char *first,
                          const char *count)
{
    char pid[16], id[16];
    snprintf(pid, sizeof(pid), "%d", child);
    snprintf(id, sizeof(id), "%u", self);
    pid_t helper = vfork();
    if (helper == 0) {
        execlp(program, program, pid, "0", id, "1", "1", first, count, (char *)NULL);
        _exit(127);
    }
    return helper;
}

static void reap(pid_t pid, const char *what)
{
    int status;
    if (waitpid(pid, &status, 0) < 0)
        fail(what);
    if (status != 0) {
        fprintf(stderr, "floor: %s: wait status %x\n", what, (unsigned)status);
        exit(125);
    }
}

static void map_single(pid_t child)
{
    char path[64], map[64];
    snprintf(path, sizeof(path), "/proc/%d/setgroups", child);
    write_file(path, "deny");
    snprintf(path, sizeof(path), "/proc/%d/uid_map", child);
    snprintf(map, sizeof(map), "0 %u 1\n", getuid());
    write_file(path, map);
    snprintf(path, sizeof(path), "/proc/%d/gid_map", child);
    snprintf(map, sizeof(map), "0 %u 1\n", getgid());
    write_file(path, map);
}

static void map_range(const struct floor *f, pid_t child)
{
    pid_t uid = start_helper("newuidmap", child, getuid(), f->subuid, f->count);
    if (!f->parallel)
        reap(uid, "newuidmap");
    pid_t gid = start_helper("newgidmap", child, getgid(), f->subgid, f->count);
    if (f->parallel)
        reap(uid, "newuidmap");
    reap(gid, "newgidmap");
}

static int run(const struct floor *f)
{
    int mapped[2];
    if (pipe2(mapped, O_CLOEXEC) < 0)
        fail("make a pipe");
    struct clone_args args = {
        .flags =
            CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET,
        .exit_signal = SIGCHLD,
    };
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (child < 0)
        fail("make namespaces");
    if (child == 0) {
        close(mapped[1]);
        contain(f, mapped[0]);
    }
    close(mapped[0]);
    if (f->single)
        map_single(child);
    else
        map_range(f, child);
    if (write(mapped[1], "x", 1) != 1)
        fail("wake the child");
    reap(child, "container");
    return 0;
}

int main(int argc, char **argv)
{
    struct floor f = {0};
    int option;
    while ((option = getopt(argc, argv, "+ps")) != -1) {
        if (option == '?')
            return 2;
        f.parallel |= option == 'p';
        f.single |= option == 's';
    }
    if (argc - optind < 6) {
        fprintf(stderr, "usage: floor [-p] [-s] ROOTFS WORKDIR SUBUID SUBGID COUNT PROGRAM...\n");
        return 2;
    }
    char **a = argv + optind;
    f.rootfs = a[0], f.workdir = a[1], f.subuid = a[2], f.subgid = a[3], f.count = a[4];
    f.command = a + 5;

    static const char *const parts[] = {"", "/upper", "/work", "/merged"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s%s", f.workdir, parts[i]);
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            fail(path);
    }
    return run(&f);
}
