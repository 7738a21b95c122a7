#include "imagetool/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "layer/digest.h"
#include "registry/policy.h"

#define NESTING_MAX 4

void remote_image_release(struct remote_image *r)
{
    registry_manifest_release(&r->index);
    registry_manifest_release(&r->bytes);
    manifest_release(&r->manifest);
}

/* The registry's word counts when it is one of ours; one that serves files as they are says
 * something general, then the body's own word does. */
static const char *type_of(const struct registry_manifest *m)
{
    static const char *const general[] = {"application/json", "application/octet-stream",
                                          "text/plain", "binary/octet-stream"};

    for (size_t i = 0; m->media_type && i < N_ELEMENTS(general); i++)
        if (streq(m->media_type, general[i]))
            return NULL;
    return m->media_type && m->media_type[0] ? m->media_type : NULL;
}

static int parse(const struct registry_manifest *m, const struct descriptor *from,
                 struct manifest *ret, struct err *e)
{
    const char *type = type_of(m);

    if (from && from->size != (int64_t)m->len)
        return err_msg(e, EBADMSG, "manifest %s has %zu bytes, the index says %lld", m->digest,
                       m->len, (long long)from->size);
    if (type && str_after(type, "application/vnd.docker.distribution.manifest.v1"))
        return err_msg(e, EINVAL, "a schema 1 image: ask its publisher to push it again");
    return manifest_parse(m->bytes, m->len, type ? type : from ? from->media_type : NULL, ret, e);
}

static const struct descriptor *choose(const struct manifest *m, const struct platform *p,
                                       struct err *e)
{
    scoped_free const struct descriptor **list = xcalloc(m->n + 1, sizeof(*list));

    for (size_t i = 0; i < m->n; i++)
        list[i] = &m->v[i];
    return platform_choose(list, m->n, p, e);
}

struct lookup {
    struct registry *reg;
    struct registry_ref *ref;
    const struct platform *platform;
};

/* from NULL: what the name says. */
static int follow(const struct lookup *l, const struct descriptor *from, int depth,
                  struct remote_image *ret, struct err *e)
{
    struct registry_manifest got = {0};
    SCOPED(manifest_release) struct manifest m = {0};
    const struct descriptor *best;
    int r = registry_manifest_get(l->reg, l->ref, from ? from->digest : NULL, NULL, &got, e);

    r = r < 0 ? r : parse(&got, from, &m, e);
    if (r == 0 && !m.is_index) {
        ret->bytes = got;
        ret->manifest = m;
        m = (struct manifest){0};
        return 0;
    }
    if (r == 0 && depth == NESTING_MAX)
        r = err_msg(e, EINVAL, "indexes are nested more than %d levels deep", NESTING_MAX);
    best = r < 0 ? NULL : choose(&m, l->platform, e);
    if (r == 0 && !best)
        r = -ENOENT;
    if (depth == 0 && r == 0) {
        ret->index = got; /* what the name means: signatures may be of it */
        got = (struct registry_manifest){0};
    }
    r = r < 0 ? r : follow(l, best, depth + 1, ret, e);
    registry_manifest_release(&got);
    return r;
}

int remote_image_get(struct registry *reg, struct registry_ref *ref, const struct platform *p,
                     struct remote_image *ret, struct err *e)
{
    struct remote_image image = {0};
    const struct lookup l = {reg, ref, p};
    int r = follow(&l, NULL, 0, &image, e);

    if (r < 0)
        remote_image_release(&image);
    else
        *ret = image;
    return r;
}

struct signatures {
    struct registry *reg;
    struct registry_ref *ref;
};

static int policy_manifest(void *ctx, const char *reference, size_t max, struct policy_blob *ret,
                           struct err *e)
{
    struct signatures *s = ctx;
    struct registry_manifest m = {0};
    int r = registry_manifest_get(s->reg, s->ref, reference, NULL, &m, e);

    if (r == 0 && m.len > max)
        r = err_msg(e, EFBIG, "manifest %s: more than %zu bytes", reference, max);
    if (r == 0) {
        ret->data = take_ptr(m.bytes);
        ret->len = m.len;
        ret->media_type = take_ptr(m.media_type);
    }
    registry_manifest_release(&m);
    return r;
}

static int policy_blob(void *ctx, const char *digest, size_t max, struct policy_blob *ret,
                       struct err *e)
{
    struct signatures *s = ctx;
    struct registry_blob blob = {.digest = digest, .size = UINT64_MAX};
    char *data = NULL;
    ssize_t n = registry_blob_get(s->reg, s->ref, &blob, max, &data, e);

    if (n < 0)
        return (int)n;
    *ret = (struct policy_blob){data, (size_t)n, NULL};
    return 0;
}

static int policy_referrers(void *ctx, const char *digest, size_t max, struct policy_blob *ret,
                            struct err *e)
{
    struct signatures *s = ctx;
    struct registry_manifest m = {0};
    int r = registry_referrers(s->reg, s->ref, digest, &m, e);

    if (r == 0 && m.len > max)
        r = err_msg(e, EFBIG, "referrers of %s: more than %zu bytes", digest, max);
    if (r == 0) {
        ret->data = take_ptr(m.bytes);
        ret->len = m.len;
        ret->media_type = take_ptr(m.media_type);
    }
    registry_manifest_release(&m);
    return r;
}

int remote_image_check(struct registry *reg, struct registry_ref *ref,
                       const struct remote_image *image, const char *policy_file, struct err *e)
{
    struct signatures s = {reg, ref};
    const struct policy_fetch fetch = {&s, policy_manifest, policy_blob, policy_referrers};
    const char *const digests[] = {image->bytes.digest,
                                   image->index.bytes ? image->index.digest : NULL, NULL};
    const struct policy_image what = {
        .transport = "docker", .ref = &ref->image, .digests = digests};

    return policy_check(policy_file, &what, &fetch, e);
}

int remote_image_plan(struct registry *reg, struct registry_ref *ref,
                      const struct remote_image *image, struct image_plan *p, struct err *e)
{
    const struct descriptor *c = &image->manifest.config;
    struct registry_blob blob = {.digest = c->digest, .size = (uint64_t)c->size};
    char *text = NULL;
    ssize_t n;
    int r;

    if (c->size > (int64_t)REGISTRY_CONFIG_MAX)
        return err_msg(e, EFBIG, "the configuration has %lld bytes, at most %d are accepted",
                       (long long)c->size, REGISTRY_CONFIG_MAX);
    n = registry_blob_get(reg, ref, &blob, REGISTRY_CONFIG_MAX, &text, e);
    if (n < 0)
        return (int)n;
    r = plan_set_config(p, text, (size_t)n, e);
    if (r < 0)
        return r;
    if (!streq(p->id, c->digest))
        return err_msg(e, EBADMSG, "the configuration is %s, not %s", p->id, c->digest);
    if (strv_len(p->parsed.diff_ids) != image->manifest.n)
        return err_msg(e, EINVAL, "the manifest has %zu layers, the configuration %zu diffIDs",
                       image->manifest.n, strv_len(p->parsed.diff_ids));
    p->manifest = xmalloc(image->bytes.len + 1);
    memcpy(p->manifest, image->bytes.bytes, image->bytes.len + 1);
    p->manifest_len = image->bytes.len;
    p->index = image->index.bytes ? xstrdup(image->index.digest) : NULL;
    return 0;
}
