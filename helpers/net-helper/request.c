/* request - the arguments, before anything is opened; and the names of slots.
 *
 *   add BRIDGE NETNS-FD DEVICE [ip=ADDRESS] [SOCKET-FD:PORT]...
 *   del SLOT
 *   publish SLOT SOCKET-FD:PORT...
 *   gc
 *   info */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "helpers/net-helper/net-helper.h"

int number_parse(const char *s, char end, uint32_t max, uint32_t *ret)
{
    uint64_t v = 0;
    size_t n = strspn(s, "0123456789");
    if (n == 0 || n > 10 || s[n] != end || (n > 1 && s[0] == '0'))
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (uint64_t)(s[i] - '0');
    if (v > max)
        return -ERANGE;
    *ret = (uint32_t)v;
    return 0;
}

static int parse_fd(const char *s, char end, int *ret)
{
    uint32_t v = 0;
    if (number_parse(s, end, 65535, &v) < 0 || v < 3)
        return -EINVAL;
    *ret = (int)v;
    return 0;
}

/* Letters, digits and what addresses and names have; no blanks, no control characters. */
static bool charset_ok(const char *s)
{
    size_t n = 0;
    for (; s[n]; n++) {
        char c = s[n];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  strchr("-_.:/@=", c);
        if (!ok || n == REQUEST_ARG_BYTES)
            return false;
    }
    return n > 0;
}

static int copy_name(char to[static IFNAMSIZ], const char *from, const char *what, struct err *e)
{
    size_t n = strlen(from);
    if (n >= IFNAMSIZ || strpbrk(from, "/:@=") || from[0] == '-' || from[0] == '.')
        return err_msg(e, EINVAL, "\"%s\" is no name of a %s", from, what);
    memcpy(to, from, n + 1);
    return 0;
}

/* FD:PORT */
static int parse_proof(struct request *q, const char *s, struct err *e)
{
    const char *colon = strchr(s, ':');
    struct request_port p = {.fd = -1};
    uint32_t ctr = 0;
    if (q->n_ports == REQUEST_PORTS)
        return err_msg(e, E2BIG, "more than %d ports", REQUEST_PORTS);
    if (!colon || parse_fd(s, ':', &p.fd) < 0 || number_parse(colon + 1, '\0', 65535, &ctr) < 0 ||
        ctr == 0)
        return err_msg(e, EINVAL, "\"%s\": want SOCKET-FD:PORT", s);
    p.ctr = (uint16_t)ctr;
    q->ports[q->n_ports++] = p;
    return 0;
}

static int parse_add(struct request *q, int argc, char *const *argv, struct err *e)
{
    if (argc < 3)
        return err_msg(e, EINVAL, "want add BRIDGE NETNS-FD DEVICE");
    int r = copy_name(q->bridge, argv[0], "bridge", e);
    if (r == 0 && parse_fd(argv[1], '\0', &q->netns) < 0)
        r = err_msg(e, EINVAL, "\"%s\" is no descriptor of a network namespace", argv[1]);
    if (r == 0)
        r = copy_name(q->device, argv[2], "device", e);
    for (int i = 3; r == 0 && i < argc; i++) {
        if (strncmp(argv[i], "ip=", 3) != 0)
            r = parse_proof(q, argv[i], e);
        else if (net_addr_parse(argv[i] + 3, &q->ip) < 0 || q->ip.family != 4)
            r = err_msg(e, EINVAL, "\"%s\": want an IPv4 address", argv[i]);
    }
    return r;
}

static int parse_slot(struct request *q, int argc, char *const *argv, struct err *e)
{
    bool ports = q->verb == VERB_PUBLISH;
    if (argc < 1 + ports || (!ports && argc > 1))
        return err_msg(e, EINVAL, ports ? "want a slot and ports" : "want one slot");
    int r = copy_name(q->slot, argv[0], "slot", e);
    for (int i = 1; r == 0 && i < argc; i++)
        r = parse_proof(q, argv[i], e);
    return r;
}

int request_parse(int argc, char *const *argv, struct request *ret, struct err *e)
{
    static const char *const verbs[] = {"add", "del", "publish", "gc", "info"};
    struct request q = {.netns = -1};
    size_t v = 0, n = sizeof(verbs) / sizeof(verbs[0]);
    if (argc < 2 || argc > REQUEST_ARGS)
        return err_msg(e, EINVAL, "want one of add, del, publish, gc, info");
    for (int i = 1; i < argc; i++) {
        if (!charset_ok(argv[i]))
            return err_msg(e, EINVAL, "argument %d has characters or a length that none has", i);
    }
    while (v < n && strcmp(argv[1], verbs[v]) != 0)
        v++;
    if (v == n)
        return err_msg(e, EINVAL, "\"%s\": want one of add, del, publish, gc, info", argv[1]);
    q.verb = (enum verb)v;
    int r = 0;
    if (q.verb == VERB_ADD)
        r = parse_add(&q, argc - 2, argv + 2, e);
    else if (q.verb < VERB_GC)
        r = parse_slot(&q, argc - 2, argv + 2, e);
    else if (argc > 2)
        r = err_msg(e, EINVAL, "%s takes no arguments", verbs[v]);
    if (r == 0)
        *ret = q;
    return r;
}

static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";

static size_t put_base36(char *to, unsigned long v)
{
    char reversed[16];
    size_t n = 0;
    do {
        reversed[n++] = digits[v % 36];
        v /= 36;
    } while (v);
    for (size_t i = 0; i < n; i++)
        to[i] = reversed[n - 1 - i];
    return n;
}

size_t slot_prefix(uid_t uid, char *ret)
{
    memset(ret, 0, IFNAMSIZ);
    memcpy(ret, "rl", 2);
    size_t n = 2 + put_base36(ret + 2, uid); /* at most 7 digits */
    ret[n++] = '-';
    return n;
}

void slot_name(uid_t uid, unsigned n, char *ret)
{
    size_t at = slot_prefix(uid, ret);
    put_base36(ret + at, n % SLOTS_MAX); /* at most 3 digits */
}

/* Length of a number in base 36 without leading zeros. */
static size_t skip_base36(const char *s)
{
    size_t n = strspn(s, digits);
    return n > 1 && s[0] == '0' ? 0 : n;
}

int slot_number(uid_t uid, const char *name)
{
    char prefix[IFNAMSIZ];
    size_t n = slot_prefix(uid, prefix), v = 0;
    if (strncmp(name, prefix, n) != 0)
        return -1;
    size_t length = skip_base36(name + n);
    if (length == 0 || length > 3 || name[n + length])
        return -1;
    for (const char *s = name + n; *s; s++)
        v = v * 36 + (size_t)(strchr(digits, *s) - digits);
    return v < SLOTS_MAX ? (int)v : -1;
}

bool slot_any(const char *name)
{
    if (strncmp(name, "rl", 2) != 0)
        return false;
    size_t uid = skip_base36(name + 2);
    if (uid == 0 || uid > 7 || name[2 + uid] != '-')
        return false;
    size_t n = skip_base36(name + 3 + uid);
    return n > 0 && n <= 3 && !name[3 + uid + n];
}
