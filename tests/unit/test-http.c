/* What registries say in headers and lists: challenges, locations, ranges, waits, tokens. */
#include "base/strv.h"
#include "registry/challenge.h"
#include "registry/client-priv.h"
#include "registry/token.h"
#include "unit.h"

static void test_challenge(void **state)
{
    struct challenges c = {0};
    struct err e = ERR_INIT;
    (void)state;
    assert_int_equal(
        challenge_parse("Bearer realm=\"https://auth.example/token\",service=\"registry.example\","
                        "scope=\"repository:a/b:pull,push\", error=\"invalid_token\"",
                        &c, &e),
        0);
    const struct challenge *b = challenges_find(&c, "bearer");
    assert_non_null(b);
    assert_string_equal(b->realm, "https://auth.example/token");
    assert_string_equal(b->service, "registry.example");
    assert_string_equal(b->scope, "repository:a/b:pull,push");
    assert_string_equal(b->error, "invalid_token");
    /* Several in one header, and more of them in the next one. */
    assert_int_equal(
        challenge_parse("Negotiate, NTLM TlRMTVNTUAAB==, basic Realm=\"a \\\"b\\\" c\"", &c, &e),
        0);
    assert_int_equal(c.n, 4);
    assert_non_null(challenges_find(&c, "negotiate"));
    assert_non_null(challenges_find(&c, "ntlm"));
    assert_string_equal(challenges_find(&c, "basic")->realm, "a \"b\" c");
    assert_null(challenges_find(&c, "digest"));
    challenges_release(&c);
    /* Without quotes, with spaces, and the first of two counts. */
    assert_int_equal(
        challenge_parse("BEARER realm = https://a.example/t?x=1 , service=x,realm=y", &c, &e), 0);
    assert_string_equal(c.v[0].realm, "https://a.example/t?x=1");
    assert_string_equal(c.v[0].service, "x");
    challenges_release(&c);
}

static void test_bad_challenges(void **state)
{
    static const char *const bad[] = {"Bearer realm=\"x",
                                      "Bearer realm=\"x\n\"",
                                      "=",
                                      "Bearer realm=\"a\" b",
                                      "\"x\"",
                                      "Bearer realm=\"\\",
                                      "a/b c=d",
                                      "Basic realm=\x15"};
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct challenges c = {0};
        if (challenge_parse(bad[i], &c, NULL) != -EINVAL)
            fail_msg("%s was read", bad[i]);
        challenges_release(&c);
    }
    struct challenges c = {0};
    scoped_str struct str text = STR_INIT;
    str_add(&text, "Bearer realm=\"");
    while (text.len < 9000)
        str_addc(&text, 'x');
    str_add(&text, "\"");
    assert_int_equal(challenge_parse(text.s, &c, NULL), -EFBIG);
    assert_int_equal(challenge_parse(" , ", &c, NULL), 0);
    assert_int_equal(c.n, 0);
}

static void test_location(void **state)
{
    static const char *const base = "https://r.example:5000/v2/a/blobs/uploads/?x=1";
    static const char *const cases[][2] = {
        {"https://s.example/blob?sig=%2F", "https://s.example/blob?sig=%2F"},
        {"HTTPS://s.example/", "HTTPS://s.example/"},
        {"//s.example/x", "https://s.example/x"},
        {"/v2/a/blobs/uploads/77?_state=q",
         "https://r.example:5000/v2/a/blobs/uploads/77?_state=q"},
        {"?y=2", "https://r.example:5000/v2/a/blobs/uploads/?y=2"},
        {"77", "https://r.example:5000/v2/a/blobs/uploads/77"},
        {"/x#part", "https://r.example:5000/x"},
        {"http://[::1]:80/x", "http://[::1]:80/x"},
    };
    static const char *const bad[] = {"",
                                      "file:///etc/passwd",
                                      "gopher://x/",
                                      "https://",
                                      "//",
                                      "https://u:p@s.example",
                                      "/a b",
                                      "/a\tb",
                                      "/\x1b[2J",
                                      "/\xc3\xa4",
                                      "javascript:x",
                                      "/a\\b",
                                      "data:,x",
                                      "//@s.example/x",
                                      "https:#//x",
                                      "https:x"};
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        scoped_free char *got = location_resolve(base, cases[i][0], NULL);
        assert_string_equal(got ? got : "(refused)", cases[i][1]);
    }
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct err e = ERR_INIT;
        scoped_free char *got = location_resolve(base, bad[i], &e);
        if (got)
            fail_msg("%s gave %s", bad[i], got);
        assert_true(e.errnum == EPROTO || e.errnum == EPERM);
    }
    scoped_free char *bare = location_resolve("http://r.example", "x", NULL);
    assert_string_equal(bare, "http://r.example/x");
}

