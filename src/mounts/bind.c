/* bind - trees of the host: cloned by the process that mounts, so that its rights decide. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "mounts/mounts-priv.h"

bool mount_is_bind(const struct spec_mount *m, const struct mount_options *o)
{
    return o->bind || streq(m->type, "bind") || streq(m->type, "rbind");
}

/* Links were resolved when the container was made. One that is there now was put in since, perhaps
 * by a container that has a directory above (CVE-2021-25741). */
int bind_open_real(const char *source, struct err *e)
{
    scoped_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_set(e, errno, "open /");
    const char *below = source + strspn(source, "/");
    int fd = path_open_beneath(root, *below ? below : ".", O_PATH, 0, NULL);
    if (fd == -ENOENT)
        return err_msg(e, ENOENT, "source \"%s\" does not exist", source);
    if (fd == -ELOOP)
        return err_msg(e, ELOOP,
                       "source \"%s\" leads through a symbolic link that was not there when the "
                       "container was made",
                       source);
    return fd < 0 ? err_set(e, -fd, "source \"%s\"", source) : fd;
}

/* The source is a host path out of the user's own command line or configuration: it is followed as
 * the user would follow it, links included, before the container has any process. */
int bind_open_source(const char *bundle, const char *source, const struct mount_options *o,
                     struct err *e)
{
    scoped_fd int fd = -1;
    if (!source || !source[0])
        return err_msg(e, EINVAL, "a bind needs a source");
    scoped_free char *full = bundle && source[0] != '/' ? path_join(bundle, source) : NULL;
    if (full)
        source = full;
    if (o->source_is_real) {
        fd = bind_open_real(source, e);
        if (fd < 0)
            return fd;
    }
    const char *path = fd < 0 ? source : "";
    int at = fd < 0 ? AT_FDCWD : fd;
    int r = mountfd_clone(at, path, o->recursive, e);
    /* A mount that came into this user namespace with its parent is locked to it: a copy without
     * it would uncover what it hides. The whole tree may be had. */
    if (r == -EINVAL && !o->recursive)
        r = mountfd_clone(at, path, true, e);
    if (r == -ENOENT)
        return err_msg(e, ENOENT, "source \"%s\" does not exist", source);
    if (r < 0)
        return err_add(e, r, "source \"%s\"", source);
    return r;
}

int bind_setattr(int tree, bool recursive, uint64_t set, uint64_t clear, struct err *e)
{
    if (!set && !clear)
        return 0;
    int r = mountfd_setattr(tree, recursive, set, clear, 0, e);
    if (r != -EPERM)
        return r;
    /* A flag of the source's mount (nosuid, nodev, noexec, ro, its access times) is locked in a
     * user namespace: what was asked to be taken away stays, what restricts is still added. */
    err_clear(e);
    log_debug("mount flags of the source are locked and stay");
    set &= ~(uint64_t)(MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME);
    return set ? mountfd_setattr(tree, recursive, set, 0, 0, e) : 0;
}

int bind_propagation(int tree, uint64_t propagation, struct err *e)
{
    return mountfd_setattr(tree, (propagation & MS_REC) != 0, 0, 0, propagation & ~(uint64_t)MS_REC,
                           e);
}

int bind_attach(int tree, const struct mount_options *o, int target, struct err *e)
{
    /* "ro" and its like are of the top mount alone, also of a recursive bind: the specification has
     * "rro" for the others. */
    int r = bind_setattr(tree, false, o->attr_set, o->attr_clear, e);
    if (r == 0)
        r = bind_setattr(tree, true, o->rec_attr_set, o->rec_attr_clear, e);
    if (r < 0)
        return r;
    /* First private, so that a slave or shared bind is what was asked for and nothing else. */
    r = bind_propagation(tree, o->propagation ? o->propagation : (MS_PRIVATE | MS_REC), e);
    if (r == 0 && o->propagation_then)
        r = bind_propagation(tree, o->propagation_then, e);
    return r < 0 ? r : mountfd_attach(tree, target, e);
}
