/* transfer-archive - archives and directories as sources; what places are called. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/str.h"
#include "image/ref.h"
#include "imagetool/bundle.h"
#include "imagetool/manifest.h"
#include "imagetool/plan.h"
#include "imagetool/pull.h"
#include "imagetool/transfer.h"
#include "registry/policy.h"

int place_parse(const char *text, struct place *ret, struct err *e)
{
    static const char *const words[] = {
        [PLACE_OCI] = "oci",
        [PLACE_OCI_ARCHIVE] = "oci-archive",
        [PLACE_DOCKER_ARCHIVE] = "docker-archive",
        [PLACE_DIR] = "dir",
    };
    const char *stored = str_after(text, "containers-storage:"), *name = NULL;
    struct pull_place p = {0};
    int r = stored ? 0 : pull_place_parse(text, &p, &name, e);
    if (r < 0)
        return r;
    *ret = (struct place){.path = xstrdup(stored ? stored : name ? name : text)};
    ret->kind = name ? PLACE_REGISTRY : PLACE_STORE;
    if (r > 0 && !name) {
        for (size_t i = PLACE_OCI; i < N_ELEMENTS(words); i++)
            if (streq(p.transport, words[i]))
                ret->kind = (enum place_kind)i;
        free(ret->path);
        ret->path = take_ptr(p.path);
        ret->name = take_ptr(p.which);
    }
    pull_place_release(&p);
    if (*ret->path)
        return 0;
    place_release(ret);
    return err_msg(e, EINVAL, "%s: nothing is named there", text);
}

void place_release(struct place *p)
{
    free(p->path);
    free(p->name);
    *p = (struct place){0};
}

struct archive_source {
    struct source source;
    struct bundle bundle;
    char *name;                    /* of the image wanted; may be NULL */
    struct plan_list plans;        /* of a docker archive */
    const struct image_plan *plan; /* the one wanted */
    char *manifest;                /* made for it */
    int (*top)(struct archive_source *a, struct registry_manifest *ret, struct err *e);
    const char *transport; /* for the policy */
    bool is_dir;           /* of skopeo: files named by the digits of their digests */
};

static char *blob_name(const struct archive_source *a, const char *digest, const char *ending)
{
    const char *hex = strchr(digest, ':');
    if (a->is_dir)
        return xasprintf("%s%s", hex + 1, ending);
    return xasprintf("blobs/%.*s/%s", (int)(hex - digest), digest, hex + 1);
}

/* A manifest in a file, which must be what the digest (may be NULL) says. */
static int read_manifest(const struct archive_source *a, const char *file, const char *digest,
                         struct registry_manifest *ret, struct err *e)
{
    SCOPED(registry_manifest_release) struct registry_manifest m = {0};
    SCOPED(digest_scoped) struct digest *hash = NULL;
    ssize_t n = bundle_read(&a->bundle, file, MANIFEST_MAX, &m.bytes, e);
    if (n < 0)
        return (int)n;
    m.len = (size_t)n;
    int r = digest_new(digest, &hash, e);
    if (r == 0 && (digest_add(hash, m.bytes, m.len) < 0 || digest_end(hash, m.digest) < 0))
        r = err_set(e, EIO, "hash the manifest");
    if (r < 0)
        return r;
    if (digest && !digest_equal(digest, m.digest))
        return err_msg(e, EBADMSG, "digest mismatch: blob %s has the content of %s", digest,
                       m.digest);
    *ret = m;
    m = (struct registry_manifest){0};
    return 0;
}

static int top_dir(struct archive_source *a, struct registry_manifest *ret, struct err *e)
{
    return read_manifest(a, "manifest.json", NULL, ret, e);
}

/* The entry of index.json that is called so; without a name the only one, or this machine's. */
static const struct descriptor *choose_entry(const struct archive_source *a,
                                             const struct manifest *index, struct err *e)
{
    scoped_free const struct descriptor **list = xcalloc(index->n + 1, sizeof(*list));
    struct platform host;
    size_t n = 0;
    for (size_t i = 0; i < index->n; i++)
        if (!a->name || streq(index->v[i].name, a->name))
            list[n++] = &index->v[i];
    if (n == 1)
        return list[0];
    if (n == 0) {
        err_msg(e, ENOENT, "%s: there is no image %s in it", a->bundle.label,
                a->name ? a->name : "");
        return NULL;
    }
    bool same = true;
    for (size_t i = 1; i < n; i++)
        same = same && streq(list[i]->name, list[0]->name);
    if (!same) {
        int r = err_msg(e, EINVAL, "%s: several images are in it", a->bundle.label);
        err_hint(e, r, "name one: PATH:%s", list[0]->name ? list[0]->name : "NAME");
        return NULL;
    }
    platform_host(&host);
    return platform_choose(list, n, &host, e);
}

