/* The part of ingest that takes layers from additional stores. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scoped.h"
#include "image/others.h"
#include "image/ref.h"
#include "imagetool/ingest.h"

#define PIPE_BYTES (1 << 20)

int store_layer_open(const struct conf *c, const char *diff_id, struct store_layer *ret,
                     struct err *e)
{
    const struct conf *in = store_of_layer(c, diff_id, NULL);
    struct store_layer info = {0};
    scoped_fd int root = in ? conf_open_root(in, "", false, NULL) : -1;
    scoped_free char *path = xasprintf("layers/%s", image_digest_hex(diff_id));
    scoped_fd int dir = -1;
    if (root >= 0 && store_layer_read(root, diff_id, &info))
        dir = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        jfield_release(store_layer_fields, &info);
        err_msg(e, EUCLEAN, "layer %.19s is missing or damaged", diff_id);
        return err_hint(e, -EUCLEAN, "rootlet image check --repair");
    }
    if (ret)
        *ret = info;
    else
        jfield_release(store_layer_fields, &info);
    return take_fd(&dir);
}

/* Its tar, read there with the user's own rights, is unpacked here: so the owners are those of this
 * store, and the digest says that it is the layer. */
int ingest_copy(struct ingest *in, int from_fd, int stage_fd, const char *diff_id,
                struct layer_result *ret, struct err *e)
{
    SCOPED(layer_session_scoped) struct layer_session *reader = NULL;
    struct layer_source src = LAYER_SOURCE_INIT;
    struct layer_job job;
    struct err late = ERR_INIT;
    int pair[2];
    int r = layer_session_open(&in->map, NULL, &reader, e);
    if (r < 0)
        return r;
    if (pipe2(pair, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    scoped_fd int rd = pair[0], wr = pair[1];
    (void)!fcntl(rd, F_SETPIPE_SZ, PIPE_BYTES); /* only faster */
    src.fd = rd;
    src.no_blob = true;
    src.diffid = diff_id;
    src.squash_ids = true; /* as it may have been when it was unpacked */
    r = layer_unpack_start(in->session, &src, stage_fd, &job, e);
    fd_close(&rd);
    if (r < 0)
        return r;
    int q = layer_rebuild(reader, from_fd, wr, diff_id, NULL, &late);
    fd_close(&wr);
    r = layer_job_finish(&job, ret, e);
    if (q < 0 && late.errnum != EPIPE) {
        *e = late; /* the other one has only missed the end */
        return q;
    }
    return r;
}

static int copy_in(struct ingest *in, const struct conf *other, const char *diff_id, struct err *e)
{
    char stage[INGEST_STAGE_MAX];
    struct layer_result res = {0};
    scoped_fd int from = store_layer_open(other, diff_id, NULL, e);
    int r = from < 0 ? from : ingest_session(in, e);
    scoped_fd int to = r < 0 ? r : ingest_stage_layer(in, stage, e);
    r = to < 0 ? to : ingest_copy(in, from, to, diff_id, &res, e);
    r = r < 0 ? r : ingest_keep_layer(in, to, stage, &res, NULL, e);
    return r < 0 ? err_add(e, r, "copy layer %.19s from %s", diff_id, other->root) : 1;
}

int ingest_take_other(struct ingest *in, const char *diff_id, struct err *e)
{
    const struct conf *o;
    struct err why = ERR_INIT;
    int r = 0;
    for (size_t n = 0; r <= 0 && (o = store_other(in->conf, n)); n++) {
        struct store_layer info = {0};
        scoped_fd int root = conf_open_root(o, "", false, NULL);
        if (root < 0 || !store_layer_read(root, diff_id, &info))
            continue;
        if (store_other_is_direct(in->conf, o) && !strv_has(in->replace, diff_id)) {
            ingest_note_layer(in, &info, NULL);
            return 1;
        }
        jfield_release(store_layer_fields, &info);
        r = copy_in(in, o, diff_id, &why);
    }
    if (r < 0 && e)
        *e = why;
    return r;
}
