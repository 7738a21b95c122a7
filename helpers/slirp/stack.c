/* stack - libslirp, its sockets in our poll(2), and its memory.
 *
 * libslirp keeps up to thirty packet buffers of one MTU for ever. So when nothing of it is in use,
 * it is thrown away and made anew, which costs less than a millisecond and which nobody notices:
 * addresses of the container are asked for again. */
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "helpers/slirp/slirp.h"

#include "base/str.h"

enum {
    FDS_FIRST = 16,
    QUIET_MS = 1000,       /* so long must nothing be in use */
    ROUND_MS = 100,        /* so old may libslirp's time be */
    WORTH_BYTES = 1 << 18, /* below that there is not much to be had */
};

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static ssize_t send_packet(const void *frame, size_t size, void *opaque)
{
    struct stack *s = opaque;
    s->bytes += size;
    if (gate_in(s->gate, frame, size))
        device_write(s->dev, frame, size);
    return (ssize_t)size;
}

static void guest_error(const char *msg, void *opaque)
{
    (void)msg, (void)opaque; /* the container's mistakes, as often as it likes */
}

int64_t stack_hurry = 1;

static int64_t clock_ns(void *opaque)
{
    struct timespec t;
    (void)opaque;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return ((int64_t)t.tv_sec * 1000000000 + t.tv_nsec) * stack_hurry;
}

/* libslirp's time. */
static int64_t clock_ms(void)
{
    return clock_ns(NULL) / 1000000;
}

/* There is one timer, of the router advertisements; its identity is the stack. */
static SlirpTimerId timer_id;
static void *timer_data;

static void *timer_new(SlirpTimerId id, void *data, void *opaque)
{
    timer_id = id;
    timer_data = data;
    return opaque;
}

static void timer_free(void *timer, void *opaque)
{
    (void)timer;
    ((struct stack *)opaque)->timer_ms = -1;
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    (void)timer;
    ((struct stack *)opaque)->timer_ms = expire_ms;
}

static void socket_opened(int fd, void *opaque)
{
    flow_opened(&((struct stack *)opaque)->gate->flows, fd);
}

static void socket_closed(int fd, void *opaque)
{
    flow_closed(&((struct stack *)opaque)->gate->flows, fd);
}

static void notify(void *opaque)
{
    (void)opaque; /* one thread: the next round sees it */
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
#if SLIRP_CONFIG_VERSION_MAX >= 6
    .register_poll_socket = socket_opened,
    .unregister_poll_socket = socket_closed,
#else
    .register_poll_fd = socket_opened,
    .unregister_poll_fd = socket_closed,
#endif
    .notify = notify,
    .timer_new_opaque = timer_new,
};

static struct in_addr in4(const struct net_addr *a)
{
    struct in_addr v;
    memcpy(&v, a->b, sizeof(v));
    return v;
}

static struct in6_addr in6(const struct net_addr *a)
{
    struct in6_addr v;
    memcpy(&v, a->b, sizeof(v));
    return v;
}

static void configure(const struct options *o, SlirpConfig *cfg)
{
    struct net_addr dhcp = o->dns4;
    net_addr_add(&o->dns4, 12, &dhcp);
    *cfg = (SlirpConfig){
        .version = SLIRP_CONFIG_VERSION_MAX >= 6 ? 6 : 4,
        .in_enabled = true,
        .vnetwork = in4(&o->net4.addr),
        .vnetmask = {htonl(~0U << (32 - o->net4.bits))},
        .vhost = in4(&o->gateway4),
        .vnameserver = in4(&o->dns4),
        .vdhcp_start = in4(&dhcp),
        .if_mtu = o->mtu,
        .if_mru = o->mtu,
        .disable_host_loopback = !(o->flags & WIRE_SLIRP_HOST_LOOPBACK),
        .disable_dhcp = true,
    };
    if (!(o->flags & WIRE_SLIRP_IPV6))
        return;
    cfg->in6_enabled = true;
    cfg->vprefix_addr6 = in6(&o->net6.addr);
    cfg->vprefix_len = 64;
    cfg->vhost6 = in6(&o->gateway6);
    cfg->vnameserver6 = in6(&o->dns6);
}

int stack_start(struct stack *s, struct err *e)
{
    const struct options *o = s->o;
    SlirpConfig cfg;
    struct sockaddr_in out4 = {.sin_family = AF_INET, .sin_addr = in4(&o->outbound4)};
    struct sockaddr_in6 out6 = {.sin6_family = AF_INET6, .sin6_addr = in6(&o->outbound6)};

    configure(o, &cfg);
    /* libslirp keeps the pointers. */
    static struct sockaddr_in kept4;
    static struct sockaddr_in6 kept6;
    kept4 = out4;
    kept6 = out6;
    if (o->outbound4.family)
        cfg.outbound_addr = &kept4;
    if (o->outbound6.family)
        cfg.outbound_addr6 = &kept6;
    s->timer_ms = -1;
    s->bytes = 0;
    s->quiet_ms = -1;
    s->slirp = slirp_new(&cfg, &callbacks, s);
    if (!s->slirp)
        return err_msg(e, EINVAL, "libslirp %s takes no such network", slirp_version_string());
    return 0;
}

