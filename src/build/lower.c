/* lower - a directory of an image as the directories of its layers that make it up: what an
 * overlay of it needs. Nothing of an image is followed: links in the path have been resolved. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/path.h"
#include "base/strv.h"
#include "build/build.h"

enum found { NOT_HERE, HIDDEN, DIRECTORY, OPAQUE, REGULAR };

static bool is_opaque(int fd)
{
    char value[4], path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return getxattr(path, "user.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

/* What one layer has at the path: each part looked at by itself, as each may hide what is below. */
static enum found look(int layer, char *const *parts, struct err *e)
{
    scoped_fd int at = fcntl(layer, F_DUPFD_CLOEXEC, 3);
    bool opaque = is_opaque(at);
    struct stat st;
    (void)e;
    for (char *const *p = parts; p && *p; p++) {
        int next = openat(at, *p, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return opaque ? HIDDEN : NOT_HERE;
        fd_close(&at);
        at = next;
        if (fstat(at, &st) < 0)
            return HIDDEN;
        if (S_ISREG(st.st_mode) && !p[1])
            return REGULAR;
        if (!S_ISDIR(st.st_mode))
            return HIDDEN;
        opaque |= is_opaque(at);
    }
    return opaque ? OPAQUE : DIRECTORY;
}

int lower_dirs(struct build *b, const char *image, const char *path, char ***ret, bool *ret_file,
               struct err *e)
{
    SCOPED(store_image_release) struct store_image found = {0};
    scoped_strv char **layers = NULL, **parts = strv_split(path, "/", false), **v = NULL;
    int r = store_find(b->conf, image, &found, e);
    r = r < 0 ? r : store_layer_dirs(b->conf, &found, &layers, e);
    *ret_file = false;
    for (char **l = layers; r == 0 && l && *l; l++) {
        scoped_fd int layer = open(*l, O_PATH | O_DIRECTORY | O_CLOEXEC);
        enum found what = layer < 0 ? HIDDEN : look(layer, parts, e);
        if (what == REGULAR && !v)
            *ret_file = true;
        if (what == DIRECTORY || what == OPAQUE || (what == REGULAR && !v))
            strv_take(&v, path_join(*l, path));
        if (what != DIRECTORY && what != NOT_HERE)
            break;
    }
    if (r == 0 && !v)
        r = err_msg(e, ENOENT, "%s is no directory and no file of it", path);
    if (r == 0)
        *ret = take_ptr(v);
    return r;
}
