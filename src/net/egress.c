/* egress - see egress.h. */
#include "net/egress.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scoped.h"
#include "base/str.h"

enum { NAME_MAX_TEXT = 254, UDP_GRACE = 60, UDP_GRACE_MAX = 3600, TCP = 6, UDP = 17 };

struct rule {
    char *name;           /* lower case, or NULL: cidr counts */
    bool below;           /* "*.name" */
    struct net_cidr cidr; /* bits 0: everything of that family */
    uint8_t proto;        /* 0: any */
    uint16_t port, last;  /* 0: any */
};

struct learned {
    struct net_addr addr;
    uint16_t rule;
    uint64_t until, used; /* used: by UDP */
};

struct egress {
    struct rule *rules;
    size_t n_rules;
    struct learned *learned;
    size_t n_learned;
};

struct egress *egress_new(void)
{
    return xcalloc(1, sizeof(struct egress));
}

void egress_free(struct egress *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_rules; i++)
        free(p->rules[i].name);
    free(p->rules);
    free(p->learned);
    free(p);
}

static int port_number(const char *s, size_t n, uint16_t *ret)
{
    unsigned v = 0;
    if (n == 0 || n > 5)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -EINVAL;
        v = v * 10 + (unsigned)(s[i] - '0');
    }
    if (v == 0 || v > 65535)
        return -EINVAL;
    *ret = (uint16_t)v;
    return 0;
}

/* "443", "8000-8010" */
static int parse_ports(const char *s, struct rule *r)
{
    const char *dash = strchr(s, '-');
    if (port_number(s, dash ? (size_t)(dash - s) : strlen(s), &r->port) < 0)
        return -EINVAL;
    r->last = r->port;
    if (dash && port_number(dash + 1, strlen(dash + 1), &r->last) < 0)
        return -EINVAL;
    return r->last >= r->port ? 0 : -EINVAL;
}

/* Cuts "/tcp" or "/udp" off. */
static void parse_proto(char *s, struct rule *r)
{
    char *slash = strrchr(s, '/');
    if (!slash)
        return;
    if (strcmp(slash, "/tcp") == 0)
        r->proto = TCP;
    else if (strcmp(slash, "/udp") == 0)
        r->proto = UDP;
    else
        return;
    *slash = '\0';
}

static int parse_network(const char *s, struct rule *r)
{
    if (net_addr_parse(s, &r->cidr.addr) == 0) {
        r->cidr.bits = (uint8_t)(net_addr_size(&r->cidr.addr) * 8);
        return 0;
    }
    return net_cidr_parse(s, &r->cidr);
}

static int parse_name(const char *s, struct rule *r)
{
    r->below = strncmp(s, "*.", 2) == 0;
    if (r->below)
        s += 2;
    size_t n = strlen(s), label = 0;
    bool letter = false; /* "10.0.0.300" is a wrong address, no name */
    if (n > 0 && s[n - 1] == '.')
        n--;
    if (n == 0 || n > NAME_MAX_TEXT)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        label = c == '.' ? 0 : label + 1;
        if ((c == '.' && (i == 0 || s[i - 1] == '.')) || label > 63)
            return -EINVAL;
        if (c != '.' && c != '-' && c != '_' && !(c < 128 && isalnum(c)))
            return -EINVAL;
        letter = letter || c == '_' || (c < 128 && isalpha(c));
    }
    if (!letter)
        return -EINVAL;
    r->name = xstrndup(s, n);
    for (char *c = r->name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return 0;
}

/* Splits the port from what is before it. An IPv6 address without brackets has none. */
static int split_port(char *s, char **ret_port)
{
    *ret_port = NULL;
    if (*s == '[') {
        char *end = strchr(s, ']');
        if (!end || (end[1] && end[1] != ':'))
            return -EINVAL;
        *ret_port = end[1] ? end + 2 : NULL;
        *end = '\0';
        return 1;
    }
    char *colon = strchr(s, ':');
    if (colon && !strchr(colon + 1, ':')) {
        *colon = '\0';
        *ret_port = colon + 1;
    }
    return 0;
}

static int parse_rule(const char *text, struct rule *ret)
{
    scoped_free char *copy = xstrdup(text);
    struct rule r = {0};
    char *port;

    parse_proto(copy, &r);
    int bracket = split_port(copy, &port);
    if (bracket < 0 || (port && parse_ports(port, &r) < 0))
        return -EINVAL;
    const char *target = copy + bracket;
    if (parse_network(target, &r) < 0) {
        r.cidr = (struct net_cidr){0};
        if (bracket || parse_name(target, &r) < 0)
            return -EINVAL;
    }
    if (bracket && r.cidr.addr.family != 6) {
        free(r.name);
        return -EINVAL;
    }
    *ret = r;
    return 0;
}

static int add_rule(struct egress *p, const char *text, struct err *e)
{
    if (p->n_rules >= EGRESS_RULES_MAX)
        return err_msg(e, EINVAL, "more than %d egress rules", EGRESS_RULES_MAX);
    struct rule r;
    if (parse_rule(text, &r) < 0) {
        char shown[128];
        err_msg(e, EINVAL, "\"%s\" is no egress rule", err_escape(shown, sizeof(shown), text));
        return err_hint(e, -EINVAL,
                        "a rule is NAME, *.NAME, ADDRESS or NETWORK/BITS, then :PORT or "
                        ":FIRST-LAST, then /tcp or /udp: allow=*.example.org:443/tcp,10.1.0.0/16");
    }
    p->rules = xrealloc(p->rules, (p->n_rules + 1) * sizeof(*p->rules));
    p->rules[p->n_rules++] = r;
    return 0;
}

