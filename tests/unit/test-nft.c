/* test-nft - a table with everything in it, in a network namespace of the test's own. */
#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <unistd.h>

#include "sys/nft.h"
#include "unit.h"

static int nf = -1;
static struct nft b;

struct port {
    uint8_t proto, pad0[3];
    uint16_t port, pad1;
};
struct target {
    uint32_t addr;
    uint16_t port, pad;
};

static void add_port(const char *table, unsigned flags, uint16_t port, uint16_t target)
{
    struct port k = {.proto = IPPROTO_TCP, .port = htons(port)};
    struct target v = {.addr = htonl(0x0a580003), .port = htons(target)};
    struct nft_elem e = {&k, &v, sizeof(k), sizeof(v)};
    nft_begin(&b, 0);
    nft_table(&b, NFPROTO_INET, table);
    nft_elem_add(&b, "ports", flags, &e);
}

static void make_table(const char *table, unsigned flags)
{
    nft_begin(&b, 0);
    nft_table(&b, NFPROTO_INET, table);
    nft_table_add(&b, flags, "v1", 3);
    nft_set_add(&b, &(struct nft_set){.name = "ports",
                                      .key_type = nft_type(nft_type(0, NFT_T_PROTO), NFT_T_SERVICE),
                                      .key_size = sizeof(struct port),
                                      .data_type = nft_type(nft_type(0, NFT_T_IPV4), NFT_T_SERVICE),
                                      .data_size = sizeof(struct target)});
    nft_set_add(
        &b, &(struct nft_set){.name = "bridges", .key_type = NFT_T_IFNAME, .key_size = NFT_IFNAME});
    nft_chain_add(&b,
                  &(struct nft_chain){
                      .name = "pre", .type = "nat", .hook = NF_INET_PRE_ROUTING, .priority = -100});
    nft_chain_add(
        &b, &(struct nft_chain){
                .name = "post", .type = "nat", .hook = NF_INET_POST_ROUTING, .priority = 100});
    nft_chain_add(&b, &(struct nft_chain){
                          .name = "fwd", .type = "filter", .hook = NF_INET_FORWARD, .drop = true});
    nft_chain_add(&b, &(struct nft_chain){.name = "other"});
    nft_rule_begin(&b, "pre");
    nft_meta(&b, N(0), NFT_META_NFPROTO);
    nft_cmp_u8(&b, NFT_CMP_EQ, N(0), NFPROTO_IPV4);
    nft_fib_daddr_type(&b, N(0));
    nft_cmp_u32(&b, NFT_CMP_EQ, N(0), RTN_LOCAL);
    nft_meta(&b, N(0), NFT_META_L4PROTO);
    nft_payload(&b, N(1), (struct nft_field){NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2});
    nft_lookup_map(&b, "ports", N(0), N(8));
    nft_dnat(&b, NFPROTO_IPV4, N(8), N(9));
    nft_rule_end(&b);
    nft_rule_begin(&b, "post");
    nft_meta(&b, N(0), NFT_META_OIFNAME);
    nft_lookup(&b, "bridges", N(0), NFT_LOOKUP_F_INV);
    nft_masquerade(&b);
    nft_rule_end(&b);
    nft_rule_begin(&b, "fwd");
    nft_meta(&b, N(0), NFT_META_IIFNAME);
    nft_cmp_name(&b, NFT_CMP_EQ, N(0), "rlbr7");
    nft_counter(&b);
    nft_verdict(&b, NFT_GOTO, "other");
    nft_rule_end(&b);
    nft_rule_begin(&b, "other");
    nft_clamp_mss(&b);
    nft_rule_end(&b);
    nft_rule_begin(&b, "other");
    uint32_t established = NF_CT_STATE_BIT(IP_CT_ESTABLISHED);
    nft_ct(&b, N(0), NFT_CT_STATE);
    nft_bits(&b, N(0), &established, sizeof(established));
    nft_cmp_u32(&b, NFT_CMP_NEQ, N(0), 0);
    nft_verdict(&b, NF_ACCEPT, NULL);
    nft_rule_end(&b);
}

static int count_elem(const struct nft_found *e, void *data)
{
    struct port k;
    struct target v;
    assert_int_equal(e->key_size, sizeof(k));
    assert_int_equal(e->data_size, sizeof(v));
    memcpy(&k, e->key, sizeof(k));
    memcpy(&v, e->data, sizeof(v));
    assert_int_equal(ntohs(v.port), ntohs(k.port) - 8000);
    ++*(int *)data;
    return 0;
}

