/* adopt: an image of an additional store whose trees cannot be mounted from there comes into the
 * own one, without a name. rootlet runs it before it makes a container of such an image. */
#include <errno.h>

#include "image/rows.h"
#include "imagetool/imagetool.h"
#include "imagetool/ingest.h"
#include "imagetool/plan.h"

static int bring(struct ingest *in, const struct store_image *img, struct err *e)
{
    SCOPED(image_plan_release) struct image_plan plan = {0};
    int r = store_pin_image(&in->pin, img, e);
    r = r < 0 ? r : plan_stored(in->conf, img->id, img->manifest, &plan, e);
    for (size_t i = 0; r == 0 && i < plan.n_layers; i++)
        r = ingest_present(in, plan.layers[i].diff_id, e);
    r = r < 0 ? r : ingest_image(in, &plan, e);
    return r < 0 ? r : ingest_commit(in, e);
}

static int run_adopt(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_conf struct conf conf = {0};
    SCOPED(store_image_release) struct store_image img = {0};
    SCOPED(ingest_close) struct ingest in = INGEST_INIT;
    (void)cmd;
    (void)opts;
    int r = conf_load(NULL, &conf, e);
    r = r < 0 ? r : store_find(&conf, args[0], &img, e);
    if (r < 0 || !img.store)
        return r;
    r = ingest_open(&conf, true, &in, e);
    r = r < 0 ? r : bring(&in, &img, e);
    return r < 0 ? err_add(e, r, "%s", args[0]) : 0;
}

const struct cmd imagetool_adopt_cmds[] = {
    {.name = "adopt-image",
     .summary = "Copy an image of an additional store",
     .min_args = 1,
     .max_args = 1,
     .flags = CMD_HIDDEN,
     .run = run_adopt},
    {NULL},
};
