/* build - small steps for code that puts a configuration together. */
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "spec/tables.h"

static struct spec_linux *need_linux(struct spec *s)
{
    if (!s->linux_)
        s->linux_ = xcalloc(1, sizeof(*s->linux_));
    return s->linux_;
}

struct spec_mount *spec_add_mount(struct spec *s, const char *destination, const char *type,
                                  const char *source, const char *options_commas)
{
    s->mounts = xrealloc(s->mounts, (s->n_mounts + 1) * sizeof(*s->mounts));
    struct spec_mount *m = &s->mounts[s->n_mounts++];
    *m = (struct spec_mount){
        .destination = xstrdup(destination),
        .type = xstrdup(type),
        .source = xstrdup(source),
        .options = options_commas ? strv_split(options_commas, ",", false) : NULL,
    };
    return m;
}

void spec_remove_mount(struct spec *s, const char *destination)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n_mounts; i++) {
        if (streq(s->mounts[i].destination, destination))
            jfield_release(spec_mount_fields, &s->mounts[i]);
        else
            s->mounts[kept++] = s->mounts[i];
    }
    s->n_mounts = kept;
}

struct spec_namespace *spec_namespace_get(const struct spec *s, const char *type)
{
    for (size_t i = 0; s->linux_ && i < s->linux_->n_namespaces; i++)
        if (streq(s->linux_->namespaces[i].type, type))
            return &s->linux_->namespaces[i];
    return NULL;
}

void spec_namespace_set(struct spec *s, const char *type, const char *path)
{
    struct spec_linux *l = need_linux(s);
    struct spec_namespace *n = spec_namespace_get(s, type);
    if (!n) {
        l->namespaces = xrealloc(l->namespaces, (l->n_namespaces + 1) * sizeof(*l->namespaces));
        n = &l->namespaces[l->n_namespaces++];
        *n = (struct spec_namespace){.type = xstrdup(type)};
    }
    char *copy = xstrdup(path); /* path may be the old one */
    free(n->path);
    n->path = copy;
}

void spec_namespace_remove(struct spec *s, const char *type)
{
    struct spec_linux *l = s->linux_;
    size_t kept = 0;
    for (size_t i = 0; l && i < l->n_namespaces; i++) {
        if (streq(l->namespaces[i].type, type))
            jfield_release(spec_namespace_fields, &l->namespaces[i]);
        else
            l->namespaces[kept++] = l->namespaces[i];
    }
    if (l)
        l->n_namespaces = kept;
}

static bool mount_is_newer(const struct spec_mount *m)
{
    static const char *const recursive[] = {"rro",    "rrw",      "rnosuid", "rsuid",
                                            "rnodev", "rdev",     "rnoexec", "rexec",
                                            "ratime", "rnoatime", "idmap",   "ridmap"};
    if (m->n_uid_mappings || m->n_gid_mappings)
        return true;
    for (char *const *o = m->options; o && *o; o++)
        for (size_t i = 0; i < N_ELEMENTS(recursive); i++)
            if (streq(*o, recursive[i]))
                return true;
    return false;
}

void spec_claim_version(struct spec *s)
{
    const struct spec_process *p = s->process;
    const struct spec_linux *l = s->linux_;
    bool newer = s->domainname != NULL;
    if (p)
        newer = newer || p->scheduler || p->io_priority || p->exec_cpu_affinity;
    if (l)
        newer = newer || l->time_offsets || l->net_devices || l->memory_policy ||
                spec_namespace_get(s, "time") || (l->seccomp && l->seccomp->listener_path);
    for (size_t i = 0; i < s->n_mounts; i++)
        newer = newer || mount_is_newer(&s->mounts[i]);
    free(s->oci_version);
    s->oci_version = xstrdup(newer ? SPEC_OCI_VERSION : SPEC_OCI_VERSION_OLD);
}

const char *spec_annotation(const struct spec *s, const char *key)
{
    return strv_env_get(s->annotations, key);
}

void spec_annotate(struct spec *s, const char *key, const char *value)
{
    scoped_free char *entry = xasprintf("%s=%s", key, value);
    strv_env_set(&s->annotations, entry);
}

int spec_time_offset(const struct spec *s, const char *clock, struct spec_time_offset *ret)
{
    const json_t *offset = s->linux_ ? json_object_get(s->linux_->time_offsets, clock) : NULL;
    if (!json_is_object(offset))
        return 0;
    *ret = (struct spec_time_offset){
        .secs = json_integer_value(json_object_get(offset, "secs")),
        .nanosecs = (uint32_t)json_integer_value(json_object_get(offset, "nanosecs")),
    };
    return 1;
}
