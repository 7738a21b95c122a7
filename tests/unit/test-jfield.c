/* Field tables: every type in and out, messages with paths, limits on hostile text. Row B49. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"

struct inner {
    uint32_t n;
    char *name;
    json_t *extra;
};

enum kind { KIND_A, KIND_B };

struct all {
    char first; /* so that no field has the offset 0, which would hide a mistake */
    bool b;
    int32_t i32;
    uint32_t u32;
    int64_t i64;
    uint64_t u64;
    double d;
    char *s;
    char **strv;
    struct jfield_u32v u32v;
    char **map;
    struct inner in;
    struct inner *ptr;
    struct inner *list;
    size_t n_list;
    int kind;
    json_t *raw;
    int32_t maybe;
    bool has_maybe;
    json_t *extra;
};

static const char *const kinds[] = {"a", "b", NULL};

static const struct jfield inner_fields[] = {
    {"n", J_UINT32, offsetof(struct inner, n), JF_REQUIRED},
    {"name", J_STRING, offsetof(struct inner, name)},
    {"", J_EXTRA, offsetof(struct inner, extra)},
    {0},
};

static const struct jfield fields[] = {
    {"b", J_BOOL, offsetof(struct all, b)},
    {"i32", J_INT32, offsetof(struct all, i32)},
    {"u32", J_UINT32, offsetof(struct all, u32)},
    {"i64", J_INT64, offsetof(struct all, i64)},
    {"u64", J_UINT64, offsetof(struct all, u64)},
    {"d", J_DOUBLE, offsetof(struct all, d)},
    {"s", J_STRING, offsetof(struct all, s)},
    {"strv", J_STRV, offsetof(struct all, strv)},
    {"u32v", J_U32V, offsetof(struct all, u32v)},
    {"map", J_MAP, offsetof(struct all, map)},
    {"in", J_STRUCT, offsetof(struct all, in), .sub = inner_fields},
    {"ptr", J_POINTER, offsetof(struct all, ptr), .sub = inner_fields,
     .sub_size = sizeof(struct inner)},
    {"list", J_ARRAY, offsetof(struct all, list), .sub = inner_fields,
     .sub_size = sizeof(struct inner), .count_offset = offsetof(struct all, n_list)},
    {"kind", J_ENUM, offsetof(struct all, kind), .names = kinds},
    {"raw", J_RAW, offsetof(struct all, raw)},
    {"maybe", J_INT32, offsetof(struct all, maybe), .set_offset = offsetof(struct all, has_maybe)},
    {"", J_EXTRA, offsetof(struct all, extra)},
    {0},
};

static json_t *doc_of(const char *text)
{
    struct err e = ERR_INIT;
    json_t *doc = json_parse(text, strlen(text), 1 << 20, "test", &e);
    if (!doc)
        fail_msg("%s", e.msg);
    return doc;
}

#define EVERYTHING                                                                                 \
    "{\"b\":true,\"i32\":-2147483648,\"u32\":4294967295,\"i64\":-9223372036854775808,"             \
    "\"u64\":18446744073709551615,\"d\":1.5,\"s\":\"\\u00e4\\n\",\"strv\":[\"x\",\"\"],"           \
    "\"u32v\":[0,4294967295],\"map\":{\"k\":\"v=w\",\"a.b\":\"\"},\"in\":{\"n\":1,\"new\":[1]},"   \
    "\"ptr\":{\"n\":2,\"name\":\"p\"},\"list\":[{\"n\":3},{\"n\":4,\"q\":null}],\"kind\":\"b\","   \
    "\"raw\":[{\"x\":9223372036854775808}],\"maybe\":0,\"unknown\":{\"deep\":[true,-1e-3]}}"

static void test_round_trip(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct all a = {0};
    scoped_json json_t *doc = doc_of(EVERYTHING);
    assert_int_equal(jfield_parse(doc, fields, "", &a, &e), 0);
    assert_true(a.b);
    assert_int_equal(a.i32, INT32_MIN);
    assert_int_equal(a.u32, UINT32_MAX);
    assert_true(a.i64 == INT64_MIN);
    assert_true(a.u64 == UINT64_MAX);
    assert_true(a.d > 1.4 && a.d < 1.6);
    assert_string_equal(a.s, "\xc3\xa4\n");
    assert_int_equal(strv_len(a.strv), 2);
    assert_int_equal(a.u32v.n, 2);
    assert_int_equal(a.u32v.v[1], UINT32_MAX);
    assert_string_equal(a.map[0], "k=v=w");
    assert_string_equal(a.map[1], "a.b=");
    assert_int_equal(a.in.n, 1);
    assert_string_equal(a.ptr->name, "p");
    assert_int_equal(a.n_list, 2);
    assert_int_equal(a.list[1].n, 4);
    assert_int_equal(a.kind, KIND_B);
    assert_true(a.has_maybe);

    /* text in the table's order, unknown members last, exactly as it was */
    scoped_json json_t *out = jfield_emit(fields, &a);
    scoped_free char *text = json_text(out, false);
    scoped_free char *was = json_text(doc, false);
    assert_string_equal(text, was);
    assert_non_null(strstr(text, "\"u64\":18446744073709551615"));
    assert_non_null(strstr(text, "{\"x\":9223372036854775808}"));
    jfield_release(fields, &a);
    assert_null(a.s);
    assert_null(a.list);
    assert_int_equal(a.n_list, 0);
}

