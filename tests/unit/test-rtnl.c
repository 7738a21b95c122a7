/* test-rtnl - links, addresses, routes and rules in a network namespace of the test's own. */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/netdev.h"
#include "sys/rtnl.h"
#include "unit.h"

static int rt = -1;

static struct rtnl_ip ip(const char *text, unsigned prefix)
{
    struct rtnl_ip a = {.family = strchr(text, ':') ? AF_INET6 : AF_INET,
                        .prefix = (uint8_t)prefix};
    assert_int_equal(inet_pton(a.family, text, a.bytes), 1);
    return a;
}

/* A message that does not fit is never sent, and a nest of more than 64 KiB - 1 neither. */
static void test_overflow(void **state)
{
    (void)state;
    static char big[NL_MSG_MAX];
    struct nl_msg m;
    struct ifinfomsg link = {.ifi_index = 1};
    nl_begin(&m, RTM_GETLINK, 0, &link, sizeof(link));
    nl_put(&m, IFLA_IFALIAS, big, sizeof(big));
    assert_true(m.overflow);
    nl_put_u32(&m, IFLA_MTU, 1); /* stays so */
    assert_int_equal(nl_transact(rt, &m), -EMSGSIZE);
    nl_begin(&m, RTM_GETLINK, 0, &link, sizeof(link));
    assert_false(m.overflow);
    for (int i = 0; i < 2 * NL_MSG_MAX; i++)
        nl_more(&m, RTM_GETLINK, 0, &link, sizeof(link));
    assert_true(m.overflow);
    assert_true(m.size <= NL_MSG_MAX);
}

/* Others of the namespace, with all rights in it, cannot send to our socket: filled, it would lose
 * what the kernel answers. */
static void test_only_kernel(void **state)
{
    (void)state;
    static char junk[8192];
    struct sockaddr_nl to;
    socklen_t size = sizeof(to);
    struct rtnl_link l;
    scoped_fd int other = nl_open(NETLINK_ROUTE, NULL);
    scoped_fd int loose = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    const int from[] = {other, loose};
    assert_int_equal(getsockname(rt, (struct sockaddr *)&to, &size), 0);
    assert_int_not_equal(to.nl_pid, 0);
    for (size_t i = 0; i < 2; i++)
        for (int k = 0; k < 1000; k++)
            assert_true(sendto(from[i], junk, sizeof(junk), MSG_DONTWAIT, (struct sockaddr *)&to,
                               sizeof(to)) < 0);
    assert_int_equal(rtnl_link_get(rt, "lo", &l), 0);
    assert_int_equal(rtnl_link_set(rt, l.index, &(struct rtnl_change){.up = 1}), 0);
}

/* What is cut, of length 0, or longer than what holds it is not found. */
static void test_attributes(void **state)
{
    (void)state;
    struct {
        struct nlattr a;
        uint32_t v;
        struct nlattr b;
        uint32_t w;
    } two = {{8, 1}, 11, {8, 2 | NLA_F_NESTED}, 22};
    assert_int_equal(nl_u32(nl_attr_in(&two, sizeof(two), 1), 0), 11);
    assert_int_equal(nl_u32(nl_attr_in(&two, sizeof(two), 2), 0), 22);
    assert_null(nl_attr_in(&two, sizeof(two), 3));
    assert_null(nl_attr_in(&two, sizeof(two) - 1, 2));
    assert_null(nl_attr_in(&two, 3, 1));
    assert_string_equal(nl_str(nl_attr_in(&two, sizeof(two), 1)), "\013");
    memset(&two.v, 'x', 4);
    assert_string_equal(nl_str(nl_attr_in(&two, sizeof(two), 1)), "");
    two.a.nla_len = 0;
    assert_null(nl_attr_in(&two, sizeof(two), 1));
    two.a.nla_len = 3;
    assert_null(nl_attr_in(&two, sizeof(two), 2));
    two.a.nla_len = 5; /* the padding is skipped */
    assert_int_equal(nl_u32(nl_attr_in(&two, sizeof(two), 1), 7), 7);
    assert_int_equal(nl_u32(nl_attr_in(&two, sizeof(two), 2), 7), 22);
    two.b.nla_len = 9;
    assert_null(nl_attr_in(&two, sizeof(two), 2));
}

static int count_link(const struct rtnl_link *l, void *data)
{
    *(int *)data += l->index > 0;
    return 0;
}

