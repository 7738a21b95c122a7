/* unpack - the pipeline of a worker: one thread reads, hashes and decompresses, the other hashes,
 * parses and writes. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "layer/decompress.h"
#include "layer/digest.h"
#include "layer/job.h"
#include "layer/ring.h"
#include "layer/sandbox.h"
#include "layer/split.h"
#include "layer/tree.h"

#define RATIO_FROM ((uint64_t)1 << 30) /* small layers may well shrink a lot */

struct unpack {
    const struct layer_task *task;
    struct layer_result *res;
    struct ring ring;

    /* The reading thread's */
    struct decompress *decompress;
    struct digest *blob; /* or NULL */
    uint64_t in_bytes, out_bytes;
    uint64_t there; /* bytes of a growing file */
    int64_t in_at;  /* for pread, -1: none */

    /* The writing thread's */
    struct archive *archive;
    struct digest *diff;
    struct split_writer *split;
    struct tree tree;
    const struct ring_block *block; /* what libarchive holds now */
    uint64_t block_start;           /* its offset in the tar */
    uint64_t split_at;              /* the tar is in split up to here */
    bool tail_zero;                 /* the last block ends in an end-of-archive block */
    bool padded;                    /* the padding was handed out */
    struct layer_entry entry;
    struct err read_err; /* of a failed read callback, 0: none */
    int read_r;
};

/* How much of size can be read of a growing file, waiting until there is something. */
static int wait_growth(struct unpack *u, size_t *size, struct err *e)
{
    uint64_t more;

    while (u->there == u->in_bytes) {
        ssize_t n = read(u->task->grow_fd, &more, sizeof(more));
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof(more))
            return err_set(e, n < 0 ? errno : EPROTO, "wait for the download");
        if (more >= LAYER_GROW_END)
            return err_msg(e, ECANCELED, "the download has ended early");
        u->there += more;
    }
    if (*size > u->there - u->in_bytes)
        *size = (size_t)(u->there - u->in_bytes);
    return 0;
}

