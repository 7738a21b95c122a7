/* resolv - see resolv.h. */
#include "network/resolv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/scoped.h"
#include "base/str.h"
#include "base/strv.h"
#include "net/addr.h"
#include "net/dns.h"
#include "network/options.h"
#include "network/store.h"

#define MAX_BYTES (64u << 10)
#define POD_LINE "127.0.0.1\t%s\n" /* as podman has it */
#define HOST_NAMES "host.containers.internal host.docker.internal"
/* What an address is called that the driver knows, in --add-host. */
#define HOST_GATEWAY "host-gateway"

/* --- resolv.conf --- */

void resolv_release(struct resolv_conf *r)
{
    strv_free(r->servers);
    strv_free(r->search);
    strv_free(r->options);
    *r = (struct resolv_conf){NULL};
}

static void parse_line(const char *line, struct resolv_conf *r)
{
    scoped_strv char **words = strv_split(line, " \t\r", false);
    size_t n = strv_len(words);
    if (n < 2 || *words[0] == '#' || *words[0] == ';')
        return;
    if (streq(words[0], "nameserver")) {
        strv_add(&r->servers, words[1]);
    } else if (streq(words[0], "search") || streq(words[0], "domain")) {
        strv_free(r->search); /* the last line counts */
        r->search = strv_dup(words + 1);
    } else if (streq(words[0], "options")) {
        strv_extend(&r->options, words + 1);
    }
}

void resolv_parse(const char *text, struct resolv_conf *ret)
{
    scoped_strv char **lines = strv_split(text, "\n", false);
    *ret = (struct resolv_conf){NULL};
    for (char **l = lines; l && *l; l++)
        parse_line(*l, ret);
}

static bool is_loopback(const char *server)
{
    struct net_addr a;
    scoped_free char *bare = xstrndup(server, strcspn(server, "%"));
    return net_addr_parse(bare, &a) == 0 && net_addr_is_loopback(&a);
}

static void drop_loopback(struct resolv_conf *r)
{
    char **kept = NULL;
    for (char **s = r->servers; s && *s; s++)
        if (!is_loopback(*s))
            strv_add(&kept, *s);
    strv_free(r->servers);
    r->servers = kept;
}

static void read_resolv(const char *path, bool loopback, struct resolv_conf *ret)
{
    scoped_free char *text = NULL;
    struct err ignored = ERR_INIT;
    *ret = (struct resolv_conf){NULL};
    if (fs_read(AT_FDCWD, path, MAX_BYTES, &text, &ignored) < 0)
        return;
    resolv_parse(text, ret);
    if (!loopback)
        drop_loopback(ret);
}

void resolv_of_host(bool loopback, struct resolv_conf *ret)
{
    static const char *const behind[] = {"/run/systemd/resolve/resolv.conf",
                                         "/run/NetworkManager/no-stub-resolv.conf"};
    read_resolv("/etc/resolv.conf", loopback, ret);
    for (size_t i = 0; !ret->servers && i < N_ELEMENTS(behind); i++) {
        struct resolv_conf other;
        read_resolv(behind[i], loopback, &other);
        ret->servers = take_ptr(other.servers);
        resolv_release(&other);
    }
}

static void add_words(struct str *s, const char *key, char *const *words)
{
    if (!words || !*words)
        return;
    str_add(s, key);
    for (char *const *w = words; *w; w++)
        str_addf(s, " %s", *w);
    str_addc(s, '\n');
}

/* "." stands for: no domains at all. */
static bool is_none(char *const *search)
{
    return search && streq(search[0], ".") && !search[1];
}

char *network_resolv_text(const struct network_files *f, const struct resolv_conf *host)
{
    const struct network_plan *p = f->plan;
    struct str s = STR_INIT;
    char *const *search = p->dns_search ? p->dns_search : host->search;
    bool first = f->names && f->dns && p->dns;
    char *const *servers = first ? f->dns : p->dns ? p->dns : f->dns ? f->dns : host->servers;
    if (is_none(search))
        search = NULL;
    /* Else a name of a peer would be asked for in the host's domains first. */
    bool ours = f->names && f->dns && *f->dns && !p->dns_search;
    scoped_strv char **domains = ours ? strv_split(DNS_DOMAIN, " ", false) : NULL;
    strv_extend(&domains, search);
    add_words(&s, "search", domains);
    for (char *const *d = servers; d && *d; d++)
        str_addf(&s, "nameserver %s\n", *d);
    for (char *const *d = first && f->asks_itself ? p->dns : NULL; d && *d; d++)
        str_addf(&s, "nameserver %s\n", *d);
    if (!servers || !*servers)
        str_add(&s, "# the host names no server that can be reached from here; --dns does\n");
    add_words(&s, "options", p->dns_options ? p->dns_options : host->options);
    return str_detach(&s);
}

/* --- hosts --- */

