/* The process that answers for names: forked, sandboxed, started again when it ends. */
#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/scoped.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "helpers/network/dns.h"
#include "helpers/network/network.h"
#include "sys/clone.h"
#include "sys/sandbox.h"
#include "sys/sock.h"

#define FILES_MAX 1024
#define ID_SHORT 12
#define SEND_S 2               /* for it to take what it is told */
#define QUICK_MAX 10           /* restarts in a row */
#define QUICK_NS 10000000000LL /* that came so soon after the start before */

/* What the code of the name server, the loop and malloc ask of the kernel. */
static const int calls[] = {
    SYS_epoll_pwait,
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
    SYS_recvfrom,    SYS_sendto,        SYS_recvmsg,      SYS_sendmsg,         SYS_epoll_ctl,
    SYS_close,       SYS_connect,       SYS_accept4,      SYS_clock_gettime,   SYS_getrandom,
    SYS_read,        SYS_write,         SYS_openat,       SYS_newfstatat,      SYS_fstat,
    SYS_mmap,        SYS_munmap,        SYS_mremap,       SYS_madvise,         SYS_brk,
    SYS_ioctl,       SYS_exit_group,    SYS_rt_sigreturn, SYS_restart_syscall,
#ifdef SYS_stat
    SYS_stat,
#endif
    SYS_statx,       SYS_epoll_create1, SYS_lseek,
};
static const struct sandbox_check checks[] = {
    {SYS_socket, 0, 0xffffffff, AF_INET},
    {SYS_socket, 0, 0xffffffff, AF_INET6},
};
static const char *const read_paths[] = {"/etc", NULL};

/* Nothing else of the manager's stays: its lock, its namespaces, what else it may open. */
static void keep_only(const int *keep, size_t n)
{
    for (unsigned from = 3;;) {
        unsigned next = ~0U;
        for (size_t i = 0; i < n; i++)
            if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        if (next > from)
            close_range(from, next - 1, 0);
        if (next == ~0U)
            return;
        from = next + 1;
    }
}

/* With rules for what may leave, names are asked for through the uplink, which learns from the
 * answers what addresses the allowed names have. */
static int enter(const struct network *n, struct dns_setup *set)
{
    memset(set->servers, 0, sizeof(set->servers));
    uplink_name_server(n, &set->servers[0]);
    return setns(n->userns_fd, CLONE_NEWUSER) < 0 || setns(n->netns_fd, CLONE_NEWNET) < 0 ? -1 : 0;
}

static void serve(struct network *n, int control) __attribute__((noreturn));
static void serve(struct network *n, int control)
{
    struct dns_setup set = {
        .control = control,
        .udp = {n->dns_fd[0], n->dns_fd[2]},
        .tcp = {n->dns_fd[1], n->dns_fd[3]},
        .net = {n->range[0].net, n->range[1].net},
        .internal = n->cfg.internal,
    };
    memcpy(set.servers, n->cfg.dns, sizeof(set.servers));
    for (size_t i = 0; i + 1 < sizeof(set.name) && n->cfg.name[i]; i++)
        set.name[i] = (char)tolower((unsigned char)n->cfg.name[i]);
    if (n->cfg.egress[0] && enter(n, &set) < 0)
        _exit(1);
    const struct sandbox box = {
        .what = "rootlet-network",
        .calls = calls,
        .n_calls = N_ELEMENTS(calls),
        .checks = checks,
        .n_checks = N_ELEMENTS(checks),
        .read_paths = read_paths,
        .resolver = true,
        .tcp = true,
        .max_files = FILES_MAX,
    };
    struct err e = ERR_INIT;
    const int keep[] = {control, n->dns_fd[0], n->dns_fd[1], n->dns_fd[2], n->dns_fd[3]};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    keep_only(keep, N_ELEMENTS(keep));
    if (sandbox_enter(&box, &e) < 0)
        _exit(1);
    _exit(dns_serve(&set));
}

