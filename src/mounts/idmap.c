/* idmap - mounts whose ids are mapped: by the container's user namespace, or by one made for it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/str.h"
#include "base/strv.h"
#include "mounts/mounts-priv.h"
#include "sys/clone.h"
#include "sys/procfs.h"
#include "sys/sock.h"

bool idmap_wanted(const struct spec_mount *m, const struct mount_options *o)
{
    return o->idmap || m->n_uid_mappings > 0 || m->n_gid_mappings > 0;
}

/* The lines that uid_map and gid_map take, user_namespaces(7). */
static void add_lines(struct str *out, const struct spec_id_map *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        str_addf(out, "%u %u %u\n", v[i].container_id, v[i].host_id, v[i].size);
}

static bool take_number(const char **p, char end, uint32_t *ret)
{
    size_t n = strspn(*p, "0123456789");
    scoped_free char *digits = xstrndup(*p, n);
    if (n == 0 || parse_u32(digits, ret) < 0 || (end && (*p)[n] != end))
        return false;
    *p += n + (end != '\0');
    return true;
}

/* "0-1-10#@10-11-10": an id of the file system, of the host, how many; with '@' the second one is
 * the container's. */
static int add_triplets(struct str *out, const char *text, const struct spec_id_map *v, size_t n,
                        struct err *e)
{
    scoped_strv char **ranges = strv_split(text, "#", false);
    for (size_t i = 0; ranges && ranges[i]; i++) {
        bool relative = ranges[i][0] == '@';
        const char *p = ranges[i] + relative;
        uint32_t fs, host, count;
        if (!take_number(&p, '-', &fs) || !take_number(&p, '-', &host) ||
            !take_number(&p, '\0', &count) || *p)
            return err_msg(e, EINVAL, "option idmap: \"%s\": want ids like 0-100000-65536",
                           ranges[i]);
        for (size_t k = 0; relative; k++) {
            if (k == n)
                return err_msg(e, EINVAL, "option idmap: \"%s\": id %u is not mapped", ranges[i],
                               host);
            if (host < v[k].container_id || host - v[k].container_id >= v[k].size)
                continue;
            host = host - v[k].container_id + v[k].host_id;
            break;
        }
        str_addf(out, "%u %u %u\n", fs, host, count);
    }
    return 0;
}

static int read_option(const struct spec_linux *l, const char *text, struct str *uids,
                       struct str *gids, struct err *e)
{
    scoped_strv char **parts = strv_split(text, ";", false);
    int r = 0;
    for (size_t i = 0; r == 0 && parts && parts[i]; i++) {
        const char *u = str_after(parts[i], "uids="), *g = str_after(parts[i], "gids=");
        if (u)
            r = add_triplets(uids, u, l->uid_mappings, l->n_uid_mappings, e);
        else if (g)
            r = add_triplets(gids, g, l->gid_mappings, l->n_gid_mappings, e);
        else
            r = err_msg(e, EINVAL, "option idmap: want uids=...;gids=..., not \"%s\"", parts[i]);
    }
    return r;
}

/* The namespace's first process: hands it over and waits to be killed. */
_Noreturn static void namespace_main(int sock)
{
    char go;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int ns = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    char errnum = ns < 0 ? (char)errno : 0;
    sock_send(sock, &errnum, 1, &ns, ns >= 0);
    sock_recv(sock, &go, 1, NULL); /* until the other end is closed */
    _exit(0);
}

static int write_map(int proc, pid_t pid, const char *name, const struct str *map, struct err *e)
{
    char path[48];
    snprintf(path, sizeof(path), "%d/%s", pid, name);
    if (map->len == 0)
        return err_msg(e, EINVAL, "id mappings: want both user and group ids");
    return procfs_write(proc, path, map->s, e);
}

/* A namespace needs a process only until somebody holds a descriptor of it. */
static int make_namespace(const struct str *uids, const struct str *gids, struct err *e)
{
    int pair[2], fds[SOCK_MAX_FDS] = {-1, -1, -1, -1};
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int ours = pair[0], theirs = pair[1];
    pid_t pid = sys_clone(CLONE_NEWUSER, -1, NULL);
    if (pid == 0) {
        fd_close(&ours);
        namespace_main(theirs);
    }
    if (pid < 0)
        return err_set(e, -pid, "make a user namespace for the mount");
    fd_close(&theirs);
    char errnum = EPIPE;
    ssize_t n = sock_recv(ours, &errnum, 1, fds);
    scoped_fd int ns = n == 1 ? fds[0] : -1;
    if (ns < 0)
        r = err_set(e, errnum ? errnum : EIO, "open the user namespace of the mount");
    scoped_fd int proc = r < 0 ? r : procfs_open(e);
    if (r == 0)
        r = proc < 0 ? proc : write_map(proc, pid, "uid_map", uids, e);
    if (r == 0)
        r = write_map(proc, pid, "gid_map", gids, e);
    fd_close(&ours);
    waitpid(pid, NULL, 0);
    return r < 0 ? r : take_fd(&ns);
}

