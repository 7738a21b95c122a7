/* rootlet-ports - forwards the published ports of one container. Started by its supervisor with a
 * connection as descriptor 3 (net/wire.h); lives as long as the container's init. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/scoped.h"
#include "base/str.h"
#include "helpers/ports/ports.h"
#include "sys/sandbox.h"
#include "sys/sock.h"

enum { CONTROL_FD = 3, FILES_MAX = 1 << 20 };

static const int calls[] = {
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
    SYS_splice,     SYS_epoll_pwait, SYS_epoll_ctl,    SYS_accept4,         SYS_connect,
    SYS_bind,       SYS_setsockopt,  SYS_close,        SYS_shutdown,        SYS_recvmmsg,
    SYS_sendmmsg,   SYS_recvfrom,    SYS_sendto,       SYS_recvmsg,         SYS_sendmsg,
    SYS_pipe2,      SYS_getsockopt,  SYS_getsockname,  SYS_clock_gettime,   SYS_brk,
    SYS_mmap,       SYS_munmap,      SYS_mremap,       SYS_madvise,         SYS_getuid,
    SYS_exit_group, SYS_exit,        SYS_rt_sigreturn, SYS_restart_syscall, SYS_write,
    SYS_getpid,     SYS_gettid,      SYS_futex,        SYS_getrandom,
};

#define ANY 0xffffffffU
static const struct sandbox_check checks[] = {
    {SYS_socket, 0, ANY, AF_INET},     {SYS_socket, 0, ANY, AF_INET6},
    {SYS_fcntl, 1, ANY, F_GETFL},      {SYS_fcntl, 1, ANY, F_SETFL},
    {SYS_fcntl, 1, ANY, F_GETPIPE_SZ}, {SYS_fcntl, 1, ANY, F_SETPIPE_SZ},
};

static void set_accepting(uint32_t events)
{
    for (struct list *l = all_ports.next; l != &all_ports; l = l->next) {
        struct port *p = container_of(l, struct port, list);
        if (p->watch.ready == tcp_accept)
            loop_change(&p->watch, events);
    }
}

void accept_pause(void)
{
    if (!stats.paused)
        set_accepting(0);
    stats.paused = 1;
}

void accept_resume(void)
{
    stats.paused = 0;
    set_accepting(EPOLLIN);
}

static void init_ended(struct watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    _exit(0);
}

/* Descriptors are what connections are made of. */
static unsigned raise_files(void)
{
    struct rlimit l = {.rlim_cur = 1024};
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        struct rlimit wanted = {.rlim_cur = l.rlim_max < FILES_MAX ? l.rlim_max : FILES_MAX,
                                .rlim_max = l.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
            l = wanted;
    }
    return l.rlim_cur < FILES_MAX ? (unsigned)l.rlim_cur : FILES_MAX;
}

static int lock_up(struct err *e)
{
    struct sandbox s = {
        .what = "rootlet-ports",
        .calls = calls,
        .n_calls = N_ELEMENTS(calls),
        .checks = checks,
        .n_checks = N_ELEMENTS(checks),
        .capabilities = 1ULL << CAP_NET_ADMIN,
        .tcp = true,
    };
    return sandbox_enter(&s, e);
}

static int start(struct err *e)
{
    static struct watch init = {.ready = init_ended};
    int fds[SOCK_MAX_FDS] = {-1, -1, -1, -1};
    unsigned files = raise_files();
    int r = loop_start(e);
    if (r == 0)
        r = control_begin(CONTROL_FD, fds, e);
    if (r < 0)
        return r;
    pipe_limits(files);
    tcp_limits(files);
    udp_limits(files);
    init.fd = fds[0];
    r = loop_watch(&init, EPOLLIN);
    if (r == 0)
        r = control_listen(fds[3]);
    if (r == 0)
        r = control_add(CONTROL_FD);
    return r < 0 ? err_set(e, -r, "watch") : lock_up(e);
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    /* For tests: rootlet-ports SECONDS SECONDS, after which flows of UDP end. */
    bool known = argc == 1 || (argc == 3 && parse_u32(argv[1], &udp_idle.stream) == 0 &&
                               parse_u32(argv[2], &udp_idle.one_shot) == 0);
    if (!known || fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) < 0) {
        fprintf(stderr, "rootlet-ports is started by rootlet-supervise\n");
        return 2;
    }
    /* Nobody in the container's user namespace may trace us once we are in it. The signals that
     * end a session or a unit: the container says when it ends, and its ports with it. */
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    int r = start(&e);
    if (control_answer(CONTROL_FD, &e) < 0 || r < 0) {
        if (r < 0)
            fprintf(stderr, "rootlet-ports: %s\n", e.msg);
        return 1;
    }
    loop_run();
}
