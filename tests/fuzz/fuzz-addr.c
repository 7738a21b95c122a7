/* fuzz-addr - any text as an address, a network or a card's address: what is taken can be printed
 * and read again, and the arithmetic holds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_addr(const char *s)
{
    char text[NET_ADDR_TEXT];
    struct net_addr a, b;
    if (net_addr_parse(s, &a) < 0)
        return;
    check(net_addr_parse(net_addr_format(&a, text), &b) == 0 && net_addr_cmp(&a, &b) == 0);
    if (net_addr_add(&a, 257, &b) == 0)
        check(net_addr_cmp(&a, &b) < 0 && net_addr_add(&b, -257, &b) == 0 &&
              net_addr_cmp(&a, &b) == 0);
}

static void check_cidr(const char *s)
{
    char text[NET_CIDR_TEXT];
    struct net_cidr c, d;
    struct net_addr at;
    if (net_cidr_parse(s, &c) < 0)
        return;
    check(net_cidr_parse(net_cidr_format(&c, text), &d) == 0);
    check(net_addr_cmp(&c.addr, &d.addr) == 0 && c.bits == d.bits && net_cidr_overlap(&c, &d));
    struct net_addr first = net_cidr_first(&c), last = net_cidr_last(&c);
    check(net_cidr_contains(&c, &first) && net_cidr_contains(&c, &last));
    check(net_addr_cmp(&first, &c.addr) <= 0 && net_addr_cmp(&last, &c.addr) >= 0);
    uint64_t n = net_cidr_index(&c, &c.addr);
    if (n != UINT64_MAX)
        check(n < net_cidr_count(&c) && net_cidr_nth(&c, n, &at) == 0 &&
              net_addr_cmp(&at, &c.addr) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[NET_MAC_TEXT];
    uint8_t mac[6], again[6];
    char *s = malloc(size + 1);
    if (!s)
        return 0;
    memcpy(s, data, size);
    s[size] = '\0';
    check_addr(s);
    check_cidr(s);
    if (net_mac_parse(s, mac) == 0)
        check(net_mac_parse(net_mac_format(mac, text), again) == 0 && memcmp(mac, again, 6) == 0);
    free(s);
    return 0;
}
