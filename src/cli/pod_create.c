/* pod_create - pod create: the infra container, which is the pod. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>

#include "base/fs.h"
#include "cli/cli.h"
#include "cli/create.h"
#include "cli/pod.h"
#include "events/events.h"

struct create_opts {
    char *name, *hostname, *share, *ip, *ip6, *mac_address, *hosts_file, *infra_name, *userns,
        *exit_policy, *cgroup_parent;
    char *shm_size, *id_file;
    bool replace, infra, infra_set, no_hosts, no_hostname;
    char **label, **label_file, **uidmap, **gidmap, **sysctl, **add_host, **dns, **dns_search;
    char **dns_option, **publish, **network, **network_alias, **egress, **command_line;
};

#define O(m) offsetof(struct create_opts, m)
#define LIMIT "give limits to the containers; the pod's slice takes systemctl --user set-property"
#define LATER(n, instead)                                                                          \
    {                                                                                              \
        n, 0, OPT_STRING, 0, "X", instead, OPT_LATER                                               \
    }
static const struct opt pod_create_table[] = {
    {"add-host", 0, OPT_STRV, O(add_host), "HOST:IP", "Add a line to /etc/hosts"},
    {"cgroup-parent", 0, OPT_STRING, O(cgroup_parent), "PATH", "Slice or cgroup to live in"},
    {"dns", 0, OPT_STRV, O(dns), "ADDRESS", "Name server in /etc/resolv.conf"},
    {"dns-option", 0, OPT_STRV, O(dns_option), "OPTION", "Option in /etc/resolv.conf"},
    {"dns-search", 0, OPT_STRV, O(dns_search), "DOMAIN", "Search domain in /etc/resolv.conf"},
    {"egress", 0, OPT_STRV, O(egress), "POLICY",
     "Where it may connect to: allow=NAME|CIDR[:PORT],... or deny"},
    {"exit-policy", 0, OPT_STRING, O(exit_policy), "POLICY",
     "continue (default), or stop: it ends with its last container"},
    {"gidmap", 0, OPT_STRV, O(gidmap), "IN:OUT[:N]", "Map group ids"},
    {"hostname", 0, OPT_STRING, O(hostname), "NAME", "Host name inside (the pod's name)"},
    {"infra", 0, OPT_FLAG, O(infra), NULL, "For podman's sake: a pod always has one", 0, NULL, NULL,
     O(infra_set)},
    {"infra-name", 0, OPT_STRING, O(infra_name), "NAME",
     "Name of the infra container (NAME-infra)"},
    {"label", 'l', OPT_STRV, O(label), "KEY[=VALUE]", "Set a label"},
    {"label-file", 0, OPT_STRV, O(label_file), "FILE", "Read labels from a file"},
    {"name", 'n', OPT_STRING, O(name), "NAME", "Name of the pod, instead of NAME behind"},
    {"hosts-file", 0, OPT_STRING, O(hosts_file), "FILE",
     "What /etc/hosts begins with: a path, image, or none"},
    {"ip", 0, OPT_STRING, O(ip), "ADDRESS", "IPv4 address in its network"},
    {"ip6", 0, OPT_STRING, O(ip6), "ADDRESS", "IPv6 address in its network"},
    {"mac-address", 0, OPT_STRING, O(mac_address), "MAC", "MAC address in its network"},
    {"network", 0, OPT_STRV, O(network), "MODE",
     "slirp, none, host, bridge, pasta, container:ID, ns:PATH or networks"},
    {"net", 0, OPT_STRV, O(network), "MODE", NULL, 0, "network"},
    {"network-alias", 0, OPT_STRV, O(network_alias), "NAME", "Further name in its networks"},
    {"no-hostname", 0, OPT_FLAG, O(no_hostname), NULL, "Leave the images' /etc/hostname alone"},
    {"no-hosts", 0, OPT_FLAG, O(no_hosts), NULL, "Leave the images' /etc/hosts alone"},
    {"pod-id-file", 0, OPT_STRING, O(id_file), "FILE", "Write the pod's id to a file"},
    {"publish", 'p', OPT_STRV, O(publish), "[[IP:]HOST:]CTR[/PROTO]",
     "Publish a port of the pod on the host"},
    {"replace", 0, OPT_FLAG, O(replace), NULL, "Remove a pod of the same name first"},
    {"share", 0, OPT_STRING, O(share), "TYPES",
     "Namespaces: net, ipc, uts, pid (net,ipc,uts), none"},
    {"shm-size", 0, OPT_STRING, O(shm_size), "SIZE", "Size of /dev/shm (64m)"},
    {"sysctl", 0, OPT_STRV, O(sysctl), "KEY=VALUE", "Set a kernel parameter of its namespaces"},
    {"uidmap", 0, OPT_STRV, O(uidmap), "IN:OUT[:N]", "Map user ids"},
    {"userns", 0, OPT_STRING, O(userns), "MODE", "keep-id[:uid=,gid=], auto, isolated or nomap"},
    LATER("memory", LIMIT),
    LATER("cpus", LIMIT),
    LATER("infra-command", "the infra container is rootlet-init, and needs none"),
    LATER("infra-image", "the infra container is rootlet-init, and needs none"),
    LATER("volume", "give volumes to the containers"),
    {NULL},
};

/* "net,ipc", "+pid", "none". */
static int parse_share(const char *text, char ***ret, struct err *e)
{
    static const char *const known[] = {"net", "ipc", "uts", "pid", NULL};
    scoped_strv char **words = NULL;
    scoped_strv char **all = strv_split("net,ipc,uts", ",", false);
    if (text && *text != '+') {
        strv_free(all);
        all = NULL;
    }
    words = text ? strv_split(*text == '+' ? text + 1 : text, ",", false) : NULL;
    for (char **w = words; w && *w; w++) {
        if (streq(*w, "none") && !words[1])
            continue;
        if (!strv_has((char *const *)(uintptr_t)known, *w))
            return err_hint(e, err_msg(e, EINVAL, "--share %s: unknown namespace", *w),
                            "known: net, ipc, uts, pid, none; the user namespace always is shared");
        if (!strv_has(all, *w))
            strv_add(&all, *w);
    }
    *ret = take_ptr(all);
    return 0;
}