static void test_links(void **state)
{
    (void)state;
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
    struct rtnl_link br, v, l;
    assert_int_equal(rtnl_link_get(rt, "lo", &l), 0);
    assert_int_equal(l.index, 1);
    assert_int_equal(rtnl_link_get(rt, "none", &l), -ENODEV);
    assert_int_equal(rtnl_link_get(rt, "a-name-of-16-chr", &l), -ENODEV);

    struct rtnl_change c = {.mtu = 1400, .mac = mac, .alias = "a bridge", .up = 1};
    assert_int_equal(rtnl_bridge_add(rt, "br0", &c), 0);
    assert_int_equal(rtnl_bridge_add(rt, "br0", &c), -EEXIST);
    assert_int_equal(rtnl_link_get(rt, "br0", &br), 0);
    assert_string_equal(br.kind, "bridge");
    assert_string_equal(br.alias, "a bridge");
    assert_int_equal(br.mtu, 1400);
    assert_true(br.has_mac && memcmp(br.mac, mac, 6) == 0 && br.flags & IFF_UP);

    struct rtnl_change near = {.name = "v0",
                               .alias = "x",
                               .master = br.index,
                               .mtu = 1400,
                               .up = 1},
                       far = {.name = "v1", .mtu = 1400};
    assert_int_equal(rtnl_veth_add(rt, &near, &far), 0);
    assert_int_equal(rtnl_veth_add(rt, &near, &far), -EEXIST);
    assert_int_equal(rtnl_link_get(rt, "v0", &v), 0);
    assert_int_equal(v.master, br.index);
    assert_string_equal(v.alias, "x");
    assert_string_equal(v.kind, "veth");
    assert_int_equal(rtnl_link_get_index(rt, v.peer, &l), 0);
    assert_string_equal(l.name, "v1");
    int n = 0;
    assert_int_equal(rtnl_links(rt, br.index, count_link, &n), 0);
    assert_int_equal(n, 1);

    struct rtnl_port p = {.isolated = true, .neigh_suppress = true};
    assert_int_equal(rtnl_port_set(rt, v.index, &p), 0);
    assert_int_equal(rtnl_fdb_add(rt, v.index, (const uint8_t[6]){2, 0, 0, 0, 0, 9}), 0);
    struct rtnl_ip a = ip("10.9.0.7", 32);
    assert_int_equal(rtnl_neigh_add(rt, br.index, &a, mac), 0);
    assert_int_equal(rtnl_neigh_del(rt, br.index, &a), 0);

    assert_int_equal(rtnl_link_set(rt, l.index, &(struct rtnl_change){.name = "eth0", .up = 1}), 0);
    assert_int_equal(rtnl_link_set(rt, v.index, &(struct rtnl_change){.master = -1}), 0);
    assert_int_equal(rtnl_link_get(rt, "v0", &v), 0);
    assert_int_equal(v.master, 0);
    assert_int_equal(rtnl_link_del(rt, v.index), 0);
    assert_int_equal(rtnl_link_get(rt, "eth0", NULL), -ENODEV);
    assert_int_equal(rtnl_link_del(rt, br.index), 0);
}

/* Both ends of a veth pair may be made elsewhere, configured through a socket of that namespace. */
static void test_other_namespace(void **state)
{
    (void)state;
    scoped_fd int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    scoped_fd int there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    scoped_fd int there_rt = nl_open(NETLINK_ROUTE, NULL);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);

    struct rtnl_change near = {.name = "veth-here"}, far = {.name = "eth0", .netns = there + 1};
    struct rtnl_link l;
    assert_int_equal(rtnl_veth_add(rt, &near, &far), 0);
    assert_int_equal(rtnl_link_get(rt, "eth0", &l), -ENODEV);
    assert_int_equal(rtnl_link_get(there_rt, "eth0", &l), 0);
    assert_int_equal(rtnl_link_get(rt, "veth-here", &l), 0);
    assert_true(l.peer_ns >= 0);
    /* A name that is taken over there: nothing is made here either. */
    near.name = "veth-two";
    assert_int_equal(rtnl_veth_add(rt, &near, &far), -EEXIST);
    assert_int_equal(rtnl_link_get(rt, "veth-two", NULL), -ENODEV);
    assert_int_equal(rtnl_link_del(rt, l.index), 0);
}

struct seen {
    struct rtnl_ip want;
    int n;
};

static int see_address(const struct rtnl_ip *a, void *data)
{
    struct seen *s = data;
    s->n += a->family == s->want.family && a->prefix == s->want.prefix &&
            memcmp(a->bytes, s->want.bytes, rtnl_ip_size(a)) == 0;
    return 0;
}

static int see_route(const struct rtnl_route *r, void *data)
{
    struct seen *s = data;
    s->n += memcmp(r->via.bytes, s->want.bytes, 16) == 0 && r->dst.family == 0 && r->mtu == 1300;
    return 0;
}

