/* netlink - see netlink.h. */
#include "sys/netlink.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_MAX 32768 /* what the kernel packs into one answer to a dump */

/* Room for size bytes at the end, zeroed up to the alignment; NULL when there is none. */
static void *extend(struct nl_msg *m, size_t size)
{
    size_t room = NLMSG_ALIGN(size);
    if (m->overflow || size > NL_MSG_MAX || room > NL_MSG_MAX - m->size) {
        m->overflow = true;
        return NULL;
    }
    unsigned char *p = m->buf + m->size;
    memset(p, 0, room);
    m->size += room;
    return p;
}

static struct nlmsghdr *current(struct nl_msg *m)
{
    return (struct nlmsghdr *)(void *)(m->buf + m->start);
}

static void close_message(struct nl_msg *m)
{
    if (!m->overflow)
        current(m)->nlmsg_len = (uint32_t)(m->size - m->start);
}

void nl_begin(struct nl_msg *m, int type, unsigned flags, const void *header, size_t size)
{
    m->size = 0;
    m->overflow = false;
    m->why[0] = '\0';
    nl_more(m, type, flags, header, size);
}

void nl_more(struct nl_msg *m, int type, unsigned flags, const void *header, size_t size)
{
    size_t at = m->size;
    struct nlmsghdr *h = extend(m, sizeof(*h));
    if (!h)
        return;
    h->nlmsg_type = (uint16_t)type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    m->start = at;
    close_message(m);
    nl_put_raw(m, header, size);
}

void nl_flag(struct nl_msg *m, unsigned flags)
{
    if (!m->overflow)
        current(m)->nlmsg_flags |= (uint16_t)flags;
}

void nl_put_raw(struct nl_msg *m, const void *data, size_t size)
{
    void *p = extend(m, size);
    if (!p)
        return;
    if (size)
        memcpy(p, data, size);
    close_message(m);
}

void nl_put(struct nl_msg *m, int type, const void *data, size_t size)
{
    /* The length of an attribute has 16 bits; a longer one must not wrap round. */
    struct nlattr *a = size > UINT16_MAX - NLA_HDRLEN ? NULL : extend(m, NLA_HDRLEN + size);
    if (!a) {
        m->overflow = true;
        return;
    }
    a->nla_type = (uint16_t)type;
    a->nla_len = (uint16_t)(NLA_HDRLEN + size);
    if (size)
        memcpy((char *)a + NLA_HDRLEN, data, size);
    close_message(m);
}

void nl_put_u8(struct nl_msg *m, int type, uint8_t v)
{
    nl_put(m, type, &v, sizeof(v));
}

void nl_put_u16(struct nl_msg *m, int type, uint16_t v)
{
    nl_put(m, type, &v, sizeof(v));
}

void nl_put_u32(struct nl_msg *m, int type, uint32_t v)
{
    nl_put(m, type, &v, sizeof(v));
}

void nl_put_be16(struct nl_msg *m, int type, uint16_t v)
{
    nl_put_u16(m, type, htons(v));
}

void nl_put_be32(struct nl_msg *m, int type, uint32_t v)
{
    nl_put_u32(m, type, htonl(v));
}

void nl_put_be64(struct nl_msg *m, int type, uint64_t v)
{
    v = htobe64(v);
    nl_put(m, type, &v, sizeof(v));
}

void nl_put_str(struct nl_msg *m, int type, const char *s)
{
    nl_put(m, type, s, strlen(s) + 1);
}

size_t nl_nest(struct nl_msg *m, int type)
{
    size_t at = m->size;
    nl_put(m, type | NLA_F_NESTED, NULL, 0);
    return at;
}

void nl_nest_end(struct nl_msg *m, size_t nest)
{
    size_t size = m->size - nest;
    if (m->overflow || size > UINT16_MAX) {
        m->overflow = true;
        return;
    }
    ((struct nlattr *)(void *)(m->buf + nest))->nla_len = (uint16_t)size;
}

