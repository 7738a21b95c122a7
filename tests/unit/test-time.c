/* test-time - points in time, lengths of time, sizes, identifiers. */
#include "base/timefmt.h"

#include <time.h>

#include "base/id.h"
#include "unit.h"

#define S INT64_C(1000000000)

static void in_zone(const char *tz)
{
    setenv("TZ", tz, 1);
    tzset();
}

static void test_rfc3339(void **state)
{
    (void)state;
    static const struct {
        const char *tz;
        int64_t ns;
        const char *want;
    } cases[] = {
        {"UTC", 0, "0001-01-01T00:00:00Z"},
        {"UTC", 1700000000 * S + 123, "2023-11-14T22:13:20.000000123Z"},
        {"<+0530>-5:30", 1700000000 * S, "2023-11-15T03:43:20.000000000+05:30"},
        {"<-03>3", 1700000000 * S, "2023-11-14T19:13:20.000000000-03:00"},
        {"UTC", -1, "1969-12-31T23:59:59.999999999Z"},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        char buf[40];
        int64_t back = 0;
        in_zone(cases[i].tz);
        assert_string_equal(time_rfc3339(cases[i].ns, buf, sizeof(buf)), cases[i].want);
        if (cases[i].ns) {
            assert_int_equal(time_parse(buf, &back), 0);
            assert_int_equal(back, cases[i].ns);
        }
    }
    in_zone("UTC");
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } cases[] = {
        {"1700000000", 1700000000 * S},
        {"1700000000.5", 1700000000 * S + S / 2},
        {"0", 0},
        {"2023-11-14T22:13:20Z", 1700000000 * S},
        {"2023-11-14T22:13:20.25z", 1700000000 * S + S / 4},
        {"2023-11-14 23:13:20+01:00", 1700000000 * S},
        {"2023-11-14T22:13", 1699999980 * S},
        {"2023-11-14", 1699920000 * S},
        {"2024-02-29", 1709164800 * S},
        {"2023-02-29", -1},
        {"2023-13-01", -1},
        {"2023-00-01", -1},
        {"2023-11-14T24:00:00Z", -1},
        {"2023-11-14T22:13:20Zx", -1},
        {"2023-11-14T22:13:20+1:00", -1},
        {"9999-01-01T00:00:00Z", -1},
        {"99999999999999999999", -1},
        {"1.", -1},
        {"", -1},
        {"yesterday", -1},
        {"-5m", -1},
    };
    in_zone("UTC");
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        int64_t got = 0;
        int r = time_parse(cases[i].text, &got);
        if (cases[i].want < 0 ? r != -EINVAL : (r < 0 || got != cases[i].want))
            fail_msg("\"%s\": got %d, %lld", cases[i].text, r, (long long)got);
    }
    int64_t ago = 0;
    assert_int_equal(time_parse("1h30m", &ago), 0);
    int64_t off = time_now_ns() - 5400 * S - ago;
    assert_true(off >= -S && off < 5 * S);
}

static void test_human(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *want;
    } cases[] = {
        {-4, "Less than a second"}, {0, "Less than a second"}, {1, "1 second"},
        {59, "59 seconds"},         {60, "About a minute"},    {119, "About a minute"},
        {120, "2 minutes"},         {3599, "59 minutes"},      {3600, "About an hour"},
        {5400, "2 hours"},          {47 * 3600, "47 hours"},   {48 * 3600, "2 days"},
        {13 * 86400, "13 days"},    {14 * 86400, "2 weeks"},   {60 * 86400, "2 months"},
        {729 * 86400, "24 months"}, {730 * 86400, "2 years"},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        char buf[40];
        assert_string_equal(time_human(cases[i].seconds * S, buf, sizeof(buf)), cases[i].want);
    }
}

static void test_size(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *want;
    } cases[] = {
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1 kB"},
        {2080000, "2.08 MB"},
        {999499, "999 kB"},
        {999600, "1 MB"},
        {77800000, "77.8 MB"},
        {1230000000, "1.23 GB"},
        {UINT64_MAX, "18.4 EB"},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        char buf[40];
        assert_string_equal(size_human(cases[i].bytes, buf, sizeof(buf)), cases[i].want);
    }
}

static void test_id(void **state)
{
    (void)state;
    char a[ID_LEN + 1], b[ID_LEN + 1], uuid[37], name[32], odd[4];
    id_random(a);
    id_random(b);
    assert_int_equal(strlen(a), 64);
    assert_true(id_is_hex(a));
    assert_string_not_equal(a, b);
    id_random_hex(odd, 3);
    assert_int_equal(strlen(odd), 3);
    for (int i = 0; i < 200; i++) {
        id_random_name(name, sizeof(name));
        assert_true(id_name_valid(name));
        assert_non_null(strchr(name, '_'));
    }
    id_uuid("0123456789abcdef0123456789abcdef", uuid);
    assert_string_equal(uuid, "01234567-89ab-4def-8123-456789abcdef");
    id_uuid("", uuid);
    assert_string_equal(uuid, "00000000-0000-4000-8000-000000000000");

    char longest[130];
    memset(longest, 'a', 129);
    longest[129] = '\0';
    assert_false(id_name_valid(longest));
    longest[128] = '\0';
    assert_true(id_name_valid(longest));
    static const char *const bad[] = {"", "-a", ".a", "_a", "a/b", "a b", "a\n", "\xc3\xa9"};
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_false(id_name_valid(bad[i]));
    assert_true(id_name_valid("A0_.-z"));
    assert_false(id_is_hex("ABC"));
    assert_false(id_is_hex(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc3339), cmocka_unit_test(test_parse), cmocka_unit_test(test_human),
        cmocka_unit_test(test_size),    cmocka_unit_test(test_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
