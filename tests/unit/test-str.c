/* test-str - growing strings, vectors, and the parsers of numbers. */
#include "base/strv.h"
#include "unit.h"

static void test_str(void **state)
{
    (void)state;
    scoped_str struct str s = STR_INIT;
    assert_string_equal(s.s, "");
    str_add(&s, "ab");
    str_addc(&s, 'c');
    str_addf(&s, "%d", 42);
    assert_string_equal(s.s, "abc42");
    assert_int_equal(s.len, 5);
    str_reset(&s);
    assert_string_equal(s.s, "");
    for (int i = 0; i < 1000; i++)
        str_addf(&s, "%0300d", i); /* longer than the scratch buffer of str_addv */
    assert_int_equal(s.len, 300000);
    assert_int_equal(strlen(s.s), 300000);
    scoped_free char *text = str_detach(&s);
    assert_string_equal(text + 299997, "999");
    assert_string_equal(s.s, "");
    scoped_free char *empty = str_detach(&s);
    assert_string_equal(empty, "");
    assert_null(xstrdup(NULL));
}

static void test_affixes(void **state)
{
    (void)state;
    assert_string_equal(str_after("docker://x", "docker://"), "x");
    assert_null(str_after("dock", "docker"));
    assert_true(str_ends("a.tar", ".tar"));
    assert_false(str_ends("tar", ".tar"));
    assert_true(streq(NULL, NULL));
    assert_false(streq("a", NULL));
}

struct number_case {
    const char *text;
    int want; /* 0, -EINVAL, -ERANGE */
    uint64_t value;
};

static void check_numbers(int (*parse)(const char *, uint64_t *), const struct number_case *cases)
{
    for (; cases->text; cases++) {
        uint64_t v = 77;
        int r = parse(cases->text, &v);
        uint64_t want = cases->want ? 77 : cases->value; /* untouched on failure */
        if (r != cases->want || v != want)
            fail_msg("\"%s\": got %d, %llu", cases->text, r, (unsigned long long)v);
    }
}

static int u32(const char *s, uint64_t *ret)
{
    uint32_t v = (uint32_t)*ret;
    int r = parse_u32(s, &v);
    *ret = v;
    return r;
}

static int octal(const char *s, uint64_t *ret)
{
    uint32_t v = (uint32_t)*ret;
    int r = parse_octal(s, &v);
    *ret = v;
    return r;
}

static int i64(const char *s, uint64_t *ret)
{
    int64_t v = (int64_t)*ret;
    int r = parse_i64(s, &v);
    *ret = (uint64_t)v;
    return r;
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct number_case u64_cases[] = {
        {"0", 0, 0},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"99999999999999999999x", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {NULL},
    };
    static const struct number_case u32_cases[] = {
        {"4294967295", 0, UINT32_MAX}, {"4294967296", -ERANGE, 0}, {"1.5", -EINVAL, 0}, {NULL}};
    static const struct number_case octal_cases[] = {
        {"0755", 0, 0755}, {"1777", 0, 01777}, {"8", -EINVAL, 0}, {"", -EINVAL, 0}, {NULL}};
    static const struct number_case i64_cases[] = {
        {"-9223372036854775808", 0, (uint64_t)INT64_MIN},
        {"9223372036854775807", 0, INT64_MAX},
        {"9223372036854775808", -ERANGE, 0},
        {"-9223372036854775809", -ERANGE, 0},
        {"--1", -EINVAL, 0},
        {"-", -EINVAL, 0},
        {NULL},
    };
    check_numbers(parse_u64, u64_cases);
    check_numbers(u32, u32_cases);
    check_numbers(octal, octal_cases);
    check_numbers(i64, i64_cases);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"512", 0, 512},           {"64m", 0, 64 << 20},
        {"64M", 0, 64 << 20},      {"64mb", 0, 64 << 20},
        {"64MiB", 0, 64 << 20},    {"1.5g", 0, UINT64_C(1610612736)},
        {"0.5k", 0, 512},          {"10b", 0, 10},
        {"1 GB", 0, 1 << 30},      {"16777215t", 0, UINT64_C(16777215) << 40},
        {"16777216t", -ERANGE, 0}, {"99999999999999999999", -ERANGE, 0},
        {"-1", -EINVAL, 0},        {"m", -EINVAL, 0},
        {"", -EINVAL, 0},          {"1x", -EINVAL, 0},
        {"1mm", -EINVAL, 0},       {"1bb", -EINVAL, 0},
        {"1.m", -EINVAL, 0},       {NULL},
    };
    check_numbers(parse_size, cases);
}

