/* Published ports as text: every form of -p, what is wrong with the others, and back. */
#include "unit.h"

#include "net/ports.h"

static const struct {
    const char *text;
    const char *shown;  /* all of them, each with a space in front; NULL: refused */
    const char *option; /* or a part of the error */
} cases[] = {
    {"80", " 0.0.0.0:0->80/tcp", "80/tcp"},
    {":80", " 0.0.0.0:0->80/tcp", "80/tcp"},
    {"0:80", " 0.0.0.0:0->80/tcp", "80/tcp"},
    {"8080:80", " 0.0.0.0:8080->80/tcp", "8080:80/tcp"},
    {"8080:80/tcp", " 0.0.0.0:8080->80/tcp", "8080:80/tcp"},
    {"53:53/UDP", " 0.0.0.0:53->53/udp", "53:53/udp"},
    {"53:53/tcp,udp", " 0.0.0.0:53->53/tcp 0.0.0.0:53->53/udp", "53:53/tcp"},
    {"127.0.0.1:8080:80", " 127.0.0.1:8080->80/tcp", "127.0.0.1:8080:80/tcp"},
    {"127.0.0.1::80/udp", " 127.0.0.1:0->80/udp", "127.0.0.1::80/udp"},
    {"[::1]:8080:80", " [::1]:8080->80/tcp", "[::1]:8080:80/tcp"},
    {"[::1]::80", " [::1]:0->80/tcp", "[::1]::80/tcp"},
    {"[2001:db8::0:1]:1:2", " [2001:db8::1]:1->2/tcp", "[2001:db8::1]:1:2/tcp"},
    {"[::]:8080:80", " [::]:8080->80/tcp", "[::]:8080:80/tcp"},
    {"0.0.0.0:8080:80", " 0.0.0.0:8080->80/tcp", "0.0.0.0:8080:80/tcp"},
    {"8000-8010:80-90", " 0.0.0.0:8000-8010->80-90/tcp", "8000-8010:80-90/tcp"},
    {"8000-8010:80", " 0.0.0.0:8000-8010->80/tcp", "8000-8010:80/tcp"},
    {"[::1]:8000-8001:80-81/udp", " [::1]:8000-8001->80-81/udp", "[::1]:8000-8001:80-81/udp"},
    {"80-82", " 0.0.0.0:0->80-82/tcp", "80-82/tcp"},
    {"127.0.0.1::80-82", " 127.0.0.1:0->80-82/tcp", "127.0.0.1::80-82/tcp"},
    {"1-65535:1-65535", " 0.0.0.0:1-65535->1-65535/tcp", "1-65535:1-65535/tcp"},
    {"80-80:90-90", " 0.0.0.0:80->90/tcp", "80:90/tcp"},
    {"published=8080,target=80,protocol=udp", " 0.0.0.0:8080->80/udp", "8080:80/udp"},
    {"target=80,mode=host", " 0.0.0.0:0->80/tcp", "80/tcp"},
    {"", NULL, "port \"\": no port of the container"},
    {":", NULL, "no port of the container"},
    {"8080:", NULL, "no port of the container"},
    {"8080:0", NULL, "no port of the container"},
    {"80:70000", NULL, "\"70000\" is not a port (1 to 65535)"},
    {"-1:80", NULL, "\"\" is not a port"},
    {"80:8x", NULL, "\"8x\" is not a port"},
    {"9-8:80", NULL, "\"9-8\" is not a range of ports"},
    {"0-8:80", NULL, "\"0-8\" is not a range of ports"},
    {"80:1-2-3", NULL, "\"2-3\" is not a port"},
    {"8000-8010:80-81", NULL, "the ranges differ: 11 ports of the host, 2 of the container"},
    {"8000:80-81", NULL, "the ranges differ: one port of the host, 2 of the container"},
    {"80:80/sctp", NULL, "protocol sctp cannot be published"},
    {"80:80/icmp", NULL, "unknown protocol \"icmp\""},
    {"80:80/", NULL, "unknown protocol \"\""},
    {"80:80/tcp/udp", NULL, "unknown protocol \"tcp/udp\""},
    {"localhost:80:80", NULL, "\"localhost\" is not an IP address"},
    {"256.0.0.1:80:80", NULL, "\"256.0.0.1\" is not an IP address"},
    {"127.0.0.1:80", NULL, "\"127.0.0.1\" is not a port"},
    {"[::1]:80", NULL, "no port behind the address"},
    {"[::1]80", NULL, "is not a port"},
    {"[::1:80:80", NULL, "is not an IP address"},
    {"[fe80::1%eth0]:80:80", NULL, "zones are not supported"},
    {"::1:80:80", NULL, "\"::1\" is not an IP address"},
    {"1:2:3:4", NULL, "is not an IP address"},
    {"target=80,foo=1", NULL, "unknown key \"foo\""},
    {"published=80", NULL, "no port of the container"},
    {"80\033[1m", NULL, "port \"80\\x1b[1m\": control"},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        struct net_port p[2];
        char text[NET_PORT_TEXT];
        scoped_str struct str all = STR_INIT;
        int n = net_port_parse(cases[i].text, p, &e);
        if (!cases[i].shown) {
            if (n != -EINVAL || !strstr(e.msg, cases[i].option))
                fail_msg("%s: %d %s", cases[i].text, n, e.msg);
            continue;
        }
        if (n < 0)
            fail_msg("%s: %s", cases[i].text, e.msg);
        for (int k = 0; k < n; k++)
            str_addf(&all, " %s", net_port_format(&p[k], text));
        assert_string_equal(all.s, cases[i].shown);
        assert_string_equal(net_port_format_option(&p[0], text), cases[i].option);
    }
}

