/* The networks on disk: what may be made, which ranges are chosen, what is found again. */
#include <errno.h>

#include "base/strv.h"
#include "network/store.h"
#include "unit.h"

static struct unit_dir dir;
static struct conf conf;
static char run_root[80];

static int setup(void **state)
{
    (void)state;
    dir = unit_dir_make();
    snprintf(run_root, sizeof(run_root), "%s/run", dir.path);
    conf = (struct conf){.root = dir.path, .run_root = run_root};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unit_dir_remove(&dir);
    return 0;
}

static struct network_config named(const char *name, const char *subnet)
{
    struct network_config n = {.name = xstrdup(name), .driver = xstrdup("user")};
    if (subnet) {
        n.subnets = xcalloc(1, sizeof(*n.subnets));
        n.n_subnets = 1;
        n.subnets->subnet = xstrdup(subnet);
    }
    return n;
}

static void create(struct network_config *n)
{
    struct err e = ERR_INIT;
    if (network_create(&conf, n, &e) < 0)
        fail_msg("%s", e.msg);
}

static void test_names(void **state)
{
    static const char *const bad[] = {"",   "none", "host",    "bridge", "slirp", "a/b",
                                      "..", "a b",  "default", "-x",     ".json"};
    struct err e = ERR_INIT;
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (network_check_name(bad[i], &e) != -EINVAL)
            fail_msg("\"%s\" is no name of a network", bad[i]);
    assert_int_equal(network_check_name("podman", &e), 0);
}

static void test_range(void **state)
{
    static const struct {
        const char *subnet, *gateway, *range, *want; /* first-last, or the message */
    } cases[] = {
        {"10.89.0.0/24", NULL, NULL, "10.89.0.1-10.89.0.254"},
        {"10.89.0.0/30", "10.89.0.1", NULL, "10.89.0.1-10.89.0.2"},
        {"10.89.0.0/24", "10.89.0.254", "10.89.0.128/25", "10.89.0.128-10.89.0.254"},
        {"10.89.0.0/24", NULL, "10.89.0.10-10.89.0.20", "10.89.0.10-10.89.0.20"},
        {"10.89.0.0/24", NULL, "10.89.0.0/24", "10.89.0.1-10.89.0.254"},
        {"fd00:89::/64", NULL, NULL, "fd00:89::1-fd00:89::ffff:ffff:ffff:ffff"},
        {"10.89.0.1/24", NULL, NULL, "bits of a host"},
        {"10.89.0.0/31", NULL, NULL, "too small"},
        {"127.0.0.0/8", NULL, NULL, "no addresses of a local network"},
        {"0.0.0.0/0", NULL, NULL, "no addresses of a local network"},
        {"224.0.0.0/24", NULL, NULL, "no addresses of a local network"},
        {"net", NULL, NULL, "not ADDRESS/BITS"},
        {"10.89.0.0/24", "10.89.1.1", NULL, "not an address for hosts of 10.89.0.0/24"},
        {"10.89.0.0/24", "10.89.0.0", NULL, "not an address for hosts"},
        {"10.89.0.0/24", "10.89.0.255", NULL, "not an address for hosts"},
        {"10.89.0.0/24", "x", NULL, "gateway \"x\": not an address"},
        {"10.89.0.0/24", NULL, "10.89.1.0/25", "it is not inside"},
        {"10.89.0.0/24", NULL, "10.88.0.0/15", "it is not inside"},
        {"10.89.0.0/24", NULL, "10.89.0.9-10.89.0.8", "it is not inside"},
        {"10.89.0.0/24", NULL, "10.89.0.9-", "neither"},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        struct network_range r;
        char first[NET_ADDR_TEXT], last[NET_ADDR_TEXT], got[2 * NET_ADDR_TEXT + 1];
        struct network_subnet s = {(char *)(uintptr_t)cases[i].subnet,
                                   (char *)(uintptr_t)cases[i].gateway,
                                   (char *)(uintptr_t)cases[i].range, NULL};
        if (network_subnet_range(&s, &r, &e) < 0) {
            assert_has(e.msg, cases[i].want);
            continue;
        }
        snprintf(got, sizeof(got), "%s-%s", net_addr_format(&r.first, first),
                 net_addr_format(&r.last, last));
        assert_string_equal(got, cases[i].want);
    }
}

