/* run - what drivers share of one run: its interfaces, and a way into the container's namespaces.
 */
#include "network/run.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/scoped.h"
#include "base/str.h"
#include "base/strv.h"
#include "sys/netlink.h"
#include "sys/netns.h"

char *network_addr_text(const struct net_addr *a)
{
    char text[NET_ADDR_TEXT];
    return a->family ? xstrdup(net_addr_format(a, text)) : NULL;
}

char *network_cidr_text(const struct net_cidr *c)
{
    char text[NET_CIDR_TEXT];
    return c->addr.family ? xstrdup(net_cidr_format(c, text)) : NULL;
}

#define F_INTERFACE(member, type) #member, type, offsetof(struct network_interface, member)
const struct jfield network_interface_fields[] = {
    {F_INTERFACE(name, J_STRING)},
    {F_INTERFACE(network, J_STRING)},
    {F_INTERFACE(address, J_STRING)},
    {F_INTERFACE(gateway, J_STRING)},
    {F_INTERFACE(address6, J_STRING)},
    {F_INTERFACE(gateway6, J_STRING)},
    {F_INTERFACE(mac, J_STRING)},
    {"", J_EXTRA, offsetof(struct network_interface, extra)},
    {NULL},
};

#define F_PROC(member, type) #member, type, offsetof(struct network_proc, member)
static const struct jfield proc_fields[] = {
    {F_PROC(what, J_STRING), JF_REQUIRED},
    {F_PROC(pid, J_INT32)},
    {F_PROC(start, J_UINT64)},
    {"", J_EXTRA, offsetof(struct network_proc, extra)},
    {NULL},
};

#define LIST(name, member, count, table, type)                                                     \
    {                                                                                              \
        name, J_ARRAY, offsetof(struct network_state, member),                                     \
            .sub = table, .sub_size = sizeof(type),                                                \
            .count_offset = offsetof(struct network_state, count)                                  \
    }
const struct jfield network_state_fields[] = {
    LIST("interfaces", interfaces, n_interfaces, network_interface_fields,
         struct network_interface),
    {"dns", J_STRV, offsetof(struct network_state, dns)},
    LIST("processes", procs, n_procs, proc_fields, struct network_proc),
    {"", J_EXTRA, offsetof(struct network_state, extra)},
    {NULL},
};

void network_state_parse(const json_t *j, struct network_state *ret)
{
    *ret = (struct network_state){.n_procs = 0};
    if (json_is_object(j))
        (void)!jfield_parse(j, network_state_fields, "network", ret, NULL);
}

void network_state_release(struct network_state *s)
{
    jfield_release(network_state_fields, s);
}

void network_state_kill(const json_t *j)
{
    struct network_state st;
    network_state_parse(j, &st);
    for (size_t i = 0; i < st.n_procs; i++) {
        const struct network_proc *p = &st.procs[i];
        uint64_t start = 0;
        scoped_fd int pidfd = p->pid > 1 ? pidfd_open_pid(p->pid) : -1;
        if (pidfd >= 0 && proc_start_time(p->pid, &start) == 0 && start == p->start)
            (void)!pidfd_signal(pidfd, SIGKILL);
    }
    network_state_release(&st);
}

struct network_interface *network_run_add(struct network_run *run, const char *name,
                                          const char *network)
{
    run->interfaces = xrealloc(run->interfaces, (run->n_interfaces + 1) * sizeof(*run->interfaces));
    struct network_interface *i = &run->interfaces[run->n_interfaces++];
    *i = (struct network_interface){.name = xstrdup(name), .network = xstrdup(network)};
    return i;
}

void network_run_remove(struct network_run *run, const char *network)
{
    size_t kept = 0;
    for (size_t i = 0; i < run->n_interfaces; i++) {
        if (streq(run->interfaces[i].network, network))
            jfield_release(network_interface_fields, &run->interfaces[i]);
        else
            run->interfaces[kept++] = run->interfaces[i];
    }
    run->n_interfaces = kept;
}

int network_run_inside(const struct network_run *run,
                       int (*fn)(void *data, int ret_fds[], struct err *e), void *data,
                       int ret_fds[], struct err *e)
{
    return netns_run(run->userns_fd, run->netns_fd, fn, data, ret_fds, e);
}

void network_refuse_advertisements(void)
{
    scoped_fd int fd = open("/proc/sys/net/ipv6/conf/default/accept_ra", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!write(fd, "0", 1);
}

static int open_route(void *data, int ret_fds[], struct err *e)
{
    (void)data;
    network_refuse_advertisements();
    ret_fds[0] = nl_open(NETLINK_ROUTE, e);
    return ret_fds[0] < 0 ? ret_fds[0] : 0;
}

int network_run_route(struct network_run *run, struct err *e)
{
    int fds[SOCK_MAX_FDS];
    if (run->route_fd >= 0)
        return run->route_fd;
    int r = network_run_inside(run, open_route, NULL, fds, e);
    return r < 0 ? r : (run->route_fd = fds[0]);
}

void network_run_event(struct network_run *run, const char *text, size_t len)
{
    scoped_strv char **attributes = NULL;
    if (!run->event || len == 0 || text[len - 1] != '\0')
        return;
    /* Of what handles a container's packets nothing is believed that is not its business. */
    if (!str_after(text, "egress") && !str_after(text, "network"))
        return;
    for (size_t at = strlen(text) + 1; at < len; at += strlen(text + at) + 1)
        strv_add(&attributes, text + at);
    run->event(run->event_data, text, attributes);
}
