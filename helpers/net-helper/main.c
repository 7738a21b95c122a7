/* main - how the helper gets rid of what its caller gave it, in order, and what it then does. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/nsfs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "helpers/net-helper/net-helper.h"
#include "sys/sandbox.h"

#define PROGRAM "rootlet-net-helper"
#define POLICY_PATH SYSCONFDIR "/rootlet/net.conf"
/* A busy machine may have to load a dozen modules first. */
enum { SECONDS = 30 };

/* From here on one capability, and all ids are the caller's. As a set-user-ID program we come with
 * all of root's. Should: nothing before this looks at arguments or environment. */
static int drop_privileges(struct err *e)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    uid_t uid = getuid();
    gid_t gid = getgid();
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresgid(gid, gid, gid) < 0 ||
        setresuid(uid, uid, uid) < 0)
        return err_set(e, errno, "give up the ids");
    if (syscall(SYS_capget, &head, data) < 0)
        return err_set(e, errno, "read the capabilities");
    if (!(data[0].permitted >> CAP_NET_ADMIN & 1))
        return err_msg(e, EPERM,
                       "it lacks its capability: as root, setcap cap_net_admin+ep on this program");
    memset(data, 0, sizeof(data));
    data[0].permitted = data[0].effective = 1u << CAP_NET_ADMIN;
    if (syscall(SYS_capset, &head, data) < 0)
        return err_set(e, errno, "drop the capabilities");
    return 0;
}

/* Closed standard descriptors would be taken by what we open. */
static int fill_standard(struct err *e)
{
    for (;;) {
        int fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            return err_set(e, errno, "/dev/null");
        if (fd > 2)
            return close(fd);
    }
}

/* All but the standard ones and those of the request, which have to be open already. */
static int close_others(const struct request *q, struct err *e)
{
    unsigned from = 3;
    for (;;) {
        int next = -1;
        for (size_t i = 0; i <= q->n_ports; i++) {
            int fd = i < q->n_ports ? q->ports[i].fd : q->netns;
            if (fd >= (int)from && (next < 0 || fd < next))
                next = fd;
        }
        if (next < 0)
            break;
        if (fcntl(next, F_SETFD, FD_CLOEXEC) < 0)
            return err_msg(e, EBADF, "descriptor %d is not open", next);
        if ((unsigned)next > from)
            syscall(SYS_close_range, from, (unsigned)next - 1, 0);
        from = (unsigned)next + 1;
    }
    syscall(SYS_close_range, from, ~0u, 0);
    return 0;
}

/* Limits, signals, timers and whatever else goes through execve. */
static void reset_process(void)
{
    const struct rlimit none = {0, 0}, files = {64, 64}, answer = {65536, 65536};
    struct rlimit memory = {32 << 20, 32 << 20}, old;
    sigset_t all;
    for (int i = 1; i < NSIG; i++)
        signal(i, i == SIGPIPE || i == SIGXFSZ ? SIG_IGN : SIG_DFL);
    sigfillset(&all);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    alarm(SECONDS);
    clearenv();
    umask(077);
    if (chdir("/") < 0)
        _exit(1);
    if (getrlimit(RLIMIT_AS, &old) == 0 && old.rlim_max < memory.rlim_max)
        memory.rlim_cur = memory.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_FSIZE, &old) == 0 && old.rlim_max > answer.rlim_max)
        setrlimit(RLIMIT_FSIZE, &answer);
    if (getrlimit(RLIMIT_NOFILE, &old) == 0 && old.rlim_max > files.rlim_max)
        setrlimit(RLIMIT_NOFILE, &files); /* descriptors that are open stay so */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* A line for the administrator: numbers and names of ours only. */
