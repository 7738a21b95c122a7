/* Requests of supervisors, one packet each; and what the manager must see while none comes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/str.h"
#include "helpers/network/network.h"
#include "sys/sock.h"

struct connection {
    struct connection *next;
    struct network *net;
    int fd;
};

void serve_forward(struct network *n, const void *data, size_t size)
{
    const struct connection *c = n->connections;
    while (c && sock_send(c->fd, data, size, NULL, 0) < 0)
        c = c->next;
}

void serve_event(struct network *n, const char *action, const char *process)
{
    struct {
        struct wire_head head;
        char text[256];
    } msg = {.head = {.type = WIRE_EVENT}};
    int len = snprintf(msg.text, sizeof(msg.text), "%s%cnetwork=%s%cprocess=%s", action, 0,
                       n->cfg.name, 0, process);
    serve_forward(n, &msg, sizeof(msg.head) + (size_t)len + 1);
}

static int space(struct network *n, int ret_fds[2])
{
    ret_fds[0] = n->userns_fd;
    ret_fds[1] = n->netns_fd;
    return 2;
}

/* A name that has been removed and made again while we were about to end. The servers may be others
 * than before (rootlet network update); who sends older ones has read them before that. */
static int check_same(struct network *n, const struct wire_network *cfg, struct err *e)
{
    static struct wire_network same;
    same = *cfg;
    same.changes = n->cfg.changes;
    memcpy(same.dns, n->cfg.dns, sizeof(same.dns));
    if (memcmp(&n->cfg, &same, sizeof(same)) == 0) {
        if (cfg->changes <= n->cfg.changes)
            return 0;
        n->cfg = *cfg;
        dnsproc_servers(n);
        return 0;
    }
    return err_msg(e, ESTALE, "network %s was made anew while containers use the old one",
                   n->cfg.name);
}

static int serve(struct network *n, const struct wire_network_request *q, const int fds[4],
                 struct wire_network_reply *ret, struct err *e)
{
    int r = check_same(n, &q->network, e);
    if (r < 0)
        return r;
    switch (q->head.type) {
    case WIRE_NETWORK_ATTACH:
        if (fds[0] < 0 || fds[1] < 0)
            return err_msg(e, EPROTO, "no descriptors of the container came along");
        return member_attach(n, q, fds, ret, e);
    case WIRE_NETWORK_DETACH:
        member_detach(n, q->id);
        return 0;
    case WIRE_NETWORK_CHANGED:
        member_changed(n, q);
        return 0;
    case WIRE_NETWORK_PEER:
        return member_peer(n, q, fds[0], e);
    case WIRE_NETWORK_SPACE:
        return 0;
    }
    return err_msg(e, EPROTO, "unknown request");
}

void serve_request(struct network *n, int fd, const struct wire_network_request *q,
                   const int fds[SOCK_MAX_FDS])
{
    static struct wire_network_reply reply;
    int send_fds[2];
    memset(&reply, 0, sizeof(reply));
    int r = serve(n, q, fds, &reply, &reply.err);
    reply.head = (struct wire_head){r < 0 ? WIRE_ERROR : WIRE_OK, -r};
    reply.serial = q->serial;
    /* Each who is a supervisor of a member keeps the namespaces alive beyond us. */
    int n_fds = r < 0 ? 0 : space(n, send_fds);
    sock_send(fd, &reply, sizeof(reply), send_fds, (size_t)n_fds);
}

static void connection_end(struct connection *c)
{
    struct connection **at = &c->net->connections;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    loop_forget(c->net->loop, c->fd);
    close(c->fd);
    members_changed(c->net);
    free(c);
}

static void on_request(void *data, uint32_t events)
{
    static struct wire_network_request q;
    struct connection *c = data;
    int fds[SOCK_MAX_FDS];
    (void)events;
    ssize_t size = sock_recv(c->fd, &q, sizeof(q), fds);
    if (size == -EAGAIN || size == -EINTR)
        return;
    if (size != (ssize_t)sizeof(q)) {
        connection_end(c);
    } else {
        q.peer[sizeof(q.peer) - 1] = '\0';
        q.id[sizeof(q.id) - 1] = q.interface[sizeof(q.interface) - 1] = '\0';
        for (size_t i = 0; i < WIRE_NAMES_MAX; i++)
            q.names[i][WIRE_NAME_SIZE - 1] = '\0';
        serve_request(c->net, c->fd, &q, fds);
    }
    for (size_t i = 0; size > 0 && i < SOCK_MAX_FDS; i++)
        fd_close(&fds[i]);
}

int serve_connection(struct network *n, int fd, struct err *e)
{
    struct connection *c = xcalloc(1, sizeof(*c));
    *c = (struct connection){n->connections, n, fd};
    n->connections = c;
    int r = loop_fd(n->loop, fd, EPOLLIN, on_request, c, e);
    if (r < 0)
        connection_end(c);
    return r;
}

static void on_accept(void *data, uint32_t events)
{
    struct network *n = data;
    uid_t uid;
    (void)events;
    int fd = accept4(n->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    /* The directory is ours alone (0700); this is for the day when it is not. */
    if (sock_peer_uid(fd, &uid) < 0 || uid != geteuid())
        close(fd);
    else
        serve_connection(n, fd, NULL);
}

static void on_links(void *data, uint32_t events)
{
    struct network *n = data;
    char buf[8192];
    (void)events;
    /* What changed is not read from it: the kernel drops messages when there are too many. */
    while (recv(n->monitor_fd, buf, sizeof(buf), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
        ;
    members_check(n);
}

int serve_listen(struct network *n, struct err *e)
{
    int r = loop_fd(n->loop, n->listen_fd, EPOLLIN, on_accept, n, e);
    return r < 0 ? r : loop_fd(n->loop, n->monitor_fd, EPOLLIN, on_links, n, e);
}