static int check(const struct create_opts *o, struct err *e)
{
    const char *policy = o->exit_policy;
    if (policy && !streq(policy, "continue") && !streq(policy, "stop"))
        return err_msg(e, EINVAL, "--exit-policy %s: not continue or stop", policy);
    if (o->infra_set && !o->infra && !(o->share && (!*o->share || streq(o->share, "none"))))
        return err_hint(e, err_msg(e, ENOTSUP, "--infra=false: a pod is its infra container"),
                        "--share none makes a pod that is a mere group");
    if (!id_name_valid(o->name))
        return err_hint(e, err_msg(e, EINVAL, "name \"%s\" is not valid", o->name),
                        "letters, digits, \"_\", \".\" and \"-\", a letter or digit first");
    return 0;
}

static int make_infra(const struct create_opts *o, const struct pod_wish *wish, const char *id,
                      struct err *e)
{
    scoped_free char *name =
        o->infra_name ? xstrdup(o->infra_name) : xasprintf("%s-infra", o->name);
    scoped_strv char **drop = strv_split("ALL", ",", false);
    scoped_strv char **security = strv_split("no-new-privileges", ",", false);
    scoped_strv char **no_network = strv_split("none", ",", false);
    scoped_free char *none = xstrdup("none");
    char *words[] = {NULL};
    bool net = strv_has(wish->share, "net");
    bool uts = strv_has(wish->share, "uts") && strlen(o->name) <= 64;
    struct run_opts run = {
        .name = name,
        .init = true,
        .read_only = true,
        .read_only_tmpfs_set = true,
        .infra = wish,
        .cap_drop = drop,
        .security_opt = security,
        .log_driver = none,
        .hostname = o->hostname ? o->hostname
                    : uts       ? o->name
                                : NULL,
        .network = o->network || net ? o->network : no_network,
        .userns = o->userns,
        .uidmap = o->uidmap,
        .gidmap = o->gidmap,
        .label = o->label,
        .label_file = o->label_file,
        .sysctl = o->sysctl,
        .add_host = o->add_host,
        .dns = o->dns,
        .dns_search = o->dns_search,
        .dns_option = o->dns_option,
        .publish = o->publish,
        .network_alias = o->network_alias,
        .egress = o->egress,
        .ip = o->ip,
        .ip6 = o->ip6,
        .mac_address = o->mac_address,
        .hosts_file = o->hosts_file,
        .no_hosts = o->no_hosts,
        .no_hostname = o->no_hostname,
        .shm_size = o->shm_size,
        .cgroup_parent = o->cgroup_parent,
    };
    struct cli_groups groups scoped_groups = CLI_GROUPS_INIT;
    if (o->publish && !net)
        return err_hint(e, err_msg(e, EINVAL, "--publish: its network is not shared"),
                        "publish ports of the containers, or make the pod with --share net");
    return cli_create(&run, words, o->command_line, id, &groups, e);
}

