/* pivot - the second step: what must not be written any more, then into the root; the host goes. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/mounts-priv.h"
#include "sys/clone.h"
#include "sys/procfs.h"

/* <sys/mount.h> cannot stand beside <linux/mount.h> in older C libraries. */
#ifndef MNT_DETACH
#define MNT_DETACH 2
#define UMOUNT_NOFOLLOW 8
#endif

#define MOUNTINFO_MAX (16u << 20)

static int make_readonly(struct mounts *c, struct err *e)
{
    const struct spec_process *p = c->spec->process;
    bool root = c->spec->root && c->spec->root->readonly;
    if ((root || c->n_later_ro) && p && p->cwd && !streq(p->cwd, "/")) {
        /* The last chance to make it. Who enters it tells what is wrong with it. */
        scoped_fd int cwd = path_mkdirs_in_root(c->root, p->cwd, 0755, NULL);
        (void)cwd;
    }
    for (size_t i = 0; i < c->n_later_ro; i++) {
        int r = mountfd_setattr(c->later_ro[i], false, MOUNT_ATTR_RDONLY, 0, 0, e);
        if (r < 0)
            return err_add(e, r, "make a tmpfs read-only");
    }
    int r = root ? mountfd_setattr(c->root, false, MOUNT_ATTR_RDONLY, 0, 0, e) : 0;
    return r < 0 ? err_add(e, r, "make the root read-only") : 0;
}

static bool is_same_mount(int a, int b)
{
    struct statx x, y;
    return statx(a, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) == 0 &&
           statx(b, "", AT_EMPTY_PATH, STATX_MNT_ID, &y) == 0 && x.stx_mnt_id == y.stx_mnt_id;
}

/* Our caller may live in a chroot. Then its root is not the one of the mount namespace: that would
 * stay below the container, and whoever enters the namespace (exec does) would come out there, on
 * the host. To enter a mount namespace, even our own, takes one to its root. setns(2) */
static int leave_chroot(const struct mounts *c, struct err *e)
{
    if (c->env->root_at < 0) /* it lies on "/" already */
        return 0;
    scoped_fd int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    scoped_fd int self = pidfd_open_pid(getpid());
    if (old < 0 || self < 0 || setns(self, CLONE_NEWNS) < 0)
        return err_set(e, errno, "go to the root of the mount namespace");
    scoped_fd int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top >= 0 && !is_same_mount(top, c->root))
        return 0;
    /* root.path is "/": what lies on it now is to be pivoted into from below. */
    if (top < 0 || fchdir(old) < 0 || chroot(".") < 0)
        return err_set(e, errno, "go back to the host's root");
    return 0;
}

static int pivot(int root, struct err *e)
{
    if (fchdir(root) < 0)
        return err_set(e, errno, "chdir to the new root");
    int r = sys_pivot_root(".", ".");
    if (r < 0) {
        err_set(e, -r, "pivot_root");
        if (r == -EINVAL)
            err_hint(e, r,
                     "The host runs from its initial ramdisk; a root on a mount of its own "
                     "is needed (switch_root).");
        return r;
    }
    /* The old root lies on top of "." now; without it nothing of the host can be reached. */
    if (syscall(SYS_umount2, ".", MNT_DETACH) < 0)
        return err_set(e, errno, "detach the host's root");
    if (chdir("/") < 0)
        return err_set(e, errno, "chdir to /");
    return 0;
}

/* The octal escapes of proc_pid_mountinfo(5), in place. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++, to++) {
        *to = *s;
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *to = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        }
    }
    *to = '\0';
}

/* The mount point of a line that shows a whole proc or sysfs, or NULL. */
static char *kernel_mount(char *line)
{
    char *field[6], *save = NULL;
    for (size_t i = 0; i < N_ELEMENTS(field); i++) {
        field[i] = strtok_r(i ? NULL : line, " ", &save);
        if (!field[i])
            return NULL;
    }
    char *word = strtok_r(NULL, " ", &save);
    while (word && !streq(word, "-"))
        word = strtok_r(NULL, " ", &save);
    char *type = word ? strtok_r(NULL, " ", &save) : NULL;
    if (!type || !streq(field[3], "/") || (!streq(type, "proc") && !streq(type, "sysfs")))
        return NULL;
    unescape(field[4]);
    return field[4];
}

int pivot_find_kernel_mounts(char ***ret, struct err *e)
{
    scoped_free char *text = NULL;
    scoped_fd int proc = procfs_open(e);
    scoped_fd int fd = proc < 0 ? proc : procfs_open_file(proc, "self/mountinfo", O_RDONLY, e);
    ssize_t n = fd < 0 ? fd : fs_read_fd(fd, MOUNTINFO_MAX, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "find the host's proc and sysfs");
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (size_t i = 0; lines && lines[i]; i++) {
        const char *path = kernel_mount(lines[i]);
        if (path)
            strv_add(ret, path);
    }
    return 0;
}

/* What is locked is covered. */
static int drop_kernel_mount(const char *path, struct err *e)
{
    if (syscall(SYS_umount2, path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == ENOENT)
        return 0;
    scoped_fd int target = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0)
        return err_set(e, errno, "open");
    scoped_fd int cover =
        mountfd_new("tmpfs", "tmpfs", "mode=0555,size=4k,nr_inodes=2", MOUNT_ATTR_RDONLY, e);
    return cover < 0 ? cover : mountfd_attach(cover, target, e);
}

/* For a host whose "/" is its initial ramdisk, where pivot_root(2) does not work. */
static int move_root(struct mounts *c, struct err *e)
{
    int r = 0;
    for (char *const *path = c->kernel_mounts; path && *path; path++) {
        r = drop_kernel_mount(*path, e);
        if (r < 0)
            return err_add(e, r, "cover the host's %s", *path);
    }
    r = leave_chroot(c, e);
    if (r == 0 && c->env->root_at >= 0) {
        scoped_fd int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = host < 0 ? err_set(e, errno, "open /") : mountfd_attach(c->root, host, e);
    }
    if (r < 0)
        return err_add(e, r, "move the root over the host's");
    if (fchdir(c->root) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return err_set(e, errno, "chroot");
    return 0;
}

int mounts_pivot(struct mounts *c, struct err *e)
{
    int r = mask_apply(c, e);
    if (r == 0)
        r = make_readonly(c, e);
    if (r == 0)
        r = c->env->no_pivot ? move_root(c, e) : leave_chroot(c, e);
    if (r == 0 && !c->env->no_pivot)
        r = pivot(c->root, e);
    if (r == 0 && c->propagation) {
        r = bind_propagation(c->root, c->propagation, e);
        if (r < 0)
            err_add(e, r, "set the root's propagation");
    }
    return r;
}
