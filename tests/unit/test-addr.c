/* Addresses and networks: read, printed, compared, counted. */
#include "net/addr.h"

#include "unit.h"

static struct net_addr addr(const char *s)
{
    struct net_addr a = {0};
    if (net_addr_parse(s, &a) < 0)
        fail_msg("%s is an address", s);
    return a;
}

static struct net_cidr cidr(const char *s)
{
    struct net_cidr c = {.bits = 0};
    if (net_cidr_parse(s, &c) < 0)
        fail_msg("%s is a network", s);
    return c;
}

static const char *text(struct net_addr a)
{
    static char buf[4][NET_ADDR_TEXT];
    static unsigned n;
    return net_addr_format(&a, buf[n++ % 4]);
}

static void test_addr(void **state)
{
    static const char *const good[] = {
        "0.0.0.0", "255.255.255.255", "10.0.2.100", "::", "::1", "fd00::100", "1:2:3:4:5:6:7:8"};
    static const char *const bad[] = {"",          "1",         "1.2.3",   "1.2.3.4.5",
                                      "256.0.0.1", "1.2.3.4 ",  " ::1",    "fe80::1%eth0",
                                      "[::1]",     "1.2.3.4/8", "a.b.c.d", "01.2.3.4",
                                      ":::",       "12345::"};
    struct net_addr a;
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++)
        assert_string_equal(text(addr(good[i])), good[i]);
    assert_string_equal(text(addr("FD00:0:0::0100")), "fd00::100");
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (net_addr_parse(bad[i], &a) != -EINVAL)
            fail_msg("\"%s\" is no address", bad[i]);
    a = net_addr_v4(0x0a000264);
    assert_string_equal(text(a), "10.0.2.100");
    assert_string_equal(text((struct net_addr){0}), "");
}

static void test_kinds(void **state)
{
    static const struct {
        const char *text;
        bool any, loopback, linklocal, multicast;
    } cases[] = {
        {"0.0.0.0", .any = true},
        {"::", .any = true},
        {"127.0.0.53", .loopback = true},
        {"::1", .loopback = true},
        {"::ffff:127.0.0.1", .loopback = true},
        {"128.0.0.1", .any = false},
        {"169.254.1.2", .linklocal = true},
        {"fe80::1", .linklocal = true},
        {"febf::1", .linklocal = true},
        {"fec0::1", .any = false},
        {"224.0.0.1", .multicast = true},
        {"ff02::1", .multicast = true},
        {"240.0.0.1", .any = false},
        {"::2", .any = false},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct net_addr a = addr(cases[i].text);
        if (net_addr_is_any(&a) != cases[i].any || net_addr_is_loopback(&a) != cases[i].loopback ||
            net_addr_is_linklocal(&a) != cases[i].linklocal ||
            net_addr_is_multicast(&a) != cases[i].multicast)
            fail_msg("%s is taken for something else", cases[i].text);
    }
}

static void test_add(void **state)
{
    static const struct {
        const char *from;
        int64_t n;
        const char *want;
    } cases[] = {
        {"10.0.2.255", 1, "10.0.3.0"},
        {"10.0.3.0", -1, "10.0.2.255"},
        {"10.0.0.0", 65536 * 3 + 7, "10.3.0.7"},
        {"255.255.255.255", 1, NULL},
        {"0.0.0.0", -1, NULL},
        {"0.0.0.0", INT64_C(1) << 32, NULL},
        {"fd00::ffff:ffff:ffff:ffff", 1, "fd00:0:0:1::"},
        {"fd00:0:0:1::", -1, "fd00::ffff:ffff:ffff:ffff"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1, NULL},
        {"::", -1, NULL},
        {"::", INT64_MIN, NULL},
        {"::", INT64_MAX, "::7fff:ffff:ffff:ffff"},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct net_addr a = addr(cases[i].from);
        int r = net_addr_add(&a, cases[i].n, &a);
        assert_int_equal(r, cases[i].want ? 0 : -ERANGE);
        assert_string_equal(text(a), cases[i].want ? cases[i].want : cases[i].from);
    }
}

