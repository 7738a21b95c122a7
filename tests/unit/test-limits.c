/* Limits and kernel parameters: names and texts; rlimits applied in a child. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/scoped.h"
#include "base/str.h"
#include "security/limits.h"

#define INF UINT64_MAX

static const struct {
    const char *text, *type;
    uint64_t soft, hard;
    const char *want; /* NULL: accepted */
} limit_cases[] = {
    {"nofile=1024:2048", "RLIMIT_NOFILE", 1024, 2048, NULL},
    {"nofile=1024", "RLIMIT_NOFILE", 1024, 1024, NULL},
    {"core=-1", "RLIMIT_CORE", INF, INF, NULL},
    {"core=0:-1", "RLIMIT_CORE", 0, INF, NULL},
    {"memlock=unlimited", "RLIMIT_MEMLOCK", INF, INF, NULL},
    {"RLIMIT_NPROC=5:6", "RLIMIT_NPROC", 5, 6, NULL},
    {"Stack=8192", "RLIMIT_STACK", 8192, 8192, NULL},
    {"nofile=2048:1024", NULL, 0, 0, "soft limit is above"},
    {"nofile=-1:1024", NULL, 0, 0, "soft limit is above"},
    {"nofile", NULL, 0, 0, "want NAME=SOFT[:HARD]"},
    {"=5", NULL, 0, 0, "want NAME=SOFT[:HARD]"},
    {"nofile=", NULL, 0, 0, "want numbers"},
    {"nofile=1:", NULL, 0, 0, "want numbers"},
    {"nofile=1:2:3", NULL, 0, 0, "want numbers"},
    {"nofile=1k", NULL, 0, 0, "want numbers"},
    {"nofile=-2", NULL, 0, 0, "want numbers"},
    {"nofile=99999999999999999999", NULL, 0, 0, "want numbers"},
    {"files=5", NULL, 0, 0, "known: as core cpu data fsize locks"},
};

static void test_limit_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(limit_cases); i++) {
        struct err e = ERR_INIT;
        struct spec_rlimit l = {0};
        int r = limit_parse(limit_cases[i].text, &l, &e);
        assert_int_equal(r, limit_cases[i].want ? -EINVAL : 0);
        if (limit_cases[i].want) {
            assert_null(l.type); /* untouched */
            if (!strstr(e.msg, limit_cases[i].want))
                fail_msg("%s: %s", limit_cases[i].text, e.msg);
            continue;
        }
        assert_string_equal(l.type, limit_cases[i].type);
        assert_int_equal(l.soft, limit_cases[i].soft);
        assert_int_equal(l.hard, limit_cases[i].hard);
        free(l.type);
    }
}

static int in_child(const struct spec_rlimit *v, size_t n, int (*check)(int r, struct err *e))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        int r = limits_apply(v, n, &e);
        if (r == 0)
            r = limits_apply_files(v, n, &e);
        _exit(check(r, &e));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int check_applied(int r, struct err *e)
{
    struct rlimit l;
    (void)e;
    if (r < 0 || getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur != 50 || l.rlim_max != 60)
        return 1;
    return getrlimit(RLIMIT_CORE, &l) < 0 || l.rlim_cur != 0 || l.rlim_max != 0;
}

static int check_unknown(int r, struct err *e)
{
    return r != -EINVAL || !strstr(e->msg, "RLIMIT_FUN");
}

static void test_apply(void **state)
{
    (void)state;
    char nofile[] = "RLIMIT_NOFILE", core[] = "RLIMIT_CORE", fun[] = "RLIMIT_FUN";
    const struct spec_rlimit good[] = {{.type = nofile, .soft = 50, .hard = 60}, {.type = core}};
    assert_int_equal(in_child(good, 2, check_applied), 0);
    const struct spec_rlimit bad[] = {{.type = fun, .soft = 1, .hard = 1}};
    assert_int_equal(in_child(bad, 1, check_unknown), 0);
}

