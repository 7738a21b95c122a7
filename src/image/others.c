#include "image/others.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "image/ref.h"
#include "userns/userns.h"

#define OTHERS_MAX 16

static struct {
    char *text; /* the setting that the rest was made of */
    struct conf v[OTHERS_MAX];
    bool is_direct[OTHERS_MAX];
    size_t n;
} known;

/* In a sticky directory nobody but the owner of an entry can put another in its place. */
static bool is_writable_by_others(const struct stat *st, uid_t owner)
{
    if (st->st_uid != owner && st->st_uid != 0)
        return true;
    return (st->st_mode & 022) && !(S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX));
}

/* The first part of the path, or of the store, that somebody else could change; NULL: none. */
static char *find_weak(const char *root, uid_t owner)
{
    static const char *const parts[] = {"layers", "images", "refs", "blobs", "blobs/sha256"};
    struct stat st;
    for (size_t i = 1; root[i - 1]; i++) {
        scoped_free char *parent = root[i] == '/' || !root[i] ? xstrndup(root, i) : NULL;
        if (parent && (lstat(parent, &st) < 0 || is_writable_by_others(&st, owner)))
            return take_ptr(parent);
    }
    if (stat(root, &st) < 0 || (st.st_mode & 022))
        return xstrdup(root);
    for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
        scoped_free char *path = path_join(root, parts[i]);
        if (lstat(path, &st) < 0 ? errno != ENOENT
                                 : !S_ISDIR(st.st_mode) || (st.st_mode & 022) ||
                                       (st.st_uid != owner && st.st_uid != 0))
            return take_ptr(path);
    }
    return NULL;
}

static void add_other(const struct conf *c, const char *path)
{
    struct stat st;
    scoped_free char *real = path[0] == '/' ? realpath(path, NULL) : NULL;
    if (path[0] != '/') {
        log_warn("additional store %s: not an absolute path", path);
        return;
    }
    if (!real || stat(real, &st) < 0) {
        log_warn("additional store %s: %s", path, strerror(errno));
        return;
    }
    scoped_free char *weak = find_weak(real, st.st_uid);
    if (weak) {
        log_warn("additional store %s is not used: others than its owner can change %s", path,
                 weak);
        return;
    }
    if (streq(real, c->root) || known.n == OTHERS_MAX)
        return;
    known.v[known.n] = *c; /* all but the root is never looked at */
    known.v[known.n].root = take_ptr(real);
    known.v[known.n].additional_stores = str_empty;
    known.is_direct[known.n] = false;
    scoped_userns_map struct userns_map map = {0}, own = {0};
    if (st.st_uid == geteuid() && (st.st_mode & 077) == 0 && userns_map_default(&own, NULL) == 0 &&
        store_idmap(&known.v[known.n], &map, NULL) == 0)
        known.is_direct[known.n] = userns_map_equal(&map, &own);
    known.n++;
}

static void look(const struct conf *c)
{
    if (known.text && streq(known.text, c->additional_stores))
        return;
    for (size_t i = 0; i < known.n; i++)
        free(known.v[i].root);
    free(known.text);
    known.n = 0;
    known.text = xstrdup(c->additional_stores);
    scoped_strv char **paths = strv_split(c->additional_stores, ":", false);
    for (char **p = paths; p && *p; p++)
        add_other(c, *p);
}

const struct conf *store_other(const struct conf *c, size_t n)
{
    if (!c->additional_stores || !c->additional_stores[0])
        return NULL;
    look(c);
    return n < known.n ? &known.v[n] : NULL;
}

bool store_other_is_direct(const struct conf *c, const struct conf *other)
{
    const struct conf *o;
    for (size_t i = 0; (o = store_other(c, i)); i++)
        if (o == other)
            return known.is_direct[i];
    return false;
}

static bool has_layer(const struct conf *c, const char *diff_id)
{
    struct stat st;
    scoped_free char *dir = xasprintf("%s/layers/%s/diff", c->root, image_digest_hex(diff_id));
    return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode);
}

const struct conf *store_of_layer(const struct conf *c, const char *diff_id, bool *ret_direct)
{
    const struct conf *o, *found = NULL;
    bool direct = false;
    if (has_layer(c, diff_id)) {
        found = c;
        direct = true;
    }
    for (size_t i = 0; !direct && (o = store_other(c, i)); i++)
        if ((!found || known.is_direct[i]) && has_layer(o, diff_id)) {
            found = o;
            direct = known.is_direct[i];
        }
    if (ret_direct)
        *ret_direct = direct;
    return found;
}
