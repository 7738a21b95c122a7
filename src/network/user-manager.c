/* The process of a user network: found by its socket, started under its lock. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "network/store.h"
#include "network/user-priv.h"
#include "network/user.h"
#include "sys/clone.h"
#include "sys/netns.h"
#include "sys/sock.h"

#define TRIES 100
#define STALE_TRIES 30  /* longer than one without members stays */
#define PAUSE_MS 50     /* one that ends holds its lock as long */
#define ANSWER_MS 30000 /* with a scope to be made on a slow machine */

extern char **environ;

void user_lease_release(struct user_lease *l)
{
    fd_close(&l->ctl);
    fd_close(&l->space[0]);
    fd_close(&l->space[1]);
}

static int put_text(char *dst, size_t size, const char *text, const char *what, struct err *e)
{
    if (strlen(text) >= size)
        return err_msg(e, ENAMETOOLONG, "%s has more than %zu characters", what, size - 1);
    memcpy(dst, text, strlen(text) + 1);
    return 0;
}

static int put_subnets(const struct network_config *c, struct wire_network *ret, struct err *e)
{
    for (size_t i = 0; i < c->n_subnets; i++) {
        struct network_range r;
        int k = network_subnet_range(&c->subnets[i], &r, e);
        if (k < 0)
            return k;
        struct wire_subnet *s = &ret->subnet[r.subnet.addr.family == 6];
        if (s->net.addr.family)
            return err_msg(e, ENOTSUP, "two subnets of the same family");
        *s = (struct wire_subnet){r.subnet, r.gateway, r.first, r.last};
    }
    return 0;
}

static int put_lists(const struct network_config *c, struct wire_network *ret, struct err *e)
{
    size_t n = 0;
    for (char **d = c->dns; d && *d; d++, n++)
        if (n >= WIRE_DNS_MAX || net_addr_parse(*d, &ret->dns[n]) < 0)
            return err_msg(e, EINVAL, "dns %s: want at most %d addresses", *d, WIRE_DNS_MAX);
    scoped_str struct str rules = STR_INIT;
    for (char **r = c->egress; r && *r; r++)
        str_addf(&rules, "%s%s", r == c->egress ? "" : "\n", *r);
    return put_text(ret->egress, sizeof(ret->egress), rules.s, "the egress rules", e);
}

int user_network_load(const struct conf *c, const char *name, struct wire_network *ret,
                      struct err *e)
{
    scoped_network_config struct network_config n = {.name = NULL};
    int r = network_open(c, name, &n, e);
    if (r < 0)
        return r;
    memset(ret, 0, sizeof(*ret));
    ret->internal = n.internal;
    ret->no_dns = !n.dns_enabled;
    ret->mtu = network_mtu(&n);
    ret->changes = n.changes;
    r = put_text(ret->name, sizeof(ret->name), n.name, "the network's name", e);
    if (r == 0)
        r = put_text(ret->id, sizeof(ret->id), n.id ? n.id : "", "the network's id", e);
    if (r == 0)
        r = put_subnets(&n, ret, e);
    return r < 0 ? r : put_lists(&n, ret, e);
}

/* --- the process --- */

struct spawn {
    char **argv, **env;
    int fd[6]; /* 3 to 8 */
    size_t n;
};

static int execute(void *data)
{
    const struct spawn *s = data;
    int high[N_ELEMENTS(s->fd)], base = 3 + (int)N_ELEMENTS(s->fd);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (size_t i = 0; i < s->n; i++)
        if ((high[i] = fcntl(s->fd[i], F_DUPFD_CLOEXEC, base)) < 0)
            _exit(126);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
        (!getenv("ROOTLET_NETWORK_DEBUG") && dup2(null, 2) < 0))
        _exit(126);
    for (size_t i = 0; i < s->n; i++)
        if (dup2(high[i], 3 + (int)i) < 0)
            _exit(126);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    setsid();
    if (chdir("/") == 0 && sys_close_from(3 + (unsigned)s->n, 1) == 0)
        execve(s->argv[0], s->argv, s->env);
    _exit(127);
}

