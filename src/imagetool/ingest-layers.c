/* The unpacking part of ingest. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strv.h"
#include "imagetool/idmap.h"
#include "imagetool/ingest.h"
#include "userns/userns.h"

#define JOBS_MAX 4
#define PIPE_BYTES (1 << 20)

/* One layer under way. */
struct job {
    const struct plan_layer *layer;
    struct layer_job job;
    int fd; /* its staging directory */
    char stage[INGEST_STAGE_MAX];
};

struct pool {
    struct job v[JOBS_MAX];
    size_t n, max;
};

bool store_layer_read(int root_fd, const char *diff_id, struct store_layer *ret)
{
    scoped_free char *dir = xasprintf("layers/%s", image_digest_hex(diff_id));
    scoped_free char *file = xasprintf("%s/layer.json", dir), *tree = xasprintf("%s/diff", dir);
    scoped_free char *text = NULL;
    struct stat st;
    ssize_t n = fs_read(root_fd, file, STORE_ROW_MAX, &text, NULL);
    if (n < 0 || fstatat(root_fd, tree, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return false;
    scoped_json json_t *doc = json_parse(text, (size_t)n, STORE_ROW_MAX, file, NULL);
    struct store_layer info = {0};
    if (!doc || jfield_parse(doc, store_layer_fields, "", &info, NULL) < 0)
        return false;
    if (!streq(info.diff_id, diff_id)) {
        jfield_release(store_layer_fields, &info);
        return false;
    }
    *ret = info;
    return true;
}

static void progress(const struct ingest *in, const char *digest, const char *what)
{
    if (!in->quiet)
        fprintf(stderr, "Copying blob %.19s %s\n", digest, what);
}

int ingest_session(struct ingest *in, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    if (in->session)
        return 0;
    int r = idmap_check(in->conf, in->root_fd, &map, e);
    r = r < 0 ? r : layer_session_open(&map, NULL, &in->session, e);
    if (r == 0) {
        userns_map_release(&in->map);
        in->map = map;
        map = (struct userns_map){0};
    }
    return r;
}

int ingest_stage_layer(struct ingest *in, char ret_stage[static INGEST_STAGE_MAX], struct err *e)
{
    snprintf(ret_stage, INGEST_STAGE_MAX, "L%u", in->n_stages++);
    if (mkdirat(in->stage_fd, ret_stage, 0700) < 0)
        return err_set(e, errno, "create %s/%s", in->pin.name, ret_stage);
    int fd = openat(in->stage_fd, ret_stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "open %s/%s", in->pin.name, ret_stage) : fd;
}

static int make_stage(struct ingest *in, struct job *j, struct err *e)
{
    j->fd = ingest_stage_layer(in, j->stage, e);
    return j->fd < 0 ? j->fd : 0;
}

void ingest_tell_notes(const struct layer_result *res, unsigned number)
{
    for (uint32_t i = 0; i < res->n_notes && i < LAYER_NOTES; i++)
        log_warn("layer %u: %s", number, res->notes[i]);
    if (res->n_notes > LAYER_NOTES)
        log_warn("layer %u: %u more notes", number, res->n_notes - LAYER_NOTES);
}

static void tell_single(struct ingest *in, const struct layer_result *res)
{
    if (!res->squashed_ids || !in->map.single || in->told_single)
        return;
    in->told_single = true;
    log_warn("without subordinate ids every file of an image is yours, whoever its owner was");
}

int ingest_keep_layer(struct ingest *in, int fd, const char *stage, const struct layer_result *res,
                      const struct store_blob *blob, struct err *e)
{
    tell_single(in, res);
    struct store_layer info = {
        .diff_id = xstrdup(res->diffid),
        .bytes = res->file_bytes,
        .files = res->entries,
        .skipped = res->skipped_devices,
        .tar_size = res->tar_bytes,
        .root_opaque = res->root_opaque,
        .implied = res->implied,
        .root_entry = res->root_entry,
    };
    if (blob) {
        info.blobs = xcalloc(1, sizeof(*info.blobs));
        info.n_blobs = 1;
        info.blobs[0] =
            (struct store_blob){xstrdup(blob->digest), xstrdup(blob->media_type), blob->size};
    }
    scoped_json json_t *doc = jfield_emit(store_layer_fields, &info);
    scoped_free char *text = json_text(doc, false);
    int r = fs_write_atomic(fd, "layer.json", text, strlen(text), 0600, FS_NO_SYNC, e);
    if (r == 0)
        ingest_note_layer(in, &info, stage);
    jfield_release(store_layer_fields, &info);
    return r;
}

static int start_job(struct ingest *in, const struct plan_layer *l, unsigned number,
                     struct pool *pool, struct err *e)
{
    struct job *j = &pool->v[pool->n];
    struct layer_source src = LAYER_SOURCE_INIT;
    *j = (struct job){.layer = l, .fd = -1, .job.number = number};
    int r = ingest_session(in, e);
    r = r < 0 ? r : make_stage(in, j, e);
    if (r == 0) {
        src.fd = l->file.fd;
        src.offset = l->file.offset;
        src.size = l->file.size;
        src.number = number;
        src.squash_ids = in->squash_ids;
        src.diffid = l->diff_id;
        src.blob = l->blob;
        src.no_blob = !l->blob;
        r = layer_unpack_start(in->session, &src, j->fd, &j->job, e);
    }
    if (r < 0) {
        fd_close(&j->fd);
        return r;
    }
    pool->n++;
    return 0;
}

/* Takes one ended job out. */
static int end_job(struct ingest *in, struct pool *pool, size_t at, struct err *e)
{
    struct job j = pool->v[at];
    struct layer_result res = {0};
    unsigned number = j.job.number;
    pool->v[at] = pool->v[--pool->n];
    int r = layer_job_finish(&j.job, &res, e);
    if (r == 0) {
        ingest_tell_notes(&res, number);
        r = ingest_keep_layer(in, j.fd, j.stage, &res, NULL, e);
    }
    if (r == 0)
        progress(in, j.layer->blob ? j.layer->blob : j.layer->diff_id, "done");
    close(j.fd);
    return r;
}

/* Waits until one has ended. */
static int wait_job(struct ingest *in, struct pool *pool, struct err *e)
{
    struct pollfd fds[JOBS_MAX];
    for (size_t i = 0; i < pool->n; i++)
        fds[i] = (struct pollfd){.fd = pool->v[i].job.fd, .events = POLLIN};
    while (poll(fds, pool->n, -1) < 0)
        if (errno != EINTR)
            return err_set(e, errno, "wait for a layer");
    for (size_t i = 0; i < pool->n; i++)
        if (fds[i].revents)
            return end_job(in, pool, i, e);
    return 0;
}

static bool under_way(const struct pool *pool, const char *diff_id)
{
    for (size_t i = 0; i < pool->n; i++)
        if (streq(pool->v[i].layer->diff_id, diff_id))
            return true;
    return false;
}

bool ingest_take_present(struct ingest *in, const char *diff_id)
{
    struct store_layer info = {0};
    struct err why = ERR_INIT;
    if (ingest_layer(in, diff_id))
        return true;
    if (!strv_has(in->replace, diff_id) && store_layer_read(in->root_fd, diff_id, &info)) {
        ingest_note_layer(in, &info, NULL);
        return true;
    }
    int r = ingest_take_other(in, diff_id, &why);
    if (r < 0) /* then it comes from where the others come from */
        log_warn("%s", why.msg);
    return r > 0;
}

/* Is there nothing left to do for this layer? */
static bool have_layer(struct ingest *in, const struct pool *pool, const struct plan_layer *l)
{
    if (under_way(pool, l->diff_id) || ingest_layer(in, l->diff_id))
        return true;
    if (!ingest_take_present(in, l->diff_id))
        return false;
    progress(in, l->blob ? l->blob : l->diff_id, "skipped: already exists");
    return true;
}

static int want_layers(struct ingest *in, const struct plan_layer *layers, size_t n, struct err *e)
{
    scoped_free char **ids = xcalloc(n + 1, sizeof(*ids));
    for (size_t i = 0; i < n; i++)
        ids[i] = layers[i].diff_id;
    return ingest_want(in, ids, e);
}

int ingest_layers(struct ingest *in, const struct plan_layer *layers, size_t n, struct err *e)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct pool pool = {.max = cpus < 1 ? 1 : cpus > JOBS_MAX ? JOBS_MAX : (size_t)cpus};
    int r = want_layers(in, layers, n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (have_layer(in, &pool, &layers[i]))
            continue;
        while (r == 0 && pool.n >= pool.max)
            r = wait_job(in, &pool, e);
        if (r == 0)
            r = start_job(in, &layers[i], (unsigned)i + 1, &pool, e);
    }
    while (r == 0 && pool.n)
        r = wait_job(in, &pool, e);
    if (pool.n) { /* the first failure decides; the others are ended with the session */
        layer_session_close(take_ptr(in->session));
        for (size_t i = 0; i < pool.n; i++) {
            struct layer_result unused;
            layer_job_finish(&pool.v[i].job, &unused, NULL);
            close(pool.v[i].fd);
        }
        ingest_session(in, NULL); /* for the removal of what they left */
    }
    return r;
}

/* A layer whose diffID is known only now: taken up, unless the store has it. */
static int keep_stage(struct ingest *in, struct job *j, const struct layer_result *res,
                      char ret_diff_id[static DIGEST_TEXT_MAX], struct err *e)
{
    struct store_layer info = {0};
    int r = store_pin_want_one(&in->pin, res->diffid, e);
    ingest_tell_notes(res, 1);
    if (r < 0)
        return r;
    if (store_layer_read(in->root_fd, res->diffid, &info))
        ingest_note_layer(in, &info, NULL);
    else
        r = ingest_keep_layer(in, j->fd, j->stage, res, NULL, e);
    if (r == 0)
        memcpy(ret_diff_id, res->diffid, DIGEST_TEXT_MAX);
    return r;
}

/* Waits for a layer, but no longer than until a signal comes. */
static int finish_or_end(struct ingest *in, struct layer_job *job, struct layer_result *res,
                         struct err *e)
{
    struct pollfd fds[] = {{.fd = job->fd, .events = POLLIN},
                           {.fd = in->signal_fd, .events = POLLIN}};
    while (poll(fds, N_ELEMENTS(fds), -1) < 0 && errno == EINTR)
        ;
    if (!fds[1].revents)
        return layer_job_finish(job, res, e);
    layer_session_close(take_ptr(in->session));
    (void)layer_job_finish(job, NULL, NULL);
    (void)ingest_session(in, NULL); /* for the removal of what it left */
    return err_msg(e, EINTR, "ended by a signal");
}

int ingest_stream(struct ingest *in, int fd, bool want_whiteouts,
                  char ret_diff_id[static DIGEST_TEXT_MAX], struct err *e)
{
    struct layer_source src = LAYER_SOURCE_INIT;
    struct layer_result res = {0};
    struct layer_job under_way;
    struct job j = {.fd = -1};
    int r = ingest_session(in, e);
    r = r < 0 ? r : make_stage(in, &j, e);
    if (r < 0)
        return r;
    src.fd = fd;
    src.no_blob = true;
    src.squash_ids = in->squash_ids;
    src.want_whiteouts = want_whiteouts;
    r = layer_unpack_start(in->session, &src, j.fd, &under_way, e);
    r = r < 0 ? r : finish_or_end(in, &under_way, &res, e);
    if (r == 0)
        r = keep_stage(in, &j, &res, ret_diff_id, e);
    close(j.fd);
    return r;
}

/* Packed by one process and unpacked by another at the same time: so the layer is what any loader
 * of its tar would get, with the owners of the store. */
static int through_pipe(struct ingest *in, struct layer_session *packer, struct layer_pack *p,
                        int stage_fd, struct layer_result *ret, struct err *e)
{
    struct layer_source src = LAYER_SOURCE_INIT;
    struct layer_result packed = {0};
    struct layer_job from, to;
    struct err late = ERR_INIT;
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    scoped_fd int rd = pair[0], wr = pair[1];
    (void)!fcntl(rd, F_SETPIPE_SZ, PIPE_BYTES); /* only faster */
    p->out_fd = wr;
    p->flags |= LAYER_PACK_SECONDS | LAYER_PACK_NO_DIGEST; /* the reader hashes it */
    int r = layer_pack_start(packer, p, &from, e);
    fd_close(&wr);
    if (r < 0)
        return r;
    src.fd = rd;
    src.no_blob = true;
    r = layer_unpack_start(in->session, &src, stage_fd, &to, e);
    fd_close(&rd);
    if (r == 0)
        r = layer_job_finish(&to, ret, e);
    int q = layer_job_finish(&from, &packed, &late);
    if (q < 0 && late.errnum != EPIPE) {
        *e = late; /* the other one has only missed the end */
        return q;
    }
    for (uint32_t i = 0; i < packed.n_notes && i < LAYER_NOTES; i++)
        log_warn("%s", packed.notes[i]);
    return r;
}

int ingest_tree(struct ingest *in, struct layer_pack *p, const struct userns_map *map, int userns,
                char ret_diff_id[static DIGEST_TEXT_MAX], struct err *e)
{
    scoped_userns_map struct userns_map stored = {0};
    SCOPED(layer_session_scoped) struct layer_session *own = NULL;
    struct layer_result res = {0};
    struct job j = {.fd = -1};
    int r = ingest_session(in, e);
    r = r < 0 ? r : idmap_stored(in->conf, &stored, e);
    if (r == 0 && (userns >= 0 || !userns_map_equal(&stored, map)))
        r = layer_session_join(userns, map, NULL, &own, e);
    r = r < 0 ? r : make_stage(in, &j, e);
    if (r < 0)
        return r;
    r = through_pipe(in, own ? own : in->session, p, j.fd, &res, e);
    if (r == 0)
        r = keep_stage(in, &j, &res, ret_diff_id, e);
    close(j.fd);
    return r;
}

int ingest_present(struct ingest *in, const char *diff_id, struct err *e)
{
    struct store_layer info = {0};
    if (ingest_layer(in, diff_id))
        return 0;
    int r = store_pin_want_one(&in->pin, diff_id, e);
    if (r < 0)
        return r;
    if (store_layer_read(in->root_fd, diff_id, &info)) {
        ingest_note_layer(in, &info, NULL);
        return 0;
    }
    r = ingest_take_other(in, diff_id, e);
    if (r != 0)
        return r < 0 ? r : 0;
    return err_hint(e, err_msg(e, EUCLEAN, "layer %.19s is missing or damaged", diff_id),
                    "load the container's image again");
}
