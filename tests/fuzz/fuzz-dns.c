/* fuzz-dns - any bytes as a message of the domain name system: what is read of it is consistent,
 * answers to it can be read again and fit where they go. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int each(const struct dns_address *a, void *data)
{
    unsigned *n = data;
    if ((a->size != 4 && a->size != 16) || strlen(a->name) >= DNS_NAME_SIZE)
        abort();
    return ++*n > 1000;
}

static void check_answer(const uint8_t *msg, const struct dns_question *q)
{
    static uint8_t buf[DNS_MESSAGE_MAX];
    uint8_t wire[255], addr[16];
    struct dns_question back;
    struct dns_answer a;
    int n = dns_name_encode(q->name, wire);
    if (n < 0 || memcmp(wire + n - 1, "", 1) != 0 || (size_t)n + DNS_HEADER + 4 != q->end)
        abort();
    size_t max = q->udp_size < 1500 ? q->udp_size : 1500;
    dns_answer_begin(&a, msg, q, buf, max);
    for (int i = 0; i < 100; i++)
        dns_answer_address(&a, "0123456789abcdef", i % 2 ? 4 : 16, 30);
    dns_answer_name(&a, DNS_PTR, q->name, 1);
    size_t size = dns_answer_end(&a);
    if (size > max || dns_question(buf, size, &back) < 0 || strcmp(back.name, q->name) != 0 ||
        back.edns != q->edns)
        abort();
    unsigned count = 0;
    if (dns_addresses(buf, size, each, &count) != 0 || count == 0)
        abort();
    (void)dns_reverse(q->name, addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_question q;
    uint8_t buf[DNS_UDP_SIZE];
    unsigned count = 0;
    if (size > DNS_MESSAGE_MAX)
        return 0;
    size_t n = dns_refusal(data, size, DNS_SERVFAIL, buf);
    if (n > sizeof(buf))
        abort();
    dns_addresses(data, size, each, &count);
    if (dns_question(data, size, &q) < 0)
        return 0;
    if (q.end > size || strlen(q.name) >= sizeof(q.name))
        abort();
    check_answer(data, &q);
    uint8_t *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (dns_truncate(copy, size, 100) > (q.end > 100 ? q.end : 100))
        abort();
    free(copy);
    return 0;
}
