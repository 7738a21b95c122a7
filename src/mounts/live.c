/* live - mounts of a container that runs already. Its processes may race with us: as at the start,
 * targets are descriptors that openat2 has found below the root. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "mounts/mounts-priv.h"

#ifndef MNT_DETACH
#define MNT_DETACH 2 /* <sys/mount.h>, umount2(2) */
#endif

int mounts_add(const struct spec *spec, const struct mounts_env *env, struct err *e)
{
    int later_ro[1], r = 0;
    struct mounts c = {.spec = spec,
                       .env = env,
                       .root = env->root_mount,
                       .null_fd = -1,
                       .empty = -1,
                       .later_ro = later_ro};
    for (size_t i = 0; r >= 0 && i < spec->n_mounts; i++) {
        c.n_later_ro = 0;
        r = mount_one(&c, i, e);
        if (r >= 0 && c.n_later_ro)
            r = mountfd_setattr(later_ro[0], false, MOUNT_ATTR_RDONLY, 0, 0, e);
        if (c.n_later_ro)
            fd_close(&later_ro[0]);
        if (r < 0)
            err_add(e, r, "mount %s", spec->mounts[i].destination);
    }
    return r;
}

static int check_mount_point(int fd, struct err *e)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
        return err_set(e, errno, "statx");
    if (!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
        return err_msg(e, EINVAL, "nothing is mounted there");
    return 0;
}

static bool is_below(const char *path, const char *dir)
{
    const char *rest = str_after(path, dir);
    return rest && (*rest == '\0' || *rest == '/');
}

int mounts_check_removable(const struct spec *spec, const char *path, struct err *e)
{
    static const char *const kept[] = {"/", "/proc", "/sys", "/dev"};
    const struct spec_linux *l = spec->linux_;
    char **const lists[] = {l ? l->masked_paths : NULL, l ? l->readonly_paths : NULL};
    scoped_free char *clean = path_clean(path);
    bool is_kept = false;
    for (size_t i = 0; i < N_ELEMENTS(kept); i++)
        is_kept = is_kept || streq(clean, kept[i]);
    for (size_t i = 0; i < N_ELEMENTS(lists); i++)
        for (char **p = lists[i]; p && *p; p++)
            is_kept = is_kept || is_below(clean, *p);
    return is_kept ? err_msg(e, EPERM, "unmount %s: it protects the host", path) : 0;
}

/* Where the descriptor has led to: links of the container may have taken us to a mask. */
static int check_real_path(const struct spec *spec, const char *real, struct err *e)
{
    return *real ? mounts_check_removable(spec, real, e)
                 : err_msg(e, EIO, "look where it is: it cannot be told");
}

static void read_real_path(int fds_dir, int fd, char *buf, size_t size)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", fd);
    ssize_t n = readlinkat(fds_dir, number, buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
}

/* The kernel adds a word when the file that is mounted has no name any more. */
static bool is_in_place(const char *real, const char *path)
{
    const char *rest = str_after(real, path);
    return rest && (!*rest || streq(rest, " (deleted)"));
}

/* The container can rename what leads to a mount, and put another one there: then the one that is
 * to go would stay, elsewhere. A file may have been replaced on the host since, as editors do. */
static int check_source(int fd, const struct stat *source, bool in_place, struct err *e)
{
    struct stat st;
    if (!source || !source->st_ino)
        return 0;
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat");
    if ((st.st_ino == source->st_ino && st.st_dev == source->st_dev) ||
        (in_place && !S_ISDIR(source->st_mode)))
        return 0;
    return err_hint(e, err_msg(e, EPERM, "something else is mounted there"),
                    "a process inside may have moved its directory; it goes when the container is "
                    "stopped");
}

/* umount2(2) takes a path only: the one that leads to our descriptor, and nowhere else. */
int mounts_remove(const struct spec *spec, int root, int fds_dir, const char *path,
                  const struct stat *source, struct err *e)
{
    char number[16], real[4097] = "";
    scoped_free char *clean = path_clean(path);
    scoped_fd int fd = path_open_in_root(root, path, O_PATH, 0, e);
    int r = fd < 0 ? fd : check_mount_point(fd, e);
    snprintf(number, sizeof(number), "%d", fd);
    if (r == 0)
        read_real_path(fds_dir, fd, real, sizeof(real));
    if (r == 0)
        r = check_real_path(spec, real, e);
    if (r == 0)
        r = check_source(fd, source, is_in_place(real, clean), e);
    if (r == 0 && fchdir(fds_dir) < 0)
        r = err_set(e, errno, "enter the directory of descriptors");
    if (r == 0 && syscall(SYS_umount2, number, MNT_DETACH) < 0)
        r = err_set(e, errno, "unmount");
    return r < 0 ? err_add(e, r, "unmount %s", path) : 0;
}
