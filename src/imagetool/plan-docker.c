/* What `docker save` writes: manifest.json with Config, RepoTags and Layers. */
#include <errno.h>
#include <string.h>

#include "base/jfield.h"
#include "base/str.h"
#include "imagetool/plan.h"
#include "layer/digest.h"

#define LIST_MAX (1u << 20)
#define CONFIG_MAX (4u << 20)

/* The digest that a file's name promises ("HEX.json", "blobs/sha256/HEX"), or NULL. */
static char *promised_digest(const char *file)
{
    const char *rest = str_after(file, "blobs/sha256/");
    scoped_free char *hex = xstrdup(rest ? rest : file);
    if (!rest && str_ends(hex, ".json"))
        hex[strlen(hex) - strlen(".json")] = '\0';
    scoped_free char *digest = xasprintf("%s%s", DIGEST_PREFIX, hex);
    return image_digest_check(digest, NULL) == 0 ? take_ptr(digest) : NULL;
}

static const char *want_string(const json_t *v, const char *path, struct err *e)
{
    if (json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v))
        return json_string_value(v);
    err_msg(e, EINVAL, "%s: want a string", path);
    return NULL;
}

static int read_config(const struct bundle *b, const json_t *item, const char *path,
                       struct image_plan *p, struct err *e)
{
    scoped_free char *where = xasprintf("%s.Config", path);
    char *text = NULL;
    const char *file = want_string(json_object_get(item, "Config"), where, e);
    if (!file)
        return -EINVAL;
    ssize_t n = bundle_read(b, file, CONFIG_MAX, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "%s", where);
    int r = plan_set_config(p, text, (size_t)n, e);
    if (r < 0)
        return r;
    scoped_free char *promised = promised_digest(file);
    if (promised && !streq(promised, p->id))
        return err_msg(e, EBADMSG, "digest mismatch: %s has the content of %s", file, p->id);
    return 0;
}

static int read_layers(const struct bundle *b, const json_t *item, const char *path,
                       struct image_plan *p, struct err *e)
{
    const json_t *list = json_object_get(item, "Layers");
    size_t n = json_array_size(list), ids = strv_len(p->parsed.diff_ids);
    if (list && !json_is_array(list) && !json_is_null(list))
        return err_msg(e, EINVAL, "%s.Layers: want a list", path);
    if (n != ids)
        return err_msg(e, EINVAL, "the manifest has %zu layers, the configuration %zu diffIDs", n,
                       ids);
    p->layers = xcalloc(n + 1, sizeof(*p->layers));
    for (size_t i = 0; i < n; i++) {
        struct plan_layer *l = &p->layers[i];
        scoped_free char *where = xasprintf("%s.Layers[%zu]", path, i);
        const char *file = want_string(json_array_get(list, i), where, e);
        if (!file)
            return -EINVAL;
        int r = bundle_file(b, file, &l->file, e);
        if (r < 0)
            return err_add(e, r, "%s", where);
        p->n_layers++;
        l->diff_id = xstrdup(p->parsed.diff_ids[i]);
        l->blob = str_after(file, "blobs/") ? promised_digest(file) : NULL;
    }
    return 0;
}

static int read_names(const json_t *item, const char *path, struct image_plan *p, struct err *e)
{
    const json_t *list = json_object_get(item, "RepoTags"), *v;
    size_t i;
    if (!list || json_is_null(list))
        return 0;
    if (!json_is_array(list))
        return err_msg(e, EINVAL, "%s.RepoTags: want a list", path);
    json_array_foreach(list, i, v)
    {
        scoped_free char *where = xasprintf("%s.RepoTags[%zu]", path, i);
        const char *name = want_string(v, where, e);
        int r = name ? plan_add_name(p, name, e) : -EINVAL;
        if (r < 0)
            return r;
    }
    return 0;
}

int plan_docker(const struct bundle *b, struct plan_list *list, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = bundle_read(b, "manifest.json", LIST_MAX, &text, e);
    if (n < 0)
        return (int)n;
    scoped_json json_t *doc = json_parse(text, (size_t)n, LIST_MAX, "manifest.json", e);
    if (!doc)
        return -EINVAL;
    if (!json_is_array(doc))
        return err_msg(e, EINVAL, "manifest.json: want a list");
    for (size_t i = 0; i < json_array_size(doc); i++) {
        const json_t *item = json_array_get(doc, i);
        char path[40];
        snprintf(path, sizeof(path), "manifest.json[%zu]", i);
        if (!json_is_object(item))
            return err_msg(e, EINVAL, "%s: want an object", path);
        struct image_plan *p = plan_add(list);
        int r = read_config(b, item, path, p, e);
        r = r < 0 ? r : read_layers(b, item, path, p, e);
        r = r < 0 ? r : read_names(item, path, p, e);
        r = r < 0 ? r : plan_list_count(list, e);
        if (r < 0)
            return r;
    }
    return 0;
}
