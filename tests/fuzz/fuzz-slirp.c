/* fuzz-slirp - the container's side of rootlet-slirp: frames through the gate into libslirp.
 *
 * Input: pieces of two length bytes and a frame; the first byte says whether there is a policy. The
 * sockets that libslirp opens belong to a network namespace of the fuzzer's own: nothing leaves. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "helpers/slirp/slirp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct options options = {
    .flags = WIRE_SLIRP_IPV6,
    .mtu = 1500,
    .net4 = {{4, {10, 0, 2, 0}}, 24},
    .net6 = {{6, {0xfd}}, 64},
    .gateway4 = {4, {10, 0, 2, 2}},
    .dns4 = {4, {10, 0, 2, 3}},
};
static int sink;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct rlimit files = {4096, 4096};
    (void)argc, (void)argv;
    options.gateway6 = options.dns6 = options.net6.addr;
    options.gateway6.b[15] = 2;
    options.dns6.b[15] = 3;
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        _exit(1); /* frames of a fuzzer must not become packets of the host */
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    sink = open("/dev/null", O_RDWR | O_CLOEXEC);
    return 0;
}

static void feed(struct stack *s, const uint8_t *data, size_t size)
{
    uint8_t *copy;
    while (size > 2) {
        size_t n = (size_t)(data[0] << 8 | data[1]);
        data += 2;
        size -= 2;
        n = n < size ? n : size;
        copy = malloc(n + 1); /* so that a byte too far is seen */
        memcpy(copy, data, n);
        stack_input(s, copy, n);
        free(copy);
        data += n;
        size -= n;
        (void)stack_prepare(s);
        if (poll(s->fds, (nfds_t)s->n_fds, 0) >= 0)
            stack_serve(s, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control ctl = {.fd = -1, .listener = -1, .device = -1};
    struct gate gate = {.o = &options, .ctl = &ctl};
    struct device dev = {.fd = sink};
    struct stack s = {.o = &options, .dev = &dev, .gate = &gate, .first = 4};

    if (size < 1)
        return 0;
    if (data[0] & 1) {
        gate.policy = egress_new();
        egress_add(gate.policy, "allow=*.example.org,192.0.2.0/24,[2001:db8::/32]:53", NULL);
    }
    options.flags = WIRE_SLIRP_IPV6 | (data[0] & 2 ? WIRE_SLIRP_HOST_LOOPBACK : 0);
    if (stack_start(&s, NULL) < 0)
        abort();
    for (size_t i = 0; i < s.first; i++) {
        (void)stack_prepare(&s);
        s.fds[i] = (struct pollfd){.fd = -1};
    }
    feed(&s, data + 1, size - 1);
    stack_stop(&s);
    egress_free(gate.policy);
    return 0;
}
