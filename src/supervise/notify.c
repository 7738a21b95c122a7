/* notify - see notify.h. A datagram each way; nothing here waits, and nothing grows: of a flood we
 * read so much in a while, and while systemd takes no more we hold one message and read none. */
#include "supervise/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "spec/spec.h"
#include "supervise/supervise.h"
#include "sys/clone.h"

#define SOCKET_NAME "notify.sock"
#define SOCKET_INSIDE "/dev/rootlet-notify"
/* So many messages in so long; then we stop reading until the time is over. */
#define RATE_MESSAGES 64
#define RATE_MS 250
#define FDS_MAX 253 /* the kernel's own limit, SCM_MAX_FD */
#define WATCHDOG_MIN_US 20000
#define LAST_WORDS_MS 1000

enum mode { MODE_IGNORE, MODE_MONITOR, MODE_HEALTHY, MODE_CONTAINER };

struct notify {
    char *address; /* $NOTIFY_SOCKET */
    uint64_t watchdog_us;
    enum mode mode;
    int fd;    /* connected to it, or -1 */
    int proxy; /* bound for the container, or -1 */
    bool ready;
    int watchdog_timer, rate_timer;
    int64_t rate_since_ns;
    unsigned rate;
    /* The one message that systemd has not taken yet. */
    char pending[NOTIFY_MAX + 64];
    size_t pending_len;
    int carrier; /* pidfd of the child that takes a message with descriptors, or -1 */
};

void notify_take_environment(struct sup *s)
{
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
    const char *address = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC"),
               *pid = getenv("WATCHDOG_PID");
    uint32_t watched;
    if (address && *address) {
        struct notify *n = xcalloc(1, sizeof(*n));
        n->address = xstrdup(address);
        n->fd = n->proxy = n->carrier = n->watchdog_timer = n->rate_timer = -1;
        bool ours = !pid || (parse_u32(pid, &watched) == 0 && watched == (uint32_t)getpid());
        if (!ours || !usec || parse_u64(usec, &n->watchdog_us) < 0)
            n->watchdog_us = 0;
        if (n->watchdog_us && n->watchdog_us < WATCHDOG_MIN_US)
            n->watchdog_us = WATCHDOG_MIN_US; /* no loop of ours is to spin */
        s->notify = n;
    }
    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        unsetenv(names[i]);
}

/* --- to systemd --- */

static int connect_manager(struct notify *n, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(n->address);
    if ((n->address[0] != '/' && n->address[0] != '@') || len >= sizeof(a.sun_path))
        return err_msg(e, EINVAL, "NOTIFY_SOCKET=%s: not a path, nor an abstract socket",
                       n->address);
    memcpy(a.sun_path, n->address, len);
    if (a.sun_path[0] == '@')
        a.sun_path[0] = '\0';
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->fd < 0)
        return err_set(e, errno, "make a socket");
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (connect(n->fd, (struct sockaddr *)&a, size) < 0)
        return err_set(e, errno, "connect to NOTIFY_SOCKET=%s", n->address);
    return 0;
}