static int top_oci(struct archive_source *a, struct registry_manifest *ret, struct err *e)
{
    SCOPED(manifest_release) struct manifest index = {0};
    scoped_free char *text = NULL;
    ssize_t n = bundle_read(&a->bundle, "index.json", MANIFEST_MAX, &text, e);
    if (n < 0)
        return (int)n;
    int r = manifest_parse(text, (size_t)n, NULL, &index, e);
    if (r == 0 && !index.is_index)
        r = err_msg(e, EINVAL, "is no index");
    if (r < 0)
        return err_add(e, r, "index.json");
    const struct descriptor *d = choose_entry(a, &index, e);
    if (!d)
        return -EINVAL;
    scoped_free char *file = blob_name(a, d->digest, "");
    r = read_manifest(a, file, d->digest, ret, e);
    if (r == 0)
        ret->media_type = xstrdup(d->media_type);
    return r;
}

static int top_docker(struct archive_source *a, struct registry_manifest *ret, struct err *e)
{
    struct registry_manifest m = {.bytes = xstrdup(a->manifest), .len = strlen(a->manifest)};
    int r = digest_data(m.bytes, m.len, m.digest);
    if (r < 0) {
        free(m.bytes);
        return err_set(e, -r, "hash the manifest");
    }
    *ret = m;
    return 0;
}

static int archive_manifest(struct source *s, const char *which, struct registry_manifest *ret,
                            struct err *e)
{
    struct archive_source *a = (struct archive_source *)s;
    if (!which)
        return a->top(a, ret, e);
    if (a->plan || digest_parse(which, NULL, NULL) < 0)
        return -ENOENT;
    scoped_free char *file = blob_name(a, which, ".manifest.json");
    return read_manifest(a, file, which, ret, e);
}

static int plan_blob(const struct archive_source *a, const struct xfer_blob *b, struct stream **ret,
                     struct err *e)
{
    const struct image_plan *p = a->plan;
    if (streq(b->digest, p->id)) {
        *ret = stream_memory(xstrndup(p->config, p->config_len), p->config_len);
        return 0;
    }
    for (size_t i = 0; i < p->n_layers; i++)
        if (streq(b->digest, p->layers[i].blob)) {
            const struct bundle_file *f = &p->layers[i].file;
            *ret = stream_file(f->fd, false, f->offset, (uint64_t)f->size);
            return 0;
        }
    return err_msg(e, ENOENT, "blob %s is missing from the archive", b->digest);
}

static int archive_blob(struct source *s, const struct xfer_blob *b, struct stream **ret,
                        struct err *e)
{
    const struct archive_source *a = (const struct archive_source *)s;
    struct bundle_file f;
    if (a->plan)
        return plan_blob(a, b, ret, e);
    scoped_free char *name = blob_name(a, b->digest, "");
    int r = bundle_file(&a->bundle, name, &f, e);
    if (r == 0)
        *ret = stream_file(f.fd, f.own, f.offset, (uint64_t)f.size);
    return r;
}

static void archive_source_free(struct source *s)
{
    struct archive_source *a = (struct archive_source *)s;
    plan_list_release(&a->plans);
    bundle_release(&a->bundle);
    free(a->manifest);
    free(a->name);
    free(a->source.label);
    free(a);
}

/* By the user's policy for such a place. */
static int archive_allowed(struct source *s, const char *policy_file,
                           const struct registry_manifest *index, const struct registry_manifest *m,
                           struct err *e)
{
    const struct archive_source *a = (const struct archive_source *)s;
    const char *const digests[] = {m->digest, index ? index->digest : NULL, NULL};
    scoped_free char *path = realpath(a->source.label, NULL);
    const struct policy_image image = {
        .transport = a->transport, .path = path ? path : a->source.label, .digests = digests};
    return policy_check(policy_file, &image, NULL, e);
}

static const struct source_ops archive_ops = {
    .manifest = archive_manifest,
    .blob = archive_blob,
    .allowed = archive_allowed,
    .free = archive_source_free,
};

/* --- a docker archive has no manifest: one is made --- */

static int is_named(const struct image_plan *p, const char *name)
{
    struct image_ref ref = {0};
    if (image_ref_parse_local(name, &ref, NULL) < 0)
        return 0;
    int found = 0;
    for (size_t i = 0; !found && i < p->n_names; i++)
        found = streq(p->names[i].name, ref.name) && streq(p->names[i].tag, ref.tag);
    image_ref_release(&ref);
    return found;
}

static int choose_plan(struct archive_source *a, struct err *e)
{
    for (size_t i = 0; i < a->plans.n; i++)
        if (!a->name || is_named(&a->plans.v[i], a->name)) {
            if (a->plan)
                return err_hint(e,
                                err_msg(e, EINVAL, "%s: several images are in it", a->bundle.label),
                                "name one: docker-archive:FILE:NAME");
            a->plan = &a->plans.v[i];
        }
    if (a->plan)
        return 0;
    return err_msg(e, ENOENT, "%s: there is no image %s in it", a->bundle.label, a->name);
}

