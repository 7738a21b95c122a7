#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/strv.h"
#include "image/store.h"

#define ID "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" ID "\"]}"

static void test_full(void **state)
{
    static const char text[] =
        "{\"architecture\":\"arm64\",\"variant\":\"v8\",\"os\":\"linux\",\"created\":"
        "\"2024-01-01T00:00:00Z\",\"author\":\"me\",\"config\":{\"User\":\"1:2\","
        "\"Env\":[\"A=b=c\",\"E=\"],\"Entrypoint\":\"/one\",\"Cmd\":[\"a\",\"b\"],\"Volumes\":{\"/"
        "v\":{}},"
        "\"ExposedPorts\":{\"80/tcp\":{}},\"Labels\":{\"k\":\"v\"},\"WorkingDir\":\"/w\","
        "\"StopSignal\":\"SIGINT\",\"Shell\":null,\"Healthcheck\":{\"Test\":[\"NONE\"]}}," ROOTFS
        ",\"history\":[{\"created_by\":\"x\"}],\"unknown\":1}";
    struct image_config c = {0};
    struct err e = ERR_INIT;
    (void)state;
    if (image_config_parse(text, strlen(text), &c, &e) < 0)
        fail_msg("%s", e.msg);
    assert_string_equal(c.architecture, "arm64");
    assert_string_equal(c.user, "1:2");
    assert_string_equal(strv_env_get(c.env, "A"), "b=c");
    assert_int_equal(strv_len(c.entrypoint), 1);
    assert_int_equal(strv_len(c.cmd), 2);
    assert_string_equal(c.volumes[0], "/v");
    assert_string_equal(c.exposed_ports[0], "80/tcp");
    assert_string_equal(c.labels[0], "k=v");
    assert_null(c.shell);
    assert_string_equal(c.diff_ids[0], ID);
    assert_int_equal(json_array_size(c.history), 1);
    assert_non_null(c.healthcheck);
    assert_int_equal(json_integer_value(json_object_get(c.raw, "unknown")), 1);
    image_config_release(&c);
}

static const struct {
    const char *text, *want;
} cases[] = {
    {"{" ROOTFS "}", NULL},
    {"{" ROOTFS ",\"config\":null}", NULL},
    {"{" ROOTFS ",\"config\":{\"Entrypoint\":null,\"Labels\":null}}", NULL},
    {"{\"rootfs\":{\"diff_ids\":[]}}", NULL},
    {"", "image configuration"},
    {"[]", "want an object"},
    {"{}", "rootfs: want an object"},
    {"{" ROOTFS ",\"config\":[]}", "config: want an object"},
    {"{\"rootfs\":{\"diff_ids\":[5]}}", "rootfs.diff_ids[0]: want a string"},
    {"{\"rootfs\":{\"diff_ids\":[\"sha256:../../../etc\"]}}", "64 lower-case hex"},
    {"{\"rootfs\":{\"diff_ids\":[\"md5:1\"]}}", "md5 is not supported"},
    {"{" ROOTFS ",\"os\":1}", "os: want a string"},
    {"{" ROOTFS ",\"os\":\"a\\u0000b\"}", "image configuration"},
    {"{" ROOTFS ",\"config\":{\"Env\":[\"PATH\"]}}", "config.Env[0]: \"PATH\" is not NAME=VALUE"},
    {"{" ROOTFS ",\"config\":{\"Env\":[\"A=1\",\"=x\"]}}", "config.Env[1]"},
    {"{" ROOTFS ",\"config\":{\"Env\":[\"*\"]}}", "config.Env[0]"},
    {"{" ROOTFS ",\"config\":{\"Cmd\":{}}}", "config.Cmd: want a list"},
    {"{" ROOTFS ",\"config\":{\"Labels\":{\"a\":1}}}", "config.Labels.a: want a string"},
    {"{" ROOTFS ",\"config\":{\"Volumes\":[\"/a\"]}}", "config.Volumes: want an object"},
    {"{" ROOTFS ",\"config\":{\"User\":0}}", "config.User: want a string"},
    {"{" ROOTFS "," ROOTFS "}", "image configuration"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct image_config c = {0};
        struct err e = ERR_INIT;
        int r = image_config_parse(cases[i].text, strlen(cases[i].text), &c, &e);
        if ((r < 0) != (cases[i].want != NULL))
            fail_msg("%s: %d %s", cases[i].text, r, e.msg);
        if (cases[i].want && !strstr(e.msg, cases[i].want))
            fail_msg("%s: %s", cases[i].text, e.msg);
        image_config_release(&c);
    }
}

static void test_deep(void **state)
{
    struct str s = STR_INIT;
    struct image_config c = {0};
    struct err e = ERR_INIT;
    (void)state;
    str_add(&s, "{" ROOTFS ",\"x\":");
    for (int i = 0; i < 100000; i++)
        str_addc(&s, '[');
    assert_true(image_config_parse(s.s, s.len, &c, &e) < 0);
    str_release(&s);
}

static void test_layers(void **state)
{
    struct str s = STR_INIT;
    struct image_config c = {0};
    struct err e = ERR_INIT;
    (void)state;
    str_add(&s, "{\"rootfs\":{\"diff_ids\":[\"" ID "\"");
    for (int i = 0; i < IMAGE_LAYERS_MAX; i++)
        str_add(&s, ",\"" ID "\"");
    str_add(&s, "]}}");
    assert_int_equal(image_config_parse(s.s, s.len, &c, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "499 layers"));
    str_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
