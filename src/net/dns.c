/* dns - see dns.h. */
#include "net/dns.h"

#include <errno.h>
#include <string.h>

#define WIRE_NAME_MAX 255
#define LABEL_MAX 63
#define RECORD_HEAD 10 /* type, class, ttl, length */
#define ALIASES_MAX 16
#define OPT_SIZE 11 /* our own, with no options */
#define EDNS_SIZE 1232

static unsigned get16(const uint8_t *p)
{
    return (unsigned)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static char *put_char(char *out, uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        c = (uint8_t)(c | 0x20);
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (plain) {
        *out++ = (char)c;
        return out;
    }
    *out++ = '\\';
    *out++ = (char)('0' + c / 100);
    *out++ = (char)('0' + c / 10 % 10);
    *out++ = (char)('0' + c % 10);
    return out;
}

/* A message and how far it has been read. */
struct reader {
    const uint8_t *msg;
    size_t size, at;
};

/* The name at r->at as text (ret may be NULL); r->at goes behind it. */
static int read_name(struct reader *r, char *ret)
{
    size_t at = r->at, limit = at, wire = 1;
    bool jumped = false;
    char *out = ret;
    for (;;) {
        if (at >= r->size)
            return -EBADMSG;
        unsigned n = r->msg[at];
        if (n == 0)
            break;
        if ((n & 0xc0) == 0xc0) {
            if (at + 2 > r->size)
                return -EBADMSG;
            size_t to = get16(r->msg + at) & 0x3fff;
            if (!jumped)
                r->at = at + 2;
            /* Each jump goes before the place where the run of labels began: it ends. */
            if (to >= limit || to < DNS_HEADER)
                return -EBADMSG;
            jumped = true;
            limit = at = to;
            continue;
        }
        wire += n + 1;
        if (n > LABEL_MAX || wire > WIRE_NAME_MAX || at + 1 + n > r->size)
            return -EBADMSG;
        if (ret && out != ret)
            *out++ = '.';
        for (size_t i = 1; ret && i <= n; i++)
            out = put_char(out, r->msg[at + i]);
        at += 1 + n;
    }
    if (ret)
        *out = '\0';
    if (!jumped)
        r->at = at + 1;
    return 0;
}

struct record {
    unsigned type, class;
    uint32_t ttl;
    size_t data, size;
};

/* The record at r->at, its owner's name to name (may be NULL). */
static int read_record(struct reader *r, char *name, struct record *ret)
{
    if (read_name(r, name) < 0 || r->size - r->at < RECORD_HEAD)
        return -EBADMSG;
    const uint8_t *p = r->msg + r->at;
    *ret = (struct record){.type = get16(p), .class = get16(p + 2), .ttl = get32(p + 4)};
    ret->size = get16(p + 8);
    ret->data = r->at + RECORD_HEAD;
    if (ret->size > r->size - ret->data)
        return -EBADMSG;
    r->at = ret->data + ret->size;
    return 0;
}

/* Looks for EDNS behind the question. What cannot be read there is the upstream's concern. */
static void read_edns(struct reader r, struct dns_question *q)
{
    unsigned n = get16(r.msg + 6) + get16(r.msg + 8) + get16(r.msg + 10);
    struct record rr;
    for (; n > 0 && read_record(&r, NULL, &rr) == 0; n--) {
        if (rr.type != DNS_OPT)
            continue;
        q->edns = true;
        if (rr.class > q->udp_size)
            q->udp_size = rr.class;
        return;
    }
}

int dns_question(const uint8_t *msg, size_t size, struct dns_question *ret)
{
    struct reader r = {.msg = msg, .size = size, .at = DNS_HEADER};
    if (size < DNS_HEADER || size > DNS_MESSAGE_MAX || get16(msg + 4) != 1)
        return -EBADMSG;
    if (read_name(&r, ret->name) < 0 || r.size - r.at < 4)
        return -EBADMSG;
    ret->id = dns_id(msg);
    ret->flags = dns_flags(msg);
    ret->type = (uint16_t)get16(msg + r.at);
    ret->class = (uint16_t)get16(msg + r.at + 2);
    ret->end = r.at += 4;
    ret->edns = false;
    ret->udp_size = DNS_UDP_SIZE;
    read_edns(r, ret);
    return 0;
}

/* Header of an answer: the asker's id, opcode and RD, and one question. */
static void answer_head(uint8_t *buf, const uint8_t *query, unsigned flags)
{
    unsigned kept = dns_flags(query) & (DNS_OPCODE | DNS_FLAG_RD);
    memset(buf, 0, DNS_HEADER);
    memcpy(buf, query, 2);
    put16(buf + 2, DNS_FLAG_QR | DNS_FLAG_RA | kept | flags);
}

void dns_answer_begin(struct dns_answer *a, const uint8_t *query, const struct dns_question *q,
                      uint8_t *buf, size_t max)
{
    *a = (struct dns_answer){.buf = buf, .size = q->end, .max = max, .edns = q->edns};
    answer_head(buf, query, DNS_FLAG_AA);
    /* Never compressed: it comes first, and a pointer goes backward and not into the header. */
    memcpy(buf + DNS_HEADER, query + DNS_HEADER, q->end - DNS_HEADER);
    put16(buf + 4, 1);
    if (a->edns)
        a->max -= OPT_SIZE;
}

void dns_answer_code(struct dns_answer *a, enum dns_rcode rcode)
{
    a->buf[3] = (uint8_t)((a->buf[3] & 0xf0U) | (unsigned)rcode);
}

static void answer_record(struct dns_answer *a, enum dns_type type, uint32_t ttl, const void *data,
                          size_t size)
{
    if (a->truncated || a->size + 2 + RECORD_HEAD + size > a->max) {
        a->truncated = true;
        return;
    }
    uint8_t *p = a->buf + a->size;
    put16(p, 0xc000 | DNS_HEADER); /* the name of the question */
    put16(p + 2, type);
    put16(p + 4, 1);
    put16(p + 6, ttl >> 16);
    put16(p + 8, ttl & 0xffff);
    put16(p + 10, (unsigned)size);
    memcpy(p + 2 + RECORD_HEAD, data, size);
    a->size += 2 + RECORD_HEAD + size;
    a->count++;
}

void dns_answer_address(struct dns_answer *a, const void *address, size_t size, uint32_t ttl)
{
    answer_record(a, size == 4 ? DNS_A : DNS_AAAA, ttl, address, size);
}

void dns_answer_name(struct dns_answer *a, enum dns_type type, const char *name, uint32_t ttl)
{
    uint8_t wire[WIRE_NAME_MAX];
    int n = dns_name_encode(name, wire);
    if (n > 0)
        answer_record(a, type, ttl, wire, (size_t)n);
}

size_t dns_answer_end(struct dns_answer *a)
{
    put16(a->buf + 6, a->count);
    if (a->truncated)
        a->buf[2] |= DNS_FLAG_TC >> 8;
    if (a->edns) {
        uint8_t *p = a->buf + a->size;
        memset(p, 0, OPT_SIZE);
        put16(p + 1, DNS_OPT);
        put16(p + 3, EDNS_SIZE);
        put16(a->buf + 10, 1);
        a->size += OPT_SIZE;
    }
    return a->size;
}

size_t dns_refusal(const uint8_t *query, size_t size, enum dns_rcode rcode, uint8_t *buf)
{
    struct dns_question q;
    if (size < DNS_HEADER || (dns_flags(query) & DNS_FLAG_QR))
        return 0;
    answer_head(buf, query, rcode);
    if (dns_question(query, size, &q) < 0)
        return DNS_HEADER;
    memcpy(buf + DNS_HEADER, query + DNS_HEADER, q.end - DNS_HEADER);
    put16(buf + 4, 1);
    return q.end;
}

size_t dns_truncate(uint8_t *msg, size_t size, size_t max)
{
    struct dns_question q;
    if (size <= max)
        return size;
    size_t end = dns_question(msg, size, &q) == 0 ? q.end : DNS_HEADER;
    msg[2] |= DNS_FLAG_TC >> 8;
    memset(msg + 4, 0, DNS_HEADER - 4);
    put16(msg + 4, end > DNS_HEADER);
    return end;
}

/* One look at all answers: tells the addresses of name, and takes the name that it is an alias of
 * to target ("" for none). */
struct look {
    const char *name;
    char *target;
    bool alias;
    uint32_t ttl, target_ttl;
    int (*each)(const struct dns_address *, void *);
    void *data;
};

static int look_at(const struct look *l, const struct reader *r, const struct record *rr)
{
    size_t want = rr->type == DNS_A ? 4 : rr->type == DNS_AAAA ? 16 : 0;
    if (want == 0)
        return 0;
    if (rr->size != want)
        return -EBADMSG;
    struct dns_address found = {.name = l->name, .size = want, .ttl = rr->ttl};
    if (found.ttl > l->ttl)
        found.ttl = l->ttl;
    memcpy(found.addr, r->msg + rr->data, want);
    return l->each(&found, l->data);
}

static int look_through(struct look *l, struct reader r)
{
    char owner[DNS_NAME_SIZE];
    struct record rr;
    l->alias = false;
    for (unsigned n = get16(r.msg + 6); n > 0; n--) {
        int e = read_record(&r, owner, &rr);
        if (e < 0)
            return e;
        if (rr.class != 1 || strcmp(owner, l->name) != 0)
            continue;
        if (rr.type == DNS_CNAME && !l->alias) {
            struct reader name = {.msg = r.msg, .size = r.size, .at = rr.data};
            if (read_name(&name, l->target) < 0 || name.at != rr.data + rr.size)
                return -EBADMSG;
            l->target_ttl = rr.ttl < l->ttl ? rr.ttl : l->ttl;
            l->alias = true;
        }
        e = look_at(l, &r, &rr);
        if (e != 0)
            return e;
    }
    return 0;
}

int dns_addresses(const uint8_t *msg, size_t size, int (*each)(const struct dns_address *, void *),
                  void *data)
{
    struct dns_question q;
    char names[2][DNS_NAME_SIZE];
    if (dns_question(msg, size, &q) < 0)
        return -EBADMSG;
    const struct reader r = {.msg = msg, .size = size, .at = q.end};
    struct look l = {.name = q.name, .ttl = UINT32_MAX, .each = each, .data = data};
    for (unsigned i = 0; i < ALIASES_MAX; i++) {
        l.target = names[i % 2];
        int n = look_through(&l, r);
        if (n != 0 || !l.alias)
            return n;
        l.name = l.target;
        l.ttl = l.target_ttl;
    }
    return 0;
}

/* The next label of text, up to max characters: its length, 0 at the end. */
static size_t next_label(const char **text, const char **ret)
{
    *ret = *text;
    size_t n = strcspn(*text, ".");
    *text += n;
    if (**text == '.')
        (*text)++;
    return n;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t reverse6(const char *name, uint8_t ret[static 16])
{
    for (size_t i = 0; i < 32; i++) {
        const char *label;
        int v = next_label(&name, &label) == 1 ? hex_digit(*label) : -1;
        if (v < 0)
            return 0;
        uint8_t *byte = &ret[15 - i / 2];
        *byte = (uint8_t)(i % 2 ? *byte | v << 4 : v);
    }
    return strcmp(name, "ip6.arpa") == 0 ? 16 : 0;
}

size_t dns_reverse(const char *name, uint8_t ret[static 16])
{
    const char *p = name, *label;
    for (size_t i = 0; i < 4; i++) {
        unsigned v = 0;
        size_t n = next_label(&p, &label);
        for (size_t k = 0; k < n && v < 256; k++) {
            if (label[k] < '0' || label[k] > '9')
                return reverse6(name, ret);
            v = v * 10 + (unsigned)(label[k] - '0');
        }
        if (n == 0 || n > 3 || v > 255)
            return reverse6(name, ret);
        ret[3 - i] = (uint8_t)v;
    }
    return strcmp(p, "in-addr.arpa") == 0 ? 4 : reverse6(name, ret);
}

/* One character of text, \DDD or itself; *text goes behind it. -EINVAL. */
static int decode_char(const char **text)
{
    const char *s = *text;
    if (*s != '\\') {
        (*text)++;
        return (unsigned char)*s;
    }
    int v = 0;
    for (int i = 1; i <= 3; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -EINVAL;
        v = v * 10 + (s[i] - '0');
    }
    *text += 4;
    return v > 255 ? -EINVAL : v;
}

int dns_name_encode(const char *name, uint8_t ret[static 255])
{
    size_t at = 0;
    while (*name) {
        size_t start = at++;
        while (*name && *name != '.') {
            int c = decode_char(&name);
            if (c < 0 || at - start > LABEL_MAX || at >= WIRE_NAME_MAX - 1)
                return -EINVAL;
            ret[at++] = (uint8_t)c;
        }
        if (at == start + 1)
            return -EINVAL;
        ret[start] = (uint8_t)(at - start - 1);
        if (*name == '.')
            name++;
    }
    ret[at++] = 0;
    return (int)at;
}
