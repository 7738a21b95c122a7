/* rootlet image check */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "image/ref.h"
#include "image/rows.h"
#include "imagetool/idmap.h"
#include "imagetool/imagetool.h"
#include "imagetool/ingest.h"
#include "layer/layer.h"

struct check_opts {
    bool quick;
};

static const struct opt check_options[] = {
    {"quick", 0, OPT_FLAG, offsetof(struct check_opts, quick), NULL,
     "Do not read the contents of the layers"},
    {NULL},
};

struct check {
    struct conf conf;
    bool quick;
    int root_fd;
    struct layer_session *session;
    char **good; /* diffIDs that were found whole */
};

static void check_release(struct check *k)
{
    layer_session_close(k->session);
    strv_free(k->good);
    fd_close(&k->root_fd);
    conf_release(&k->conf);
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

/* Rebuilds the tar and compares its digest with the diffID: every byte, name and owner. */
static int rebuild(struct check *k, const char *diff_id, struct err *e)
{
    scoped_free char *path = xasprintf("layers/%s", image_digest_hex(diff_id));
    scoped_fd int dir = openat(k->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_fd int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (dir < 0 || null < 0)
        return err_set(e, errno, "open %s", path);
    if (!k->session) {
        scoped_userns_map struct userns_map map = {0};
        int r = idmap_stored(&k->conf, &map, e);
        r = r < 0 ? r : layer_session_open(&map, NULL, &k->session, e);
        if (r < 0)
            return r;
    }
    return layer_rebuild(k->session, dir, null, diff_id, NULL, e);
}

static int check_layer(struct check *k, const char *diff_id, struct err *e)
{
    struct store_layer info = {0};
    if (strv_has(k->good, diff_id))
        return 0;
    if (!store_layer_read(k->root_fd, diff_id, &info))
        return err_msg(e, EUCLEAN, "layer %s is missing", diff_id);
    jfield_release(store_layer_fields, &info);
    int r = k->quick ? 0 : rebuild(k, diff_id, e);
    if (r == 0)
        strv_add(&k->good, diff_id);
    return r;
}

static int check_image(struct check *k, const struct store_image *img, struct err *e)
{
    int r = check_blob(k, img->id, e);
    r = r < 0 ? r : check_blob(k, img->manifest, e);
    for (size_t i = 0; r == 0 && img->layers && img->layers[i]; i++)
        r = check_layer(k, img->layers[i], e);
    return r;
}

static int run_check(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct check_opts *o = opts;
    SCOPED(check_release) struct check k = {.quick = o->quick, .root_fd = -1};
    struct store_image *v = NULL;
    size_t n = 0, damaged = 0;
    (void)cmd;
    (void)args;
    int r = conf_load(NULL, &k.conf, e);
    scoped_fd int lock = r < 0 ? r : store_use(&k.conf, e);
    k.root_fd = lock < 0 ? lock : conf_open_root(&k.conf, "", false, e);
    r = k.root_fd < 0 ? k.root_fd : store_list(&k.conf, &v, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct err why = ERR_INIT;
        int bad = check_image(&k, &v[i], &why);
        printf("%.12s %s: ", image_digest_hex(v[i].id), v[i].names ? v[i].names[0] : "<none>");
        imagetool_print(stdout, bad < 0 ? why.msg : "ok");
        putchar('\n');
        damaged += bad < 0;
    }
    store_list_free(v, n);
    if (r == 0 && damaged) {
        r = err_msg(e, EUCLEAN, "%zu of %zu images are damaged", damaged, n);
        err_exit(e, r, 1);
        err_hint(e, r, "remove them with 'rootlet rmi --force ID' and load them again");
    }
    return r < 0 ? err_add(e, r, "image check") : 0;
}

const struct cmd imagetool_check_cmds[] = {
    {.name = "image check",
     .args = "",
     .summary = "Verify the digests of everything in the store",
     .opts = check_options,
     .opts_size = sizeof(struct check_opts),
     .run = run_check,
     .details = "Exit status 1 if an image is damaged."},
    {NULL},
};