/* Where the names end: "name:ADDRESS", "name;name:ADDRESS", "name=ADDRESS"; names have no colon,
 * addresses do. */
static const char *names_end(const char *text)
{
    const char *p = strpbrk(text, ":=");
    return p && p != text && p[1] ? p : NULL;
}

/* The address behind the names; one of IPv6 may stand in brackets. 0 or -EINVAL. */
static int host_address(const char *sep, char ret[static NET_ADDR_TEXT])
{
    struct net_addr a;
    size_t n = strlen(sep + 1);
    bool brackets = sep[1] == '[' && sep[n] == ']';
    scoped_free char *inner = brackets ? xstrndup(sep + 2, n - 2) : xstrdup(sep + 1);
    if (net_addr_parse(inner, &a) < 0 || (brackets && a.family != 6))
        return -EINVAL;
    net_addr_format(&a, ret);
    return 0;
}

int network_check_add_host(const char *text, struct err *e)
{
    char address[NET_ADDR_TEXT];
    const char *sep = names_end(text);
    bool good = sep && strcspn(text, " \t\r\n#\\") == strlen(text);
    for (const char *p = text; good && *p; p++)
        good = *p >= ' ' && *p < 127;
    if (!good || (host_address(sep, address) < 0 && !streq(sep + 1, HOST_GATEWAY)))
        return err_hint(e, err_msg(e, EINVAL, "\"%s\": not HOST:IP", text),
                        "the address is a number, or host-gateway for the host's");
    return 0;
}

static void add_host(struct str *s, const struct network_files *f, const char *text)
{
    char number[NET_ADDR_TEXT];
    const char *sep = names_end(text);
    bool gateway = sep && streq(sep + 1, HOST_GATEWAY);
    if (!sep || (!gateway && host_address(sep, number) < 0))
        return;
    const char *address = gateway ? f->host_address : number;
    if (!address || !*address)
        return;
    scoped_free char *names = xstrndup(text, (size_t)(sep - text));
    for (char *p = names; (p = strchr(p, ';'));)
        *p = ' ';
    str_addf(s, "%s\t%s\n", address, names);
}

static bool has_name(const struct network_plan *p, const char *name)
{
    for (char **h = p->add_hosts; h && *h; h++) {
        const char *sep = names_end(*h);
        scoped_free char *names = xstrndup(*h, sep ? (size_t)(sep - *h) : 0);
        scoped_strv char **list = strv_split(names, ";", false);
        if (strv_has(list, name))
            return true;
    }
    return false;
}

static void add_host_names(struct str *s, const struct network_files *f)
{
    scoped_strv char **names = strv_split(HOST_NAMES, " ", false);
    for (char **n = names; f->host_address && *f->host_address && *n; n++)
        if (!has_name(f->plan, *n))
            str_addf(s, "%s\t%s\n", f->host_address, *n);
}

/* Its own names, with each of its addresses. */
static void add_self(struct str *s, const struct network_files *f)
{
    bool any = false;
    bool twice = !f->name || streq(f->name, f->hostname);
    if (!f->hostname)
        return;
    for (size_t i = 0; i < f->n_interfaces; i++) {
        const char *both[] = {f->interfaces[i].address, f->interfaces[i].address6};
        for (size_t k = 0; k < N_ELEMENTS(both); k++) {
            if (!both[k])
                continue;
            str_addf(s, "%.*s\t%s%s%s\n", (int)strcspn(both[k], "/"), both[k], f->hostname,
                     twice ? "" : " ", twice ? "" : f->name);
            any = true;
        }
    }
    if (!any) /* it knows itself without any network */
        str_addf(s, "127.0.1.1\t%s%s%s\n", f->hostname, twice ? "" : " ", twice ? "" : f->name);
}

char *network_hosts_text(const struct network_files *f)
{
    struct str s = STR_INIT;
    if (f->base && *f->base)
        str_addf(&s, "%s%s", f->base, str_ends(f->base, "\n") ? "" : "\n");
    else
        str_add(&s, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    add_host_names(&s, f);
    add_self(&s, f);
    for (char **h = f->plan->add_hosts; h && *h; h++)
        add_host(&s, f, *h);
    for (char *const *n = f->pod_names; n && *n; n++)
        if (!has_name(f->plan, *n))
            str_addf(&s, POD_LINE, *n);
    return str_detach(&s);
}

/* --- the host --- */

/* Which address of ours would be the source: connect(2) of a datagram socket only asks the routing
 * table. The addresses are reserved for documentation. */
static bool source_address(int family, char ret[static NET_ADDR_TEXT])
{
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    bool six = family == 6;
    struct sockaddr *to = six ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
    socklen_t size = six ? sizeof(a6) : sizeof(a4);
    struct net_addr a = {.family = six ? 6 : 4};
    inet_pton(AF_INET, "192.0.2.1", &a4.sin_addr);
    inet_pton(AF_INET6, "2001:db8::1", &a6.sin6_addr);
    scoped_fd int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, to, size) < 0 || getsockname(fd, to, &size) < 0)
        return false;
    memcpy(a.b, six ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr, six ? 16 : 4);
    if (net_addr_is_any(&a) || net_addr_is_loopback(&a))
        return false;
    net_addr_format(&a, ret);
    return true;
}

