/* test-egress - rules of --egress, what they match, and frames as a container may send them. */
#include "net/egress.h"
#include "net/frame.h"
#include "unit.h"

static struct net_addr addr(const char *text)
{
    struct net_addr a;
    assert_int_equal(net_addr_parse(text, &a), 0);
    return a;
}

static bool allows(struct egress *p, const char *to, int proto, int port, uint64_t now)
{
    struct net_addr a = addr(to);
    return egress_allows(p, &a, (uint8_t)proto, (uint16_t)port, now);
}

static struct egress *policy(const char *const *rules)
{
    struct egress *p = egress_new();
    struct err e = ERR_INIT;
    for (; *rules; rules++)
        if (egress_add(p, *rules, &e) < 0)
            fail_msg("%s", e.msg);
    return p;
}
#define POLICY(...) policy((const char *const[]){__VA_ARGS__, NULL})

static void test_parse(void **state)
{
    (void)state;
    static const char *const good[] = {
        "deny",
        "allow=example.org",
        "allow=example.org.",
        "allow=*.example.org:443",
        "allow=*.Example.ORG:443/tcp,10.0.0.0/8:1-1024,192.0.2.1/udp",
        "allow=2001:db8::/32,[2001:db8::1]:443,[fd00::/8]:53/udp,::1",
        "allow=_dmarc.example.org,xn--bcher-kva.example",
        "allow=0.0.0.0/0",
        "allow=localhost:80",
        "allow=10.0.0.0/8/tcp",
    };
    static const char *const bad[] = {
        "",
        "allow",
        "allow=",
        "allow=,",
        "allow=a,,b",
        "allow=a,",
        "deny=all",
        "allow=*",
        "allow=*.",
        "allow=a.*.b",
        "allow=.a",
        "allow=a..b",
        "allow=a b",
        "allow=a:0",
        "allow=a:65536",
        "allow=a:",
        "allow=a:80-",
        "allow=a:90-80",
        "allow=a:-80",
        "allow=a:http",
        "allow=a/sctp",
        "allow=10.0.0.0/33",
        "allow=10.0.0.300",
        "allow=[::1",
        "allow=[::1]x",
        "allow=[a]:80",
        "allow=[10.0.0.1]:80",
        "allow=a\nb",
        "allow=\xc3\xbc.example",
    };
    for (size_t i = 0; i < N_ELEMENTS(good); i++)
        if (egress_check(good[i], NULL) < 0)
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct err e = ERR_INIT;
        if (egress_check(bad[i], &e) == 0)
            fail_msg("%s is taken", bad[i]);
        assert_true(e.hint[0] != '\0');
    }
}

static void test_addresses(void **state)
{
    (void)state;
    struct egress *p = POLICY("allow=10.1.0.0/16:443/tcp,192.0.2.7,[2001:db8::/32]:53");
    assert_true(allows(p, "10.1.255.255", 6, 443, 0));
    assert_false(allows(p, "10.2.0.0", 6, 443, 0));
    assert_false(allows(p, "10.1.0.1", 17, 443, 0));
    assert_false(allows(p, "10.1.0.1", 6, 444, 0));
    assert_false(allows(p, "10.1.0.1", 1, 0, 0)); /* a port means no ping */
    assert_true(allows(p, "192.0.2.7", 1, 0, 0));
    assert_true(allows(p, "192.0.2.7", 17, 1, 0));
    assert_false(allows(p, "192.0.2.8", 17, 1, 0));
    assert_true(allows(p, "2001:db8:ffff::1", 17, 53, 0));
    assert_false(allows(p, "2001:db9::1", 17, 53, 0));
    assert_false(allows(p, "::ffff:192.0.2.7", 6, 80, 0));
    egress_free(p);
    p = POLICY("deny");
    assert_false(allows(p, "192.0.2.7", 6, 80, 0));
    assert_false(egress_allows_name(p, "example.org"));
    egress_free(p);
    p = POLICY("allow=0.0.0.0/0");
    assert_true(allows(p, "203.0.113.9", 6, 80, 0));
    assert_false(allows(p, "2001:db8::1", 6, 80, 0));
    egress_free(p);
}

