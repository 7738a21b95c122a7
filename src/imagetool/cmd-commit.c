/* commit-tree: what `rootlet commit` hands over becomes an image. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "events/events.h"
#include "imagetool/change.h"
#include "imagetool/imagetool.h"
#include "imagetool/ingest.h"
#include "imagetool/request.h"

/* The configuration that the container's image has, exactly as it was loaded. */
static int read_base(const struct conf *c, const char *id, json_t **ret, struct err *e)
{
    scoped_free char *text = NULL;
    char digest[DIGEST_TEXT_MAX];
    ssize_t n = store_blob_read(c, id, &text, e);
    if (n < 0)
        return (int)n;
    if (digest_data(text, (size_t)n, digest) < 0 || !streq(digest, id))
        return err_msg(e, EUCLEAN, "the configuration of image %.19s is damaged", id);
    *ret = json_parse(text, (size_t)n, STORE_BLOB_MAX, "image configuration", e);
    return *ret ? 0 : -EINVAL;
}

static int apply_changes(const struct request *q, json_t *config, struct err *e)
{
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(q->doc, "changes"), i, one)
    {
        int r = change_apply(config, json_string_value(one), e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Makes the base's document the new image's, all but the digest of the new layer. */
static void make_document(const struct request *q, json_t *doc, json_t *config)
{
    /* What docker noted of the container that the base was committed from. */
    static const char *const old[] = {"container", "container_config", "docker_version",
                                      "id",        "parent",           "throwaway"};
    const bool squash = json_is_true(json_object_get(q->doc, "squash"));
    const char *author = request_text(q, "author"), *base = request_text(q, "base");
    char created[40];
    for (size_t i = 0; i < N_ELEMENTS(old); i++)
        json_object_del(doc, old[i]);
    time_creation(created, sizeof(created));
    json_object_set_new(doc, "created", json_string(created));
    json_object_set(doc, "config", config);
    if (author)
        json_object_set_new(doc, "author", json_string(author));
    if (json_is_true(json_object_get(q->doc, "docker")) && !squash)
        json_object_set_new(doc, "parent", json_string(base));
    json_t *history = json_object_get(doc, "history");
    if (squash || !json_is_array(history)) {
        history = json_array();
        json_object_set_new(doc, "history", history);
    }
    json_t *entry =
        json_pack("{s:s,s:s}", "created", created, "created_by", request_text(q, "created_by"));
    if (author)
        json_object_set_new(entry, "author", json_string(author));
    if (request_text(q, "message"))
        json_object_set(entry, "comment", json_object_get(q->doc, "message"));
    json_array_append_new(history, entry);
    json_object_set_new(
        doc, "rootfs",
        json_pack("{s:s,s:O}", "type", "layers", "diff_ids", json_object_get(q->doc, "layers")));
}

/* A removal renames the container's directory before it takes anything out of it. */
static int check_still_there(const struct ingest *in, const char *id, struct err *e)
{
    scoped_free char *path = xasprintf("containers/%s/container.json", id);
    if (faccessat(in->root_fd, path, F_OK, 0) == 0)
        return 0;
    return err_msg(e, ENOENT, "it was removed while it was read");
}

static int add_layers(struct request *q, struct ingest *in, json_t *doc, struct err *e)
{
    json_t *ids = json_object_get(json_object_get(doc, "rootfs"), "diff_ids"), *id;
    struct layer_pack pack = request_pack(q);
    char diff_id[DIGEST_TEXT_MAX];
    size_t i;
    json_array_foreach(ids, i, id)
    {
        int r = ingest_present(in, json_string_value(id), e);
        if (r < 0)
            return r;
    }
    int r = ingest_tree(in, &pack, &q->map, q->userns, diff_id, e);
    request_let_go(q);
    r = r < 0 ? r : check_still_there(in, request_text(q, "container"), e);
    if (r == 0)
        json_array_append_new(ids, json_string(diff_id));
    return r;
}

/* Before the work: a path that cannot be written must not end a commit that is done. */
static int open_id_file(const struct request *q, int *ret, struct err *e)
{
    const char *path = request_text(q, "iidfile");
    if (path)
        *ret = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    return path && *ret < 0 ? err_set(e, errno, "open %s", path) : 0;
}

static int write_id(const struct request *q, int fd, const char *id, struct err *e)
{
    int r = fd < 0 ? 0 : ftruncate(fd, 0) < 0 && errno != EINVAL ? -errno : 0;
    if (r == 0 && fd >= 0)
        r = fs_write_all(fd, id, strlen(id));
    return r < 0 ? err_set(e, -r, "write %s", request_text(q, "iidfile")) : 0;
}

static int commit(struct request *q, const struct conf *c, struct err *e)
{
    SCOPED(ingest_close) struct ingest in = INGEST_INIT;
    SCOPED(image_plan_release) struct image_plan plan = {0};
    scoped_json json_t *doc = NULL;
    json_t *config = json_object_get(q->doc, "config");
    scoped_fd int id_file = -1;
    int r = apply_changes(q, config, e);
    r = r < 0 ? r : open_id_file(q, &id_file, e);
    r = r < 0 ? r : ingest_open(c, true, &in, e);
    r = r < 0 ? r : read_base(c, request_text(q, "base"), &doc, e);
    if (r < 0)
        return r;
    make_document(q, doc, config);
    r = add_layers(q, &in, doc, e);
    r = r < 0 ? r : plan_made(&in, doc, json_is_true(json_object_get(q->doc, "docker")), &plan, e);
    if (r == 0 && request_text(q, "name"))
        r = plan_add_name(&plan, request_text(q, "name"), e);
    r = r < 0 ? r : ingest_image(&in, &plan, e);
    r = r < 0 ? r : ingest_commit(&in, e);
    if (r < 0)
        return r;
    puts(plan.id);
    scoped_free char *full = plan.n_names ? image_ref_text(&plan.names[0]) : NULL;
    event_named(c, "image", "commit", image_digest_hex(plan.id), full);
    return write_id(q, id_file, plan.id, e);
}

static int run_commit(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    SCOPED(request_release) struct request q = REQUEST_INIT;
    scoped_conf struct conf conf = {0};
    (void)cmd;
    (void)opts;
    int r = request_read(args, &q, e);
    r = r < 0 ? r : conf_load(NULL, &conf, e);
    r = r < 0 ? r : commit(&q, &conf, e);
    request_let_go(&q);
    return r < 0 ? err_add(e, r, "commit %s", request_text(&q, "typed")) : 0;
}

const struct cmd imagetool_commit_cmds[] = {
    {.name = "commit-tree",
     .summary = "Make the image of 'rootlet commit'",
     .min_args = 4,
     .max_args = 5,
     .flags = CMD_HIDDEN,
     .run = run_commit},
    {NULL},
};
