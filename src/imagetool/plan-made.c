/* plan-made - the plan of an image that is made here, by build or commit: its configuration is
 * there as a document, its layers are in the store. */
#include <string.h>

#include "imagetool/ingest.h"
#include "imagetool/manifest.h"

#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"

/* A manifest of docker's types, for those who ask for it. */
static char *docker_manifest(const struct ingest *in, const struct image_plan *p)
{
    scoped_json json_t *layers = json_array();
    for (size_t i = 0; i < p->n_layers; i++) {
        const struct store_layer *l = ingest_layer(in, p->layers[i].diff_id);
        json_array_append_new(layers, json_pack("{s:s,s:I,s:s}", "mediaType", MEDIA_DOCKER_LAYER,
                                                "size", (json_int_t)(l ? l->tar_size : 0), "digest",
                                                p->layers[i].diff_id));
    }
    scoped_json json_t *doc =
        json_pack("{s:i,s:s,s:{s:s,s:I,s:s},s:O}", "schemaVersion", 2, "mediaType",
                  MEDIA_DOCKER_MANIFEST, "config", "mediaType", MEDIA_DOCKER_CONFIG, "size",
                  (json_int_t)p->config_len, "digest", p->id, "layers", layers);
    return json_text(doc, false);
}

int plan_made(const struct ingest *in, const json_t *doc, bool docker, struct image_plan *p,
              struct err *e)
{
    char *text = json_text(doc, false);
    int r = plan_set_config(p, text, strlen(text), e);
    if (r < 0)
        return r;
    const json_t *ids = json_object_get(json_object_get(doc, "rootfs"), "diff_ids"), *id;
    size_t i;
    p->layers = xcalloc(json_array_size(ids) + 1, sizeof(*p->layers));
    json_array_foreach(ids, i, id)
    {
        p->layers[i].file.fd = -1;
        p->layers[i].diff_id = xstrdup(json_string_value(id));
        p->n_layers++;
    }
    if (docker) {
        p->manifest = docker_manifest(in, p);
        p->manifest_len = strlen(p->manifest);
    }
    return 0;
}
