/* fuzz-net-helper - any bytes as the privileged helper's policy, and as its arguments: it is
 * understood or refused, and what is understood keeps within the bounds that the rest relies on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "helpers/net-helper/net-helper.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_policy(const struct policy *p)
{
    if (p->n_bridges > POLICY_BRIDGES || p->n_grants > POLICY_GRANTS)
        abort();
    for (size_t i = 0; i < p->n_bridges; i++) {
        const struct bridge *b = &p->bridges[i];
        size_t n = strnlen(b->name, IFNAMSIZ);
        if (n == 0 || n >= IFNAMSIZ || strchr(b->name, '/') || slot_any(b->name) ||
            b->net4.addr.family != 4 || (b->net6.addr.family && b->net6.bits > 96))
            abort();
    }
    for (size_t i = 0; i < p->n_grants; i++) {
        const struct grant *g = &p->grants[i];
        struct net_addr last;
        if (g->bridge >= p->n_bridges || g->slots == 0 || g->slots > SLOTS_MAX || g->ours ||
            g->n_ports > GRANT_PORTS || g->n_binds > GRANT_BINDS)
            abort();
        if (!g->block.addr.family)
            continue;
        if (net_addr_add(&g->block.addr, (int64_t)g->slots - 1, &last) < 0 ||
            !net_cidr_contains(&p->bridges[g->bridge].net4, &last))
            abort();
    }
}

static void check_request(const struct request *q)
{
    if (q->n_ports > REQUEST_PORTS || strnlen(q->bridge, IFNAMSIZ) == IFNAMSIZ ||
        strnlen(q->slot, IFNAMSIZ) == IFNAMSIZ || strnlen(q->device, IFNAMSIZ) == IFNAMSIZ)
        abort();
    if (q->verb == VERB_ADD && q->netns < 3)
        abort();
    for (size_t i = 0; i < q->n_ports; i++) {
        if (q->ports[i].fd < 3)
            abort();
    }
    /* A name is one user's at most. */
    int n = slot_number(1000, q->slot);
    if (n >= 0 && (slot_number(1001, q->slot) >= 0 || !slot_any(q->slot) || n >= SLOTS_MAX))
        abort();
}

/* The words lie behind each other, each with its terminator. */
static void try_request(const uint8_t *data, size_t size)
{
    static struct request q;
    char *text = malloc(size + 1), *argv[100], name[] = "helper";
    int argc = 1;
    if (!text)
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    argv[0] = name;
    for (size_t at = 0; at < size && argc < 99; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    argv[argc] = NULL;
    if (request_parse(argc, argv, &q, NULL) == 0)
        check_request(&q);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct policy p;
    struct err e = ERR_INIT;
    if (policy_parse((const char *)data, size, &p, &e) == 0)
        check_policy(&p);
    try_request(data, size);
    return 0;
}
