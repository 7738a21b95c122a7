/* test-proc - helpers that fail, hang, die, and leave grandchildren behind; signals by name. */
#include "base/proc.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/lock.h"
#include "base/timefmt.h"
#include "unit.h"

static const struct {
    const char *script;
    int timeout_ms, want;
    const char *message; /* the end of it */
} run_cases[] = {
    {"exit 0", 0, 0, ""},
    {"exit 3", 0, 3, "sh: exit status 3"},
    {"echo first >&2; echo last >&2; exit 4", 0, 4, "sh: exit status 4: last"},
    {"echo first >&2; printf unfinished >&2; exit 4", 0, 4, "sh: exit status 4: unfinished"},
    {"printf 'text\\n\\n' >&2; exit 5", 0, 5, "sh: exit status 5: text"},
    {"kill -9 $$", 0, 137, "sh: killed by SIGKILL"},
    {"sleep 20", 100, -ETIMEDOUT, "sh: no end after 100 ms"},
    {"while :; do echo noise >&2; done", 100, -ETIMEDOUT, "sh: no end after 100 ms"},
    {"sleep 20 & echo gone >&2; exit 6", 10000, 6, "sh: exit status 6: gone"},
    {"head -c 300000 /dev/zero >&2; echo end >&2; exit 7", 0, 7, "sh: exit status 7: end"},
};

static void test_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(run_cases); i++) {
        struct err e = ERR_INIT;
        struct proc_cmd cmd = {.argv = ARGV("/bin/sh", "-c", run_cases[i].script),
                               .stdin_fd = -1,
                               .stdout_fd = -1,
                               .timeout_ms = run_cases[i].timeout_ms};
        int64_t start = time_monotonic_ns();
        int r = proc_run(&cmd, &e);
        int64_t ms = (time_monotonic_ns() - start) / 1000000;
        if (r != run_cases[i].want || !str_ends(e.msg, run_cases[i].message))
            fail_msg("%s: got %d \"%s\"", run_cases[i].script, r, e.msg);
        if (ms > 5000)
            fail_msg("%s: took %d ms", run_cases[i].script, (int)ms);
    }
}

static void test_exec_failures(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct proc_cmd cmd = {.argv = ARGV("/nope/helper"), .stdin_fd = -1, .stdout_fd = -1};
    assert_int_equal(proc_run(&cmd, &e), 127);
    assert_string_equal(e.msg, "helper: exit status 127: No such file or directory");
    cmd.argv = ARGV("rootlet-no-such-program");
    assert_int_equal(proc_run(&cmd, &e), 127);
    cmd.argv = ARGV("/etc");
    assert_int_equal(proc_run(&cmd, &e), 126);
    assert_has(e.msg, "Permission denied");
    cmd.argv = ARGV("true");
    assert_int_equal(proc_run(&cmd, &e), 0);
    cmd.argv = ARGV("another-name", "-c", "exit 12");
    cmd.path = "/bin/sh";
    assert_int_equal(proc_run(&cmd, &e), 12);
    assert_string_equal(e.msg, "sh: exit status 12");
}

