/* test-sys - packets with descriptors, clone3, namespaces, mounts by descriptor, procfs. */
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/path.h"
#include "base/proc.h"
#include "sys/clone.h"
#include "sys/mountfd.h"
#include "sys/procfs.h"
#include "sys/sock.h"
#include "unit.h"

static void test_packets(void **state)
{
    (void)state;
    int pair[2], fds[SOCK_MAX_FDS], pipes[2];
    char buf[16];
    assert_int_equal(sock_pair(pair, NULL), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(sock_send(pair[0], "one", 3, NULL, 0), 0);
    assert_int_equal(sock_send(pair[0], "two!", 4, pipes, 2), 0);
    assert_int_equal(sock_recv(pair[1], buf, sizeof(buf), fds), 3);
    assert_memory_equal(buf, "one", 3);
    assert_int_equal(fds[0], -1);
    assert_int_equal(sock_recv(pair[1], buf, sizeof(buf), fds), 4);
    assert_true(fds[0] >= 0 && fds[1] >= 0);
    assert_int_equal(fds[2], -1);
    assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(read(pipes[0], buf, 1), 1);
    close(fds[0]);
    close(fds[1]);

    /* Cut packets are errors; descriptors nobody asked for vanish. */
    assert_int_equal(sock_send(pair[0], "too long", 8, pipes, 1), 0);
    assert_int_equal(sock_recv(pair[1], buf, 3, fds), -EMSGSIZE);
    assert_int_equal(fds[0], -1);
    assert_int_equal(sock_send(pair[0], "x", 1, pipes, 1), 0);
    assert_int_equal(sock_recv(pair[1], buf, 3, NULL), 1);
    int five[] = {0, 0, 0, 0, 0};
    assert_int_equal(sock_send(pair[0], "x", 1, five, 5), -EINVAL);

    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    assert_int_equal(sock_recv(pair[1], buf, 3, NULL), -EAGAIN);
    close(pair[0]);
    assert_int_equal(sock_recv(pair[1], buf, 3, NULL), 0);
    assert_int_equal(sock_send(pair[1], "x", 1, NULL, 0), -EPIPE); /* and no SIGPIPE */
    close(pair[1]);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_listen(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct unit_dir d = unit_dir_make();
    /* Deeper than sun_path could hold. */
    scoped_str struct str deep = STR_INIT;
    for (int i = 0; i < 30; i++)
        str_add(&deep, "directory/");
    scoped_fd int dir = path_mkdirs_in_root(d.fd, deep.s, 0700, &e);
    assert_int_equal(sock_connect_at(dir, "s", &e), -ENOENT);
    scoped_fd int listener = sock_listen_at(dir, "s", &e);
    if (listener < 0)
        fail_msg("%s", e.msg);
    scoped_fd int client = sock_connect_at(dir, "s", &e);
    scoped_fd int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(client >= 0 && server >= 0);
    assert_int_equal(sock_send(client, "hi", 2, NULL, 0), 0);
    char buf[8];
    uid_t uid = (uid_t)-1;
    assert_int_equal(sock_recv(server, buf, sizeof(buf), NULL), 2);
    assert_int_equal(sock_peer_uid(server, &uid), 0);
    assert_int_equal(uid, geteuid());

    /* What a dead listener left does not stand in the way of the next. */
    fd_close(&listener);
    assert_int_equal(sock_connect_at(dir, "s", &e), -ECONNREFUSED);
    listener = sock_listen_at(dir, "s", &e);
    assert_true(listener >= 0);
    char long_name[200];
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(sock_listen_at(dir, long_name, &e), -ENAMETOOLONG);
    unit_dir_remove(&d);
}

static void test_clone(void **state)
{
    (void)state;
    int pidfd = -1, status = 0;
    pid_t pid = sys_clone(0, -1, &pidfd);
    if (pid == 0)
        _exit(9);
    assert_true(pid > 0);
    assert_int_equal(pidfd_wait(pidfd, &status), 0);
    assert_int_equal(wait_status_code(status), 9);
    close(pidfd);

    pid = sys_clone(0, -1, NULL);
    if (pid == 0)
        _exit(8);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 8);
    assert_true(sys_clone(UINT64_C(1) << 60, -1, NULL) < 0);
}

/* CLONE_PARENT: the grandchild is our child, its end arrives here. */
static void test_clone_parent(void **state)
{
    (void)state;
    int pipes[2], status = 0;
    pid_t child = 0, grandchild = 0;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    child = sys_clone(0, -1, NULL);
    if (child == 0) {
        pid_t pid = sys_clone(CLONE_PARENT, -1, NULL);
        if (pid == 0)
            _exit(5);
        _exit(write(pipes[1], &pid, sizeof(pid)) != sizeof(pid));
    }
    assert_int_equal(read(pipes[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(waitpid(grandchild, &status, __WALL), grandchild);
    assert_int_equal(WEXITSTATUS(status), 5);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_namespaces(void **state)
{
    (void)state;
    static const char *const types[] = {"pid", "network", "mount",  "ipc",
                                        "uts", "user",    "cgroup", "time"};
    for (size_t i = 0; i < N_ELEMENTS(types); i++) {
        char path[64];
        int flag = 0;
        uid_t owner = (uid_t)-1;
        snprintf(path, sizeof(path), "/proc/self/ns/%s", sys_ns_file(types[i]));
        scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            fail_msg("%s is missing", path);
        assert_int_equal(sys_ns_type(fd, &flag), 0);
        assert_int_equal(flag, sys_ns_flag(types[i]));
        int r = sys_ns_owner(fd, &owner);
        assert_true(r == 0 || r == -EPERM); /* EPERM: owned from outside, in a nested test run */
    }
    assert_int_equal(sys_ns_flag("net"), 0);
    assert_null(sys_ns_file("nope"));
    scoped_fd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int flag = 0;
    assert_int_equal(sys_ns_type(null, &flag), -ENOTTY);
}

static void test_close_from(void **state)
{
    (void)state;
    int pidfd = -1, status = 0;
    if (fork_pidfd(&pidfd) == 0) {
        int fd = dup2(0, 600);
        int keep = sys_close_from(600, 1) < 0 || fcntl(fd, F_GETFD) != FD_CLOEXEC;
        int gone = sys_close_from(600, 0) < 0 || fcntl(fd, F_GETFD) != -1;
        _exit(keep << 1 | gone);
    }
    assert_int_equal(pidfd_wait(pidfd, &status), 0);
    assert_int_equal(wait_status_code(status), 0);
    close(pidfd);
}

/* Runs in a user and mount namespace of its own; 77 when those are not to be had. */
static int in_namespaces(void (*fn)(void))
{
    int pidfd = -1, status = 0;
    unsigned uid = getuid(), gid = getgid();
    pid_t pid = sys_clone(CLONE_NEWUSER | CLONE_NEWNS, -1, &pidfd);
    if (pid < 0)
        return 77;
    if (pid == 0) {
        /* Somebody, so that files can be made. */
        char map[40];
        snprintf(map, sizeof(map), "0 %u 1", uid);
        if (fs_write_text(AT_FDCWD, "/proc/self/uid_map", map, NULL) < 0)
            _exit(77);
        snprintf(map, sizeof(map), "0 %u 1", gid);
        if (fs_write_text(AT_FDCWD, "/proc/self/setgroups", "deny", NULL) < 0 ||
            fs_write_text(AT_FDCWD, "/proc/self/gid_map", map, NULL) < 0)
            _exit(77);
        fn();
        _exit(0);
    }
    assert_int_equal(pidfd_wait(pidfd, &status), 0);
    close(pidfd);
    return wait_status_code(status);
}

#define CHECK(condition, e)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, (e).msg);                   \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void mount_tmpfs(void)
{
    struct err e = ERR_INIT;
    scoped_fd int mnt = mountfd_new("tmpfs", "test", "size=64k,mode=0700",
                                    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &e);
    CHECK(mnt >= 0, e);
    scoped_fd int target = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(mountfd_attach(mnt, target, &e) == 0, e);
    unit_write(mnt, "f", "in the mount");
    CHECK(access("/tmp/f", F_OK) == 0, e);

    scoped_fd int copy = mountfd_clone(mnt, "", 0, &e);
    CHECK(copy >= 0, e);
    CHECK(mountfd_setattr(copy, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME, 0, MS_PRIVATE, &e) == 0,
          e);
    CHECK(openat(copy, "f", O_WRONLY) < 0 && errno == EROFS, e);
    CHECK(openat(mnt, "f", O_WRONLY | O_CLOEXEC) >= 0, e);

    /* The kernel's own words, the option's name, and the filesystem. */
    int r = mountfd_new("tmpfs", "test", "nonsense=1", 0, &e);
    CHECK(r == -EINVAL, e);
    CHECK(strstr(e.msg, "filesystem tmpfs: set mount option nonsense=1: "), e);
    CHECK(strstr(e.msg, "Unknown parameter 'nonsense'"), e);
    char value[300];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    scoped_fd int fs = mountfd_open("tmpfs", &e);
    CHECK(mountfd_string(fs, "source", value, &e) == -E2BIG, e);
    CHECK(mountfd_open("no-such-fs", &e) == -ENODEV, e);
}

static void test_mounts(void **state)
{
    (void)state;
    int r = in_namespaces(mount_tmpfs);
    if (r == 77)
        skip();
    assert_int_equal(r, 0);
}

/* CVE-2025-52881: a mount over a file of /proc must not receive what is meant for the kernel. */
static void proc_overmounted(void)
{
    struct err e = ERR_INIT;
    scoped_fd int tmp = mountfd_new("tmpfs", "fake", NULL, 0, &e);
    CHECK(tmp >= 0, e);
    unit_write(tmp, "fake", "");
    scoped_fd int fake = mountfd_clone(tmp, "fake", 0, &e);
    scoped_fd int target = open("/proc/self/comm", O_PATH | O_CLOEXEC);
    CHECK(fake >= 0, e);
    CHECK(mountfd_attach(fake, target, &e) == 0, e);
    scoped_fd int host = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(procfs_write(host, "self/comm", "hijacked", &e) == -EXDEV, e);
    CHECK(procfs_open_file(tmp, "fake", O_RDONLY, &e) == -EXDEV, e);

    /* Another file of a procfs, which the filesystem's type would not give away. */
    scoped_fd int other = mountfd_clone(AT_FDCWD, "/proc/self/limits", 0, &e);
    CHECK(other >= 0, e);
    scoped_fd int environ_fd = open("/proc/self/environ", O_PATH | O_CLOEXEC);
    CHECK(mountfd_attach(other, environ_fd, &e) == 0, e);
    CHECK(procfs_open_file(host, "self/environ", O_RDONLY, &e) == -EXDEV, e);
}

static void test_procfs(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_fd int proc = procfs_open(&e);
    if (proc < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(procfs_write(proc, "self/comm", "renamed", &e), 0);
    scoped_free char *comm = NULL;
    fs_read(AT_FDCWD, "/proc/self/comm", 100, &comm, &e);
    assert_string_equal(comm, "renamed\n");
    scoped_fd int thread = procfs_open_file(proc, "thread-self/attr/current", O_RDONLY, &e);
    assert_true(thread >= 0 || e.errnum == ENOENT);
    assert_int_equal(procfs_open_file(proc, "self/nope", O_RDONLY, &e), -ENOENT);
    assert_has(e.msg, "open /proc/self/nope");
    assert_int_equal(procfs_open_file(proc, "self/exe", O_RDONLY, &e), -ELOOP);
    assert_int_equal(procfs_open_file(proc, "../etc/passwd", O_RDONLY, &e), -EXDEV);
    int r = in_namespaces(proc_overmounted);
    if (r != 77)
        assert_int_equal(r, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets),    cmocka_unit_test(test_listen),
        cmocka_unit_test(test_clone),      cmocka_unit_test(test_clone_parent),
        cmocka_unit_test(test_namespaces), cmocka_unit_test(test_close_from),
        cmocka_unit_test(test_mounts),     cmocka_unit_test(test_procfs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
