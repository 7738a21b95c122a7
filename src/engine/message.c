/* Messages between the engine and the processes it starts. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/scoped.h"
#include "engine/engine-priv.h"

int msg_send(int sock, enum msg_type type, int32_t value, const int *fds, size_t n_fds)
{
    struct msg m = {.type = type, .value = value};
    return sock_send(sock, &m, offsetof(struct msg, err), fds, n_fds);
}

void msg_send_err(int sock, const struct err *e)
{
    struct msg m = {.type = MSG_ERROR, .err = *e};
    /* Nothing can be done about a failure here: the peer sees the end of the socket. */
    (void)sock_send(sock, &m, sizeof(m), NULL, 0);
}

int msg_recv(int sock, struct msg *ret, int *fds)
{
    int own[SOCK_MAX_FDS];
    memset(ret, 0, sizeof(*ret));
    ssize_t n = sock_recv(sock, ret, sizeof(*ret), fds ? fds : own);
    if (n > 0 && !fds) {
        for (size_t i = 0; i < SOCK_MAX_FDS; i++)
            fd_close(&own[i]);
    }
    if (n <= 0)
        return n == -ECONNRESET ? 0 : (int)n;
    if ((size_t)n < offsetof(struct msg, err))
        return -EPROTO;
    /* The peer has been inside the container: its texts are terminated here, not trusted. */
    ret->err.msg[sizeof(ret->err.msg) - 1] = '\0';
    ret->err.hint[sizeof(ret->err.hint) - 1] = '\0';
    return 1;
}

int msg_expect(int sock, enum msg_type type, struct msg *ret, int *fds, struct err *e)
{
    int r = msg_recv(sock, ret, fds);
    if (r == 0)
        return err_msg(e, ECONNRESET, "the container's first process ended early");
    if (r < 0)
        return err_set(e, -r, "receive from the container's first process");
    if (ret->type == type)
        return 0;
    for (size_t i = 0; fds && i < SOCK_MAX_FDS; i++)
        fd_close(&fds[i]);
    if (ret->type != MSG_ERROR)
        return err_msg(e, EPROTO, "message %u from the container's first process, want %d",
                       ret->type, (int)type);
    if (e)
        *e = ret->err;
    return ret->err.errnum > 0 ? -ret->err.errnum : -EIO;
}