static int check_refused(int r, struct err *e)
{
    return r != -EPERM || !strstr(e->msg, "nofile") || !strstr(e->hint, "hard limit");
}

static void test_raise_refused(void **state)
{
    (void)state;
    int status = 0;
    char nofile[] = "RLIMIT_NOFILE";
    const struct spec_rlimit low = {.type = nofile, .soft = 50, .hard = 60},
                             high = {.type = nofile, .soft = 50, .hard = 70};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        if (limits_apply(&low, 1, &e) < 0 || limits_apply_files(&low, 1, &e) < 0 ||
            (getuid() == 0 && setresuid(12345, 12345, 12345) < 0))
            _exit(2);
        _exit(check_refused(limits_apply(&high, 1, &e), &e));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static const struct {
    const char *key;
    bool net, ipc, uts;
    int want;
    const char *part; /* of the message */
} sysctl_cases[] = {
    {"net.ipv4.ip_forward", true, false, false, 0, ""},
    {"net/ipv4/conf/eth0.1/forwarding", true, false, false, 0, ""},
    {"net.ipv4.ip_forward", false, true, true, -EPERM, "needs a network namespace"},
    {"kernel.shmmax", false, true, false, 0, ""},
    {"kernel.msgmnb", false, true, false, 0, ""},
    {"kernel.sem", false, true, false, 0, ""},
    {"kernel.shm_rmid_forced", false, true, false, 0, ""},
    {"fs.mqueue.msg_max", false, true, false, 0, ""},
    {"kernel.sem", true, false, true, -EPERM, "needs an IPC namespace"},
    {"kernel.hostname", true, true, true, -EINVAL, "use --hostname"},
    {"kernel.domainname", false, false, true, 0, ""},
    {"kernel.domainname", true, true, false, -EPERM, "needs a UTS namespace"},
    {"kernel.panic", true, true, true, -EINVAL, "not separate for a container"},
    {"kernel.shmmaxx", true, true, true, -EINVAL, "not separate"},
    {"kernel.core_pattern", true, true, true, -EINVAL, "not separate"},
    {"vm.swappiness", true, true, true, -EINVAL, "not separate"},
    {"user.max_user_namespaces", true, true, true, -EINVAL, "not separate"},
    {"network.x", true, true, true, -EINVAL, "not separate"},
    {"net", true, true, true, -EINVAL, "not separate"},
    {"net..x", true, true, true, -EINVAL, "not the name"},
    {"net.", true, true, true, -EINVAL, "not the name"},
    {"net/../kernel/panic", true, true, true, -EINVAL, "not the name"},
    {"net.ipv4./../../kernel/panic", true, true, true, -EINVAL, "not the name"},
    {"net.ipv4.x y", true, true, true, -EINVAL, "not the name"},
    {"", true, true, true, -EINVAL, "not the name"},
};

static void test_sysctl_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(sysctl_cases); i++) {
        struct err e = ERR_INIT;
        int r = sysctl_check(sysctl_cases[i].key, sysctl_cases[i].net, sysctl_cases[i].ipc,
                             sysctl_cases[i].uts, &e);
        if (r != sysctl_cases[i].want || !strstr(e.msg, sysctl_cases[i].part))
            fail_msg("%s: %d %s", sysctl_cases[i].key, r, e.msg);
    }
}

static void test_sysctl_apply(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char *none[] = {NULL}, *bad[] = {(char *)"novalue", NULL};
    char *missing[] = {(char *)"net.nothing.here=1", NULL};
    assert_int_equal(sysctl_apply(NULL, &e), 0);
    assert_int_equal(sysctl_apply(none, &e), 0);
    assert_int_equal(sysctl_apply(bad, &e), -EINVAL);
    assert_int_equal(sysctl_apply(missing, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "sysctl net.nothing.here"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_parse),   cmocka_unit_test(test_apply),
        cmocka_unit_test(test_raise_refused), cmocka_unit_test(test_sysctl_check),
        cmocka_unit_test(test_sysctl_apply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
