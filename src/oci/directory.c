/* directory - ROOT/ID: made by one, locked by who changes it, removed at the end. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "oci/oci.h"

int oci_check_id(const char *id, struct err *e)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-");
    if (id[0] && !id[n] && n <= 255 && !streq(id, ".") && !streq(id, ".."))
        return 0;
    return err_hint(e, err_msg(e, EINVAL, "invalid id format: \"%s\"", id),
                    "an id has 1 to 255 letters, digits and _ + . -");
}

static int open_root(bool make, struct err *e)
{
    return fs_open_dir(oci_settings()->root, make, 0700, e);
}

/* Is the directory that we hold still the one of this id? */
static bool is_current(int root_fd, const char *id, int dir_fd)
{
    struct stat ours, theirs;
    return fstat(dir_fd, &ours) == 0 && fstatat(root_fd, id, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* --root may name any directory. Only what we have made ourselves is a container, and may be
 * removed as one: private, and with nothing in it that is not ours. Root as well takes only its
 * own: what another user has written there would name the hooks that root runs. */
static bool is_container(int dir_fd)
{
    static const char *const names[] = {".",     "..",          "config.json", "state.json",
                                        "start", "seccomp.bpf", "notify"};
    struct stat st;
    if (fstat(dir_fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077))
        return false;
    scoped_fd int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return false;
    (void)take_fd(&fd);
    for (struct dirent *de; (de = readdir(d));) {
        bool known = str_after(de->d_name, ".tmp-");
        for (size_t i = 0; !known && i < N_ELEMENTS(names); i++)
            known = streq(de->d_name, names[i]);
        if (!known)
            return false;
    }
    return true;
}

/* Is there nothing in it? Whoever makes a container writes before it lets go of the lock. */
static bool is_empty(int dir_fd)
{
    scoped_fd int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return false;
    (void)take_fd(&fd);
    for (struct dirent *de; (de = readdir(d));)
        if (!streq(de->d_name, ".") && !streq(de->d_name, ".."))
            return false;
    return true;
}

static int lock(int fd, struct err *e)
{
    int r;
    do
        r = flock(fd, LOCK_EX);
    while (r < 0 && errno == EINTR);
    return r < 0 ? err_set(e, errno, "lock the container's directory") : 0;
}

static int open_container(const char *id, bool locked, struct oci_container *ret, struct err *e)
{
    int r = oci_check_id(id, e);
    if (r < 0)
        return r;
    scoped_fd int root = open(oci_settings()->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 && errno != ENOENT)
        return err_set(e, errno, "open directory %s", oci_settings()->root);
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    do {
        fd_close(&c.dir_fd);
        c.dir_fd =
            root < 0 ? -1 : openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (root < 0 || (c.dir_fd < 0 && errno == ENOENT))
            return err_msg(e, ENOENT, "container does not exist: %s", id);
        if (c.dir_fd < 0)
            return err_set(e, errno, "open the directory of container %s", id);
        if (!is_container(c.dir_fd))
            return err_msg(e, ENOENT, "container does not exist: %s/%s is another's directory",
                           oci_settings()->root, id);
        r = locked ? lock(c.dir_fd, e) : 0;
        if (r < 0)
            return r;
    } while (locked && !is_current(root, id, c.dir_fd));
    c.id = xstrdup(id);
    c.locked = locked;
    r = oci_refresh(&c, e);
    if (r < 0)
        return err_add(e, r, "container %s", id);
    *ret = c;
    c = (struct oci_container)OCI_CONTAINER_INIT;
    return 0;
}

int oci_open(const char *id, struct oci_container *ret, struct err *e)
{
    return open_container(id, false, ret, e);
}

int oci_open_locked(const char *id, struct oci_container *ret, struct err *e)
{
    return open_container(id, true, ret, e);
}

void oci_unlock(struct oci_container *c)
{
    (void)flock(c->dir_fd, LOCK_UN);
    c->locked = false;
}

int oci_lock_again(struct oci_container *c, struct err *e)
{
    int r = lock(c->dir_fd, e);
    if (r < 0)
        return r;
    c->locked = true;
    scoped_fd int root = open_root(false, e);
    if (root < 0)
        return root;
    return is_current(root, c->id, c->dir_fd)
               ? 0
               : err_msg(e, ENOENT, "container does not exist: %s", c->id);
}

int oci_make(const char *id, struct oci_container *ret, struct err *e)
{
    int r = oci_check_id(id, e);
    if (r < 0)
        return r;
    scoped_fd int root = open_root(true, e);
    if (root < 0)
        return err_hint(e, root, "--root names another directory for the state of containers");
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    do {
        fd_close(&c.dir_fd);
        if (mkdirat(root, id, 0700) < 0) {
            if (errno == EEXIST)
                return err_msg(e, EEXIST, "container with id exists: %s", id);
            return err_set(e, errno, "make the directory of container %s", id);
        }
        c.dir_fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (c.dir_fd < 0 && errno != ENOENT)
            return err_set(e, errno, "open the directory of container %s", id);
        if (c.dir_fd >= 0 && !is_container(c.dir_fd))
            return err_msg(e, EPERM, "somebody has exchanged the directory of container %s", id);
        r = c.dir_fd >= 0 ? lock(c.dir_fd, e) : 0;
        if (r < 0)
            return r;
        /* A "delete -f" may have been quicker than we; and then another create, whose directory
         * we have opened and waited for: that one is not empty any more. */
    } while (c.dir_fd < 0 || !is_current(root, id, c.dir_fd) || !is_empty(c.dir_fd));
    c.id = xstrdup(id);
    c.rec.id = xstrdup(id);
    c.locked = true;
    c.status = OCI_CREATING;
    *ret = c;
    c = (struct oci_container)OCI_CONTAINER_INIT;
    return 0;
}

int oci_remove(struct oci_container *c, struct err *e)
{
    scoped_fd int root = open_root(false, e);
    if (root < 0)
        return root;
    return fs_remove_tree(root, c->id, e);
}

int oci_list(char ***ret_ids, struct err *e)
{
    *ret_ids = NULL;
    scoped_dir DIR *d = opendir(oci_settings()->root);
    if (!d)
        return errno == ENOENT ? 0 : err_set(e, errno, "open directory %s", oci_settings()->root);
    for (struct dirent *de; (de = readdir(d));)
        if (de->d_type == DT_DIR && oci_check_id(de->d_name, NULL) == 0)
            strv_add(ret_ids, de->d_name);
    strv_sort(*ret_ids);
    return 0;
}