static void test_link(void **state)
{
    static const char *const base = "https://r.example/v2/a/tags/list?n=5";
    static const char *const cases[][2] = {
        {"</v2/a/tags/list?last=b&n=5>; rel=\"next\"",
         "https://r.example/v2/a/tags/list?last=b&n=5"},
        {"<x>; rel=prev, <y>; title=\"a, b; rel=next\"; rel=next", "https://r.example/v2/a/tags/y"},
        {"<https://o.example/z>;rel=NEXT", "https://o.example/z"},
        {"<x>; rel=\"last\"", NULL},
        {"<x", NULL},
        {"<file:///x>; rel=next", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        scoped_free char *got = link_next(base, cases[i][0]);
        assert_string_equal(got ? got : "(none)", cases[i][1] ? cases[i][1] : "(none)");
    }
}

static void test_ranges(void **state)
{
    static const char *const bad[] = {"",
                                      "bytes",
                                      "bytes 5-4/10",
                                      "bytes 5-10/10",
                                      "lines 1-2/3",
                                      "bytes */10",
                                      "bytes 1-2/3x",
                                      "bytes -1-2/3",
                                      "bytes 0-1/ 5 ",
                                      "bytes 1-99999999999999999999/*"};
    uint64_t first, last, size;
    (void)state;
    assert_int_equal(content_range_parse("bytes 5-9/10", &first, &last, &size), 0);
    assert_true(first == 5 && last == 9 && size == 10);
    assert_int_equal(content_range_parse("bytes 7-7/*", &first, &last, &size), 0);
    assert_true(first == 7 && size == UINT64_MAX);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        if (content_range_parse(bad[i], &first, &last, &size) != -EINVAL)
            fail_msg("%s was read", bad[i]);
    }
    assert_int_equal(upload_range_parse("0-1023", &size), 0);
    assert_true(size == 1024);
    assert_int_equal(upload_range_parse("bytes=0-9", &size), 0);
    assert_true(size == 10);
    assert_int_equal(upload_range_parse("0-0", &size), 0);
    assert_true(size == 0);
    assert_int_equal(upload_range_parse("5-9", &size), -EINVAL);
    assert_int_equal(upload_range_parse("0-", &size), -EINVAL);
}

static void test_retry_after(void **state)
{
    static const char *const bad[] = {
        "",  "-1", "soon", "1.5", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT",
        "5 "};
    uint64_t ms;
    (void)state;
    assert_int_equal(retry_after_parse("7", 0, &ms), 0);
    assert_true(ms == 7000);
    assert_int_equal(retry_after_parse("86400", 0, &ms), 0);
    assert_true(ms == 60000);
    assert_int_equal(retry_after_parse("99999999999999999999999", 0, &ms), 0);
    assert_true(ms == 60000);
    assert_int_equal(retry_after_parse("Sun, 06 Nov 1994 08:49:37 GMT", 784111767, &ms), 0);
    assert_true(ms == 10000);
    assert_int_equal(retry_after_parse("Sun, 06 Nov 1994 08:49:37 GMT", 784111778, &ms), 0);
    assert_true(ms == 0);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (retry_after_parse(bad[i], 0, &ms) != -EINVAL)
            fail_msg("%s was read", bad[i]);
}

static void test_token(void **state)
{
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "{\"token\":\"\"}",
                                      "{\"token\":\"a b\"}",
                                      "{\"token\":\"a\\r\\nX: y\"}",
                                      "{\"token\":7}",
                                      "x"};
    static const struct {
        const char *text, *token;
        int64_t until;
    } good[] = {
        {"{\"token\":\"abc\"}", "abc", 1060},
        {"{\"access_token\":\"abc\",\"expires_in\":300}", "abc", 1300},
        {"{\"token\":\"\",\"access_token\":\"d\",\"expires_in\":1}", "d", 1060},
        {"{\"token\":\"e\",\"expires_in\":99999999999}", "e", 1000 + 86400},
        {"{\"token\":\"f\",\"expires_in\":300,\"issued_at\":\"1970-01-01T00:15:00Z\"}", "f", 1200},
        {"{\"token\":\"g\",\"expires_in\":300,\"issued_at\":\"2070-01-01T00:00:00Z\"}", "g", 1300},
    };
    char *token;
    int64_t until;
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        assert_int_equal(
            token_parse(good[i].text, strlen(good[i].text), 1000, &token, &until, NULL), 0);
        assert_string_equal(token, good[i].token);
        assert_int_equal(until, good[i].until);
        free(token);
    }
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (token_parse(bad[i], strlen(bad[i]), 1000, &token, &until, NULL) != -EINVAL)
            fail_msg("%s was read", bad[i]);
}

