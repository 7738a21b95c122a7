/* rootlet rmi */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "events/events.h"
#include "image/ref.h"
#include "imagetool/gc.h"
#include "imagetool/imagetool.h"
#include "imagetool/refs.h"

enum { EXIT_MISSING = 1, EXIT_IN_USE = 2 };

struct rm_opts {
    bool force, all, quiet;
};

static const struct opt rm_options[] = {
    {"force", 'f', OPT_FLAG, offsetof(struct rm_opts, force), NULL,
     "Also if it has several names; containers made from it are removed first, even running ones"},
    {"all", 'a', OPT_FLAG, offsetof(struct rm_opts, all), NULL, "All images"},
    {NULL},
};

static void untagged(const struct conf *c, const struct store_image *img, const char *name)
{
    printf("Untagged: %s\n", name);
    event_named(c, "image", "untag", image_digest_hex(img->id), name);
}

/* Its row goes, whose event names it as it was called. */
static int remove_row(const struct conf *c, const struct store_image *img, struct err *e)
{
    int r = row_remove(c, img, e);
    if (r == 0)
        event_named(c, "image", "remove", image_digest_hex(img->id),
                    img->names ? img->names[0] : NULL);
    return r;
}

/* Forgets the image; its layers go with the next collection. */
static int forget(const struct conf *c, const struct store_image *img, struct err *e)
{
    scoped_strv char **names = NULL;
    scoped_fd int lock = refs_lock(c, e);
    int r = lock < 0 ? lock : ref_remove_all(c, img, &names, e);
    for (size_t i = 0; names && names[i]; i++)
        untagged(c, img, names[i]);
    r = r < 0 ? r : remove_row(c, img, e);
    if (r == 0)
        printf("Deleted: %s\n", image_digest_hex(img->id));
    return r;
}

static int in_use(const struct store_image *img, char *const *users, struct err *e)
{
    scoped_free char *list = strv_join(users, ", ");
    err_msg(e, EBUSY, "image %.12s is in use by a container: %.300s", image_digest_hex(img->id),
            list);
    err_exit(e, -EBUSY, EXIT_IN_USE);
    return err_hint(e, -EBUSY, "remove the container first: rootlet rm %s, or both: rootlet rmi -f",
                    users[0]);
}

/* What may have to end a container is the program that made it. */
static int remove_containers(const struct conf *c, char *const *ids, struct err *e)
{
    const char *self = getenv("ROOTLET_SELF"); /* set by rootlet, which we are run by */
    scoped_free char *program =
        self && *self == '/' ? xstrdup(self) : path_join(c->libexec, "rootlet");
    scoped_strv char **argv = NULL, **env = strv_dup(environ);
    conf_env(c, &env);
    strv_add(&argv, program);
    strv_add(&argv, "rm");
    strv_add(&argv, "-f");
    strv_extend(&argv, ids);
    struct proc_cmd cmd = {.argv = argv, .envp = env, .stdin_fd = -1, .stdout_fd = -1};
    int r = proc_run(&cmd, e);
    return r == 0 ? 0 : err_add(e, r < 0 ? r : -EBUSY, "remove its containers");
}

/* Nothing may be left that was made from it; by force nothing is. */
static int end_use(const struct conf *c, const struct store_image *img, bool force, struct err *e)
{
    scoped_strv char **users = NULL, **ids = NULL, **others = NULL;
    int r = gc_users(c, img->id, &users, &ids, e);
    if (r < 0 || !users)
        return r;
    if (!force)
        return in_use(img, users, e);
    r = ids ? remove_containers(c, ids, e) : 0;
    r = r < 0 ? r : gc_users(c, img->id, &others, NULL, e);
    return r == 0 && others ? in_use(img, others, e) : r; /* made meanwhile, or damaged */
}

static void drop_other_names(const struct conf *c, struct store_image *img)
{
    scoped_strv char **all = strv_dup(img->names);
    for (char **name = all; name && *name; name++)
        if (!ref_is_own(c, *name))
            strv_remove(img->names, *name);
}

static int remove_image(const struct conf *c, const char *text, bool force, struct err *e)
{
    SCOPED(store_image_release) struct store_image img = {0};
    int r = store_find(c, text, &img, e);
    if (r == -ENOENT)
        return err_exit(e, r, EXIT_MISSING);
    if (r < 0)
        return r;
    scoped_free char *typed = img.names ? xstrdup(img.names[0]) : NULL;
    if (img.store && (!typed || !ref_is_own(c, typed)))
        return ref_refuse_other(&img, e);
    if (img.store) { /* only the name is ours */
        r = ref_remove(c, typed, e);
        if (r == 0)
            untagged(c, &img, typed);
        return r;
    }
    r = store_names(c, &img, e);
    if (r < 0)
        return r;
    drop_other_names(c, &img);
    if (typed && strv_len(img.names) > 1) {
        r = ref_remove(c, typed, e);
        if (r == 0)
            untagged(c, &img, typed);
        return r;
    }
    if (strv_len(img.names) > 1 && !force) {
        scoped_free char *list = strv_join(img.names, ", ");
        err_msg(e, EBUSY, "image %.12s has several names: %.300s", image_digest_hex(img.id), list);
        return err_hint(e, -EBUSY, "remove it by those names, or use --force");
    }
    r = end_use(c, &img, force, e);
    return r < 0 ? r : forget(c, &img, e);
}

/* Prints an error of one of several arguments; the worst status is kept. */
static void report(struct err *e, int *worst)
{
    int status = e->exit_status ? e->exit_status : 125;
    imagetool_print_err(e);
    if (status > *worst)
        *worst = status;
    err_clear(e);
}

static int remove_all(const struct conf *c, bool force, int *worst, struct err *e)
{
    struct store_image *v = NULL;
    size_t n = 0;
    int r = store_list(c, &v, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (v[i].store && !v[i].is_copied)
            continue;
        int one = end_use(c, &v[i], force, e);
        one = one < 0 ? one : forget(c, &v[i], e);
        if (one < 0)
            report(e, worst);
    }
    store_list_free(v, n);
    return r;
}

static int run_rmi(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct rm_opts *o = opts;
    scoped_conf struct conf conf = {0};
    int worst = 0;
    (void)cmd;
    if (!o->all && !args[0])
        return err_msg(e, EINVAL, "rmi: name an image, or use --all");
    if (o->all && args[0])
        return err_msg(e, EINVAL, "rmi: --all takes no image");
    int r = conf_load(NULL, &conf, e);
    if (r == 0 && o->all)
        r = remove_all(&conf, o->force, &worst, e);
    for (size_t i = 0; r == 0 && args[i]; i++) {
        int one = remove_image(&conf, args[i], o->force, e);
        if (one == -ENOENT && o->force)
            err_clear(e); /* it is gone, as was asked */
        else if (one < 0)
            report(e, &worst);
    }
    r = r < 0 ? r : gc_run(&conf, false, e);
    return r < 0 ? err_add(e, r, "rmi") : worst;
}

const struct cmd imagetool_rm_cmds[] = {
    {.name = "rmi",
     .args = "IMAGE...",
     .summary = "Remove images",
     .opts = rm_options,
     .opts_size = sizeof(struct rm_opts),
     .max_args = -1,
     .run = run_rmi,
     .aliases = (const char *const[]){"image rm", "image remove", NULL},
     .details = "An image that has more names loses only the given one. Layers that another image "
                "needs stay. A container that was made from the image keeps it, or goes with it "
                "(--force). Exit status: 1 if an image is not known, 2 if one is "
                "in use by a container."},
    {NULL},
};
