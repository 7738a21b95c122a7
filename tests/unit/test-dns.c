/* Messages of the domain name system: what is read of them, what is refused, what is answered. */
#include "net/dns.h"

#include "unit.h"

/* A message in the making. */
struct msg {
    uint8_t b[4096];
    size_t n;
};

static void add(struct msg *m, const void *data, size_t n)
{
    assert_true(m->n + n <= sizeof(m->b));
    memcpy(m->b + m->n, data, n);
    m->n += n;
}

static void add16(struct msg *m, unsigned v)
{
    add(m, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void add_name(struct msg *m, const char *name)
{
    uint8_t wire[255];
    int n = dns_name_encode(name, wire);
    assert_true(n > 0);
    add(m, wire, (size_t)n);
}

static struct msg query(const char *name, unsigned type)
{
    struct msg m = {.n = 0};
    add16(&m, 0x1234);
    add16(&m, DNS_FLAG_RD);
    for (int i = 0; i < 4; i++)
        add16(&m, i == 0);
    add_name(&m, name);
    add16(&m, type);
    add16(&m, 1);
    return m;
}

static void add_record(struct msg *m, const char *name, unsigned type, uint32_t ttl,
                       const void *data, size_t n)
{
    add_name(m, name);
    add16(m, type);
    add16(m, 1);
    add16(m, ttl >> 16);
    add16(m, ttl & 0xffff);
    add16(m, (unsigned)n);
    add(m, data, n);
    m->b[7]++;
}

static void add_alias(struct msg *m, const char *name, uint32_t ttl, const char *target)
{
    uint8_t wire[255];
    int n = dns_name_encode(target, wire);
    add_record(m, name, DNS_CNAME, ttl, wire, (size_t)n);
}

static void test_question(void **state)
{
    (void)state;
    struct dns_question q;
    struct msg m = query("Web.Example.ORG", DNS_AAAA);
    assert_int_equal(dns_question(m.b, m.n, &q), 0);
    assert_string_equal(q.name, "web.example.org");
    assert_int_equal(q.id, 0x1234);
    assert_int_equal(q.type, DNS_AAAA);
    assert_int_equal(q.class, 1);
    assert_int_equal(q.end, m.n);
    assert_int_equal(q.udp_size, 512);
    assert_false(q.edns);
    for (size_t n = 0; n < m.n; n++)
        assert_int_equal(dns_question(m.b, n, &q), -EBADMSG);
    m.b[11] = 1; /* EDNS: 4096 bytes */
    add(&m, "\0\0\x29\x10\0\0\0\0\0\0\0", 11);
    assert_int_equal(dns_question(m.b, m.n, &q), 0);
    assert_true(q.edns);
    assert_int_equal(q.udp_size, 4096);
    m = query("", DNS_A);
    assert_int_equal(dns_question(m.b, m.n, &q), 0);
    assert_string_equal(q.name, "");
    m.b[5] = 2;
    assert_int_equal(dns_question(m.b, m.n, &q), -EBADMSG);
}

static void test_odd_bytes(void **state)
{
    (void)state;
    struct dns_question q;
    struct msg m = query("a\\046b.c\\000\\255", DNS_A);
    assert_int_equal(dns_question(m.b, m.n, &q), 0);
    assert_string_equal(q.name, "a\\046b.c\\000\\255");
    assert_int_equal(m.b[DNS_HEADER], 3);
    uint8_t wire[255];
    static const char *const bad[] = {".", "a..b", ".a", "\\12", "\\256", "a\\", "\\1x3"};
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (dns_name_encode(bad[i], wire) != -EINVAL)
            fail_msg("\"%s\" is taken", bad[i]);
    char label[65];
    memset(label, 'a', 64);
    label[64] = '\0';
    assert_int_equal(dns_name_encode(label, wire), -EINVAL);
    assert_int_equal(dns_name_encode(label + 1, wire), 65);
}

/* The longest name, every byte of which takes four characters, has room. */
static void test_longest(void **state)
{
    (void)state;
    struct msg m = query("", DNS_A);
    m.n = DNS_HEADER;
    static const unsigned labels[] = {63, 63, 63, 61};
    for (size_t i = 0; i < N_ELEMENTS(labels); i++) {
        uint8_t label[64] = {(uint8_t)labels[i]};
        memset(label + 1, 1, labels[i]);
        add(&m, label, labels[i] + 1);
    }
    add(&m, "\0\0\1\0\1", 5);
    struct dns_question q;
    assert_int_equal(dns_question(m.b, m.n, &q), 0);
    assert_int_equal(strlen(q.name), 250 * 4 + 3);
    uint8_t wire[255];
    assert_int_equal(dns_name_encode(q.name, wire), 255);
    assert_memory_equal(wire, m.b + DNS_HEADER, 255);
    m.b[m.n - 5] = 1; /* one label more */
    add(&m, "x\0\0\1\0\1", 6);
    assert_int_equal(dns_question(m.b, m.n, &q), -EBADMSG);
}

/* Pointers into the header, to themselves, forward, out of the message; labels of other kinds. */
static void test_compression_attacks(void **state)
{
    (void)state;
    static const char *const names[] = {"\xc0\x0c",         "\xc0\x00", "\xc0\x0d", "\xff\xff",
                                        "\x01\x61\xc0\x0c", "\x40\x61", "\x80",     "\x3f\x61"};
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        struct msg m = query("", DNS_A);
        m.n = DNS_HEADER;
        add(&m, names[i], i == 1 ? 2 : strlen(names[i]));
        add(&m, "\0\0\1\0\1", 5);
        struct dns_question q;
        assert_int_equal(dns_question(m.b, m.n, &q), -EBADMSG);
    }
}

struct seen {
    char text[512];
    size_t n;
    int stop;
};

static int note(const struct dns_address *a, void *data)
{
    struct seen *s = data;
    s->n += (size_t)snprintf(s->text + s->n, sizeof(s->text) - s->n, "%s %u.%u/%zu %u;", a->name,
                             a->addr[0], a->addr[a->size - 1], a->size, a->ttl);
    return s->stop;
}

static void test_addresses(void **state)
{
    (void)state;
    struct seen s = {.n = 0};
    struct msg m = query("www.a", DNS_A);
    m.b[2] |= 0x80;
    add_record(&m, "other", DNS_A, 9, "\x09\0\0\x09", 4); /* of somebody else */
    add_record(&m, "end.c", DNS_A, 60, "\x0a\0\0\1", 4);  /* before its alias: found too */
    add_alias(&m, "WWW.a", 300, "mid.b");
    add_alias(&m, "mid.b", 20, "end.c");
    add_record(&m, "end.c", DNS_AAAA, 10, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    assert_int_equal(dns_addresses(m.b, m.n, note, &s), 0);
    assert_string_equal(s.text, "end.c 10.1/4 20;end.c 253.2/16 10;");
    s = (struct seen){.stop = 1};
    assert_int_equal(dns_addresses(m.b, m.n, note, &s), 1);
    assert_string_equal(s.text, "end.c 10.1/4 20;");
    /* Cut anywhere: an error, and nothing is read behind its end. */
    for (size_t n = 0; n < m.n; n++) {
        scoped_free uint8_t *cut = memcpy(xmalloc(n + 1), m.b, n);
        assert_int_equal(dns_addresses(cut, n, note, &(struct seen){.stop = 0}), -EBADMSG);
    }
}

static void test_alias_loop(void **state)
{
    (void)state;
    struct seen s = {.n = 0};
    struct msg m = query("a", DNS_A);
    add_alias(&m, "a", 1, "b");
    add_alias(&m, "b", 1, "a");
    assert_int_equal(dns_addresses(m.b, m.n, note, &s), 0);
    assert_int_equal(s.n, 0);
    m = query("a", DNS_A);
    add_record(&m, "a", DNS_A, 1, "\1\2\3", 3);
    assert_int_equal(dns_addresses(m.b, m.n, note, &s), -EBADMSG);
    /* An alias whose name runs out of its record. */
    m = query("a", DNS_A);
    add_record(&m, "a", DNS_CNAME, 1, "\5b", 2);
    add_record(&m, "c", DNS_A, 1, "\1\2\3\4", 4);
    assert_int_equal(dns_addresses(m.b, m.n, note, &s), -EBADMSG);
}

static void test_answers(void **state)
{
    (void)state;
    uint8_t buf[DNS_UDP_SIZE];
    struct dns_question q;
    struct dns_answer a;
    struct seen s = {.n = 0};
    struct msg m = query("web", DNS_A);
    assert_int_equal(dns_question(m.b, m.n, &q), 0);
    dns_answer_begin(&a, m.b, &q, buf, sizeof(buf));
    dns_answer_address(&a, "\x0a\x59\0\2", 4, 30);
    dns_answer_address(&a, "\x0a\x59\0\3", 4, 30);
    size_t n = dns_answer_end(&a);
    assert_int_equal(dns_addresses(buf, n, note, &s), 0);
    assert_string_equal(s.text, "web 10.2/4 30;web 10.3/4 30;");
    assert_int_equal(dns_flags(buf), DNS_FLAG_QR | DNS_FLAG_AA | DNS_FLAG_RD | DNS_FLAG_RA);
    assert_int_equal(dns_id(buf), 0x1234);
    dns_answer_begin(&a, m.b, &q, buf, sizeof(buf));
    dns_answer_code(&a, DNS_NXDOMAIN);
    assert_int_equal(dns_answer_end(&a), m.n);
    assert_int_equal(dns_flags(buf) & DNS_RCODE, DNS_NXDOMAIN);
    dns_answer_begin(&a, m.b, &q, buf, sizeof(buf));
    dns_answer_name(&a, DNS_PTR, "web.rootlet", 30);
    dns_answer_name(&a, DNS_PTR, "not..one", 30);
    assert_int_equal(dns_answer_end(&a), m.n + 12 + 13);
    assert_int_equal(buf[7], 1);
}

static void test_truncated(void **state)
{
    (void)state;
    uint8_t buf[DNS_UDP_SIZE];
    struct dns_question q;
    struct dns_answer a;
    struct msg m = query("web", DNS_AAAA);
    m.b[11] = 1;
    add(&m, "\0\0\x29\x02\0\0\0\0\0\0\0", 11);
    assert_int_equal(dns_question(m.b, m.n, &q), 0);
    dns_answer_begin(&a, m.b, &q, buf, sizeof(buf));
    for (int i = 0; i < 40; i++)
        dns_answer_address(&a, "0123456789abcdef", 16, 30);
    size_t n = dns_answer_end(&a);
    assert_true(n <= sizeof(buf) && n > sizeof(buf) - 28);
    assert_true(dns_flags(buf) & DNS_FLAG_TC);
    struct dns_question back;
    assert_int_equal(dns_question(buf, n, &back), 0);
    assert_true(back.edns);
    /* One of somebody else's that is too long. */
    m.b[2] |= 0x80;
    assert_int_equal(dns_truncate(m.b, m.n, 4096), m.n);
    n = dns_truncate(m.b, m.n, 25);
    assert_int_equal(n, q.end);
    assert_true(dns_flags(m.b) & DNS_FLAG_TC);
    assert_int_equal(dns_question(m.b, n, &back), 0);
}

static void test_refusal(void **state)
{
    (void)state;
    uint8_t buf[DNS_UDP_SIZE];
    struct msg m = query("web", DNS_A);
    assert_int_equal(dns_refusal(m.b, m.n, DNS_REFUSED, buf), m.n);
    assert_int_equal(dns_flags(buf) & DNS_RCODE, DNS_REFUSED);
    assert_int_equal(dns_refusal(m.b, m.n - 1, DNS_FORMERR, buf), DNS_HEADER);
    assert_int_equal(buf[5], 0);
    assert_int_equal(dns_refusal(m.b, DNS_HEADER - 1, DNS_FORMERR, buf), 0);
    m.b[2] |= 0x80;
    assert_int_equal(dns_refusal(m.b, m.n, DNS_REFUSED, buf), 0);
}

static void test_reverse(void **state)
{
    (void)state;
    uint8_t a[16];
    assert_int_equal(dns_reverse("2.0.89.10.in-addr.arpa", a), 4);
    assert_memory_equal(a, "\x0a\x59\0\2", 4);
    assert_int_equal(dns_reverse("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f."
                                 "ip6.arpa",
                                 a),
                     16);
    assert_memory_equal(a, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    static const char *const bad[] = {"",
                                      "1.2.3.in-addr.arpa",
                                      "256.1.1.1.in-addr.arpa",
                                      "1.2.3.4.5.in-addr.arpa",
                                      "1.2.3.4.in-addr.arpa.x",
                                      "1.2.3.a.in-addr.arpa",
                                      "0001.2.3.4.in-addr.arpa",
                                      "1.2.3.4.ip6.arpa",
                                      "in-addr.arpa",
                                      "...."};
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (dns_reverse(bad[i], a) != 0)
            fail_msg("\"%s\" is an address", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question),  cmocka_unit_test(test_odd_bytes),
        cmocka_unit_test(test_longest),   cmocka_unit_test(test_compression_attacks),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_alias_loop),
        cmocka_unit_test(test_answers),   cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_refusal),   cmocka_unit_test(test_reverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
