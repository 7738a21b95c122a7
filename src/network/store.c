/* store - see store.h. */
#include "network/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/opt.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "net/wire.h"
#include "network/store-priv.h"

#define DIR_NETWORKS "networks"
#define SUFFIX ".json"
#define NETWORK_MAX_BYTES (64u << 10)
#define IFNAME_MAX 15

static const struct jfield subnet_fields[] = {
    {"subnet", J_STRING, offsetof(struct network_subnet, subnet), JF_REQUIRED},
    {"gateway", J_STRING, offsetof(struct network_subnet, gateway)},
    {"range", J_STRING, offsetof(struct network_subnet, range)},
    {"", J_EXTRA, offsetof(struct network_subnet, extra)},
    {NULL},
};

#define O(m) offsetof(struct network_config, m)
static const struct jfield config_fields[] = {
    {"name", J_STRING, O(name), JF_REQUIRED},
    {"id", J_STRING, O(id), JF_REQUIRED},
    {"driver", J_STRING, O(driver), JF_REQUIRED},
    {"subnets", J_ARRAY, O(subnets), 0, subnet_fields, sizeof(struct network_subnet), O(n_subnets)},
    {"internal", J_BOOL, O(internal)},
    {"ipv6", J_BOOL, O(ipv6)},
    {"dns_enabled", J_BOOL, O(dns_enabled)},
    {"dns", J_STRV, O(dns)},
    {"options", J_MAP, O(options)},
    {"labels", J_MAP, O(labels)},
    {"egress", J_STRV, O(egress)},
    {"created_ns", J_INT64, O(created_ns)},
    {"changes", J_INT64, O(changes)},
    {"", J_EXTRA, O(extra)},
    {NULL},
};

void network_config_release(struct network_config *n)
{
    jfield_release(config_fields, n);
}

const char *network_option(const struct network_config *n, const char *key)
{
    return strv_env_get(n->options, key);
}

uint32_t network_mtu(const struct network_config *n)
{
    uint32_t mtu = 0;
    const char *text = network_option(n, "mtu");
    return text && parse_u32(text, &mtu) == 0 ? mtu : 0;
}

/* --- checks --- */

/* What --network understands as something else. */
static const char *const reserved[] = {
    "none",  "host",   "container", "ns",      "slirp", "slirp4netns",
    "pasta", "bridge", "default",   "private", "auto",  "user",
};

static bool is_mode(const char *name)
{
    for (size_t i = 0; i < N_ELEMENTS(reserved); i++)
        if (streq(name, reserved[i]))
            return true;
    return false;
}

int network_check_name(const char *name, struct err *e)
{
    if (!id_name_valid(name))
        return err_hint(e, err_msg(e, EINVAL, "network name \"%s\" is not valid", name),
                        "letters, digits, \"_\", \".\" and \"-\", at most 128");
    if (is_mode(name))
        return err_hint(e, err_msg(e, EINVAL, "network name \"%s\": it is a mode's", name),
                        "--network %s means something else; take another name", name);
    return 0;
}

static int check_option(const struct network_config *n, const char *option, struct err *e)
{
    uint32_t mtu;
    bool yes;
    const char *eq = strchr(option, '=');
    const char *value = eq ? eq + 1 : "";
    if (str_after(option, "mtu=")) {
        uint32_t min = n->ipv6 ? 1280 : 68;
        if (parse_u32(value, &mtu) < 0 || mtu < min || mtu > 65520)
            return err_msg(e, EINVAL, "option %s: not a number from %u to 65520", option, min);
        return 0;
    }
    if (str_after(option, "bridge=")) {
        if (!id_name_valid(value) || strlen(value) > IFNAME_MAX)
            return err_msg(e, EINVAL, "option %s: not a name of 1 to 15 characters", option);
        return 0;
    }
    if (str_after(option, "isolate=") && (streq(value, "strict") || parse_bool(value, &yes) == 0))
        return 0; /* they are anyway */
    return err_hint(e, err_msg(e, EINVAL, "option %s: not known", option),
                    "known are mtu=N, bridge=NAME and isolate=true");
}