static void test_durations(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"10", 0, 10000},
        {"0", 0, 0},
        {"10s", 0, 10000},
        {"1h30m", 0, 5400000},
        {"250ms", 0, 250},
        {"1.5s", 0, 1500},
        {"2m3.25s", 0, 123250},
        {"1500us", 0, 1},
        {"30\xc2\xb5s", 0, 0},
        {"1s5", -EINVAL, 0},
        {"s", -EINVAL, 0},
        {"-1s", -EINVAL, 0},
        {"1d", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"18446744073709551615h", -ERANGE, 0},
        {NULL},
    };
    check_numbers(parse_duration_ms, cases);
}

static void test_bool(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int want; /* 1, 0, -EINVAL */
    } cases[] = {{"true", 1}, {"TRUE", 1}, {"1", 1}, {"yes", 1},         {"on", 1},    {"false", 0},
                 {"0", 0},    {"no", 0},   {"f", 0}, {"maybe", -EINVAL}, {"", -EINVAL}};
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        bool v = false;
        int r = parse_bool(cases[i].text, &v);
        assert_int_equal(r < 0 ? r : v, cases[i].want);
    }
}

static void test_strv(void **state)
{
    (void)state;
    scoped_strv char **v = NULL;
    assert_int_equal(strv_len(v), 0);
    strv_add(&v, "b");
    strv_addf(&v, "%c", 'c');
    strv_insert(&v, 0, "a");
    strv_insert(&v, 99, "d");
    scoped_free char *joined = strv_join(v, "-");
    assert_string_equal(joined, "a-b-c-d");

    scoped_strv char **copy = strv_dup(v);
    strv_extend(&copy, v);
    strv_remove(copy, "b");
    assert_int_equal(strv_len(copy), 6);
    assert_false(strv_has(copy, "b"));
    strv_sort(copy);
    scoped_free char *sorted = strv_join(copy, "");
    assert_string_equal(sorted, "aaccdd");

    scoped_strv char **kept = strv_split(",a,,b", ",", true),
                     **tight = strv_split(",a,,b", ",", false);
    assert_int_equal(strv_len(kept), 4);
    assert_int_equal(strv_len(tight), 2);
    assert_string_equal(tight[1], "b");
}

static void test_env(void **state)
{
    (void)state;
    scoped_strv char **v = NULL;
    strv_env_set(&v, "PATH=/bin");
    strv_env_set(&v, "PATHX=1");
    strv_env_set(&v, "PATH=/usr/bin=x");
    assert_int_equal(strv_len(v), 2);
    assert_string_equal(strv_env_get(v, "PATH"), "/usr/bin=x");
    assert_null(strv_env_get(v, "PAT"));
    strv_env_unset(v, "PATH");
    assert_null(strv_env_get(v, "PATH"));
    assert_string_equal(strv_env_get(v, "PATHX"), "1");
    strv_env_unset(NULL, "X");
    scoped_strv char **repeated = strv_split("A=1,AB=2,A,A=3,=x,B=,A=4,B=5", ",", false);
    scoped_strv char **once = strv_env_dup(repeated);
    scoped_free char *joined = strv_join(once, ",");
    assert_string_equal(joined, "AB=2,=x,A=4,B=5");
    assert_null(strv_env_dup(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str),       cmocka_unit_test(test_affixes),
        cmocka_unit_test(test_numbers),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations), cmocka_unit_test(test_bool),
        cmocka_unit_test(test_strv),      cmocka_unit_test(test_env),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
