/* test-err - message chains, their limits, and escaping. */
#include "unit.h"

static void test_set(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    err_hint(&e, 0, "old hint");
    assert_int_equal(err_set(&e, ENOENT, "open %s", "/x"), -ENOENT);
    assert_string_equal(e.msg, "open /x: No such file or directory");
    assert_string_equal(e.hint, "");
    assert_int_equal(e.errnum, ENOENT);
    assert_int_equal(err_msg(&e, EINVAL, "want a name"), -EINVAL);
    assert_string_equal(e.msg, "want a name");
    assert_int_equal(err_add(&e, -EINVAL, "start %s", "web"), -EINVAL);
    assert_string_equal(e.msg, "start web: want a name");
    assert_int_equal(e.errnum, EINVAL);
    assert_int_equal(err_set(NULL, EPERM, "nobody listens"), -EPERM);
    assert_true(err_set(&e, 0, "no reason") < 0);
}

/* Who adds an object that the message names already does not say it twice. */
static void test_object_once(void **state)
{
    static const char *const t[][3] = {
        {"pull a/b:1", "a/b:1: gone", "pull a/b:1: gone"},
        {"a", "a: gone", "a: gone"},
        {"copy docker://a/b", "a/b: gone", "copy docker://a/b: gone"},
        {"pull a/b", "a/b:1: gone", "pull a/b: a/b:1: gone"},
        {"pull b", "a/b: gone", "pull b: a/b: gone"},
        {"open ", ": gone", "open : : gone"},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(t); i++) {
        struct err e = ERR_INIT;
        err_msg(&e, EIO, "%s", t[i][1]);
        err_add(&e, -EIO, "%s", t[i][0]);
        assert_string_equal(e.msg, t[i][2]);
    }
}

static void test_hint_and_exit(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    assert_int_equal(err_hint(&e, -5, "first %d", 1), -5);
    err_hint(&e, -5, "second");
    assert_string_equal(e.hint, "first 1");
    assert_int_equal(err_exit(&e, -7, 126), -7);
    err_exit(&e, -7, 127);
    assert_int_equal(e.exit_status, 126);
    err_clear(&e);
    assert_int_equal(e.exit_status, 0);
    assert_string_equal(e.hint, "");
}

static void test_cause_stays(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    err_set(&e, ENOSPC, "write blob");
    for (int i = 0; i < 500; i++)
        err_add(&e, -ENOSPC, "context %d", i);
    assert_true(strlen(e.msg) < sizeof(e.msg));
    assert_true(strlen(e.msg) > sizeof(e.msg) - 10);
    assert_true(str_ends(e.msg, ": write blob: No space left on device"));
    assert_non_null(str_after(e.msg, "..."));

    char path[4096];
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    err_set(&e, EACCES, "open %s", path);
    assert_true(str_ends(e.msg, "ppp: Permission denied"));
}

static void test_cut_between_characters(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_str struct str text = STR_INIT;
    for (int i = 0; i < 700; i++)
        str_add(&text, "\xc3\xa9");
    for (int shift = 0; shift < 2; shift++) {
        err_msg(&e, EINVAL, "%s%s", text.s, shift ? "x" : "");
        assert_memory_equal(e.msg, "...\xc3\xa9", 5);
    }
}

static void test_errno_kept(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    errno = EXDEV;
    err_set(&e, ENOENT, "x");
    err_add(&e, -1, "y");
    err_hint(&e, -1, "z");
    assert_int_equal(errno, EXDEV);
}

static const struct {
    const char *in, *want;
} escape_cases[] = {
    {"plain", "plain"},
    {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7"},
    {"a\x1b[31mb\n", "a\\x1b[31mb\\x0a"},
    {"\x7f", "\\x7f"},
    {"\xc2\x9b", "\\xc2\\x9b"},                   /* C1: CSI */
    {"\xe2\x80\xae", "\\xe2\\x80\\xae"},          /* right-to-left override */
    {"\xff\xc3", "\\xff\\xc3"},                   /* not UTF-8, cut UTF-8 */
    {"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* surrogate */
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
};

static void test_escape(void **state)
{
    (void)state;
    char buf[64];
    for (size_t i = 0; i < N_ELEMENTS(escape_cases); i++)
        assert_string_equal(err_escape(buf, sizeof(buf), escape_cases[i].in), escape_cases[i].want);
    /* Cut, but never inside an escape. */
    assert_string_equal(err_escape(buf, 6, "ab\n\n"), "ab");
    assert_string_equal(err_escape(buf, 7, "ab\n\n"), "ab\\x0a");
    assert_string_equal(err_escape(buf, 1, "ab"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_object_once),
        cmocka_unit_test(test_hint_and_exit),
        cmocka_unit_test(test_cause_stays),
        cmocka_unit_test(test_cut_between_characters),
        cmocka_unit_test(test_errno_kept),
        cmocka_unit_test(test_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
