/* shift - layers for another id map than the store's, without copying their data.
 *
 * Who owns a file is part of its inode, and the kernel maps ids of mounts only for root. So a
 * container with another map gets a metadata tree of its image: the same directories and links, and
 * for each regular file an empty inode with the shifted owner that points (user.overlay.redirect)
 * into "objs", per layer a farm of hard links to the layer's own files, mounted as overlay's
 * data-only layers. 13 MB instead of 346 for the layer measured in images.md 3.4.
 *
 * One tree holds all layers of an image: without redirect_dir, which userxattr forbids, overlay
 * refuses (EPERM) a metadata file that has any other lower layer below it. It lies beside the
 * topmost layer. Where the kernel takes no data-only layers with userxattr (before 6.16),
 * fuse-overlayfs shows the layers themselves; without it each layer is copied with shifted owners.
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
#include "base/lock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/tree.h"
#include "storage/storage-priv.h"

/* A tree to build: of the layers first .. first+n-1 (topmost first), beside the first. */
struct unit {
    size_t first, n;
    char *name; /* "map-HASH" or "copy-HASH" */
    bool have;
};

struct build {
    const struct storage_shift *shift;
    char *const *trees; /* the layers: ".../HEX/diff" */
    struct unit *units;
    size_t n;
    bool meta;   /* one metadata tree, else a copy of each layer */
    int staging; /* directory on the store's file system */
    bool quiet;
    struct storage_progress progress;
};

static void units_release(struct build *b)
{
    for (size_t i = 0; i < b->n; i++)
        free(b->units[i].name);
    free(b->units);
    b->units = NULL;
    b->n = 0;
}

static char *parent_of(const char *tree)
{
    const char *name = path_name(tree);
    return name > tree ? xstrndup(tree, (size_t)(name - tree)) : xstrdup(".");
}

/* The tree, and the file that tells when it was wanted last, lie in a directory of ours: that of an
 * image belongs to whom the map says, and only its owner may move it. */
static char *tree_path(const struct build *b, const struct unit *u, const char *name)
{
    scoped_free char *dir = parent_of(b->trees[u->first]);
    return xasprintf("%s%s/%s", dir, u->name, name);
}

static uint64_t fnv(uint64_t h, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* Names the unit by the maps and by the very directories it is made of: a layer that was removed
 * and unpacked again has other inodes, to which an old tree must not point. */
static int unit_name(const struct build *b, struct unit *u, struct err *e)
{
    char maps[17];
    shift_hash(b->shift, maps);
    uint64_t h = fnv(0xcbf29ce484222325u, maps, 16);
    for (size_t i = u->first; i < u->first + u->n; i++) {
        struct stat st;
        if (stat(b->trees[i], &st) < 0) {
            int r = err_set(e, errno, "layer %s", b->trees[i]);
            return err_hint(e, r, "The image is damaged: load it again.");
        }
        uint64_t key[4] = {st.st_dev, st.st_ino, (uint64_t)st.st_ctim.tv_sec,
                           (uint64_t)st.st_ctim.tv_nsec};
        h = fnv(h, key, sizeof(key));
    }
    u->name = xasprintf("%s-%016llx", b->meta ? "map" : "copy", (unsigned long long)h);
    scoped_free char *path = tree_path(b, u, "tree");
    struct stat st;
    u->have = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
    return 0;
}

/* 1 when nothing is missing, 0 when something is, or -errno. */
static int plan(struct build *b, bool meta, struct err *e)
{
    size_t n_trees = strv_len(b->trees);
    units_release(b);
    b->meta = meta;
    b->n = meta ? 1 : n_trees;
    b->units = xcalloc(b->n, sizeof(*b->units));
    bool all = true;
    for (size_t i = 0; i < b->n; i++) {
        b->units[i] = (struct unit){.first = i, .n = meta ? n_trees : 1};
        int r = unit_name(b, &b->units[i], e);
        if (r < 0)
            return r;
        all = all && b->units[i].have;
    }
    return all;
}

static int open_objects(const char *tree, struct err *e)
{
    scoped_free char *dir = parent_of(tree), *path = path_join(dir, "objs");
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make %s", path);
    int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "open %s", path) : fd;
}

