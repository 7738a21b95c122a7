#include "security/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/resource.h>

#include "base/scoped.h"
#include "base/str.h"
#include "sys/procfs.h"

static const struct {
    const char *name; /* what --ulimit takes, in the order of the message */
    int resource;
} limits[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

static int limit_index(const char *name)
{
    if (strncasecmp(name, "RLIMIT_", 7) == 0)
        name += 7;
    for (size_t i = 0; i < N_ELEMENTS(limits); i++) {
        if (strcasecmp(name, limits[i].name) == 0)
            return (int)i;
    }
    return -EINVAL;
}

static int parse_value(const char *s, uint64_t *ret)
{
    if (streq(s, "-1") || strcasecmp(s, "unlimited") == 0) {
        *ret = UINT64_MAX;
        return 0;
    }
    return parse_u64(s, ret);
}

static int unknown_name(const char *text, struct err *e)
{
    scoped_str struct str known = STR_INIT;
    for (size_t i = 0; i < N_ELEMENTS(limits); i++)
        str_addf(&known, "%s%s", i ? " " : "", limits[i].name);
    return err_msg(e, EINVAL, "ulimit %s: unknown name (known: %s)", text, known.s);
}

int limit_parse(const char *text, struct spec_rlimit *ret, struct err *e)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return err_msg(e, EINVAL, "ulimit %s: want NAME=SOFT[:HARD]", text);

    scoped_free char *name = xstrndup(text, (size_t)(equals - text));
    int i = limit_index(name);
    if (i < 0)
        return unknown_name(name, e);

    const char *colon = strchr(equals + 1, ':');
    scoped_free char *soft_text =
        colon ? xstrndup(equals + 1, (size_t)(colon - equals - 1)) : xstrdup(equals + 1);
    uint64_t soft = 0, hard = 0;
    if (parse_value(soft_text, &soft) < 0 || parse_value(colon ? colon + 1 : soft_text, &hard) < 0)
        return err_msg(e, EINVAL, "ulimit %s: want numbers, or -1 for unlimited", text);
    if (soft > hard)
        return err_msg(e, EINVAL, "ulimit %s: the soft limit is above the hard limit", text);

    scoped_str struct str type = STR_INIT;
    str_add(&type, "RLIMIT_");
    for (const char *p = limits[i].name; *p; p++)
        str_addc(&type, (char)(*p - 'a' + 'A')); /* all names are lower-case letters */
    *ret = (struct spec_rlimit){.type = str_detach(&type), .soft = soft, .hard = hard};
    return 0;
}

static int apply(const struct spec_rlimit *v, int i, struct err *e)
{
    struct rlimit now, want = {.rlim_cur = v->soft, .rlim_max = v->hard};
    if (setrlimit((__rlimit_resource_t)limits[i].resource, &want) == 0)
        return 0;
    int r = err_set(e, errno, "set limit %s to %llu:%llu", limits[i].name,
                    (unsigned long long)v->soft, (unsigned long long)v->hard);
    if (r == -EPERM && getrlimit((__rlimit_resource_t)limits[i].resource, &now) == 0)
        err_hint(e, r, "without root the hard limit cannot be raised; it is %llu here",
                 (unsigned long long)now.rlim_max);
    return r;
}

/* Fewer files than now: nothing that needs a right, and it might be too few for the start. */
static bool is_low_nofile(const struct spec_rlimit *v, int i)
{
    struct rlimit now;
    return limits[i].resource == RLIMIT_NOFILE && getrlimit(RLIMIT_NOFILE, &now) == 0 &&
           v->soft < now.rlim_cur && v->hard <= now.rlim_max;
}

