/* One layer of a fetch: its blob's file, its download, its unpacker. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "imagetool/fetch-priv.h"

#define TELL_BYTES                                                                                 \
    ((uint64_t)256 << 10) /* waking the unpacker for less costs more than it brings */

static uint64_t size_of(const struct item *i)
{
    return (uint64_t)i->layer->blob->size;
}

int item_take(struct item *i, struct err *e)
{
    int r = ingest_take_present(i->f->in, i->layer->diff_id);

    if (r == 0)
        r = part_take(i->f->root_fd, i->layer->blob->digest, size_of(i), &i->part, e);
    else {
        i->state = ITEM_DONE;
        progress_set(i->f->from.progress, i->bar, PROGRESS_SKIPPED, 0);
        return 0;
    }
    if (r <= 0)
        return r;
    /* Who had it may have brought the layer in between. */
    if (ingest_take_present(i->f->in, i->layer->diff_id)) {
        part_drop(i->f->root_fd, &i->part);
        part_release(i->f->root_fd, &i->part);
        i->state = ITEM_DONE;
        progress_set(i->f->from.progress, i->bar, PROGRESS_SKIPPED, 0);
        return 0;
    }
    i->state = ITEM_OURS;
    i->began = i->part.have;
    i->got = i->part.have == size_of(i);
    return 0;
}

static void tell(struct item *i)
{
    if (i->grow_fd < 0 || i->part.have == i->told)
        return;
    layer_grow_add(i->grow_fd, i->part.have - i->told);
    i->told = i->part.have;
}

/* registry_fetch_ops */
static int take_data(void *ctx, const void *buf, size_t n)
{
    struct item *i = ctx;
    int r = part_write(&i->part, buf, n, &i->err);

    if (r < 0)
        return r;
    if (i->part.have - i->told >= TELL_BYTES || i->part.have == size_of(i))
        tell(i);
    return 0;
}

static void download_done(void *ctx, int r, const struct err *e)
{
    struct item *i = ctx;

    i->get = NULL;
    i->f->n_gets--;
    i->got = r == 0;
    if (r == 0 && i->part.have != size_of(i)) {
        r = err_msg(&i->err, EBADMSG, "blob %s ends after %llu of %llu bytes",
                    i->layer->blob->digest, (unsigned long long)i->part.have,
                    (unsigned long long)size_of(i));
        e = &i->err;
    }
    if (r < 0)
        fetch_fail(i->f, r, i->err.errnum ? &i->err : e);
}

int item_download(struct item *i, struct err *e)
{
    static const struct registry_fetch_ops ops = {take_data, download_done};
    const struct descriptor *d = i->layer->blob;
    struct registry_blob blob = {
        .digest = d->digest, .size = size_of(i), .offset = i->part.have, .urls = d->urls};

    i->get = registry_fetch_start(i->f->from.registry, i->f->from.ref, &blob, &ops, i, e);
    if (!i->get)
        return -EINVAL;
    i->f->n_gets++;
    return 0;
}

int item_unpack(struct item *i, struct err *e)
{
    struct layer_source src = LAYER_SOURCE_INIT;
    int r = ingest_session(i->f->in, e);

    if (r == 0 && i->stage_fd < 0)
        r = i->stage_fd = ingest_stage_layer(i->f->in, i->stage, e);
    if (r >= 0)
        r = i->grow_fd = layer_grow_open(e);
    if (r < 0)
        return r;
    i->told = 0;
    tell(i);
    src.fd = i->part.fd;
    src.offset = 0;
    src.size = i->layer->blob->size;
    src.number = i->number;
    src.diffid = i->layer->diff_id;
    src.blob = i->layer->blob->digest;
    src.squash_ids = i->f->from.squash_ids;
    src.grow_fd = i->grow_fd;
    r = layer_unpack_start(i->f->in->session, &src, i->stage_fd, &i->job, e);
    if (r == 0) {
        i->unpacking = true;
        i->f->n_jobs++;
    }
    return r;
}

/* Are these the bytes that were asked for? An unpacker that stumbles over wrong ones can only say
 * where. 0 yes, -EBADMSG no, or -errno. */
static int check_bytes(struct item *i, struct err *e)
{
    char have[DIGEST_TEXT_MAX];
    int r = lseek(i->part.fd, 0, SEEK_SET) < 0 ? err_set(e, errno, "read a part file") : 0;

    r = r < 0 ? r : digest_fd_as(i->layer->blob->digest, i->part.fd, have, e);
    if (r < 0 || digest_equal(have, i->layer->blob->digest))
        return r;
    return err_msg(e, EBADMSG, "digest mismatch: what came as blob %s is %s",
                   i->layer->blob->digest, have);
}

/* What an earlier pull left was damaged, by a power cut for one: once more, without it. */
static int begin_again(struct item *i, struct err *e)
{
    int r = part_reset(&i->part, e);

    i->began = 0;
    i->got = false;
    i->told = 0;
    i->r = 0;
    err_clear(&i->err);
    return r;
}

/* The unpacker has failed and all bytes are there. */
static int judge(struct item *i, struct err *e)
{
    int r = i->r == -EBADMSG ? check_bytes(i, e) : 0;

    if (r == -EBADMSG && i->began)
        return begin_again(i, e);
    if (r == 0) {
        *e = i->err;
        r = i->r;
    }
    part_drop(i->f->root_fd, &i->part);
    return r;
}

static int keep(struct item *i, const struct layer_result *res, struct err *e)
{
    const struct descriptor *d = i->layer->blob;
    struct store_blob blob = {d->digest, d->media_type, size_of(i)};
    ingest_tell_notes(res, i->number);
    int r = ingest_keep_layer(i->f->in, i->stage_fd, i->stage, res, &blob, e);

    if (r < 0)
        return r;
    fd_close(&i->stage_fd);
    i->state = ITEM_DONE;
    progress_set(i->f->from.progress, i->bar, PROGRESS_DONE, size_of(i));
    return 0;
}

int item_finish(struct item *i, struct err *e)
{
    struct layer_result res = {0};

    if (i->unpacking) {
        i->unpacking = false;
        i->f->n_jobs--;
        i->r = layer_job_finish(&i->job, &res, &i->err);
        fd_close(&i->grow_fd);
        if (i->r == 0)
            return keep(i, &res, e);
    }
    if (i->r != -EBADMSG || i->got)
        return judge(i, e);
    if (!i->began)
        return 0; /* when all bytes are there one can say whose fault it is */
    if (i->get) {
        registry_fetch_cancel(i->get);
        i->f->n_gets--;
    }
    i->get = NULL;
    return begin_again(i, e);
}

void item_stop(struct item *i, bool drop)
{
    if (i->get)
        registry_fetch_cancel(i->get);
    i->get = NULL;
    if (i->unpacking) {
        struct layer_result unused;
        layer_grow_end(i->grow_fd);
        layer_job_finish(&i->job, &unused, NULL); /* its session has ended */
        i->unpacking = false;
    }
    fd_close(&i->grow_fd);
    fd_close(&i->stage_fd);
    if (drop && i->part.fd >= 0)
        part_drop(i->f->root_fd, &i->part);
    part_release(i->f->root_fd, &i->part);
}
