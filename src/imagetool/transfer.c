#include "imagetool/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "image/ref.h"
#include "imagetool/manifest.h"

#define DEPTH_MAX 4

void source_free(struct source *s)
{
    if (s)
        s->ops->free(s);
}

void target_free(struct target *t)
{
    if (t)
        t->ops->free(t);
}

struct run {
    struct source *from;
    struct target *to;
    const struct transfer_options *o;
    struct transfer_result *result;
};

/* Which manifest is meant, and how it is called there. */
struct wanted {
    const char *tag; /* of a signature */
    bool top;
    unsigned depth;
    const struct registry_manifest *index; /* that led to it */
};

static void items_free(struct xfer_item *v, size_t n)
{
    for (size_t i = 0; v && i < n; i++)
        xfer_blob_release(&v[i].blob);
    free(v);
}

/* The blobs, each once; *ret_of[i]: which item blob number i of the manifest is. */
static struct xfer_item *make_items(const struct run *run, const struct xfer_manifest *m,
                                    size_t **ret_of, size_t *ret_n)
{
    struct xfer_item *v = xcalloc(m->n + 1, sizeof(*v));
    size_t *of = xcalloc(m->n + 1, sizeof(*of)), n = 0;
    for (size_t i = 0; i < m->n; i++) {
        size_t k = 0;
        while (k < n && !streq(v[k].blob.digest, m->v[i].digest))
            k++;
        of[i] = k;
        if (k < n)
            continue;
        xfer_blob_copy(&m->v[i], &v[n].blob);
        v[n].config = i == 0;
        if (i > 0 && run->from->diff_ids)
            v[n].diff_id = run->from->diff_ids[i - 1];
        n++;
    }
    *ret_of = of;
    *ret_n = n;
    return v;
}

static bool becomes_docker(const struct transfer_options *o, const struct xfer_manifest *m)
{
    if (o->format == FORMAT_DOCKER)
        return true;
    return o->format == FORMAT_KEEP && m->is_docker && o->compression != COMPRESS_ZSTD;
}

static int refuse_change(const struct run *run, const char *why, struct err *e)
{
    int r = err_msg(e, ENOTSUP, "%s: its digest would change: %s", run->from->label, why);
    return err_hint(e, r, "leave out --preserve-digests");
}

/* The manifest as it has to be with these blobs: bytes NULL when it stays. */
static int remake(const struct run *run, const struct xfer_manifest *m, const struct xfer_item *v,
                  const size_t *of, char **ret, struct err *e)
{
    bool docker = becomes_docker(run->o, m), changed = false;
    for (size_t i = 0; i < m->n; i++) {
        changed = changed || v[of[i]].changed;
        if (v[of[i]].changed && layer_compression(m->v[i].media_type) != COMPRESS_NONE)
            run->result->repacked = true;
    }
    *ret = NULL;
    if (!m->is_image || (!changed && docker == m->is_docker))
        return 0;
    if (run->o->preserve)
        return refuse_change(run, changed ? "layers were packed anew" : "another format is wanted",
                             e);
    scoped_free struct xfer_blob *blobs = xcalloc(m->n, sizeof(*blobs));
    for (size_t i = 0; i < m->n; i++)
        blobs[i] = v[of[i]].blob; /* borrowed */
    *ret = xfer_manifest_remake(m, blobs, docker, e);
    return *ret ? 0 : -EINVAL;
}

static int put(const struct run *run, struct registry_manifest *m, const struct xfer_manifest *doc,
               const struct wanted *w, struct err *e)
{
    if (!m->media_type)
        m->media_type = xstrdup(xfer_manifest_type(doc));
    int r = run->to->ops->manifest(run->to, m, w->tag, w->top, e);
    if (r < 0 || !w->top)
        return r;
    snprintf(run->result->digest, sizeof(run->result->digest), "%s", m->digest);
    run->result->size = m->len;
    return 0;
}

/* Puts what was made in the place of the manifest that came. */
static int replace(const struct run *run, struct registry_manifest *m, struct xfer_manifest *doc,
                   char *text, struct err *e)
{
    struct xfer_manifest made = {0};
    struct registry_manifest new = {.bytes = text, .len = strlen(text)};
    int r = digest_data(text, new.len, new.digest);
    r = r < 0 ? err_set(e, -r, "hash the manifest")
              : xfer_manifest_parse(text, new.len, NULL, &made, e);
    if (r < 0) {
        free(text);
        return r;
    }
    run->result->remade = true;
    snprintf(run->result->was, sizeof(run->result->was), "%s", m->digest);
    registry_manifest_release(m);
    xfer_manifest_release(doc);
    *m = new;
    *doc = made;
    return 0;
}

static int transfer_image(const struct run *run, struct registry_manifest *m,
                          struct xfer_manifest *doc, const struct wanted *w, struct err *e)
{
    scoped_free size_t *of = NULL;
    size_t n;
    char *text = NULL;
    if (!doc->is_image && (run->from->diff_ids || run->to->docker_only))
        return err_msg(e, EINVAL, "%s: an artifact, not an image", run->from->label);
    if (run->from->diff_ids && strv_len(run->from->diff_ids) != doc->n - 1)
        return err_msg(e, EUCLEAN, "%s: the image is damaged: its manifest has %zu layers",
                       run->from->label, doc->n - 1);
    struct xfer_item *v = make_items(run, doc, &of, &n);
    int r = transfer_blobs(run->from, run->to, run->o, v, n, e);
    r = r < 0 ? r : remake(run, doc, v, of, &text, e);
    items_free(v, n);
    if (r == 0 && text)
        r = replace(run, m, doc, text, e);
    return r < 0 ? r : put(run, m, doc, w, e);
}

