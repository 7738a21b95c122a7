/* Images of registries. The order is what security.md asks for: the manifest, the policy, the
 * configuration, and only then a layer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "events/events.h"
#include "image/ref.h"
#include "imagetool/fetch.h"
#include "imagetool/idmap.h"
#include "imagetool/ingest.h"
#include "imagetool/pull.h"
#include "imagetool/remote.h"

struct work {
    const struct pull *p;
    struct registry *registry;
    struct progress *progress;
    struct layer_session *session; /* opened before any secret is read: workers descend from us */
    struct userns_map map;
    struct ingest in;
    struct fetch **fetches; /* one per image: their locks are held until the commit */
    size_t n_fetches;
};

static void notice(void *data, const char *text)
{
    struct work *w = data;

    progress_line(w->progress, "%s", text);
}

static int open_session(struct work *w, struct err *e)
{
    scoped_fd int root = conf_open_root(w->p->conf, "", true, e);
    int r = root < 0 ? root : idmap_check(w->p->conf, root, &w->map, e);

    return r < 0 ? r : layer_session_open(&w->map, NULL, &w->session, e);
}

static int work_open(struct work *w, const struct pull *p, struct err *e)
{
    struct registry_options o = p->registry;
    int r;

    *w = (struct work){.p = p, .in = INGEST_INIT, .progress = progress_new(p->quiet)};
    o.notice = notice;
    o.data = w;
    r = open_session(w, e);
    return r < 0 ? r : registry_open(&o, &w->registry, e);
}

/* Returns the signal that ended it, or 0. */
static int work_close(struct work *w)
{
    int sig = 0;

    ingest_close(&w->in);
    layer_session_close(w->session);
    userns_map_release(&w->map);
    progress_free(w->progress);
    while (w->n_fetches) { /* each had blocked signals on top of the one before */
        int s = fetch_release(w->fetches[--w->n_fetches]);
        sig = sig ? sig : s;
    }
    free(w->fetches);
    registry_close(w->registry);
    return sig;
}

/* Only now, with something to bring in: what is interrupted before leaves nothing. */
static int open_ingest(struct work *w, struct err *e)
{
    if (w->in.root_fd >= 0)
        return 0;
    int r = ingest_open(w->p->conf, true, &w->in, e);
    if (r < 0)
        return r;
    w->in.session = take_ptr(w->session);
    w->in.replace = strv_dup(w->p->replace);
    w->in.map = w->map;
    w->map = (struct userns_map){0};
    return 0;
}

static int get_layers(struct work *w, struct registry_ref *ref, const struct remote_image *image,
                      const struct image_plan *plan, struct err *e)
{
    const struct fetch_source from = {w->registry, ref, w->progress, w->p->squash_ids};
    size_t n = image->manifest.n;
    scoped_free struct fetch_layer *layers = xcalloc(n + 1, sizeof(*layers));
    int r = ingest_want(&w->in, plan->parsed.diff_ids, e);

    for (size_t i = 0; i < n; i++)
        layers[i] = (struct fetch_layer){plan->parsed.diff_ids[i], &image->manifest.v[i]};
    if (r < 0)
        return r;
    w->fetches = xrealloc(w->fetches, (w->n_fetches + 1) * sizeof(struct fetch *));
    return fetch_layers(&w->in, &from, layers, n, &w->fetches[w->n_fetches++], e);
}

/* What the image is called here: by the tag, or by the digest when that was asked for. */
static void name_plan(const struct registry_ref *ref, struct image_plan *plan)
{
    const struct image_ref *i = &ref->image;

    plan->names = xcalloc(1, sizeof(*plan->names));
    plan->n_names = 1;
    plan->names[0].name = xstrdup(i->name);
    plan->names[0].tag = i->digest ? xasprintf("@%s", i->digest) : xstrdup(i->tag);
}

/* ingest_image wants the sizes of the layers, which are known by the ingest. */
static void add_layers(const struct remote_image *image, struct image_plan *plan)
{
    plan->layers = xcalloc(image->manifest.n + 1, sizeof(*plan->layers));
    for (size_t i = 0; i < image->manifest.n; i++) {
        plan->layers[i].file.fd = -1;
        plan->layers[i].diff_id = xstrdup(plan->parsed.diff_ids[i]);
        plan->n_layers++;
    }
}

static int bring(struct work *w, struct registry_ref *ref, const struct remote_image *image,
                 struct image_plan *plan, struct err *e)
{
    int r = remote_image_check(w->registry, ref, image, w->p->policy_file, e);

    r = r < 0 ? r : remote_image_plan(w->registry, ref, image, plan, e);
    if (r < 0)
        return r;
    pull_warn_platform(w->p, plan);
    r = open_ingest(w, e);
    r = r < 0 ? r : get_layers(w, ref, image, plan, e);
    if (r < 0)
        return r;
    add_layers(image, plan);
    if (!w->p->replace)
        name_plan(ref, plan);
    progress_line(w->progress, "Copying config %s", plan->id);
    return ingest_image(&w->in, plan, e);
}

