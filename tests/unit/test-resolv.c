/* resolv.conf and hosts: what is read of the host's, and what the container is told. */
#include "network/resolv.h"

#include <errno.h>

#include "base/strv.h"
#include "unit.h"

#define LOCAL "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"

static char **list(const char *words)
{
    return words ? strv_split(words, " ", false) : NULL;
}

static void test_parse(void **state)
{
    struct resolv_conf r SCOPED(resolv_release) = {NULL};
    (void)state;
    resolv_parse("# a comment\nnameserver 127.0.0.53\n\n  options edns0 trust-ad\r\n"
                 "domain one.example\nsearch a.example\tb.example\nnameserver\n"
                 "nameserver fe80::1%eth0\n; nameserver 192.0.2.9\noptions ndots:2",
                 &r);
    scoped_free char *servers = strv_join(r.servers, " ");
    scoped_free char *search = strv_join(r.search, " ");
    scoped_free char *options = strv_join(r.options, " ");
    assert_string_equal(servers, "127.0.0.53 fe80::1%eth0");
    assert_string_equal(search, "a.example b.example");
    assert_string_equal(options, "edns0 trust-ad ndots:2");
}

static void test_resolv(void **state)
{
    static const struct {
        const char *driver, *dns, *search, *options, *want;
    } cases[] = {
        {NULL, NULL, NULL, NULL,
         "search h.example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions edns0\n"},
        {"10.0.2.3 fd00::3", NULL, NULL, NULL,
         "search h.example\nnameserver 10.0.2.3\nnameserver fd00::3\noptions edns0\n"},
        {"10.0.2.3", "192.0.2.53", NULL, NULL,
         "search h.example\nnameserver 192.0.2.53\noptions edns0\n"},
        {"10.0.2.3", NULL, "a.example b.example", "ndots:1 use-vc",
         "search a.example b.example\nnameserver 10.0.2.3\noptions ndots:1 use-vc\n"},
        {"10.0.2.3", NULL, ".", NULL, "nameserver 10.0.2.3\noptions edns0\n"},
    };
    struct resolv_conf host = {list("192.0.2.1 192.0.2.2"), list("h.example"), list("edns0")};
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        scoped_strv char **driver = list(cases[i].driver);
        struct network_plan p = {.dns = list(cases[i].dns),
                                 .dns_search = list(cases[i].search),
                                 .dns_options = list(cases[i].options)};
        scoped_free char *got =
            network_resolv_text(&(struct network_files){.plan = &p, .dns = driver}, &host);
        assert_string_equal(got, cases[i].want);
        network_plan_release(&p);
    }
    /* With names of peers they are not asked for in the host's domains first, unless the user says
     * which domains there are. */
    static const char *const searches[][2] = {
        {NULL, "search rootlet h.example\nnameserver 10.89.0.1\noptions edns0\n"},
        {"a.example", "search a.example\nnameserver 10.89.0.1\noptions edns0\n"},
        {".", "nameserver 10.89.0.1\noptions edns0\n"},
    };
    for (size_t i = 0; i < N_ELEMENTS(searches); i++) {
        scoped_strv char **driver = list("10.89.0.1");
        struct network_plan p = {.dns_search = list(searches[i][0])};
        const struct network_files f = {.plan = &p, .dns = driver, .names = true};
        scoped_free char *got = network_resolv_text(&f, &host);
        assert_string_equal(got, searches[i][1]);
        network_plan_release(&p);
    }
    resolv_release(&host);

    /* No server anywhere: none is made up. */
    struct network_plan p = {.mode = NULL};
    scoped_free char *none = network_resolv_text(&(struct network_files){.plan = &p}, &host);
    assert_null(strstr(none, "nameserver"));
    assert_has(none, "--dns");
}