static void test_names(void **state)
{
    (void)state;
    struct egress *p = POLICY("allow=example.org:443", "allow=*.example.net");
    assert_true(egress_allows_name(p, "EXAMPLE.org"));
    assert_true(egress_allows_name(p, "example.org."));
    assert_false(egress_allows_name(p, "www.example.org"));
    assert_false(egress_allows_name(p, "badexample.net"));
    assert_false(egress_allows_name(p, "example.net"));
    assert_true(egress_allows_name(p, "a.b.example.net"));
    assert_false(egress_allows_name(p, "example.net.evil.org"));
    assert_false(egress_allows_name(p, "x\\046example.net")); /* a dot inside of a label is none */
    assert_false(egress_allows_name(p, ""));

    struct net_addr a = addr("198.51.100.7"), b = addr("2001:db8::7");
    egress_learn(p, "example.org", &a, 10, 1000);
    egress_learn(p, "x.example.net", &b, 100000000, 1000);
    egress_learn(p, "evil.org", &(struct net_addr){4, {1, 2, 3, 4}}, 1000, 1000);
    assert_true(allows(p, "198.51.100.7", 6, 443, 1000));
    assert_false(allows(p, "198.51.100.7", 6, 80, 1000));
    assert_false(allows(p, "1.2.3.4", 6, 443, 1000));
    assert_string_equal(egress_name_of(p, &a), "example.org");
    /* The floor, and the ceiling. */
    assert_true(allows(p, "198.51.100.7", 6, 443, 1000 + EGRESS_TTL_FLOOR));
    assert_false(allows(p, "198.51.100.7", 6, 443, 1001 + EGRESS_TTL_FLOOR));
    assert_true(allows(p, "2001:db8::7", 6, 1, 1000 + EGRESS_TTL_CEILING));
    assert_false(allows(p, "2001:db8::7", 6, 1, 1001 + EGRESS_TTL_CEILING));
    egress_free(p);
}

static void test_rebinding(void **state)
{
    (void)state;
    static const char *const never[] = {
        "127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1",       "::1",
        "::",        "fe80::1", "ff02::1",         "::ffff:127.0.0.1"};
    struct egress *p = POLICY("allow=example.org");
    for (size_t i = 0; i < N_ELEMENTS(never); i++) {
        struct net_addr a = addr(never[i]);
        egress_learn(p, "example.org", &a, 1000, 0);
        if (egress_allows(p, &a, 6, 80, 0))
            fail_msg("%s is learned", never[i]);
    }
    assert_int_equal(egress_learned(p), 0);
    egress_free(p);
}

/* UDP goes on for as long as it is used, within bounds. */
static void test_conversations(void **state)
{
    (void)state;
    struct egress *p = POLICY("allow=example.org");
    struct net_addr a = addr("198.51.100.7");
    egress_learn(p, "example.org", &a, 0, 0);
    uint64_t now = 0;
    for (; now <= EGRESS_TTL_FLOOR + 3600; now += 50)
        assert_true(allows(p, "198.51.100.7", 17, 443, now));
    assert_false(allows(p, "198.51.100.7", 17, 443, now));
    egress_learn(p, "example.org", &a, 0, now);
    assert_true(allows(p, "198.51.100.7", 17, 443, now + EGRESS_TTL_FLOOR));
    assert_false(allows(p, "198.51.100.7", 17, 443, now + EGRESS_TTL_FLOOR + 61));
    assert_false(allows(p, "198.51.100.7", 6, 443, now + EGRESS_TTL_FLOOR + 1));
    egress_free(p);
}

static void test_cap(void **state)
{
    (void)state;
    struct egress *p = POLICY("allow=*.example.org");
    struct net_addr a, first = addr("10.0.0.0");
    for (int i = 0; i < 3 * EGRESS_LEARNED_MAX; i++) {
        assert_int_equal(net_addr_add(&first, i, &a), 0);
        egress_learn(p, "x.example.org", &a, 1000, (uint64_t)i);
    }
    assert_int_equal(egress_learned(p), EGRESS_LEARNED_MAX);
    assert_true(allows(p, "10.0.11.255", 6, 1, 3000)); /* the last one; the first ones went */
    assert_false(allows(p, "10.0.0.0", 6, 1, 100));
    char rule[40];
    for (int i = 1; i < EGRESS_RULES_MAX; i++) {
        snprintf(rule, sizeof(rule), "allow=n%d.example", i);
        assert_int_equal(egress_add(p, rule, NULL), 0);
    }
    assert_int_equal(egress_add(p, "allow=one.more", NULL), -EINVAL);
    egress_free(p);
}

/* --- frames --- */

static const uint8_t udp4[] = {0x52, 0x55, 10, 0,   2,   2,   2,  0,    0,    0,    0,  1,  8,
                               0,    0x45, 0,  0,   32,  0,   0,  0x40, 0,    64,   17, 0,  0, //
                               10,   0,    2,  100, 10,  0,   2,  3,    0x12, 0x34, 0,  53, 0,
                               12,   0,    0,  'a', 'b', 'c', 'd'};