void stack_stop(struct stack *s)
{
    if (s->slirp)
        slirp_cleanup(s->slirp);
    s->slirp = NULL;
    free(s->fds);
    s->fds = NULL;
    s->max_fds = s->n_fds = 0;
}

void stack_input(struct stack *s, const uint8_t *frame, size_t size)
{
    uint8_t answer[FRAME_ANSWER_MAX];
    size_t n = 0;

    s->bytes += size;
    switch (gate_out(s->gate, frame, size, answer, &n)) {
    case GATE_PASS:
        slirp_input(s->slirp, frame, (int)size);
        flow_passed(&s->gate->flows);
        break;
    case GATE_ANSWER:
        device_write(s->dev, answer, n);
        break;
    default:
        break;
    }
}

static void make_room(struct stack *s)
{
    if (s->n_fds < s->max_fds)
        return;
    s->max_fds = s->max_fds ? 2 * s->max_fds : FDS_FIRST;
    s->fds = xrealloc(s->fds, s->max_fds * sizeof(*s->fds));
}

static int add_socket(int fd, int events, void *opaque)
{
    struct stack *s = opaque;
    short want = 0;

    make_room(s);
    if (events & SLIRP_POLL_IN)
        want |= POLLIN;
    if (events & SLIRP_POLL_OUT)
        want |= POLLOUT;
    if (events & SLIRP_POLL_PRI)
        want |= POLLPRI;
    s->fds[s->n_fds] = (struct pollfd){.fd = fd, .events = want};
    return (int)s->n_fds++;
}

static int socket_events(int index, void *opaque)
{
    const struct stack *s = opaque;
    short got = index >= 0 && (size_t)index < s->n_fds ? s->fds[index].revents : 0;
    int events = 0;

    if (got & POLLIN)
        events |= SLIRP_POLL_IN;
    if (got & POLLOUT)
        events |= SLIRP_POLL_OUT;
    if (got & POLLPRI)
        events |= SLIRP_POLL_PRI;
    if (got & POLLERR)
        events |= SLIRP_POLL_ERR;
    if (got & POLLHUP)
        events |= SLIRP_POLL_HUP;
    return events;
}

int stack_prepare(struct stack *s)
{
    uint32_t timeout = UINT32_MAX;
    int64_t now = now_ms(), wait;

    s->n_fds = s->first;
    make_room(s);
#if SLIRP_CONFIG_VERSION_MAX >= 6
    slirp_pollfds_fill_socket(s->slirp, &timeout, add_socket, s);
#else
    slirp_pollfds_fill(s->slirp, &timeout, add_socket, s);
#endif
    wait = timeout == UINT32_MAX ? -1 : (int64_t)timeout;
    if (s->timer_ms >= 0) {
        int64_t left = (s->timer_ms - clock_ms()) / stack_hurry;
        left = left > 0 ? left : 0;
        if (wait < 0 || left < wait)
            wait = left;
    }
    if (s->quiet_ms >= 0) {
        int64_t left = s->quiet_ms + QUIET_MS - now;
        if (wait < 0 || left < wait)
            wait = left > 0 ? left : 0;
    }
    return wait > INT32_MAX ? INT32_MAX : (int)wait;
}

void stack_serve(struct stack *s, bool failed)
{
    slirp_pollfds_poll(s->slirp, failed, socket_events, s);
    s->round_ms = now_ms();
    if (s->timer_ms >= 0 && s->timer_ms <= clock_ms()) {
        s->timer_ms = -1;
        slirp_handle_timer(s->slirp, timer_id, timer_data);
    }
}

/* libslirp's time is that of its last round, zero before the first: what a frame opens now would
 * have ended long ago, and its answer is nobody's. */
void stack_wake(struct stack *s)
{
    if (now_ms() - s->round_ms >= ROUND_MS)
        slirp_pollfds_poll(s->slirp, true, socket_events, s);
}

/* Connections in TIME_WAIT have nothing left to lose. */
static bool in_use(const struct stack *s)
{
    char *info = slirp_connection_info(s->slirp);
    bool used = false;
    if (!info)
        return true;
    for (const char *line = strchr(info, '\n'); !used && line; line = strchr(line + 1, '\n')) {
        const char *state = strchr(line, '[');
        if (!line[1])
            break;
        used = !state || (strncmp(state, "[TIME_WAIT]", 11) != 0);
    }
    free(info);
    return used;
}

void stack_rest(struct stack *s)
{
    struct err e = ERR_INIT;
    int64_t now;

    if (s->n_fds > s->first || s->bytes < WORTH_BYTES) {
        s->quiet_ms = -1;
        return;
    }
    now = now_ms();
    if (s->quiet_ms < 0) {
        s->quiet_ms = now;
        return;
    }
    if (now - s->quiet_ms < QUIET_MS)
        return;
    if (in_use(s)) {
        s->quiet_ms = now;
        return;
    }
    stack_stop(s);
    if (stack_start(s, &e) < 0)
        _exit(1); /* the same options were good before: our parent starts another one */
    malloc_trim(0);
}