static int restart(struct network *n);

static void on_end(void *data, uint32_t events)
{
    struct network *n = data;
    (void)events;
    child_end(n, &n->dns);
    bool again = ++n->dns.quick < QUICK_MAX && restart(n) == 0;
    serve_event(n, again ? "network_restart" : "network_failed", "names");
}

static int restart(struct network *n)
{
    struct err e = ERR_INIT;
    int r = dnsproc_start(n, &e);
    for (size_t i = 0; r == 0 && i < n->n_members; i++) {
        dnsproc_member(n, n->members[i], false);
        for (size_t k = 0; k < PEERS_MAX; k++)
            if (n->members[i]->peers[k].fd >= 0)
                dnsproc_peer(n, n->members[i], &n->members[i]->peers[k]);
    }
    return r;
}

int dnsproc_start(struct network *n, struct err *e)
{
    if (n->cfg.no_dns)
        return 0;
    struct timeval patience = {.tv_sec = SEND_S};
    int pair[2];
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int ours = pair[0], theirs = pair[1];
    struct child *c = &n->dns;
    c->pid = fork_pidfd(&c->pidfd);
    if (c->pid < 0)
        return sys_clone_failed(errno, "fork", e);
    if (c->pid == 0)
        serve(n, theirs);
    setsockopt(ours, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    int64_t now = time_monotonic_ns();
    if (now - c->since_ns > QUICK_NS)
        c->quick = 0;
    c->since_ns = now;
    c->ctl = take_fd(&ours);
    return loop_fd(n->loop, c->pidfd, EPOLLIN, on_end, n, e);
}

static void tell(struct network *n, const struct dns_member *msg, int fd)
{
    /* A full socket: the name server does not get on, and is begun anew with all names. */
    if (sock_send(n->dns.ctl, msg, sizeof(*msg), &fd, fd >= 0) < 0 && n->dns.pidfd >= 0)
        pidfd_signal(n->dns.pidfd, SIGKILL);
}

void dnsproc_peer(struct network *n, const struct member *m, const struct peer *p)
{
    static struct dns_member msg;
    if (n->dns.ctl < 0)
        return;
    memset(&msg, 0, sizeof(msg));
    memcpy(msg.id, m->id, sizeof(msg.id));
    memcpy(msg.peer, p->network, sizeof(msg.peer));
    memcpy(msg.addr, m->addr, sizeof(msg.addr));
    tell(n, &msg, p->fd);
}

void dnsproc_member(struct network *n, const struct member *m, bool gone)
{
    static struct dns_member msg;
    if (n->dns.ctl < 0)
        return;
    memset(&msg, 0, sizeof(msg));
    memcpy(msg.id, m->id, sizeof(msg.id));
    memcpy(msg.addr, m->addr, sizeof(msg.addr));
    memcpy(msg.names, m->names, sizeof(m->names));
    memcpy(msg.names[WIRE_NAMES_MAX], m->id, ID_SHORT);
    memcpy(msg.servers, m->dns, sizeof(msg.servers));
    msg.asks_itself = m->asks_itself;
    msg.gone = gone;
    tell(n, &msg, -1);
}

/* With rules for what may leave the uplink is asked, whatever they are (enter). */
void dnsproc_servers(struct network *n)
{
    static struct dns_member msg;
    if (n->dns.ctl < 0 || n->cfg.egress[0])
        return;
    memset(&msg, 0, sizeof(msg));
    memcpy(msg.servers, n->cfg.dns, sizeof(msg.servers));
    tell(n, &msg, -1);
}

void child_end(struct network *n, struct child *c)
{
    if (c->pidfd >= 0) {
        pidfd_signal(c->pidfd, SIGKILL);
        pidfd_wait(c->pidfd, NULL);
        loop_forget(n->loop, c->pidfd);
    }
    loop_forget(n->loop, c->ctl);
    fd_close(&c->pidfd);
    fd_close(&c->ctl);
}
