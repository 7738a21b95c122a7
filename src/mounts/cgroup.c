/* cgroup - a container sees its own part of the hierarchy: by its cgroup namespace, or else by a
 * bind of its own group. Never the host's tree (CVE-2023-25809). cgroups(7) */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "mounts/mounts-priv.h"
#include "sys/procfs.h"

#ifndef MNT_DETACH
#define MNT_DETACH 2 /* as in pivot.c */
#endif

#define PROC_CGROUP_INIT_INO 0xEFFFFFFBu /* <linux/proc_ns.h> */
#define CGROUP_FILE_MAX 65536

/* A namespace by path may be the host's own. */
static bool has_own_namespace(const struct spec *s)
{
    struct stat st;
    return spec_namespace_get(s, "cgroup") && stat("/proc/self/ns/cgroup", &st) == 0 &&
           st.st_ino != PROC_CGROUP_INIT_INO;
}

/* Where we are, below the root of our cgroup namespace: "user.slice/x", owned. */
static int own_group(char **ret, struct err *e)
{
    scoped_free char *text = NULL;
    scoped_fd int proc = procfs_open(e);
    scoped_fd int fd = proc < 0 ? proc : procfs_open_file(proc, "self/cgroup", O_RDONLY, e);
    ssize_t n = fd < 0 ? fd : fs_read_fd(fd, CGROUP_FILE_MAX, &text, e);
    if (n < 0)
        return (int)n;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *path = str_after(line, "0::/");
        if (!path)
            continue;
        if (!*path || str_after(path, ".."))
            return err_msg(e, EPERM, "the container has no cgroup of its own");
        *ret = xstrdup(path);
        return 0;
    }
    return err_msg(e, EPERM, "no cgroup2 hierarchy");
}

/* The whole hierarchy is attached for the moment in which its part is cloned, which the kernel does
 * only within our mount namespace. */
static int own_part(int all, int target, const char *path, struct err *e)
{
    int r = mountfd_attach(all, target, e);
    if (r < 0)
        return r;
    scoped_fd int dir = path_open_beneath(all, path, O_PATH | O_DIRECTORY, 0, e);
    scoped_fd int part = dir < 0 ? dir : mountfd_clone(dir, "", false, e);
    if (fchdir(all) < 0 || syscall(SYS_umount2, ".", MNT_DETACH) < 0)
        return err_set(e, errno, "detach the whole cgroup2 hierarchy");
    return part < 0 ? part : take_fd(&part);
}

int cgroup_mount(struct mounts *c, const struct spec_mount *m, const struct mount_options *o,
                 int target, struct err *e)
{
    const char *source = m->source && m->source[0] ? m->source : "cgroup2";
    const char *data = streq(m->type, "cgroup2") ? o->data : NULL; /* else words of v1 */
    uint64_t attr = o->attr_set | o->rec_attr_set;
    bool own = has_own_namespace(c->spec);
    scoped_free char *path = NULL;
    int r = own ? 0 : own_group(&path, e);
    scoped_fd int all = r < 0 ? r : mountfd_new("cgroup2", source, data, attr, e);
    if (all < 0 || own)
        return all < 0 ? all : take_fd(&all);
    scoped_fd int part = own_part(all, target, path, e);
    if (part < 0)
        return part;
    r = mountfd_setattr(part, false, attr, 0, MS_PRIVATE, e);
    return r < 0 ? r : take_fd(&part);
}
