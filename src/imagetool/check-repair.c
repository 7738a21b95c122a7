/* The part of check that mends. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "image/others.h"
#include "image/ref.h"
#include "image/rows.h"
#include "imagetool/check.h"
#include "imagetool/imagetool.h"
#include "imagetool/plan.h"
#include "imagetool/refs.h"

/* Layers that an additional store has, whole (a copy proves it). */
static bool from_others(struct check *k, const struct damage *d)
{
    SCOPED(ingest_close) struct ingest in = INGEST_INIT;
    struct err why = ERR_INIT;
    if (!store_other(&k->conf, 0) || ingest_open(&k->conf, true, &in, NULL) < 0)
        return false;
    in.replace = strv_dup(d->layers);
    if (ingest_want(&in, d->layers, NULL) < 0)
        return false;
    for (char **l = d->layers; l && *l; l++)
        if (ingest_take_other(&in, *l, &why) <= 0)
            return false;
    return ingest_commit(&in, NULL) == 0;
}

/* "NAME@DIGEST" from its registry, by the program that speaks to one. */
static int from_registry(const struct check *k, const char *name, const struct damage *d,
                         struct err *e)
{
    scoped_free char *program = path_join(k->conf.libexec, "rootlet-registry");
    scoped_free char *list = strv_join(d->layers, ",");
    scoped_free char *option = xasprintf("--repair=%s", list[0] ? list : "none");
    scoped_strv char **argv = NULL, **env = strv_dup(environ);
    conf_env(&k->conf, &env);
    conf_env_creds(k->creds, &env);
    strv_add(&argv, program);
    strv_add(&argv, "pull");
    strv_add(&argv, "-q");
    strv_add(&argv, option);
    strv_extend(&argv, k->pull_options);
    strv_add(&argv, name);
    struct proc_cmd cmd = {.argv = argv, .envp = env, .stdin_fd = -1, .stdout_fd = -1};
    int r = proc_run(&cmd, e);
    return r > 0 ? -EIO : r;
}

static bool from_any_registry(const struct check *k, const struct store_image *img,
                              const struct damage *d, char **ret_from)
{
    scoped_strv char **tried = NULL;
    for (char **name = img->digests; name && *name; name++) {
        struct err why = ERR_INIT;
        if (str_after(*name, "localhost/") || strv_has(tried, *name))
            continue;
        strv_add(&tried, *name);
        if (from_registry(k, *name, d, &why) == 0) {
            *ret_from = xstrdup(*name);
            return true;
        }
        log_warn("%s: %s", *name, why.msg);
    }
    return false;
}

static void forget_good(struct check *k, const struct damage *d)
{
    for (char **l = d->layers; l && *l; l++)
        if (k->good)
            strv_remove(k->good, *l);
}

/* The tree of directories, of the layers that are here. */
static bool dirs_again(struct check *k, const struct store_image *img, const struct damage *d)
{
    SCOPED(ingest_close) struct ingest in = INGEST_INIT;
    SCOPED(image_plan_release) struct image_plan plan = {0};
    struct err why = ERR_INIT;
    int r = ingest_open(&k->conf, true, &in, &why);
    strv_add(&in.replace, d->dirs);
    r = r < 0 ? r : plan_stored(&k->conf, img->id, img->manifest, &plan, &why);
    for (size_t i = 0; r == 0 && i < plan.n_layers; i++)
        r = ingest_present(&in, plan.layers[i].diff_id, &why);
    r = r < 0 ? r : ingest_image(&in, &plan, &why);
    r = r < 0 ? r : ingest_commit(&in, &why);
    if (r < 0)
        log_warn("%s", why.msg);
    return r == 0;
}

void repair_image(struct check *k, const struct store_image *img, struct damage *d, char **ret_from)
{
    struct store_image all = {.id = img->id};
    bool made = d->dirs && !d->blobs && dirs_again(k, img, d);
    bool done = made || (d->layers && !d->blobs && from_others(k, d));
    if (done)
        *ret_from = xstrdup(made ? "its layers" : "an additional store");
    if (!done && store_names(&k->conf, &all, NULL) == 0)
        done = from_any_registry(k, &all, d, ret_from);
    strv_free(all.names);
    strv_free(all.digests);
    if (!done)
        return;
    forget_good(k, d);
    damage_release(d);
    check_image(k, img, d);
}

/* Its record anew, from configuration and manifest. */
static int restore_row(struct check *k, const char *id, const char *manifest, struct err *e)
{
    SCOPED(ingest_close) struct ingest in = INGEST_INIT;
    SCOPED(image_plan_release) struct image_plan plan = {0};
    int r = ingest_open(&k->conf, true, &in, e);
    r = r < 0 ? r : plan_stored(&k->conf, id, manifest, &plan, e);
    r = r < 0 ? r : ingest_want(&in, plan.parsed.diff_ids, e);
    for (size_t i = 0; r == 0 && i < plan.n_layers; i++)
        ingest_take_present(&in, plan.layers[i].diff_id); /* a missing one is the image's damage */
    r = r < 0 ? r : ingest_image(&in, &plan, e);
    return r < 0 ? r : ingest_commit(&in, e);
}

