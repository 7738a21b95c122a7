/* rootlet tag, untag, image exists */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "events/events.h"
#include "image/ref.h"
#include "image/rows.h"
#include "imagetool/imagetool.h"
#include "imagetool/refs.h"

/* Opens the store for a change and finds the image. Returns the lock's descriptor. */
static int open_image(const char *name, struct conf *conf, struct store_image *ret, struct err *e)
{
    int r = conf_load(NULL, conf, e);
    if (r < 0)
        return r;
    scoped_fd int lock = store_use(conf, e);
    if (lock < 0)
        return lock;
    r = store_find(conf, name, ret, e);
    return r < 0 ? r : take_fd(&lock);
}

static int tag_one(const struct conf *c, const struct store_image *i, const char *name,
                   struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    int r = image_ref_parse_local(name, &ref, e);
    if (r < 0)
        return r;
    if (ref.digest)
        return err_msg(e, EINVAL, "%s: a new name has a tag, not a digest", name);
    SCOPED(store_image_release) struct store_image now = {0};
    scoped_fd int lock = refs_lock(c, e);
    if (lock < 0)
        return lock;
    r = store_row_read(c, image_digest_hex(i->id), &now, e);
    if (r == -ENOENT) /* removed meanwhile */
        return err_msg(e, ENOENT, "image not known: %.12s", image_digest_hex(i->id));
    r = r < 0 ? r : ref_write(c, &ref, i, e);
    scoped_free char *full = r == 0 ? image_ref_text(&ref) : NULL;
    if (full)
        event_named(c, "image", "tag", image_digest_hex(i->id), full);
    return r;
}

static int run_tag(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_conf struct conf conf = {0};
    SCOPED(store_image_release) struct store_image img = {0};
    (void)cmd;
    (void)opts;
    scoped_fd int lock = open_image(args[0], &conf, &img, e);
    if (lock < 0)
        return err_add(e, lock, "tag");
    for (size_t i = 1; args[i]; i++) {
        int r = tag_one(&conf, &img, args[i], e);
        if (r < 0)
            return err_add(e, r, "tag %s", args[0]);
    }
    return 0;
}

static int untag_one(const struct conf *c, const struct store_image *i, const char *name,
                     struct err *e)
{
    SCOPED(store_image_release) struct store_image named = {0};
    int r = store_find(c, name, &named, e);
    if (r < 0)
        return r;
    if (!streq(named.id, i->id) || !named.names)
        return err_msg(e, ENOENT, "%s is not a name of image %.12s", name, image_digest_hex(i->id));
    if (!ref_is_own(c, named.names[0]))
        return ref_refuse_other(&named, e);
    r = ref_remove(c, named.names[0], e);
    if (r == 0)
        event_named(c, "image", "untag", image_digest_hex(i->id), named.names[0]);
    return r;
}

static int run_untag(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_conf struct conf conf = {0};
    SCOPED(store_image_release) struct store_image img = {0};
    (void)cmd;
    (void)opts;
    scoped_fd int lock = open_image(args[0], &conf, &img, e);
    scoped_strv char **names = NULL;
    int r = lock < 0 ? lock : 0;
    if (r == 0 && !args[1])
        r = ref_remove_all(&conf, &img, &names, e);
    for (size_t i = 0; names && names[i]; i++)
        event_named(&conf, "image", "untag", image_digest_hex(img.id), names[i]);
    for (size_t i = 1; r == 0 && args[1] && args[i]; i++)
        r = untag_one(&conf, &img, args[i], e);
    return r < 0 ? err_add(e, r, "untag") : 0;
}

static int run_exists(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_conf struct conf conf = {0};
    SCOPED(store_image_release) struct store_image img = {0};
    (void)cmd;
    (void)opts;
    int r = conf_load(NULL, &conf, e);
    if (r < 0)
        return r;
    r = store_find(&conf, args[0], &img, e);
    if (r == -ENOENT) {
        err_clear(e);
        return 1;
    }
    return r;
}

const struct cmd imagetool_tag_cmds[] = {
    {.name = "tag",
     .args = "IMAGE NAME...",
     .summary = "Give an image more names",
     .min_args = 2,
     .max_args = -1,
     .run = run_tag,
     .aliases = (const char *const[]){"image tag", NULL},
     .details = "A NAME without a registry becomes localhost/NAME, one without a tag gets :latest. "
                "A name that another image has moves to this one.",
     .examples = "rootlet tag busybox tools:1"},
    {.name = "untag",
     .args = "IMAGE [NAME...]",
     .summary = "Take names away from an image",
     .min_args = 1,
     .max_args = -1,
     .run = run_untag,
     .aliases = (const char *const[]){"image untag", NULL},
     .details = "Without NAME all its names go. The image stays, known by its id.",
     .examples = "rootlet untag busybox tools:1"},
    {.name = "image exists",
     .args = "IMAGE",
     .summary = "Exit with 0 if the image is in the store, else with 1",
     .min_args = 1,
     .max_args = 1,
     .run = run_exists},
    {NULL},
};
