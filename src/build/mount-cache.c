/* mount-cache - RUN --mount=type=cache: a directory that lives from build to build. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/path.h"
#include "build/mount-priv.h"
#include "image/ref.h"

/* Waits for another build, but not longer than the user. -EWOULDBLOCK when not asked to wait. */
static int take_lock(int fd, int how, bool at_once, struct err *e)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    while (flock(fd, how | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_set(e, errno, "lock the cache");
        if (at_once)
            return -EWOULDBLOCK;
        int r = child_interrupted(e);
        if (r < 0)
            return r;
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int lock_cache(int dir, const struct want *w, const char *hex, char **ret_name,
                      struct run_mounts *m, struct err *e)
{
    bool locked = streq(w->sharing, "locked"), own = streq(w->sharing, "private");
    if (w->sharing && !locked && !own && !streq(w->sharing, "shared"))
        return err_msg(e, EINVAL, "sharing=%s: not shared, locked or private", w->sharing);
    for (unsigned i = 0; i < 1000; i++) {
        scoped_free char *name = i ? xasprintf("%.32s-%u", hex, i) : xasprintf("%.32s", hex);
        scoped_free char *lock = xasprintf("%s.lock", name);
        int fd = openat(dir, lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        int how = locked || own ? LOCK_EX : LOCK_SH;
        if (fd < 0)
            return err_set(e, errno, "its lock");
        int r = take_lock(fd, how, own, e);
        if (r < 0)
            close(fd);
        if (r == -EWOULDBLOCK)
            continue;
        if (r < 0)
            return r;
        m->locks = xrealloc(m->locks, (m->n_locks + 1) * sizeof(*m->locks));
        m->locks[m->n_locks++] = fd;
        *ret_name = take_ptr(name);
        return 0;
    }
    return err_msg(e, EBUSY, "too many builds use it");
}

int mount_cache(struct step *t, struct run_mounts *m, const struct want *w, struct err *e)
{
    scoped_fd int dir = conf_open_root(t->b->conf, "build/mounts", true, e);
    scoped_free char *name = NULL;
    const char *id = w->id ? w->id : w->target;
    char digest[DIGEST_TEXT_MAX];
    if (dir < 0)
        return dir;
    if (w->from || w->source)
        return err_hint(e, err_msg(e, ENOTSUP, "from= and source= of a cache are not there"),
                        "fill it in the first RUN that uses it");
    /* An id is a name out of the file: no path is made of it. */
    int r = digest_data(id, strlen(id), digest);
    r = r < 0 ? err_set(e, -r, "hash") : lock_cache(dir, w, image_digest_hex(digest), &name, m, e);
    if (r < 0)
        return r;
    if (mkdirat(dir, name, 0700) == 0) {
        scoped_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd < 0 ? err_set(e, errno, "the cache") : mount_give(fd, w, 0755, e);
    } else if (errno != EEXIST) {
        r = err_set(e, errno, "the cache");
    }
    scoped_free char *path = xasprintf("%s/build/mounts/%s", t->b->conf->root, name);
    mount_add(m, "bind", path, w, w->rw ? "bind,rw,rprivate,nodev" : "bind,ro,rprivate,nodev");
    return r;
}
