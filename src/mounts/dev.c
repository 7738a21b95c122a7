/* dev - the minimal /dev: host nodes bound by verified descriptors, and a few links. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/mounts-priv.h"

/* The devices that the runtime specification wants in every container. */
static const struct spec_device default_devices[] = {
    {.type = (char *)"c", .path = (char *)"/dev/null", .major = 1, .minor = 3},
    {.type = (char *)"c", .path = (char *)"/dev/zero", .major = 1, .minor = 5},
    {.type = (char *)"c", .path = (char *)"/dev/full", .major = 1, .minor = 7},
    {.type = (char *)"c", .path = (char *)"/dev/random", .major = 1, .minor = 8},
    {.type = (char *)"c", .path = (char *)"/dev/urandom", .major = 1, .minor = 9},
    {.type = (char *)"c", .path = (char *)"/dev/tty", .major = 5, .minor = 0},
};

static const struct {
    const char *name, *target;
} links[] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},         {"core", "/proc/kcore"},
};

static mode_t device_kind(const struct spec_device *d)
{
    switch (d->type[0]) {
    case 'b':
        return S_IFBLK;
    case 'p':
        return S_IFIFO;
    default:
        return S_IFCHR; /* "c", "u" */
    }
}

/* Opens a device of the host and proves that it is the one. O_PATH: nothing is opened in the sense
 * of a driver. */
static int open_device(const char *path, int flags, mode_t kind, dev_t rdev, struct err *e)
{
    scoped_fd int fd = open(path, O_PATH | O_CLOEXEC | flags);
    if (fd < 0)
        return err_set(e, errno, "open the host's %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat the host's %s", path);
    if ((st.st_mode & S_IFMT) != kind || st.st_rdev != rdev)
        return err_msg(e, ENODEV, "the host's %s is not device %u:%u", path, major(rdev),
                       minor(rdev));
    return take_fd(&fd);
}

/* By its name, or by its number where the container has it under another name (udev's links). */
static int host_device(const char *path, mode_t kind, dev_t rdev, struct err *e)
{
    int fd = open_device(path, O_NOFOLLOW, kind, rdev, e);
    if (fd != -ENOENT && fd != -ENODEV)
        return fd;
    char link[64];
    snprintf(link, sizeof(link), "/dev/%s/%u:%u", kind == S_IFBLK ? "block" : "char", major(rdev),
             minor(rdev));
    int other = open_device(link, 0, kind, rdev, NULL);
    if (other < 0)
        return fd;
    err_clear(e);
    return other;
}

int dev_open_null(struct err *e)
{
    return host_device("/dev/null", S_IFCHR, makedev(1, 3), e);
}

static int bind_device(struct mounts *c, const struct spec_device *d, struct err *e)
{
    dev_t rdev = makedev((unsigned)d->major, (unsigned)d->minor);
    scoped_fd int host = host_device(d->path, device_kind(d), rdev, e);
    if (host < 0)
        return host;
    scoped_fd int target = target_open(c->root, d->path, S_IFREG, e);
    if (target < 0)
        return target;
    scoped_fd int tree = mountfd_clone(host, "", false, e);
    if (tree < 0)
        return tree;
    int r = mountfd_setattr(tree, false, 0, 0, MS_PRIVATE, e);
    return r < 0 ? r : mountfd_attach(tree, target, e);
}

/* What has the name now: ours, or else refused, since the directory may be a volume that others
 * write to as well. Its owner and mode are set by the descriptor. */