void network_host_address(int family, char ret[static NET_ADDR_TEXT])
{
    struct ifaddrs *all = NULL;
    int want = family == 6 ? AF_INET6 : AF_INET;
    ret[0] = '\0';
    if (source_address(family, ret) || getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *i = all; i && !*ret; i = i->ifa_next) {
        struct net_addr a = {.family = (uint8_t)family};
        if (!i->ifa_addr || i->ifa_addr->sa_family != want || !(i->ifa_flags & IFF_UP) ||
            (i->ifa_flags & IFF_LOOPBACK))
            continue;
        if (want == AF_INET)
            memcpy(a.b, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, 4);
        else
            memcpy(a.b, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr, 16);
        if (!net_addr_is_linklocal(&a))
            net_addr_format(&a, ret);
    }
    freeifaddrs(all);
}

/* --- writing --- */

/* The file is the container's as well, which may have a lease of it: then open(2) would wait 45 s.
 */
#define OPEN_GIVEN (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* In place: the container has this very file mounted. It is cut after the new text is there: on a
 * full disc the old one is better than none. */
static int write_in_place(int dir_fd, const char *name, const char *text, struct err *e)
{
    scoped_fd int fd = openat(dir_fd, name, O_WRONLY | OPEN_GIVEN);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "write %s", name);
    int r = fs_write_all(fd, text, strlen(text));
    if (r == 0 && ftruncate(fd, (off_t)strlen(text)) < 0)
        r = -errno;
    return r < 0 ? err_set(e, -r, "write %s", name) : 0;
}

int network_files_prepare(const struct network_run *run, struct err *e)
{
    static const char *const names[] = {"resolv.conf", "hosts"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < N_ELEMENTS(names); i++) {
        struct stat st;
        if (fstatat(run->dir_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* none of the container's */
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || !(st.st_mode & S_IWUSR))
            r = fs_write_atomic(run->dir_fd, names[i], "", 0, 0644, FS_NO_SYNC, e);
    }
    return r;
}

static bool stands_in(const char *text, const char *name)
{
    scoped_strv char **words = strv_split(text, " \t\n", false);
    return strv_has(words, name);
}

void network_files_pod_name(int dir_fd, const char *name)
{
    scoped_free char *text = NULL, *line = xasprintf(POD_LINE, name);
    scoped_fd int fd = openat(dir_fd, "hosts", O_RDWR | O_APPEND | OPEN_GIVEN);
    if (fd >= 0 && fs_read_fd(fd, MAX_BYTES, &text, NULL) >= 0 && !stands_in(text, name))
        (void)!fs_write_all(fd, line, strlen(line));
}

/* What the network named so does about the host: its gateway is the host (bridge), the host is
 * behind its uplink (user), or there is no way. */
static bool network_reaches(const struct network_run *run, const struct network_interface *i,
                            char ret[static NET_ADDR_TEXT])
{
    scoped_network_config struct network_config n = {.name = NULL};
    struct err ignored = ERR_INIT;
    if (network_open(run->conf, i->network, &n, &ignored) < 0)
        return false;
    if (streq(n.driver, "bridge"))
        snprintf(ret, NET_ADDR_TEXT, "%s", i->gateway ? i->gateway : "");
    else if (!n.internal)
        network_host_address(4, ret);
    return *ret;
}

static bool is_near(const struct network_run *run, const struct net_addr *a)
{
    for (size_t i = 0; i < run->plan->n_joins; i++) {
        scoped_network_config struct network_config n = {.name = NULL};
        struct err ignored = ERR_INIT;
        if (network_open(run->conf, run->plan->joins[i].network, &n, &ignored) < 0)
            continue;
        for (size_t k = 0; k < n.n_subnets; k++) {
            struct net_cidr c;
            if (net_cidr_parse(n.subnets[k].subnet, &c) == 0 && net_cidr_contains(&c, a))
                return true;
        }
    }
    return net_addr_is_loopback(a);
}

bool network_asks_itself(const struct network_run *run)
{
    struct net_addr a;
    for (char **d = run->plan->dns; d && *d; d++)
        if (net_addr_parse(*d, &a) == 0 && is_near(run, &a))
            return true;
    return false;
}

static bool loopback_allowed(const struct network_plan *p)
{
    bool yes = false;
    for (char **o = p->options; o && *o; o++) {
        const char *value = str_after(*o, "allow_host_loopback");
        if (value)
            yes = !*value || (*value == '=' && parse_bool(value + 1, &yes) == 0 && yes);
    }
    return yes;
}

/* As the container whose network it is has it. */
static void as_others(const struct network_run *run, char ret[static NET_ADDR_TEXT])
{
    scoped_free char *sub = path_join("containers", run->plan->target);
    scoped_fd int dir = conf_open_root(run->conf, sub, false, NULL);
    scoped_free char *text = NULL;
    scoped_fd int fd = dir < 0 ? -1 : openat(dir, "hosts", O_RDONLY | OPEN_GIVEN);
    if (fd < 0 || fs_read_fd(fd, MAX_BYTES, &text, NULL) < 0)
        return;
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **l = lines; l && *l; l++) {
        struct net_addr a;
        scoped_strv char **words = strv_split(*l, " \t", false);
        if (strv_has(words, "host.containers.internal") && net_addr_parse(words[0], &a) == 0)
            net_addr_format(&a, ret);
    }
}