static int open_log(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void write_log(int fd, const struct helper *h, const struct bridge_answer *a)
{
    static const char *const words[] = {"added", "removed", "published for"};
    char line[160], addr[NET_ADDR_TEXT];
    if (fd < 0 || h->request->verb > VERB_PUBLISH)
        return;
    snprintf(line, sizeof(line), "<86>" PROGRAM ": %s %s %s, uid %u, %zu ports",
             words[h->request->verb], a->slot, net_addr_format(&a->address.addr, addr), h->uid,
             h->request->n_ports);
    sendto(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
}

static int confine(struct err *e)
{
    static const int calls[] = {
        SYS_sendto,  SYS_recvfrom, SYS_getsockopt,    SYS_getsockname,  SYS_read,
        SYS_write,   SYS_openat,   SYS_close,         SYS_fstat,        SYS_newfstatat,
        SYS_fstatfs, SYS_getpid,   SYS_clock_gettime, SYS_rt_sigreturn, SYS_exit_group,
    };
    static const struct sandbox_check checks[] = {
        {SYS_ioctl, 1, UINT32_MAX, (uint32_t)NS_GET_USERNS},
        {SYS_ioctl, 1, UINT32_MAX, (uint32_t)NS_GET_PARENT},
        {SYS_ioctl, 1, UINT32_MAX, (uint32_t)NS_GET_NSTYPE},
        {SYS_ioctl, 1, UINT32_MAX, (uint32_t)NS_GET_OWNER_UID},
        {SYS_setsockopt, 2, UINT32_MAX, SO_MARK},
    };
    const struct sandbox s = {
        .what = PROGRAM,
        .calls = calls,
        .n_calls = sizeof(calls) / sizeof(calls[0]),
        .checks = checks,
        .n_checks = sizeof(checks) / sizeof(checks[0]),
        .capabilities = 1u << CAP_NET_ADMIN,
        .any_path = true, /* /proc/sys/net; all else is as readable as to the caller himself */
    };
    return sandbox_enter(&s, e);
}

static void answer_slot(const struct slot *s, struct bridge_answer *a)
{
    const struct bridge *b = s->bridge;
    memcpy(a->slot, s->name, sizeof(a->slot));
    memcpy(a->bridge, b->name, sizeof(a->bridge));
    memcpy(a->mac, s->mac, sizeof(a->mac));
    a->address = (struct net_cidr){s->addr, b->net4.bits};
    net_addr_add(&b->net4.addr, 1, &a->gateway);
    if (!s->addr6.family)
        return;
    a->address6 = (struct net_cidr){s->addr6, b->net6.bits};
    net_addr_add(&b->net6.addr, 1, &a->gateway6);
}

static int publish(struct helper *h, const struct slot *s, struct bridge_answer *a, struct err *e)
{
    int r = rules_publish(h, s, a->by_kernel);
    answer_slot(s, a);
    return r < 0 ? err_set(e, -r, "publish the ports") : 0;
}

static int do_add(struct helper *h, struct bridge_answer *a, struct err *e)
{
    struct slot s;
    int r = identity_netns(h->request->netns, h->uid, e);
    if (r == 0)
        r = slot_add(h, &s, e);
    if (r != 0)
        return r;
    r = publish(h, &s, a, e);
    if (r < 0) {
        struct err ignored = ERR_INIT;
        slot_del(h, s.name, &ignored);
        return r;
    }
    forward_look(h, s.bridge, a);
    return 0;
}

static int do_publish(struct helper *h, struct bridge_answer *a, struct err *e)
{
    struct slot s;
    int r = slot_find(h, h->request->slot, &s, e);
    return r < 0 ? r : publish(h, &s, a, e);
}

static int do_info(const struct helper *h, struct bridge_answer *a)
{
    for (size_t i = 0; i < h->policy->n_grants && a->n_grants < BRIDGE_GRANTS; i++) {
        const struct grant *g = &h->policy->grants[i];
        const struct bridge *b = &h->policy->bridges[g->bridge];
        struct bridge_grant *to = &a->grants[a->n_grants];
        if (!g->ours)
            continue;
        *to = (struct bridge_grant){
            .net4 = b->net4, .net6 = b->net6, .block = g->block, .slots = g->slots};
        memcpy(to->name, b->name, sizeof(to->name));
        a->n_grants++;
    }
    return 0;
}

static int act(struct helper *h, struct bridge_answer *a, struct err *e)
{
    int r = 0;
    switch (h->request->verb) {
    case VERB_ADD:
        return do_add(h, a, e);
    case VERB_DEL:
        memcpy(a->slot, h->request->slot, sizeof(a->slot));
        return slot_del(h, a->slot, e);
    case VERB_PUBLISH:
        return do_publish(h, a, e);
    case VERB_INFO:
        return do_info(h, a);
    case VERB_GC:
        break;
    }
    r = slots_collect(h);
    return r < 0 ? err_set(e, -r, "collect what is left") : 0;
}

static int send_answer(const struct bridge_answer *a)
{
    for (size_t at = 0; at < sizeof(*a);) {
        ssize_t n = write(STDOUT_FILENO, (const char *)a + at, sizeof(*a) - at);
        /* Closed by the caller: the C library put a descriptor there that nobody can write to. */
        if (n < 0)
            return errno == EBADF ? 0 : -errno;
        at += (size_t)n;
    }
    return 0;
}

static int run(int argc, char *const *argv, struct err *e)
{
    static struct policy policy;
    static struct request q;
    static struct bridge_answer a = {.version = BRIDGE_ANSWER_VERSION};
    struct helper h = {.policy = &policy, .request = &q};

    int r = drop_privileges(e);
    if (r == 0)
        r = fill_standard(e);
    if (r == 0)
        r = request_parse(argc, argv, &q, e);
    if (r == 0)
        r = close_others(&q, e);
    if (r < 0)
        return r;
    reset_process();
    h.uid = getuid();
    r = policy_read(POLICY_PATH, &policy, e);
    if (r == 0)
        r = identity_match(&policy, e);
    if (r == 0)
        r = h.rt = nl_open(NETLINK_ROUTE, e);
    if (r >= 0)
        r = h.nf = nl_open(NETLINK_NETFILTER, e);
    int log = open_log();
    if (r >= 0)
        r = confine(e);
    for (size_t i = 0; r >= 0 && i < q.n_ports; i++)
        r = identity_socket(&q.ports[i], h.rt, e);
    if (r >= 0)
        r = act(&h, &a, e);
    if (r < 0)
        return r;
    write_log(log, &h, &a);
    r = send_answer(&a);
    return r < 0 ? err_set(e, -r, "write the answer") : 0;
}

int main(int argc, char **argv)
{
    static struct err e;
    if (run(argc, argv, &e) == 0)
        return EXIT_SUCCESS;
    char line[sizeof(e.msg) + 64];
    int n = snprintf(line, sizeof(line), PROGRAM ": %s\n", e.msg);
    ssize_t written = n > 0 ? write(STDERR_FILENO, line, (size_t)n) : 0;
    if (written < 0)
        return 2;
    /* By openat, which is left to us at any time. */
    return open(POLICY_PATH, O_PATH | O_CLOEXEC) < 0 && errno == ENOENT ? BRIDGE_NOT_SET_UP
                                                                        : EXIT_FAILURE;
}
