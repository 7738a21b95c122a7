/* Row B32's other half: which call a container died of, from the log or by learning. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/timefmt.h"
#include "security/builtin.h"
#include "security/profile.h"
#include "security/why.h"
#include "sys/sock.h"

static const struct {
    const char *line;
    int want, nr, pid, uid;
    int64_t ms;
    const char *comm;
} lines[] = {
    {"5,1,2,-;audit: type=1326 audit(1795300393.809:98): auid=4294967295 uid=1004 gid=1004 "
     "ses=4294967295 pid=6799 comm=\"seccomp-probe\" exe=\"/bin/x\" sig=31 arch=c000003e "
     "syscall=166 compat=0 ip=0x7fd652bcb1d9 code=0x80000000",
     1, 166, 6799, 1004, 1795300393809, "seccomp-probe"},
    {"SECCOMP auid=1000 uid=0 gid=0 ses=1 pid=5 comm=73682D78 exe=\"/x\" sig=31 arch=c000003e "
     "syscall=41 compat=0 ip=0x1 code=0x80000000",
     1, 41, 5, 0, 0, ""},
    {"audit: type=1326 audit(1.5:9): uid=1 pid=6 sig=31 arch=40000003 syscall=1", 0, 0, 0, 0, 0,
     ""},
    {"audit: type=1326 audit(1.5:9): uid=1 pid=6 sig=31 arch=c000003e", 0, 0, 0, 0, 0, ""},
    {"audit: type=1326 audit(99999999999999999999.5:9): uid=1 pid=6 sig=31 arch=c000003e syscall=2",
     1, 2, 6, 1, 0, ""},
    {"audit: type=1400 pid=6 uid=1 sig=31 arch=c000003e syscall=1", 0, 0, 0, 0, 0, ""},
    {"", 0, 0, 0, 0, 0, ""},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(lines); i++) {
        struct why_record r = {0};
        assert_int_equal(why_parse_record(lines[i].line, &r), lines[i].want);
        assert_int_equal(r.nr, lines[i].nr);
        assert_int_equal(r.pid, lines[i].pid);
        assert_int_equal(r.uid, lines[i].uid);
        assert_int_equal(r.time_ns, lines[i].ms * 1000000);
        assert_string_equal(r.comm, lines[i].comm);
    }
}

/* The kernel's log, where this user may read it. */
static void test_kernel_log(void **state)
{
    (void)state;
    struct seccomp_prog p;
    struct why_query q = {.name = "web", .profile = "minimal", .dirfd = -1};
    scoped_str struct str out = STR_INIT;
    int status = 0;
    q.started_ns = time_now_ns();
    assert_int_equal(seccomp_builtin("minimal", 0, &p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        seccomp_prog_load(&p, NULL);
        syscall(SYS_mount, 0, 0, 0, 0, 0);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    q.init_pid = pid;
    q.prog = &p;
    int n = why_explain(&q, &out);
    /* Without a readable log the text says so, and how to go on. */
    if (n == 0) {
        assert_non_null(strstr(out.s, "seccomp-default=learn"));
        assert_non_null(strstr(out.s, "It kills for "));
        str_release(&out); /* skip() jumps */
        skip();
    }
    assert_int_equal(n, 1);
    assert_non_null(strstr(out.s, "mount (165), called by"));
    assert_non_null(strstr(out.s, "{\"names\": [\"mount\"]"));
    /* Another process's record is not ours. */
    q.init_pid = pid + 100000;
    str_reset(&out);
    assert_int_equal(why_explain(&q, &out), 0);
}

static void compile_learner(const char *profile, struct seccomp_prog *ret)
{
    struct err e = ERR_INIT;
    scoped_free char *path = xasprintf("%s/data/seccomp/%s.json", SRCDIR, profile), *text = NULL;
    ssize_t len = fs_read(AT_FDCWD, path, PROFILE_MAX_BYTES, &text, &e);
    assert_true(len > 0);
    scoped_json json_t *doc = json_parse(text, (size_t)len, PROFILE_MAX_BYTES, path, &e);
    scoped_profile struct profile p = {0};
    struct profile_target t = {.replace_default = true, .default_action = PROFILE_NOTIFY};
    assert_int_equal(profile_parse(doc, &p, NULL, &e), 0);
    assert_int_equal(profile_compile(&p, &t, ret, &e), 0);
    assert_true(seccomp_wants_listener(ret));
}

static _Noreturn void learn_child(const struct seccomp_prog *p, int sock)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (why_load_and_send(p, sock, "hello", 5, NULL) < 0)
        _exit(1);
    for (int i = 0; i < 3; i++) {
        syscall(SYS_personality, 0xffffffff);
        if (syscall(SYS_umount2, NULL, 0x8000) == 0 || errno == ENOSYS)
            _exit(2);
    }
    _exit(7);
}

static void test_learn(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct seccomp_prog p;
    struct why_learn l = {0};
    char dir[] = "/tmp/rootlet-test-XXXXXX";
    int pair[2], status = 0, r = 0;
    assert_non_null(mkdtemp(dir));
    scoped_fd int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    compile_learner("minimal", &p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        learn_child(&p, pair[1]);
    close(pair[1]);
    char hello[5];
    int fds[SOCK_MAX_FDS];
    assert_int_equal(sock_recv(pair[0], hello, sizeof(hello), fds), 5);
    assert_memory_equal(hello, "hello", 5);
    scoped_fd int listener = fds[0];
    close(pair[0]);
    assert_true(listener >= 0);
    while (r == 0) {
        struct pollfd pfd = {.fd = listener, .events = POLLIN};
        assert_int_equal(poll(&pfd, 1, 5000), 1);
        r = why_learn_step(&l, listener, dirfd, &e);
    }
    assert_int_equal(r, -ENODEV);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);

    struct why_query q = {.name = "web", .profile = "minimal", .prog = &p, .dirfd = dirfd};
    scoped_str struct str out = STR_INIT;
    assert_int_equal(why_explain(&q, &out), 2);
    assert_non_null(strstr(out.s, "personality (135), called by test-why"));
    assert_non_null(strstr(out.s, "umount2 (166)"));
    seccomp_prog_release(&p);
    assert_int_equal(fs_remove_tree(AT_FDCWD, dir, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_kernel_log),
        cmocka_unit_test(test_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