static void host_reached_by(const struct network_run *run, char ret[static NET_ADDR_TEXT])
{
    const struct network_plan *p = run->plan;
    const char *gateway = run->n_interfaces ? run->interfaces[0].gateway : NULL;
    bool slirp = streq(p->mode, "slirp");
    ret[0] = '\0';
    if (run->host)
        snprintf(ret, NET_ADDR_TEXT, "%s", run->host);
    if (streq(p->mode, "container"))
        as_others(run, ret);
    if (slirp && loopback_allowed(p))
        snprintf(ret, NET_ADDR_TEXT, "%s", gateway ? gateway : "");
    else if (slirp || streq(p->mode, "host") || streq(p->mode, "ns"))
        network_host_address(4, ret);
    for (size_t i = 0; streq(p->mode, "networks") && i < run->n_interfaces; i++)
        if (network_reaches(run, &run->interfaces[i], ret))
            return;
    /* Offline there is no other: with the host's network it reaches its loopback. */
    if (!*ret && streq(p->mode, "host"))
        snprintf(ret, NET_ADDR_TEXT, "127.0.0.1");
}

bool network_knows_host(const struct conf *c, const struct network_plan *p, char **ret_why)
{
    bool networks = streq(p->mode, "networks");
    *ret_why = NULL;
    for (size_t i = 0; networks && i < p->n_joins; i++) {
        scoped_network_config struct network_config n = {.name = NULL};
        struct err ignored = ERR_INIT;
        if (network_open(c, p->joins[i].network, &n, &ignored) < 0 || !n.internal ||
            streq(n.driver, "bridge"))
            return true;
    }
    if (networks)
        *ret_why = xasprintf("network %s is internal", p->n_joins ? p->joins[0].network : "?");
    else if (streq(p->mode, "none"))
        *ret_why = xstrdup("there is no network");
    else if (streq(p->mode, "pasta") && !pasta_maps_host(p->options))
        *ret_why = xstrdup("this pasta has no address for it");
    return !*ret_why;
}

/* plan->hosts_file: NULL or "none", "image" (copied when the container was made), or a path. */
static char *read_base(const struct network_run *run)
{
    const char *file = run->plan->hosts_file;
    struct err ignored = ERR_INIT;
    char *text = NULL;
    if (!file || streq(file, "none"))
        return NULL;
    bool image = streq(file, "image");
    if (fs_read(image ? run->dir_fd : AT_FDCWD, image ? "hosts.image" : file, MAX_BYTES, &text,
                &ignored) < 0)
        return NULL;
    return text;
}

int network_files_write(const struct network_run *run, struct err *e)
{
    char host[NET_ADDR_TEXT];
    struct resolv_conf conf SCOPED(resolv_release) = {NULL};
    scoped_free char *base = read_base(run);
    scoped_strv char **pod_names = run->pod_names ? run->pod_names(run->event_data) : NULL;
    host_reached_by(run, host);
    const struct network_files f = {.plan = run->plan,
                                    .name = run->name,
                                    .hostname = run->hostname,
                                    .interfaces = run->interfaces,
                                    .n_interfaces = run->n_interfaces,
                                    .dns = run->dns,
                                    .names = streq(run->plan->mode, "networks"),
                                    .asks_itself = network_asks_itself(run),
                                    .host_address = host,
                                    .base = base,
                                    .pod_names = pod_names};
    /* Who shares the host's loopback can ask what listens there. */
    resolv_of_host(!network_plan_own(run->plan) || streq(run->plan->mode, "none"), &conf);
    scoped_free char *resolv = network_resolv_text(&f, &conf);
    scoped_free char *hosts = network_hosts_text(&f);
    int r = write_in_place(run->dir_fd, "resolv.conf", resolv, e);
    return r == 0 ? write_in_place(run->dir_fd, "hosts", hosts, e) : r;
}
