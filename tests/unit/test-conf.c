/* Settings: file < environment < flag; unknown and broken lines are named with file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "conf/conf.h"

static char dir[] = "/tmp/test-conf-XXXXXX";

static void put(const char *text)
{
    struct err e = ERR_INIT;
    scoped_free char *sub = path_join(dir, "rootlet");
    int fd = fs_open_dir(sub, true, 0700, &e);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_atomic(fd, "rootlet.conf", text, strlen(text), 0600, FS_NO_SYNC, &e),
                     0);
    close(fd);
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    setenv("XDG_CONFIG_HOME", dir, 1);
    setenv("XDG_RUNTIME_DIR", dir, 1);
    setenv("HOME", dir, 1);
    unsetenv("XDG_DATA_HOME");
    unsetenv("ROOTLET_CGROUPS");
    unsetenv("ROOTLET_ROOT");
    unsetenv("ROOTLET_RUNROOT");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return fs_remove_tree(AT_FDCWD, dir, NULL);
}

static void test_order(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct conf c = {0};
    put("# a comment\n cgroups = \"disabled\" # why\nuserns=keep-id\nstop_timeout = 3\n");
    assert_int_equal(conf_load(NULL, &c, &e), 0);
    assert_string_equal(c.cgroups, "disabled");
    assert_string_equal(c.userns, "keep-id");
    assert_string_equal(strv_env_get(c.extra, "stop_timeout"), "3");
    assert_true(str_ends(c.root, "/.local/share/rootlet"));
    conf_release(&c);

    setenv("ROOTLET_CGROUPS", "from-env", 1);
    assert_int_equal(conf_load(NULL, &c, &e), 0);
    assert_string_equal(c.cgroups, "from-env");
    conf_release(&c);
    char flag[] = "cgroups=from-flag", *flags[] = {flag, NULL};
    assert_int_equal(conf_load(flags, &c, &e), 0);
    assert_string_equal(c.cgroups, "from-flag");
    conf_release(&c);
    unsetenv("ROOTLET_CGROUPS");
}

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"ok\n", "rootlet.conf:1: no \"=\""},
        {"\nnosuch = 1\n", "rootlet.conf:2: unknown setting \"nosuch\""},
        {"cgroups = \"open\n", "quotes"},
        {"root = relative\n", "absolute"},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        struct conf c = {0};
        put(cases[i].text);
        assert_true(conf_load(NULL, &c, &e) < 0);
        if (!strstr(e.msg, cases[i].want))
            fail_msg("%s lacks %s", e.msg, cases[i].want);
    }
    put("");
}

static void test_run_root_must_be_private(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct conf c = {0};
    scoped_free char *flag = xasprintf("runroot=%s/run", dir), *path = path_join(dir, "run");
    char *flags[] = {flag, NULL};
    assert_int_equal(conf_load(flags, &c, &e), 0);
    int fd = conf_open_run(&c, "", true, &e);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(chmod(path, 0755), 0);
    assert_true(conf_open_run(&c, "", true, &e) < 0);
    assert_non_null(strstr(e.msg, "must be yours, 0700"));
    conf_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_run_root_must_be_private),
    };
    return cmocka_run_group_tests_name("conf", tests, setup, teardown);
}
