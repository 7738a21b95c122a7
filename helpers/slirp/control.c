/* control - messages to the parent, and parents that come after the first. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helpers/slirp/slirp.h"

#include "base/scoped.h"
#include "sys/sock.h"

enum { EVENTS_BURST = 20, EVENT_MS = 200 }; /* five a second in the long run */

static void send_message(struct control *c, const void *msg, size_t size, int fd)
{
    int r = sock_send(c->fd, msg, size, fd >= 0 ? &fd : NULL, fd >= 0);
    if (r < 0 && r != -EAGAIN && r != -EMSGSIZE)
        fd_close(&c->fd);
}

static void say(struct control *c, enum wire_type type, int value, const char *text, int fd)
{
    char msg[sizeof(struct wire_head) + 1000];
    struct wire_head head = {.type = type, .value = value};
    size_t n = strnlen(text, sizeof(msg) - sizeof(head) - 1);

    if (c->fd < 0)
        return;
    memcpy(msg, &head, sizeof(head));
    memcpy(msg + sizeof(head), text, n);
    msg[sizeof(head) + n] = '\0';
    send_message(c, msg, sizeof(head) + n + 1, fd);
}

void control_say(struct control *c, enum wire_type type, int value, const char *text)
{
    say(c, type, value, text, -1);
}

static bool may_tell(struct control *c)
{
    int64_t now = now_ms(), more = (now - c->filled_ms) / EVENT_MS;
    if (more > 0) {
        c->tokens = c->tokens + more > EVENTS_BURST ? EVENTS_BURST : c->tokens + more;
        c->filled_ms = now;
    }
    if (c->tokens <= 0) {
        c->suppressed++;
        return false;
    }
    c->tokens--;
    return true;
}

static size_t add(char *buf, size_t size, size_t used, const char *text)
{
    size_t n = strlen(text) + 1;
    if (n > size - used)
        return used;
    memcpy(buf + used, text, n);
    return used + n;
}

void control_event(struct control *c, const char *action, const char *const *attributes)
{
    char msg[sizeof(struct wire_head) + 1500];
    struct wire_head head = {.type = WIRE_EVENT};
    size_t n = sizeof(head);

    if (c->fd < 0 || !may_tell(c))
        return;
    memcpy(msg, &head, sizeof(head));
    n = add(msg, sizeof(msg), n, action);
    for (; *attributes; attributes++)
        n = add(msg, sizeof(msg), n, *attributes);
    if (c->suppressed > 0) {
        char text[32];
        snprintf(text, sizeof(text), "suppressed=%u", c->suppressed);
        n = add(msg, sizeof(msg), n, text);
        c->suppressed = 0;
    }
    send_message(c, msg, n, -1);
}

void control_reserve(struct control *c)
{
    if (c->spare < 0)
        c->spare = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* Nothing is asked of us after the start: only the end of the connection is news. */
void control_ready(struct control *c)
{
    char buf[WIRE_MAX];
    ssize_t n = sock_recv(c->fd, buf, sizeof(buf), NULL);
    if (n == 0 || (n < 0 && n != -EAGAIN && n != -EMSGSIZE)) {
        fd_close(&c->fd);
        control_reserve(c);
    }
}

void control_accept(struct control *c)
{
    uid_t uid;
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && errno == EMFILE) {
        fd_close(&c->spare);
        fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    if (fd >= 0 && (sock_peer_uid(fd, &uid) < 0 || uid != geteuid()))
        fd_close(&fd);
    if (fd >= 0)
        fd_close(&c->fd);
    control_reserve(c);
    if (fd < 0)
        return;
    c->fd = fd;
    say(c, WIRE_OK, 0, "", c->device);
}