int limits_apply(const struct spec_rlimit *v, size_t n, struct err *e)
{
    for (size_t k = 0; k < n; k++) {
        int i = v[k].type ? limit_index(v[k].type) : -EINVAL;
        if (i < 0)
            return unknown_name(v[k].type ? v[k].type : "", e);
        int r = is_low_nofile(&v[k], i) ? 0 : apply(&v[k], i, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int limits_apply_files(const struct spec_rlimit *v, size_t n, struct err *e)
{
    for (size_t k = 0; k < n; k++) {
        int i = v[k].type ? limit_index(v[k].type) : -EINVAL;
        int r = i >= 0 && is_low_nofile(&v[k], i) ? apply(&v[k], i, e) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* net.* is per network namespace, the listed ones per IPC namespace; all else is the host's. */
static const char *const ipc_keys[] = {
    "kernel/msgmax", "kernel/msgmnb",      "kernel/msgmni",          "kernel/msg_next_id",
    "kernel/sem",    "kernel/sem_next_id", "kernel/shmall",          "kernel/shmmax",
    "kernel/shmmni", "kernel/shm_next_id", "kernel/shm_rmid_forced",
};

/* "net.ipv4.ip_forward" to "net/ipv4/ip_forward". As sysctl(8): when the first separator is a
 * slash, dots are part of names (net/ipv4/conf/eth0.1/forwarding); otherwise the two change
 * places. NULL when a part is empty or "..", or a character is odd. Owned. */
static char *key_to_path(const char *key)
{
    size_t first = strcspn(key, "./");
    bool slashes = key[first] == '/';
    char *path = xstrdup(key);

    for (char *p = path; *p; p++) {
        if (!slashes && *p == '.')
            *p = '/';
        else if (!slashes && *p == '/')
            *p = '.';
        else if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '=')
            goto odd;
    }
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        size_t len = strcspn(p, "/");
        if (len == 0 || (p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.'))))
            goto odd;
    }
    return path;
odd:
    free(path);
    return NULL;
}

static bool is_ipc_key(const char *path)
{
    if (str_after(path, "fs/mqueue/"))
        return true;
    for (size_t i = 0; i < N_ELEMENTS(ipc_keys); i++) {
        if (streq(path, ipc_keys[i]))
            return true;
    }
    return false;
}

int sysctl_check(const char *key, bool own_net, bool own_ipc, bool own_uts, struct err *e)
{
    scoped_free char *path = key_to_path(key);
    if (!path)
        return err_msg(e, EINVAL, "sysctl %s: not the name of a kernel parameter", key);

    if (str_after(path, "net/")) {
        if (!own_net)
            return err_msg(e, EPERM, "sysctl %s: needs a network namespace of its own", key);
        return 0;
    }
    if (is_ipc_key(path)) {
        if (!own_ipc)
            return err_msg(e, EPERM, "sysctl %s: needs an IPC namespace of its own", key);
        return 0;
    }
    /* Allowed by the OCI text, but the specification has members for both and two sources of one
     * name would fight. */
    if (streq(path, "kernel/hostname"))
        return err_msg(e, EINVAL, "sysctl %s: is the host name's; use --hostname", key);
    if (streq(path, "kernel/domainname")) {
        /* podman's way to set it, older than the member domainname. */
        return own_uts ? 0 : err_msg(e, EPERM, "sysctl %s: needs a UTS namespace of its own", key);
    }
    return err_msg(e, EINVAL,
                   "sysctl %s: is not separate for a container (net.*, fs.mqueue.*, kernel.msg*, "
                   "kernel.sem and kernel.shm* are)",
                   key);
}

static int set_domain(const char *name, struct err *e)
{
    return setdomainname(name, strlen(name)) < 0 ? err_set(e, errno, "set the domain name") : 0;
}

int sysctl_apply(char *const *key_values, struct err *e)
{
    if (!key_values || !*key_values)
        return 0;
    scoped_fd int proc = procfs_open(e);
    if (proc < 0)
        return err_add(e, proc, "set kernel parameters");

    for (; *key_values; key_values++) {
        const char *equals = strchr(*key_values, '=');
        if (!equals)
            return err_msg(e, EINVAL, "sysctl %s: want NAME=VALUE", *key_values);
        scoped_free char *key = xstrndup(*key_values, (size_t)(equals - *key_values));
        scoped_free char *path = key_to_path(key);
        if (!path)
            return err_msg(e, EINVAL, "sysctl %s: not the name of a kernel parameter", key);
        scoped_free char *full = xasprintf("sys/%s", path);
        /* The file belongs to root of the host even where the name is the container's. */
        bool domain = streq(path, "kernel/domainname");
        int r = domain ? set_domain(equals + 1, e) : procfs_write(proc, full, equals + 1, e);
        if (r < 0)
            return err_add(e, r, "sysctl %s", key);
    }
    return 0;
}
