/* ports - see ports.h. */
#include "net/ports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

#define TEXT_MAX 256 /* no specification is longer */

struct range {
    uint16_t first, count; /* count 0: nothing was given */
};

const char *net_proto_name(enum net_proto p)
{
    return p == NET_UDP ? "udp" : "tcp";
}

int net_proto_parse(const char *text, enum net_proto *ret, struct err *e)
{
    if (strcasecmp(text, "sctp") == 0)
        return err_hint(e, err_msg(e, EINVAL, "protocol sctp cannot be published"),
                        "tcp and udp can; sctp works between containers of one network");
    if (strcasecmp(text, "tcp") != 0 && strcasecmp(text, "udp") != 0)
        return err_msg(e, EINVAL, "unknown protocol \"%s\", want tcp or udp", text);
    *ret = strcasecmp(text, "udp") == 0 ? NET_UDP : NET_TCP;
    return 0;
}

static int parse_number(const char *text, uint16_t *ret, struct err *e)
{
    uint32_t n;
    if (parse_u32(text, &n) < 0 || n > UINT16_MAX)
        return err_msg(e, EINVAL, "\"%s\" is not a port (1 to 65535)", text);
    *ret = (uint16_t)n;
    return 0;
}

/* Changes text. "" gives none. */
static int parse_range(char *text, struct range *ret, struct err *e)
{
    *ret = (struct range){0};
    if (!*text)
        return 0;
    char *dash = strchr(text, '-');
    uint16_t first, last;
    if (dash)
        *dash++ = '\0';
    int r = parse_number(text, &first, e);
    if (r == 0)
        r = dash ? parse_number(dash, &last, e) : 0;
    if (r < 0)
        return r;
    if (dash && (first == 0 || last < first))
        return err_msg(e, EINVAL, "\"%s-%s\" is not a range of ports", text, dash);
    *ret = (struct range){first, dash ? (uint16_t)(last - first + 1) : 1};
    return 0;
}

static int parse_address(char *text, struct net_port *p, struct err *e)
{
    size_t n = strlen(text);
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text[n - 1] = '\0';
        if (net_addr_parse(text + 1, &p->addr) == 0 && p->addr.family == 6)
            return 0;
        return err_msg(e, EINVAL, "\"%s\" is not an IPv6 address%s", text + 1,
                       strchr(text + 1, '%') ? " (zones are not supported)" : "");
    }
    if (net_addr_parse(text, &p->addr) == 0 && p->addr.family == 4)
        return 0;
    int r = err_msg(e, EINVAL, "\"%s\" is not an IP address", text);
    if (streq(text, "localhost"))
        return err_hint(e, r, "names are not looked up; localhost is 127.0.0.1 or [::1]");
    return err_hint(e, r, "the form is [IP:][HOST]:CONTAINER[/tcp|/udp], IPv6 in brackets");
}

static int set_ranges(struct net_port *p, struct range host, struct range ctr, struct err *e)
{
    if (ctr.count == 0 || ctr.first == 0)
        return err_msg(e, EINVAL, "no port of the container");
    if (host.count > 1 && ctr.count > 1 && host.count != ctr.count)
        return err_msg(e, EINVAL, "the ranges differ: %u ports of the host, %u of the container",
                       host.count, ctr.count);
    if (host.count == 1 && host.first != 0 && ctr.count > 1)
        return err_msg(e, EINVAL, "the ranges differ: one port of the host, %u of the container",
                       ctr.count);
    p->host = host.first;
    p->host_count = host.count > ctr.count ? host.count : ctr.count;
    p->ctr = ctr.first;
    p->count = ctr.count;
    return 0;
}

/* Cuts "/PROTO[,PROTO]" off text; both protocols are a bit of *ret. */
static int cut_protocols(char *text, unsigned *ret, struct err *e)
{
    char *next = strchr(text, '/');
    *ret = next ? 0 : NET_TCP;
    while (next) {
        *next++ = '\0';
        char *name = next;
        enum net_proto one;
        next = strchr(next, ',');
        if (next)
            *next = '\0';
        int r = net_proto_parse(name, &one, e);
        if (r < 0)
            return r;
        *ret |= one;
    }
    return 0;
}