/* decompress_input: the blob, hashed on its way, never more than its size. */
static ssize_t read_blob(void *data, void *buf, size_t size, struct err *e)
{
    struct unpack *u = data;
    const struct layer_request *q = u->task->req;
    ssize_t n;

    if (q->size >= 0 && size > (uint64_t)q->size - u->in_bytes)
        size = (size_t)((uint64_t)q->size - u->in_bytes);
    if (size == 0)
        return 0;
    if (q->grows && wait_growth(u, &size, e) < 0)
        return -e->errnum;
    do {
        n = u->in_at >= 0 ? pread(u->task->io_fd, buf, size, u->in_at)
                          : read(u->task->io_fd, buf, size);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(e, errno, "read the layer");
    if (n == 0 && q->size >= 0)
        return err_msg(e, EBADMSG, "the layer ends after %llu of %lld bytes",
                       (unsigned long long)u->in_bytes, (long long)q->size);
    u->in_bytes += (uint64_t)n;
    if (u->in_at >= 0)
        u->in_at += n;
    if (u->blob && digest_add(u->blob, buf, (size_t)n) < 0)
        return err_set(e, EIO, "hash the layer");
    return n;
}

static int check_growth(struct unpack *u, struct err *e)
{
    const struct layer_limits *l = &u->task->env->limits;

    if (l->max_tar_bytes && u->out_bytes > l->max_tar_bytes)
        return err_msg(e, EFBIG, "the layer is larger than the limit of %llu bytes",
                       (unsigned long long)l->max_tar_bytes);
    if (u->out_bytes > RATIO_FROM && u->out_bytes / l->max_ratio > u->in_bytes)
        return err_msg(e, EFBIG, "the layer grows more than %u times when decompressed",
                       l->max_ratio);
    return 0;
}

static void *read_thread(void *data)
{
    struct unpack *u = data;
    struct err e = ERR_INIT;
    int r = 0;

    for (;;) {
        struct ring_block *b = ring_begin_fill(&u->ring);
        ssize_t n = b ? decompress_read(u->decompress, b->data, RING_BLOCK_SIZE, &e) : 0;
        if (n <= 0) {
            r = (int)n;
            break;
        }
        u->out_bytes += (uint64_t)n;
        r = check_growth(u, &e);
        if (r < 0)
            break;
        ring_end_fill(&u->ring, (size_t)n);
    }
    ring_finish(&u->ring, r, &e);
    return NULL;
}

/* Puts the tar's bytes up to an offset within the current block into headers.zst. */
static int split_up_to(struct unpack *u, uint64_t offset, struct err *e)
{
    const uint8_t *p = u->block->data + (u->split_at - u->block_start);
    int r = u->split ? split_raw(u->split, p, (size_t)(offset - u->split_at), e) : 0;

    u->split_at = offset;
    return r;
}

/* The next block in u->block, NULL at the end. All of the previous one that was not told to be file
 * content by now is something else: libarchive asks for more only when it has used up what it has.
 */
static int next_block(struct unpack *u, struct err *e)
{
    const struct ring_block *b = NULL;
    int r = 0;

    if (u->block) {
        r = split_up_to(u, u->block_start + u->block->len, e);
        u->block_start += u->block->len;
    }
    if (r == 0)
        r = ring_next(&u->ring, u->block != NULL, &b, e);
    u->block = r > 0 ? b : NULL;
    if (!u->block)
        return r;
    u->res->tar_bytes += u->block->len;
    u->tail_zero = b->len >= 512 && b->data[b->len - 512] == 0 &&
                   memcmp(b->data + b->len - 512, b->data + b->len - 511, 511) == 0;
    return digest_add(u->diff, b->data, b->len) < 0 ? err_set(e, EIO, "hash the layer") : 0;
}

/* What fills the last block of a tar whose writer left the padding away (umoci does). */
static const uint8_t padding[512];

static la_ssize_t archive_block(struct archive *a, void *data, const void **ret)
{
    struct unpack *u = data;

    if (u->read_r == 0)
        u->read_r = next_block(u, &u->read_err);
    if (u->read_r < 0) {
        archive_set_error(a, -u->read_r, "%s", u->read_err.msg);
        return -1;
    }
    if (!u->block) {
        size_t over = u->padded ? 0 : (size_t)(u->res->tar_bytes % sizeof(padding));
        u->padded = true;
        *ret = padding;
        return over ? (la_ssize_t)(sizeof(padding) - over) : 0;
    }
    *ret = u->block->data;
    return (la_ssize_t)u->block->len;
}

/* The error of a failed libarchive call. */
static int archive_failed(struct unpack *u, struct err *e)
{
    const char *why = archive_error_string(u->archive);

    if (u->read_r < 0) {
        *e = u->read_err;
        return u->read_r;
    }
    return err_msg(e, EBADMSG, "damaged tar archive: %.200s", why ? why : "unknown");
}

/* One piece of content: written, and when it lies in libarchive's current block, where nearly all
 * does, kept out of headers.zst. */
static int write_piece(struct unpack *u, const uint8_t *p, size_t n, uint64_t offset, struct err *e)
{
    const uint8_t *start = u->block ? u->block->data : NULL;
    uint64_t at;
    if (p >= padding && p < padding + sizeof(padding))
        return err_msg(e, EBADMSG, "damaged tar archive: it is cut off within a file");
    int r = tree_file_write(&u->tree, p, n, offset, e);

    if (r < 0 || !u->split || !start || p < start || p + n > start + u->block->len)
        return r;
    at = u->block_start + (uint64_t)(p - start);
    if (at < u->split_at)
        return 0;
    r = split_up_to(u, at, e);
    if (r == 0)
        r = split_content(u->split, u->tree.file_id, u->tree.file_path, offset, n, e);
    u->split_at = at + n;
    return r;
}

static int write_content(struct unpack *u, struct err *e)
{
    uint64_t next = 0;

    for (;;) {
        const void *p;
        size_t n;
        la_int64_t offset;
        int r = archive_read_data_block(u->archive, &p, &n, &offset);
        if (r == ARCHIVE_EOF)
            break;
        if (r != ARCHIVE_OK)
            return archive_failed(u, e);
        /* Pieces that overlap would hide what the tar held: it could not be rebuilt. */
        if (offset < 0 || (uint64_t)offset < next)
            return err_msg(e, EBADMSG, "damaged sparse map");
        next = (uint64_t)offset + n;
        r = n ? write_piece(u, p, n, (uint64_t)offset, e) : 0;
        if (r < 0)
            return r;
    }
    return tree_file_end(&u->tree, &u->entry, e);
}

static int do_entry(struct unpack *u, struct archive_entry *raw, struct err *e)
{
    const struct layer_limits *l = &u->task->env->limits;
    int r;

    if (++u->res->entries > l->max_entries)
        return err_msg(e, EFBIG, "the layer has more than %llu entries",
                       (unsigned long long)l->max_entries);
    r = entry_from_archive(raw, u->task->req->lenient, &u->entry, e);
    if (r == 0)
        r = tree_add(&u->tree, &u->entry, e);
    if (r == 0 && u->tree.file_fd >= 0)
        r = write_content(u, e);
    return r;
}

static int name_entry(unsigned number, struct archive_entry *raw, int r, struct err *e)
{
    const char *name = archive_entry_pathname(raw);

    if (number)
        return err_add(e, r, "layer %u entry \"%.300s\"", number, name ? name : "?");
    return err_add(e, r, "entry \"%.300s\"", name ? name : "?");
}

static int name_layer(unsigned number, int r, struct err *e)
{
    return number && r < 0 ? err_add(e, r, "layer %u", number) : r;
}

/* All entries, then the rest of the stream: it counts for the diffID. */
static int do_archive(struct unpack *u, struct err *e)
{
    const unsigned number = u->task->req->number;
    struct archive_entry *raw;
    int r = 0;

    if (archive_read_open(u->archive, u, NULL, archive_block, NULL) != ARCHIVE_OK)
        return name_layer(number, archive_failed(u, e), e);
    for (;;) {
        int a = archive_read_next_header(u->archive, &raw);
        if (a == ARCHIVE_EOF)
            break;
        if (a != ARCHIVE_OK && a != ARCHIVE_WARN) {
            r = archive_failed(u, e);
            if (u->res->entries)
                err_add(e, r, "after entry \"%.300s\"", u->entry.path);
            return name_layer(number, r, e);
        }
        r = do_entry(u, raw, e);
        if (r < 0)
            return name_entry(number, raw, r, e);
    }
    while (r == 0 && u->block)
        r = next_block(u, e);
    if (r == 0 && !u->tail_zero && !u->task->req->diffid[0]) /* else the digest vouches for it */
        tree_note(u->res, "the tar has no end-of-archive blocks: it may be incomplete");
    if (r == 0)
        r = tree_finish(&u->tree, e);
    if (r == 0 && u->task->list_fd >= 0)
        r = tree_write_implied(&u->tree, u->task->list_fd, e);
    return name_layer(number, r, e);
}

static int check_digest(const char *what, const char *have, const char *want, struct err *e)
{
    if (!want[0] || digest_equal(have, want))
        return 0;
    return err_msg(e, EBADMSG, "its %s is %s, expected %s", what, have, want);
}

static int finish(struct unpack *u, struct err *e)
{
    const struct layer_request *q = u->task->req;
    struct layer_result *res = u->res;

    if (digest_end(u->diff, res->diffid) < 0 || (u->blob && digest_end(u->blob, res->blob) < 0))
        return err_set(e, EIO, "hash the layer");
    res->blob_bytes = u->in_bytes;
    snprintf(res->compression, sizeof(res->compression), "%s", decompress_name(u->decompress));
    if (check_digest("blob digest", res->blob, q->blob, e) < 0 ||
        check_digest("diffID", res->diffid, q->diffid, e) < 0)
        return -e->errnum;
    if (res->squashed_ids && !u->tree.map->single) /* else it is told once for all layers */
        tree_note(res, "%llu owners outside the id range were replaced by root",
                  (unsigned long long)res->squashed_ids);
    return u->split ? split_end(u->split, res->tar_bytes, e) : 0;
}

/* Everything that needs memory of unusual size or the world outside, before the confinement. */
static int prepare(struct unpack *u, struct err *e)
{
    const struct layer_task *t = u->task;
    const struct layer_request *q = t->req;
    int r;

    ring_init(&u->ring);
    u->in_at = q->offset;
    u->decompress = decompress_new(read_blob, u);
    u->archive = archive_read_new();
    if (!u->archive || archive_read_support_format_tar(u->archive) != ARCHIVE_OK)
        return err_set(e, ENOMEM, "start the archive reader");
    r = q->no_blob ? 0 : digest_new(q->blob[0] ? q->blob : NULL, &u->blob, e);
    if (r == 0)
        r = digest_new(q->diffid[0] ? q->diffid : NULL, &u->diff, e);
    if (r == 0)
        r = tree_init(&u->tree, t->diff_fd, t->replaced_fd, e);
    if (r < 0)
        return r;
    u->split = q->keep_headers ? split_writer_new(t->headers_fd) : NULL;
    u->tree.map = &t->env->map;
    u->tree.limits = &t->env->limits;
    u->tree.more_ids = &t->env->more_ids;
    u->tree.squash = q->squash_ids;
    u->tree.want_whiteouts = q->want_whiteouts;
    u->tree.split = u->split;
    u->tree.result = u->res;
    return 0;
}

static void release(struct unpack *u)
{
    archive_read_free(u->archive);
    tree_release(&u->tree);
    split_writer_free(u->split);
    digest_free(u->diff);
    digest_free(u->blob);
    decompress_free(u->decompress);
    ring_release(&u->ring);
}

static struct unpack *unpack_new(const struct layer_task *task, struct layer_result *res)
{
    struct unpack *u = xcalloc(1, sizeof(*u));

    u->task = task;
    u->res = res;
    u->tree.parent.fd = u->tree.file_fd = -1;
    return u;
}

/* Both threads' work, until the layer is done. The reading thread may still run afterwards. */
static int run_pipeline(struct unpack *u, pthread_t *ret_thread, struct err *e)
{
    int r = -pthread_create(ret_thread, NULL, read_thread, u);

    if (r < 0)
        return err_set(e, -r, "start a thread");
    r = do_archive(u, e);
    if (r == 0)
        r = name_layer(u->task->req->number, finish(u, e), e);
    ring_stop(&u->ring);
    return r;
}

int unpack_run(const struct layer_task *task, struct layer_result *res, struct err *e)
{
    struct unpack *u = unpack_new(task, res);
    pthread_t thread;
    int r = prepare(u, e);

    if (r == 0)
        r = layer_sandbox_enter(task->dir_fd, task->env->limits.max_file_bytes, task->env->filter,
                                e);
    /* Nothing is released, for the process ends now; the thread may sit in a read that never
     * returns. */
    return r < 0 ? r : run_pipeline(u, &thread, e);
}

int unpack_unconfined(const struct layer_task *task, struct layer_result *res, struct err *e)
{
    struct unpack *u = unpack_new(task, res);
    pthread_t thread;
    int r = prepare(u, e);

    if (r == 0) {
        r = run_pipeline(u, &thread, e);
        pthread_join(thread, NULL);
    }
    release(u);
    free(u);
    return r;
}
