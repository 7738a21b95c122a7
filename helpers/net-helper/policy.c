/* policy - rootlet-net.conf(5): who may have how many interfaces on which bridge. Strict: one line
 * that is not understood, and nothing is granted to anybody. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helpers/net-helper/net-helper.h"

struct words {
    char *v[24];
    size_t n;
};

static bool name_ok(const char *s, size_t max)
{
    size_t n = strlen(s);
    if (n == 0 || n > max || s[0] == '-' || s[0] == '.')
        return false;
    for (; *s; s++) {
        bool ok = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                  (*s >= '0' && *s <= '9') || *s == '-' || *s == '_' || *s == '.' || *s == '$';
        if (!ok)
            return false;
    }
    return true;
}

static bool starts(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

static int bridge_option(const char *word, struct bridge *b, struct err *e)
{
    uint32_t mtu = 0;
    if (strcmp(word, "masquerade") == 0)
        b->masquerade = true;
    else if (strcmp(word, "host-access") == 0)
        b->host_access = true;
    else if (strcmp(word, "host-users") == 0)
        b->host_users = true;
    else if (starts(word, "mtu=") && number_parse(word + 4, '\0', 65535, &mtu) == 0 && mtu >= 1280)
        b->mtu = mtu;
    else
        return err_msg(e, EINVAL, "\"%s\" is no option of a bridge", word);
    return 0;
}

static int check_overlap(const struct policy *p, const struct bridge *b, struct err *e)
{
    for (size_t i = 0; i < p->n_bridges; i++) {
        const struct bridge *o = &p->bridges[i];
        if (strcmp(o->name, b->name) == 0)
            return err_msg(e, EINVAL, "bridge %s stands there twice", b->name);
        if (net_cidr_overlap(&o->net4, &b->net4) ||
            (o->net6.addr.family && b->net6.addr.family && net_cidr_overlap(&o->net6, &b->net6)))
            return err_msg(e, EINVAL, "the networks of %s and %s overlap", o->name, b->name);
    }
    return 0;
}

/* bridge NAME NETWORK4 [NETWORK6] [masquerade] [host-access] [host-users] [mtu=N] */
static int parse_bridge(struct policy *p, const struct words *w, struct err *e)
{
    struct bridge b = {.name = ""};
    if (p->n_bridges == POLICY_BRIDGES)
        return err_msg(e, E2BIG, "more than %d bridges", POLICY_BRIDGES);
    if (w->n < 3)
        return err_msg(e, EINVAL, "want bridge NAME NETWORK");
    /* The slots' names must stay theirs. */
    if (!name_ok(w->v[1], IFNAMSIZ - 1) || strchr(w->v[1], '$') || slot_any(w->v[1]))
        return err_msg(e, EINVAL, "\"%s\" cannot be the name of a bridge", w->v[1]);
    memcpy(b.name, w->v[1], strlen(w->v[1]));
    if (net_cidr_parse(w->v[2], &b.net4) < 0 || b.net4.addr.family != 4 || b.net4.bits < 8 ||
        b.net4.bits > 30 || !net_cidr_is_network(&b.net4) || net_addr_is_loopback(&b.net4.addr) ||
        net_addr_is_multicast(&b.net4.addr))
        return err_msg(e, EINVAL, "\"%s\": want an IPv4 network of 8 to 30 bits", w->v[2]);
    for (size_t i = 3; i < w->n; i++) {
        int r = 0;
        if (i == 3 && strchr(w->v[i], ':')) {
            if (net_cidr_parse(w->v[i], &b.net6) < 0 || b.net6.addr.family != 6 ||
                b.net6.bits < 16 || b.net6.bits > 96 || !net_cidr_is_network(&b.net6) ||
                net_addr_is_linklocal(&b.net6.addr) || net_addr_is_multicast(&b.net6.addr))
                return err_msg(e, EINVAL, "\"%s\": want an IPv6 network of 16 to 96 bits", w->v[i]);
        } else {
            r = bridge_option(w->v[i], &b, e);
        }
        if (r < 0)
            return r;
    }
    int r = check_overlap(p, &b, e);
    if (r == 0)
        p->bridges[p->n_bridges++] = b;
    return r;
}