static const struct {
    const char *json, *want;
} wrong[] = {
    {"[]", "base: want an object"},
    {"{\"b\":1}", "base.b: want true or false"},
    {"{\"i32\":2147483648}", "base.i32: want an integer from -2147483648 to 2147483647"},
    {"{\"u32\":-1}", "base.u32: want an integer from 0 to 4294967295"},
    {"{\"u32\":1.0}", "base.u32: want an integer from 0 to 4294967295"},
    {"{\"u32\":18446744073709551615}", "base.u32: want an integer from 0 to 4294967295"},
    {"{\"i64\":9223372036854775808}",
     "base.i64: want an integer from -9223372036854775808 to 9223372036854775807"},
    {"{\"u64\":\"5\"}", "base.u64: want an integer from 0 to 18446744073709551615"},
    {"{\"u64\":-5}", "base.u64: want an integer from 0 to 18446744073709551615"},
    {"{\"d\":\"\"}", "base.d: want a number"},
    {"{\"s\":5}", "base.s: want a string"},
    {"{\"s\":18446744073709551615}", "base.s: want a string"},
    {"{\"strv\":{}}", "base.strv: want a list of strings"},
    {"{\"strv\":[\"a\",null]}", "base.strv[1]: want a string"},
    {"{\"u32v\":[0,-1]}", "base.u32v[1]: want an integer from 0 to 4294967295"},
    {"{\"u32v\":7}", "base.u32v: want a list of integers"},
    {"{\"map\":{\"a b\":1}}", "base.map[\"a b\"]: want a string"},
    {"{\"map\":{\"a=b\":\"\"}}", "base.map[\"a=b\"]: a name with '=' is not allowed"},
    {"{\"map\":[]}", "base.map: want an object of strings"},
    {"{\"in\":{}}", "base.in.n: missing"},
    {"{\"in\":{\"n\":null}}", "base.in.n: null is not allowed"},
    {"{\"ptr\":[]}", "base.ptr: want an object"},
    {"{\"ptr\":{\"n\":1,\"name\":[]}}", "base.ptr.name: want a string"},
    {"{\"list\":{}}", "base.list: want a list of objects"},
    {"{\"list\":[{\"n\":1},{\"name\":\"x\"}]}", "base.list[1].n: missing"},
    {"{\"list\":[{\"n\":1},3]}", "base.list[1]: want an object"},
    {"{\"kind\":\"c\"}", "base.kind: want one of \"a\", \"b\""},
    {"{\"kind\":0}", "base.kind: want one of \"a\", \"b\""},
};

static void test_messages(void **state)
{
    (void)state;
    static const struct all none;
    for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
        struct err e = ERR_INIT;
        struct all a = {0};
        scoped_json json_t *doc = doc_of(wrong[i].json);
        assert_int_equal(jfield_parse(doc, fields, "base", &a, &e), -EINVAL);
        assert_string_equal(e.msg, wrong[i].want);
        /* nothing that was filled before the error is left */
        assert_ptr_equal(a.list, none.list);
        assert_ptr_equal(a.s, none.s);
        assert_ptr_equal(a.ptr, none.ptr);
    }
}

