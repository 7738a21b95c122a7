/* rootlet image prune */
#include <errno.h>
#include <stdio.h>

#include "base/lock.h"
#include "base/prune.h"
#include "base/timefmt.h"
#include "events/events.h"
#include "image/ref.h"
#include "imagetool/gc.h"
#include "imagetool/imagetool.h"
#include "imagetool/refs.h"

/* Nobody holds the store's lock for longer than a look takes. */
#define LOCK_MS 10000

struct prune_opts {
    bool force, all;
    char **filter;
};

static const struct opt prune_options[] = {
    {"all", 'a', OPT_FLAG, offsetof(struct prune_opts, all), NULL,
     "All images that no container was made from, not only those without a name"},
    {"filter", 0, OPT_STRV, offsetof(struct prune_opts, filter), "KEY=VALUE",
     "until, label or label!"},
    {"force", 'f', OPT_FLAG, offsetof(struct prune_opts, force), NULL, "Do not ask"},
    {NULL},
};

/* until= is about the image's own time, as docker has it. */
static int is_wanted(const struct conf *c, const struct prune_filter *f,
                     const struct store_image *img, struct err *e)
{
    struct image_config config SCOPED(image_config_release) = {0};
    if (!prune_filter_match(&(struct prune_filter){.until_ns = f->until_ns}, img->created_ns, NULL))
        return 0;
    if (!f->labels && !f->without)
        return 1;
    int r = store_config(c, img, &config, e);
    return r < 0 ? r : prune_filter_match(f, img->created_ns, config.labels);
}

static int remove_image(const struct conf *c, const struct store_image *img, struct err *e)
{
    scoped_fd int lock = refs_lock(c, e);
    int r = lock < 0 ? lock : ref_remove_all(c, img, NULL, e);
    r = r < 0 ? r : row_remove(c, img, e);
    if (r < 0)
        return r;
    event_named(c, "image", "remove", image_digest_hex(img->id), img->names ? img->names[0] : NULL);
    puts(image_digest_hex(img->id));
    return 0;
}

/* With the lock: whoever is making a container from an image has it until the record is there. */
static int remove_unused(const struct conf *c, bool all, const struct prune_filter *f,
                         struct err *e)
{
    struct store_image *v = NULL;
    scoped_strv char **used = NULL;
    size_t n = 0;
    int r = store_list(c, &v, &n, e);
    r = r < 0 ? r : gc_used_images(c, &used, e);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        if ((!all && v[i].digests) || strv_has(used, v[i].id))
            continue;
        r = is_wanted(c, f, &v[i], e);
        if (r > 0)
            r = remove_image(c, &v[i], e);
    }
    store_list_free(v, n);
    return r < 0 ? r : 0;
}

static int prune(const struct conf *c, bool all, const struct prune_filter *f, struct err *e)
{
    scoped_fd int root = conf_open_root(c, "", false, NULL);
    if (root == -ENOENT)
        return 0; /* no store: nothing in it */
    scoped_fd int lock =
        root < 0 ? root : lock_take(root, "store.lock", LOCK_EXCLUSIVE, LOCK_MS, e);
    if (lock == -EWOULDBLOCK)
        return err_hint(e, err_msg(e, EBUSY, "another command is using the store %s", c->root),
                        "try again when it has ended");
    int r = lock < 0 ? lock : remove_unused(c, all, f, e);
    fd_close(&lock);
    if (r < 0)
        return r;
    event_named(c, "image", "prune", NULL, NULL);
    return gc_run(c, e);
}

static int run_prune(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct prune_opts *o = opts;
    scoped_conf struct conf conf = {0};
    scoped_prune_filter struct prune_filter f = {.until_ns = 0};
    (void)cmd;
    (void)args;
    int r = prune_filter_parse(o->filter, &f, e);
    if (r == 0 && !o->force) {
        r = prune_ask(o->all ? " all images without at least one container associated to them."
                             : " all dangling images.",
                      e);
        if (r <= 0)
            return r;
    }
    r = r < 0 ? r : conf_load(NULL, &conf, e);
    r = r < 0 ? r : prune(&conf, o->all, &f, e);
    return r < 0 ? err_add(e, r, "image prune") : 0;
}

const struct cmd imagetool_prune_cmds[] = {
    {.name = "image prune",
     .args = "",
     .summary = "Remove images without a name",
     .opts = prune_options,
     .opts_size = sizeof(struct prune_opts),
     .run = run_prune,
     .details = "Images that a container was made from stay. Unused layers and what interrupted "
                "commands left behind go too."},
    {NULL},
};
