/* The container's terminal: a pty of its own devpts, never one that a path in the image names
 * (CVE-2025-52565). pty(7), ioctl_tty(2) */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "base/path.h"
#include "engine/engine-priv.h"
#include "sys/mountfd.h"

#define PTMX_DEVICE makedev(5, 2)
#define PTS_MAJOR_FIRST 136
#define PTS_MAJOR_LAST 143

static int on_devpts(int fd, struct stat *ret)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == DEVPTS_SUPER_MAGIC && fstat(fd, ret) == 0 &&
           S_ISCHR(ret->st_mode);
}

int console_open(int root_fd, int *ret_master, int *ret_slave, struct err *e)
{
    struct stat st;
    /* Looked at before it is opened for real: opening a device can have effects. */
    scoped_fd int probe = path_open_in_root(root_fd, "/dev/pts/ptmx", O_PATH, 0, e);
    if (probe < 0)
        return err_hint(e, probe, "a terminal needs a devpts mounted at /dev/pts");
    if (!on_devpts(probe, &st) || st.st_rdev != PTMX_DEVICE)
        return err_msg(e, EINVAL, "/dev/pts/ptmx is not the multiplexer of a devpts");
    scoped_fd int master =
        path_open_in_root(root_fd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0, e);
    if (master < 0)
        return master;
    if (!on_devpts(master, &st) || st.st_rdev != PTMX_DEVICE)
        return err_msg(e, EINVAL, "/dev/pts/ptmx was exchanged");

    int unlock = 0;
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return err_set(e, errno, "unlock the terminal");
    /* The slave without a path: what /dev/pts/N names does not matter. */
    scoped_fd int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return err_set(e, errno, "open the terminal");
    if (!on_devpts(slave, &st) || major(st.st_rdev) < PTS_MAJOR_FIRST ||
        major(st.st_rdev) > PTS_MAJOR_LAST)
        return err_msg(e, EINVAL, "the terminal is not a pty of a devpts");
    *ret_master = take_fd(&master);
    *ret_slave = take_fd(&slave);
    return 0;
}

int console_bind(int root_fd, int slave, struct err *e)
{
    scoped_fd int dev = path_open_in_root(root_fd, "/dev", O_PATH | O_DIRECTORY, 0, e);
    if (dev < 0)
        return dev;
    /* The target is our own new file: O_EXCL and no link is followed. One that exists (an image's
     * /dev without a tmpfs over it) is taken if it is a plain file or device. */
    scoped_fd int made =
        openat(dev, "console", O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (made < 0 && errno != EEXIST)
        return err_set(e, errno, "make /dev/console");
    struct stat st;
    scoped_fd int target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0 || fstat(target, &st) < 0)
        return err_set(e, errno, "open /dev/console");
    if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
        return err_msg(e, EINVAL, "/dev/console in the image is neither a file nor a device");
    scoped_fd int tree = mountfd_clone(slave, "", 0, e);
    if (tree < 0)
        return tree;
    int r = mountfd_attach(tree, target, e);
    return r < 0 ? err_add(e, r, "bind /dev/console") : 0;
}

int console_set_size(int fd, const struct spec_box *size, struct err *e)
{
    if (!size || size->height == 0 || size->width == 0)
        return 0;
    struct winsize w = {
        .ws_row = size->height > 0xffff ? 0xffff : (unsigned short)size->height,
        .ws_col = size->width > 0xffff ? 0xffff : (unsigned short)size->width,
    };
    return ioctl(fd, TIOCSWINSZ, &w) < 0 ? err_set(e, errno, "set the terminal's size") : 0;
}

int console_attach(int slave, struct err *e)
{
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        return err_set(e, errno, "make it the controlling terminal");
    for (int i = 0; i < 3; i++) {
        if (dup2(slave, i) < 0)
            return err_set(e, errno, "connect descriptor %d", i);
    }
    return 0;
}