static const struct {
    const char *json, *want;
} bad_texts[] = {
    {"", "test: line 1, column 0: "},
    {"{", "test: line 1, column 1: "},
    {"{} x", "test: line 1, column 4: end of file expected"},
    {"{\"a\":1,\n\"a\":2}", "test: line 2, column 3: duplicate object key"},
    {"{\"a\":\"x\\u0000y\"}", "\\u0000 is not allowed"},
    {"{\"a\\u0000\":1}", "NUL"},
    {"{\"a\":18446744073709551616}", "too big integer"},
    {"{\"a\":\"\xff\"}", "unable to decode byte 0xff"},
    {"[\"\\u001eU64:18446744073709551615\"]", "test: line 1, column 2: a string must not begin"},
    {"[\"\\u001E\\u0055\"]", "a string must not begin"},
    {"[\"unfinished", "test: line 1, column 12: "},
    {"[\"unfinished\\", "test: line 1, column 13: "},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad_texts); i++) {
        struct err e = ERR_INIT;
        const char *text = bad_texts[i].json;
        json_t *doc = json_parse(text, strlen(text), 1000, "test", &e);
        assert_null(doc);
        if (!strstr(e.msg, bad_texts[i].want))
            fail_msg("%s gave: %s", text, e.msg);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char text[200];
    for (int depth = 64; depth <= 65; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        scoped_json json_t *doc = json_parse(text, (size_t)depth * 2, sizeof(text), "test", &e);
        assert_int_equal(doc != NULL, depth == 64);
    }
    assert_string_equal(e.msg, "test: line 1, column 65: nested more than 64 levels deep");
    assert_null(json_parse("[1]  ", 5, 4, "test", &e));
    assert_string_equal(e.msg, "test: 5 bytes are more than the 4 allowed");
    assert_int_equal(e.errnum, EFBIG);
    /* brackets and big numbers inside strings are text */
    memset(text, '[', 150);
    text[0] = text[149] = '"';
    scoped_json json_t *doc = json_parse(text, 150, sizeof(text), "test", &e);
    assert_true(json_is_string(doc));
    /* four megabytes of "{}," would take 300 of memory */
    const size_t n = 600000;
    scoped_free char *many = xmalloc(n);
    for (size_t i = 0; i < n; i += 3)
        memcpy(many + i, "{},", 3);
    many[0] = '[';
    many[1] = ' ';
    many[2] = ' ';
    many[n - 1] = ']';
    assert_null(json_parse(many, n, n, "test", &e));
    assert_non_null(strstr(e.msg, "more than 250000 values"));
}

/* A NUL in a string that did not come from json_parse. */
static void test_nul(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct all a = {0};
    scoped_json json_t *doc = json_object();
    json_object_set_new(doc, "s", json_stringn("a\0b", 3));
    assert_int_equal(jfield_parse(doc, fields, "x", &a, &e), -EINVAL);
    assert_string_equal(e.msg, "x.s: a NUL character is not allowed");
}

static void test_big_integers(void **state)
{
    (void)state;
    static const char *const same[] = {
        "[9223372036854775807,9223372036854775808,18446744073709551615,-9223372036854775808]",
        "{\"a\":\"9223372036854775808\",\"b\":\"\\\"\\u001EU64:18446744073709551615\"}",
        "[\"x\\u001EU64:18446744073709551615\",18446744073709551615,\"\\\\\",9999999999999999999]",
        "18446744073709551615",
    };
    for (size_t i = 0; i < N_ELEMENTS(same); i++) {
        scoped_json json_t *doc = doc_of(same[i]);
        scoped_free char *text = json_text(doc, false);
        assert_string_equal(text, same[i]);
    }
    uint64_t v = 7;
    scoped_json json_t *minus = json_integer(-1), *max = json_from_u64(UINT64_MAX);
    assert_false(json_to_u64(minus, &v));
    assert_int_equal(v, 7);
    assert_true(json_to_u64(max, &v));
    assert_true(v == UINT64_MAX);
    scoped_free char *pretty = json_text(max, true);
    assert_string_equal(pretty, "18446744073709551615");
    scoped_free char *null = json_text(NULL, false);
    assert_string_equal(null, "null");
}

/* Bytes that are no text, as a command line may hold, must not make a record unreadable. */
static void test_bad_utf8(void **state)
{
    (void)state;
    struct all a = {.s = xstrdup("a\xff\xc3\xa4\xed\xa0\x80z\xf0\x9f\x98"), .kind = -1};
    strv_add(&a.map, "k\xfe=v\xfe");
    scoped_json json_t *doc = jfield_emit(fields, &a);
    scoped_free char *text = json_text(doc, false);
#define R "\xef\xbf\xbd"
    assert_non_null(strstr(text, "\"s\":\"a" R "\xc3\xa4" R R R "z" R R R "\""));
    assert_non_null(strstr(text, "{\"k" R "\":\"v" R "\"}"));
    jfield_release(fields, &a);
}

static void test_empty_and_defaults(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct all a = {.s = xstrdup("default"), .kind = -1, .u32 = 5};
    strv_add(&a.strv, "default");
    scoped_json json_t *doc = doc_of("{\"s\":\"new\",\"strv\":null,\"list\":[],\"u32\":null}");
    assert_int_equal(jfield_parse(doc, fields, "", &a, &e), 0);
    assert_string_equal(a.s, "new");
    assert_string_equal(a.strv[0], "default");
    assert_int_equal(a.u32, 5);
    scoped_json json_t *out = jfield_emit(fields, &a);
    scoped_free char *text = json_text(out, false);
    /* "in" has a required number, so that it always appears; empty lists and 0 do not */
    assert_string_equal(text, "{\"u32\":5,\"s\":\"new\",\"strv\":[\"default\"],\"in\":{\"n\":0}}");
    jfield_release(fields, &a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_texts),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_nul),        cmocka_unit_test(test_big_integers),
        cmocka_unit_test(test_bad_utf8),   cmocka_unit_test(test_empty_and_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
