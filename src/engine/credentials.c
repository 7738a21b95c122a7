/* Files that are given to the payload alone: on a file system in memory that only it sees, owned by
 * its user whatever the ids of the host's files are. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "engine/engine-priv.h"
#include "sys/mountfd.h"

static int write_file(int dir, const struct engine_file *f, const struct user *u, struct err *e)
{
    scoped_fd int fd =
        openat(dir, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
    int r = fd < 0 ? -errno : fs_write_all(fd, f->data, f->size);
    if (r == 0 && fchown(fd, u->uid, u->gid) < 0)
        r = -errno;
    return r < 0 ? err_set(e, -r, "credential %s", f->name) : 0;
}

int child_credentials(struct start *s, struct err *e)
{
    const struct engine_params *p = s->p;
    if (!p->files_dir)
        return 0;
    /* The root of a mount that the specification has made. */
    scoped_fd int dir = path_open_in_root(s->root_fd, p->files_dir, O_RDONLY | O_DIRECTORY, 0, e);
    if (dir < 0)
        return dir;
    for (size_t i = 0; i < p->n_files; i++) {
        int r = write_file(dir, &p->files[i], &s->user, e);
        if (r < 0)
            return r;
    }
    if (fchown(dir, s->user.uid, s->user.gid) < 0 || fchmod(dir, 0500) < 0)
        return err_set(e, errno, "give %s to user %u", p->files_dir, s->user.uid);
    return mountfd_setattr(dir, 0, MOUNT_ATTR_RDONLY, 0, 0, e);
}
