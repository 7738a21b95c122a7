/* A container's scope: names from linux.cgroupsPath, limits and annotations as properties. */
#include "unit.h"

#include "cgroup/gvariant.h"
#include "cgroup/resources.h"
#include "cgroup/systemd-unit.h"

static void names(const char *path, bool user, const char *slice, const char *unit)
{
    struct err e = ERR_INIT;
    scoped_free char *s = NULL, *u = NULL;
    if (unit_of_path(path, "web", user, &s, &u, &e) < 0)
        fail_msg("%s", e.msg);
    assert_string_equal(s, slice);
    assert_string_equal(u, unit);
}

static void no_name(const char *path, const char *why)
{
    struct err e = ERR_INIT;
    char *s = NULL, *u = NULL;
    assert_int_equal(unit_of_path(path, "web", false, &s, &u, &e), -EINVAL);
    assert_has(e.msg, why);
    assert_null(s);
    assert_null(u);
}

static void test_names(void **state)
{
    (void)state;
    names(NULL, false, "rootlet.slice", "rootlet-web.scope");
    names("", true, "rootlet.slice", "rootlet-web.scope");
    names("user.slice:libpod:0af1", true, "user.slice", "libpod-0af1.scope");
    names("kubepods-burstable-pod12.slice:cri-containerd:9", false,
          "kubepods-burstable-pod12.slice", "cri-containerd-9.scope");
    names("::x", true, "user.slice", "x.scope");
    names("::x", false, "system.slice", "x.scope");
    names("-.slice:a:b", false, "-.slice", "a-b.scope");
    names("a.slice:p:b+c", false, "a.slice", "p-b\\x2bc.scope");
    names("a.slice:p:../b", false, "a.slice", "p-..\\x2fb.scope");
    no_name("/machine/web", "SLICE:PREFIX:NAME");
    no_name("a:b", "SLICE:PREFIX:NAME");
    no_name("a:b:c:d", "SLICE:PREFIX:NAME");
    no_name("user:libpod:x", "no name of a slice");
    no_name(".slice:p:x", "no name of a slice");
    no_name("../a.slice:p:x", "no name of a slice");
    no_name("a--b.slice:p:x", "no name of a slice");
    no_name("-a.slice:p:x", "no name of a slice");
    no_name("a-.slice:p:x", "no name of a slice");
    no_name("a.slice:p:", "name is empty");
    no_name("a.slice:p:b.slice", "holds no processes");
    char name[400] = "a.slice:p:";
    memset(name + strlen(name), 'n', 260);
    no_name(name, "longer than 255");
}

static void value(const char *text, const char *sig, const char *json)
{
    char got[GVARIANT_SIGNATURE];
    struct err e = ERR_INIT;
    scoped_json json_t *v = NULL;
    if (gvariant_parse(text, got, &v, &e) < 0)
        fail_msg("%s", e.msg);
    assert_string_equal(got, sig);
    scoped_free char *out = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    assert_string_equal(out, json);
}

static void no_value(const char *text)
{
    char sig[GVARIANT_SIGNATURE];
    struct err e = ERR_INIT;
    json_t *v = NULL;
    if (gvariant_parse(text, sig, &v, &e) != -EINVAL || v)
        fail_msg("%s was taken", text);
    assert_has(e.msg, "\"");
}

static void test_gvariant(void **state)
{
    (void)state;
    value("true", "b", "true");
    value(" false ", "b", "false");
    value("boolean true", "b", "true");
    value("12", "i", "12");
    value("-12", "i", "-12");
    value("-2147483648", "i", "-2147483648");
    value("0x1f", "i", "31");
    value("0xe", "i", "14");
    value("uint64 123456789012", "t", "123456789012");
    value("@t 5", "t", "5");
    value("byte 255", "y", "255");
    value("int16 -5", "n", "-5");
    value("uint16 65535", "q", "65535");
    value("uint32 7", "u", "7");
    value("int64 -9223372036854775807", "x", "-9223372036854775807");
    value("1.5", "d", "1.5");
    value("double 2", "d", "2.0");
    value("'inactive-or-failed'", "s", "\"inactive-or-failed\"");
    value("\"a 'b'\"", "s", "\"a 'b'\"");
    value("'a\\'b\\\\'", "s", "\"a'b\\\\\"");
    value("string 'x'", "s", "\"x\"");
    value("['a', 'b']", "as", "[\"a\",\"b\"]");
    value("@as []", "as", "[]");
    value("@ay [1, 2]", "ay", "[1,2]");
    value("[byte 1, 2]", "ay", "[1,2]");
    value("[1,2]", "ai", "[1,2]");
}

static void test_gvariant_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "  ",
        "truex",
        "True",
        "yes",
        "12x",
        "1 2",
        "'a",
        "'a\"",
        "'\\q'",
        "'\\",
        "2147483648",
        "byte 256",
        "byte -1",
        "uint64 -1",
        "uint64",
        "uint64 'x'",
        "'x' 1",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,]",
        "[]",
        "[1 2]",
        "[1, 'a']",
        "[[1]]",
        "@as 'x'",
        "@s ['x']",
        "@",
        "@a",
        "@v 1",
        "@as",
        "(1, 2)",
        "{'a': 1}",
        "<1>",
        "just 1",
        "nothing",
        "-",
        "+",
        "double x",
        "double inf",
        "double 1e999",
        "@b 1",
        "@i 1.5",
        "int32 true",
        "boolean 1",
        "18446744073709551616",
        "uint64 18446744073709551616",
        "'\xff'",
    };
    for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
        no_value(wrong[i]);
}

