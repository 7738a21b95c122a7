/* spec - a configuration to start from, written as config.json of a bundle. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup.h"
#include "oci/oci.h"
#include "userns/userns.h"

struct spec_opts {
    char *bundle;
    bool rootless;
};

#define O(m) offsetof(struct spec_opts, m)
static const struct opt spec_table[] = {
    {"bundle", 'b', OPT_STRING, O(bundle), "DIR", "Directory of the bundle (.)"},
    {"rootless", 0, OPT_FLAG, O(rootless), NULL, "With a user namespace and your own id maps"},
    {NULL},
};

static const char *const few_caps[] = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};

/* What runc gives: as much as a network service needs, no more. */
static void set_process(struct spec *s)
{
    struct spec_caps *c = s->process->capabilities;
    char ***const sets[] = {&c->bounding, &c->effective, &c->permitted};
    for (size_t i = 0; i < N_ELEMENTS(sets); i++) {
        strv_free(*sets[i]);
        *sets[i] = NULL;
        for (size_t j = 0; j < N_ELEMENTS(few_caps); j++)
            strv_add(sets[i], few_caps[j]);
    }
    s->process->terminal = true;
    s->root->readonly = true;
}

/* The user namespace's root is the caller; 65536 ids behind it where /etc/subuid gives them. */
static int set_rootless(struct spec *s, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    int r = userns_map_default(&map, e);
    if (r < 0)
        return r;
    const struct {
        const struct idmap *from;
        struct spec_id_map **to;
        size_t *n;
    } sides[] = {
        {&map.uid, &s->linux_->uid_mappings, &s->linux_->n_uid_mappings},
        {&map.gid, &s->linux_->gid_mappings, &s->linux_->n_gid_mappings},
    };
    for (size_t i = 0; i < N_ELEMENTS(sides); i++) {
        const struct idmap *m = sides[i].from;
        *sides[i].to = xcalloc(m->n, sizeof(**sides[i].to));
        *sides[i].n = m->n;
        for (size_t j = 0; j < m->n; j++)
            (*sides[i].to)[j] = (struct spec_id_map){
                .container_id = m->v[j].inside, .host_id = m->v[j].outside, .size = m->v[j].count};
    }
    return 0;
}

/* Root of the host needs no user namespace; devices are forbidden but for those that every
 * container has (config-linux.md, default devices). */
static void set_rootful(struct spec *s)
{
    spec_namespace_remove(s, "user");
    for (size_t i = 0; i < s->n_mounts; i++)
        if (streq(s->mounts[i].destination, "/dev/pts"))
            strv_add(&s->mounts[i].options, "gid=5"); /* group tty */
    s->linux_->resources = json_pack("{s:[{s:b,s:s}]}", "devices", "allow", 0, "access", "rwm");
}

static int default_config(const struct spec_opts *o, struct spec *ret, struct err *e)
{
    struct cgroup_host host;
    scoped_spec struct spec s = {0};
    spec_default(&s);
    set_process(&s);
    spec_add_mount(&s, "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro");
    /* Other runtimes cannot mount a v1 hierarchy in a namespace that they have just made. */
    if (cgroup_detect(&host, NULL) == 0 && host.mode == CGROUP_V2)
        spec_namespace_set(&s, "cgroup", NULL);
    int r = 0;
    if (o->rootless)
        r = set_rootless(&s, e);
    else
        set_rootful(&s);
    if (r < 0)
        return r;
    spec_claim_version(&s);
    *ret = s;
    s = (struct spec){0};
    return 0;
}

static int spec_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct spec_opts *o = opts;
    const char *bundle = o->bundle ? o->bundle : ".";
    scoped_spec struct spec s = {0};
    (void)cmd;
    (void)args;
    scoped_fd int dir = fs_open_dir(bundle, false, 0, e);
    if (dir < 0)
        return err_add(e, dir, "--bundle %s", bundle);
    if (faccessat(dir, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_hint(e, err_msg(e, EEXIST, "spec: %s/config.json exists", bundle),
                        "move it away first: nothing is overwritten");
    int r = default_config(o, &s, e);
    if (r < 0)
        return err_add(e, r, "spec");
    scoped_json json_t *j = spec_emit(&s);
    scoped_free char *text = json_text(j, true);
    scoped_free char *lines = xasprintf("%s\n", text);
    return fs_write_atomic(dir, "config.json", lines, strlen(lines), 0644, FS_NO_SYNC, e);
}

const struct cmd oci_cmd_spec = {
    .name = "spec",
    .args = "",
    .summary = "Write a config.json to start from",
    .opts = spec_table,
    .opts_size = sizeof(struct spec_opts),
    .run = spec_command,
    .details = "The configuration runs sh on a terminal in the directory rootfs of the bundle. "
               "An existing config.json is not touched.",
    .examples = "rootlet-oci spec\nrootlet-oci spec --rootless -b ~/bundle",
};