/* "[IP:][HOST]:CTR" or "CTR", in pieces from its end. */
static int parse_short(char *text, struct net_port *p, struct err *e)
{
    struct range host = {0}, ctr;
    char *colon = strrchr(text, ':');
    char *bracket = strrchr(text, ']');
    if (bracket && colon && bracket > colon)
        colon = NULL;
    int r = parse_range(colon ? colon + 1 : text, &ctr, e);
    if (r < 0 || !colon)
        return r < 0 ? r : set_ranges(p, host, ctr, e);
    *colon = '\0';

    colon = strrchr(text, ':');
    if (bracket && (!colon || bracket > colon))
        return err_hint(e, err_msg(e, EINVAL, "no port behind the address"),
                        "with an address there are two colons: IP::CONTAINER, IP:HOST:CONTAINER");
    r = parse_range(colon ? colon + 1 : text, &host, e);
    if (r < 0 && !colon && strchr(text, '.'))
        return err_hint(e, r, "with an address: IP::CONTAINER or IP:HOST:CONTAINER");
    if (r < 0)
        return r;
    if (colon) {
        *colon = '\0';
        if (strchr(text, ':') && text[0] != '[')
            return err_hint(e, err_msg(e, EINVAL, "\"%s\" is not an IP address", text),
                            "IPv6 addresses need brackets: [::1]:8080:80");
        r = *text ? parse_address(text, p, e) : 0;
    }
    return r < 0 ? r : set_ranges(p, host, ctr, e);
}

/* docker's "published=8080,target=80,protocol=tcp,mode=host". */
static int parse_long(char *text, struct net_port *p, unsigned *protocols, struct err *e)
{
    struct range host = {0}, ctr = {0};
    enum net_proto proto = NET_TCP;
    int r = 0;
    char *next;
    for (char *one = text; one && r == 0; one = next) {
        next = strchr(one, ',');
        if (next)
            *next++ = '\0';
        char *value = strchr(one, '=');
        if (value)
            *value++ = '\0';
        if (value && streq(one, "published"))
            r = parse_range(value, &host, e);
        else if (value && streq(one, "target"))
            r = parse_range(value, &ctr, e);
        else if (value && streq(one, "protocol"))
            r = net_proto_parse(value, &proto, e);
        else if (!value || !streq(one, "mode"))
            r = err_msg(e, EINVAL, "unknown key \"%s\", want published, target, protocol", one);
    }
    *protocols = proto;
    return r < 0 ? r : set_ranges(p, host, ctr, e);
}

int net_port_parse(const char *text, struct net_port ret[static 2], struct err *e)
{
    char copy[TEXT_MAX];
    char shown[TEXT_MAX];
    struct net_port p = {.proto = NET_TCP};
    unsigned protocols = NET_TCP;
    err_escape(shown, sizeof(shown), text);
    if (strlen(text) >= sizeof(copy))
        return err_msg(e, EINVAL, "port \"%s...\": too long", shown);
    if (!streq(shown, text))
        return err_msg(e, EINVAL, "port \"%s\": control characters", shown);
    memcpy(copy, text, strlen(text) + 1);

    int r;
    if (strchr(copy, '='))
        r = parse_long(copy, &p, &protocols, e);
    else if ((r = cut_protocols(copy, &protocols, e)) == 0)
        r = parse_short(copy, &p, e);
    if (r < 0)
        return err_add(e, r, "port \"%s\"", shown);
    int n = 0;
    for (unsigned bit = NET_TCP; bit <= NET_UDP; bit <<= 1) {
        if (!(protocols & bit))
            continue;
        p.proto = (enum net_proto)bit;
        ret[n++] = p;
    }
    return n;
}

int net_port_parse_container(const char *text, struct net_port *ret, struct err *e)
{
    struct net_port two[2];
    int n = net_port_parse(text, two, e);
    if (n < 0)
        return n;
    if (n > 1 || strchr(text, ':') || strchr(text, '='))
        return err_hint(e, err_msg(e, EINVAL, "\"%s\" is not a port of a container", text),
                        "for example 80, 53/udp or 8000-8010/tcp");
    *ret = two[0];
    return 0;
}

static size_t put_address(const struct net_port *p, char *to, size_t size)
{
    char ip[NET_ADDR_TEXT] = "0.0.0.0";
    if (p->addr.family)
        net_addr_format(&p->addr, ip);
    int n = snprintf(to, size, p->addr.family == 6 ? "[%s]" : "%s", ip);
    return n < 0 ? 0 : (size_t)n;
}

static size_t put_range(char *to, size_t size, const char *before, unsigned first, unsigned count)
{
    int n = count > 1 ? snprintf(to, size, "%s%u-%u", before, first, first + count - 1)
                      : snprintf(to, size, "%s%u", before, first);
    return n < 0 ? 0 : (size_t)n;
}

