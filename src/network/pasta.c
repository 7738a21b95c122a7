/* "pasta": the user-mode network of the passt project, when it is installed.
 *
 * It knows nothing of our containers: a process of ours stands in the namespaces until it has
 * entered them (holder.c), another (rootlet-leash) ends it with the container. What it can do is
 * asked of its own help, since its version tells that only to people. passt(1) */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "net/addr.h"
#include "network/drivers-priv.h"
#include "network/holder.h"
#include "network/options.h"
#include "sys/rtnl.h"
#include "sys/sock.h"

#define PASTA "pasta"
#define TUN "/dev/net/tun"
#define LEASH "pasta-leash"
#define START_MS 10000
#define PID_FILE "pasta.pid"
#define DNS_ADDRESS "169.254.1.1"
#define HOST_ADDRESS "169.254.1.2"

/* --- what there is --- */

/* Its help, on whichever of the two it prints it; owned, NULL when there is no such program. */
static char *read_help(int wait_ms)
{
    char text[] = "exec " PASTA " --help 2>&1";
    char shell[] = "sh", flag[] = "-c";
    char *argv[] = {shell, flag, text, NULL};
    scoped_fd int fd = memfd_create("help", MFD_CLOEXEC);
    struct proc_cmd cmd = {.argv = argv, .stdin_fd = -1, .stdout_fd = fd, .timeout_ms = wait_ms};
    char path[32];
    scoped_free char *help = NULL;
    if (fd < 0 || proc_run(&cmd, NULL) == 127)
        return NULL;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return fs_read(AT_FDCWD, path, 1 << 20, &help, NULL) < 0 ? NULL : take_ptr(help);
}

static bool can(const char *help, const char *option)
{
    size_t len = strlen(option);
    for (const char *at = strstr(help, option); at; at = strstr(at + 1, option))
        if (strchr(" \t\n,", at[len]))
            return true;
    return false;
}

/* What no version may lack. */
static const char *missing(const char *help)
{
    static const char *const needed[] = {"--config-net", "--no-map-gw", "--no-netns-quit"};
    for (size_t i = 0; i < N_ELEMENTS(needed); i++)
        if (!can(help, needed[i]))
            return needed[i];
    return NULL;
}

static int probe(char why[static 256])
{
    scoped_free char *help = read_help(START_MS);
    const char *lacks = help ? missing(help) : NULL;
    if (!help)
        snprintf(why, 256, "pasta is not installed (package passt)");
    else if (lacks)
        snprintf(why, 256, "the installed pasta is too old: it has no option %s", lacks);
    else if (access(TUN, R_OK | W_OK) < 0)
        snprintf(why, 256, "%s: %s", TUN, strerror(errno));
    else
        snprintf(why, 256, "pasta is installed%s",
                 can(help, "--map-guest-addr") ? "" : "; too old to reach the host by an address");
    return help && !lacks && access(TUN, R_OK | W_OK) == 0 ? 5 : 0;
}

/* --- what is asked for --- */

static int plan(const struct network_plan *p, struct spec *s, struct err *e)
{
    int r = pasta_check_options(p->options, e);
    if (r < 0)
        return r;
    if (strv_len(p->egress) > 0)
        return err_hint(e, err_msg(e, ENOTSUP, "--egress: pasta has no such policy"),
                        "--network slirp enforces it");
    spec_namespace_set(s, "network", NULL);
    return 0;
}

static int inside(const struct network_plan *p, struct err *e)
{
    (void)p;
    return network_loopback_up(e);
}

static int prepare(struct network_run *run, struct err *e)
{
    scoped_free char *help = read_help(START_MS);
    (void)run;
    if (!help)
        return err_hint(e, err_msg(e, ENOENT, "pasta is not installed"),
                        "install the package passt, or use --network slirp");
    const char *lacks = missing(help);
    return lacks ? err_hint(e,
                            err_msg(e, ENOTSUP,
                                    "the installed pasta is too old: it has no option %s", lacks),
                            "--network slirp needs no other program")
                 : 0;
}

/* --- the program --- */

static char **command(const struct network_run *run, pid_t holder, const char *pid_file,
                      const char *help)
{
    /* Ports are published by rootlet-ports, for every driver in the same way. */
    static const char *const fixed[] = {PASTA, "--config-net", "--quiet", "--no-netns-quit",
                                        "-t",  "none",         "-u",      "none"};
    char *const *o = run->plan->options;
    char **argv = NULL;
    strv_take(&argv, path_join(run->conf->libexec, "rootlet-leash"));
    strv_add(&argv, "run");
    for (size_t i = 0; i < N_ELEMENTS(fixed); i++)
        strv_add(&argv, fixed[i]);
    pasta_add_options(o, &argv);
    if (!pasta_has_option(o, "-T", "--tcp-ns"))
        strv_add(&argv, "--tcp-ns=none");
    if (!pasta_has_option(o, "-U", "--udp-ns"))
        strv_add(&argv, "--udp-ns=none");
    if (!strv_has(o, "--map-gw"))
        strv_add(&argv, "--no-map-gw");
    if (can(help, "--dns-forward") && !pasta_has_option(o, "--dns-forward", NULL))
        strv_add(&argv, "--dns-forward=" DNS_ADDRESS);
    if (can(help, "--map-guest-addr") && !pasta_has_option(o, "--map-guest-addr", NULL))
        strv_add(&argv, "--map-guest-addr=" HOST_ADDRESS);
    if (geteuid() == 0) /* else it would become nobody, who owns no namespace of ours */
        strv_add(&argv, "--runas=0:0");
    strv_addf(&argv, "--pid=%s", pid_file);
    strv_addf(&argv, "--userns=/proc/%d/ns/user", (int)holder);
    strv_addf(&argv, "--netns=/proc/%d/ns/net", (int)holder);
    return argv;
}