static int own_node(int parent, const char *name, const struct spec_device *d, mode_t mode,
                    struct err *e)
{
    mode_t kind = device_kind(d);
    dev_t rdev = kind == S_IFIFO ? 0 : makedev((unsigned)d->major, (unsigned)d->minor);
    struct stat st;
    scoped_fd int fd = path_open_beneath(parent, name, O_PATH | O_NOFOLLOW, 0, e);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat");
    if ((st.st_mode & S_IFMT) != kind || st.st_rdev != rdev)
        return err_msg(e, EEXIST, "it was exchanged");
    uid_t uid = d->has_uid ? d->uid : 0;
    gid_t gid = d->has_gid ? d->gid : 0;
    bool given = st.st_uid != uid || st.st_gid != gid;
    if (given && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
        return err_set(e, errno, "chown");
    /* mknod's umask was 0: another mode comes from an access list of the directory, or because
     * chown takes some bits. */
    if ((given || (st.st_mode & 07777) != mode) &&
        fchmodat(parent, name, mode, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "chmod");
    return 0;
}

static int make_node(struct mounts *c, const struct spec_device *d, struct err *e)
{
    scoped_free char *name = NULL;
    scoped_fd int parent = path_open_parent(c->root, d->path, true, &name, e);
    if (parent < 0)
        return parent;
    mode_t kind = device_kind(d);
    mode_t mode = d->has_file_mode ? d->file_mode & 07777 : 0666;
    dev_t rdev = kind == S_IFIFO ? 0 : makedev((unsigned)d->major, (unsigned)d->minor);
    mode_t mask = umask(0);
    int r = mknodat(parent, name, kind | mode, rdev) < 0 ? -errno : 0;
    umask(mask);
    if (r == -EEXIST)
        return 0; /* of the image, or bound there by a mount */
    return r < 0 ? err_set(e, -r, "mknod") : own_node(parent, name, d, mode, e);
}

static int add_device(struct mounts *c, const struct spec_device *d, struct err *e)
{
    bool fifo = device_kind(d) == S_IFIFO;
    int r = c->env->in_userns && !fifo ? -EPERM : make_node(c, d, e);
    /* A user namespace may make FIFOs, but no devices (mknod(2)): so may we be in one of somebody
     * else's, or have had the capability taken. */
    if (r == -EPERM && !fifo) {
        err_clear(e);
        r = bind_device(c, d, e);
    }
    return r < 0 ? err_add(e, r, "device %s", d->path) : 0;
}

/* The terminal is bound later, when /dev may be read-only. An image without one gets a file. */
static int make_console(struct mounts *c, int dev_fd, struct err *e)
{
    if (!c->spec->process || !c->spec->process->terminal)
        return 0;
    scoped_fd int fd =
        openat(dev_fd, "console", O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 && errno != EEXIST ? err_set(e, errno, "make /dev/console") : 0;
}

static bool same_path(const char *path, const char *clean)
{
    scoped_free char *other = path_clean(path);
    return strcmp(other, clean) == 0;
}

/* The list may give a default device another owner or mode. */
static bool is_given(const struct spec_linux *l, const char *path)
{
    for (size_t i = 0; l && i < l->n_devices; i++) {
        if (same_path(l->devices[i].path, path))
            return true;
    }
    return false;
}

static int add_links(int dev_fd, struct err *e)
{
    /* Only the devpts of the container may answer to this name, not a node of the image. */
    char target[16];
    ssize_t n = readlinkat(dev_fd, "ptmx", target, sizeof(target));
    if (n != 8 || memcmp(target, "pts/ptmx", 8) != 0)
        unlinkat(dev_fd, "ptmx", 0);
    for (size_t i = 0; i < N_ELEMENTS(links); i++) {
        if (symlinkat(links[i].target, dev_fd, links[i].name) < 0 && errno != EEXIST)
            return err_set(e, errno, "link /dev/%s", links[i].name);
    }
    return 0;
}

/* A /dev that the user bound from the host is theirs: nothing is put into it. */
static bool dev_is_bound(const struct spec *s)
{
    bool bound = false;
    for (size_t i = 0; i < s->n_mounts; i++) {
        struct mount_options none = {0};
        scoped_free char *path = path_clean(s->mounts[i].destination);
        if (streq(path, "/dev")) {
            none.bind =
                strv_has(s->mounts[i].options, "bind") || strv_has(s->mounts[i].options, "rbind");
            bound = mount_is_bind(&s->mounts[i], &none);
        }
    }
    return bound;
}

int dev_populate(struct mounts *c, struct err *e)
{
    if (dev_is_bound(c->spec))
        return 0;
    int r = target_refuse_symlink(c->root, "/dev", e);
    scoped_fd int dev = r < 0 ? r : target_open(c->root, "/dev", S_IFDIR, e);
    if (dev < 0)
        return err_add(e, dev, "mount /dev");
    const struct spec_linux *l = c->spec->linux_;
    for (size_t i = 0; r == 0 && i < N_ELEMENTS(default_devices); i++) {
        if (!is_given(l, default_devices[i].path))
            r = add_device(c, &default_devices[i], e);
    }
    for (size_t i = 0; r == 0 && l && i < l->n_devices; i++) {
        if (!same_path(l->devices[i].path, "/dev/ptmx"))
            r = add_device(c, &l->devices[i], e);
    }
    if (r == 0)
        r = add_links(dev, e);
    if (r == 0)
        r = make_console(c, dev, e);
    return r < 0 ? err_add(e, r, "mount /dev") : 0;
}
