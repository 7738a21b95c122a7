#include "imagetool/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "imagetool/dirs.h"
#include "imagetool/gc.h"
#include "imagetool/manifest.h"
#include "imagetool/refs.h"

/* In the order in which they become visible: whatever is there can rely on all before it. */
enum item_kind { ITEM_LAYER, ITEM_BLOB, ITEM_ROW, ITEM_REF, N_ITEM_KINDS };

struct ingest_item {
    enum item_kind kind;
    char *stage; /* below stage_fd */
    char *dest;  /* below root_fd */
};

static int make_dirs(const struct conf *c, struct err *e)
{
    static const char *const dirs[] = {"",       "blobs", "blobs/sha256", "layers",
                                       "images", "refs",  "ingest",       "trash"};
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        scoped_fd int fd = conf_open_root(c, dirs[i], true, e);
        if (fd < 0)
            return fd;
    }
    return 0;
}

int ingest_open(const struct conf *c, bool quiet, struct ingest *ret, struct err *e)
{
    struct ingest in = INGEST_INIT;
    int r = make_dirs(c, e);
    if (r < 0)
        return r;
    in.conf = c;
    in.quiet = quiet;
    gc_sweep(c);
    r = store_pin_open(c, "l", &in.pin, e);
    if (r < 0)
        return r;
    in.root_fd = in.pin.root_fd;
    in.stage_fd = in.pin.fd;
    *ret = in;
    return 0;
}

int ingest_want(struct ingest *in, char *const *digests, struct err *e)
{
    return store_pin_want(&in->pin, digests, e);
}

static void remove_staged(struct ingest *in)
{
    if (in->pin.fd < 0)
        return;
    /* The directory's descriptor has the lock until all in it is gone. */
    if (fs_remove_tree(in->root_fd, in->pin.name, NULL) < 0 && in->session)
        layer_remove(in->session, in->root_fd, in->pin.name, NULL);
    store_pin_close(&in->pin);
}

void ingest_close(struct ingest *in)
{
    remove_staged(in);
    if (in->exchanged)
        gc_sweep(in->conf);
    layer_session_close(in->session);
    userns_map_release(&in->map);
    for (size_t i = 0; i < in->n_items; i++) {
        free(in->items[i].stage);
        free(in->items[i].dest);
    }
    for (size_t i = 0; i < in->n_layers; i++) {
        jfield_release(store_layer_fields, &in->layers[i].info);
        free(in->layers[i].stage);
    }
    free(in->items);
    free(in->layers);
    strv_free(in->replace);
    *in = (struct ingest)INGEST_INIT;
}

static void add_item(struct ingest *in, enum item_kind kind, const char *stage, char *dest)
{
    in->items = xrealloc(in->items, (in->n_items + 1) * sizeof(*in->items));
    in->items[in->n_items++] =
        (struct ingest_item){.kind = kind, .stage = xstrdup(stage), .dest = dest};
}