/* One range a family, apart from each other. */
static int check_subnets(const struct network_config *n, struct err *e)
{
    bool seen[2] = {false, false};
    for (size_t i = 0; i < n->n_subnets; i++) {
        struct network_range range;
        int r = network_subnet_range(&n->subnets[i], &range, e);
        if (r < 0)
            return r;
        bool six = range.subnet.addr.family == 6;
        if (seen[six])
            return err_hint(e,
                            err_msg(e, EINVAL, "subnet %s: there is one of IPv%d already",
                                    n->subnets[i].subnet, six ? 6 : 4),
                            "a network has one of IPv4 and one of IPv6; a wider one has room for "
                            "more containers");
        seen[six] = true;
    }
    return 0;
}

int network_check(const struct network_config *n, struct err *e)
{
    struct net_addr a;
    int r = network_check_name(n->name ? n->name : "", e);
    if (r == 0 && !streq(n->driver, "user") && !streq(n->driver, "bridge"))
        r = err_hint(e, err_msg(e, EINVAL, "driver \"%s\": not known", n->driver ? n->driver : ""),
                     "user (the default, without any privilege) and bridge (of the host)");
    for (char **o = n->options; r == 0 && o && *o; o++)
        r = check_option(n, *o, e);
    for (char **d = n->dns; r == 0 && d && *d; d++)
        if (net_addr_parse(*d, &a) < 0)
            r = err_msg(e, EINVAL, "name server \"%s\": not an address", *d);
    if (r == 0 && strv_len(n->dns) > WIRE_DNS_MAX)
        r = err_msg(e, EINVAL, "more than %d name servers", WIRE_DNS_MAX);
    return r == 0 ? check_subnets(n, e) : r;
}

/* --- reading --- */

/* The names of the files. */
static char **entries(int dir)
{
    char **names = NULL;
    int fd = dir < 0 ? -1 : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *ent;
    if (!d) {
        fd_close(&fd);
        return NULL;
    }
    while ((ent = readdir(d)))
        if (str_ends(ent->d_name, SUFFIX)) {
            scoped_free char *name = xstrndup(ent->d_name, strlen(ent->d_name) - strlen(SUFFIX));
            if (id_name_valid(name))
                strv_add(&names, name);
        }
    strv_sort(names);
    return names;
}

static int read_one(int dir, const char *name, struct network_config *ret, struct err *e)
{
    scoped_free char *file = xasprintf("%s" SUFFIX, name);
    scoped_free char *text = NULL;
    ssize_t n = fs_read(dir, file, NETWORK_MAX_BYTES, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "network %s", name);
    scoped_json json_t *j = json_parse(text, (size_t)n, NETWORK_MAX_BYTES, file, e);
    struct network_config v = {.name = NULL};
    int r = j ? jfield_parse(j, config_fields, "", &v, e) : -EINVAL;
    if (r == 0)
        r = network_check(&v, e);
    if (r == 0 && (!streq(v.name, name) || strlen(v.id) != ID_LEN || !id_is_hex(v.id)))
        r = err_msg(e, EINVAL, "%s: name or id do not fit", file);
    if (r < 0) {
        network_config_release(&v);
        return err_add(e, r, "network %s", name);
    }
    *ret = v;
    return 0;
}