static void test_store(void **state)
{
    scoped_network_config struct network_config a = named("web", NULL), b = named("db", NULL);
    scoped_network_config struct network_config got = {.name = NULL}, again = {.name = NULL};
    struct network_config *all = NULL;
    size_t n = 0;
    struct err e = ERR_INIT;
    (void)state;
    a.ipv6 = a.dns_enabled = true;
    strv_add(&a.labels, "k=v");
    strv_add(&a.options, "mtu=1400");
    create(&a);
    create(&b);
    assert_int_equal(network_open(&conf, "web", &got, &e), 0);
    assert_string_equal(got.id, a.id);
    assert_int_equal(got.n_subnets, 2);
    assert_true(got.ipv6 && got.dns_enabled && !got.internal);
    assert_int_equal(network_mtu(&got), 1400);
    assert_int_equal(network_mtu(&b), 0);
    struct network_range one, other;
    assert_int_equal(network_subnet_range(&a.subnets[0], &one, &e), 0);
    assert_int_equal(network_subnet_range(&b.subnets[0], &other, &e), 0);
    assert_false(net_cidr_overlap(&one.subnet, &other.subnet));
    assert_int_equal(net_cidr_index(&one.subnet, &one.gateway), 1);

    a.id[12] = '\0';
    assert_int_equal(network_open(&conf, a.id, &again, &e), 0);
    assert_string_equal(again.name, "web");
    assert_int_equal(network_list(&conf, &all, &n, &e), 0);
    assert_int_equal(n, 2);
    assert_string_equal(all[0].name, "db");
    network_list_free(all, n);

    assert_int_equal(network_create(&conf, &b, &e), -EEXIST);
    assert_int_equal(network_remove(&conf, "db", &e), 0);
    assert_int_equal(network_remove(&conf, "db", &e), -ENOENT);
    assert_int_equal(network_remove(&conf, "../networks/web", &e), -ENOENT);
    assert_has(e.msg, "no such network");
}

static void test_refused(void **state)
{
    scoped_network_config struct network_config a = named("a", "10.77.0.0/24");
    scoped_network_config struct network_config same = named("b", "10.77.0.128/25");
    scoped_network_config struct network_config option = named("c", NULL);
    scoped_network_config struct network_config driver = named("d", NULL), got = {.name = NULL};
    struct err e = ERR_INIT;
    (void)state;
    create(&a);
    assert_string_equal(a.subnets[0].gateway, "10.77.0.1");
    assert_int_equal(network_create(&conf, &same, &e), -EEXIST);
    assert_has(e.msg, "the network a has it");
    strv_add(&option.options, "vlan=3");
    assert_int_equal(network_create(&conf, &option, &e), -EINVAL);
    assert_has(e.hint, "mtu=N");
    free(driver.driver);
    driver.driver = xstrdup("macvlan");
    assert_int_equal(network_create(&conf, &driver, &e), -EINVAL);
    assert_int_equal(network_open(&conf, "aa", &got, &e), -ENOENT);
    assert_has(e.hint, "did you mean \"a\"?");
    assert_int_equal(network_open(&conf, "bridge", &got, &e), 0);
    assert_string_equal(got.driver, "bridge");
}

/* What somebody has written there is no more than a file. */
static void test_hostile(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{\"name\":\"x\",\"id\":\"00\",\"driver\":\"user\"}",
        "{\"name\":\"y\",\"id\":\"\",\"driver\":\"user\"}",
        "{\"name\":\"x\",\"driver\":\"user\",\"subnets\":[{\"subnet\":\"0.0.0.0/0\"}],\"id\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
    };
    scoped_network_config struct network_config n = named("made", NULL), got = {.name = NULL};
    struct network_config *all = NULL;
    size_t count = 0;
    (void)state;
    create(&n);
    scoped_fd int networks = conf_open_root(&conf, "networks", false, NULL);
    for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
        struct err e = ERR_INIT;
        unit_write(networks, "x.json", texts[i]);
        if (network_open(&conf, "x", &got, &e) == 0)
            fail_msg("%s was taken", texts[i]);
        assert_has(e.msg, "network x: ");
        assert_int_equal(network_list(&conf, &all, &count, &e), 0);
        assert_int_equal(count, 1);
        network_list_free(all, count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_range),
        cmocka_unit_test_setup_teardown(test_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