static void test_frames(void **state)
{
    (void)state;
    struct frame f;
    uint8_t buf[sizeof(udp4)];
    char text[NET_ADDR_TEXT];
    assert_int_equal(frame_parse(udp4, sizeof(udp4), &f), 0);
    assert_int_equal(f.proto, FRAME_UDP);
    assert_int_equal(f.dport, 53);
    assert_int_equal(f.payload_size, 4);
    assert_memory_equal(f.payload, "abcd", 4);
    assert_string_equal(net_addr_format(&f.dst, text), "10.0.2.3");
    for (size_t n = 0; n < sizeof(udp4); n++)
        assert_int_equal(frame_parse(udp4, n, &f), -EBADMSG);

    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {
        {12, 0x88}, {14, 0x46}, {14, 0x55}, {14, 0x44}, {16, 1},  {17, 19},
        {17, 33},   {23, 47},   {23, 2},    {23, 132},  {38, 40}, {39, 7},
    };
    for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
        memcpy(buf, udp4, sizeof(buf));
        buf[wrong[i].at] = wrong[i].value;
        if (frame_parse(buf, sizeof(buf), &f) == 0)
            fail_msg("byte %zu = %#x is taken", wrong[i].at, wrong[i].value);
    }
    memcpy(buf, udp4, sizeof(buf));
    buf[20] = 0x20; /* more fragments follow */
    assert_int_equal(frame_parse(buf, sizeof(buf), &f), 0);
    assert_true(f.fragment && f.dport == 0 && !f.payload);
    memcpy(buf, udp4, sizeof(buf));
    buf[21] = 1; /* not the first one */
    assert_int_equal(frame_parse(buf, sizeof(buf), &f), 0);
    assert_true(f.fragment);
}

/* One's complement sum over 16-bit words: 0xffff when the checksum in it is right. */
static unsigned sum(const uint8_t *p, size_t n, unsigned s)
{
    for (size_t i = 0; i < n; i++)
        s += i % 2 ? p[i] : (unsigned)p[i] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return s;
}

static void test_answers(void **state)
{
    (void)state;
    struct frame f, back;
    uint8_t out[FRAME_ANSWER_MAX];
    struct net_addr gateway = addr("10.0.2.2");
    assert_int_equal(frame_parse(udp4, sizeof(udp4), &f), 0);

    size_t n = frame_prohibit(&f, &gateway, out);
    assert_int_equal(n, 14 + 20 + 8 + 32);
    assert_int_equal(frame_parse(out, n, &back), 0);
    assert_int_equal(back.proto, FRAME_ICMP);
    assert_int_equal(out[34], 3);
    assert_int_equal(out[35], 13);
    assert_int_equal(sum(out + 14, 20, 0), 0xffff);
    assert_int_equal(sum(out + 34, n - 34, 0), 0xffff);
    assert_memory_equal(out + 42, udp4 + 14, 32);
    assert_memory_equal(out, udp4 + 6, 6);

    n = frame_answer(&f, (const uint8_t *)"xyz", 3, out);
    assert_int_equal(n, 14 + 20 + 8 + 3);
    assert_int_equal(frame_parse(out, n, &back), 0);
    assert_int_equal(back.sport, 53);
    assert_int_equal(back.dport, 0x1234);
    assert_memory_equal(back.payload, "xyz", 3);
    assert_int_equal(sum(out + 26, 8, sum(out + 34, n - 34, 17 + 11)), 0xffff);
    assert_int_equal(frame_answer(&f, out, 1201, out), 0);
}

static void test_answers6(void **state)
{
    (void)state;
    uint8_t in[14 + 40 + 20 + 3000] = {[12] = 0x86, [13] = 0xdd, [14] = 0x60, [20] = 6, [21] = 64};
    uint8_t out[FRAME_ANSWER_MAX];
    struct net_addr from = addr("fd00::100"), to = addr("2001:db8::1"), gateway = addr("fd00::2");
    struct frame f;
    in[18] = (20 + 3000) >> 8;
    in[19] = (20 + 3000) & 0xff;
    memcpy(in + 22, from.b, 16);
    memcpy(in + 38, to.b, 16);
    in[54 + 2] = 1; /* port 443 */
    in[54 + 3] = 0xbb;
    in[54 + 12] = 0x50; /* no options */
    in[54 + 13] = FRAME_SYN;
    assert_int_equal(frame_parse(in, sizeof(in), &f), 0);
    assert_int_equal(f.dport, 443);
    assert_int_equal(f.flags, FRAME_SYN);
    size_t n = frame_prohibit(&f, &gateway, out);
    assert_int_equal(n, 14 + 40 + 8 + 1200);
    assert_int_equal(out[54], 1);
    assert_int_equal(out[55], 1);
    assert_int_equal(sum(out + 22, 32, sum(out + 54, n - 54, 58 + 1208)), 0xffff);
    in[54 + 12] = 0xf0; /* a header of 60 bytes is there */
    assert_int_equal(frame_parse(in, sizeof(in), &f), 0);
    in[20] = 0; /* hop-by-hop options */
    assert_int_equal(frame_parse(in, sizeof(in), &f), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),         cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_names),         cmocka_unit_test(test_rebinding),
        cmocka_unit_test(test_conversations), cmocka_unit_test(test_cap),
        cmocka_unit_test(test_frames),        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answers6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