static int transfer_manifest(const struct run *run, struct registry_manifest *m,
                             const struct wanted *w, struct err *e);

static int transfer_which(const struct run *run, const char *which, const struct wanted *w,
                          struct err *e)
{
    SCOPED(registry_manifest_release) struct registry_manifest m = {0};
    int r = run->from->ops->manifest(run->from, which, &m, e);
    return r < 0 ? r : transfer_manifest(run, &m, w, e);
}

static int transfer_entries(const struct run *run, struct registry_manifest *m,
                            const struct xfer_manifest *doc, const struct wanted *w, struct err *e)
{
    if (w->depth >= DEPTH_MAX)
        return err_msg(e, EINVAL, "indexes are nested more than %d levels deep", DEPTH_MAX);
    for (size_t i = 0; i < doc->n; i++) {
        const struct wanted child = {.depth = w->depth + 1};
        int r = transfer_which(run, doc->v[i].digest, &child, e);
        if (r < 0)
            return err_add(e, r, "%.19s", doc->v[i].digest);
    }
    return put(run, m, doc, w, e);
}

/* The image of an index for one platform, in the index's place. */
static int transfer_chosen(const struct run *run, const struct registry_manifest *m,
                           const struct wanted *w, struct err *e)
{
    SCOPED(manifest_release) struct manifest index = {0};
    struct platform host;
    const struct wanted child = {.top = w->top, .tag = w->tag, .depth = w->depth + 1, .index = m};
    platform_host(&host);
    if (w->depth >= DEPTH_MAX)
        return err_msg(e, EINVAL, "indexes are nested more than %d levels deep", DEPTH_MAX);
    int r = manifest_parse(m->bytes, m->len, m->media_type, &index, e);
    if (r < 0)
        return r;
    scoped_free const struct descriptor **list = xcalloc(index.n + 1, sizeof(*list));
    for (size_t i = 0; i < index.n; i++)
        list[i] = &index.v[i];
    const struct descriptor *best =
        platform_choose(list, index.n, run->o->platform ? run->o->platform : &host, e);
    return best ? transfer_which(run, best->digest, &child, e) : -ENOENT;
}

/* What cosign has attached to a manifest lies beside it, by a name made of its digest. */
static int transfer_signature(const struct run *run, const char *digest, struct err *e)
{
    const char *hex = strchr(digest, ':');
    struct err why = ERR_INIT;
    if (run->o->no_signatures || !run->to->host || !run->from->ops->again)
        return 0;
    scoped_free char *tag =
        xasprintf("%.*s-%s.sig", (int)(hex - digest), digest, hex + 1); /* sha256-HEX.sig */
    const struct wanted w = {.tag = tag, .depth = DEPTH_MAX};
    SCOPED(registry_manifest_release) struct registry_manifest m = {0};
    int r = run->from->ops->manifest(run->from, tag, &m, &why);
    if (r == -ENOENT)
        return 0;
    if (r < 0 && e)
        *e = why;
    if (r == 0 && !run->o->quiet)
        fprintf(stderr, "Copying signatures of %.19s\n", digest);
    r = r < 0 ? r : transfer_manifest(run, &m, &w, e);
    return r < 0 ? err_add(e, r, "signatures (--remove-signatures leaves them behind)") : 0;
}

static int transfer_manifest(const struct run *run, struct registry_manifest *m,
                             const struct wanted *w, struct err *e)
{
    SCOPED(xfer_manifest_release) struct xfer_manifest doc = {0};
    int r = xfer_manifest_parse(m->bytes, m->len, m->media_type, &doc, e);
    if (r < 0)
        return r;
    scoped_free char *before = xstrdup(m->digest);
    /* Before a layer is fetched; with --all the index stands for what is in it. */
    if (w->top && run->from->ops->allowed && (!doc.is_index || run->o->all))
        r = run->from->ops->allowed(run->from, run->o->policy_file, w->index, m, e);
    if (r < 0)
        return r;
    if (!doc.is_index)
        r = transfer_image(run, m, &doc, w, e);
    else if (run->o->all)
        r = transfer_entries(run, m, &doc, w, e);
    else
        return transfer_chosen(run, m, w, e);
    if (r < 0 || w->tag || !streq(before, m->digest))
        return r;
    return transfer_signature(run, m->digest, e);
}

int transfer(struct source *from, struct target *to, const struct transfer_options *o,
             struct transfer_result *ret, struct err *e)
{
    const struct run run = {.from = from, .to = to, .o = o, .result = ret};
    const struct wanted w = {.top = true};
    *ret = (struct transfer_result){0};
    if (o->all && to->docker_only)
        return err_msg(e, EINVAL, "--all: a docker archive holds images of one platform only");
    if (o->all && o->format != FORMAT_KEEP)
        return err_msg(e, EINVAL, "--all: an index goes as it is, without --format");
    int r = transfer_which(&run, NULL, &w, e);
    if (r == 0 && to->ops->finish)
        r = to->ops->finish(to, e);
    return r;
}