static void test_addresses(void **state)
{
    (void)state;
    struct rtnl_link l;
    assert_int_equal(rtnl_bridge_add(rt, "br1", &(struct rtnl_change){.up = 1}), 0);
    assert_int_equal(rtnl_link_get(rt, "br1", &l), 0);
    const struct rtnl_ip addresses[] = {ip("10.88.3.1", 20), ip("fd00:88::1", 64)};
    for (size_t i = 0; i < 2; i++) {
        struct seen s = {.want = addresses[i]};
        assert_int_equal(rtnl_address_add(rt, l.index, &addresses[i]), 0);
        assert_int_equal(rtnl_address_add(rt, l.index, &addresses[i]), -EEXIST);
        assert_int_equal(rtnl_addresses(rt, l.index, see_address, &s), 0);
        assert_int_equal(s.n, 1);
    }
    const struct rtnl_ip gateways[] = {ip("10.88.0.9", 0), ip("fd00:88::9", 0)};
    for (size_t i = 0; i < 2; i++) {
        struct rtnl_route route = {.via = gateways[i], .oif = l.index, .mtu = 1300, .table = 100};
        struct seen s = {.want = gateways[i]};
        assert_int_equal(rtnl_route_add(rt, &route), 0);
        assert_int_equal(rtnl_route_add(rt, &route), -EEXIST);
        assert_int_equal(rtnl_route_replace(rt, &route), 0);
        assert_int_equal(rtnl_routes(rt, gateways[i].family, 100, see_route, &s), 0);
        assert_int_equal(s.n, 1);
        assert_int_equal(rtnl_route_del(rt, &route), 0);
        assert_int_equal(rtnl_route_del(rt, &route), -ESRCH);
    }
    /* A client's address is local on lo, and answers to it leave from the container's. */
    struct rtnl_route local = {.dst = ip("198.51.100.1", 32),
                               .oif = 1,
                               .type = RTN_LOCAL,
                               .table = 100,
                               .prefsrc = addresses[0]};
    assert_int_equal(rtnl_route_add(rt, &local), 0);
    assert_int_equal(rtnl_route_del(rt, &local), 0);
    struct rtnl_rule rule = {.family = AF_INET,
                             .priority = 50,
                             .table = 100,
                             .ipproto = IPPROTO_UDP,
                             .sport = 53,
                             .fwmark = 100,
                             .fwmask = 0xffff};
    assert_int_equal(rtnl_rule_add(rt, &rule), 0);
    assert_int_equal(rtnl_rule_add(rt, &rule), -EEXIST);
    assert_int_equal(rtnl_rule_del(rt, &rule), 0);
    assert_int_equal(rtnl_rule_del(rt, &rule), -ENOENT);
    assert_int_equal(rtnl_address_del(rt, l.index, &addresses[1]), 0);
    assert_int_equal(rtnl_link_del(rt, l.index), 0);
}

static void test_move(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_fd int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    scoped_fd int there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    scoped_fd int there_rt = nl_open(NETLINK_ROUTE, NULL);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    struct rtnl_link l;
    struct rtnl_ip a = ip("10.7.0.1", 24), b = ip("fd07::1", 64);
    assert_int_equal(rtnl_veth_add(rt, &(struct rtnl_change){.name = "m0", .up = 1},
                                   &(struct rtnl_change){.name = "m1"}),
                     0);
    assert_int_equal(rtnl_link_get(rt, "m0", &l), 0);
    assert_int_equal(rtnl_address_add(rt, l.index, &a), 0);
    assert_int_equal(rtnl_address_add(rt, l.index, &b), 0);
    if (netdev_move("m0", "eth%d", there, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(rtnl_link_get(there_rt, "eth0", &l), 0);
    assert_true(l.flags & IFF_UP);
    struct seen s = {.want = a}, t = {.want = b};
    assert_int_equal(rtnl_addresses(there_rt, l.index, see_address, &s), 0);
    assert_int_equal(rtnl_addresses(there_rt, l.index, see_address, &t), 0);
    assert_int_equal(s.n + t.n, 2);
    assert_int_equal(netdev_move("m0", NULL, there, &e), -ENODEV);
}

int main(void)
{
    /* Root of a user namespace is enough, and nothing of the host's is touched. */
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        printf("1..0 # SKIP no user namespaces: %s\n", strerror(errno));
        return 77;
    }
    rt = nl_open(NETLINK_ROUTE, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_kernel), cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_attributes),  cmocka_unit_test(test_links),
        cmocka_unit_test(test_addresses),   cmocka_unit_test(test_other_namespace),
        cmocka_unit_test(test_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