/* The three descriptors, the environment, and signals that only we block or ignore. */
static void test_surroundings(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(write(in[1], "input", 5), 5);
    close(in[1]);
    const char *script = "cat; env | grep -v -e PWD= -e _= -e SHLVL= | sort | tr '\\n' ' '";
    struct proc_cmd cmd = {
        .argv = ARGV("sh", "-c", script),
        .envp = ARGV("ONLY=this", "PATH=/bin:/usr/bin"),
        .stdin_fd = in[0],
        .stdout_fd = out[1],
    };
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    int r = proc_run(&cmd, &e);
    struct proc_cmd term = {
        .argv = ARGV("sh", "-c", "kill -TERM $$; exit 1"), .stdin_fd = -1, .stdout_fd = -1};
    int killed = proc_run(&term, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(r, 0);
    assert_int_equal(killed, 128 + SIGTERM);
    close(in[0]);
    close(out[1]);
    scoped_free char *text = NULL;
    fs_read_fd(out[0], 1000, &text, &e);
    close(out[0]);
    assert_string_equal(text, "inputONLY=this PATH=/bin:/usr/bin ");
}

/* Both run at once: the first one waits for what the second one writes. */
static void test_side_by_side(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct proc_child a, b;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct proc_cmd first = {
        .argv = ARGV("sh", "-c", "read x; exit $x"), .stdin_fd = fds[0], .stdout_fd = -1};
    struct proc_cmd second = {
        .argv = ARGV("sh", "-c", "echo 11; exit 2"), .stdin_fd = -1, .stdout_fd = fds[1]};
    assert_int_equal(proc_start(&first, &a, &e), 0);
    assert_int_equal(proc_start(&second, &b, &e), 0);
    assert_int_equal(proc_finish(&a, 10000, &e), 11);
    assert_int_equal(proc_finish(&b, 10000, &e), 2);
    close(fds[0]);
    close(fds[1]);
}

static void test_pidfd(void **state)
{
    (void)state;
    int pidfd = -1, status = 0;
    pid_t pid = fork_pidfd(&pidfd);
    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(fcntl(pidfd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(pidfd_poll(pidfd, 10), 0);
    assert_int_equal(pidfd_signal(pidfd, SIGTERM), 0);
    assert_int_equal(pidfd_poll(pidfd, 5000), 1);
    assert_int_equal(pidfd_wait(pidfd, &status), 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(wait_status_code(status), 143);
    assert_int_equal(pidfd_signal(pidfd, SIGTERM), -ESRCH);
    assert_int_equal(pidfd_wait(pidfd, &status), -ECHILD);
    close(pidfd);

    pid = fork_pidfd(&pidfd);
    if (pid == 0)
        _exit(42);
    assert_int_equal(pidfd_wait(pidfd, &status), 0);
    assert_int_equal(wait_status_code(status), 42);
    close(pidfd);
    assert_int_equal(pidfd_open_pid(-5), -EINVAL);
}

static void test_about(void **state)
{
    (void)state;
    uint64_t ours = 0, first = 0;
    char boot[40], again[40];
    assert_int_equal(proc_start_time(getpid(), &ours), 0);
    assert_int_equal(proc_start_time(1, &first), 0);
    assert_true(ours > 0 && ours >= first);
    assert_int_equal(proc_start_time(INT32_MAX, &ours), -ENOENT);
    assert_int_equal(proc_boot_id(boot), 0);
    assert_int_equal(proc_boot_id(again), 0);
    assert_int_equal(strlen(boot), 36);
    assert_string_equal(boot, again);
}

static void test_signals(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int want;
    } cases[] = {
        {"TERM", SIGTERM},
        {"SIGTERM", SIGTERM},
        {"sigkill", SIGKILL},
        {"15", 15},
        {"RTMIN+3", SIGRTMIN + 3},
        {"SIGRTMAX", SIGRTMAX},
        {"RTMAX-2", SIGRTMAX - 2},
        {"WINCH", SIGWINCH},
        {"IO", SIGIO},
        {"0", -EINVAL},
        {"65", -EINVAL},
        {"-9", -EINVAL},
        {"", -EINVAL},
        {"SIG", -EINVAL},
        {"RTMIN-1", -EINVAL},
        {"RTMIN+99", -EINVAL},
        {"NOPE", -EINVAL},
        {"RTMINX", -EINVAL},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        if (signal_parse(cases[i].text) != cases[i].want)
            fail_msg("%s: got %d", cases[i].text, signal_parse(cases[i].text));
    for (int sig = 1; sig < 32; sig++)
        assert_int_equal(signal_parse(signal_name(sig)), sig);
    assert_string_equal(signal_name(SIGRTMIN + 1), "SIGRTMIN+1");
    assert_string_equal(signal_name(99), "signal 99");
}

/* A lock dies with its holder, and is not taken on a file that has been replaced. */
static void test_lock(void **state)
{
    (void)state;
    struct unit_dir d = unit_dir_make();
    struct err e = ERR_INIT;
    assert_int_equal(lock_held(d.fd, "l"), 0);
    int fd = lock_take(d.fd, "l", LOCK_EXCLUSIVE, 0, &e);
    assert_true(fd >= 0);
    assert_int_equal(lock_held(d.fd, "l"), 1);
    int64_t start = time_monotonic_ns();
    assert_int_equal(lock_take(d.fd, "l", LOCK_SHARED, 50, &e), -EWOULDBLOCK);
    assert_true(time_monotonic_ns() - start >= 50000000);
    scoped_free char *holder = xasprintf("l: process %d (", (int)getpid());
    assert_has(e.msg, holder);

    int pidfd = -1, status = 0;
    if (fork_pidfd(&pidfd) == 0) {
        /* Waits for the file that is about to be replaced. */
        close(fd);
        int got = lock_take(d.fd, "l", LOCK_EXCLUSIVE, 5000, NULL);
        struct stat ours, named;
        fstat(got, &ours);
        _exit(got < 0 || fstatat(d.fd, "l", &named, 0) < 0 || ours.st_ino != named.st_ino);
    }
    usleep(20000);
    unlinkat(d.fd, "l", 0);
    scoped_fd int blocker = openat(d.fd, "l2", O_WRONLY | O_CREAT, 0600); /* keeps the inode away */
    unit_write(d.fd, "l", "");
    fd_close(&fd);
    assert_int_equal(pidfd_wait(pidfd, &status), 0);
    assert_int_equal(status, 0);
    close(pidfd);
    assert_int_equal(lock_held(d.fd, "l"), 0);

    scoped_fd int one = lock_take(d.fd, "l", LOCK_SHARED, 0, &e);
    scoped_fd int two = lock_take(d.fd, "l", LOCK_SHARED, 0, &e);
    assert_true(one >= 0 && two >= 0);
    assert_int_equal(lock_take(d.fd, "l", LOCK_EXCLUSIVE, 0, &e), -EWOULDBLOCK);
    unit_dir_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),          cmocka_unit_test(test_exec_failures),
        cmocka_unit_test(test_surroundings), cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_pidfd),        cmocka_unit_test(test_about),
        cmocka_unit_test(test_signals),      cmocka_unit_test(test_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
