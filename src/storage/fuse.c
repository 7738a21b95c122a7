/* fuse - layers stacked by the program fuse-overlayfs, for hosts where the kernel's overlay cannot
 * be used, and for other id maps where it takes no data-only layers.
 *
 * The mount is ours (fsopen(2) in the container's user namespace, no fusermount); the program is
 * given the open /dev/fuse as the mount point "/dev/fd/N", which libfuse takes since 3.3. server.c
 * has the process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/str.h"
#include "storage/storage-priv.h"
#include "sys/mountfd.h"
#include "sys/sock.h"

#define LOG_BYTES 4096

/* For what the program says: it cannot grow, whatever a container makes it say. */
static int open_log(struct err *e)
{
    scoped_fd int fd = memfd_create("fuse-overlayfs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, LOG_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) < 0)
        return err_set(e, errno, "make a file for messages");
    return take_fd(&fd);
}

static int open_device(struct err *e)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    int r = err_set(e, errno, "/dev/fuse");
    return r == -ENOENT ? err_hint(e, r, "sudo modprobe fuse")
                        : err_hint(e, r, "sudo chmod 0666 /dev/fuse");
}

/* Its first line; the kernel knows only that nobody answers. */
static int explain(int log, int why, struct err *e)
{
    char text[256] = "";
    ssize_t n = pread(log, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (!text[0])
        return err_set(e, why, "fuse-overlayfs ended at once");
    char shown[256];
    return err_msg(e, EIO, "%s", err_escape(shown, sizeof(shown), text));
}

static int fuse_mount(const struct storage_root *r, struct storage_fds *f, struct err *e)
{
    char options[128];
    (void)f;
    if (!r->server || r->server->sock < 0)
        return err_msg(e, EINVAL, "fuse-overlayfs was not started");
    scoped_fd int log = open_log(e), fuse = log < 0 ? log : open_device(e);
    if (fuse < 0)
        return fuse;
    snprintf(options, sizeof(options),
             "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other", fuse);
    scoped_fd int root = mountfd_new("fuse", "fuse-overlayfs", options, 0, e);
    if (root < 0)
        return root;
    const int give[] = {fuse, log};
    int q = sock_send(r->server->sock, "m", 1, give, 2);
    if (q < 0)
        return err_set(e, -q, "hand /dev/fuse to fuse-overlayfs");
    fd_close(&fuse); /* else nobody would see that the program has ended */
    struct statx st;
    if (statx(root, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) < 0)
        return explain(log, errno, e);
    return take_fd(&root);
}

/* Its "/" is the upper's root, as the kernel's overlay has it. */
static int fuse_prepare(const struct storage_root *r, const struct storage_shift *shift,
                        struct err *e)
{
    return storage_overlay.prepare(r, shift, e);
}

const struct storage_driver storage_fuse = {
    .name = "fuse-overlayfs",
    .probe = probe_fuse,
    .prepare = fuse_prepare,
    .mount = fuse_mount,
};
