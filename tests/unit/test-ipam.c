/* Which address a container is given. */
#include "net/ipam.h"

#include "unit.h"

static struct net_addr addr(const char *s)
{
    struct net_addr a;
    if (net_addr_parse(s, &a) < 0)
        fail_msg("%s", s);
    return a;
}

static struct ipam_range range(const char *net, const char *first, const char *last)
{
    struct ipam_range r = {.first = addr(first), .last = addr(last)};
    assert_int_equal(net_cidr_parse(net, &r.net), 0);
    net_cidr_nth(&r.net, 1, &r.gateway);
    return r;
}

static bool in_list(const struct net_addr *a, void *data)
{
    char text[NET_ADDR_TEXT];
    const char *const *v = data;
    for (net_addr_format(a, text); *v; v++)
        if (streq(*v, text))
            return true;
    return false;
}

static void want(struct ipam_range *r, const char *expected, const char *const *taken)
{
    struct net_addr a;
    char text[NET_ADDR_TEXT];
    assert_int_equal(ipam_next(r, in_list, (void *)(uintptr_t)taken, &a), 0);
    assert_string_equal(net_addr_format(&a, text), expected);
}

static void test_turn(void **state)
{
    (void)state;
    struct ipam_range r = range("10.89.0.0/29", "10.89.0.1", "10.89.0.6");
    static const char *const none[] = {NULL};
    static const char *const some[] = {"10.89.0.2", "10.89.0.5", NULL};
    static const char *const all[] = {"10.89.0.2", "10.89.0.3", "10.89.0.4",
                                      "10.89.0.5", "10.89.0.6", NULL};
    struct net_addr a;
    want(&r, "10.89.0.2", none);
    want(&r, "10.89.0.3", none); /* though 2 is free again */
    want(&r, "10.89.0.4", none);
    want(&r, "10.89.0.6", some);
    want(&r, "10.89.0.3", some);
    assert_int_equal(ipam_next(&r, in_list, (void *)(uintptr_t)all, &a), -ENOSPC);
    want(&r, "10.89.0.4", some); /* it goes on where it was */
    r = range("10.89.0.0/24", "10.89.0.128", "10.89.0.129");
    want(&r, "10.89.0.128", none);
    want(&r, "10.89.0.129", none);
    want(&r, "10.89.0.128", none);
    r.next = addr("10.89.0.77"); /* of another time's range */
    want(&r, "10.89.0.128", none);
}

static void test_six(void **state)
{
    (void)state;
    struct ipam_range r = range("fd12:3456::/64", "fd12:3456::", "fd12:3456::ffff:ffff:ffff:ffff");
    static const char *const none[] = {NULL};
    static const char *const some[] = {"fd12:3456::3", NULL};
    want(&r, "fd12:3456::2", none);
    want(&r, "fd12:3456::4", some);
    r.next = r.last;
    want(&r, "fd12:3456::ffff:ffff:ffff:ffff", none);
    want(&r, "fd12:3456::2", none);
}

static void test_check(void **state)
{
    (void)state;
    struct ipam_range r = range("10.89.0.0/30", "10.89.0.1", "10.89.0.2");
    static const struct {
        const char *a;
        int r;
    } cases[] = {{"10.89.0.2", 0},       {"10.89.0.1", -EADDRINUSE}, {"10.89.0.0", -EINVAL},
                 {"10.89.0.3", -EINVAL}, {"10.89.0.4", -ERANGE},     {"fd00::1", -ERANGE}};
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct net_addr a = addr(cases[i].a);
        if (ipam_check(&r, &a) != cases[i].r)
            fail_msg("%s: %d", cases[i].a, ipam_check(&r, &a));
    }
    uint8_t mac[6];
    char text[NET_MAC_TEXT];
    struct net_addr a = addr("10.89.0.2");
    ipam_mac(&a, mac);
    assert_string_equal(net_mac_format(mac, text), "02:42:0a:59:00:02");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turn),
        cmocka_unit_test(test_six),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
