/* test-sandbox - what a confined process can still do, and what kills it. */
#include <arpa/inet.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sys/sandbox.h"
#include "unit.h"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const int calls[] = {SYS_write, SYS_read,       SYS_close,     SYS_exit_group, SYS_getpid,
                            SYS_prctl, SYS_newfstatat, SYS_getrlimit, SYS_prlimit64,  SYS_capget};
static const struct sandbox_check checks[] = {
    {SYS_socket, 0, ~0U, AF_INET},
    {SYS_socket, 0, ~0U, AF_INET6},
    {SYS_openat, 2, O_ACCMODE | O_CREAT, O_RDONLY},
    {SYS_connect, 2, ~0U, sizeof(struct sockaddr_in)},
};

/* The wait status of fn in a process that is confined by s. 99: the sandbox could not be made. */
static int confined(const struct sandbox *s, int (*fn)(const char *path), const char *path)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        if (sandbox_enter(s, &e) < 0) {
            fprintf(stderr, "%s\n", e.msg);
            _exit(99);
        }
        _exit(fn(path));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static struct sandbox usual(void)
{
    return (struct sandbox){
        .what = "the test",
        .calls = calls,
        .n_calls = N_ELEMENTS(calls),
        .checks = checks,
        .n_checks = N_ELEMENTS(checks),
    };
}

static int do_allowed(const char *path)
{
    (void)path;
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    if (fd < 0 && errno != EAFNOSUPPORT)
        return 1;
    close(fd);
    return getpid() > 0 ? 0 : 2;
}
static int do_other_family(const char *path)
{
    (void)path;
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}
static int do_fork(const char *path)
{
    (void)path;
    return (int)syscall(SYS_getppid);
}
static int do_x32(const char *path)
{
    (void)path;
    return (int)syscall(SYS_getpid | 0x40000000);
}
static int do_write_open(const char *path)
{
    return open(path, O_WRONLY) < 0;
}
static int do_open(const char *path)
{
    int fd = open(path, O_RDONLY);
    return fd >= 0 ? 0 : errno;
}

static void test_calls(void **state)
{
    (void)state;
    struct sandbox s = usual();
    assert_int_equal(confined(&s, do_allowed, NULL), 0);
    if (SANITIZED)
        return;
    int status = confined(&s, do_other_family, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = confined(&s, do_fork, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = confined(&s, do_write_open, "/dev/null");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
#ifdef __x86_64__
    status = confined(&s, do_x32, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
#endif
}

static void test_files(void **state)
{
    (void)state;
    struct unit_dir d = unit_dir_make();
    char inside[96], outside[96];
    struct sandbox s = usual();
    unit_write(d.fd, "outside", "x");
    assert_int_equal(mkdirat(d.fd, "dir", 0700), 0);
    unit_write(d.fd, "dir/inside", "x");
    snprintf(inside, sizeof(inside), "%s/dir/inside", d.path);
    snprintf(outside, sizeof(outside), "%s/outside", d.path);

    char dir[96];
    snprintf(dir, sizeof(dir), "%s/dir", d.path);
    s.read_paths = (const char *const[]){dir, "/nowhere-at-all", NULL};
    assert_int_equal(confined(&s, do_open, inside), 0);
    int status = confined(&s, do_open, outside);
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
    if (abi >= 1 && !SANITIZED)
        assert_int_equal(WEXITSTATUS(status), EACCES);
    s.read_paths = NULL;
    status = confined(&s, do_open, inside);
    if (abi >= 1 && !SANITIZED)
        assert_int_equal(WEXITSTATUS(status), EACCES);
    unit_dir_remove(&d);
}

static int do_connect(const char *path)
{
    (void)path;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
}

static void test_tcp(void **state)
{
    (void)state;
    struct sandbox s = usual();
    s.tcp = true;
    assert_int_equal(WEXITSTATUS(confined(&s, do_connect, NULL)), ECONNREFUSED);
    if (SANITIZED || syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 4)
        return;
    s.tcp = false;
    assert_int_equal(WEXITSTATUS(confined(&s, do_connect, NULL)), EACCES);
}

static int do_look(const char *path)
{
    (void)path;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    struct rlimit v;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 1;
    if (!SANITIZED && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 2;
    if (syscall(SYS_capget, &head, data) < 0 || data[0].inheritable || data[1].permitted)
        return 3;
    if (data[0].permitted != data[0].effective)
        return 4;
    if (getrlimit(RLIMIT_NOFILE, &v) < 0 || v.rlim_max != 20 || v.rlim_cur != 20)
        return 5;
    if (getrlimit(RLIMIT_CORE, &v) < 0 || v.rlim_max != 0)
        return 6;
    return data[0].permitted == 0 ? 0 : (int)data[0].permitted;
}

static void test_state(void **state)
{
    (void)state;
    struct sandbox s = usual();
    s.max_files = 20;
    assert_int_equal(confined(&s, do_look, NULL), 0);
    s.capabilities = 1 << CAP_FOWNER; /* 8: it fits an exit status */
    int status = confined(&s, do_look, NULL);
    assert_int_equal(WEXITSTATUS(status), geteuid() == 0 ? 8 : 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