static void test_hints(void **state)
{
    static const char *const texts[][2] = {
        {"::1:80:80", "[::1]:8080:80"},
        {"127.0.0.1:80", "IP::CONTAINER"},
        {"localhost:80:80", "127.0.0.1 or [::1]"},
        {"1:1/sctp", "tcp and udp can"},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
        struct err e = ERR_INIT;
        struct net_port p[2];
        assert_int_equal(net_port_parse(texts[i][0], p, &e), -EINVAL);
        assert_has(e.hint, texts[i][1]);
    }
}

static void test_shown(void **state)
{
    static const char *const good[] = {"0.0.0.0:8080->80/tcp", "[::]:1-2->3-4/udp",
                                       "127.0.0.1:0->80/tcp"};
    static const char *const bad[] = {"",
                                      "80/tcp",
                                      "0.0.0.0:80",
                                      "8080->80",
                                      "x:80->80/tcp",
                                      "0.0.0.0:80->80->80/tcp",
                                      "->80/tcp",
                                      "0.0.0.0:1->2/tcp,udp",
                                      "->target=80"};
    struct net_port p;
    char text[NET_PORT_TEXT];
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        assert_int_equal(net_port_parse_shown(good[i], &p), 0);
        assert_string_equal(net_port_format(&p, text), good[i]);
    }
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(net_port_parse_shown(bad[i], &p), -EINVAL);
}

static void test_container(void **state)
{
    struct net_port p;
    (void)state;
    assert_int_equal(net_port_parse_container("80-82/udp", &p, NULL), 0);
    assert_int_equal(p.count, 3);
    assert_int_equal(p.proto, NET_UDP);
    assert_int_equal(net_port_parse_container("80:80", &p, NULL), -EINVAL);
    assert_int_equal(net_port_parse_container("80/tcp,udp", &p, NULL), -EINVAL);
    assert_int_equal(net_port_parse_container("target=80", &p, NULL), -EINVAL);
}