int nl_open(int protocol, struct err *e)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), on = 1;
    if (fd < 0)
        return err_set(e, errno, "open a netlink socket");
    struct sockaddr_nl self = {.nl_family = AF_NETLINK}, kernel = self;
    /* Connected to the kernel (port 0): what other processes send does not even arrive. With
     * CAP_NET_ADMIN in a container they could fill the socket, so that answers are lost. */
    if (bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0 ||
        connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
        int r = err_set(e, errno, "set up a netlink socket");
        close(fd);
        return r;
    }
    /* Answers without a copy of the question, and with words; older kernels do without. */
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    return fd;
}

/* Numbers the messages and sends them all. Returns the number of the last. */
static int send_all(int fd, struct nl_msg *m, uint32_t *ret_first, uint32_t *ret_last)
{
    static uint32_t sequence;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    if (m->overflow)
        return -EMSGSIZE;
    *ret_first = sequence + 1;
    for (size_t at = 0; at < m->size;) {
        struct nlmsghdr *h = (struct nlmsghdr *)(void *)(m->buf + at);
        h->nlmsg_seq = ++sequence;
        at += NLMSG_ALIGN(h->nlmsg_len);
    }
    *ret_last = sequence;
    ssize_t n =
        sendto(fd, m->buf, m->size, MSG_NOSIGNAL, (struct sockaddr *)&kernel, sizeof(kernel));
    return n < 0 ? -errno : (size_t)n == m->size ? 0 : -EIO;
}

/* One datagram of the kernel. What another process sent before we were connected is skipped. */
static ssize_t receive(int fd, void *buf, size_t size, int flags)
{
    for (;;) {
        struct sockaddr_nl from = {.nl_family = AF_NETLINK};
        socklen_t length = sizeof(from);
        ssize_t n = recvfrom(fd, buf, size, flags | MSG_TRUNC, (struct sockaddr *)&from, &length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (length != sizeof(from) || from.nl_pid != 0)
            continue;
        return (size_t)n > size ? -EMSGSIZE : n;
    }
}

/* The message at this place, or NULL. (NLMSG_NEXT takes more from what is left than there is when
 * the last length is no multiple of four.) */
static const struct nlmsghdr *message_at(const unsigned char *buf, size_t size, size_t at)
{
    const struct nlmsghdr *h = (const void *)(buf + at);
    if (at >= size || size - at < sizeof(*h))
        return NULL;
    return h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= size - at ? h : NULL;
}

/* The error of an NLMSG_ERROR (0: an acknowledgement), with the kernel's words if it has any. */
static int refusal(const struct nlmsghdr *h, struct nl_msg *m)
{
    const struct nlmsgerr *a = NLMSG_DATA(h);
    if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*a)))
        return -EPROTO;
    if (a->error > 0 || a->error < -4095)
        return -EPROTO;
    if ((h->nlmsg_flags & NLM_F_ACK_TLVS) && (h->nlmsg_flags & NLM_F_CAPPED) && a->error) {
        const char *text = nl_str(nl_attr(h, sizeof(*a), NLMSGERR_ATTR_MSG));
        size_t n = strnlen(text, sizeof(m->why) - 1);
        memcpy(m->why, text, n);
        m->why[n] = '\0';
    }
    return a->error;
}

int nl_transact(int fd, struct nl_msg *m)
{
    unsigned char buf[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
    uint32_t first = 0, last = 0;
    int result = 0;
    bool answered = false;

    if (m->start == 0) /* else the caller says whose answer it wants */
        nl_flag(m, NLM_F_ACK);
    int r = send_all(fd, m, &first, &last);
    if (r < 0)
        return r;
    /* The kernel works off the messages while we send them: all its answers are there by now. */
    for (;;) {
        ssize_t n = receive(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n == -EAGAIN)
            return answered ? result : -EPROTO;
        if (n < 0)
            return (int)n;
        const struct nlmsghdr *h = NULL;
        for (size_t at = 0; (h = message_at(buf, (size_t)n, at)); at += NLMSG_ALIGN(h->nlmsg_len)) {
            if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - first > last - first)
                continue;
            answered = true;
            int error = refusal(h, m);
            if (result == 0)
                result = error;
        }
    }
}

struct answers {
    uint32_t sequence;
    int (*each)(const struct nlmsghdr *h, void *data);
    void *data;
    int result; /* what each said first that is not 0 */
};

