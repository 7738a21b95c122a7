/* shift - layers for another id map than the store's, without copying their data.
 *
 * Who owns a file is part of its inode, and the kernel maps ids of mounts only for root. So a
 * container with another map gets a metadata tree per layer: the same directories and links, and
 * for each regular file an empty inode with the shifted owner that points (user.overlay.redirect)
 * into "objs", a farm of hard links to the layer's own files, mounted as overlay's data-only layer.
 * 13 MB instead of 346 for the layer measured in images.md 3.4. Where the kernel refuses that
 * (before 6.16), a shifted copy.
 *
 * Only trees that we wrote, in a store of mode 0700, are mounted so: redirects are never taken from
 * an image (its user.overlay.* attributes were escaped when it was unpacked). */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/tree.h"
#include "storage/storage-priv.h"

/* A layer and what it becomes. */
struct layer {
    char *tree;                  /* what was given: ".../HEX/diff" */
    char *dir;                   /* its parent */
    char *meta_name, *copy_name; /* names in dir: "map-HASH", "copy-HASH" */
    bool have_meta, have_copy;
};

struct build {
    const struct storage_shift *shift;
    struct layer *layers;
    size_t n;
    bool meta;   /* metadata trees, else copies */
    int staging; /* directory on the store's file system */
};

static void layers_release(struct build *b)
{
    for (size_t i = 0; i < b->n; i++) {
        free(b->layers[i].tree);
        free(b->layers[i].dir);
        free(b->layers[i].meta_name);
        free(b->layers[i].copy_name);
    }
    free(b->layers);
}

