/* build_mounts - the mounts every container has, tmpfs, read-only roots, devices, the init. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/path.h"
#include "cli/build.h"
#include "engine/engine.h"

#define TMPFS_OPTIONS "nosuid,nodev,mode=1777"
#define BIND_FILE_OPTIONS "bind,rprivate,rw"

/* Who shares what the file tells of has that container's (NULL: his own). */
static void bind_file(struct build *b, const char *name, const char *destination, const char *of)
{
    scoped_free char *other = of ? container_dir(b->conf, of) : NULL;
    scoped_free char *source = path_join(other ? other : b->dir, name);
    spec_add_mount(b->spec, destination, "bind", source, BIND_FILE_OPTIONS);
}

static int build_shm(struct build *b, struct err *e)
{
    /* It goes with the IPC namespace, unless a size asks for one of its own. */
    bool host = streq(b->o->ipc, "host"), joined = b->o->ipc && str_after(b->o->ipc, "container:");
    if ((host || joined) && !b->o->shm_size) {
        spec_remove_mount(b->spec, "/dev/shm");
        spec_add_mount(b->spec, "/dev/shm", "bind", host ? "/dev/shm" : ENGINE_SHARED_SHM,
                       "bind,rprivate,nosuid,noexec,nodev");
        return 0;
    }
    uint64_t bytes = 64u << 20;
    if (b->o->shm_size && (parse_size(b->o->shm_size, &bytes) < 0 || bytes == 0))
        return err_msg(e, EINVAL, "--shm-size %s: not a size", b->o->shm_size);
    scoped_free char *options =
        xasprintf("nosuid,noexec,nodev,mode=1777,size=%llu", (unsigned long long)bytes);
    spec_remove_mount(b->spec, "/dev/shm");
    spec_add_mount(b->spec, "/dev/shm", "tmpfs", "shm", options);
    return 0;
}

static void build_devpts(struct build *b)
{
    spec_remove_mount(b->spec, "/dev/pts");
    /* Group 5 is tty everywhere; the kernel refuses an id that the map does not have. */
    bool has_tty = idmap_to_host(&b->map->gid, 5) >= 0;
    spec_add_mount(b->spec, "/dev/pts", "devpts", "devpts",
                   has_tty ? "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"
                           : "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
}

int build_tmpfs_flag(struct build *b, const char *text, struct err *e)
{
    const char *colon = strchr(text, ':');
    scoped_free char *dir = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    if (*dir != '/' || streq(dir, "/"))
        return err_msg(e, EINVAL, "--tmpfs %s: not an absolute path below /", text);
    scoped_free char *options =
        xasprintf(TMPFS_OPTIONS ",tmpcopyup%s%s", colon ? "," : "", colon ? colon + 1 : "");
    spec_remove_mount(b->spec, dir);
    spec_add_mount(b->spec, dir, "tmpfs", "tmpfs", options);
    return 0;
}

static int build_tmpfs(struct build *b, struct err *e)
{
    static const char *const read_only_set[] = {"/run", "/tmp", "/var/tmp"};
    b->spec->root->readonly = b->o->read_only;
    bool wanted = !b->o->read_only_tmpfs_set || b->o->read_only_tmpfs;
    for (size_t i = 0; b->o->read_only && wanted && i < N_ELEMENTS(read_only_set); i++)
        spec_add_mount(b->spec, read_only_set[i], "tmpfs", "tmpfs",
                       TMPFS_OPTIONS ",rprivate,tmpcopyup");
    for (char **v = b->o->tmpfs; v && *v; v++) {
        int r = build_tmpfs_flag(b, *v, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int build_tz(struct build *b, struct err *e)
{
    const char *tz = b->o->tz;
    if (!tz)
        return 0;
    scoped_free char *file =
        streq(tz, "local") ? xstrdup("/etc/localtime") : path_join("/usr/share/zoneinfo", tz);
    if (!*tz || strstr(tz, "..") || access(file, R_OK) < 0)
        return err_hint(e, err_msg(e, EINVAL, "--tz %s: no such time zone here (%s)", tz, file),
                        "install tzdata on this host, or use a name such as Europe/Berlin");
    scoped_free char *real = realpath(file, NULL);
    spec_add_mount(b->spec, "/etc/localtime", "bind", real ? real : file, "bind,ro,rprivate");
    return 0;
}

/* "--device HOST[:CTR[:PERMISSIONS]]": in a user namespace the host's node is bound. */
static int add_device(struct build *b, const char *text, struct err *e)
{
    scoped_strv char **p = strv_split(text, ":", true);
    size_t n = strv_len(p);
    struct stat st;
    if (n < 1 || n > 3 || *p[0] != '/')
        return err_msg(e, EINVAL, "--device %s: not HOST[:CONTAINER[:rwm]]", text);
    const char *inside = n > 1 && *p[1] == '/' ? p[1] : p[0];
    if (stat(p[0], &st) < 0)
        return err_set(e, errno, "--device %s", p[0]);
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return err_hint(e, err_msg(e, ENODEV, "--device %s: not a device", p[0]),
                        "-v mounts files and directories");
    spec_add_mount(b->spec, inside, "bind", p[0], "bind,rprivate,nosuid,noexec");
    return 0;
}

static int build_devices(struct build *b, struct err *e)
{
    for (char **v = b->o->device; v && *v; v++) {
        int r = add_device(b, *v, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Programs read their limits there. Its own part only, and to be changed by nobody inside: its
 * limits belong to the same user on the host. --privileged may make groups below it. */
static void build_cgroup(struct build *b)
{
    if (!streq(b->rec->cgroups, "disabled"))
        spec_add_mount(b->spec, "/sys/fs/cgroup", "cgroup2", "cgroup2",
                       b->o->privileged && !streq(b->o->cgroupns, "host")
                           ? "nosuid,noexec,nodev,rw"
                           : "nosuid,noexec,nodev,ro");
}

int build_mounts(struct build *b, struct err *e)
{
    build_devpts(b);
    build_cgroup(b);
    int r = build_shm(b, e);
    if (r == 0)
        r = build_tmpfs(b, e);
    if (r == 0)
        r = build_devices(b, e);
    if (r < 0)
        return r;
    const struct run_opts *o = b->o;
    const char *uts = strv_env_get(b->rec->joins, "uts");
    const struct network_plan *n = &b->rec->network;
    const char *net = streq(n->mode, "container") ? n->target : NULL;
    if (!o->no_hosts)
        bind_file(b, "hosts", "/etc/hosts",
                  streq(net, uts) && !o->add_host && !o->hosts_file ? net : NULL);
    if (!o->no_hostname)
        bind_file(b, "hostname", "/etc/hostname", uts);
    if (!build_no_resolv(o))
        bind_file(b, "resolv.conf", "/etc/resolv.conf",
                  o->dns || o->dns_search || o->dns_option ? NULL : net);
    if (b->o->init) {
        scoped_free char *init = path_join(b->conf->libexec, "rootlet-init");
        spec_add_mount(b->spec, "/dev/rootlet-init", "bind", init, "bind,ro,rprivate,nosuid,nodev");
    }
    return build_tz(b, e);
}
