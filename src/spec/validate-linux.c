/* validate-linux - the rules for "linux": namespaces, id maps, devices, paths, sysctls. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "spec/names.h"
#include "spec/tables.h"

#define MAX_ID_MAPS 340 /* lines of a map, user_namespaces(7) */

const char *const spec_namespace_types[] = {"pid",  "network", "mount", "ipc", "uts",
                                            "user", "cgroup",  "time",  NULL};

static int check_namespaces(const struct spec_linux *l, struct err *e)
{
    for (size_t i = 0; i < l->n_namespaces; i++) {
        const struct spec_namespace *n = &l->namespaces[i];
        if (!spec_known(spec_namespace_types, n->type))
            return err_msg(e, EINVAL,
                           "linux.namespaces[%zu].type: \"%s\" is none of pid, network, mount, "
                           "ipc, uts, user, cgroup, time",
                           i, n->type);
        if (n->path && *n->path && n->path[0] != '/')
            return err_msg(e, EINVAL, "linux.namespaces[%zu].path: want an absolute path", i);
        for (size_t j = 0; j < i; j++)
            if (streq(l->namespaces[j].type, n->type))
                return err_msg(e, EINVAL, "linux.namespaces[%zu].type: \"%s\" was given before", i,
                               n->type);
    }
    return 0;
}

static bool overlap(uint32_t a, uint32_t a_size, uint32_t b, uint32_t b_size)
{
    return a < (uint64_t)b + b_size && b < (uint64_t)a + a_size;
}

int spec_check_id_maps(const struct spec_id_map *v, size_t n, const char *where, struct err *e)
{
    if (n > MAX_ID_MAPS)
        return err_msg(e, EINVAL, "%s: more than %d entries", where, MAX_ID_MAPS);
    for (size_t i = 0; i < n; i++) {
        if (v[i].size == 0)
            return err_msg(e, EINVAL, "%s[%zu].size: want at least 1", where, i);
        if ((uint64_t)v[i].container_id + v[i].size > UINT32_MAX)
            return err_msg(e, EINVAL, "%s[%zu].containerID: the range ends behind 4294967294",
                           where, i);
        if ((uint64_t)v[i].host_id + v[i].size > UINT32_MAX)
            return err_msg(e, EINVAL, "%s[%zu].hostID: the range ends behind 4294967294", where, i);
        for (size_t j = 0; j < i; j++) {
            if (overlap(v[i].container_id, v[i].size, v[j].container_id, v[j].size))
                return err_msg(e, EINVAL, "%s[%zu].containerID: the range overlaps entry %zu",
                               where, i, j);
            if (overlap(v[i].host_id, v[i].size, v[j].host_id, v[j].size))
                return err_msg(e, EINVAL, "%s[%zu].hostID: the range overlaps entry %zu", where, i,
                               j);
        }
    }
    return 0;
}

static int check_maps(const struct spec *s, struct err *e)
{
    const struct spec_linux *l = s->linux_;
    if ((l->n_uid_mappings || l->n_gid_mappings) && !spec_namespace_get(s, "user"))
        return err_msg(e, EINVAL, "linux.%s: needs a \"user\" entry in linux.namespaces",
                       l->n_uid_mappings ? "uidMappings" : "gidMappings");
    int r = spec_check_id_maps(l->uid_mappings, l->n_uid_mappings, "linux.uidMappings", e);
    if (r < 0)
        return r;
    return spec_check_id_maps(l->gid_mappings, l->n_gid_mappings, "linux.gidMappings", e);
}

static int check_devices(const struct spec_linux *l, struct err *e)
{
    for (size_t i = 0; i < l->n_devices; i++) {
        const struct spec_device *d = &l->devices[i];
        if (strlen(d->type) != 1 || !strchr("cbup", d->type[0]))
            return err_msg(e, EINVAL, "linux.devices[%zu].type: want \"c\", \"b\", \"u\" or \"p\"",
                           i);
        if (d->path[0] != '/')
            return err_msg(e, EINVAL, "linux.devices[%zu].path: want an absolute path", i);
        /* 12 and 20 bits: MINORBITS of the kernel */
        if (d->major < 0 || d->major > 0xfff)
            return err_msg(e, EINVAL, "linux.devices[%zu].major: want an integer from 0 to 4095",
                           i);
        if (d->minor < 0 || d->minor > 0xfffff)
            return err_msg(e, EINVAL, "linux.devices[%zu].minor: want an integer from 0 to 1048575",
                           i);
        /* The type's bits may be there, as in a mode from stat. */
        if (d->has_file_mode && d->file_mode > 0177777)
            return err_msg(e, EINVAL, "linux.devices[%zu].fileMode: want a file mode", i);
    }
    return 0;
}

/* A key becomes a path below /proc/sys: nothing in it may lead elsewhere. */
static bool is_sysctl(const char *entry)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./@:";
    size_t n = strcspn(entry, "=");
    const char *dots = strstr(entry, "..");
    return n > 0 && strspn(entry, plain) == n && entry[0] != '.' && entry[0] != '/' &&
           entry[n - 1] != '.' && entry[n - 1] != '/' && !(dots && dots < entry + n);
}

static int check_strings(const struct spec_linux *l, struct err *e)
{
    static const char *const propagation[] = {"shared",     "slave",       "private",
                                              "unbindable", "rshared",     "rslave",
                                              "rprivate",   "runbindable", NULL};
    for (size_t i = 0; l->sysctl && l->sysctl[i]; i++)
        if (!is_sysctl(l->sysctl[i]))
            return err_msg(e, EINVAL, "linux.sysctl[\"%.*s\"]: want a name like net.core.somaxconn",
                           (int)strcspn(l->sysctl[i], "="), l->sysctl[i]);
    if (l->rootfs_propagation && *l->rootfs_propagation &&
        !spec_known(propagation, l->rootfs_propagation))
        return err_msg(e, EINVAL,
                       "linux.rootfsPropagation: \"%s\" is none of shared, slave, private, "
                       "unbindable",
                       l->rootfs_propagation);
    if (l->cgroups_path) {
        scoped_strv char **parts = strv_split(l->cgroups_path, "/", false);
        if (strv_has(parts, ".."))
            return err_msg(e, EINVAL, "linux.cgroupsPath: \"..\" is not allowed");
    }
    int r = spec_check_absolute(l->masked_paths, "linux.maskedPaths", e);
    return r < 0 ? r : spec_check_absolute(l->readonly_paths, "linux.readonlyPaths", e);
}

int spec_check_linux(const struct spec *s, struct err *e)
{
    const struct spec_linux *l = s->linux_;
    if (!l)
        return 0;
    int r = check_namespaces(l, e);
    if (r == 0)
        r = check_maps(s, e);
    if (r == 0)
        r = check_devices(l, e);
    if (r == 0)
        r = check_strings(l, e);
    if (r == 0 && l->seccomp)
        r = spec_seccomp_validate(l->seccomp, "linux.seccomp", e);
    if (r == 0)
        r = spec_check_raw(l, e);
    if (r == 0 && l->net_devices && json_object_size(l->net_devices) &&
        !spec_namespace_get(s, "network"))
        r = err_msg(e, EINVAL, "linux.netDevices: needs a \"network\" entry in linux.namespaces");
    if (r == 0 && json_object_size(l->time_offsets) && !spec_namespace_get(s, "time"))
        r = err_msg(e, EINVAL, "linux.timeOffsets: needs a \"time\" entry in linux.namespaces");
    return r;
}
