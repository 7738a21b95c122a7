/* Where questions about the world go: the servers of the host's /etc/resolv.conf, and nowhere else
 * when there are none. resolv.conf(5) */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/scoped.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "helpers/network/dns.h"

#define FILE_NAME "/etc/resolv.conf"
#define FILE_MAX 65536
#define LOOK_NS 1000000000 /* between two looks at the file */
#define DNS_PORT 53

static void add(struct dns_upstream *u, const struct net_addr *a, unsigned scope)
{
    if (u->n >= DNS_SERVERS_MAX)
        return;
    struct sockaddr_storage *to = &u->v[u->n++];
    memset(to, 0, sizeof(*to));
    if (a->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)to;
        in->sin_family = AF_INET;
        in->sin_port = htons(DNS_PORT);
        memcpy(&in->sin_addr, a->b, 4);
    } else {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(DNS_PORT);
        in6->sin6_scope_id = scope;
        memcpy(&in6->sin6_addr, a->b, 16);
    }
}

socklen_t dns_upstream_size(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

void dns_upstream_fix(struct dns_upstream *u, const struct net_addr *v, size_t n)
{
    memset(u, 0, sizeof(*u));
    for (size_t i = 0; i < n && v[i].family; i++) {
        add(u, &v[i], 0);
        u->fixed = true;
    }
}

/* As if_nametoindex(3), but without a unix socket: those lead to all that the user runs, and are
 * not for a process that hears containers. netdevice(7) */
static unsigned device_index(const char *name)
{
    struct ifreq req = {.ifr_ifindex = 0};
    scoped_fd int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(name) >= sizeof(req.ifr_name))
        return 0;
    memcpy(req.ifr_name, name, strlen(name) + 1);
    return ioctl(fd, SIOCGIFINDEX, &req) < 0 ? 0 : (unsigned)req.ifr_ifindex;
}

/* "ADDRESS" or "ADDRESS%DEVICE" behind "nameserver". */
static void parse_server(struct dns_upstream *u, char *text)
{
    char *zone = strchr(text, '%');
    struct net_addr a;
    if (zone)
        *zone++ = '\0';
    if (net_addr_parse(text, &a) == 0)
        add(u, &a, zone ? device_index(zone) : 0);
}

void dns_upstream_parse(struct dns_upstream *u, const char *text)
{
    static const char key[] = "nameserver";
    u->n = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *p = line + strspn(line, " \t");
        if (strncmp(p, key, sizeof(key) - 1) != 0)
            continue;
        p += sizeof(key) - 1;
        size_t space = strspn(p, " \t");
        if (space == 0)
            continue;
        scoped_free char *word = xstrndup(p + space, strcspn(p + space, " \t\r\n"));
        parse_server(u, word);
    }
}

void dns_upstream_look(struct dns_upstream *u)
{
    struct stat st;
    int64_t now = time_monotonic_ns();
    if (u->fixed || (u->looked_ns && now - u->looked_ns < LOOK_NS))
        return;
    u->looked_ns = now;
    if (stat(FILE_NAME, &st) < 0) {
        u->n = 0;
        u->inode = 0;
        return;
    }
    if (st.st_ino == u->inode && memcmp(&st.st_mtim, &u->mtime, sizeof(u->mtime)) == 0 &&
        memcmp(&st.st_ctim, &u->ctime, sizeof(u->ctime)) == 0)
        return;
    scoped_free char *text = NULL;
    if (!S_ISREG(st.st_mode) || fs_read(AT_FDCWD, FILE_NAME, FILE_MAX, &text, NULL) < 0)
        return;
    u->inode = st.st_ino;
    u->mtime = st.st_mtim;
    u->ctime = st.st_ctim;
    dns_upstream_parse(u, text);
}
