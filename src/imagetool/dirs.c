#include "imagetool/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strv.h"
#include "image/others.h"
#include "imagetool/compare.h"

static void job_release(struct dirs_job *j)
{
    for (size_t i = 0; j->layers && i < j->n; i++) {
        fd_close(&j->layers[i].fd);
        free(j->layers[i].implied);
        free(j->layers[i].text);
    }
    free(j->layers);
}

/* Of the layers alone, so images that have the same ones share it. */
static int make_id(char *const *layers, uint32_t shown_from, char ret[static DIGEST_TEXT_MAX],
                   struct err *e)
{
    scoped_free char *list = strv_join(layers, "\n");
    scoped_free char *text = xasprintf("rootlet directories 1\n%u\n%s\n", shown_from, list);
    int r = digest_data(text, strlen(text), ret);
    return r < 0 ? err_set(e, -r, "hash the list of layers") : 0;
}

static bool may_need(const struct ingest *in, char *const *layers, uint32_t shown_from)
{
    bool below = false, own_root = false;
    for (size_t i = 0; layers[i]; i++) {
        const struct store_layer *l = ingest_layer(in, layers[i]);
        if (!l)
            return false; /* it is missing: the image is damaged anyway */
        if (l->implied && i > shown_from)
            return true;
        below = l->root_entry == LAYER_ROOT_NONE;
        if (!below)
            own_root = l->root_entry == LAYER_ROOT_OWN;
    }
    return below && own_root;
}

static int cmp(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_implied(int dir, const struct store_layer *info, struct dirs_layer *l,
                        struct err *e)
{
    if (!info->implied)
        return 0;
    ssize_t n = fs_read(dir, LAYER_IMPLIED, LAYER_IMPLIED_MAX, &l->text, e);
    if (n < 0)
        return (int)n;
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(l->text + at) + 1) {
        if (l->n_implied % 256 == 0)
            l->implied = xrealloc(l->implied, (l->n_implied + 256) * sizeof(*l->implied));
        l->implied[l->n_implied++] = l->text + at;
    }
    if (l->n_implied != info->implied)
        return err_msg(e, EUCLEAN, "%s has %zu names instead of %llu", LAYER_IMPLIED, l->n_implied,
                       (unsigned long long)info->implied);
    qsort(l->implied, l->n_implied, sizeof(*l->implied), cmp);
    return 0;
}