/* A staged file; synced together with everything else. */
static int stage_file(struct ingest *in, enum item_kind kind, char *dest, const void *data,
                      size_t n, struct err *e)
{
    char name[32];
    snprintf(name, sizeof(name), "f%zu", in->n_items);
    scoped_free char *owned = dest;
    mode_t mode = kind == ITEM_BLOB ? 0444 : 0600;
    scoped_fd int fd = openat(in->stage_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
    int r = fd < 0 ? -errno : fs_write_all(fd, data, n);
    if (r < 0)
        return err_set(e, -r, "write %s", owned);
    add_item(in, kind, name, take_ptr(owned));
    return 0;
}

void ingest_note_layer(struct ingest *in, struct store_layer *info, const char *stage)
{
    in->layers = xrealloc(in->layers, (in->n_layers + 1) * sizeof(*in->layers));
    in->layers[in->n_layers++] = (struct ingest_layer){.info = *info, .stage = xstrdup(stage)};
    *info = (struct store_layer){0};
    if (stage)
        add_item(
            in, ITEM_LAYER, stage,
            xasprintf("layers/%s", image_digest_hex(in->layers[in->n_layers - 1].info.diff_id)));
}

const struct store_layer *ingest_layer(const struct ingest *in, const char *diff_id)
{
    for (size_t i = 0; i < in->n_layers; i++)
        if (streq(in->layers[i].info.diff_id, diff_id))
            return &in->layers[i].info;
    return NULL;
}

static int stage_blob(struct ingest *in, const char *digest, const char *data, size_t n,
                      struct err *e)
{
    return stage_file(in, ITEM_BLOB, xasprintf("blobs/sha256/%s", image_digest_hex(digest)), data,
                      n, e);
}

static int stage_manifest(struct ingest *in, const struct image_plan *p,
                          char ret_digest[static DIGEST_TEXT_MAX], struct err *e)
{
    scoped_free char *made = NULL;
    const char *text = p->manifest;
    size_t len = p->manifest_len;
    if (!text) {
        scoped_free struct plain_layer *plain = xcalloc(p->n_layers + 1, sizeof(*plain));
        for (size_t i = 0; i < p->n_layers; i++) {
            const struct store_layer *l = ingest_layer(in, p->layers[i].diff_id);
            plain[i] = (struct plain_layer){.diff_id = p->layers[i].diff_id,
                                            .tar_size = l ? l->tar_size : 0};
        }
        made = manifest_make(p->id, p->config_len, plain, p->n_layers, NULL);
        text = made;
        len = strlen(made);
    }
    int r = digest_data(text, len, ret_digest);
    if (r < 0)
        return err_set(e, -r, "hash the manifest");
    return stage_blob(in, ret_digest, text, len, e);
}

/* The creation time of a configuration; whatever is not RFC 3339 counts as none. */
static int64_t created_ns(const char *text)
{
    int64_t ns = 0;
    if (!text || !strchr(text, 'T') || time_parse(text, &ns) < 0)
        return 0;
    return ns;
}

static int stage_row(struct ingest *in, const struct image_plan *p, const char *manifest,
                     struct err *e)
{
    struct store_image row = {
        .id = (char *)p->id,
        .manifest = (char *)manifest,
        .layers = p->parsed.diff_ids,
        .created_ns = created_ns(p->parsed.created),
        .os = p->parsed.os,
        .architecture = p->parsed.architecture,
        .variant = p->parsed.variant,
        .intermediate = p->intermediate,
    };
    for (size_t i = 0; i < p->n_layers; i++) {
        const struct store_layer *l = ingest_layer(in, p->layers[i].diff_id);
        if (l)
            row.size += l->bytes;
        if (l && l->root_opaque)
            row.shown_from = (uint32_t)i;
    }
    int r = dirs_ingest(in, row.layers, row.shown_from, &row.dirs, e);
    scoped_free char *dirs = row.dirs;
    if (r < 0)
        return r;
    scoped_json json_t *doc = jfield_emit(store_image_fields, &row);
    scoped_free char *text = json_text(doc, false);
    return stage_file(in, ITEM_ROW, xasprintf("images/%s.json", image_digest_hex(p->id)), text,
                      strlen(text), e);
}

int ingest_image(struct ingest *in, const struct image_plan *p, struct err *e)
{
    char manifest[DIGEST_TEXT_MAX];
    int r = stage_manifest(in, p, manifest, e);
    r = r < 0 ? r : stage_blob(in, p->id, p->config, p->config_len, e);
    r = r < 0 ? r : stage_row(in, p, manifest, e);
    scoped_free char *line =
        xasprintf("%s %s%s%s\n", manifest, p->id, p->index ? " " : "", p->index ? p->index : "");
    for (size_t i = 0; r == 0 && i < p->n_names; i++) {
        scoped_free char *dir = image_ref_encode(p->names[i].name);
        r = stage_file(in, ITEM_REF, xasprintf("refs/%s/%s", dir, p->names[i].tag), line,
                       strlen(line), e);
    }
    return r;
}

/* The tree that was there stays for the containers that run on it (gc.h): its names lead them to
 * what they have not opened yet. */
static int exchange_layer(struct ingest *in, const struct ingest_item *item)
{
    char rand[17];
    if (renameat2(in->stage_fd, item->stage, in->root_fd, item->dest, RENAME_EXCHANGE) < 0)
        return -errno;
    in->exchanged = true;
    id_random_hex(rand, 16);
    scoped_free char *kept =
        xasprintf("ingest/" GC_KEPT "%s.%s", item->dest + strlen("layers/"), rand);
    return renameat2(in->stage_fd, item->stage, in->root_fd, kept, RENAME_NOREPLACE) < 0 ? -errno
                                                                                         : 0;
}

/* Another load brought the same layer meanwhile: then ours is not needed. But a damaged one there
 * is exchanged for ours. */
static int commit_layer(struct ingest *in, const struct ingest_item *item)
{
    scoped_free char *diff_id = xasprintf("%s%s", DIGEST_PREFIX, item->dest + strlen("layers/"));
    if (renameat2(in->stage_fd, item->stage, in->root_fd, item->dest, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    struct store_layer there = {0};
    if (strv_has(in->replace, diff_id))
        return exchange_layer(in, item);
    if (store_layer_read(in->root_fd, diff_id, &there)) {
        jfield_release(store_layer_fields, &there);
        return 0;
    }
    return exchange_layer(in, item);
}

/* The directory of a name may vanish under us: untag removes empty ones. */
static int commit_file(struct ingest *in, const struct ingest_item *item)
{
    for (int i = 0; i < 10; i++) {
        if (renameat(in->stage_fd, item->stage, in->root_fd, item->dest) == 0)
            return 0;
        if (errno != ENOENT || item->kind != ITEM_REF)
            return -errno;
        scoped_free char *dir = xstrdup(item->dest);
        *strrchr(dir, '/') = '\0';
        if (mkdirat(in->root_fd, dir, 0700) < 0 && errno != EEXIST)
            return -errno;
    }
    return -ENOENT;
}

static int sync_dir(struct ingest *in, const char *dir)
{
    scoped_fd int fd = openat(in->root_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The trees are of the ids that the store's had when the work began. */
static int check_ids(struct ingest *in, struct err *e)
{
    scoped_userns_map struct userns_map now = {0};
    if (!in->session ||
        (store_idmap(in->conf, &now, NULL) == 0 && userns_map_equal(&now, &in->map)))
        return 0;
    return err_msg(e, EXDEV, "the user's subordinate ids were changed meanwhile");
}

static int commit_kind(struct ingest *in, enum item_kind kind, struct err *e)
{
    static const char *const dirs[N_ITEM_KINDS] = {"layers", "blobs/sha256", "images", "refs"};
    for (size_t i = 0; i < in->n_items; i++) {
        const struct ingest_item *item = &in->items[i];
        if (item->kind != kind)
            continue;
        int r = kind == ITEM_LAYER ? commit_layer(in, item) : commit_file(in, item);
        if (r < 0)
            return err_set(e, -r, "rename to %s/%s", in->conf->root, item->dest);
    }
    int r = sync_dir(in, dirs[kind]);
    return r < 0 ? err_set(e, -r, "sync %s/%s", in->conf->root, dirs[kind]) : 0;
}

static void forget_layer_items(struct ingest *in)
{
    size_t left = 0;
    for (size_t i = 0; i < in->n_items; i++) {
        if (in->items[i].kind != ITEM_LAYER) {
            in->items[left++] = in->items[i];
            continue;
        }
        free(in->items[i].stage);
        free(in->items[i].dest);
    }
    in->n_items = left;
}

int ingest_commit_layers(struct ingest *in, struct err *e)
{
    bool any = false;
    for (size_t i = 0; i < in->n_items; i++)
        any = any || in->items[i].kind == ITEM_LAYER;
    if (!any)
        return 0;
    if (syncfs(in->root_fd) < 0)
        return err_set(e, errno, "sync the file system of %s", in->conf->root);
    scoped_fd int use = store_use(in->conf, e);
    int r = use < 0 ? use : check_ids(in, e);
    r = r < 0 ? r : commit_kind(in, ITEM_LAYER, e);
    if (r == 0)
        forget_layer_items(in); /* what is staged under their names is no longer ours to rename */
    return r;
}

int ingest_commit(struct ingest *in, struct err *e)
{
    /* All data first: no name may survive a power cut whose content does not. */
    if (syncfs(in->root_fd) < 0)
        return err_set(e, errno, "sync the file system of %s", in->conf->root);
    scoped_fd int use = store_use(in->conf, e);
    scoped_fd int lock = use < 0 ? use : refs_lock(in->conf, e);
    int r = lock < 0 ? lock : check_ids(in, e);
    for (enum item_kind kind = 0; r == 0 && kind < N_ITEM_KINDS; kind++)
        r = commit_kind(in, kind, e);
    return r;
}