static bool is_dir(const char *dir, const char *name)
{
    scoped_free char *path = path_join(dir, name);
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void layer_init(struct layer *l, const char *tree, const char *hash)
{
    l->tree = xstrdup(tree);
    const char *name = path_name(tree);
    l->dir = name > tree ? xstrndup(tree, (size_t)(name - tree)) : xstrdup(".");
    bool usual = streq(name, "diff");
    l->meta_name = xasprintf("map-%s%s%s", hash, usual ? "" : "-", usual ? "" : name);
    l->copy_name = xasprintf("copy-%s%s%s", hash, usual ? "" : "-", usual ? "" : name);
    l->have_meta = is_dir(l->dir, l->meta_name);
    l->have_copy = is_dir(l->dir, l->copy_name);
}

/* The layer's part in object names: six hex digits of its directory's path. */
static void object_prefix(const struct layer *l, char ret[static 7])
{
    uint32_t h = 0x811c9dc5u;
    for (const char *p = l->dir; *p; p++)
        h = (h ^ (unsigned char)*p) * 0x01000193u; /* FNV-1a */
    snprintf(ret, 7, "%06x", h & 0xffffff);
}

static int open_objects(int dir, struct err *e)
{
    if (mkdirat(dir, "objs", 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make objs");
    int fd = openat(dir, "objs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "open objs") : fd;
}

static int build_one(const struct build *b, size_t i, struct err *e)
{
    const struct layer *l = &b->layers[i];
    char name[24], prefix[7];
    snprintf(name, sizeof(name), "%zu", i);
    scoped_fd int dir = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_fd int src = open(l->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || src < 0)
        return err_set(e, errno, "open");
    scoped_fd int objects = b->meta ? open_objects(dir, e) : -1;
    if (b->meta && objects < 0)
        return objects;
    if (mkdirat(b->staging, name, 0700) < 0)
        return err_set(e, errno, "make a staging directory");
    scoped_fd int dst = openat(b->staging, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dst < 0)
        return err_set(e, errno, "open the staging directory");
    object_prefix(l, prefix);
    struct tree_copy t = {.src = src, .dst = dst, .objects = objects, .object_prefix = prefix};
    int r = shift_setup(b->shift, &t, e);
    return r < 0 ? r : tree_copy(&t, e);
}

/* Moves the finished tree to its place. Another builder's equal one may have come first. */
static int commit_one(const struct build *b, size_t i, struct err *e)
{
    const struct layer *l = &b->layers[i];
    char name[24];
    snprintf(name, sizeof(name), "%zu", i);
    scoped_fd int dir = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_set(e, errno, "open %s", l->dir);
    const char *to = b->meta ? l->meta_name : l->copy_name;
    if (renameat2(b->staging, name, dir, to, RENAME_NOREPLACE) < 0 && errno != EEXIST)
        return err_set(e, errno, "move the tree to %s%s", l->dir, to);
    return 0;
}

static bool is_missing(const struct build *b, size_t i)
{
    const struct layer *l = &b->layers[i];
    return b->meta ? !l->have_meta : !l->have_meta && !l->have_copy;
}

/* As the owner of all ids. */
static int build_all(void *data, struct err *e)
{
    struct build *b = data;
    umask(0);
    for (size_t i = 0; i < b->n; i++) {
        int r = is_missing(b, i) ? build_one(b, i, e) : 0;
        if (r < 0)
            return err_add(e, r, "shift the ids of layer %s", b->layers[i].tree);
    }
    /* Once for all: a tree with its final name must be complete after a power loss too. */
    if (syncfs(b->staging) < 0)
        return err_set(e, errno, "sync the store");
    for (size_t i = 0; i < b->n; i++) {
        int r = is_missing(b, i) ? commit_one(b, i, e) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int remove_staging(void *data, struct err *e)
{
    const struct build *b = data;
    for (size_t i = 0; i < b->n; i++) {
        char name[24];
        snprintf(name, sizeof(name), "%zu", i);
        int r = fs_remove_tree(b->staging, name, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* In ingest/, whose entries are garbage when nobody holds their lock. */
static int build_missing(struct build *b, const char *store_root, struct err *e)
{
    scoped_free char *ingest = path_join(store_root, "ingest");
    scoped_fd int top = fs_open_dir(ingest, true, 0700, e);
    if (top < 0)
        return top;
    char name[32] = "shift.";
    id_random_hex(name + 6, 16);
    if (mkdirat(top, name, 0700) < 0)
        return err_set(e, errno, "make %s/%s", ingest, name);
    scoped_fd int staging = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (staging < 0)
        return err_set(e, errno, "open %s/%s", ingest, name);
    if (flock(staging, LOCK_EX | LOCK_NB) < 0)
        log_debug("lock %s: %s", name, strerror(errno));
    b->staging = staging;
    int r = run_as_owner(b->shift->from, build_all, b, e);
    if (remove_staging(b, NULL) < 0)
        run_as_owner(b->shift->from, remove_staging, b, NULL);
    unlinkat(top, name, AT_REMOVEDIR);
    return r;
}

/* Fills b->layers and decides how; -errno, else the number of layers to build. */
static int plan(struct build *b, const struct storage_create *c, struct err *e)
{
    char hash[17], why[256] = "";
    shift_hash(b->shift, hash);
    b->layers = xcalloc(strv_len(c->layer_dirs) + 1, sizeof(*b->layers));
    bool all_meta = true, all = true;
    for (size_t i = 0; c->layer_dirs[i]; i++) {
        struct layer *l = &b->layers[b->n++];
        layer_init(l, c->layer_dirs[i], hash);
        all_meta = all_meta && l->have_meta;
        all = all && (l->have_meta || l->have_copy);
    }
    b->meta = true;
    if (all_meta)
        return 0;
    int r = all ? 0 : probe_run(c->store_root, c->store_map, probe_data_only, why, e);
    if (r < 0)
        return r;
    b->meta = r > 0;
    if (!b->meta)
        log_info("no data-only layers here (%s): copying", why);
    return !all;
}

int shift_layers(const struct storage_create *c, const struct storage_shift *s, char ***ret_layers,
                 char ***ret_data, struct err *e)
{
    SCOPED(layers_release) struct build b = {.shift = s, .staging = -1};
    int r = plan(&b, c, e);
    if (r > 0)
        r = build_missing(&b, c->store_root, e);
    if (r < 0)
        return r;
    char **layers = NULL, **data = NULL;
    for (size_t i = 0; i < b.n; i++) {
        const struct layer *l = &b.layers[i];
        bool meta = b.meta || l->have_meta;
        strv_take(&layers, path_join(l->dir, meta ? l->meta_name : l->copy_name));
        if (!meta)
            continue;
        scoped_free char *objects = path_join(l->dir, "objs");
        if (!strv_has(data, objects))
            strv_add(&data, objects);
    }
    *ret_layers = layers;
    *ret_data = data;
    return 0;
}
