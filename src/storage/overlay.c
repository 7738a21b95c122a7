/* overlay - the kernel's overlay file system, mounted by an ordinary user.
 *
 * "userxattr" always: without it a user namespace's mount ignores opaque directories. No
 * redirect_dir and no metacopy (both refused with userxattr), index off (it breaks when lower
 * layers change and gains nothing here). images.md section 3. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <dirent.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "storage/storage-priv.h"
#include "sys/mountfd.h"

static int set_dir(int fs, const char *key, int fd, enum overlay_form form, struct err *e)
{
    if (form == OVERLAY_BY_FD)
        return mountfd_fd(fs, key, fd, e);
    char name[40];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return mountfd_string(fs, key, name, e);
}

/* Before 6.5 there is one option for all layers, and fsconfig(2) takes 255 bytes for it: the names
 * are descriptor numbers, relative to /proc/self/fd, where we are until they have been looked up:
 * with the option or, by those old kernels, when the file system is made. */
static int set_classic_lowers(int fs, const struct storage_fds *f, struct err *e)
{
    scoped_str struct str lower = STR_INIT;
    for (size_t i = 0; i < f->n_lowers; i++)
        str_addf(&lower, "%s%d", i ? ":" : "", f->lowers[i]);
    if (f->n_data > 0)
        return err_msg(e, ENOTSUP, "this kernel has no data-only layers");
    int r = mountfd_string(fs, "lowerdir", lower.s, e);
    if (r == -E2BIG)
        err_msg(e, E2BIG, "%zu layers are too many for this kernel (Linux 6.5 takes 500)",
                f->n_lowers);
    return r;
}