static void test_hosts(void **state)
{
    char *hosts[] = {(char *)(uintptr_t) "db:192.0.2.7", (char *)(uintptr_t) "a;b:[fd00::7]",
                     (char *)(uintptr_t) "up=host-gateway",
                     (char *)(uintptr_t) "host.docker.internal:192.0.2.8", NULL};
    struct network_plan p = {.add_hosts = hosts}, plain = {.mode = NULL};
    struct network_interface eth = {.address = (char *)(uintptr_t) "10.89.0.2/24",
                                    .address6 = (char *)(uintptr_t) "fd00:1::2/64"};
    struct network_files f = {.plan = &p,
                              .name = "web",
                              .hostname = "c0ffee",
                              .interfaces = &eth,
                              .n_interfaces = 1,
                              .host_address = "192.0.2.1"};
    (void)state;
    scoped_free char *all = network_hosts_text(&f);
    assert_string_equal(all, LOCAL "192.0.2.1\thost.containers.internal\n"
                                   "10.89.0.2\tc0ffee web\nfd00:1::2\tc0ffee web\n"
                                   "192.0.2.7\tdb\nfd00::7\ta b\n192.0.2.1\tup\n"
                                   "192.0.2.8\thost.docker.internal\n");
    f = (struct network_files){.plan = &plain, .name = "web", .hostname = "web"};
    scoped_free char *none = network_hosts_text(&f);
    assert_string_equal(none, LOCAL "127.0.1.1\tweb\n");
    f.base = "192.0.2.9 base";
    f.hostname = NULL;
    f.host_address = "10.0.2.2";
    scoped_free char *based = network_hosts_text(&f);
    assert_string_equal(based, "192.0.2.9 base\n10.0.2.2\thost.containers.internal\n"
                               "10.0.2.2\thost.docker.internal\n");
}

static void test_add_host(void **state)
{
    static const char *const good[] = {"db:192.0.2.7",  "db:fd00::7",      "db=fd00::7",
                                       "a;b:192.0.2.7", "up:host-gateway", "db:[fd00::7]",
                                       "db=[fd00::7]"};
    static const char *const bad[] = {"",
                                      "db",
                                      "db:",
                                      ":192.0.2.7",
                                      "db:host",
                                      "db:192.0.2",
                                      "db:[192.0.2.7]",
                                      "db:[fd00::7",
                                      "db:[",
                                      "db:[]",
                                      "db:[host-gateway]",
                                      "d b:192.0.2.7",
                                      "db:192.0.2.7\n1.2.3.4 x",
                                      "d#b:192.0.2.7",
                                      "\x1b[1m:192.0.2.7",
                                      "d\xc3\xa4:192.0.2.7"};
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++)
        assert_int_equal(network_check_add_host(good[i], NULL), 0);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct err e = ERR_INIT;
        if (network_check_add_host(bad[i], &e) != -EINVAL)
            fail_msg("\"%s\" is none", bad[i]);
        assert_has(e.hint, "host-gateway");
    }
}

/* In place: who has the old file open sees the new text, and nothing of the old. */
static void test_write(void **state)
{
    struct unit_dir d = unit_dir_make();
    struct conf conf = {.root = d.path};
    char *dns[] = {(char *)(uintptr_t) "10.0.2.3", NULL}, text[256] = "";
    struct network_plan p = {.mode = (char *)(uintptr_t) "slirp"};
    struct network_run run = {
        .conf = &conf, .plan = &p, .name = "web", .hostname = "web", .dns = dns, .dir_fd = d.fd};
    struct err e = ERR_INIT;
    (void)state;
    unit_write(d.fd, "resolv.conf", "nameserver 192.0.2.1\nnameserver 192.0.2.2 and so on\n");
    scoped_fd int fd = openat(d.fd, "resolv.conf", O_RDONLY | O_CLOEXEC);
    assert_int_equal(network_files_write(&run, &e), 0);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    assert_has(text, "nameserver 10.0.2.3\n");
    assert_null(strstr(text, "192.0.2"));
    /* no file of its own: none is made */
    assert_int_equal(faccessat(d.fd, "hosts", F_OK, 0), -1);
    unit_dir_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_resolv),
        cmocka_unit_test(test_hosts), cmocka_unit_test(test_add_host),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