static int make_locked(const struct create_opts *o, const struct pod_wish *wish, const char *id,
                       struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    const struct pod *old = NULL;
    scoped_fd int lock = pod_lock(cli_conf(), true, e);
    int r = lock < 0 ? lock : pod_set_load(cli_conf(), &set, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < set.n; i++)
        if (streq(set.v[i].infra.rec.pod, o->name))
            old = &set.v[i];
    if (old)
        return err_hint(e, err_msg(e, EEXIST, "the pod %s exists already", o->name),
                        "--replace removes it first, with its containers");
    r = make_infra(o, wish, id, e);
    return r < 0 ? err_add(e, r, "pod %s", o->name) : 0;
}

static int make(struct create_opts *o, char ret_id[static ID_LEN + 1], struct err *e)
{
    char random[80];
    struct pod_wish wish = {.exit_policy = o->exit_policy ? o->exit_policy : "continue"};
    if (!o->name) {
        id_random_name(random, sizeof(random));
        o->name = xstrdup(random);
    }
    int r = check(o, e);
    if (r == 0)
        r = parse_share(o->share, &wish.share, e);
    if (r == 0 && o->replace) {
        struct err none = ERR_INIT;
        r = cli_pod_remove(o->name, -1, &none);
        if (r < 0 && r != -ENOENT)
            *e = none;
        r = r == -ENOENT ? 0 : r;
    }
    wish.name = o->name;
    id_random(ret_id);
    if (r == 0)
        r = make_locked(o, &wish, ret_id, e);
    strv_free(wish.share);
    if (r == 0)
        event_named(cli_conf(), "pod", "create", ret_id, o->name);
    return r;
}

int cli_pod_make(const char *name, const struct run_opts *first, struct err *e)
{
    char id[ID_LEN + 1];
    struct create_opts o = {
        .name = xstrdup(name),
        .hostname = first->hostname,
        .network = first->network,
        .publish = first->publish,
        .network_alias = first->network_alias,
        .ip = first->ip,
        .ip6 = first->ip6,
        .mac_address = first->mac_address,
        .egress = first->egress,
        .dns = first->dns,
        .dns_search = first->dns_search,
        .dns_option = first->dns_option,
        .add_host = first->add_host,
        .hosts_file = first->hosts_file,
        .no_hosts = first->no_hosts,
        .userns = first->userns,
        .uidmap = first->uidmap,
        .gidmap = first->gidmap,
    };
    int r = make(&o, id, e);
    free(o.name);
    return r;
}

static int create(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct create_opts *o = opts;
    char id[ID_LEN + 1];
    (void)cmd;
    if (args[0] && o->name)
        return err_msg(e, EINVAL, "the name is given twice: %s and %s", o->name, args[0]);
    if (args[0])
        o->name = xstrdup(args[0]);
    o->command_line = cli_command_line(args);
    int r = make(o, id, e);
    strv_free(o->command_line);
    if (r == 0 && o->id_file)
        r = fs_write_atomic(AT_FDCWD, o->id_file, id, ID_LEN, 0644, FS_NO_SYNC, e);
    if (r == 0)
        puts(id);
    return r;
}

const struct cmd cli_pod_create_cmds[] = {
    {
        .name = "pod create",
        .args = "[NAME]",
        .summary = "Make a pod: containers that share namespaces",
        .opts = pod_create_table,
        .opts_size = sizeof(struct create_opts),
        .max_args = 1,
        .run = create,
        .examples = "rootlet pod create web\nrootlet run -d --pod web --name app busybox httpd -f\n"
                    "rootlet pod create --replace --exit-policy stop --share net web",
    },
    {NULL},
};