static int set_lowers(int fs, const struct storage_fds *f, enum overlay_form form, struct err *e)
{
    if (form == OVERLAY_CLASSIC)
        return set_classic_lowers(fs, f, e);
    for (size_t i = 0; i < f->n_lowers + f->n_data; i++) {
        const char *key = i < f->n_lowers ? "lowerdir+" : "datadir+";
        int r = set_dir(fs, key, f->lowers[i], form, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int mount_form(const struct storage_root *r, const struct storage_fds *f,
                      enum overlay_form form, struct err *e)
{
    scoped_fd int fs = mountfd_open("overlay", e);
    if (fs < 0)
        return fs;
    int q = mountfd_string(fs, "source", "rootlet", e);
    if (q == 0)
        q = mountfd_flag(fs, "userxattr", e);
    if (q == 0)
        q = mountfd_string(fs, "xino", "auto", e);
    if (q == 0)
        q = mountfd_string(fs, "index", "off", e);
    if (q == 0)
        q = set_lowers(fs, f, form, e);
    if (q == 0 && f->upper >= 0)
        q = set_dir(fs, "upperdir", f->upper, form, e);
    if (q == 0 && f->upper >= 0)
        q = set_dir(fs, "workdir", f->work, form, e);
    if (q == 0 && f->upper >= 0 && r->is_volatile)
        q = mountfd_flag(fs, "volatile", e);
    return q < 0 ? q : mountfd_mount(fs, 0, e);
}

int overlay_mount_form(const struct storage_root *r, const struct storage_fds *f,
                       enum overlay_form form, struct err *e)
{
    if (form != OVERLAY_CLASSIC)
        return mount_form(r, f, form, e);
    scoped_fd int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (cwd < 0 || chdir("/proc/self/fd") < 0)
        return err_set(e, errno, "chdir to /proc/self/fd");
    int q = mount_form(r, f, form, e);
    if (fchdir(cwd) < 0) {
        if (q >= 0)
            close(q);
        return err_set(e, errno, "chdir back");
    }
    return q;
}

/* A name for people: overlay's error for two file systems is a bare EINVAL. */
static const char *fs_name(int fd, char buf[static 32])
{
    static const struct {
        unsigned long magic;
        const char *name;
    } names[] = {
        {EXT4_SUPER_MAGIC, "ext4"},
        {TMPFS_MAGIC, "tmpfs"},
        {XFS_SUPER_MAGIC, "xfs"},
        {BTRFS_SUPER_MAGIC, "btrfs"},
        {OVERLAYFS_SUPER_MAGIC, "overlay"},
        {NFS_SUPER_MAGIC, "nfs"},
        {F2FS_SUPER_MAGIC, "f2fs"},
        {FUSE_SUPER_MAGIC, "fuse"},
        {0x2fc12fc1, "zfs"},
        {SMB2_SUPER_MAGIC, "smb"},
        {ECRYPTFS_SUPER_MAGIC, "ecryptfs"},
        {V9FS_MAGIC, "9p"},
        {0xca451a4e, "bcachefs"},
    };
    struct statfs st;
    if (fstatfs(fd, &st) < 0)
        return "an unknown file system";
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        if ((unsigned long)st.f_type == names[i].magic)
            return names[i].name;
    }
    snprintf(buf, 32, "file system 0x%lx", (unsigned long)st.f_type);
    return buf;
}

static int check_same_fs(const struct storage_root *r, const struct storage_fds *f, struct err *e)
{
    struct stat upper, work;
    if (fstat(f->upper, &upper) < 0 || fstat(f->work, &work) < 0)
        return err_set(e, errno, "stat %s and %s", r->upper, r->work);
    if (upper.st_dev == work.st_dev)
        return 0;
    char a[32], b[32];
    return err_msg(e, EXDEV,
                   "upper directory %s is on %s and work directory %s on %s (device %u:%u and "
                   "%u:%u): overlay needs both on one file system",
                   r->upper, fs_name(f->upper, a), r->work, fs_name(f->work, b),
                   major(upper.st_dev), minor(upper.st_dev), major(work.st_dev),
                   minor(work.st_dev));
}

/* Overlay deletes what it finds in its work directory: only what an earlier mount left may be
 * there. */
static int check_work(const struct storage_root *r, const struct storage_fds *f, struct err *e)
{
    scoped_fd int again = openat(f->work, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = again < 0 ? NULL : fdopendir(again);
    if (!d)
        return err_set(e, errno, "read work directory %s", r->work);
    again = -1;
    for (struct dirent *ent; (ent = readdir(d));) {
        const char *n = ent->d_name;
        if (streq(n, ".") || streq(n, "..") || streq(n, "work") || streq(n, "index"))
            continue;
        char name[128];
        return err_msg(e, ENOTEMPTY, "work directory %s is not empty (it holds \"%s\")", r->work,
                       err_escape(name, sizeof(name), n));
    }
    /* The mark that a volatile mount leaves: the kernel refuses to mount again until it is gone.
     * With it the contents may be incomplete after a crash; that is what volatile means. */
    if (unlinkat(f->work, "work/incompat/volatile/dirty", 0) == 0) {
        log_debug("%s was mounted volatile before", r->upper);
        if (unlinkat(f->work, "work/incompat/volatile", AT_REMOVEDIR) < 0 ||
            unlinkat(f->work, "work/incompat", AT_REMOVEDIR) < 0)
            return err_set(e, errno, "clear the mark of a volatile mount in %s", r->work);
    }
    return 0;
}

static int mount_any_form(const struct storage_root *r, const struct storage_fds *f, struct err *e)
{
    int q = overlay_mount_form(r, f, OVERLAY_BY_FD, e);
    struct err second = ERR_INIT;
    /* Descriptors are taken since 6.13. Until then those that are O_PATH are not even looked at
     * (EBADF); before 6.5 overlay has no options of the new kind at all (EOPNOTSUPP), nor
     * "lowerdir+" (EINVAL). The first error is the one with the reason when all of them fail. */
    bool old = q == -EINVAL || q == -EBADF || q == -EOPNOTSUPP;
    for (int form = OVERLAY_BY_NAME; old && form <= OVERLAY_CLASSIC; form++) {
        int again = overlay_mount_form(r, f, form, &second);
        if (again >= 0) {
            err_clear(e);
            return again;
        }
        log_debug("overlay, by another way: %s", second.msg);
        err_clear(&second);
        if (again != -EINVAL)
            break;
    }
    return q;
}

/* Without an upper the kernel wants two lowers at least. One alone is what it is, read-only. */
static int single_layer(int layer, struct err *e)
{
    scoped_fd int tree = mountfd_clone(layer, "", false, e);
    if (tree < 0)
        return tree;
    int r = mountfd_setattr(tree, false, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, e);
    return r < 0 ? r : take_fd(&tree);
}

static int overlay_mount(const struct storage_root *r, struct storage_fds *f, struct err *e)
{
    if (f->n_lowers + f->n_data > MOUNTFD_OVERLAY_LOWERS) {
        int q = err_msg(e, E2BIG, "%zu layers, overlay takes at most %d", f->n_lowers + f->n_data,
                        MOUNTFD_OVERLAY_LOWERS);
        return err_hint(e, q, "Use --storage-driver copy, or build the image with fewer layers.");
    }
    if (f->upper >= 0) {
        int q = check_same_fs(r, f, e);
        if (q == 0)
            q = check_work(r, f, e);
        if (q < 0)
            return q;
    } else if (f->n_lowers + f->n_data == 1) {
        return single_layer(f->lowers[0], e);
    }
    return mount_any_form(r, f, e);
}

/* The upper's root is the container's "/": mode and owner of the image's root. Work is overlay's
 * own, used by the container's root. */
static int overlay_prepare(const struct storage_root *r, const struct storage_shift *shift,
                           struct err *e)
{
    (void)shift; /* the layers of r are shifted already */
    struct stat st;
    if (stat(r->layers[0], &st) < 0)
        return err_set(e, errno, "layer %s", r->layers[0]);
    struct stat have;
    if (stat(r->upper, &have) < 0)
        return err_set(e, errno, "stat %s", r->upper);
    if (st.st_uid != have.st_uid || st.st_gid != have.st_gid) {
        if (lchown(r->upper, st.st_uid, st.st_gid) < 0)
            return err_set(e, errno, "chown %s", r->upper);
        if (lchown(r->work, st.st_uid, st.st_gid) < 0)
            return err_set(e, errno, "chown %s", r->work);
    }
    if (chmod(r->upper, st.st_mode & 07777) < 0)
        return err_set(e, errno, "chmod %s", r->upper);
    return 0;
}

const struct storage_driver storage_overlay = {
    .name = "overlay",
    .probe = probe_overlay,
    .prepare = overlay_prepare,
    .mount = overlay_mount,
};
