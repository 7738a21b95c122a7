/* Who else has a port of the host: as far as /proc tells an ordinary user. Only for messages. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/opt.h"
#include "base/path.h"
#include "base/scoped.h"
#include "base/str.h"
#include "network/publish.h"

#define TCP_LISTENING 0x0a
#define LINE_MAX_BYTES 512
#define COMM_MAX 64

struct socket_row {
    struct net_port port;
    unsigned state, uid;
    unsigned long inode;
};

/* An address is printed as the words that it has in memory. */
static bool parse_address(const char *hex, struct net_addr *ret)
{
    size_t words = strlen(hex) / 8;
    *ret = (struct net_addr){.family = words == 4 ? 6 : 4};
    if (words != 1 && words != 4)
        return false;
    for (size_t i = 0; i < words; i++) {
        char word[9] = "";
        memcpy(word, hex + 8 * i, 8);
        uint32_t value = (uint32_t)strtoul(word, NULL, 16);
        memcpy(ret->b + 4 * i, &value, 4);
    }
    if (net_addr_is_any(ret))
        ret->family = 0; /* it excludes all others */
    return true;
}

/* A line of /proc/net/tcp and its like; proc_net_tcp(5) */
static bool parse_row(const char *line, enum net_proto proto, struct socket_row *ret)
{
    char hex[40];
    unsigned port;
    *ret = (struct socket_row){.port = {.proto = proto, .count = 1, .host_count = 1, .ctr = 1}};
    if (sscanf(line, " %*u: %39[0-9A-F]:%x %*s %x %*s %*s %*s %u %*s %lu", hex, &port, &ret->state,
               &ret->uid, &ret->inode) != 5)
        return false;
    ret->port.host = (uint16_t)port;
    return parse_address(hex, &ret->port.addr);
}

static bool find_in(const char *table, const struct net_port *p, struct socket_row *ret)
{
    char line[LINE_MAX_BYTES];
    bool found = false;
    FILE *f = fopen(table, "re");
    while (f && !found && fgets(line, sizeof(line), f))
        found = parse_row(line, p->proto, ret) && ret->port.host == p->host &&
                (p->proto == NET_UDP || ret->state == TCP_LISTENING) &&
                net_port_conflict(&ret->port, p);
    if (f)
        fclose(f);
    return found;
}

static bool has_socket(int proc, const char *pid, const char *link)
{
    scoped_free char *path = path_join(pid, "fd");
    char target[64];
    int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *ent;
    bool found = false;
    if (!d)
        fd_close(&fd);
    while (d && !found && (ent = readdir(d))) {
        ssize_t n = readlinkat(fd, ent->d_name, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        found = streq(target, link);
    }
    return found;
}

/* "process PID (NAME)", of the processes of our own. */
static char *find_process(unsigned long inode)
{
    scoped_free char *link = xasprintf("socket:[%lu]", inode);
    scoped_dir DIR *proc = opendir("/proc");
    struct dirent *ent;
    struct stat st;
    while (proc && (ent = readdir(proc))) {
        uint32_t pid;
        if (parse_u32(ent->d_name, &pid) < 0 || fstatat(dirfd(proc), ent->d_name, &st, 0) < 0 ||
            st.st_uid != geteuid() || !has_socket(dirfd(proc), ent->d_name, link))
            continue;
        scoped_free char *path = path_join(ent->d_name, "comm");
        scoped_free char *comm = NULL;
        if (fs_read(dirfd(proc), path, COMM_MAX, &comm, NULL) < 0)
            return xasprintf("process %u", pid);
        char shown[4 * COMM_MAX];
        comm[strcspn(comm, "\n")] = '\0';
        return xasprintf("process %u (%s)", pid, err_escape(shown, sizeof(shown), comm));
    }
    return NULL;
}

char *publish_taken_by(const struct net_port *p)
{
    struct socket_row row;
    bool tcp = p->proto == NET_TCP;
    if (!find_in(tcp ? "/proc/self/net/tcp" : "/proc/self/net/udp", p, &row) &&
        !find_in(tcp ? "/proc/self/net/tcp6" : "/proc/self/net/udp6", p, &row))
        return NULL;
    char *process = row.uid == geteuid() ? find_process(row.inode) : NULL;
    if (process || row.uid == geteuid())
        return process;
    return row.uid == 0 ? xstrdup("a program of user root")
                        : xasprintf("a program of user %u", row.uid);
}
