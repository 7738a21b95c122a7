/* Sockets of published ports: all or none, whose the port is when it is taken, numbers chosen by
 * the kernel. Ports of the loopback that the kernel chose are free again a moment later. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/strv.h"
#include "network/publish.h"

#define BIND(ret, n, e, ...) publish_bind(ARGV(__VA_ARGS__), NULL, NULL, ret, n, e)

static void test_chosen(void **state)
{
    struct publish *v = NULL;
    size_t n = 0;
    struct err e = ERR_INIT;
    (void)state;
    assert_int_equal(BIND(&v, &n, &e, "127.0.0.1::80", "127.0.0.1::53/udp", "80-81"), 0);
    assert_int_equal(n, 4);
    scoped_strv char **texts = publish_texts(v, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(v[i].port.host >= 1024);
        assert_int_equal(publish_check(v[i].fd, &v[i].port, &e), 0);
        struct net_port again;
        assert_int_equal(net_port_parse_shown(texts[i], &again), 0);
        assert_int_equal(again.host, v[i].port.host);
    }
    assert_has(texts[0], "->80/tcp");
    assert_has(texts[1], "->53/udp");
    assert_has(texts[3], "0.0.0.0:");
    /* Another's number, and another kind. */
    assert_int_equal(publish_check(v[0].fd, &v[3].port, &e), -EINVAL);
    assert_int_equal(publish_check(v[1].fd, &v[0].port, &e), -EINVAL);
    publish_free(v, n);
}

static char *holder(const struct net_port *p, void *data)
{
    *(struct net_port *)data = *p;
    return xstrdup("web");
}

static void test_taken(void **state)
{
    static const char *const kinds[] = {"tcp", "udp"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct publish *v = NULL, *w = NULL;
        size_t n = 0, m = 0;
        struct err e = ERR_INIT;
        struct net_port asked = {0};
        scoped_free char *first = xasprintf("127.0.0.1::80/%s", kinds[i]);
        assert_int_equal(BIND(&v, &n, &e, first), 0);
        unsigned port = v[0].port.host;
        scoped_free char *same = xasprintf("127.0.0.1:%u:80/%s", port, kinds[i]);
        scoped_free char *all = xasprintf("%u:80/%s", port, kinds[i]);
        scoped_free char *range = xasprintf("127.0.0.1:%u-%u:80/%s", port, port + 9, kinds[i]);

        assert_int_equal(BIND(&w, &m, &e, "127.0.0.1::81", same), -EADDRINUSE);
        assert_null(w);
        scoped_free char *us = xasprintf("process %d (test-publish) has it", (int)getpid());
        assert_has(e.msg, us);
        assert_has(e.msg, kinds[i]);
        assert_int_equal(publish_bind((char *[]){all, NULL}, holder, &asked, &w, &m, &e),
                         -EADDRINUSE);
        assert_has(e.msg, "container web has it");
        assert_int_equal(asked.host, port);
        /* The next one that is free. */
        assert_int_equal(BIND(&w, &m, &e, range), 0);
        assert_true(w[0].port.host > port && w[0].port.host < port + 10);
        publish_free(w, m);
        publish_free(v, n);
        /* As it is shown in a state, and after that free again. */
        scoped_free char *shown = xasprintf("127.0.0.1:%u->80/%s", port, kinds[i]);
        assert_int_equal(BIND(&v, &n, &e, shown), 0);
        publish_free(v, n);
        assert_int_equal(BIND(&v, &n, &e, same, same), -EADDRINUSE);
        assert_has(e.msg, "published twice");
    }
}

static void test_all_or_none(void **state)
{
    struct publish *v = NULL;
    size_t n = 0;
    struct err e = ERR_INIT;
    (void)state;
    assert_int_equal(BIND(&v, &n, &e, "127.0.0.1::80", "203.0.113.9:8080:80"), -EADDRNOTAVAIL);
    assert_has(e.msg, "publish port 203.0.113.9:8080/tcp: this host does not have that address");
    err_clear(&e);
    assert_int_equal(BIND(&v, &n, &e, "127.0.0.1::80", "nonsense"), -EINVAL);
    assert_null(v);
}

/* One socket for both families. */
static void test_dual(void **state)
{
    struct publish *v = NULL;
    size_t n = 0;
    struct err e = ERR_INIT;
    (void)state;
    assert_int_equal(BIND(&v, &n, &e, ":80"), 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(v[0].port.host),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    scoped_fd int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&a, sizeof(a)), 0);
    scoped_fd int taken = accept4(v[0].fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(taken >= 0);
    publish_free(v, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chosen),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_all_or_none),
        cmocka_unit_test(test_dual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
