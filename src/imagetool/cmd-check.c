/* rootlet image check */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "image/ref.h"
#include "image/rows.h"
#include "imagetool/check.h"
#include "imagetool/compare.h"
#include "imagetool/dirs.h"
#include "imagetool/gc.h"
#include "imagetool/imagetool.h"
#include "layer/layer.h"

struct check_opts {
    bool quick, repair, tls_verify, tls_verify_set;
    char *authfile, *cert_dir, *creds;
};

#define O(m) offsetof(struct check_opts, m)
static const struct opt check_options[] = {
    {"authfile", 0, OPT_STRING, O(authfile), "FILE", "Credentials from this file, for --repair"},
    {"cert-dir", 0, OPT_STRING, O(cert_dir), "DIR", "Certificates (*.crt, *.cert, *.key)"},
    {"creds", 0, OPT_STRING, O(creds), "USER[:PASSWORD]", "Credentials for the registry"},
    {"quick", 0, OPT_FLAG, O(quick), NULL, "Do not read the contents of the layers"},
    {"repair", 0, OPT_FLAG, O(repair), NULL, "Fetch what is damaged again, and only that"},
    {"tls-verify", 0, OPT_FLAG, O(tls_verify), NULL,
     "Verify certificates (default), or =false: not even https", .set_offset = O(tls_verify_set)},
    {NULL},
};

static void check_release(struct check *k)
{
    ingest_close(&k->in);
    strv_free(k->good);
    strv_free(k->pull_options);
    conf_release(&k->conf);
}

void damage_release(struct damage *d)
{
    strv_free(d->layers);
    strv_free(d->says);
    free(d->dirs);
    *d = (struct damage){0};
}

static int check_blob(const struct check *k, const char *digest, struct err *e)
{
    scoped_free char *data = NULL;
    char got[DIGEST_TEXT_MAX];
    ssize_t n = store_blob_read(&k->conf, digest, &data, e);
    int r = n < 0 ? (int)n : digest_data(data, (size_t)n, got);
    if (r < 0)
        return r;
    if (!digest_equal(got, digest))
        return err_msg(e, EUCLEAN, "digest mismatch: blob %s has the content of %s", digest, got);
    return 0;
}

/* What the image's own tree of directories is made by. */
static int check_implied(int is_dir, int should_dir, struct err *e)
{
    scoped_free char *is = NULL, *should = NULL;
    ssize_t n = fs_read(is_dir, LAYER_IMPLIED, LAYER_IMPLIED_MAX, &is, NULL);
    ssize_t m = fs_read(should_dir, LAYER_IMPLIED, LAYER_IMPLIED_MAX, &should, NULL);
    if (n == m && (n <= 0 || memcmp(is, should, (size_t)n) == 0))
        return 0;
    return err_msg(e, EUCLEAN, "the list of its directories without entries changed");
}

/* The tar is made of the tree (its digest covers every byte and name of the tar), unpacked again,
 * and both trees are compared: more files, owners and modes do not stand in a tar that was kept. */