/* How a layer file is compressed, by its first bytes. */
static enum compress_format sniff(const struct bundle_file *f)
{
    unsigned char magic[4] = {0};
    if (pread(f->fd, magic, sizeof(magic), (off_t)f->offset) != (ssize_t)sizeof(magic))
        return COMPRESS_NONE;
    if (magic[0] == 0x1f && magic[1] == 0x8b)
        return COMPRESS_GZIP;
    return memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ? COMPRESS_ZSTD : COMPRESS_NONE;
}

/* A plain layer's digest is its diffID; others have to be read. */
static int layer_digest(struct plan_layer *l, enum compress_format f, struct err *e)
{
    char digest[DIGEST_TEXT_MAX];
    uint64_t size;
    free(take_ptr(l->blob));
    if (f == COMPRESS_NONE) {
        l->blob = xstrdup(l->diff_id);
        return 0;
    }
    SCOPED(stream_scoped)
    struct stream *in = stream_file(l->file.fd, false, l->file.offset, (uint64_t)l->file.size);
    scoped_fd int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int r = stream_copy(in, null, NULL, digest, &size, e);
    if (r == 0)
        l->blob = xstrdup(digest);
    return r;
}

static int make_manifest(struct archive_source *a, struct err *e)
{
    struct image_plan *p = (struct image_plan *)(uintptr_t)a->plan;
    scoped_json json_t *layers = json_array();
    bool docker = true;
    for (size_t i = 0; i < p->n_layers; i++)
        docker = docker && sniff(&p->layers[i].file) != COMPRESS_ZSTD;
    for (size_t i = 0; i < p->n_layers; i++) {
        enum compress_format f = sniff(&p->layers[i].file);
        int r = layer_digest(&p->layers[i], f, e);
        if (r < 0)
            return r;
        json_array_append_new(
            layers, json_pack("{s:s,s:I,s:s}", "mediaType", layer_media_type(docker, f), "size",
                              (json_int_t)p->layers[i].file.size, "digest", p->layers[i].blob));
    }
    scoped_json json_t *doc =
        json_pack("{s:i,s:s,s:{s:s,s:I,s:s},s:O}", "schemaVersion", 2, "mediaType",
                  docker ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST, "config", "mediaType",
                  docker ? MEDIA_DOCKER_CONFIG : MEDIA_OCI_CONFIG, "size",
                  (json_int_t)p->config_len, "digest", p->id, "layers", layers);
    a->manifest = json_text(doc, false);
    return 0;
}

static int open_docker(struct archive_source *a, struct err *e)
{
    a->top = top_docker;
    int r = bundle_has(&a->bundle, "manifest.json") ? plan_docker(&a->bundle, &a->plans, e)
                                                    : plan_legacy(&a->bundle, &a->plans, e);
    r = r < 0 ? r : choose_plan(a, e);
    return r < 0 ? r : make_manifest(a, e);
}

/* Where a compressed archive is unpacked to, in a file without a name. */
static int open_spool_dir(struct err *e)
{
    const char *dir = getenv("TMPDIR");
    return fs_open_dir(dir && *dir ? dir : "/var/tmp", false, 0, e);
}

int source_archive(const struct place *p, struct source **ret, struct err *e)
{
    struct archive_source *a = xcalloc(1, sizeof(*a));
    scoped_fd int spool = open_spool_dir(e);
    *a = (struct archive_source){.source = {.ops = &archive_ops, .label = xstrdup(p->path)},
                                 .bundle = {.fd = -1},
                                 .name = xstrdup(p->name),
                                 .top = p->kind == PLACE_DIR ? top_dir : top_oci,
                                 .transport = p->kind == PLACE_DIR           ? "dir"
                                              : p->kind == PLACE_OCI         ? "oci"
                                              : p->kind == PLACE_OCI_ARCHIVE ? "oci-archive"
                                                                             : "docker-archive",
                                 .is_dir = p->kind == PLACE_DIR};
    int r = spool < 0 ? spool : bundle_open(p->path, spool, &a->bundle, e);
    if (r == 0 && p->kind == PLACE_DOCKER_ARCHIVE) {
        r = open_docker(a, e);
    } else if (r == 0) {
        const char *file = a->is_dir ? "manifest.json" : "index.json";
        if (!bundle_has(&a->bundle, file))
            r = err_msg(e, EINVAL, "%s: there is no %s in it", p->path, file);
    }
    if (r < 0) {
        archive_source_free(&a->source);
        return r;
    }
    *ret = &a->source;
    return 0;
}
