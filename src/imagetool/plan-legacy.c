/* Archives from before docker 1.10: `repositories` names the top layer of each tag; a layer is a
 * directory with `json` (configuration and parent) and `layer.tar`. The configuration that newer
 * formats have is put together from those, as docker's own migration did. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/jfield.h"
#include "base/str.h"
#include "imagetool/plan.h"
#include "layer/digest.h"

#define JSON_MAX_BYTES (1u << 20)

struct chain {
    char *ids[IMAGE_LAYERS_MAX]; /* top first */
    json_t *docs[IMAGE_LAYERS_MAX];
    size_t n;
};

/* What was looked at once: an archive may name each layer and each image as often as it likes. */
struct seen {
    struct plan_list *list;
    json_t *images;   /* top layer: index of its plan */
    json_t *diff_ids; /* layer: its diffID */
};

static void seen_release(struct seen *s)
{
    json_decref(s->images);
    json_decref(s->diff_ids);
}

static void chain_release(struct chain *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->ids[i]);
        json_decref(c->docs[i]);
    }
    c->n = 0;
}

static json_t *read_json(const struct bundle *b, const char *name, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = bundle_read(b, name, JSON_MAX_BYTES, &text, e);
    json_t *doc = n < 0 ? NULL : json_parse(text, (size_t)n, JSON_MAX_BYTES, name, e);
    if (doc && !json_is_object(doc)) {
        err_msg(e, EINVAL, "%s: want an object", name);
        json_decref(doc);
        return NULL;
    }
    return doc;
}

static int read_chain(const struct bundle *b, const char *top, struct chain *c, struct err *e)
{
    for (const char *id = top; id && id[0];) {
        if (strlen(id) != ID_LEN || !id_is_hex(id))
            return err_msg(e, EINVAL, "\"%.80s\" is not a layer id", id);
        if (c->n == IMAGE_LAYERS_MAX)
            return err_msg(e, EINVAL, "more than %d layers", IMAGE_LAYERS_MAX);
        scoped_free char *name = xasprintf("%s/json", id);
        json_t *doc = read_json(b, name, e);
        if (!doc)
            return -EINVAL;
        c->ids[c->n] = xstrdup(id);
        c->docs[c->n++] = doc;
        id = json_string_value(json_object_get(doc, "parent"));
    }
    return 0;
}

/* diffID of a plain tar in the archive. */
static int hash_file(const struct bundle_file *f, char ret[static DIGEST_TEXT_MAX], struct err *e)
{
    enum { CHUNK = 1 << 18 };
    struct digest *d = NULL;
    scoped_free char *buf = xmalloc(CHUNK);
    int r = digest_new(NULL, &d, e);
    for (int64_t at = 0; r == 0 && at < f->size;) {
        size_t want = f->size - at < CHUNK ? (size_t)(f->size - at) : CHUNK;
        ssize_t n = pread(f->fd, buf, want, f->offset + at);
        if (n <= 0)
            r = err_set(e, n < 0 ? errno : EIO, "read a layer");
        else if (digest_add(d, buf, (size_t)n) < 0)
            r = err_set(e, EIO, "hash a layer");
        at += n;
    }
    if (r == 0 && digest_end(d, ret) < 0)
        r = err_set(e, EIO, "hash a layer");
    digest_free(d);
    return r;
}

static int find_diff_id(struct seen *s, const char *id, const struct bundle_file *f,
                        struct plan_layer *l, struct err *e)
{
    const char *known = json_string_value(json_object_get(s->diff_ids, id));
    char digest[DIGEST_TEXT_MAX];
    int r = known ? 0 : hash_file(f, digest, e);
    if (r < 0)
        return err_add(e, r, "%s/layer.tar", id);
    l->diff_id = xstrdup(known ? known : digest);
    if (!known)
        json_object_set_new(s->diff_ids, id, json_string(digest));
    return 0;
}

