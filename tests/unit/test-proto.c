/* proto: packets between commands and supervisors. */
#include "unit.h"

#include <sys/socket.h>

#include "container/proto.h"
#include "sys/sock.h"

static struct proto_msg msg;

static void pair(int fd[2])
{
    struct err e = ERR_INIT;
    assert_int_equal(sock_pair(fd, &e), 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    int fd[2];
    pair(fd);
    static char data[PROTO_MAX_DATA];
    memset(data, 'x', sizeof(data));
    assert_int_equal(proto_send(fd[0], PROTO_STDOUT, 1, -2, data, sizeof(data)), 0);
    assert_int_equal(proto_send(fd[0], PROTO_STDIN, 0, 0, NULL, 0), 0);
    assert_int_equal(proto_recv(fd[1], &msg), 1);
    assert_int_equal(msg.head.type, PROTO_STDOUT);
    assert_int_equal(msg.head.a, 1);
    assert_int_equal(msg.head.b, -2);
    assert_int_equal(msg.head.len, PROTO_MAX_DATA);
    assert_memory_equal(msg.data, data, sizeof(data));
    assert_int_equal(proto_recv(fd[1], &msg), 1);
    assert_int_equal(msg.head.len, 0);
    assert_int_equal(proto_send(fd[0], PROTO_STDOUT, 0, 0, data, PROTO_MAX_DATA + 1), -EMSGSIZE);
    close(fd[0]);
    assert_int_equal(proto_recv(fd[1], &msg), 0);
    assert_int_equal(proto_send(fd[1], PROTO_OK, 0, 0, NULL, 0), -EPIPE); /* and no SIGPIPE */
    close(fd[1]);
}

/* The other side may be anything: lengths that lie, packets cut short or too long. */
static void test_hostile(void **state)
{
    (void)state;
    int fd[2];
    pair(fd);
    static char big[sizeof(struct proto_msg) + 1];
    struct proto_head lie = {.type = PROTO_STDIN, .len = 100};
    assert_int_equal(send(fd[0], "abc", 3, 0), 3);
    assert_int_equal(proto_recv(fd[1], &msg), -EPROTO);
    assert_int_equal(send(fd[0], &lie, sizeof(lie), 0), sizeof(lie));
    assert_int_equal(proto_recv(fd[1], &msg), -EPROTO);
    lie.len = UINT32_MAX;
    assert_int_equal(send(fd[0], &lie, sizeof(lie), 0), sizeof(lie));
    assert_int_equal(proto_recv(fd[1], &msg), -EPROTO);
    assert_int_equal(send(fd[0], big, sizeof(big), 0), sizeof(big));
    assert_int_equal(proto_recv(fd[1], &msg), -EPROTO);
    assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(proto_recv(fd[1], &msg), -EAGAIN);
    close(fd[0]);
    close(fd[1]);
}

static void test_err(void **state)
{
    (void)state;
    int fd[2];
    pair(fd);
    struct err e = ERR_INIT, back = ERR_INIT;
    err_exit(&e, err_msg(&e, ENOENT, "no such thing"), 127);
    assert_int_equal(proto_send_err(fd[0], PROTO_ERROR, &e), 0);
    assert_int_equal(proto_recv(fd[1], &msg), 1);
    assert_int_equal(proto_err(&msg, &back), -ENOENT);
    assert_int_equal(back.exit_status, 127);
    assert_string_equal(back.msg, "no such thing");
    /* Without terminators, and without an error in it. */
    memset(&e, 'x', sizeof(e));
    e.errnum = -5;
    assert_int_equal(proto_send_err(fd[0], PROTO_ERROR, &e), 0);
    assert_int_equal(proto_recv(fd[1], &msg), 1);
    assert_int_equal(proto_err(&msg, &back), -EIO);
    assert_int_equal(strlen(back.msg), sizeof(back.msg) - 1);
    msg.head.len = 3;
    assert_int_equal(proto_err(&msg, &back), -EPROTO);
    close(fd[0]);
    close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_err),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