/* It outlives us, and whoever is its parent then reaps it. */
static int spawn(const struct conf *c, const char *name, struct spawn *s, struct err *e)
{
    scoped_strv char **argv = NULL, **env = NULL;
    strv_take(&argv, path_join(c->libexec, "rootlet-network"));
    strv_add(&argv, name);
    for (char **v = environ; *v; v++)
        if (!str_after(*v, "ROOTLET_LIBEXEC="))
            strv_add(&env, *v);
    strv_addf(&env, "ROOTLET_LIBEXEC=%s", c->libexec);
    s->argv = argv;
    s->env = env;
    if (access(argv[0], X_OK) < 0)
        return err_hint(e, err_set(e, errno, "execute %s", argv[0]),
                        "is rootlet installed completely?");
    scoped_fd int pidfd = -1;
    if (spawn_pidfd(execute, s, &pidfd) < 0)
        return sys_clone_failed(errno, "start the network's process", e);
    return 0;
}

/* Under the lock, which the process then holds: *ret_fd is its first connection. -EWOULDBLOCK:
 * there is one, or one is just ending. */
static int start(const struct network_run *run, const char *name, int dirfd, struct user_lease *l,
                 struct err *e)
{
    scoped_fd int lock = lock_take(dirfd, "lock", LOCK_EXCLUSIVE, 0, e);
    if (lock < 0)
        return lock;
    scoped_fd int listener = sock_listen_at(dirfd, "sock", e);
    int pair[2];
    int r = listener < 0 ? listener : sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int ours = pair[0], theirs = pair[1];
    struct spawn s = {.fd = {theirs, lock, listener, dirfd, l->space[0], l->space[1]},
                      .n = l->space[1] >= 0 ? 6 : 4};
    r = spawn(run->conf, name, &s, e);
    return r < 0 ? r : take_fd(&ours);
}

/* In a supervisor's loop no longer for one that was just started: it is asked again later. */
static int patience(const struct network_run *run)
{
    return run && run->patience_ms ? run->patience_ms : ANSWER_MS;
}

/* The next answer to q, while there is time; what is to older requests, whose time was over, and
 * events are passed over. Its size or -errno. */
static ssize_t receive(int fd, uint32_t serial, int wait_ms, struct wire_network_reply *ret,
                       int fds[SOCK_MAX_FDS])
{
    int64_t end_ns = time_monotonic_ns() + (int64_t)wait_ms * 1000000;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = (end_ns - time_monotonic_ns() + 999999) / 1000000;
        int r = poll(&p, 1, left > 0 ? (int)left : 0);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return -ETIMEDOUT;
        ssize_t n = sock_recv(fd, ret, sizeof(*ret), fds);
        if (n <= 0)
            return -ECONNRESET;
        if (n == (ssize_t)sizeof(*ret) && ret->head.type != WIRE_EVENT && ret->serial == serial)
            return n;
        for (size_t i = 0; i < SOCK_MAX_FDS; i++)
            fd_close(&fds[i]);
    }
}

/* 0: an answer. -ECONNRESET: it has ended, and another try may be better. */
static int ask(int fd, struct wire_network_request *q, const int along[2], int wait_ms,
               struct user_lease *l, struct err *e)
{
    static uint32_t serial;
    int fds[SOCK_MAX_FDS];
    size_t n_along = (size_t)(along[0] >= 0) + (along[1] >= 0);
    q->serial = ++serial;
    if (sock_send(fd, q, sizeof(*q), along, n_along) < 0)
        return -ECONNRESET;
    ssize_t n = receive(fd, q->serial, wait_ms, &l->reply, fds);
    if (n == -ETIMEDOUT)
        return err_hint(e, err_msg(e, ETIMEDOUT, "its process gives no answer"),
                        "is rootlet-network stopped or overloaded? After its end the members "
                        "begin another one");
    if (n < 0)
        return (int)n;
    for (size_t i = 0; i < SOCK_MAX_FDS; i++) {
        if (i < 2 && fds[i] >= 0) {
            fd_close(&l->space[i]);
            l->space[i] = take_fd(&fds[i]);
        }
        fd_close(&fds[i]);
    }
    if (l->reply.head.type == WIRE_OK)
        return 0;
    l->reply.err.msg[sizeof(l->reply.err.msg) - 1] = '\0';
    l->reply.err.hint[sizeof(l->reply.err.hint) - 1] = '\0';
    if (e)
        *e = l->reply.err;
    return l->reply.err.errnum > 0 ? -l->reply.err.errnum : -EPROTO;
}

