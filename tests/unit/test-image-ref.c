#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "image/ref.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *text, *full, *local;
} good[] = {
    {"busybox", "docker.io/library/busybox:latest", "localhost/busybox:latest"},
    {"busybox:1.36", "docker.io/library/busybox:1.36", "localhost/busybox:1.36"},
    {"me/app", "docker.io/me/app:latest", "localhost/me/app:latest"},
    {"docker.io/busybox", "docker.io/library/busybox:latest", "docker.io/library/busybox:latest"},
    {"index.docker.io/me/app", "docker.io/me/app:latest", "docker.io/me/app:latest"},
    {"localhost/x", "localhost/x:latest", "localhost/x:latest"},
    {"localhost:5000/x:T", "localhost:5000/x:T", "localhost:5000/x:T"},
    {"127.0.0.1:5000/a/b__c--d.e", "127.0.0.1:5000/a/b__c--d.e:latest",
     "127.0.0.1:5000/a/b__c--d.e:latest"},
    {"[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"},
    {"Host/x", "Host/x:latest", "Host/x:latest"}, /* by its capital alone it is a host */
    {"Quay.IO/x:T", "quay.io/x:T", "quay.io/x:T"},
    {"Docker.io/busybox", "docker.io/library/busybox:latest", "docker.io/library/busybox:latest"},
    {"LOCALHOST/x", "localhost/x:latest", "localhost/x:latest"},
    {"HOST:5000/x", "host:5000/x:latest", "host:5000/x:latest"},
    {"quay.io/x@sha256:" HEX64, "quay.io/x@sha256:" HEX64, "quay.io/x@sha256:" HEX64},
    {"quay.io/x:1@sha256:" HEX64, "quay.io/x:1@sha256:" HEX64, "quay.io/x:1@sha256:" HEX64},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        struct err e = ERR_INIT;
        struct image_ref ref = {0};
        if (image_ref_parse(good[i].text, &ref, &e) < 0)
            fail_msg("%s: %s", good[i].text, e.msg);
        scoped_free char *full = image_ref_text(&ref);
        assert_string_equal(full, good[i].full);
        image_ref_release(&ref);
        assert_int_equal(image_ref_parse_local(good[i].text, &ref, &e), 0);
        scoped_free char *local = image_ref_text(&ref);
        assert_string_equal(local, good[i].local);
        image_ref_release(&ref);
    }
}

static const struct {
    const char *text, *want;
} bad[] = {
    {"", "not a valid part"},
    {"UPPER", "not a valid part"},
    {"a//b", "not a valid part"},
    {"/a", "not a valid part"},
    {"a/", "not a valid part"},
    {"-a", "not a valid part"},
    {"a-", "not a valid part"},
    {"a..b", "not a valid part"},
    {"a___b", "not a valid part"},
    {"../../etc/passwd", "not a host name"},
    {"quay.io/../x", "not a valid part"},
    {"a+b", "not a valid part"},
    {"a b", "not a valid part"},
    {"x:", "invalid tag"},
    {"x:-t", "invalid tag"},
    {"x:.t", "invalid tag"},
    {"x:a/b", "not a host name"},
    {"x:a b", "invalid tag"},
    {"h:99999999/x", "not a host name"},
    {"[zz]/x", "not a valid part"},
    {"[zz]:1/x", "not a host name"},
    {HEX64, "64 hex digits"},
    {"x@", "is not a digest"},
    {"x@sha256:../../x", "64 lower-case hex digits"},
    {"x@sha256:ABCD", "64 lower-case hex digits"},
    {"x@md5:0123", "md5 is not supported"},
    {"x@sha512:0123", "sha512 is not supported"},
    {"x\033[31m", "not a valid part"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct err e = ERR_INIT;
        struct image_ref ref = {.name = (char *)"untouched"};
        if (image_ref_parse(bad[i].text, &ref, &e) == 0)
            fail_msg("%s: accepted as %s", bad[i].text, ref.name);
        if (!strstr(e.msg, bad[i].want))
            fail_msg("%s: %s", bad[i].text, e.msg);
        assert_string_equal(ref.name, "untouched");
    }
}

static void test_long(void **state)
{
    char name[600], text[700];
    struct err e = ERR_INIT;
    struct image_ref ref = {0};
    (void)state;
    memset(name, 'a', sizeof(name));
    name[256] = '\0';
    assert_int_equal(image_ref_parse(name, &ref, &e), -EINVAL);
    name[250] = '\0'; /* too long only with the default host before it */
    assert_int_equal(image_ref_parse(name, &ref, &e), -EINVAL);
    name[128] = '\0';
    snprintf(text, sizeof(text), "x:%s", name);
    assert_int_equal(image_ref_parse(text, &ref, &e), 0);
    image_ref_release(&ref);
    snprintf(text, sizeof(text), "x:%sb", name);
    assert_int_equal(image_ref_parse(text, &ref, &e), -EINVAL);
}

static void test_encode(void **state)
{
    (void)state;
    scoped_free char *dir = image_ref_encode("127.0.0.1:5000/a/b"), *name = image_ref_decode(dir);
    assert_string_equal(dir, "127.0.0.1:5000+a+b");
    assert_string_equal(name, "127.0.0.1:5000/a/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
