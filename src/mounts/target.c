/* target - what a mount is put on, found below the container's root and nowhere else. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/path.h"
#include "base/str.h"
#include "mounts/mounts-priv.h"

int target_refuse_symlink(int root, const char *path, struct err *e)
{
    static const char *const kernel_dirs[] = {"proc", "sys", "dev"};
    for (size_t i = 0; i < N_ELEMENTS(kernel_dirs); i++) {
        const char *rest = str_after(path, "/");
        rest = rest ? str_after(rest, kernel_dirs[i]) : NULL;
        if (!rest || (*rest && *rest != '/'))
            continue;
        struct stat st;
        if (fstatat(root, kernel_dirs[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
            return err_msg(e, ELOOP, "image's /%s is a symbolic link", kernel_dirs[i]);
    }
    return 0;
}

/* Where the link at (parent, name) of path leads: for another look from the root, so that the
 * kernel resolves every part inside it. Owned; NULL when it is no link. */
static char *follow(int parent, const char *name, const char *path)
{
    char target[4097];
    ssize_t n = readlinkat(parent, name, target, sizeof(target) - 1);
    if (n <= 0)
        return NULL;
    target[n] = '\0';
    if (target[0] == '/')
        return xstrdup(target);
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    return xasprintf("%.*s%s", (int)end, path, target);
}

/* An empty file, also where the image has a link to what does not exist (/etc/resolv.conf ->
 * ../run/systemd/resolve/stub-resolv.conf). */
static int make_file(int root, const char *path, struct err *e)
{
    scoped_free char *at = xstrdup(path);
    for (int links = 0; links < 40; links++) {
        scoped_free char *name = NULL;
        scoped_fd int parent = path_open_parent(root, at, true, &name, e);
        if (parent < 0)
            return parent;
        /* O_EXCL: never a link, never a device that somebody put there meanwhile. */
        scoped_fd int fd =
            openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd >= 0)
            return path_open_beneath(parent, name, O_PATH | O_NOFOLLOW, 0, e);
        if (errno != EEXIST)
            return err_set(e, errno, "make an empty file as its target");
        char *next = follow(parent, name, at);
        if (!next)
            return path_open_in_root(root, at, O_PATH, 0, e);
        free(at);
        at = next;
    }
    return err_msg(e, ELOOP, "the target is a symbolic link that leads nowhere");
}

static int wrong_kind(mode_t want, struct err *e)
{
    return want == S_IFDIR
               ? err_msg(e, ENOTDIR, "the source is a directory, the target in the image is not")
               : err_msg(e, EISDIR, "the source is a file, the target in the image a directory");
}

/* A link of the image may lead to "/" itself; a mount there would lie over all others. */
static int refuse_root(int root, int target, struct err *e)
{
    struct stat a, b;
    if (fstat(root, &a) < 0 || fstat(target, &b) < 0)
        return err_set(e, errno, "stat the target");
    if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return err_msg(e, EINVAL, "the target leads to the root itself");
    return 0;
}

static int find(int root, const char *path, mode_t kind, struct err *e)
{
    if (kind == S_IFDIR) {
        int r = path_mkdirs_in_root(root, path, 0755, e);
        if (r == -ENOTDIR)
            return wrong_kind(kind, e);
        if (r == -EROFS)
            err_hint(e, r,
                     "The image lacks this directory and its root is read-only; make it in "
                     "the image.");
        return r;
    }
    scoped_fd int fd = path_open_in_root(root, path, O_PATH, 0, e);
    if (fd == -ENOENT)
        return make_file(root, path, e);
    if (fd < 0)
        return fd;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat the target");
    if (S_ISDIR(st.st_mode))
        return wrong_kind(kind, e);
    return take_fd(&fd);
}

static bool is_below(const char *path, const char *dir)
{
    const char *rest = str_after(path, dir);
    return rest && (!*rest || *rest == '/');
}

/* Is target the directory name of the root, or on the mount that lies on it? */
static bool is_on(int root, int target, const char *name)
{
    struct stat at, dir, top;
    scoped_fd int fd = path_open_in_root(root, name, O_PATH | O_DIRECTORY, 0, NULL);
    if (fd < 0 || fstat(fd, &dir) < 0 || fstat(target, &at) < 0 || fstat(root, &top) < 0)
        return false;
    return at.st_dev == dir.st_dev && (top.st_dev != dir.st_dev || at.st_ino == dir.st_ino);
}

/* A link that leads into the kernel's file systems, or into our /dev: one of the image, or of
 * somebody who shares a volume with us and puts it there at the right moment. What lies there
 * decides about masks, and devices would be made in the source of this mount. */
static int refuse_kernel_dirs(int root, const char *path, int target, struct err *e)
{
    scoped_free char *clean = path_clean(path);
    struct statfs fs;
    if (is_below(clean, "/proc") || is_below(clean, "/sys") || is_below(clean, "/dev"))
        return 0;
    if (fstatfs(target, &fs) < 0)
        return err_set(e, errno, "stat the target");
    if (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
        fs.f_type == DEVPTS_SUPER_MAGIC || is_on(root, target, "/proc") ||
        is_on(root, target, "/sys") || is_on(root, target, "/dev"))
        return err_msg(e, ELOOP, "the target leads to /dev, /proc or /sys by a symbolic link");
    return 0;
}

int target_check_proc(const char *path, bool is_proc, struct err *e)
{
    /* What lxcfs provides, and two flags of the kernel that others emulate. */
    static const char *const files[] = {
        "cpuinfo",
        "diskstats",
        "loadavg",
        "meminfo",
        "slabinfo",
        "stat",
        "swaps",
        "uptime",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    };
    const char *rest = str_after(path, "/proc");
    if (!rest || (*rest && *rest != '/') || (!*rest && is_proc))
        return 0;
    if (!*rest)
        return err_msg(e, EPERM, "only a proc file system can be mounted on /proc");
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        if (streq(rest + 1, files[i]))
            return 0;
    }
    return err_msg(e, EPERM, "inside /proc only files such as /proc/cpuinfo can be covered");
}

int target_open(int root, const char *path, mode_t kind, struct err *e)
{
    scoped_fd int fd = find(root, path, kind, e);
    int r = fd < 0 ? fd : refuse_root(root, fd, e);
    if (r >= 0)
        r = refuse_kernel_dirs(root, path, fd, e);
    return r < 0 ? r : take_fd(&fd);
}