/* It has gone to the background and is our child now, as we are the reaper of orphans: a number
 * that nobody else can get. */
static int take_daemon(struct network_run *run, struct network_process *p, struct err *e)
{
    scoped_free char *text = NULL;
    uint32_t pid = 0;
    ssize_t n = fs_read(run->run_fd, PID_FILE, 32, &text, e);
    unlinkat(run->run_fd, PID_FILE, 0);
    if (n < 0)
        return (int)n;
    text[strcspn(text, "\n")] = '\0';
    if (parse_u32(text, &pid) < 0 || pid < 2)
        return err_msg(e, EPROTO, "pasta has left no process number");
    scoped_fd int pidfd = pidfd_open_pid((pid_t)pid);
    if (pidfd < 0 || proc_start_time((pid_t)pid, &p->start) < 0 || pidfd_poll(pidfd, 0) != 0)
        return err_msg(e, ECHILD, "pasta has ended at once");
    p->pid = (pid_t)pid;
    p->pidfd = take_fd(&pidfd);
    return 0;
}

/* By a leash that kills it unless we send a byte by *ret_guard (owned), so that it does not outlive
 * a supervisor that is killed before it knows what it has started. */
static int run_pasta(struct network_run *run, struct network_process *p, int *ret_guard,
                     struct err *e)
{
    int wait_ms = run->patience_ms ? run->patience_ms : START_MS; /* the supervisor, in its loop */
    scoped_free char *help = read_help(wait_ms);
    if (!help)
        return err_msg(e, ENOENT, "pasta is not installed any more");
    int pair[2];
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    *ret_guard = pair[0];
    scoped_fd int theirs = pair[1];
    struct holder h;
    r = holder_start(run, &h, e);
    if (r < 0)
        return r;
    scoped_free char *file = xasprintf("%s/%s/" PID_FILE, run->conf->run_root, run->id);
    scoped_strv char **argv = command(run, h.pid, file, help);
    struct proc_cmd cmd = {
        .argv = argv, .name = PASTA, .stdin_fd = -1, .stdout_fd = theirs, .timeout_ms = wait_ms};
    r = proc_run(&cmd, e);
    holder_end(&h);
    if (r > 0 && access(TUN, R_OK | W_OK) < 0)
        r = err_hint(e, -EIO, "pasta needs %s: sudo chmod 0666 %s; or take --network slirp", TUN,
                     TUN);
    else if (r > 0)
        r = err_hint(e, -EIO, "pasta's options are after --network pasta:");
    return r < 0 ? r : take_daemon(run, p, e);
}

static int start_leash(struct network_run *run, const struct network_driver *d,
                       const struct network_process *pasta, struct err *e)
{
    const int fds[] = {run->init_fd, pasta->pidfd};
    struct network_start s = {.what = LEASH,
                              .program = "rootlet-leash",
                              .fds = fds,
                              .n_fds = 2,
                              .foreign = true,
                              .err_fd = -1};
    struct network_process *p = network_process_find(run, LEASH);
    if (!p)
        return network_process_start(run, d, &s, e) ? 0 : -EIO;
    if (p->pidfd >= 0) { /* that of the pasta before */
        pidfd_signal(p->pidfd, SIGKILL);
        if (!p->adopted)
            pidfd_wait(p->pidfd, NULL);
        fd_close(&p->pidfd);
    }
    p->adopted = false;
    return network_process_again(run, p, &s, e);
}

/* --- its interface --- */

struct found {
    struct network_run *run;
    struct rtnl_link link;
    struct network_interface *i;
};

static char *ip_text(const struct rtnl_ip *ip, bool prefix)
{
    char buf[NET_ADDR_TEXT];
    struct net_addr a = {.family = rtnl_ip_size(ip) == 4 ? 4 : 6};
    memcpy(a.b, ip->bytes, net_addr_size(&a));
    net_addr_format(&a, buf);
    return prefix ? xasprintf("%s/%u", buf, ip->prefix) : xstrdup(buf);
}

static int see_address(const struct rtnl_ip *ip, void *data)
{
    struct found *f = data;
    bool four = rtnl_ip_size(ip) == 4;
    char **at = four ? &f->i->address : &f->i->address6;
    bool local = !four && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
    if (!*at && !local)
        *at = ip_text(ip, true);
    return 0;
}