static int add_layer(struct build *b, const char *tree, int dst, struct err *e)
{
    scoped_fd int src = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (src < 0)
        return err_set(e, errno, "open");
    scoped_fd int objects = b->meta ? open_objects(tree, e) : -1;
    if (b->meta && objects < 0)
        return objects;
    /* Tells the objects of layers apart that lie on different file systems. */
    char prefix[7];
    snprintf(prefix, sizeof(prefix), "%06x",
             (unsigned)(fnv(0xcbf29ce484222325u, tree, strlen(tree)) & 0xffffff));
    struct tree_copy t = {
        .src = src, .dst = dst, .whiteouts = b->meta, .objects = objects, .object_prefix = prefix};
    int r = shift_setup(b->shift, &t, e);
    progress_tree(&b->progress, &t);
    return r < 0 ? r : tree_copy(&t, e);
}

static int build_unit(struct build *b, size_t i, struct err *e)
{
    const struct unit *u = &b->units[i];
    char name[32];
    snprintf(name, sizeof(name), "%zu", i);
    int r = mkdirat(b->staging, name, 0700);
    snprintf(name, sizeof(name), "%zu/tree", i);
    if (r < 0 || mkdirat(b->staging, name, 0700) < 0)
        return err_set(e, errno, "make a staging directory");
    scoped_fd int dst = openat(b->staging, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dst < 0)
        return err_set(e, errno, "open the staging directory");
    for (size_t k = u->first + u->n; k-- > u->first;) {
        r = add_layer(b, b->trees[k], dst, e);
        if (r < 0)
            return err_add(e, r, "shift the ids of layer %s", b->trees[k]);
    }
    return 0;
}

/* Moves the finished tree to its place. Another builder's equal one may have come first. */
static int commit_unit(const struct build *b, size_t i, struct err *e)
{
    const struct unit *u = &b->units[i];
    char name[24];
    snprintf(name, sizeof(name), "%zu", i);
    scoped_free char *dir = parent_of(b->trees[u->first]), *to = path_join(dir, u->name);
    if (renameat2(b->staging, name, AT_FDCWD, to, RENAME_NOREPLACE) < 0 && errno != EEXIST)
        return err_set(e, errno, "move the shifted tree to %s", to);
    return 0;
}