static json_t *history_entry(const json_t *doc)
{
    const json_t *cmd = json_object_get(json_object_get(doc, "container_config"), "Cmd"), *word;
    scoped_str struct str text = STR_INIT;
    size_t i;
    json_array_foreach(cmd, i, word)
    {
        const char *s = json_string_value(word);
        str_addf(&text, "%s%s", i ? " " : "", s ? s : "");
    }
    json_t *h = json_object();
    json_t *created = json_object_get(doc, "created");
    if (created)
        json_object_set(h, "created", created);
    json_object_set_new(h, "created_by", json_string(text.s));
    return h;
}

/* The layers of the plan, and from them the configuration. */
static int build_plan(const struct bundle *b, struct chain *c, struct seen *seen,
                      struct image_plan *p, struct err *e)
{
    static const char *const dropped[] = {"id",        "parent",   "Size",
                                          "parent_id", "layer_id", "throwaway"};
    scoped_json json_t *config = json_copy(c->docs[0]), *diff_ids = json_array();
    scoped_json json_t *history = json_array();
    p->layers = xcalloc(c->n + 1, sizeof(*p->layers));
    for (size_t i = c->n; i-- > 0;) {
        struct plan_layer *l = &p->layers[p->n_layers];
        scoped_free char *name = xasprintf("%s/layer.tar", c->ids[i]);
        int r = bundle_file(b, name, &l->file, e);
        if (r < 0)
            return r;
        p->n_layers++;
        r = find_diff_id(seen, c->ids[i], &l->file, l, e);
        if (r < 0)
            return r;
        json_array_append_new(diff_ids, json_string(l->diff_id));
        json_array_append_new(history, history_entry(c->docs[i]));
    }
    for (size_t i = 0; i < N_ELEMENTS(dropped); i++)
        json_object_del(config, dropped[i]);
    json_object_set_new(config, "rootfs",
                        json_pack("{s:s,s:O}", "type", "layers", "diff_ids", diff_ids));
    json_object_set(config, "history", history);
    char *text = json_text(config, false);
    return plan_set_config(p, text, strlen(text), e);
}

/* The image of a top layer, planned or planned already: its index in list. */
static int plan_top(const struct bundle *b, const char *top, struct seen *seen, struct err *e)
{
    struct plan_list *list = seen->list;
    SCOPED(chain_release) struct chain chain = {.n = 0};
    SCOPED(image_plan_release) struct image_plan plan = {0};
    const json_t *known = json_object_get(seen->images, top);
    if (known)
        return (int)json_integer_value(known);
    int r = read_chain(b, top, &chain, e);
    r = r < 0 ? r : build_plan(b, &chain, seen, &plan, e);
    if (r < 0)
        return r;
    size_t i = 0;
    while (i < list->n && !streq(list->v[i].id, plan.id))
        i++;
    if (i == list->n) {
        *plan_add(list) = plan;
        plan = (struct image_plan){0};
        r = plan_list_count(list, e);
    }
    json_object_set_new(seen->images, top, json_integer((json_int_t)i));
    return r < 0 ? r : (int)i;
}

static int plan_tag(const struct bundle *b, const char *name, const char *tag, const json_t *top,
                    struct seen *seen, struct err *e)
{
    scoped_free char *full = xasprintf("%s:%s", name, tag);
    if (!json_is_string(top))
        return err_msg(e, EINVAL, "repositories: want layer ids as strings");
    int i = plan_top(b, json_string_value(top), seen, e);
    return i < 0 ? i : plan_add_name(&seen->list->v[i], full, e);
}

int plan_legacy(const struct bundle *b, struct plan_list *list, struct err *e)
{
    scoped_json json_t *doc = read_json(b, "repositories", e);
    const char *name, *tag;
    json_t *tags, *top;
    if (!doc)
        return -EINVAL;
    SCOPED(seen_release) struct seen seen = {list, json_object(), json_object()};
    json_object_foreach(doc, name, tags)
    {
        json_object_foreach(tags, tag, top)
        {
            int r = plan_tag(b, name, tag, top, &seen, e);
            if (r < 0)
                return r;
        }
    }
    return 0;
}