static void tell(const char *what, const char *name, const char *say)
{
    printf("%s ", what);
    imagetool_print(stdout, name);
    fputs(": ", stdout);
    imagetool_print(stdout, say);
    putchar('\n');
}

struct records {
    struct check *k;
    bool repair;
    struct check_records count;
    char **restored; /* ids */
};

/* An image that a name or a broken record stands for. */
static void restore(struct records *x, const char *what, const char *name, const char *id,
                    const char *manifest)
{
    struct err why = ERR_INIT;
    if (strv_has(x->restored, id))
        return;
    strv_add(&x->restored, id);
    x->count.found++;
    if (x->repair && manifest && restore_row(x->k, id, manifest, &why) == 0) {
        tell(what, name, "repaired: its record was made again");
        return;
    }
    x->count.left++;
    tell(what, name, why.msg[0] ? why.msg : "its record is missing or broken");
}

/* A name whose image has no record. */
static int check_ref(const struct store_ref *ref, void *data, struct err *e)
{
    struct records *x = data;
    SCOPED(store_image_release) struct store_image img = {0};
    scoped_free char *name =
        xasprintf("%s%s%s", ref->name, ref->tag[0] == '@' ? "" : ":", ref->tag);
    (void)e;
    if (store_row_read(&x->k->conf, image_digest_hex(ref->id), &img, NULL) < 0)
        restore(x, "name", name, ref->id, ref->manifest);
    return 0;
}

/* The manifest among the blobs that has this configuration. */
static char *find_manifest(const struct conf *c, const char *id)
{
    int fd = conf_open_root(c, "blobs/sha256", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *de; d && (de = readdir(d));) {
        scoped_free char *text = NULL;
        ssize_t n = strlen(de->d_name) == DIGEST_HEX
                        ? fs_read(dirfd(d), de->d_name, STORE_BLOB_MAX, &text, NULL)
                        : -1;
        scoped_json json_t *doc = n > 0 && strstr(text, id)
                                      ? json_parse(text, (size_t)n, STORE_BLOB_MAX, "", NULL)
                                      : NULL;
        const json_t *config = json_object_get(doc, "config");
        if (streq(json_string_value(json_object_get(config, "digest")), id))
            return xasprintf(DIGEST_PREFIX "%s", de->d_name);
    }
    return NULL;
}

/* Records that cannot be read. */
static void check_rows(struct records *x)
{
    int fd = conf_open_root(&x->k->conf, "images", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *de; d && (de = readdir(d));) {
        SCOPED(store_image_release) struct store_image img = {0};
        if (strlen(de->d_name) != DIGEST_HEX + strlen(".json") || de->d_name[0] == '.')
            continue;
        scoped_free char *id = xasprintf(DIGEST_PREFIX "%.64s", de->d_name);
        int r = store_row_read_in(&x->k->conf, image_digest_hex(id), &img, NULL);
        if (r == 0 || r == -ENOENT)
            continue;
        scoped_free char *manifest = find_manifest(&x->k->conf, id);
        restore(x, "image", id, id, manifest);
    }
}

/* A name that says nothing: which image it meant is not to be known. */
static void check_tags(struct records *x, int refs_fd, const char *dir_name)
{
    int fd = openat(refs_fd, dir_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    scoped_free char *name = image_ref_decode(dir_name);
    for (struct dirent *de; d && (de = readdir(d));) {
        SCOPED(store_ref_release) struct store_ref ref = {0};
        struct err why = ERR_INIT;
        if (de->d_name[0] == '.')
            continue;
        int r = store_ref_read(refs_fd, name, de->d_name, &ref, &why);
        if (r == 0 || r == -ENOENT)
            continue;
        scoped_free char *full = xasprintf("%s:%s", name, de->d_name);
        x->count.found++;
        if (x->repair && unlinkat(dirfd(d), de->d_name, 0) == 0) {
            tell("name", full, "removed, it named no image. Give it again: rootlet tag IMAGE NAME");
            continue;
        }
        x->count.left++;
        tell("name", full, "names no image: --repair removes it, pulling it gives it again");
    }
}

static void check_names(struct records *x)
{
    int fd = conf_open_root(&x->k->conf, "refs", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *de; d && (de = readdir(d));)
        if (de->d_name[0] != '.')
            check_tags(x, dirfd(d), de->d_name);
}

struct check_records check_records(struct check *k, bool repair)
{
    struct records x = {.k = k, .repair = repair};
    (void)!store_refs_each(&k->conf, NULL, check_ref, &x, NULL);
    check_rows(&x);
    check_names(&x);
    strv_free(x.restored);
    return x.count;
}