int user_exchange(const struct network_run *run, struct wire_network_request *q,
                  struct user_lease *l, struct err *e)
{
    scoped_free char *sub = path_join("networks", q->network.name);
    scoped_fd int dirfd = conf_open_run(run->conf, sub, true, e);
    int r = dirfd < 0 ? dirfd : -ECONNRESET;
    const int target[2] = {run->netns_fd, run->init_fd};
    for (int i = 0; r == -ECONNRESET && i < TRIES; i++) {
        struct err why = ERR_INIT;
        scoped_fd int fd = sock_connect_at(dirfd, "sock", &why);
        if (fd < 0)
            fd = start(run, q->network.name, dirfd, l, &why);
        if (fd >= 0) {
            r = ask(fd, q, target, patience(run), l, e);
            if (r == 0)
                fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK); /* nor does what it does not take */
            l->ctl = r == 0 ? take_fd(&fd) : -1;
        } else if (fd != -EWOULDBLOCK) {
            if (e)
                *e = why;
            return fd;
        }
        /* That of a network of the same name that was removed: it ends when nobody is in it. */
        if (r == -ESTALE && i < STALE_TRIES) {
            err_clear(e);
            r = -ECONNRESET;
        }
        if (r == -ECONNRESET)
            poll(NULL, 0, i ? PAUSE_MS : 0);
    }
    if (r == -ECONNRESET)
        err_hint(e, err_msg(e, EIO, "its process (rootlet-network) ends at once"),
                 "ROOTLET_NETWORK_DEBUG=1 shows what it says");
    return r;
}

int user_tell(const struct network_run *run, const char *network, int ctl,
              struct wire_network_request *q, int fd)
{
    struct user_lease l = USER_LEASE_INIT;
    snprintf(q->id, sizeof(q->id), "%s", run->id);
    int r = user_network_load(run->conf, network, &q->network, NULL);
    if (r == 0)
        r = ask(ctl, q, (const int[2]){fd, -1}, patience(run), &l, NULL);
    user_lease_release(&l);
    return r;
}

static int open_socket(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    const struct net_addr *server = data;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } a = {.any.sa_family = server->family == 4 ? AF_INET : AF_INET6};
    if (server->family == 4)
        memcpy(&a.in.sin_addr, server->b, 4);
    else
        memcpy(&a.in6.sin6_addr, server->b, 16);
    a.in.sin_port = htons(53); /* at the same place in both */
    ret_fds[0] = socket(a.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ret_fds[0] < 0 || connect(ret_fds[0], &a.any, sizeof(a)) < 0)
        return err_set(e, errno, "open a socket for names");
    return 0;
}

int user_dns_socket(const struct network_run *run, const char *network, const int space[2])
{
    int fds[SOCK_MAX_FDS], r;
    struct wire_network *w = xcalloc(1, sizeof(*w));
    r = user_network_load(run->conf, network, w, NULL);
    struct net_addr server = w->subnet[w->subnet[0].gateway.family ? 0 : 1].gateway;
    if (r == 0 && (w->no_dns || !server.family))
        r = -ENOENT;
    free(w);
    return r < 0 || (r = netns_run(space[0], space[1], open_socket, &server, fds, NULL)) < 0
               ? r
               : fds[0];
}

int network_user_space(const struct conf *c, const char *name, int ret[2], struct err *e)
{
    struct user_lease l = USER_LEASE_INIT;
    struct wire_network_request *q = xcalloc(1, sizeof(*q));
    q->head.type = WIRE_NETWORK_SPACE;
    int r = user_network_load(c, name, &q->network, e);
    scoped_free char *sub = path_join("networks", q->network.name);
    scoped_fd int dirfd = r < 0 ? -1 : conf_open_run(c, sub, false, NULL);
    scoped_fd int fd = dirfd < 0 ? -1 : sock_connect_at(dirfd, "sock", NULL);
    if (r == 0)
        r = fd < 0 ? -ECONNRESET : ask(fd, q, (const int[2]){-1, -1}, ANSWER_MS, &l, e);
    if (r == -ECONNRESET)
        err_hint(e,
                 err_msg(e, ENOTCONN, "network %s: no container that runs is a member of it", name),
                 "a user network has a namespace while it has members");
    for (size_t i = 0; r == 0 && i < 2; i++)
        ret[i] = take_fd(&l.space[i]);
    user_lease_release(&l);
    free(q);
    return r == -ECONNRESET ? -ENOTCONN : r;
}

int network_user_changed(const struct conf *c, const char *name, struct err *e)
{
    struct err why = ERR_INIT;
    int fds[2] = {-1, -1};
    int r = network_user_space(c, name, fds, &why); /* the configuration goes with any request */
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    if (r < 0 && r != -ENOTCONN && e)
        *e = why;
    return r == -ENOTCONN ? 0 : r;
}