static int check_tree(struct check *k, int dir, const char *diff_id, struct err *e)
{
    char stage[INGEST_STAGE_MAX];
    struct layer_result res = {0};
    struct ingest *in = &k->in;
    int r = ingest_session(in, e);
    scoped_fd int to = r < 0 ? r : ingest_stage_layer(in, stage, e);
    r = to < 0 ? to : ingest_copy(in, dir, to, diff_id, &res, e);
    if (to < 0)
        return r;
    scoped_fd int is = openat(dir, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    scoped_fd int should = openat(to, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r == 0 && (is < 0 || should < 0))
        r = err_set(e, errno, "open the tree");
    r = r < 0 ? r : tree_compare(&in->map, is, should, e);
    r = r < 0 ? r : check_implied(dir, to, e);
    if (fs_remove_tree(in->stage_fd, stage, NULL) < 0)
        layer_remove(in->session, in->stage_fd, stage, NULL);
    return r;
}

static bool is_room(int r)
{
    return r == -ENOSPC || r == -EDQUOT;
}

static int check_layer(struct check *k, const char *diff_id, struct err *e)
{
    if (strv_has(k->good, diff_id))
        return 0;
    scoped_fd int dir = store_layer_open(&k->conf, diff_id, NULL, NULL);
    if (dir < 0)
        return err_msg(e, EUCLEAN, "layer %s is missing", diff_id);
    int r = k->quick ? 0 : check_tree(k, dir, diff_id, e);
    if (r == 0)
        strv_add(&k->good, diff_id);
    if (is_room(r))
        return err_add(e, r, "layer %s", diff_id);
    return r < 0 && !strstr(e->msg, "is damaged") ? err_add(e, r, "layer %s is damaged", diff_id)
                                                  : r;
}

static int check_dirs(struct check *k, const struct store_image *img, struct err *e)
{
    if (!img->dirs || strv_has(k->good, img->dirs))
        return 0;
    scoped_fd int dir = store_layer_open(&k->conf, img->dirs, NULL, NULL);
    int r = dir < 0    ? err_msg(e, EUCLEAN, "its tree of directories is missing")
            : k->quick ? 0
                       : dirs_check(&k->in, img, e);
    if (r == 0)
        strv_add(&k->good, img->dirs);
    return r < 0 ? err_add(e, r, "directories without entries") : 0;
}

void check_image(struct check *k, const struct store_image *img, struct damage *ret)
{
    struct err e = ERR_INIT;
    const char *const blobs[] = {img->id, img->manifest};
    if (store_pin_image(&k->in.pin, img, &e) < 0)
        strv_add(&ret->says, e.msg);
    for (size_t i = 0; i < N_ELEMENTS(blobs); i++) {
        err_clear(&e);
        if (check_blob(k, blobs[i], &e) == 0)
            continue;
        ret->blobs = true;
        strv_add(&ret->says, e.msg);
    }
    for (char **l = img->layers; l && *l; l++) {
        err_clear(&e);
        int r = check_layer(k, *l, &e);
        if (is_room(r))
            ret->no_room = e;
        if (r == 0 || is_room(r) || strv_has(ret->layers, *l))
            continue;
        strv_add(&ret->layers, *l);
        strv_add(&ret->says, e.msg);
    }
    err_clear(&e);
    int r = ret->layers ? 0 : check_dirs(k, img, &e);
    if (is_room(r)) {
        ret->no_room = e;
    } else if (r < 0) {
        ret->dirs = xstrdup(img->dirs);
        strv_add(&ret->says, e.msg);
    }
}

/* Removed while it was read. */
static bool is_gone(const struct check *k, const struct store_image *img)
{
    SCOPED(store_image_release) struct store_image now = {0};
    return store_row_read(&k->conf, image_digest_hex(img->id), &now, NULL) == -ENOENT;
}

static const char *title(const struct store_image *img)
{
    return img->names ? img->names[0] : "<none>";
}

/* How the user gets it back. */
static void advise(const struct store_image *img)
{
    const char *name = img->names ? img->names[0] : NULL;
    if (name && !str_after(name, "localhost/"))
        printf("  get it again: rootlet pull %s\n", name);
    else
        printf("  get it again: rootlet load -i ARCHIVE, or remove it: rootlet rmi -f %.12s\n",
               image_digest_hex(img->id));
}

static bool note_unchecked(struct check *k, const struct damage *d)
{
    if (!d->no_room.msg[0])
        return false;
    k->unchecked++;
    k->why = d->no_room;
    return true;
}

/* 1: it is damaged, and stays so. Nothing is mended that could not be looked at in whole. */
static int check_one(struct check *k, const struct store_image *img, bool repair)
{
    struct damage d SCOPED(damage_release) = {0};
    scoped_free char *from = NULL;
    check_image(k, img, &d);
    if (d.says && is_gone(k, img))
        return 0;
    bool was_damaged = d.says != NULL;
    if (was_damaged && repair && !d.no_room.msg[0])
        repair_image(k, img, &d, &from);
    bool unchecked = note_unchecked(k, &d);
    printf("%.12s %s: ", image_digest_hex(img->id), title(img));
    if (unchecked) {
        printf("not checked in whole%s", d.says ? "; " : ": ");
        imagetool_print(stdout, d.says ? "" : d.no_room.msg);
    }
    for (char **s = d.says; s && *s; s++) {
        fputs(s > d.says ? "; " : "", stdout);
        imagetool_print(stdout, *s);
    }
    if (!d.says && !unchecked)
        printf(was_damaged ? "repaired, from %s" : "ok", from ? from : "what is here");
    putchar('\n');
    if (d.says && repair)
        advise(img);
    return d.says != NULL;
}

static int check_all(struct check *k, bool repair, size_t *ret_n, size_t *ret_damaged,
                     struct err *e)
{
    struct store_image *v = NULL;
    size_t n = 0;
    int r = store_list(&k->conf, &v, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (v[i].store && !v[i].is_copied)
            continue; /* its owner's */
        ++*ret_n;
        *ret_damaged += check_one(k, &v[i], repair);
    }
    store_list_free(v, n);
    return r;
}

static int check_named(struct check *k, char **names, bool repair, size_t *ret_damaged,
                       struct err *e)
{
    int r = 0;
    for (; r == 0 && *names; names++) {
        SCOPED(store_image_release) struct store_image img = {0};
        r = store_find(&k->conf, *names, &img, e);
        if (r == 0)
            *ret_damaged += check_one(k, &img, repair);
    }
    return r;
}

static void note_options(const struct check_opts *o, struct check *k)
{
    if (o->authfile)
        strv_addf(&k->pull_options, "--authfile=%s", o->authfile);
    if (o->cert_dir)
        strv_addf(&k->pull_options, "--cert-dir=%s", o->cert_dir);
    k->creds = o->creds;
    if (o->tls_verify_set)
        strv_addf(&k->pull_options, "--tls-verify=%s", o->tls_verify ? "true" : "false");
}

static int run_check(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct check_opts *o = opts;
    SCOPED(check_release) struct check k = {.quick = o->quick, .in = INGEST_INIT};
    size_t n = 0, damaged = 0;
    (void)cmd;
    note_options(o, &k);
    int r = conf_load(NULL, &k.conf, e);
    r = r < 0 ? r : ingest_open(&k.conf, true, &k.in, e);
    if (r == 0 && args[0]) {
        n = strv_len(args);
        r = check_named(&k, args, o->repair, &damaged, e);
    } else if (r == 0) {
        struct check_records records = check_records(&k, o->repair);
        n = records.found;
        damaged = records.left;
        r = check_all(&k, o->repair, &n, &damaged, e);
    }
    if (o->repair) {
        ingest_close(&k.in);
        r = r < 0 ? r : gc_run(&k.conf, false, e);
    }
    if (r == 0 && k.unchecked) {
        *e = k.why;
        return err_add(e, k.why.errnum ? -k.why.errnum : -ENOSPC,
                       "image check: %zu of %zu images could not be checked, %zu are damaged",
                       k.unchecked, n, damaged);
    }
    if (r == 0 && damaged) {
        r = err_msg(e, EUCLEAN, "%zu of %zu images are damaged", damaged, n);
        err_exit(e, r, 1);
        err_hint(e, r,
                 o->repair ? "what could not be repaired is told above"
                           : "rootlet image check --repair fetches what is damaged, "
                             "'rootlet rmi --force ID' removes an image");
    }
    return r < 0 ? err_add(e, r, "image check") : 0;
}

const struct cmd imagetool_check_cmds[] = {
    {.name = "image check",
     .args = "[IMAGE...]",
     .summary = "Verify the digests of everything in the store",
     .opts = check_options,
     .opts_size = sizeof(struct check_opts),
     .max_args = -1,
     .run = run_check,
     .details =
         "Compares every layer with the archive that it was unpacked from: contents, missing and "
         "additional files, owners, modes, times; for that each is unpacked once more beside it. "
         "--quick looks only whether everything is there. --repair restores records from what is "
         "here, and fetches damaged layers, and only those, from an additional store or from the "
         "registry of one of the image's names, by digest; the damaged one is exchanged for the "
         "new one at once. A running container keeps the tree that it was started on. Exit status "
         "1 if an image is, or stays, damaged.",
     .examples = "rootlet image check\nrootlet image check --repair web"},
    {NULL},
};