/* Where the layer lies: still staged, or in the store, or in another. */
static int open_layer(const struct ingest *in, const char *diff_id)
{
    for (size_t i = 0; i < in->n_layers; i++) {
        const struct ingest_layer *l = &in->layers[i];
        int fd =
            l->stage && streq(l->info.diff_id, diff_id)
                ? openat(in->stage_fd, l->stage, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                : -1;
        if (fd >= 0)
            return fd;
    }
    return store_layer_open(in->conf, diff_id, NULL, NULL);
}

static int add_layer(const struct ingest *in, const char *diff_id, struct dirs_layer *ret,
                     struct err *e)
{
    const struct store_layer *info = ingest_layer(in, diff_id);
    scoped_fd int dir = open_layer(in, diff_id);
    if (dir < 0 || !info)
        return err_msg(e, EUCLEAN, "layer %.19s is missing or damaged", diff_id);
    ret->root_entry = info->root_entry;
    ret->fd = openat(dir, "diff", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ret->fd < 0)
        return err_set(e, errno, "open layer %.19s", diff_id);
    int r = read_implied(dir, info, ret, e);
    return r < 0 ? err_add(e, r, "layer %.19s", diff_id) : 0;
}

/* Makes diff/ in stage_fd if there is need: 1, or 0 there is none. */
static int build(struct ingest *in, char *const *layers, uint32_t shown_from, int stage_fd,
                 struct err *e)
{
    SCOPED(job_release) struct dirs_job j = {.shown_from = shown_from, .stage_fd = stage_fd};
    struct rlimit limit;
    struct stat st;
    int r = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) { /* one for each layer */
        limit.rlim_cur = limit.rlim_max;
        (void)!setrlimit(RLIMIT_NOFILE, &limit);
    }
    j.n = strv_len(layers);
    j.layers = xcalloc(j.n + 1, sizeof(*j.layers));
    for (size_t i = 0; i < j.n; i++)
        j.layers[i].fd = -1;
    for (size_t i = 0; r == 0 && i < j.n; i++)
        r = add_layer(in, layers[i], &j.layers[i], e);
    if (r == 0)
        r = geteuid() == 0 ? dirs_build(&j, e) : userns_run(&in->map, 0, dirs_build, &j, e);
    if (r < 0)
        return err_add(e, r, "make the directories that no layer has an entry for");
    return fstatat(stage_fd, "diff", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* As the directories of layers: the container's root has to come through. */
static int hand_over(const struct ingest *in, int fd, struct err *e)
{
    int64_t uid = idmap_to_host(&in->map.uid, 0), gid = idmap_to_host(&in->map.gid, 0);
    if (geteuid() != 0 || uid < 0 || gid < 0 || fchown(fd, (uid_t)uid, (gid_t)gid) == 0)
        return 0;
    return err_set(e, errno, "hand the directory to the user namespace");
}

static int keep(struct ingest *in, int fd, const char *stage, const char *id, struct err *e)
{
    struct store_layer info = {.diff_id = xstrdup(id), .derived = true};
    scoped_json json_t *doc = jfield_emit(store_layer_fields, &info);
    scoped_free char *text = json_text(doc, false);
    int r = hand_over(in, fd, e);
    r = r < 0 ? r : fs_write_atomic(fd, "layer.json", text, strlen(text), 0600, FS_NO_SYNC, e);
    if (r == 0)
        ingest_note_layer(in, &info, stage);
    jfield_release(store_layer_fields, &info);
    return r;
}

int dirs_ingest(struct ingest *in, char *const *layers, uint32_t shown_from, char **ret,
                struct err *e)
{
    char id[DIGEST_TEXT_MAX], stage[INGEST_STAGE_MAX];
    struct store_layer info = {0};
    *ret = NULL;
    if (!layers || !may_need(in, layers, shown_from))
        return 0;
    int r = make_id(layers, shown_from, id, e);
    r = r < 0 ? r : store_pin_want_one(&in->pin, id, e);
    if (r == 0 && !strv_has(in->replace, id) && store_layer_read(in->root_fd, id, &info)) {
        ingest_note_layer(in, &info, NULL);
        *ret = xstrdup(id);
        return 0;
    }
    r = r < 0 ? r : ingest_session(in, e);
    scoped_fd int fd = r < 0 ? r : ingest_stage_layer(in, stage, e);
    r = fd < 0 ? fd : build(in, layers, shown_from, fd, e);
    if (r <= 0)
        return r;
    r = keep(in, fd, stage, id, e);
    if (r == 0)
        *ret = xstrdup(id);
    return r;
}

int dirs_check(struct ingest *in, const struct store_image *img, struct err *e)
{
    char stage[INGEST_STAGE_MAX], id[DIGEST_TEXT_MAX];
    int r = make_id(img->layers, img->shown_from, id, e);
    for (char **l = img->layers; r == 0 && l && *l; l++)
        r = ingest_present(in, *l, e);
    r = r < 0 ? r : ingest_session(in, e);
    if (r < 0)
        return r;
    scoped_fd int dir = store_layer_open(in->conf, img->dirs, NULL, NULL);
    if (dir < 0 || !streq(id, img->dirs))
        return err_msg(e, EUCLEAN, "its tree of directories is missing");
    scoped_fd int to = ingest_stage_layer(in, stage, e);
    r = to < 0 ? to : build(in, img->layers, img->shown_from, to, e);
    if (r == 0)
        r = err_msg(e, EUCLEAN, "its tree of directories is not of this image");
    scoped_fd int is = openat(dir, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    scoped_fd int should =
        r < 0 ? -1 : openat(to, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r > 0 && (is < 0 || should < 0))
        r = err_set(e, errno, "open the tree of directories");
    if (r > 0)
        r = tree_compare(&in->map, is, should, e);
    if (to >= 0 && fs_remove_tree(in->stage_fd, stage, NULL) < 0)
        layer_remove(in->session, in->stage_fd, stage, NULL);
    return r;
}
