/* rootlet-slirp - user-mode network address translation by libslirp, behind a gate.
 *
 * Started with a SEQPACKET socket as descriptor 3; what to do comes over it (net/wire.h). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helpers/slirp/slirp.h"

#include "base/scoped.h"
#include "base/str.h"
#include "sys/sandbox.h"
#include "sys/sock.h"

enum {
    CONTROL_FD = 3,
    FRAMES_MAX = 64, /* of the device, before the sockets have their turn */
    FDS_OWN = 4,
};

/* What libslirp, malloc, stdio (resolv.conf) and this file use. tests/net compares the list with
 * what is called. */
static const int calls[] = {
#define CALL(name) SYS_##name,
#include "helpers/slirp/calls.h"
#undef CALL
};

static const struct sandbox_check checks[] = {
    {SYS_socket, 0, ~0U, AF_INET},
    {SYS_socket, 0, ~0U, AF_INET6},
    {SYS_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SYS_mmap, 2, PROT_EXEC, 0},
    {SYS_mprotect, 2, PROT_EXEC, 0},
    {SYS_ioctl, 1, ~0U, FIONREAD},
    {SYS_ioctl, 1, ~0U, FIONBIO},
    {SYS_ioctl, 1, ~0U, SIOCGIFINDEX},
    {SYS_fcntl, 1, ~0U, F_GETFL},
    {SYS_fcntl, 1, ~0U, F_SETFL},
    {SYS_fcntl, 1, ~0U, F_GETFD},
    {SYS_fcntl, 1, ~0U, F_SETFD},
};

/* In place of libc's, which opens a unix socket for it: libslirp asks for the interface of
 * "nameserver fe80::1%eth0", and unix sockets lead to all that the user runs. */
unsigned if_nametoindex(const char *name)
{
    struct ifreq req = {.ifr_ifindex = 0};
    scoped_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(name) >= sizeof(req.ifr_name))
        return 0;
    memcpy(req.ifr_name, name, strlen(name) + 1);
    return ioctl(fd, SIOCGIFINDEX, &req) < 0 ? 0 : (unsigned)req.ifr_ifindex;
}

static int confine(struct err *e)
{
    /* urandom: glib seeds its numbers. */
    const char *const readable[] = {"/etc", "/dev/urandom", NULL};
    const struct sandbox s = {
        .what = "rootlet-slirp",
        .calls = calls,
        .n_calls = N_ELEMENTS(calls),
        .checks = checks,
        .n_checks = N_ELEMENTS(checks),
        .read_paths = readable,
        .resolver = true,
        .tcp = true,
        .max_files = FLOW_FILES,
        .max_memory = MEMORY_MAX,
    };
    return sandbox_enter(&s, e);
}

struct server {
    struct options options;
    struct device device;
    struct gate gate;
    struct control control;
    struct stack stack;
    int pidfd;
    uint8_t frame[FRAME_MAX];
};

static void set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int start(struct server *s, struct err *e)
{
    uint8_t msg[WIRE_MAX];
    int fds[SOCK_MAX_FDS];

    ssize_t n = sock_recv(CONTROL_FD, msg, sizeof(msg), fds);
    if (n == 0)
        exit(0); /* it was not needed after all */
    if (n < 0)
        return err_set(e, (int)-n, "receive the start message");
    if (fds[0] < 0 || fds[1] < 0)
        return err_msg(e, EINVAL, "the start message has no device or no process");
    s->device.fd = s->control.device = fds[0];
    s->pidfd = fds[1];
    s->control.listener = fds[2];
    int r = options_read(msg, (size_t)n, &s->options, &s->gate.policy, e);
    if (r < 0)
        return r;
    s->device.packet = s->options.flags & WIRE_SLIRP_PACKET;
    set_nonblocking(s->device.fd);
    set_nonblocking(CONTROL_FD);
    if (s->control.listener >= 0)
        set_nonblocking(s->control.listener);
    r = confine(e);
    return r < 0 ? r : stack_start(&s->stack, e);
}

/* Frames until there are no more: an answer often brings the next one at once. */
static void serve_device(struct server *s)
{
    stack_wake(&s->stack);
    for (int i = 0; i < FRAMES_MAX; i++) {
        ssize_t n = device_read(&s->device, s->frame, sizeof(s->frame));
        if (n == -EAGAIN)
            return;
        if (n < 0) {
            /* A device that is down (-EIO) comes up again; one that is gone is never ready. */
            s->device.broken = n == -EBADFD || n == -EBADF;
            return;
        }
        stack_input(&s->stack, s->frame, (size_t)n);
    }
}

static void own_fds(struct server *s, struct pollfd *fds)
{
    fds[0] = (struct pollfd){s->device.broken ? -1 : s->device.fd, POLLIN, 0};
    fds[1] = (struct pollfd){s->pidfd, POLLIN, 0};
    fds[2] = (struct pollfd){s->control.fd, POLLIN, 0};
    fds[3] = (struct pollfd){s->control.listener, POLLIN, 0};
}

static void serve(struct server *s)
{
    for (;;) {
        int wait = stack_prepare(&s->stack);
        struct pollfd *fds = s->stack.fds;
        own_fds(s, fds);
        int n = poll(fds, s->stack.n_fds, wait);
        if (n < 0 && errno != EINTR)
            return;
        bool failed = n < 0;
        short device = fds[0].revents, control = fds[2].revents, listener = fds[3].revents;
        if (!failed && fds[1].revents)
            return; /* the container is no more */
        if (!failed && device)
            serve_device(s);
        stack_serve(&s->stack, failed);
        if (failed)
            continue;
        if (control)
            control_ready(&s->control);
        if (listener)
            control_accept(&s->control);
        stack_rest(&s->stack);
    }
}

/* Everything from the heap: the two buffers of 128 KiB that each connection has would be mapped and
 * faulted in anew. What stands free at its end goes back soon, all of it when nothing is in use. */
static void tune_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    mallopt(M_ARENA_MAX, 1);
}

static void raise_files(void)
{
    struct rlimit v;
    if (getrlimit(RLIMIT_NOFILE, &v) < 0)
        return;
    v.rlim_cur = v.rlim_max;
    setrlimit(RLIMIT_NOFILE, &v);
}

int main(int argc, char **argv)
{
    static struct server s = {
        .pidfd = -1,
        .control = {.fd = CONTROL_FD, .listener = -1, .device = -1, .spare = -1},
        .device = {.fd = -1},
    };
    struct err e = ERR_INIT;
    struct stat st;
    uint32_t hurry;

    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("rootlet-slirp " PACKAGE_VERSION);
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "--hurry") == 0 && parse_u32(argv[2], &hurry) == 0 && hurry > 0)
        stack_hurry = hurry;
    if (fstat(CONTROL_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        fprintf(stderr, "rootlet-slirp: it is started by rootlet, with a socket\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    tune_memory();
    raise_files();
    s.gate.o = s.stack.o = &s.options;
    s.gate.ctl = &s.control;
    sockets_watch(&s.gate);
    s.stack.gate = &s.gate;
    s.stack.dev = &s.device;
    s.stack.first = FDS_OWN;
    if (start(&s, &e) < 0) {
        control_say(&s.control, WIRE_ERROR, e.errnum, e.msg);
        fprintf(stderr, "rootlet-slirp: %s\n", e.msg);
        return 1;
    }
    control_reserve(&s.control);
    control_say(&s.control, WIRE_OK, 0, "");
    serve(&s);
    return 0;
}