static void test_nth(void **state)
{
    struct net_port p[2], one;
    char text[NET_PORT_TEXT];
    (void)state;
    assert_int_equal(net_port_parse("[::1]:8000-8010:80-90", p, NULL), 1);
    one = net_port_nth(&p[0], 10);
    assert_string_equal(net_port_format(&one, text), "[::1]:8010->90/tcp");
    assert_string_equal(net_port_format_host(&one, text), "[::1]:8010");
    assert_int_equal(net_port_parse("80-82", p, NULL), 1);
    one = net_port_nth(&p[0], 2);
    assert_string_equal(net_port_format(&one, text), "0.0.0.0:0->82/tcp");
}

static bool conflict(const char *a, const char *b)
{
    struct net_port p[2], q[2];
    assert_int_equal(net_port_parse(a, p, NULL), 1);
    assert_int_equal(net_port_parse(b, q, NULL), 1);
    assert_int_equal(net_port_conflict(&p[0], &q[0]), net_port_conflict(&q[0], &p[0]));
    return net_port_conflict(&p[0], &q[0]);
}

static void test_conflict(void **state)
{
    (void)state;
    assert_true(conflict("80:80", "80:81"));
    assert_true(conflict("80:80", "127.0.0.1:80:81"));
    assert_true(conflict("80:80", "[::1]:80:81"));
    assert_true(conflict("0.0.0.0:80:80", "127.0.0.1:80:81"));
    assert_true(conflict("127.0.0.1:80:80", "127.0.0.1:70-80:70-80"));
    assert_false(conflict("127.0.0.1:80:80", "127.0.0.2:80:80"));
    assert_false(conflict("127.0.0.1:80:80", "[::1]:80:80"));
    assert_false(conflict("80:80", "80:80/udp"));
    assert_false(conflict("80", "80"));
    assert_false(conflict("80:80", "81-90:81-90"));
}

static void test_join(void **state)
{
    static const char *const texts[][3] = {
        {"80:90", "81:91", "0.0.0.0:80-81->90-91/tcp"},
        {"80-81:90-91", "82:92", "0.0.0.0:80-82->90-92/tcp"},
        {"80:90", "82:91", NULL},
        {"80:90", "81:92", NULL},
        {"80:90", "81:91/udp", NULL},
        {"80:90", "127.0.0.1:81:91", NULL},
        {"80-82:90", "81:91", NULL},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
        struct net_port a[2], b[2];
        char text[NET_PORT_TEXT];
        assert_int_equal(net_port_parse(texts[i][0], a, NULL), 1);
        assert_int_equal(net_port_parse(texts[i][1], b, NULL), 1);
        assert_int_equal(net_port_join(&a[0], &b[0]), texts[i][2] != NULL);
        if (texts[i][2])
            assert_string_equal(net_port_format(&a[0], text), texts[i][2]);
    }
}

static bool means(const char *want, const char *have)
{
    struct net_port p[2], q[2];
    assert_int_equal(net_port_parse(want, p, NULL), 1);
    assert_int_equal(net_port_parse(have, q, NULL), 1);
    return net_port_means(&p[0], &q[0]);
}

static void test_means(void **state)
{
    (void)state;
    assert_true(means("80", "8080:80"));
    assert_true(means("80", "127.0.0.1:8080:80"));
    assert_true(means("8080:80", "127.0.0.1:8080:80"));
    assert_true(means("8080:80", "80"));
    assert_true(means("0.0.0.0:8080:80", "8080:80"));
    assert_true(means("81", "8000-8010:80-90"));
    assert_true(means("8001:81", "8000-8010:80-90"));
    assert_true(means("80-90", "8001:81"));
    assert_true(means("8003:80", "8000-8010:80"));
    assert_false(means("8011:80", "8000-8010:80"));
    assert_false(means("8002:81", "8000-8010:80-90"));
    assert_false(means("81", "8080:80"));
    assert_false(means("80/udp", "8080:80"));
    assert_false(means("8081:80", "8080:80"));
    assert_false(means("127.0.0.1:8080:80", "8080:80"));
    assert_false(means("127.0.0.1::80", "127.0.0.2:8080:80"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_hints),
        cmocka_unit_test(test_shown), cmocka_unit_test(test_container),
        cmocka_unit_test(test_nth),   cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_means), cmocka_unit_test(test_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