static int see_route(const struct rtnl_route *r, void *data)
{
    struct found *f = data;
    bool four = rtnl_ip_size(&r->via) == 4;
    char **at = four ? &f->i->gateway : &f->i->gateway6;
    if (r->dst.family == 0 && r->via.family && !*at)
        *at = ip_text(&r->via, false);
    return 0;
}

static int see_link(const struct rtnl_link *l, void *data)
{
    struct found *f = data;
    if (f->link.index || (l->flags & IFF_LOOPBACK))
        return 0;
    f->link = *l;
    return 0;
}

static int note_interface(struct network_run *run, struct err *e)
{
    struct found f = {.run = run};
    int fd = network_run_route(run, e);
    if (fd < 0)
        return fd;
    int r = rtnl_links(fd, 0, see_link, &f);
    if (r < 0 || !f.link.index)
        return err_msg(e, r < 0 ? -r : ENODEV, "pasta has made no interface");
    network_run_remove(run, PASTA);
    f.i = network_run_add(run, f.link.name, PASTA);
    f.i->mac = xmalloc(NET_MAC_TEXT);
    net_mac_format(f.link.mac, f.i->mac);
    rtnl_addresses(fd, f.link.index, see_address, &f);
    rtnl_routes(fd, AF_INET, 0, see_route, &f);
    rtnl_routes(fd, AF_INET6, 0, see_route, &f);
    return 0;
}

/* --- the driver --- */

static int bring_up(struct network_run *run, struct network_process *pasta, struct err *e)
{
    int r = 0;
    scoped_fd int guard = -1;
    if (pasta->pidfd < 0 || pidfd_poll(pasta->pidfd, 0) != 0) {
        if (pasta->pidfd >= 0 && !pasta->adopted)
            pidfd_wait(pasta->pidfd, NULL);
        fd_close(&pasta->pidfd);
        pasta->adopted = false;
        r = run_pasta(run, pasta, &guard, e);
    }
    if (r == 0)
        r = start_leash(run, pasta->driver, pasta, e);
    if (r == 0 && guard >= 0)
        r = sock_send(guard, "", 1, NULL, 0);
    return r == 0 ? note_interface(run, e) : r;
}

/* Older ones have none: the host's own addresses are the container's there. */
static char *host_address(char *const *options, const char *help)
{
    const char *given = pasta_option(options, "--map-guest-addr");
    struct net_addr a;
    if (given)
        return net_addr_parse(given, &a) == 0 ? xstrdup(given) : NULL;
    return help && can(help, "--map-guest-addr") ? xstrdup(HOST_ADDRESS) : NULL;
}

bool pasta_maps_host(char *const *options)
{
    scoped_free char *help = read_help(START_MS);
    scoped_free char *address = host_address(options, help);
    return address;
}

static int attach(struct network_run *run, const struct network_target *t, struct err *e)
{
    (void)t;
    struct network_process *p = network_process_add(run, &network_pasta, PASTA, -1, e);
    if (!p)
        return -EMFILE;
    int r = bring_up(run, p, e);
    scoped_free char *help = r == 0 ? read_help(START_MS) : NULL;
    const char *dns = pasta_option(run->plan->options, "--dns-forward");
    free(run->host);
    run->host = host_address(run->plan->options, help);
    if (!run->dns && (dns || (help && can(help, "--dns-forward"))))
        strv_add(&run->dns, dns ? dns : DNS_ADDRESS);
    return r;
}

/* Then its processes could trace what stands in its namespaces for pasta, which has our files. */
static bool sees_our_processes(const struct network_run *run)
{
    char path[40];
    scoped_free char *text = NULL;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", run->init_fd);
    const char *at = fs_read(AT_FDCWD, path, 4096, &text, NULL) < 0 ? NULL : strstr(text, "NSpid:");
    int first, second;
    return !at || sscanf(at + 6, "%d%d", &first, &second) < 2;
}

static int revive(struct network_run *run, struct network_process *p, struct err *e)
{
    struct network_process *pasta = network_process_find(run, PASTA);
    (void)p;
    if (sees_our_processes(run))
        return err_msg(e, EPERM, "not for a container that sees the processes of the host");
    return pasta ? bring_up(run, pasta, e) : err_msg(e, ESRCH, "pasta has ended for good");
}

static int adopt(struct network_run *run, const struct network_state *st, struct err *e)
{
    return network_process_adopt(run, &network_pasta, PASTA, st, e) &&
                   network_process_adopt(run, &network_pasta, LEASH, st, e)
               ? 0
               : -EMFILE;
}

const struct network_driver network_pasta = {
    .name = PASTA,
    .summary = "user-mode network by passt's pasta",
    .options = PASTA_OPTIONS,
    .probe = probe,
    .plan = plan,
    .inside = inside,
    .prepare = prepare,
    .attach = attach,
    .revive = revive,
    .adopt = adopt,
};
