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

/* umount2(2) takes a path only: the one that leads to our descriptor, and nowhere else. */
int mounts_remove(int root, int fds_dir, const char *path, struct err *e)
{
    char number[16];
    scoped_fd int fd = path_open_in_root(root, path, O_PATH, 0, e);
    int r = fd < 0 ? fd : check_mount_point(fd, e);
    if (r == 0 && fchdir(fds_dir) < 0)
        r = err_set(e, errno, "enter the directory of descriptors");
    snprintf(number, sizeof(number), "%d", fd);
    if (r == 0 && syscall(SYS_umount2, number, MNT_DETACH) < 0)
        r = err_set(e, errno, "unmount");
    return r < 0 ? err_add(e, r, "unmount %s", path) : 0;
}
