/* Rows A14, B24, B25: maps are built by mode, written, and make the caller root inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "userns/userns.h"

static const char subid_text[] = "# comment\nother:500000:10\nme:100000:1000\n4242:300000:65536\n"
                                 "me:bad:1\nme:4294967290:100\nshort\n";

static void test_subids(void **state)
{
    (void)state;
    char path[] = "/tmp/test-subid-XXXXXX";
    struct err e = ERR_INIT;
    struct idmap m = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, subid_text, sizeof(subid_text) - 1), 0);
    close(fd);
    assert_int_equal(userns_subids(path, 4242, "me", &m, &e), 0);
    assert_int_equal(m.n, 2); /* by name and by number, largest first; broken lines do not count */
    assert_int_equal(m.v[0].outside, 300000);
    assert_int_equal(m.v[1].outside, 100000);
    free(m.v);
    unlink(path);
    assert_int_equal(userns_subids("/nonexistent/subid", 1, "x", &m, &e), 0);
    assert_int_equal(m.n, 0);
}

static struct {
    const char *uidmap[3];
    bool root_only; /* for others the ownership rule comes first */
    const char *want;
} explicit_cases[] = {
    {{"0", NULL}, false, "not INSIDE:OUTSIDE"},
    {{"0:x:1", NULL}, false, "not INSIDE:OUTSIDE"},
    {{"0:1:0", NULL}, false, "not INSIDE:OUTSIDE"},
    {{"0:4294967295:2", NULL}, false, "not INSIDE:OUTSIDE"},
    {{"0:10:5", "4:100:2", NULL}, true, "overlap"},
    {{"0:10:5", "9:14:2", NULL}, true, "overlap"},
};

static void test_explicit(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(explicit_cases); i++) {
        struct err e = ERR_INIT;
        struct userns_map m = {0};
        char *notice = NULL;
        int r = userns_map_build("", (char *const *)(uintptr_t)explicit_cases[i].uidmap, NULL, &m,
                                 &notice, &e);
        bool owned = geteuid() == 0 || !explicit_cases[i].root_only;
        assert_true(r < 0);
        assert_non_null(strstr(e.msg, owned ? explicit_cases[i].want : "not yours"));
        free(notice);
    }
}

static void test_translate(void **state)
{
    (void)state;
    struct idmap_line lines[] = {{0, 1000, 1}, {1, 100000, 65535}};
    struct idmap m = {lines, 2};
    assert_int_equal(idmap_to_host(&m, 0), 1000);
    assert_int_equal(idmap_to_host(&m, 65535), 165534);
    assert_int_equal(idmap_to_host(&m, 65536), -1);
    assert_int_equal(idmap_to_inside(&m, 100000), 1);
    assert_int_equal(idmap_to_inside(&m, 1001), -1);
}

static void test_bad_modes(void **state)
{
    (void)state;
    static const char *const modes[] = {"keepid", "keep-id:foo=1", "keep-idx", "auto:size=x"};
    for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
        struct err e = ERR_INIT;
        struct userns_map m = {0};
        char *notice = NULL;
        assert_true(userns_map_build(modes[i], NULL, NULL, &m, &notice, &e) < 0);
        assert_string_not_equal(e.msg, "");
        free(notice);
    }
}

static int inside(void *data, struct err *e)
{
    int *seen = data;
    if (geteuid() != 0 || getegid() != 0 || *seen != 7)
        return err_msg(e, EPERM, "not root inside");
    return err_hint(e, err_msg(e, EDOM, "spoken inside"), "heard outside");
}

/* Needs newuidmap for an ordinary user with subordinate ids; a single id needs nothing. */
static void test_run(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct userns_map m = {0};
    int seen = 7;
    assert_int_equal(userns_map_default(&m, &e), 0);
    int r = userns_run(&m, 0, inside, &seen, &e);
    if (r != -EDOM)
        fail_msg("%d %s", r, e.msg);
    assert_string_equal(e.msg, "spoken inside");
    assert_string_equal(e.hint, "heard outside");
    userns_map_release(&m);
}

static void test_write_refuses(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct userns_map empty = {0};
    assert_int_equal(userns_map_write(getpid(), -1, &empty, &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subids),    cmocka_unit_test(test_explicit),
        cmocka_unit_test(test_translate), cmocka_unit_test(test_bad_modes),
        cmocka_unit_test(test_run),       cmocka_unit_test(test_write_refuses),
    };
    return cmocka_run_group_tests_name("userns", tests, NULL, NULL);
}
