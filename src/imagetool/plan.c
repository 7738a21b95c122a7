#include "imagetool/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "layer/digest.h"

#define LIST_BYTES_MAX (64u << 20)

void image_plan_release(struct image_plan *p)
{
    for (size_t i = 0; i < p->n_layers; i++) {
        bundle_file_close(&p->layers[i].file);
        free(p->layers[i].diff_id);
        free(p->layers[i].blob);
    }
    for (size_t i = 0; i < p->n_names; i++)
        image_ref_release(&p->names[i]);
    free(p->layers);
    free(p->names);
    free(p->config);
    free(p->manifest);
    free(p->index);
    image_config_release(&p->parsed);
    *p = (struct image_plan){0};
}

void plan_list_release(struct plan_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        image_plan_release(&l->v[i]);
    free(l->v);
    *l = (struct plan_list){0};
}

struct image_plan *plan_add(struct plan_list *l)
{
    l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
    l->v[l->n] = (struct image_plan){0};
    return &l->v[l->n++];
}

int plan_set_config(struct image_plan *p, char *text, size_t len, struct err *e)
{
    char digest[DIGEST_TEXT_MAX];
    p->config = text;
    p->config_len = len;
    int r = digest_data(text, len, digest);
    if (r < 0)
        return err_set(e, -r, "hash the image configuration");
    snprintf(p->id, sizeof(p->id), "%.*s", DIGEST_LEN, digest);
    return image_config_parse(text, len, &p->parsed, e);
}

int plan_add_name(struct image_plan *p, const char *name, struct err *e)
{
    struct image_ref ref = {0};
    int r = image_ref_parse_local(name, &ref, e);
    if (r < 0)
        return r;
    if (!ref.tag) { /* a name by digest only: the digest says it all */
        image_ref_release(&ref);
        return 0;
    }
    free(ref.digest);
    ref.digest = NULL;
    p->names = xrealloc(p->names, (p->n_names + 1) * sizeof(*p->names));
    p->names[p->n_names++] = ref;
    return 0;
}

int plan_list_count(struct plan_list *l, struct err *e)
{
    const struct image_plan *p = &l->v[l->n - 1];
    l->bytes += p->config_len + p->manifest_len;
    if (l->bytes <= LIST_BYTES_MAX)
        return 0;
    return err_msg(e, EFBIG, "its %zu first images have more than %u MiB of configurations", l->n,
                   LIST_BYTES_MAX >> 20);
}

/* What is called an OCI layout is read by its index alone: others who looked at it, at its
 * signature for one, have seen no other image. */
int plan_read(const struct bundle *b, const char *transport, struct plan_list *ret, struct err *e)
{
    struct plan_list list = {0};
    bool oci = transport && str_after(transport, "oci");
    bool docker = streq(transport, "docker-archive");
    int r;
    if (b->flat)
        r = plan_dir(b, &list, e);
    else if (!oci && bundle_has(b, "manifest.json"))
        r = plan_docker(b, &list, e);
    else if (oci || (!docker && bundle_has(b, "index.json")))
        r = plan_oci(b, &list, e);
    else if (bundle_has(b, "repositories"))
        r = plan_legacy(b, &list, e);
    else if (docker)
        r = err_msg(e, EINVAL, "no docker archive: no manifest.json or repositories in it");
    else {
        r = err_msg(e, EINVAL,
                    "neither a docker nor an OCI image: no manifest.json, index.json "
                    "or repositories in it");
        err_hint(e, r, "a plain root file system becomes an image by 'rootlet import FILE NAME'");
    }
    if (r == 0 && list.n == 0)
        r = err_msg(e, EINVAL, "there is no image in it");
    if (r < 0) {
        plan_list_release(&list);
        return err_add(e, r, "%s", b->label);
    }
    *ret = list;
    return 0;
}
