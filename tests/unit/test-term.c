/* term: detach keys, raw mode, size. */
#include "unit.h"

#include <stdlib.h>

#include "term/term.h"

static void parse(const char *text, struct detach_keys *ret)
{
    struct err e = ERR_INIT;
    if (detach_keys_parse(text, ret, &e) < 0)
        fail_msg("%s", e.msg);
}

static void test_parse(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "ctrl-", "ctrl-1", "ctrl-P", "xy", "a,ctrl-pp", " ", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"};
    struct detach_keys k;
    struct err e = ERR_INIT;
    parse("ctrl-p,ctrl-q", &k);
    assert_int_equal(k.n, 2);
    assert_int_equal(k.seq[0], 16);
    assert_int_equal(k.seq[1], 17);
    parse("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,a,~", &k);
    static const unsigned char want[] = {0, 27, 28, 29, 30, 31, 'a', '~'};
    assert_int_equal(k.n, sizeof(want));
    assert_memory_equal(k.seq, want, sizeof(want));
    parse("", &k);
    assert_int_equal(k.n, 0);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(detach_keys_parse(bad[i], &k, &e), -EINVAL);
}

/* Feeds in pieces of `step`; returns what came out, sets *ret_detached. */
static const char *feed(const char *keys, const char *in, size_t step, bool *ret_detached)
{
    static char out[256];
    struct detach_keys k;
    size_t done = 0, n = strlen(in);
    parse(keys, &k);
    *ret_detached = false;
    for (size_t i = 0; i < n && !*ret_detached; i += step) {
        size_t got = 0, len = n - i < step ? n - i : step;
        *ret_detached = detach_keys_feed(&k, (const unsigned char *)in + i, len,
                                         (unsigned char *)out + done, &got);
        done += got;
    }
    out[done] = '\0';
    return out;
}

static void test_feed(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *in, *out;
        bool detached;
    } cases[] = {
        {"ctrl-p,ctrl-q", "hello", "hello", false},
        {"ctrl-p,ctrl-q", "ab\x10\x11more", "ab", true},
        {"ctrl-p,ctrl-q", "ab\x10x", "ab\x10x", false},
        {"ctrl-p,ctrl-q", "\x10\x10\x11", "\x10", true},
        {"ctrl-p,ctrl-q", "\x10", "", false}, /* held back */
        {"ctrl-p,ctrl-q", "\x11\x10", "\x11", false},
        {"a,a,b", "aaab", "a", true},
        {"a,a,b", "aaaac", "aaaac", false},
        {"a,b,a,c", "ababac", "ab", true},
        {"x", "yx", "y", true},
        {"", "a\x10\x11", "a\x10\x11", false},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        for (size_t step = 1; step < 8; step++) {
            bool detached;
            assert_string_equal(feed(cases[i].keys, cases[i].in, step, &detached), cases[i].out);
            assert_int_equal(detached, cases[i].detached);
        }
}

static void test_raw(void **state)
{
    (void)state;
    scoped_fd int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    scoped_fd int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    struct termios t;
    uint16_t rows, columns;
    {
        scoped_term struct term_saved saved = TERM_SAVED_INIT;
        assert_int_equal(term_raw(slave, &saved), 0);
        assert_int_equal(tcgetattr(slave, &t), 0);
        assert_false(t.c_lflag & (ICANON | ECHO | ISIG));
    }
    assert_int_equal(tcgetattr(slave, &t), 0);
    assert_true(t.c_lflag & ICANON);
    assert_true(t.c_lflag & ECHO);
    assert_int_equal(term_set_size(master, 33, 77), 0);
    assert_int_equal(term_size(slave, &rows, &columns), 0);
    assert_int_equal(rows, 33);
    assert_int_equal(columns, 77);

    scoped_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct term_saved saved = TERM_SAVED_INIT;
    assert_int_equal(term_raw(null_fd, &saved), -ENOTTY);
    assert_int_equal(term_size(null_fd, &rows, &columns), -ENOTTY);
    term_restore(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_feed),
        cmocka_unit_test(test_raw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