/* As the owner of all ids. */
static int build_all(void *data, struct err *e)
{
    struct build *b = data;
    umask(0);
    progress_begin(&b->progress, "image files for another id map (once)", b->quiet);
    int q = 0;
    for (size_t i = 0; q == 0 && i < b->n; i++)
        q = b->units[i].have ? 0 : build_unit(b, i, e);
    progress_end(&b->progress);
    if (q < 0)
        return q;
    /* Once for all: a tree with its final name must be complete after a power loss too. */
    if (syncfs(b->staging) < 0)
        return err_set(e, errno, "sync the store");
    for (size_t i = 0; i < b->n; i++) {
        int r = b->units[i].have ? 0 : commit_unit(b, i, e);
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
    scoped_fd int root = top < 0 ? top : fs_open_dir(store_root, false, 0, e);
    if (root < 0)
        return root;
    char name[32] = "shift.";
    id_random_hex(name + 6, 16);
    /* Until the directory is locked the collector must not meet it. */
    scoped_fd int use = lock_take_of(root, "store.lock", "the store of images", LOCK_SHARED, -1, e);
    if (use < 0)
        return use;
    if (mkdirat(top, name, 0700) < 0)
        return err_set(e, errno, "make %s/%s", ingest, name);
    scoped_fd int staging = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (staging < 0)
        return err_set(e, errno, "open %s/%s", ingest, name);
    if (flock(staging, LOCK_EX | LOCK_NB) < 0)
        log_debug("lock %s: %s", name, strerror(errno));
    fd_close(&use);
    b->staging = staging;
    int r = run_as_owner(b->shift->from, build_all, b, e);
    if (remove_staging(b, NULL) < 0)
        run_as_owner(b->shift->from, remove_staging, b, NULL);
    unlinkat(top, name, AT_REMOVEDIR);
    return r;
}

/* A tree that is there already tells that the kernel can. 1, 0 or -errno. */
static int can_metadata(const struct storage_create *c, const struct storage_shift *s,
                        char why[static 256], struct err *e)
{
    SCOPED(units_release)
    struct build b = {.shift = s, .trees = c->layer_dirs, .staging = -1};
    int r = plan(&b, true, e);
    return r != 0 ? r : probe_run(c->store_root, c->store_map, probe_data_only, why, e);
}

static bool can_fuse(const struct storage_create *c)
{
    const struct storage_driver *d = NULL;
    scoped_free char *why = NULL;
    struct err e = ERR_INIT;
    if (c->run_root && storage_choose(c->store_root, c->run_root, storage_fuse.name, c->store_map,
                                      &d, &why, &e) == 0)
        return true;
    log_debug("%s", e.msg);
    return false;
}

int shift_choose(const struct storage_create *c, const struct storage_shift *s, enum shift_how *ret,
                 struct err *e)
{
    char why[256] = "";
    bool automatic = !c->shift || !*c->shift || streq(c->shift, "auto");
    *ret = streq(c->shift, "fuse") ? SHIFT_FUSE : SHIFT_COPY;
    if (streq(c->shift, "fuse") || streq(c->shift, "copy"))
        return 0;
    if (!automatic && !streq(c->shift, "metadata"))
        return err_msg(e, EINVAL, "storage_shift = \"%s\": not auto, metadata, fuse or copy",
                       c->shift);
    int r = can_metadata(c, s, why, e);
    if (r < 0)
        return r;
    if (r > 0)
        *ret = SHIFT_METADATA;
    else if (!automatic)
        return err_msg(e, ENOTSUP, "storage_shift = metadata: no data-only layers here: %s", why);
    else if (can_fuse(c))
        *ret = SHIFT_FUSE;
    else
        log_info("no data-only layers here (%s): copying", why);
    return 0;
}

/* Its time is when the tree was wanted last: the collector takes those that nobody wants. The
 * tree's own times are the image's. */
static void note_use(const struct build *b, const struct unit *u)
{
    scoped_free char *path = tree_path(b, u, "used");
    scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0 || futimens(fd, NULL) < 0)
        log_debug("note %s: %s", path, strerror(errno));
}

static void fill(const struct build *b, char ***layers, char ***data)
{
    for (size_t i = 0; i < b->n; i++) {
        note_use(b, &b->units[i]);
        strv_take(layers, tree_path(b, &b->units[i], "tree"));
    }
    for (size_t i = 0; b->meta && b->trees[i]; i++) {
        scoped_free char *dir = parent_of(b->trees[i]), *objects = path_join(dir, "objs");
        if (!strv_has(*data, objects))
            strv_add(data, objects);
    }
}

int shift_layers(const struct storage_create *c, const struct storage_shift *s, bool metadata,
                 char ***ret_layers, char ***ret_data, struct err *e)
{
    SCOPED(units_release)
    struct build b = {.shift = s, .trees = c->layer_dirs, .staging = -1, .quiet = c->quiet};
    int r = plan(&b, metadata, e);
    if (r == 0)
        r = build_missing(&b, c->store_root, e);
    if (r < 0)
        return r;
    char **layers = NULL, **data = NULL;
    fill(&b, &layers, &data);
    *ret_layers = layers;
    *ret_data = data;
    return 0;
}
