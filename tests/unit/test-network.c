/* --network: the text, the table, and what each driver does to the specification. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "network/network.h"
#include "network/options.h"
#include "userns/userns.h"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text, *mode, *target;
    } good[] = {
        {"none", "none", NULL},
        {"host", "host", NULL},
        {"container:web", "container", "web"},
        {"ns:/run/netns/x:y", "ns", "/run/netns/x:y"},
    };
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        struct network_plan p;
        assert_int_equal(network_parse(good[i].text, &p, NULL), 0);
        assert_string_equal(p.mode, good[i].mode);
        assert_true(streq(p.target, good[i].target));
        network_plan_release(&p);
    }
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "unknown network mode"},
        {"nat", "unknown network mode \"nat\""},
        {"container", "want container:ID"},
        {"container:", "want container:ID"},
        {"ns:", "want ns:PATH"},
        {"none:x", "takes no options"},
        {"host:", "takes no options"},
    };
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct network_plan p;
        struct err e = ERR_INIT;
        assert_int_equal(network_parse(bad[i].text, &p, &e), -EINVAL);
        if (!strstr(e.msg, bad[i].message))
            fail_msg("\"%s\": %s", bad[i].text, e.msg);
    }
    struct err e = ERR_INIT;
    assert_null(network_driver_get("nat", &e));
    assert_non_null(strstr(e.hint, "none, host, container:ID, ns:PATH"));
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; network_drivers()[i]; i++) {
        char why[256] = "";
        const struct network_driver *d = network_drivers()[i];
        assert_ptr_equal(network_driver_get(d->name, NULL), d);
        assert_true(d->probe(why) >= 0); /* of other programs: not everywhere */
        assert_true(why[0] && d->summary[0]);
    }
}

static int plan(const char *text, struct spec *s, struct err *e)
{
    SCOPED(network_plan_release) struct network_plan p = {.mode = NULL};
    int r = network_parse(text, &p, e);
    const struct network_driver *d = r < 0 ? NULL : network_driver_get(p.mode, e);
    return d ? d->plan(&p, s, e) : -EINVAL;
}

static void test_plan(void **state)
{
    (void)state;
    scoped_spec struct spec s = {.oci_version = NULL};
    struct err e = ERR_INIT;
    spec_default(&s);

    assert_int_equal(plan("host", &s, &e), 0);
    assert_null(spec_namespace_get(&s, "network"));
    assert_int_equal(plan("none", &s, &e), 0);
    assert_non_null(spec_namespace_get(&s, "network"));
    assert_null(spec_namespace_get(&s, "network")->path);
    assert_int_equal(plan("ns:/proc/self/ns/net", &s, &e), 0);
    assert_string_equal(spec_namespace_get(&s, "network")->path, "/proc/self/ns/net");

    assert_int_equal(plan("ns:net", &s, &e), -EINVAL);
    assert_int_equal(plan("ns:/proc/self/ns/uts", &s, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "is not a network namespace"));
    assert_int_equal(plan("ns:/etc/passwd", &s, &e), -EINVAL);
    assert_int_equal(plan("ns:/nonexistent", &s, &e), -ENOENT);
    assert_int_equal(plan("container:web", &s, &e), -EINVAL); /* the caller resolves it */
    assert_string_equal(spec_namespace_get(&s, "network")->path, "/proc/self/ns/net");
}

static int bring_up(void *data, struct err *e)
{
    (void)data;
    int r = network_loopback_up(e);
    if (r < 0)
        return r;
    /* The kernel gives lo its IPv6 address at the moment it comes up. */
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, "/proc/self/net/if_inet6", 65536, &text, NULL);
    if (n == -ENOENT)
        return 0; /* no IPv6 here: the ioctl's success has to do */
    return n > 0 && strstr(text, " lo\n") ? 0 : err_msg(e, EIO, "lo has no address: \"%s\"", text);
}

static void test_loopback(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct idmap_line uid = {0, geteuid(), 1}, gid = {0, getegid(), 1};
    struct userns_map map = {.uid = {&uid, 1}, .gid = {&gid, 1}, .single = true};
    int r = userns_run(&map, CLONE_NEWNET, bring_up, NULL, &e);
    if (r < 0)
        fail_msg("%s", e.msg);
}

static char **words(const char *text)
{
    return strv_split(text, ",", true);
}

static void test_pasta_options(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message; /* NULL: taken */
    } cases[] = {
        {"-T,8080", NULL},
        {"--mtu,1500,-4", NULL},
        {"--mtu=1500,--map-gw", NULL},
        {"-a,10.1.2.3,-n,24,-g,10.1.2.1", NULL},
        {"-t,8080", "ports are published by -p"},
        {"--udp-ports=53", "ports are published by -p"},
        {"--pcap,/tmp/x", "is not to be given"},
        {"--netns=/proc/1/ns/net", "is not to be given"},
        {"--runas,0", "is not to be given"},
        {"-4=x", "is not to be given"},
        {"--no-tcp=yes", "takes no value"},
        {"-T", "wants a value"},
        {"-T,-4", "wants a value"},
        {"--mtu,", "wants a value"},
        {"8080", "is not to be given"},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        scoped_strv char **v = words(cases[i].text);
        struct err e = ERR_INIT;
        int r = pasta_check_options(v, &e);
        assert_int_equal(r, cases[i].message ? -EINVAL : 0);
        if (cases[i].message && !strstr(e.msg, cases[i].message))
            fail_msg("%s: %s", cases[i].text, e.msg);
    }
    scoped_strv char **v = words("-a,--mtu,--mtu=1400,--map-gw"), **argv = NULL;
    assert_null(pasta_option(v, "--dns-forward"));
    assert_string_equal(pasta_option(v, "--mtu"), "1400"); /* the first is the value of -a */
    pasta_add_options(v, &argv);
    assert_false(strv_has(argv, "--map-gw"));
    assert_true(strv_has(argv, "--mtu=1400"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),         cmocka_unit_test(test_table),
        cmocka_unit_test(test_plan),          cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_pasta_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