int egress_add(struct egress *p, const char *text, struct err *e)
{
    if (strcmp(text, "deny") == 0)
        return 0;
    if (strncmp(text, "allow=", 6) != 0) {
        char shown[128];
        err_msg(e, EINVAL, "egress \"%s\": neither deny nor allow=RULE,...",
                err_escape(shown, sizeof(shown), text));
        return err_hint(e, -EINVAL,
                        "what no rule allows is refused: allow=example.org:443, or deny alone");
    }
    for (const char *s = text + 6;;) {
        size_t n = strcspn(s, ",");
        scoped_free char *one = xstrndup(s, n);
        int r = add_rule(p, one, e);
        if (r < 0)
            return r;
        if (!s[n])
            return 0;
        s += n + 1;
    }
}

int egress_check(const char *text, struct err *e)
{
    struct egress *p = egress_new();
    int r = egress_add(p, text, e);
    egress_free(p);
    return r;
}

static bool name_matches(const struct rule *r, const char *name, size_t n)
{
    if (!r->name)
        return false;
    size_t own = strlen(r->name);
    if (!r->below)
        return n == own && strncasecmp(name, r->name, n) == 0;
    return n > own + 1 && name[n - own - 1] == '.' &&
           strncasecmp(name + n - own, r->name, own) == 0;
}

static size_t name_size(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && name[n - 1] == '.' ? n - 1 : n;
}

bool egress_allows_name(const struct egress *p, const char *name)
{
    size_t n = name_size(name);
    for (size_t i = 0; i < p->n_rules; i++) {
        if (name_matches(&p->rules[i], name, n))
            return true;
    }
    return false;
}

/* Room for one more: a free place, or that of the one that ends first. */
static struct learned *learned_slot(struct egress *p)
{
    if (p->n_learned < EGRESS_LEARNED_MAX) {
        if ((p->n_learned & (p->n_learned - 1)) == 0) {
            size_t room = p->n_learned ? 2 * p->n_learned : 1;
            p->learned = xrealloc(p->learned, room * sizeof(*p->learned));
        }
        return &p->learned[p->n_learned++];
    }
    struct learned *first = p->learned;
    for (size_t i = 1; i < p->n_learned; i++) {
        if (p->learned[i].until < first->until)
            first = &p->learned[i];
    }
    return first;
}

static void learn(struct egress *p, uint16_t rule, const struct net_addr *a, uint64_t until)
{
    for (size_t i = 0; i < p->n_learned; i++) {
        struct learned *l = &p->learned[i];
        if (l->rule == rule && net_addr_cmp(&l->addr, a) == 0) {
            if (until > l->until)
                l->until = until;
            return;
        }
    }
    *learned_slot(p) = (struct learned){.addr = *a, .rule = rule, .until = until};
}

void egress_learn(struct egress *p, const char *name, const struct net_addr *a, uint32_t ttl,
                  uint64_t now)
{
    size_t n = name_size(name);
    if (net_addr_is_any(a) || net_addr_is_loopback(a) || net_addr_is_linklocal(a) ||
        net_addr_is_multicast(a))
        return;
    if (ttl < EGRESS_TTL_FLOOR)
        ttl = EGRESS_TTL_FLOOR;
    if (ttl > EGRESS_TTL_CEILING)
        ttl = EGRESS_TTL_CEILING;
    for (size_t i = 0; i < p->n_rules; i++) {
        if (name_matches(&p->rules[i], name, n))
            learn(p, (uint16_t)i, a, now + ttl);
    }
}

static bool ports_match(const struct rule *r, uint8_t proto, uint16_t port)
{
    if (r->proto && r->proto != proto)
        return false;
    if (!r->port)
        return true;
    return (proto == TCP || proto == UDP) && port >= r->port && port <= r->last;
}

static bool in_time(struct learned *l, uint8_t proto, uint64_t now)
{
    bool ok = now <= l->until || (proto == UDP && l->used && now <= l->used + UDP_GRACE &&
                                  now <= l->until + UDP_GRACE_MAX);
    if (ok && proto == UDP)
        l->used = now;
    return ok;
}

bool egress_allows(struct egress *p, const struct net_addr *a, uint8_t proto, uint16_t port,
                   uint64_t now)
{
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct rule *r = &p->rules[i];
        if (!r->name && ports_match(r, proto, port) && net_cidr_contains(&r->cidr, a))
            return true;
    }
    for (size_t i = 0; i < p->n_learned; i++) {
        struct learned *l = &p->learned[i];
        if (net_addr_cmp(&l->addr, a) == 0 && ports_match(&p->rules[l->rule], proto, port) &&
            in_time(l, proto, now))
            return true;
    }
    return false;
}

const char *egress_name_of(const struct egress *p, const struct net_addr *a)
{
    for (size_t i = 0; i < p->n_learned; i++) {
        if (net_addr_cmp(&p->learned[i].addr, a) == 0)
            return p->rules[p->learned[i].rule].name;
    }
    return NULL;
}

size_t egress_learned(const struct egress *p)
{
    return p->n_learned;
}