/* "16", and of a group "16/user". */
static int parse_slots(const char *word, struct grant *g, struct err *e)
{
    const char *slash = strchr(word, '/');
    uint32_t v = 0;
    if (number_parse(word, slash ? '/' : '\0', SLOTS_MAX, &v) < 0 || v == 0)
        return err_msg(e, EINVAL, "\"%s\": want 1 to %d slots", word, SLOTS_MAX);
    if (g->group != (slash != NULL) || (slash && strcmp(slash, "/user") != 0))
        return err_msg(e, EINVAL,
                       g->group ? "\"%s\": the slots of a group are each user's: want N/user"
                                : "\"%s\": want a number of slots",
                       word);
    g->slots = v;
    return 0;
}

static int parse_block(const struct policy *p, const char *word, struct grant *g, struct err *e)
{
    const struct bridge *b = &p->bridges[g->bridge];
    if (strcmp(word, "auto") == 0)
        return 0;
    struct net_cidr block;
    struct net_addr last, gateway, end = net_cidr_last(&b->net4);
    if (g->group)
        return err_msg(e, EINVAL, "\"%s\": the users of a group share no block: want auto", word);
    if (net_cidr_parse(word, &block) < 0 || block.addr.family != 4 ||
        !net_cidr_is_network(&block) || !net_cidr_contains(&b->net4, &block.addr) ||
        block.bits < b->net4.bits)
        return err_msg(e, EINVAL, "\"%s\": want auto or a part of the bridge's network", word);
    if (net_addr_add(&block.addr, (int64_t)g->slots - 1, &last) < 0 ||
        !net_cidr_contains(&block, &last))
        return err_msg(e, EINVAL, "\"%s\" has no room for %u slots", word, g->slots);
    if (net_addr_add(&b->net4.addr, 1, &gateway) < 0 || net_addr_cmp(&block.addr, &gateway) <= 0 ||
        net_addr_cmp(&last, &end) >= 0)
        return err_msg(e, EINVAL,
                       "\"%s\" takes the network's own, the gateway's or the broadcast "
                       "address",
                       word);
    g->block = block;
    return 0;
}

/* tcp:8000-8999 */
static int parse_ports(char *word, uint8_t proto, struct grant *g, struct err *e)
{
    char *dash = strchr(word, '-');
    uint32_t first = 0, last = 0;
    if (g->n_ports == GRANT_PORTS)
        return err_msg(e, E2BIG, "more than %d ranges of ports", GRANT_PORTS);
    if (dash)
        *dash = '\0';
    if (number_parse(word, '\0', 65535, &first) < 0 ||
        number_parse(dash ? dash + 1 : word, '\0', 65535, &last) < 0 || first == 0 || last < first)
        return err_msg(e, EINVAL, "\"%s%s%s\" is no range of ports", word, dash ? "-" : "",
                       dash ? dash + 1 : "");
    g->ports[g->n_ports++] =
        (struct port_range){.proto = proto, .first = (uint16_t)first, .last = (uint16_t)last};
    return 0;
}

/* bind:ADDRESS,ADDRESS */
static int parse_binds(char *word, struct grant *g, struct err *e)
{
    while (word) {
        char *next = strchr(word, ',');
        if (next)
            *next++ = '\0';
        if (g->n_binds == GRANT_BINDS)
            return err_msg(e, E2BIG, "more than %d addresses", GRANT_BINDS);
        if (net_addr_parse(word, &g->binds[g->n_binds++]) < 0)
            return err_msg(e, EINVAL, "\"%s\" is no address", word);
        word = next;
    }
    return 0;
}

static int grant_option(char *word, struct grant *g, struct err *e)
{
    if (starts(word, "tcp:"))
        return parse_ports(word + 4, IPPROTO_TCP, g, e);
    if (starts(word, "udp:"))
        return parse_ports(word + 4, IPPROTO_UDP, g, e);
    if (starts(word, "bind:"))
        return parse_binds(word + 5, g, e);
    return err_msg(e, EINVAL, "\"%s\" grants nothing", word);
}