/* As text: [["NAME","SIGNATURE",VALUE],...] without the outer brackets. */
static void assert_properties(const json_t *list, const char *want)
{
    scoped_free char *text = json_text(list, false);
    text[strlen(text) - 1] = '\0';
    assert_string_equal(text + 1, want);
}

static void limits(const char *resources, const char *want)
{
    struct err e = ERR_INIT;
    scoped_json json_t *j = json_parse(resources, strlen(resources), 4096, "test", &e);
    scoped_json json_t *list = json_array();
    struct plan p;
    if (!j || resources_plan(j, false, &p, &e) < 0)
        fail_msg("%s", e.msg);
    unit_set_limits(list, &p, -1);
    plan_release(&p);
    assert_properties(list, want);
}

static void test_limits(void **state)
{
    (void)state;
    limits("{}", "");
    limits("{\"memory\":{\"limit\":1048576}}", "[\"MemoryMax\",\"t\",1048576]");
    limits("{\"memory\":{\"limit\":1048576,\"swap\":2097152,\"reservation\":4096}}",
           "[\"MemorySwapMax\",\"t\",1048576],[\"MemoryMax\",\"t\",1048576],"
           "[\"MemoryLow\",\"t\",4096]");
    limits("{\"pids\":{\"limit\":17}}", "[\"TasksMax\",\"t\",17]");
    limits("{\"cpu\":{\"quota\":50000,\"period\":100000}}",
           "[\"CPUQuotaPeriodUSec\",\"t\",100000],[\"CPUQuotaPerSecUSec\",\"t\",500000]");
    /* Rounded up to a hundredth of a processor. */
    limits("{\"cpu\":{\"quota\":12345,\"period\":100000}}",
           "[\"CPUQuotaPeriodUSec\",\"t\",100000],[\"CPUQuotaPerSecUSec\",\"t\",130000]");
    limits("{\"cpu\":{\"quota\":20000}}", "[\"CPUQuotaPerSecUSec\",\"t\",200000]");
    limits("{\"cpu\":{\"period\":50000}}", "[\"CPUQuotaPeriodUSec\",\"t\",50000]");
    limits("{\"cpu\":{\"shares\":1024}}", "[\"CPUWeight\",\"t\",100]");
    limits("{\"cpu\":{\"cpus\":\"0-2,9\",\"mems\":\"0\"}}",
           "[\"AllowedCPUs\",\"ay\",[7,2]],[\"AllowedMemoryNodes\",\"ay\",[1]]");
    limits("{\"unified\":{\"memory.high\":\"4096\",\"memory.max\":\"64M\"}}",
           "[\"MemoryHigh\",\"t\",4096]");
    limits("{\"blockIO\":{\"weight\":500}}", "[\"IOWeight\",\"t\",4950]");
}

static void test_no_limit_is_the_largest_number(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    const char *text = "{\"memory\":{\"limit\":-1},\"pids\":{\"limit\":-1},\"cpu\":{\"quota\":-1}}";
    scoped_json json_t *j = json_parse(text, strlen(text), 4096, "test", &e);
    scoped_json json_t *list = json_array();
    struct plan p;
    assert_int_equal(resources_plan(j, false, &p, &e), 0);
    unit_set_limits(list, &p, -1);
    plan_release(&p);
    assert_true(json_array_size(list) >= 3);
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        uint64_t v = 0;
        assert_true(json_to_u64(json_array_get(one, 2), &v));
        assert_true(v == UINT64_MAX);
    }
}

static void test_annotations(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_json json_t *list = json_array();
    unit_set(list, "CollectMode", "s", json_string("inactive"));
    char **fine =
        ARGV("org.systemd.property.TimeoutStopUSec=uint64 5000000",
             "org.systemd.property.CollectMode='inactive-or-failed'", "other=x",
             "org.systemd.property.RuntimeMaxSec=1.5", "org.systemd.property.After=['a.service']");
    if (unit_set_annotations(list, fine, &e) < 0)
        fail_msg("%s", e.msg);
    assert_properties(list,
                      "[\"CollectMode\",\"s\",\"inactive-or-failed\"],"
                      "[\"TimeoutStopUSec\",\"t\",5000000],"
                      "[\"RuntimeMaxUSec\",\"t\",1500000],[\"After\",\"as\",[\"a.service\"]]");
    char **wrong[] = {
        ARGV("org.systemd.property.PIDs=[uint32 1]"),
        ARGV("org.systemd.property.Slice='system.slice'"),
        ARGV("org.systemd.property.Delegate=false"),
        ARGV("org.systemd.property.=1"),
        ARGV("org.systemd.property.a b=1"),
        ARGV("org.systemd.property.TimeoutStopSec='x'"),
        ARGV("org.systemd.property.TimeoutStopSec=-1"),
        ARGV("org.systemd.property.CollectMode=inactive"),
    };
    for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
        err_clear(&e);
        assert_int_equal(unit_set_annotations(list, wrong[i], &e), -EINVAL);
        assert_has(e.msg, "org.systemd.property.");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_gvariant),
        cmocka_unit_test(test_gvariant_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_limit_is_the_largest_number),
        cmocka_unit_test(test_annotations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