/* With --policy newer: is what the registry has here already, under that name? */
static bool is_current(const struct work *w, const struct registry_ref *ref,
                       const struct remote_image *image, char **ret_id)
{
    scoped_free char *text = image_ref_text(&ref->image);
    struct store_image have = {0};
    struct err ignored = ERR_INIT;
    scoped_strv char **dirs = NULL;

    if (!w->p->newer || store_find(w->p->conf, text, &have, &ignored) < 0)
        return false;
    bool same = streq(have.manifest, image->bytes.digest) &&
                store_layer_dirs(w->p->conf, &have, &dirs, &ignored) == 0;
    if (same)
        *ret_id = xstrdup(have.id);
    store_image_release(&have);
    return same;
}

struct pulled {
    char *id, *name;
    bool fresh;
};

static int pull_one(struct work *w, struct registry_ref *ref, struct pulled *ret, struct err *e)
{
    SCOPED(remote_image_release) struct remote_image image = {0};
    SCOPED(image_plan_release) struct image_plan plan = {0};
    scoped_free char *name = image_ref_text(&ref->image);
    int r;

    progress_line(w->progress, "Trying to pull %s...", name);
    r = remote_image_get(w->registry, ref, &w->p->platform, &image, e);
    if (r == 0 && is_current(w, ref, &image, &ret->id)) {
        ret->name = take_ptr(name);
        return 0;
    }
    r = r < 0 ? r : bring(w, ref, &image, &plan, e);
    if (r < 0)
        return r;
    *ret = (struct pulled){xstrdup(plan.id), take_ptr(name), true};
    return 0;
}

static void tell(const struct work *w, struct pulled *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].fresh)
            event_named(w->p->conf, "image", "pull", image_digest_hex(v[i].id), v[i].name);
        printf("%s\n", image_digest_hex(v[i].id));
    }
}

static void pulled_free(struct pulled *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].id);
        free(v[i].name);
    }
    free(v);
}

static int commit(struct work *w, struct err *e)
{
    if (w->in.root_fd < 0)
        return 0;
    progress_line(w->progress, "Writing manifest to image destination");
    for (size_t i = 0; i < w->n_fetches; i++)
        fetch_drop_parts(w->fetches[i]);
    return ingest_commit(&w->in, e);
}

static int pull_tag(struct work *w, const struct registry_ref *of, const char *tag,
                    struct pulled *ret, struct err *e)
{
    struct registry_ref ref = {0};
    scoped_free char *name = xasprintf("%s:%s", of->image.name, tag);
    int r = registry_resolve(w->registry, name, REGISTRY_PULL, &ref, e);

    r = r < 0 ? r : pull_one(w, &ref, ret, e);
    registry_ref_release(&ref);
    return r < 0 ? err_add(e, r, "tag %s", tag) : 0;
}

static int pull_tags(struct work *w, struct registry_ref *ref, struct err *e)
{
    scoped_strv char **tags = NULL;
    int r = registry_tags(w->registry, ref, 0, &tags, e);
    size_t n = r < 0 ? 0 : strv_len(tags), done = 0;
    struct pulled *v = xcalloc(n + 1, sizeof(*v));

    if (r >= 0 && n == 0)
        r = err_msg(e, ENOENT, "there are no tags");
    r = r < 0 ? r : 0;
    for (; r == 0 && done < n; done++)
        r = pull_tag(w, ref, tags[done], &v[done], e);
    r = r < 0 ? r : commit(w, e);
    if (r == 0)
        tell(w, v, n);
    pulled_free(v, n);
    return r;
}

static int pull_named(struct work *w, const char *text, struct err *e)
{
    struct registry_ref ref = {0};
    int r = registry_resolve(w->registry, text, REGISTRY_PULL, &ref, e);

    if (r == 0 && w->p->all_tags && (ref.image.digest || !streq(ref.image.tag, "latest")))
        r = err_msg(e, EINVAL, "--all-tags wants a name without a tag");
    else if (r == 0 && w->p->all_tags)
        r = pull_tags(w, &ref, e);
    else if (r == 0) {
        struct pulled *one = xcalloc(1, sizeof(*one));
        r = pull_one(w, &ref, one, e);
        r = r < 0 ? r : commit(w, e);
        if (r == 0)
            tell(w, one, 1);
        pulled_free(one, 1);
    }
    registry_ref_release(&ref);
    return r;
}

/* What podman's and docker's users look for first. */
static int hint(int r, struct err *e)
{
    if (r == -ENOENT)
        err_hint(e, r, "is the name spelt right, and is there such a tag?");
    else if (r == -EACCES)
        err_hint(e, r,
                 "the image may be private (rootlet login REGISTRY), or there is none of "
                 "that name");
    return r;
}

int pull_registry(const struct pull *p, const char *text, int *ret_signal, struct err *e)
{
    struct work w;
    int r = work_open(&w, p, e);

    r = r < 0 ? r : pull_named(&w, text, e);
    *ret_signal = work_close(&w);
    return hint(r, e);
}
