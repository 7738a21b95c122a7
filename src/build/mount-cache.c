/* mount-cache - RUN --mount=type=cache: a directory that lives from build to build. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "base/path.h"
#include "build/mount-priv.h"
#include "container/root.h"
#include "image/ref.h"
#include "mounts/tree.h"
#include "userns/userns.h"

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

/* --- THE FIRST CONTENT --- */

struct fill {
    const char *source;
    int to; /* an empty directory */
    uid_t uid;
    gid_t gid;
};

/* What a directory of the host holds is root's, as if it were copied. */
static int to_root(void *data, uint32_t *uid, uint32_t *gid, struct err *e)
{
    const struct fill *f = data;
    (void)e;
    *uid = f->uid;
    *gid = f->gid;
    return 0;
}

static int fill(int root_fd, struct fill *f, bool keep_owners, struct err *e)
{
    scoped_fd int from = path_open_in_root(root_fd, f->source, O_RDONLY | O_DIRECTORY, 0, e);
    struct tree_copy t = {
        .src = from, .dst = f->to, .objects = -1, .shift = keep_owners ? NULL : to_root, .data = f};
    if (from == -ENOENT || from == -ENOTDIR) {
        err_clear(e);
        return err_msg(e, -from, "source=%s: %s", f->source,
                       from == -ENOENT ? "there is no such directory" : "it is no directory");
    }
    return from < 0 ? from : tree_copy(&t, e);
}

static int fill_of_image(int root_fd, void *data, struct err *e)
{
    return fill(root_fd, data, true, e);
}

static int fill_from(struct step *t, const struct want *w, struct fill *f, struct err *e)
{
    char *words[] = {(char *)"true", NULL};
    scoped_free char *dir = NULL, *image = NULL, *name = NULL;
    scoped_container struct container ctr = {.dir_fd = -1};
    struct stat st;
    int r = stage_source(t->b, t->s, w->from, &dir, &image, e);
    if (r < 0)
        return err_add(e, r, "from=%s", w->from);
    if (image) {
        r = step_container(t->b, image, NULL, words, &name, e);
        r = r < 0 ? r : container_open(t->b->conf, name, &ctr, e);
        r = r < 0 ? r : container_root_run(t->b->conf, &ctr, 0, fill_of_image, f, e);
        if (name)
            step_container_end(t->b, name);
    } else {
        scoped_fd int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0 || fstat(f->to, &st) < 0)
            return err_set(e, errno, "from=%s: %s", w->from, dir);
        f->uid = st.st_uid;
        f->gid = st.st_gid;
        r = fill(root, f, false, e);
    }
    return r < 0 ? err_add(e, r, "from=%s", w->from) : 0;
}

/* --- THE DIRECTORY --- */

struct move {
    int from, to;
    const char *old, *name;
};

static int move(void *data, struct err *e)
{
    const struct move *m = data;
    if (renameat2(m->from, m->old, m->to, m->name, RENAME_NOREPLACE) == 0 || errno == EEXIST)
        return 0;
    return err_set(e, errno, "the cache");
}

/* A directory may change its parent by who may write to it: its owner may be a subordinate id. */
static int move_as_owner(struct move *m, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    int r = move(m, e);
    if (r != -EACCES || geteuid() == 0)
        return r;
    err_clear(e);
    r = userns_map_default(&map, e);
    return r < 0 ? r : userns_run(&map, 0, move, m, e);
}

/* It gets its name when it is complete: others may wait for it with the same lock as ours. */
static int make_dir(struct step *t, int dir, const char *name, const struct want *w, struct err *e)
{
    struct fill f = {.source = w->source ? w->source : "/"};
    struct stat st;
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    scoped_free char *making = scratch_dir(t->b, e);
    if (!making)
        return -EIO;
    scoped_fd int fd = f.to = open(making, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "the cache");
    bool asked = w->uid >= 0 || w->gid >= 0 || w->mode >= 0;
    const struct want plain = {.uid = -1, .gid = -1, .mode = -1};
    int r = mount_give(fd, w->from ? &plain : w, 0755, e);
    r = r < 0 || !w->from ? r : fill_from(t, w, &f, e);
    if (r == 0 && w->from && asked && fstat(fd, &st) == 0)
        r = mount_give(fd, w, st.st_mode & 07777, e);
    struct move done = {t->b->scratch_fd, dir, path_name(making), name};
    return r < 0 ? r : move_as_owner(&done, e);
}

/* A cache of what is somewhere else is another when that is another, as docker has it. */
static int identity(struct step *t, const struct want *w, char ret[static DIGEST_TEXT_MAX],
                    struct err *e)
{
    const char *id = w->id ? w->id : w->target;
    scoped_free char *key = NULL, *all = NULL;
    int r = w->from ? mount_source_key(t, w, &key, e) : 0;
    if (r < 0)
        return r;
    if (w->from)
        all = xasprintf("%s\n%s\n%s", id, w->source ? w->source : "/", key);
    /* An id is a name out of the file: no path is made of it. */
    r = digest_data(all ? all : id, strlen(all ? all : id), ret);
    return r < 0 ? err_set(e, -r, "hash") : 0;
}

int mount_cache(struct step *t, struct run_mounts *m, const struct want *w, struct err *e)
{
    scoped_fd int dir = conf_open_root(t->b->conf, "build/mounts", true, e);
    scoped_free char *name = NULL;
    char digest[DIGEST_TEXT_MAX];
    if (dir < 0)
        return dir;
    if (w->source && !w->from)
        return err_hint(e, err_msg(e, EINVAL, "source=%s: of a cache without from=", w->source),
                        "from=STAGE, an image or a --build-context says what it is a path in");
    int r = identity(t, w, digest, e);
    r = r < 0 ? r : lock_cache(dir, w, image_digest_hex(digest), &name, m, e);
    r = r < 0 ? r : make_dir(t, dir, name, w, e);
    if (r < 0)
        return r;
    scoped_free char *path = xasprintf("%s/build/mounts/%s", t->b->conf->root, name);
    mount_add(m, "bind", path, w, w->rw ? "bind,rw,rprivate,nodev" : "bind,ro,rprivate,nodev");
    return 0;
}
