/* proto - packets between a command and a supervisor. */
#include "container/proto.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/str.h"

int proto_send(int fd, enum proto_type type, int32_t a, int32_t b, const void *data, uint32_t len)
{
    struct proto_head head = {.type = (uint32_t)type, .a = a, .b = b, .len = len};
    if (len > PROTO_MAX_DATA)
        return -EMSGSIZE;
    struct iovec iov[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)data, len}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = len ? 2 : 1};
    for (;;) {
        if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

int proto_send_err(int fd, enum proto_type type, const struct err *e)
{
    return proto_send(fd, type, 0, 0, e, sizeof(*e));
}

int proto_recv(int fd, struct proto_msg *ret)
{
    ssize_t n;
    bool reset = false;
    /* What we sent and the other side had not read when it closed makes one look an error; what it
     * sent before is still in the queue. */
    do
        n = recv(fd, ret, sizeof(*ret), MSG_TRUNC);
    while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !reset && (reset = true))));
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    if (n == 0)
        return 0;
    if ((size_t)n < sizeof(ret->head) || (size_t)n > sizeof(*ret) ||
        ret->head.len != (size_t)n - sizeof(ret->head))
        return -EPROTO;
    return 1;
}

int proto_err(const struct proto_msg *m, struct err *e)
{
    struct err in = ERR_INIT;
    if (m->head.len != sizeof(in))
        return err_msg(e, EPROTO, "the supervisor sent an error that cannot be read");
    memcpy(&in, m->data, sizeof(in));
    in.msg[sizeof(in.msg) - 1] = in.hint[sizeof(in.hint) - 1] = '\0';
    if (in.errnum <= 0)
        in.errnum = EIO;
    if (e)
        *e = in;
    return -in.errnum;
}