static size_t put_host(const struct net_port *p, char *to, size_t size)
{
    size_t n = put_address(p, to, size);
    return n + put_range(to + n, size - n, ":", p->host, p->host ? p->host_count : 1);
}

char *net_port_format(const struct net_port *p, char ret[static NET_PORT_TEXT])
{
    size_t n = put_host(p, ret, NET_PORT_TEXT);
    n += put_range(ret + n, NET_PORT_TEXT - n, "->", p->ctr, p->count);
    snprintf(ret + n, NET_PORT_TEXT - n, "/%s", net_proto_name(p->proto));
    return ret;
}

char *net_port_format_option(const struct net_port *p, char ret[static NET_PORT_TEXT])
{
    size_t n = !p->addr.family ? 0 : put_address(p, ret, NET_PORT_TEXT);
    if (p->host)
        n += put_range(ret + n, NET_PORT_TEXT - n, n ? ":" : "", p->host, p->host_count);
    else if (n)
        ret[n++] = ':';
    n += put_range(ret + n, NET_PORT_TEXT - n, n ? ":" : "", p->ctr, p->count);
    snprintf(ret + n, NET_PORT_TEXT - n, "/%s", net_proto_name(p->proto));
    return ret;
}

char *net_port_format_host(const struct net_port *p, char ret[static NET_PORT_TEXT])
{
    size_t n = put_address(p, ret, NET_PORT_TEXT);
    put_range(ret + n, NET_PORT_TEXT - n, ":", p->host, 1);
    return ret;
}

int net_port_parse_shown(const char *text, struct net_port *ret)
{
    char option[NET_PORT_TEXT];
    struct net_port two[2];
    const char *arrow = strstr(text, "->");
    size_t before = arrow ? (size_t)(arrow - text) : 0;
    if (!arrow || strlen(text) >= sizeof(option) || strpbrk(text, ",="))
        return -EINVAL;
    /* One colon in place of the arrow makes an option of it. */
    memcpy(option, text, before);
    option[before] = ':';
    memcpy(option + before + 1, arrow + 2, strlen(arrow + 2) + 1);
    if (net_port_parse(option, two, NULL) != 1 || !two[0].addr.family)
        return -EINVAL;
    *ret = two[0];
    return 0;
}

struct net_port net_port_nth(const struct net_port *p, unsigned n)
{
    struct net_port one = *p;
    one.host = p->host ? (uint16_t)(p->host + n) : 0;
    one.ctr = (uint16_t)(p->ctr + n);
    one.host_count = one.count = 1;
    return one;
}

static bool any_address(const struct net_port *p)
{
    return !p->addr.family || net_addr_is_any(&p->addr);
}

bool net_port_join(struct net_port *a, const struct net_port *b)
{
    if (a->proto != b->proto || net_addr_cmp(&a->addr, &b->addr) != 0 || !a->host ||
        a->host_count != a->count || b->host_count != b->count || a->host + a->count != b->host ||
        a->ctr + a->count != b->ctr)
        return false;
    a->count = (uint16_t)(a->count + b->count);
    a->host_count = a->count;
    return true;
}

bool net_port_means(const struct net_port *want, const struct net_port *have)
{
    if (have->proto != want->proto || have->ctr + have->count <= want->ctr ||
        want->ctr + want->count <= have->ctr)
        return false;
    if (want->addr.family && net_addr_cmp(&have->addr, &want->addr) != 0 &&
        !(have->addr.family == 0 && net_addr_is_any(&want->addr)))
        return false;
    if (want->host == 0 || have->host == 0)
        return true;
    /* One of several for one port; else pairs: the numbers differ by the same in both. */
    if (want->host_count > want->count || have->host_count > have->count)
        return have->host < want->host + want->host_count &&
               want->host < have->host + have->host_count;
    return have->host - have->ctr == want->host - want->ctr;
}

bool net_port_conflict(const struct net_port *a, const struct net_port *b)
{
    if (a->proto != b->proto || !a->host || !b->host)
        return false;
    if (a->host + a->host_count <= b->host || b->host + b->host_count <= a->host)
        return false;
    if (a->addr.family && b->addr.family && a->addr.family != b->addr.family)
        return false;
    return any_address(a) || any_address(b) || net_addr_cmp(&a->addr, &b->addr) == 0;
}