static bool same_maps(const struct spec_id_map *a, size_t n_a, const struct spec_id_map *b,
                      size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++) {
        if (a[i].container_id != b[i].container_id || a[i].host_id != b[i].host_id ||
            a[i].size != b[i].size)
            return false;
    }
    return true;
}

static int open_namespace(const struct spec *s, const struct spec_mount *m, const char *text,
                          bool inside, struct err *e)
{
    static const struct spec_linux nothing;
    const struct spec_linux *l = s->linux_ ? s->linux_ : &nothing;
    const struct spec_namespace *user = spec_namespace_get(s, "user");
    bool own =
        m->n_uid_mappings > 0 &&
        !(same_maps(m->uid_mappings, m->n_uid_mappings, l->uid_mappings, l->n_uid_mappings) &&
          same_maps(m->gid_mappings, m->n_gid_mappings, l->gid_mappings, l->n_gid_mappings));
    if (!own && !text && (inside || (user && user->path))) {
        const char *path = inside ? "/proc/self/ns/user" : user->path;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        return fd < 0 ? err_set(e, errno, "open %s", path) : fd;
    }
    if (!own && !text && !user)
        return err_msg(e, EINVAL, "idmap needs uidMappings and gidMappings, or a user namespace");
    scoped_str struct str uids = STR_INIT, gids = STR_INIT;
    int r = 0;
    if (own) {
        add_lines(&uids, m->uid_mappings, m->n_uid_mappings);
        add_lines(&gids, m->gid_mappings, m->n_gid_mappings);
    } else if (text) {
        r = read_option(l, text, &uids, &gids, e);
    } else {
        add_lines(&uids, l->uid_mappings, l->n_uid_mappings);
        add_lines(&gids, l->gid_mappings, l->n_gid_mappings);
    }
    return r < 0 ? r : make_namespace(&uids, &gids, e);
}

int idmap_apply(const struct spec *s, const struct spec_mount *m, const struct mount_options *o,
                bool inside, int tree, struct err *e)
{
    scoped_fd int ns = open_namespace(s, m, o->idmap_text, inside, e);
    if (ns < 0)
        return ns;
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ns};
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | (o->ridmap ? AT_RECURSIVE : 0), &attr,
                sizeof(attr)) == 0)
        return 0;
    int r = err_set(e, errno, "map ids");
    if (r == -EPERM)
        err_hint(e, r,
                 "The kernel maps ids only for who owns the file system: root of the host, or "
                 "whoever mounted it in this user namespace; leave \"idmap\" out.");
    if (r == -EINVAL)
        err_hint(e, r, "This kernel maps no ids of that file system; leave \"idmap\" out.");
    return r;
}

static int open_one(const struct spec *s, const char *bundle, size_t i, int *ret, struct err *e)
{
    const struct spec_mount *m = &s->mounts[i];
    scoped_mount_options struct mount_options o = {0};
    int r = mount_options_parse(m->options, &o, e);
    if (r < 0 || !idmap_wanted(m, &o) || !mount_is_bind(m, &o))
        return r;
    scoped_fd int tree = bind_open_source(bundle, m->source, &o, e);
    if (tree < 0)
        return tree;
    r = idmap_apply(s, m, &o, false, tree, e);
    if (r == 0)
        *ret = take_fd(&tree);
    return r;
}

bool mounts_any_idmapped(const struct spec *s)
{
    for (size_t i = 0; i < s->n_mounts; i++) {
        scoped_mount_options struct mount_options o = {0};
        if (mount_options_parse(s->mounts[i].options, &o, NULL) == 0 &&
            idmap_wanted(&s->mounts[i], &o))
            return true;
    }
    return false;
}

int mounts_open_idmapped(const struct spec *s, const char *bundle, int *ret_fds, struct err *e)
{
    for (size_t i = 0; i < s->n_mounts; i++) {
        int r = open_one(s, bundle, i, &ret_fds[i], e);
        if (r < 0)
            return err_add(e, r, "mount %s", s->mounts[i].destination);
    }
    return 0;
}
