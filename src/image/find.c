/* Finding an image by what a user types. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/strv.h"
#include "image/others.h"
#include "image/ref.h"
#include "image/rows.h"

static int unknown(const char *text, struct err *e)
{
    err_msg(e, ENOENT, "image not known: %s", text);
    return err_hint(e, -ENOENT,
                    "'rootlet images' lists those that are here; 'rootlet pull NAME' or "
                    "'rootlet load -i FILE' brings one");
}

/* An image goes after its names: one whose name has gone since is not damaged. */
static bool is_gone(const struct conf *c, const struct store_ref *ref)
{
    SCOPED(store_ref_release) struct store_ref now = {0};
    scoped_fd int refs = conf_open_root(c, "refs", false, NULL);
    return refs >= 0 && store_ref_read(refs, ref->name, ref->tag, &now, NULL) == -ENOENT;
}

/* The image behind a reference, named by that reference alone. */
static int open_ref(const struct conf *c, const struct store_ref *ref, struct store_image *ret,
                    struct err *e)
{
    SCOPED(store_image_release) struct store_image i = {0};
    int r = store_row_read(c, image_digest_hex(ref->id), &i, e);
    if (r == -ENOENT && is_gone(c, ref))
        return r;
    if (r == -ENOENT) {
        err_msg(e, EUCLEAN, "image %s:%s is damaged: its record is missing", ref->name, ref->tag);
        return err_hint(e, -EUCLEAN, "load the image again");
    }
    if (r < 0)
        return r;
    free(i.manifest);
    i.manifest = xstrdup(ref->manifest);
    if (ref->tag[0] != '@')
        strv_addf(&i.names, "%s:%s", ref->name, ref->tag);
    strv_addf(&i.digests, "%s@%s", ref->name, ref->manifest);
    if (ref->index)
        strv_addf(&i.digests, "%s@%s", ref->name, ref->index);
    *ret = i;
    i = (struct store_image){0};
    return 0;
}

struct by_digest {
    const struct conf *c;
    const char *digest;
    struct store_image *ret;
};

static int match_digest(const struct store_ref *ref, void *data, struct err *e)
{
    struct by_digest *d = data;
    if (!streq(ref->manifest, d->digest) && !streq(ref->index, d->digest))
        return 0;
    int r = open_ref(d->c, ref, d->ret, e);
    return r < 0 ? r : 1;
}

/* Pulled by that digest, which may be that of an index. -ENOENT: e untouched. */
static int find_asked_digest(const struct conf *c, const struct image_ref *ref,
                             struct store_image *ret, struct err *e)
{
    scoped_free char *tag = xasprintf("@%s", ref->digest);
    scoped_fd int refs = conf_open_root(c, "refs", false, NULL);
    SCOPED(store_ref_release) struct store_ref found = {0};
    int r = refs < 0 ? -ENOENT : store_ref_read(refs, ref->name, tag, &found, e);
    return r < 0 ? r : open_ref(c, &found, ret, e);
}

/* -ENOENT: e untouched. */
static int find_ref(const struct conf *c, const struct image_ref *ref, struct store_image *ret,
                    struct err *e)
{
    if (ref->digest) { /* the digest decides, a tag beside it is only a remark */
        struct by_digest d = {c, ref->digest, ret};
        int r = find_asked_digest(c, ref, ret, e);
        if (r != -ENOENT)
            return r;
        r = store_refs_each(c, ref->name, match_digest, &d, e);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
    }
    scoped_fd int refs = conf_open_root(c, "refs", false, NULL);
    SCOPED(store_ref_release) struct store_ref found = {0};
    if (refs < 0)
        return refs == -ENOENT ? refs : err_set(e, -refs, "open %s/refs", c->root);
    int r = store_ref_read(refs, ref->name, ref->tag, &found, e);
    return r < 0 ? r : open_ref(c, &found, ret, e);
}

static int find_name(const struct conf *c, const char *text, struct store_image *ret, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref local = {0}, full = {0};
    int r = image_ref_parse_local(text, &local, e);
    r = r < 0 ? r : image_ref_parse(text, &full, e);
    if (r < 0)
        return r;
    r = find_ref(c, &local, ret, e);
    if (r == -ENOENT && !streq(local.name, full.name))
        r = find_ref(c, &full, ret, e);
    return r;
}

/* -ENOENT: e untouched. */
static int find_id(const struct conf *c, const char *prefix, struct store_image *ret, struct err *e)
{
    size_t len = strlen(prefix);
    char found[DIGEST_HEX + 1] = "";
    int fd = conf_open_root(c, "images", false, NULL);
    if (fd < 0)
        return fd == -ENOENT ? fd : err_set(e, -fd, "open %s/images", c->root);
    scoped_dir DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return err_set(e, ENOMEM, "read %s/images", c->root);
    }
    int ended = 0;
    for (struct dirent *de; (de = fs_next_entry(d, &ended));) {
        if (strncmp(de->d_name, prefix, len) != 0 || !str_ends(de->d_name, ".json") ||
            strlen(de->d_name) != DIGEST_HEX + strlen(".json"))
            continue;
        if (found[0])
            return err_msg(e, EEXIST, "image id %s is ambiguous: %.12s, %.12s, ...", prefix, found,
                           de->d_name);
        memcpy(found, de->d_name, DIGEST_HEX);
    }
    if (ended < 0)
        return err_set(e, -ended, "read %s/images", c->root);
    if (!found[0])
        return -ENOENT;
    return store_row_read(c, found, ret, e);
}

static int find_in(const struct conf *c, const char *text, struct store_image *ret, struct err *e)
{
    const char *hex = str_after(text, DIGEST_PREFIX);
    bool by_id_only = hex != NULL;
    struct err why = ERR_INIT;
    int r = -ENOENT;

    if (!hex)
        hex = text;
    bool like_id =
        strlen(hex) >= STORE_ID_PREFIX_MIN && strlen(hex) <= DIGEST_HEX && id_is_hex(hex);
    if (!by_id_only && !(like_id && strlen(hex) == DIGEST_HEX))
        r = find_name(c, text, ret, &why);
    if (r == -ENOENT && like_id)
        r = find_id(c, hex, ret, &why);
    if (r < 0 && r != -ENOENT && e)
        *e = why;
    return r;
}

/* What is found by a name of another store, or there alone, is not the own store's to change. */
static int find_elsewhere(const struct conf *c, const char *text, struct store_image *ret,
                          struct err *e)
{
    const struct conf *o;
    int r = -ENOENT;
    for (size_t n = 0; r == -ENOENT && (o = store_other(c, n)); n++) {
        r = find_in(o, text, ret, e);
        if (r < 0)
            continue;
        SCOPED(store_image_release) struct store_image own = {0};
        free(ret->store);
        ret->store = xstrdup(o->root);
        ret->is_copied = store_row_read_in(c, image_digest_hex(ret->id), &own, NULL) == 0;
    }
    return r;
}

int store_find(const struct conf *c, const char *text, struct store_image *ret, struct err *e)
{
    int r = find_in(c, text, ret, e);
    if (r == -ENOENT)
        r = find_elsewhere(c, text, ret, e);
    return r == -ENOENT ? unknown(text, e) : r;
}
