/* config - see config.h. */
#include "oci/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "oci/oci.h"
#include "security/caps.h"
#include "userns/userns.h"

void oci_config_release(struct oci_config *c)
{
    free(take_ptr(c->bundle));
    free(take_ptr(c->rootfs));
    free(take_ptr(c->text));
    spec_release(&c->spec);
}

static int read_file(const char *bundle, const char *file, struct oci_config *c, struct err *e)
{
    c->bundle = realpath(bundle && bundle[0] ? bundle : ".", NULL);
    if (!c->bundle)
        return err_set(e, errno, "bundle %s", bundle ? bundle : ".");
    scoped_free char *path = file && file[0] ? xstrdup(file) : path_join(c->bundle, "config.json");
    ssize_t n = fs_read(AT_FDCWD, path, SPEC_MAX_BYTES, &c->text, e);
    if (n == -ENOENT)
        return err_hint(e, (int)n, "\"rootlet-oci spec\" writes a config.json to begin with");
    if (n < 0)
        return (int)n;
    int r = spec_parse(c->text, (size_t)n, path_name(path), &c->spec, e);
    if (r < 0)
        return err_add(e, r, "bundle %s", c->bundle);
    const char *root = c->spec.root->path;
    c->rootfs = root[0] == '/' ? xstrdup(root) : path_join(c->bundle, root);
    return 0;
}

static void set_map(const struct idmap *m, struct spec_id_map **ret, size_t *ret_n)
{
    *ret = xcalloc(m->n ? m->n : 1, sizeof(**ret));
    *ret_n = m->n;
    for (size_t i = 0; i < m->n; i++) {
        (*ret)[i].container_id = m->v[i].inside;
        (*ret)[i].host_id = m->v[i].outside;
        (*ret)[i].size = m->v[i].count;
    }
}

/* The namespace with the ids that the caller has. */
static int add_userns(struct oci_config *c, struct err *e)
{
    scoped_userns_map struct userns_map map = {.single = false};
    scoped_free char *notice = NULL;
    int r = userns_map_build("", NULL, NULL, &map, &notice, e);
    if (r < 0)
        return err_add(e, r, "make a user namespace");
    if (notice)
        log_warn("%s", notice);
    spec_namespace_set(&c->spec, "user", NULL);
    struct spec_linux *l = c->spec.linux_;
    set_map(&map.uid, &l->uid_mappings, &l->n_uid_mappings);
    set_map(&map.gid, &l->gid_mappings, &l->n_gid_mappings);
    free(take_ptr(c->text));
    return 0;
}

static int adapt(struct oci_config *c, struct err *e)
{
    const struct spec_namespace *user = spec_namespace_get(&c->spec, "user");
    const struct spec_linux *l = c->spec.linux_;
    int rootless = oci_settings()->rootless;
    bool as_root = rootless == OCI_ROOTLESS_NO || (rootless == OCI_ROOTLESS_AUTO && geteuid() == 0);
    c->privileged = oci_host_root() && rootless != OCI_ROOTLESS_YES;
    if (user ? user->path || l->n_uid_mappings || l->n_gid_mappings : as_root) {
        c->host_root = !user && oci_host_root();
        return 0;
    }
    return add_userns(c, e);
}

/* "CAP_A, CAP_B"; owned. */
static char *cap_names(uint64_t mask)
{
    struct str s = STR_INIT;
    for (int i = 0; i < 64; i++)
        if (mask & (1ULL << i))
            str_addf(&s, "%s%s", s.len ? ", " : "", cap_name(i));
    return str_detach(&s);
}

/* The specification wants a warning for what cannot be granted. */
static void warn_of_caps(const struct oci_config *c)
{
    const struct spec_caps *caps = c->spec.process->capabilities;
    uint64_t refused = 0, ambient = 0;
    if (!caps || cap_missing(caps, &refused, &ambient, NULL) < 0)
        return;
    scoped_free char *names = cap_names(refused), *ambient_names = cap_names(ambient);
    if (refused && c->host_root)
        log_warn("process.capabilities: we have not and cannot give %s", names);
    if (ambient)
        log_warn("process.capabilities.ambient: not inheritable as well and so left out: %s",
                 ambient_names);
}

int oci_config_load(const char *bundle, const char *file, struct oci_config *ret, struct err *e)
{
    struct oci_config c SCOPED(oci_config_release) = {.bundle = NULL};
    int r = read_file(bundle, file, &c, e);
    if (r == 0)
        r = adapt(&c, e);
    if (r < 0)
        return r;
    warn_of_caps(&c);
    *ret = c;
    c = (struct oci_config){.bundle = NULL};
    return 0;
}

uid_t oci_config_root_uid(const struct oci_config *c)
{
    const struct spec_linux *l = c->spec.linux_;
    for (size_t i = 0; i < l->n_uid_mappings; i++)
        if (l->uid_mappings[i].container_id == 0)
            return l->uid_mappings[i].host_id;
    return 0;
}