static int list(int dir, struct network_config **ret, size_t *ret_n)
{
    scoped_strv char **names = entries(dir);
    struct network_config *v = xcalloc(strv_len(names) + 1, sizeof(*v));
    size_t n = 0;
    for (char **name = names; name && *name; name++) {
        struct err ignored = ERR_INIT;
        if (read_one(dir, *name, &v[n], &ignored) == 0)
            n++;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

int network_list(const struct conf *c, struct network_config **ret, size_t *ret_n, struct err *e)
{
    scoped_fd int dir = conf_open_root(c, DIR_NETWORKS, false, NULL);
    (void)e;
    return list(dir, ret, ret_n);
}

void network_list_free(struct network_config *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        network_config_release(&v[i]);
    free(v);
}

static int unknown(int dir, const char *ref, struct err *e)
{
    scoped_strv char **names = entries(dir);
    int r = err_msg(e, ENOENT, "no such network: %s", ref);
    if (streq(ref, "podman"))
        return err_hint(e, r,
                        "without --network a container has one of its own; 'rootlet network "
                        "create podman' makes one of this name");
    if (is_mode(ref))
        return err_hint(e, r, "%s is a mode of 'rootlet run --network', not a network", ref);
    const char *near = names ? opt_suggest(ref, (const char *const *)names) : NULL;
    if (near)
        return err_hint(e, r, "did you mean \"%s\"?", near);
    return err_hint(e, r, "rootlet network create %s makes it; rootlet network ls lists them",
                    id_name_valid(ref) ? ref : "NAME");
}

/* By the beginning of its id. */
static int open_id(int dir, const char *ref, struct network_config *ret, struct err *e)
{
    struct network_config *all = NULL;
    size_t n = 0, hits = 0, at = 0;
    if (!id_is_hex(ref))
        return unknown(dir, ref, e);
    list(dir, &all, &n);
    for (size_t i = 0; i < n; i++)
        if (str_after(all[i].id, ref)) {
            at = i;
            hits++;
        }
    int r = 0;
    if (hits == 1) {
        *ret = all[at];
        all[at] = (struct network_config){.name = NULL};
    } else {
        r = hits ? err_msg(e, EEXIST, "network %s: more than one id begins so", ref)
                 : unknown(dir, ref, e);
    }
    network_list_free(all, n);
    return r;
}

/* The host's bridge, as its administrator has set it up: no file makes it. */
static void builtin_bridge(struct network_config *ret)
{
    *ret = (struct network_config){
        .name = xstrdup("bridge"),
        .id = xstrdup("b21d9e00b21d9e00b21d9e00b21d9e00b21d9e00b21d9e00b21d9e00b21d9e00"),
        .driver = xstrdup("bridge"),
    };
}

int network_open(const struct conf *c, const char *ref, struct network_config *ret, struct err *e)
{
    struct err why = ERR_INIT;
    if (streq(ref, "bridge")) {
        builtin_bridge(ret);
        return 0;
    }
    scoped_fd int dir = conf_open_root(c, DIR_NETWORKS, false, NULL);
    if (dir < 0 || !id_name_valid(ref))
        return unknown(dir, ref, e);
    int r = read_one(dir, ref, ret, &why);
    if (r == -ENOENT)
        return open_id(dir, ref, ret, e);
    if (r < 0 && e)
        *e = why;
    return r;
}

/* --- changing --- */

/* Addresses have several forms; ours is kept. */
static int change_servers(struct network_config *n, char *const *list, bool add, struct err *e)
{
    for (char *const *v = list; v && *v; v++) {
        struct net_addr a;
        char text[NET_ADDR_TEXT];
        if (net_addr_parse(*v, &a) < 0)
            return err_msg(e, EINVAL, "name server \"%s\": not an address", *v);
        net_addr_format(&a, text);
        if (add && !strv_has(n->dns, text))
            strv_add(&n->dns, text);
        else if (!add && n->dns)
            strv_remove(n->dns, text);
    }
    return 0;
}

static int add_subnet(struct network_config *n, int family, const struct network_config *taken,
                      size_t n_taken, struct err *e)
{
    struct network_subnet s = {.subnet = NULL};
    int r = network_free_subnet(taken, n_taken, family, &s, e);
    if (r < 0)
        return r;
    n->subnets = xrealloc(n->subnets, (n->n_subnets + 1) * sizeof(*n->subnets));
    n->subnets[n->n_subnets++] = s;
    return 0;
}

static bool has_family(const struct network_config *n, int family)
{
    struct net_cidr c;
    for (size_t i = 0; i < n->n_subnets; i++)
        if (net_cidr_parse(n->subnets[i].subnet, &c) == 0 && c.addr.family == family)
            return true;
    return false;
}

static int complete(struct network_config *n, const struct network_config *taken, size_t n_taken,
                    struct err *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < n->n_subnets; i++) {
        r = subnet_check_free(&n->subnets[i], taken, n_taken, e);
        if (r == 0)
            r = subnet_complete(&n->subnets[i], e);
    }
    n->ipv6 = n->ipv6 || has_family(n, 6);
    /* Of a bridge on the host the administrator says which addresses it has. */
    bool choose = streq(n->driver, "user");
    if (r == 0 && choose && n->n_subnets == 0)
        r = add_subnet(n, 4, taken, n_taken, e);
    if (r == 0 && choose && n->ipv6 && !has_family(n, 6))
        r = add_subnet(n, 6, taken, n_taken, e);
    return r;
}

static int write_config(int dir, const struct network_config *n, struct err *e)
{
    scoped_free char *file = xasprintf("%s" SUFFIX, n->name);
    scoped_json json_t *j = jfield_emit(config_fields, n);
    scoped_free char *text = json_text(j, true);
    return fs_write_atomic(dir, file, text, strlen(text), 0600, FS_NO_SYNC, e);
}

static int write_new(int dir, struct network_config *n, struct err *e)
{
    char id[ID_LEN + 1];
    id_random(id);
    free(n->id);
    n->id = xstrdup(id);
    n->created_ns = time_now_ns();
    return write_config(dir, n, e);
}

int network_create(const struct conf *c, struct network_config *n, struct err *e)
{
    scoped_strv char **dns = take_ptr(n->dns);
    int r = change_servers(n, dns, true, e);
    if (r == 0)
        r = network_check(n, e);
    if (r < 0)
        return r;
    scoped_fd int dir = conf_open_root(c, DIR_NETWORKS, true, e);
    r = dir < 0 ? dir : lock_fd(dir, LOCK_EXCLUSIVE, -1, "the networks", e);
    if (r < 0)
        return r;
    scoped_free char *file = xasprintf("%s" SUFFIX, n->name);
    if (faccessat(dir, file, F_OK, 0) == 0)
        return err_hint(e, err_msg(e, EEXIST, "the network %s exists already", n->name),
                        "--ignore takes it as it is");
    struct network_config *all = NULL;
    size_t n_all = 0;
    list(dir, &all, &n_all);
    r = complete(n, all, n_all, e);
    if (r == 0)
        r = network_check(n, e);
    network_list_free(all, n_all);
    return r == 0 ? write_new(dir, n, e) : r;
}

int network_change_dns(const struct conf *c, const char *ref, char *const *add, char *const *drop,
                       struct network_config *ret, struct err *e)
{
    scoped_fd int dir = conf_open_root(c, DIR_NETWORKS, false, NULL);
    int r = dir < 0 ? 0 : lock_fd(dir, LOCK_EXCLUSIVE, -1, "the networks", e);
    if (r == 0)
        r = network_open(c, ref, ret, e);
    if (r == 0 && streq(ref, "bridge"))
        r = err_msg(e, EINVAL, "network bridge is the host's");
    if (r == 0 && !ret->dns_enabled)
        r = err_hint(e, err_msg(e, EINVAL, "network %s has no name server", ret->name),
                     "it was made with --disable-dns");
    if (r == 0)
        r = change_servers(ret, drop, false, e);
    if (r == 0)
        r = change_servers(ret, add, true, e);
    ret->changes++;
    if (r == 0)
        r = network_check(ret, e);
    return r == 0 ? write_config(dir, ret, e) : r;
}

int network_remove(const struct conf *c, const char *name, struct err *e)
{
    scoped_fd int dir = conf_open_root(c, DIR_NETWORKS, false, NULL);
    scoped_free char *file = xasprintf("%s" SUFFIX, name);
    int r = dir < 0 ? 0 : lock_fd(dir, LOCK_EXCLUSIVE, -1, "the networks", e);
    if (r < 0)
        return r;
    if (dir < 0 || !id_name_valid(name))
        return unknown(dir, name, e);
    if (unlinkat(dir, file, 0) < 0)
        return errno == ENOENT ? unknown(dir, name, e)
                               : err_set(e, errno, "remove network %s", name);
    /* What its process has left: the lock, a hint. One that is just ending does not mind. */
    scoped_fd int run = conf_open_run(c, DIR_NETWORKS, false, NULL);
    if (run >= 0)
        (void)fs_remove_tree(run, name, NULL);
    return 0;
}
