/* The names of a network's members. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "helpers/network/dns.h"

struct dns_entry {
    char id[WIRE_ID_SIZE];
    struct net_addr addr[2];
    struct dns_upstream upstream; /* its own, if any */
    char names[];                 /* one after the other, an empty one ends them */
};

static void lower(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s | 0x20);
}

static struct dns_entry *entry_new(const struct dns_member *m)
{
    size_t size = 1;
    for (size_t i = 0; i < N_ELEMENTS(m->names); i++)
        size += strnlen(m->names[i], WIRE_NAME_SIZE - 1) + 1;
    struct dns_entry *n = xcalloc(1, sizeof(*n) + size);
    memcpy(n->id, m->id, sizeof(n->id) - 1);
    memcpy(n->addr, m->addr, sizeof(n->addr));
    dns_upstream_fix(&n->upstream, m->servers, N_ELEMENTS(m->servers));
    n->upstream.elsewhere = m->asks_itself;
    char *at = n->names;
    for (size_t i = 0; i < N_ELEMENTS(m->names); i++) {
        size_t len = strnlen(m->names[i], WIRE_NAME_SIZE - 1);
        if (len == 0)
            continue;
        memcpy(at, m->names[i], len);
        lower(at);
        at += len + 1;
    }
    return n;
}

void dns_names_apply(struct dns_names *t, const struct dns_member *m)
{
    size_t i = 0;
    while (i < t->n && strncmp(t->v[i]->id, m->id, sizeof(m->id) - 1) != 0)
        i++;
    if (i < t->n) {
        free(t->v[i]);
        t->v[i] = t->v[--t->n];
    }
    if (m->gone)
        return;
    t->v = xrealloc(t->v, (t->n + 1) * sizeof(struct dns_entry *));
    t->v[t->n++] = entry_new(m);
}

static bool is_called(const struct dns_entry *n, const char *name)
{
    for (const char *p = n->names; *p; p += strlen(p) + 1)
        if (streq(p, name))
            return true;
    return false;
}

int dns_names_find(struct dns_names *t, const char *name, int family, struct net_addr *ret,
                   size_t max)
{
    bool known = false;
    size_t n = 0;
    t->turn += max > 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct dns_entry *m = t->v[(i + t->turn) % t->n];
        if (!is_called(m, name))
            continue;
        known = true;
        const struct net_addr *a = &m->addr[family == 6];
        if (a->family && n < max)
            ret[n++] = *a;
    }
    return known ? (int)n : -ENOENT;
}

const char *dns_names_reverse(const struct dns_names *t, const struct net_addr *a)
{
    for (size_t i = 0; i < t->n; i++)
        if (net_addr_cmp(&t->v[i]->addr[a->family == 6], a) == 0 && t->v[i]->names[0])
            return t->v[i]->names;
    return NULL;
}

const struct dns_upstream *dns_names_upstream(const struct dns_names *t,
                                              const struct sockaddr_storage *client)
{
    for (size_t i = 0; i < t->n; i++)
        if (dns_is_client(t->v[i]->addr, client))
            return t->v[i]->upstream.n || t->v[i]->upstream.elsewhere ? &t->v[i]->upstream : NULL;
    return NULL;
}