static void test_cidr(void **state)
{
    static const struct {
        const char *cidr, *first, *last;
        uint64_t count;
    } cases[] = {
        {"10.0.2.100/24", "10.0.2.0", "10.0.2.255", 256},
        {"10.0.2.100/32", "10.0.2.100", "10.0.2.100", 1},
        {"10.0.2.101/31", "10.0.2.100", "10.0.2.101", 2},
        {"172.20.5.6/12", "172.16.0.0", "172.31.255.255", 1 << 20},
        {"1.2.3.4/0", "0.0.0.0", "255.255.255.255", UINT64_C(1) << 32},
        {"fd00::100/64", "fd00::", "fd00::ffff:ffff:ffff:ffff", UINT64_MAX},
        {"fd00::100/120", "fd00::100", "fd00::1ff", 256},
        {"fd00:1234::/20", "fd00:1000::", "fd00:1fff:ffff:ffff:ffff:ffff:ffff:ffff", UINT64_MAX},
    };
    static const char *const bad[] = {
        "10.0.2.0",      "10.0.2.0/",
        "10.0.2.0/33",   "fd00::/129",
        "/24",           "10.0.2.0/-1",
        "10.0.2.0/24/8", "10.0.2/24",
        "x/8",           "1111:2222:3333:4444:5555:6666:7777:8888:9999:0000/8"};
    char buf[NET_CIDR_TEXT];
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct net_cidr c = cidr(cases[i].cidr);
        assert_string_equal(text(net_cidr_first(&c)), cases[i].first);
        assert_string_equal(text(net_cidr_last(&c)), cases[i].last);
        assert_true(net_cidr_count(&c) == cases[i].count);
        assert_string_equal(net_cidr_format(&c, buf), cases[i].cidr);
    }
    struct net_cidr c;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (net_cidr_parse(bad[i], &c) != -EINVAL)
            fail_msg("\"%s\" is no network", bad[i]);
}

static void test_inside(void **state)
{
    struct net_cidr net = cidr("10.0.2.0/23"), six = cidr("fd00::/64"), all = cidr("0.0.0.0/0");
    struct net_cidr host = cidr("10.0.3.7/23"), other = cidr("10.0.4.0/24");
    struct net_addr in = addr("10.0.3.255"), out = addr("10.0.4.0"), v6 = addr("fd00::1:0");
    struct net_addr nth = {0};
    (void)state;
    assert_true(net_cidr_contains(&net, &in) && !net_cidr_contains(&net, &out));
    assert_true(net_cidr_contains(&all, &out) && !net_cidr_contains(&all, &v6));
    assert_true(net_cidr_contains(&six, &v6) && !net_cidr_contains(&six, &in));
    assert_true(net_cidr_is_network(&net) && !net_cidr_is_network(&host));
    assert_true(net_cidr_overlap(&net, &host) && net_cidr_overlap(&all, &other));
    assert_false(net_cidr_overlap(&net, &other) || net_cidr_overlap(&all, &six));
    assert_int_equal(net_cidr_nth(&net, 511, &nth), 0);
    assert_string_equal(text(nth), "10.0.3.255");
    assert_int_equal(net_cidr_nth(&net, 512, &nth), -ERANGE);
    assert_int_equal(net_cidr_nth(&six, 0x10000, &nth), 0);
    assert_string_equal(text(nth), "fd00::1:0");
    assert_int_equal(net_cidr_index(&six, &v6), 0x10000);
    assert_int_equal(net_cidr_index(&net, &in), 511);
    assert_true(net_cidr_index(&net, &out) == UINT64_MAX);
}

static void test_mac(void **state)
{
    static const char *const bad[] = {"",
                                      "52:54:00:12:34",
                                      "52:54:00:12:34:5",
                                      "52:54:00:12:34:g6",
                                      "52:54-00:12:34:56",
                                      "01:00:5e:00:00:01",
                                      "ff:ff:ff:ff:ff:ff",
                                      "00:00:00:00:00:00",
                                      "525400:12:34:56xx",
                                      "5\x10:54:00:12:34:56",
                                      "52:54:00:12:34:567"};
    uint8_t mac[6];
    char buf[NET_MAC_TEXT];
    (void)state;
    assert_int_equal(net_mac_parse("52:54:00:aB:Cd:56", mac), 0);
    assert_string_equal(net_mac_format(mac, buf), "52:54:00:ab:cd:56");
    assert_int_equal(net_mac_parse("02-00-00-00-00-01", mac), 0);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (net_mac_parse(bad[i], mac) != -EINVAL)
            fail_msg("\"%s\" is no card's address", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addr), cmocka_unit_test(test_kinds),  cmocka_unit_test(test_add),
        cmocka_unit_test(test_cidr), cmocka_unit_test(test_inside), cmocka_unit_test(test_mac),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