/* One datagram of answers. 1: more will come. */
static int hand_out(const unsigned char *buf, size_t size, struct nl_msg *m, struct answers *w)
{
    const struct nlmsghdr *h = NULL;
    for (size_t at = 0; (h = message_at(buf, size, at)); at += NLMSG_ALIGN(h->nlmsg_len)) {
        if (h->nlmsg_seq != w->sequence)
            continue;
        if (h->nlmsg_flags & NLM_F_DUMP_INTR && w->result == 0)
            w->result = -EINTR;
        if (h->nlmsg_type == NLMSG_ERROR)
            return refusal(h, m);
        if (h->nlmsg_type == NLMSG_DONE) {
            const int *code = NLMSG_DATA(h);
            bool failed = h->nlmsg_len >= NLMSG_LENGTH(sizeof(*code)) && *code < 0;
            return failed ? *code : 0;
        }
        if (h->nlmsg_type >= NLMSG_MIN_TYPE && w->result == 0)
            w->result = w->each(h, w->data);
        if (w->result == NL_ENOUGH)
            return 0;
    }
    return 1;
}

int nl_dump(int fd, struct nl_msg *m, int (*each)(const struct nlmsghdr *h, void *data), void *data)
{
    unsigned char buf[REPLY_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct answers w = {.each = each, .data = data};
    uint32_t first = 0;

    /* One object is one answer and then the acknowledgement. */
    if (m->start == 0 && !m->overflow && !(current(m)->nlmsg_flags & NLM_F_DUMP))
        nl_flag(m, NLM_F_ACK);
    int r = send_all(fd, m, &first, &w.sequence);
    for (r = r < 0 ? r : 1; r > 0;) {
        ssize_t n = receive(fd, buf, sizeof(buf), 0);
        r = n < 0 ? (int)n : hand_out(buf, (size_t)n, m, &w);
    }
    return r < 0 ? r : w.result;
}

static bool attr_ok(const struct nlattr *a, size_t left)
{
    return left >= sizeof(*a) && a->nla_len >= sizeof(*a) && a->nla_len <= left;
}

const struct nlattr *nl_attr_next(const void *data, size_t size, const struct nlattr *a)
{
    size_t at = a ? (size_t)((const char *)a - (const char *)data) + NLA_ALIGN(a->nla_len) : 0;
    if (at > size)
        return NULL;
    const struct nlattr *next = (const void *)((const char *)data + at);
    return attr_ok(next, size - at) ? next : NULL;
}

const struct nlattr *nl_attr_in(const void *data, size_t size, int type)
{
    const struct nlattr *a = nl_attr_next(data, size, NULL);
    while (a && nl_type(a) != type)
        a = nl_attr_next(data, size, a);
    return a;
}

const struct nlattr *nl_attr(const struct nlmsghdr *h, size_t header, int type)
{
    size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(header);
    if (h->nlmsg_len < at)
        return NULL;
    return nl_attr_in((const char *)h + at, h->nlmsg_len - at, type);
}

const struct nlattr *nl_attr_nested(const struct nlattr *a, int type)
{
    return a ? nl_attr_in(nl_data(a), nl_size(a), type) : NULL;
}

const void *nl_data(const struct nlattr *a)
{
    return (const char *)a + NLA_HDRLEN;
}

size_t nl_size(const struct nlattr *a)
{
    return a->nla_len - (size_t)NLA_HDRLEN;
}

int nl_type(const struct nlattr *a)
{
    return a->nla_type & NLA_TYPE_MASK;
}

uint32_t nl_u32(const struct nlattr *a, uint32_t dflt)
{
    if (a && nl_size(a) == sizeof(dflt))
        memcpy(&dflt, nl_data(a), sizeof(dflt));
    return dflt;
}

uint32_t nl_be32(const struct nlattr *a, uint32_t dflt)
{
    return ntohl(nl_u32(a, htonl(dflt)));
}

uint64_t nl_be64(const struct nlattr *a, uint64_t dflt)
{
    if (!a || nl_size(a) != sizeof(dflt))
        return dflt;
    memcpy(&dflt, nl_data(a), sizeof(dflt));
    return be64toh(dflt);
}

const char *nl_str(const struct nlattr *a)
{
    return a && memchr(nl_data(a), '\0', nl_size(a)) ? nl_data(a) : "";
}