static void test_realm(void **state)
{
    static const struct {
        const char *realm, *origin;
        int want;
    } cases[] = {
        {"https://auth.example/token", "https://r.example", 0},
        {"https://r.example:5001/token", "https://r.example", 0},
        {"https://auth.example/token", "http://r.example:5000", 0},
        {"http://r.example:5001/token", "http://r.example:5000", 0},
        {"http://127.0.0.1:5001/token", "http://127.0.0.1:5000", 0},
        {"https://10.0.0.1/token", "https://192.168.0.9", 0},
        {"http://auth.example/token", "https://r.example", -EPERM},
        {"http://r.example/token", "https://r.example", -EPERM},
        {"http://auth.example/token", "http://r.example", -EPERM},
        {"file:///etc/passwd", "https://r.example", -EPERM},
        {"", "https://r.example", -EPERM},
        {"https://127.0.0.1/token", "https://r.example", -EPERM},
        {"https://127.1/token", "https://r.example", -EPERM},
        {"https://2130706433/token", "https://r.example", -EPERM},
        {"https://localhost:8443/token", "https://r.example", -EPERM},
        {"https://169.254.169.254/latest", "https://r.example", -EPERM},
        {"https://10.1.2.3/token", "https://r.example", -EPERM},
        {"https://172.31.0.1/token", "https://r.example", -EPERM},
        {"https://192.168.1.1/token", "https://r.example", -EPERM},
        {"https://[::1]/token", "https://r.example", -EPERM},
        {"https://[fe80::1]/token", "https://r.example", -EPERM},
        {"https://[fd00::1]/token", "https://r.example", -EPERM},
        {"https://[::ffff:127.0.0.1]/token", "https://r.example", -EPERM},
        {"https://metadata.google.internal/x", "https://r.example", -EPERM},
        {"https://localhost./token", "https://r.example", -EPERM},
        {"https://metadata.google.internal./x", "https://r.example", -EPERM},
        {"https://vault/token", "https://r.example", -EPERM},
        {"https://printer.local/token", "https://r.example", -EPERM},
        {"https://[64:ff9b::7f00:1]/token", "https://r.example", -EPERM},
        {"https://auth.example./token", "https://r.example", 0},
        {"https://auth:5001/token", "https://registry:5000", 0},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        if (token_realm_check(cases[i].realm, cases[i].origin, NULL) != cases[i].want)
            fail_msg("%s for %s", cases[i].realm, cases[i].origin);
}

static void test_origin(void **state)
{
    static const char *const bad[] = {"", "x", "ftp://x/", "https://", "https://x:99999/", "//x/"};
    struct http_origin a, b;
    (void)state;
    assert_int_equal(http_origin_parse("https://R.Example/x", &a), 0);
    assert_int_equal(http_origin_parse("https://r.example:443", &b), 0);
    assert_true(http_origin_equal(&a, &b));
    assert_int_equal(http_origin_parse("http://r.example:443", &b), 0);
    assert_false(http_origin_equal(&a, &b));
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (http_origin_parse(bad[i], &a) != -EINVAL)
            fail_msg("%s is an address", bad[i]);
}

static void test_lists(void **state)
{
    static const char tags[] = "{\"name\":\"x\",\"tags\":[\"b\",\"a\\u001b\",3,\"\",\"c\"]}";
    static const char none[] = "{\"tags\":null}", wrong[] = "{\"tags\":{}}";
    static const char found[] =
        "{\"results\":[{\"name\":\"a/b\",\"description\":\"d\",\"star_count\":5,"
        "\"is_official\":true},{\"name\":\"\"},7,{\"name\":\"c\"}]}";
    struct registry_results results = {0};
    scoped_strv char **v = NULL;
    (void)state;
    assert_int_equal(list_parse(tags, sizeof(tags) - 1, "tags", 10, &v, NULL), 0);
    assert_int_equal(strv_len(v), 2);
    assert_string_equal(v[1], "c");
    assert_int_equal(list_parse(none, sizeof(none) - 1, "tags", 10, &v, NULL), 0);
    assert_int_equal(list_parse(tags, sizeof(tags) - 1, "tags", 3, &v, NULL), 0);
    assert_int_equal(strv_len(v), 3);
    assert_int_equal(list_parse(wrong, sizeof(wrong) - 1, "tags", 10, &v, NULL), -EPROTO);
    assert_int_equal(search_parse(found, sizeof(found) - 1, "r.example", 10, &results, NULL), 0);
    assert_int_equal(results.n, 2);
    assert_string_equal(results.v[0].name, "r.example/a/b");
    assert_true(results.v[0].stars == 5 && results.v[0].official && !results.v[1].description);
    registry_results_release(&results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenge), cmocka_unit_test(test_bad_challenges),
        cmocka_unit_test(test_location),  cmocka_unit_test(test_link),
        cmocka_unit_test(test_ranges),    cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_token),     cmocka_unit_test(test_realm),
        cmocka_unit_test(test_origin),    cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