static int send_message(int sock, const char *text, size_t len)
{
    return send(sock, text, len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void update_proxy(struct sup *s);

static void flush(struct sup *s)
{
    struct notify *n = s->notify;
    if (!n->pending_len)
        return;
    if (send_message(n->fd, n->pending, n->pending_len) != -EAGAIN)
        n->pending_len = 0;
}

static void on_manager(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    flush(s);
    update_proxy(s);
    peers_settle(s);
}

/* Our own words go behind what waits; there are few, and the last of them counts. */
static void say(struct sup *s, const char *text)
{
    struct notify *n = s->notify;
    size_t len = strlen(text);
    if (n->pending_len == 0 && send_message(n->fd, text, len) != -EAGAIN)
        return;
    if (n->pending_len + len > sizeof(n->pending))
        return;
    memcpy(n->pending + n->pending_len, text, len);
    n->pending_len += len;
    update_proxy(s);
}

/* --- from the container --- */

/* The next message, which stays where it is: a descriptor that we took from a container we should
 * have to close, and that waits as long as it likes (SO_LINGER of a socket, a file of FUSE). */
static ssize_t peek(int sock, char *buf, size_t size, bool *ret_fds)
{
    struct iovec v = {buf, size};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    ssize_t got = recvmsg(sock, &m, MSG_PEEK | MSG_DONTWAIT);
    *ret_fds = got >= 0 && (m.msg_flags & MSG_CTRUNC);
    /* A message that was cut is none. */
    return got >= 0 && (m.msg_flags & MSG_TRUNC) ? 0 : got;
}

/* What came in as one descriptor goes out as it is. */
static bool is_barrier(const struct msghdr *m, size_t n)
{
    char out[NOTIFY_MAX];
    bool barrier = false;
    if (!(m->msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        notify_filter(m->msg_iov->iov_base, n, out, &barrier);
    const struct cmsghdr *h = CMSG_FIRSTHDR(m);
    return barrier && h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
           h->cmsg_len == CMSG_LEN(sizeof(int));
}

/* Takes one message with its descriptors, with nothing of ours open; a barrier's goes on. The end
 * of a process waits for no socket. */
_Noreturn static void carrier_main(const struct notify *n)
{
    enum { PROXY, MANAGER };
    char text[NOTIFY_MAX];
    union {
        struct cmsghdr head;
        char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } c;
    struct iovec v = {text, sizeof(text)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(n->proxy, PROXY) < 0 || dup2(n->fd, MANAGER) < 0 || sys_close_from(MANAGER + 1, 0) < 0)
        _exit(1);
    ssize_t got = recvmsg(PROXY, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 || !is_barrier(&m, (size_t)got))
        _exit(0);
    v.iov_len = (size_t)got;
    while (sendmsg(MANAGER, &m, MSG_NOSIGNAL) < 0 && errno == EAGAIN) {
        struct pollfd room = {.fd = MANAGER, .events = POLLOUT};
        poll(&room, 1, -1);
    }
    _exit(0);
}

static void on_carrier(void *data, uint32_t events)
{
    struct sup *s = data;
    struct notify *n = s->notify;
    (void)events;
    loop_forget(s->loop, n->carrier);
    (void)!pidfd_wait(n->carrier, NULL);
    fd_close(&n->carrier);
    update_proxy(s);
    peers_settle(s);
}

/* One at a time, and nothing is read beside it: whose descriptor keeps it waits for itself. */
static void carry(struct sup *s)
{
    struct notify *n = s->notify;
    pid_t pid = fork_pidfd(&n->carrier);
    if (pid == 0)
        carrier_main(n);
    if (pid > 0 && loop_fd(s->loop, n->carrier, EPOLLIN, on_carrier, s, NULL) == 0)
        return;
    if (pid > 0)
        pidfd_signal(n->carrier, SIGKILL);
    fd_close(&n->carrier);
    n->rate = RATE_MESSAGES; /* once more, later */
}

static void take_message(struct sup *s, const char *text, size_t len)
{
    struct notify *n = s->notify;
    bool barrier;
    size_t kept = notify_filter(text, len, n->pending, &barrier);
    /* By a shell around us, say, systemd may not know who we are. */
    if (kept && !n->ready && memmem(n->pending, kept, "READY=1\n", 8)) {
        n->ready = true;
        kept += (size_t)snprintf(n->pending + kept, sizeof(n->pending) - kept, "MAINPID=%d\n",
                                 (int)getpid());
    }
    n->pending_len = kept;
    flush(s);
}

static void on_proxy(void *data, uint32_t events)
{
    struct sup *s = data;
    struct notify *n = s->notify;
    char text[NOTIFY_MAX];
    (void)events;
    int64_t now = time_monotonic_ns();
    if (now - n->rate_since_ns > RATE_MS * INT64_C(1000000)) {
        n->rate_since_ns = now;
        n->rate = 0;
    }
    while (n->pending_len == 0 && n->carrier < 0 && n->rate < RATE_MESSAGES) {
        bool fds;
        ssize_t got = peek(n->proxy, text, sizeof(text), &fds);
        if (got < 0)
            break;
        n->rate++;
        if (fds)
            carry(s);
        else
            (void)!recv(n->proxy, NULL, 0, MSG_DONTWAIT);
        take_message(s, text, (size_t)got);
    }
    update_proxy(s);
    peers_settle(s);
}

static void on_rate(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    s->notify->rate_timer = -1;
    s->notify->rate = 0;
    update_proxy(s);
    peers_settle(s);
}

/* Reads from the container only while there is somewhere to put it. */
static void update_proxy(struct sup *s)
{
    struct notify *n = s->notify;
    bool flood = n->rate >= RATE_MESSAGES;
    if (flood && n->rate_timer < 0)
        n->rate_timer = loop_timer(s->loop, RATE_MS, on_rate, s, NULL);
    if (n->rate_timer < 0)
        flood = false;
    (void)!loop_fd(s->loop, n->fd, n->pending_len ? EPOLLOUT : 0, on_manager, s, NULL);
    if (n->proxy >= 0)
        (void)!loop_fd(s->loop, n->proxy, n->pending_len || flood || n->carrier >= 0 ? 0 : EPOLLIN,
                       on_proxy, s, NULL);
}

/* In our run directory, which nobody else may enter; the container gets a mount of it alone. */
static int bind_proxy(struct sup *s, struct err *e)
{
    struct notify *n = s->notify;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/" SOCKET_NAME, s->run_fd);
    unlinkat(s->run_fd, SOCKET_NAME, 0);
    n->proxy = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->proxy < 0 || bind(n->proxy, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        fchmodat(s->run_fd, SOCKET_NAME, 0666, 0) < 0)
        return err_set(e, errno, "make the container's notification socket");
    update_proxy(s);
    return 0;
}

static int give_socket(struct sup *s, struct err *e)
{
    struct notify *n = s->notify;
    struct spec_process *p = s->spec.process;
    int r = n->proxy < 0 ? bind_proxy(s, e) : 0;
    if (r < 0)
        return r;
    scoped_free char *source = xasprintf("%s/%s/" SOCKET_NAME, s->conf.run_root, s->id);
    spec_add_mount(&s->spec, SOCKET_INSIDE, "bind", source, "bind,ro,rprivate,nosuid,nodev,noexec");
    strv_env_set(&p->env, "NOTIFY_SOCKET=" SOCKET_INSIDE);
    /* Without WATCHDOG_PID any process of the container may be the one that is watched. */
    strv_env_unset(p->env, "WATCHDOG_PID");
    strv_env_unset(p->env, "WATCHDOG_USEC");
    if (n->watchdog_us) {
        scoped_free char *usec =
            xasprintf("WATCHDOG_USEC=%llu", (unsigned long long)n->watchdog_us);
        strv_env_set(&p->env, usec);
    }
    return 0;
}

/* --- what happens to the container --- */

static enum mode mode_parse(const struct sup *s, const char *mode)
{
    if (!mode)
        return s->unit.on ? MODE_MONITOR : MODE_IGNORE;
    if (streq(mode, "container"))
        return MODE_CONTAINER;
    if (streq(mode, "healthy"))
        return MODE_HEALTHY;
    return streq(mode, "monitor") ? MODE_MONITOR : MODE_IGNORE;
}

int notify_prepare(struct sup *s, const char *mode, struct err *e)
{
    struct notify *n = s->notify;
    if (!n)
        return 0;
    n->mode = mode_parse(s, mode);
    if (n->mode == MODE_IGNORE) {
        notify_close(s);
        return 0;
    }
    int r = n->fd < 0 ? connect_manager(n, e) : 0;
    return r == 0 && n->mode == MODE_CONTAINER ? give_socket(s, e) : r;
}

static void say_ready(struct sup *s)
{
    struct notify *n = s->notify;
    char text[200];
    if (n->ready)
        return;
    n->ready = true;
    snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=container %s\n", (int)getpid(),
             s->state.name);
    say(s, text);
}

/* That this comes at all shows that our loop is alive. */
static void on_watchdog(void *data, uint32_t events)
{
    struct sup *s = data;
    struct notify *n = s->notify;
    (void)events;
    if (!streq(s->state.health, "unhealthy"))
        say(s, "WATCHDOG=1\n");
    n->watchdog_timer = loop_timer(s->loop, n->watchdog_us / 2000, on_watchdog, s, NULL);
    peers_settle(s);
}

void notify_started(struct sup *s)
{
    struct notify *n = s->notify;
    if (!n || n->mode == MODE_CONTAINER)
        return;
    if (n->mode == MODE_MONITOR)
        say_ready(s);
    if (n->watchdog_us && n->watchdog_timer < 0)
        n->watchdog_timer = loop_timer(s->loop, n->watchdog_us / 2000, on_watchdog, s, NULL);
}

void notify_health(struct sup *s)
{
    if (s->notify && s->notify->mode == MODE_HEALTHY && streq(s->state.health, "healthy"))
        say_ready(s);
}

void notify_stopping(struct sup *s)
{
    if (s->notify && s->notify->mode != MODE_CONTAINER)
        say(s, "STOPPING=1\n");
}

/* Waits for systemd to take what waits for it, until a time. */
static bool settle(struct sup *s, int64_t until_ns)
{
    struct notify *n = s->notify;
    for (;;) {
        flush(s);
        int64_t left = (until_ns - time_monotonic_ns()) / 1000000;
        if (!n->pending_len || left <= 0)
            return !n->pending_len;
        struct pollfd room = {.fd = n->fd, .events = POLLOUT};
        (void)!poll(&room, 1, (int)left);
    }
}

/* What the container said right before its end: no more than fits into the socket, and no longer
 * than LAST_WORDS_MS when systemd is busy. */
static void last_words(struct sup *s)
{
    struct notify *n = s->notify;
    int64_t until_ns = time_monotonic_ns() + LAST_WORDS_MS * INT64_C(1000000);
    char text[NOTIFY_MAX];
    for (unsigned i = 0; settle(s, until_ns) && i < RATE_MESSAGES && n->carrier < 0; i++) {
        bool fds;
        ssize_t got = peek(n->proxy, text, sizeof(text), &fds);
        if (got < 0 || fds)
            return;
        (void)!recv(n->proxy, NULL, 0, MSG_DONTWAIT);
        take_message(s, text, (size_t)got);
    }
}

void notify_close(struct sup *s)
{
    struct notify *n = s->notify;
    if (!n)
        return;
    if (n->proxy >= 0 && s->loop)
        last_words(s);
    s->notify = NULL;
    if (n->proxy >= 0) {
        if (s->loop)
            loop_forget(s->loop, n->proxy);
        unlinkat(s->run_fd, SOCKET_NAME, 0);
    }
    if (n->fd >= 0 && s->loop)
        loop_forget(s->loop, n->fd);
    if (n->carrier >= 0) {
        pidfd_signal(n->carrier, SIGKILL);
        if (s->loop)
            loop_forget(s->loop, n->carrier);
    }
    if (s->loop) {
        loop_timer_cancel(s->loop, n->watchdog_timer);
        loop_timer_cancel(s->loop, n->rate_timer);
    }
    /* The proxy ends with us: descriptors that nobody has taken are in it. */
    fd_close(&n->carrier);
    fd_close(&n->fd);
    free(n->address);
    free(n);
}
