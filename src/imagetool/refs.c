#include "imagetool/refs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/path.h"
#include "image/ref.h"
#include "image/rows.h"

int refs_lock(const struct conf *c, struct err *e)
{
    scoped_fd int refs = conf_open_root(c, "refs", true, e);
    int r = refs < 0 ? refs : lock_fd(refs, LOCK_EXCLUSIVE, -1, "the names of images", e);
    return r < 0 ? r : take_fd(&refs);
}

int ref_write(const struct conf *c, const struct image_ref *ref, const struct store_image *i,
              struct err *e)
{
    scoped_free char *dir = image_ref_encode(ref->name), *path = path_join(dir, ref->tag);
    scoped_free char *line = xasprintf("%s %s\n", i->manifest, i->id);
    scoped_fd int refs = conf_open_root(c, "refs", true, e);
    int r = -ENOENT;
    if (refs < 0)
        return refs;
    /* Whoever removes the last tag of a name removes its directory: then once more. */
    for (int tries = 0; tries < 10 && r == -ENOENT; tries++) {
        if (mkdirat(refs, dir, 0700) < 0 && errno != EEXIST)
            return err_set(e, errno, "create %s/refs/%s", c->root, dir);
        r = fs_write_atomic(refs, path, line, strlen(line), 0600, FS_SYNC, e);
    }
    return r;
}

static int remove_file(const struct conf *c, const char *name, const char *tag, struct err *e)
{
    scoped_free char *dir = image_ref_encode(name), *path = path_join(dir, tag);
    scoped_fd int refs = conf_open_root(c, "refs", false, NULL);
    if (refs < 0)
        return refs == -ENOENT ? 0 : err_set(e, -refs, "open %s/refs", c->root);
    if (unlinkat(refs, path, 0) < 0 && errno != ENOENT)
        return err_set(e, errno, "remove %s/refs/%s", c->root, path);
    unlinkat(refs, dir, AT_REMOVEDIR); /* fails while other tags are there */
    return 0;
}

int ref_remove(const struct conf *c, const char *name, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    int r = image_ref_parse(name, &ref, e);
    return r < 0 ? r : remove_file(c, ref.name, ref.tag, e);
}

bool ref_is_own(const struct conf *c, const char *name)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    SCOPED(store_ref_release) struct store_ref found = {0};
    scoped_fd int refs = conf_open_root(c, "refs", false, NULL);
    return refs >= 0 && image_ref_parse(name, &ref, NULL) == 0 &&
           store_ref_read(refs, ref.name, ref.tag, &found, NULL) == 0;
}

int ref_refuse_other(const struct store_image *i, struct err *e)
{
    err_msg(e, EROFS, "image %.12s is in the read-only store %s", image_digest_hex(i->id),
            i->store);
    return err_hint(e, -EROFS, "its owner removes it: rootlet --root %s rmi %.12s", i->store,
                    image_digest_hex(i->id));
}

struct removal {
    const struct conf *conf;
    const char *id;
    char ***names;
};

static int remove_own(const struct store_ref *ref, void *data, struct err *e)
{
    struct removal *x = data;
    if (!streq(ref->id, x->id))
        return 0;
    int r = remove_file(x->conf, ref->name, ref->tag, e);
    if (r == 0 && x->names && ref->tag[0] != '@')
        strv_addf(x->names, "%s:%s", ref->name, ref->tag);
    return r;
}

int ref_remove_all(const struct conf *c, const struct store_image *i, char ***ret_names,
                   struct err *e)
{
    struct removal x = {.conf = c, .id = i->id, .names = ret_names};
    return store_refs_each(c, NULL, remove_own, &x, e);
}

int row_remove(const struct conf *c, const struct store_image *i, struct err *e)
{
    scoped_free char *path = xasprintf("%s/images/%s.json", c->root, image_digest_hex(i->id));
    if (unlink(path) < 0 && errno != ENOENT)
        return err_set(e, errno, "remove %s", path);
    return 0;
}
