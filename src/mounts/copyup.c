/* copyup - what an image holds below a volume's destination becomes the new volume's content. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/str.h"
#include "mounts/mounts-priv.h"
#include "mounts/tree.h"

int mounts_copy_up(int root_fd, const char *path, int volume_fd, struct err *e)
{
    scoped_free char *name = NULL;
    scoped_free char *clean = path_clean(path);
    scoped_fd int parent = path_open_parent(root_fd, clean, false, &name, e);
    if (parent == -ENOENT || parent == -ENOTDIR) {
        err_clear(e);
        return 0;
    }
    if (parent < 0)
        return err_add(e, parent, "volume \"%s\"", path);
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "volume \"%s\"", path);
    if (S_ISLNK(st.st_mode))
        return err_msg(e, ELOOP, "volume \"%s\" is a symbolic link in the image", path);
    if (!S_ISDIR(st.st_mode))
        return 0;
    scoped_fd int dir = path_open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0, e);
    if (dir < 0)
        return err_add(e, dir, "volume \"%s\"", path);
    struct tree_copy t = {.src = dir, .dst = volume_fd, .objects = -1};
    int r = tree_copy(&t, e);
    return r < 0 ? err_add(e, r, "volume \"%s\": copy up", path) : 0;
}
