#include "image/pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/str.h"
#include "base/strv.h"

static int lock_shared(int root_fd, struct err *e)
{
    return lock_take_of(root_fd, "store.lock", "the store of images", LOCK_SHARED, -1, e);
}

int store_stage_open(int root_fd, const char *name, struct err *e)
{
    /* The collector, which has the lock alone, must not meet the directory before it is locked. */
    scoped_fd int lock = lock_shared(root_fd, e);
    if (lock < 0)
        return lock;
    if (mkdirat(root_fd, "ingest", 0700) < 0 && errno != EEXIST)
        return err_set(e, errno, "create ingest");
    if (mkdirat(root_fd, name, 0700) < 0)
        return err_set(e, errno, "create %s", name);
    scoped_fd int fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || lock_wait(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = err_set(e, errno, "lock %s", name);
        unlinkat(root_fd, name, AT_REMOVEDIR);
        return r;
    }
    return take_fd(&fd);
}

bool store_stage_is_live(int ingest_fd, const char *name, int *ret_fd)
{
    *ret_fd = -1;
    scoped_fd int fd =
        openat(ingest_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (lock_wait(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK;
    *ret_fd = take_fd(&fd);
    return false;
}

int store_pin_open(const struct conf *c, const char *kind, struct store_pin *ret, struct err *e)
{
    struct store_pin p = STORE_PIN_INIT;
    char rand[17];
    id_random_hex(rand, 16);
    snprintf(p.name, sizeof(p.name), "ingest/%s.%s", kind, rand);
    p.root_fd = conf_open_root(c, "", true, e);
    p.fd = p.root_fd < 0 ? p.root_fd : store_stage_open(p.root_fd, p.name, e);
    if (p.fd < 0) {
        int r = err_add(e, p.fd, "store %s", c->root);
        fd_close(&p.root_fd);
        return r;
    }
    *ret = p;
    return 0;
}

int store_pin_want(struct store_pin *p, char *const *digests, struct err *e)
{
    scoped_str struct str text = STR_INIT;
    for (; digests && *digests; digests++)
        str_addf(&text, "%s\n", *digests);
    if (!text.len)
        return 0;
    scoped_fd int lock = lock_shared(p->root_fd, e);
    if (lock < 0)
        return lock;
    scoped_fd int fd =
        openat(p->fd, STORE_PIN_WANTS, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fs_write_all(fd, text.s, text.len);
    return r < 0 ? err_set(e, -r, "write %s/" STORE_PIN_WANTS, p->name) : 0;
}

int store_pin_want_one(struct store_pin *p, const char *digest, struct err *e)
{
    char *const one[] = {(char *)(uintptr_t)digest, NULL};
    return store_pin_want(p, one, e);
}

int store_pin_image(struct store_pin *p, const struct store_image *i, struct err *e)
{
    scoped_strv char **digests = strv_dup(i->layers);
    strv_add(&digests, i->id);
    strv_add(&digests, i->manifest);
    if (i->dirs)
        strv_add(&digests, i->dirs);
    return store_pin_want(p, digests, e);
}

int store_pin_find(struct store_pin *p, const struct conf *c, const char *text,
                   struct store_image *ret, struct err *e)
{
    scoped_free char *before = NULL;
    for (;;) { /* until the name means the same before and after it is wanted */
        SCOPED(store_image_release) struct store_image i = {0};
        int r = store_find(c, text, &i, e);
        if (r < 0)
            return r;
        if (before && streq(before, i.id)) {
            *ret = i;
            i = (struct store_image){0};
            return 0;
        }
        free(before);
        before = xstrdup(i.id);
        r = store_pin_image(p, &i, e);
        if (r < 0)
            return r;
    }
}

void store_pin_close(struct store_pin *p)
{
    store_pin_remove(p);
    fd_close(&p->fd);
    fd_close(&p->root_fd);
}

static void sweep_one(int ingest_fd, const char *name)
{
    scoped_fd int fd = -1;
    if (store_stage_is_live(ingest_fd, name, &fd) || fd < 0)
        return;
    unlinkat(fd, STORE_PIN_WANTS, 0);
    unlinkat(ingest_fd, name, AT_REMOVEDIR);
}

void store_pin_sweep(const struct conf *c)
{
    scoped_strv char **dead = NULL;
    int fd = conf_open_root(c, "ingest", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return;
    }
    struct dirent *ent;
    while ((ent = readdir(d)))
        if (str_after(ent->d_name, STORE_PIN_NEW "."))
            strv_add(&dead, ent->d_name);
    if (!dead)
        return;
    scoped_fd int root = conf_open_root(c, "", false, NULL);
    scoped_fd int lock = root < 0 ? root : lock_take(root, "store.lock", LOCK_EXCLUSIVE, 0, NULL);
    for (size_t i = 0; lock >= 0 && dead[i]; i++)
        sweep_one(dirfd(d), dead[i]);
}
