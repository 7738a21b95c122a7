/* rootlet image prune */
#include <errno.h>
#include <stdio.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/prune.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "events/events.h"
#include "image/ref.h"
#include "imagetool/gc.h"
#include "imagetool/imagetool.h"
#include "imagetool/refs.h"

/* Nobody holds the store's lock for longer than a look takes. */
#define LOCK_MS 10000

struct prune_opts {
    bool force, all, dry_run, partial, steps;
    char **filter;
};

static const struct opt prune_options[] = {
    {"all", 'a', OPT_FLAG, offsetof(struct prune_opts, all), NULL,
     "All images that no container was made from, not only those without a name"},
    {"filter", 0, OPT_STRV, offsetof(struct prune_opts, filter), "KEY=VALUE",
     "until, label, label! or dangling"},
    {"force", 'f', OPT_FLAG, offsetof(struct prune_opts, force), NULL, "Do not ask"},
    {"dry-run", 'n', OPT_FLAG, offsetof(struct prune_opts, dry_run), NULL,
     "Only print the ids of the images that would go"},
    {"partial", 0, OPT_FLAG, offsetof(struct prune_opts, partial), NULL,
     "Also what interrupted pulls could go on with (else it goes after a week)"},
    {"build-steps", 0, OPT_FLAG, offsetof(struct prune_opts, steps), NULL,
     "Only steps of builds that no name leads to", OPT_HIDDEN},
    {NULL},
};

struct prune {
    const struct conf *conf;
    struct prune_filter filter;
    bool all, dry_run, steps;
};

/* until= is about the image's own time, as docker has it. */
static bool is_wanted(const struct prune *p, const struct store_image *img)
{
    const struct prune_filter *f = &p->filter;
    struct image_config config SCOPED(image_config_release) = {0};
    struct err why = ERR_INIT;
    if (!prune_filter_match(&(struct prune_filter){.until_ns = f->until_ns}, img->created_ns, NULL))
        return false;
    if (!f->labels && !f->without)
        return true;
    if (store_config(p->conf, img, &config, &why) == 0)
        return prune_filter_match(f, img->created_ns, config.labels);
    log_warn("image %.12s stays: %s", image_digest_hex(img->id), why.msg);
    return false;
}

static int remove_image(const struct prune *p, const struct store_image *img, struct err *e)
{
    if (!p->dry_run) {
        scoped_fd int lock = refs_lock(p->conf, e);
        int r = lock < 0 ? lock : ref_remove_all(p->conf, img, NULL, e);
        r = r < 0 ? r : row_remove(p->conf, img, e);
        if (r < 0)
            return r;
        event_named(p->conf, "image", "remove", image_digest_hex(img->id),
                    img->names ? img->names[0] : NULL);
    }
    puts(image_digest_hex(img->id));
    return 0;
}

/* With the lock: whoever is making a container from an image has it, or a pin, until the record is
 * there. */
static int remove_unused(const struct prune *p, struct err *e)
{
    struct store_image *v = NULL;
    scoped_strv char **used = NULL;
    size_t n = 0;
    int r = store_list(p->conf, &v, &n, e);
    r = r < 0 ? r : gc_used_images(p->conf, &used, e);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        if (v[i].store && !v[i].is_copied)
            continue; /* not ours; of what was copied from there only the copy goes */
        if (p->steps && (!v[i].intermediate || (v[i].names && v[i].names[0])))
            continue;
        if ((!p->all && v[i].digests && !v[i].is_copied) || strv_has(used, v[i].id))
            continue;
        if (is_wanted(p, &v[i]))
            r = remove_image(p, &v[i], e);
    }
    store_list_free(v, n);
    return r < 0 ? r : 0;
}

static int prune(const struct prune *p, struct err *e)
{
    const struct conf *c = p->conf;
    scoped_fd int root = conf_open_root(c, "", false, NULL);
    if (root == -ENOENT)
        return 0; /* no store: nothing in it */
    scoped_fd int lock =
        root < 0 ? root : lock_take(root, "store.lock", LOCK_EXCLUSIVE, LOCK_MS, e);
    if (lock == -EWOULDBLOCK)
        return err_hint(e, err_msg(e, EBUSY, "another command is using the store %s", c->root),
                        "try again when it has ended");
    int r = lock < 0 ? lock : remove_unused(p, e);
    fd_close(&lock);
    if (r < 0 || p->dry_run)
        return r;
    event_named(c, "image", "prune", NULL, NULL);
    const struct prune_filter *f = &p->filter;
    return gc_run(c, p->all && !f->until_ns && !f->labels && !f->without, e);
}

/* docker's dangling=false is --all. */
static int parse_filter(const struct prune_opts *o, struct prune *p, struct err *e)
{
    scoped_strv char **rest = NULL;
    p->all = o->all;
    for (char **f = o->filter; f && *f; f++) {
        const char *value = str_after(*f, "dangling=");
        bool dangling = true;
        if (!value) {
            strv_add(&rest, *f);
            continue;
        }
        if (parse_bool(value, &dangling) < 0)
            return err_msg(e, EINVAL, "--filter %s: want true or false", *f);
        p->all = !dangling;
    }
    return prune_filter_parse(rest, &p->filter, e);
}

static int drop_partial(const struct conf *c, struct err *e)
{
    char size[32];
    uint64_t bytes = 0;
    int r = gc_partial(c, &bytes, e);
    if (r == 0 && bytes)
        fprintf(stderr, "Interrupted pulls: %s\n", size_human(bytes, size, sizeof(size)));
    return r;
}

static int run_prune(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct prune_opts *o = opts;
    scoped_conf struct conf conf = {0};
    struct prune p = {.conf = &conf, .dry_run = o->dry_run, .steps = o->steps};
    (void)cmd;
    (void)args;
    int r = parse_filter(o, &p, e);
    if (r == 0 && !o->force && !o->dry_run) {
        r = prune_ask(p.all ? " all images without at least one container associated to them."
                            : " all dangling images.",
                      e);
        if (r <= 0) {
            prune_filter_release(&p.filter);
            return r;
        }
    }
    r = r < 0 ? r : conf_load(NULL, &conf, e);
    r = r < 0 ? r : prune(&p, e);
    if (r == 0 && o->partial && !o->dry_run)
        r = drop_partial(&conf, e);
    prune_filter_release(&p.filter);
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
                "commands left behind go too, and so do trees for other id maps that no container "
                "uses: after a week, with --all at once."},
    {NULL},
};