/* WHO BRIDGE SLOTS BLOCK [tcp:RANGE]... [udp:RANGE]... [bind:ADDRESS,...] */
static int parse_grant(struct policy *p, const struct words *w, struct err *e)
{
    struct grant g = {.group = w->v[0][0] == '@'};
    const char *who = w->v[0] + g.group;
    if (p->n_grants == POLICY_GRANTS)
        return err_msg(e, E2BIG, "more than %d grants", POLICY_GRANTS);
    if (w->n < 4 || !name_ok(who, sizeof(g.who) - 1))
        return err_msg(e, EINVAL, "want USER BRIDGE SLOTS BLOCK");
    memcpy(g.who, who, strlen(who));
    for (g.bridge = 0; g.bridge < p->n_bridges; g.bridge++) {
        if (strcmp(p->bridges[g.bridge].name, w->v[1]) == 0)
            break;
    }
    if (g.bridge == p->n_bridges)
        return err_msg(e, EINVAL, "no line above describes the bridge \"%s\"", w->v[1]);
    int r = parse_slots(w->v[2], &g, e);
    if (r == 0)
        r = parse_block(p, w->v[3], &g, e);
    for (size_t i = 4; r == 0 && i < w->n; i++)
        r = grant_option(w->v[i], &g, e);
    for (size_t i = 0; r == 0 && i < p->n_grants; i++) {
        const struct grant *o = &p->grants[i];
        if (g.block.addr.family && o->block.addr.family && net_cidr_overlap(&o->block, &g.block))
            r = err_msg(e, EINVAL, "the block of %s overlaps the one of %s", g.who, o->who);
    }
    if (r == 0)
        p->grants[p->n_grants++] = g;
    return r;
}

/* Cuts a line at blanks; what follows a word that begins with # is a comment. */
static int cut(char *line, struct words *w, struct err *e)
{
    w->n = 0;
    for (char *s = line; *s;) {
        while (*s == ' ' || *s == '\t')
            *s++ = '\0';
        if (!*s || *s == '#')
            break;
        if (w->n == sizeof(w->v) / sizeof(w->v[0]))
            return err_msg(e, E2BIG, "too many words");
        w->v[w->n++] = s;
        while (*s && *s != ' ' && *s != '\t')
            s++;
    }
    return 0;
}

static int parse_line(struct policy *p, const char *text, size_t n, struct err *e)
{
    char line[1024];
    struct words w;
    if (n >= sizeof(line))
        return err_msg(e, E2BIG, "longer than %zu bytes", sizeof(line) - 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c != '\t' && (c < 0x20 || c > 0x7e))
            return err_msg(e, EINVAL, "byte 0x%02x is not allowed here", c);
    }
    memcpy(line, text, n);
    line[n] = '\0';
    int r = cut(line, &w, e);
    if (r < 0 || w.n == 0)
        return r;
    return strcmp(w.v[0], "bridge") == 0 ? parse_bridge(p, &w, e) : parse_grant(p, &w, e);
}

int policy_parse(const char *text, size_t size, struct policy *ret, struct err *e)
{
    size_t number = 0;
    memset(ret, 0, sizeof(*ret));
    if (size > POLICY_BYTES)
        return err_msg(e, EFBIG, "larger than %d bytes", POLICY_BYTES);
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t n = end ? (size_t)(end - text) : size;
        number++;
        int r = parse_line(ret, text, n, e);
        if (r < 0)
            return err_add(e, r, "line %zu", number);
        n += end != NULL;
        text += n;
        size -= n;
    }
    return 0;
}

int policy_read(const char *path, struct policy *ret, struct err *e)
{
    static char text[POLICY_BYTES + 1];
    struct stat st;
    size_t size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT
                   ? err_msg(e, ENOENT, "no bridge is granted to anybody: there is no %s", path)
                   : err_set(e, errno, "%s", path);
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "%s", path);
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
        return err_msg(e, EPERM, "%s: want a file that belongs to root and only root can write",
                       path);
    while (size < sizeof(text)) {
        ssize_t n = read(fd, text + size, sizeof(text) - size);
        if (n < 0)
            return err_set(e, errno, "%s", path);
        if (n == 0)
            break;
        size += (size_t)n;
    }
    close(fd);
    int r = policy_parse(text, size, ret, e);
    return r < 0 ? err_add(e, r, "%s", path) : 0;
}