static int count_base(const struct nft_base *c, void *data)
{
    if (strcmp(c->table, "t") == 0 && c->hook == NF_INET_FORWARD)
        *(int *)data += c->policy == NF_DROP && strcmp(c->type, "filter") == 0;
    return 0;
}

static void test_table(void **state)
{
    (void)state;
    char data[8];
    size_t size = sizeof(data);
    make_table("t", NLM_F_EXCL);
    int r = nft_commit(nf, &b);
    if (r < 0)
        fail_msg("%s: %s", strerror(-r), b.m.why);
    assert_int_equal(nft_table_get(nf, NFPROTO_INET, "t", data, &size), 0);
    assert_int_equal(size, 3);
    assert_string_equal(data, "v1");
    assert_int_equal(nft_table_get(nf, NFPROTO_INET, "u", NULL, NULL), -ENOENT);
    assert_int_equal(nft_table_get(nf, NFPROTO_BRIDGE, "t", NULL, NULL), -ENOENT);
    assert_int_equal(nft_chain_get(nf, NFPROTO_INET, "t", "other"), 0);
    assert_int_equal(nft_chain_get(nf, NFPROTO_INET, "t", "another"), -ENOENT);
    assert_int_equal(nft_mentions(nf, NFPROTO_INET, "t", "rlbr7"), 1);
    assert_int_equal(nft_mentions(nf, NFPROTO_INET, "t", "rlbr8"), 0);
    int n = 0;
    assert_int_equal(nft_bases(nf, count_base, &n), 0);
    assert_int_equal(n, 1);
    make_table("t", NLM_F_EXCL);
    assert_int_equal(nft_commit(nf, &b), -EEXIST);
}

/* A key with another value is refused, the same again only with NLM_F_EXCL; all or nothing. */
static void test_elements(void **state)
{
    (void)state;
    struct nft_source ports = {NFPROTO_INET, "t", "ports"};
    int n = 0;
    add_port("t", NLM_F_EXCL, 8080, 80);
    assert_int_equal(nft_commit(nf, &b), 0);
    add_port("t", 0, 8080, 80);
    assert_int_equal(nft_commit(nf, &b), 0);
    add_port("t", NLM_F_EXCL, 8080, 80);
    assert_int_equal(nft_commit(nf, &b), -EEXIST);
    add_port("t", 0, 8080, 81);
    assert_int_equal(nft_commit(nf, &b), -EEXIST);
    add_port("no", 0, 8081, 81);
    assert_int_equal(nft_commit(nf, &b), -ENOENT);

    struct port k = {.proto = IPPROTO_TCP, .port = htons(8080)}, other = {.proto = IPPROTO_UDP};
    add_port("t", 0, 8090, 90);
    nft_elem_del(&b, "ports", &other, sizeof(other));
    assert_int_equal(nft_commit(nf, &b), -ENOENT);
    assert_int_equal(nft_elems(nf, &ports, count_elem, &n), 0);
    assert_int_equal(n, 1);

    uint32_t before = 0, now = 0;
    assert_int_equal(nft_genid(nf, &before), 0);
    add_port("t", 0, 8091, 91);
    assert_int_equal(nft_commit(nf, &b), 0);
    assert_int_equal(nft_genid(nf, &now), 0);
    assert_true(now != before);
    nft_begin(&b, before);
    nft_table(&b, NFPROTO_INET, "t");
    nft_elem_del(&b, "ports", &k, sizeof(k));
    assert_int_equal(nft_commit(nf, &b), -ERESTART);
    nft_begin(&b, now);
    nft_elem_del(&b, "ports", &k, sizeof(k));
    assert_int_equal(nft_commit(nf, &b), 0);
    nft_begin(&b, 0);
    nft_set_flush(&b, "ports");
    nft_table_del(&b);
    assert_int_equal(nft_commit(nf, &b), 0);
    assert_int_equal(nft_elems(nf, &ports, count_elem, &n), -ENOENT);
    nft_begin(&b, 0);
    assert_int_equal(nft_commit(nf, &b), 0);
}

int main(void)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        printf("1..0 # SKIP no user namespaces: %s\n", strerror(errno));
        return 77;
    }
    nf = nl_open(NETLINK_NETFILTER, NULL);
    if (nf < 0) {
        printf("1..0 # SKIP no nftables: %s\n", strerror(-nf));
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
