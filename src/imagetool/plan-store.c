#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/rows.h"
#include "imagetool/plan.h"
#include "layer/digest.h"

/* The exact bytes of a blob; -EUCLEAN when it is lost or is another. */
static ssize_t read_checked(const struct conf *c, const char *digest, char **ret, struct err *e)
{
    char got[DIGEST_TEXT_MAX];
    scoped_free char *text = NULL;
    ssize_t n = store_blob_read(c, digest, &text, e);
    if (n < 0)
        return n;
    if (digest_data(text, (size_t)n, got) < 0 || !digest_equal(got, digest))
        return err_msg(e, EUCLEAN, "digest mismatch: blob %s has the content of %s", digest, got);
    *ret = take_ptr(text);
    return n;
}

int plan_stored(const struct conf *c, const char *id, const char *manifest, struct image_plan *ret,
                struct err *e)
{
    SCOPED(image_plan_release) struct image_plan p = {0};
    char *config = NULL;
    ssize_t n = read_checked(c, manifest, &p.manifest, e);
    if (n < 0)
        return (int)n;
    p.manifest_len = (size_t)n;
    n = read_checked(c, id, &config, e);
    int r = n < 0 ? (int)n : plan_set_config(&p, config, (size_t)n, e);
    if (r < 0)
        return r;
    p.n_layers = strv_len(p.parsed.diff_ids);
    p.layers = xcalloc(p.n_layers + 1, sizeof(*p.layers));
    for (size_t i = 0; i < p.n_layers; i++) {
        p.layers[i].file.fd = -1;
        p.layers[i].diff_id = xstrdup(p.parsed.diff_ids[i]);
    }
    *ret = p;
    p = (struct image_plan){0};
    return 0;
}
