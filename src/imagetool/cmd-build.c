/* build-image: what a step of rootlet-build hands over becomes an image. The builder has made the
 * whole configuration; only the digest of a new layer is added here. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "events/events.h"
#include "image/pin.h"
#include "imagetool/imagetool.h"
#include "imagetool/ingest.h"
#include "imagetool/manifest.h"
#include "imagetool/request.h"

static int present_layers(struct ingest *in, const json_t *ids, struct err *e)
{
    const json_t *id;
    size_t i;
    int r = 0;
    json_array_foreach(ids, i, id)
    {
        if (r == 0)
            r = ingest_present(in, json_string_value(id), e);
    }
    return r;
}

/* The new layer: a tar to be unpacked ("stream"), a tree of a container, or none. */
static int add_layer(struct request *q, struct ingest *in, json_t *ids, struct err *e)
{
    char diff_id[DIGEST_TEXT_MAX];
    const json_t *newest = json_object_get(q->doc, "max_mtime");
    struct layer_pack pack = request_pack(q);
    int r;
    if (q->tree < 0)
        return 0;
    if (newest)
        pack.max_mtime = json_integer_value(newest);
    if (json_is_true(json_object_get(q->doc, "stream")))
        r = ingest_stream(in, q->tree, true, diff_id, e);
    else
        r = ingest_tree(in, &pack, &q->map, q->userns, diff_id, e);
    if (r == 0)
        json_array_append_new(ids, json_string(diff_id));
    return r;
}

/* Annotations stand in a manifest only. */
static void annotate(const struct request *q, const struct ingest *in, struct image_plan *p)
{
    const json_t *annotations = json_object_get(q->doc, "annotations");
    if (p->manifest || !json_object_size(annotations))
        return;
    scoped_free struct plain_layer *plain = xcalloc(p->n_layers + 1, sizeof(*plain));
    for (size_t i = 0; i < p->n_layers; i++) {
        const struct store_layer *l = ingest_layer(in, p->layers[i].diff_id);
        plain[i] =
            (struct plain_layer){.diff_id = p->layers[i].diff_id, .tar_size = l ? l->tar_size : 0};
    }
    scoped_free char *text = manifest_make(p->id, p->config_len, plain, p->n_layers, NULL);
    scoped_json json_t *doc = json_parse(text, strlen(text), STORE_BLOB_MAX, "manifest", NULL);
    json_object_set(doc, "annotations", (json_t *)(uintptr_t)annotations);
    p->manifest = json_text(doc, false);
    p->manifest_len = strlen(p->manifest);
}

static int make_plan(const struct request *q, const struct ingest *in, const json_t *doc,
                     struct image_plan *p, struct err *e)
{
    const json_t *one;
    size_t i;
    int r = plan_made(in, doc, json_is_true(json_object_get(q->doc, "docker")), p, e);
    if (r < 0)
        return r;
    annotate(q, in, p);
    p->intermediate = json_is_true(json_object_get(q->doc, "intermediate"));
    json_array_foreach(json_object_get(q->doc, "names"), i, one)
    {
        if (r == 0)
            r = plan_add_name(p, json_string_value(one), e);
    }
    return r;
}

static void tell(const struct request *q, const struct conf *c, const struct image_plan *p)
{
    puts(p->id);
    for (size_t i = 0; i < p->n_names; i++) {
        scoped_free char *full = image_ref_text(&p->names[i]);
        event_named(c, "image", "build", image_digest_hex(p->id), full);
    }
    if (!p->n_names && !json_is_true(json_object_get(q->doc, "intermediate")))
        event_named(c, "image", "build", image_digest_hex(p->id), NULL);
}

/* The builder relies on the image from the moment in which it is there. */
static int pin_for_builder(const struct request *q, const struct ingest *in, const char *id,
                           struct err *e)
{
    const char *name = json_string_value(json_object_get(q->doc, "pin"));
    const char *own = name ? str_after(name, "ingest/build.") : NULL;
    struct store_pin pin = {.root_fd = in->root_fd};
    if (!name)
        return 0;
    if (!own || strspn(own, "0123456789abcdef") != strlen(own) || strlen(name) >= sizeof(pin.name))
        return err_msg(e, EINVAL, "%s: no pin of a build", name);
    scoped_fd int fd = openat(in->root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "the build that wants the image has ended: %s", name);
    pin.fd = fd;
    snprintf(pin.name, sizeof(pin.name), "%s", name);
    return store_pin_want_one(&pin, id, e);
}

static int build(struct request *q, const struct conf *c, int signals, struct err *e)
{
    SCOPED(ingest_close) struct ingest in = INGEST_INIT;
    SCOPED(image_plan_release) struct image_plan plan = {0};
    json_t *doc = json_object_get(q->doc, "document");
    json_t *ids = json_object_get(json_object_get(doc, "rootfs"), "diff_ids");
    if (!json_is_array(ids))
        return err_msg(e, EINVAL, "the request has no list of layers");
    int r = ingest_open(c, true, &in, e);
    in.signal_fd = signals;
    in.squash_ids = json_is_true(json_object_get(q->doc, "squash_ids"));
    r = r < 0 ? r : present_layers(&in, ids, e);
    r = r < 0 ? r : add_layer(q, &in, ids, e);
    r = r < 0 ? r : make_plan(q, &in, doc, &plan, e);
    r = r < 0 ? r : ingest_image(&in, &plan, e);
    r = r < 0 ? r : pin_for_builder(q, &in, plan.id, e);
    r = r < 0 ? r : ingest_commit(&in, e);
    if (r == 0)
        tell(q, c, &plan);
    return r;
}

/* What ends the builder ends us in order: a step may be large. */
static int signals_open(struct err *e)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "signalfd") : fd;
}

static int run_build(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    SCOPED(request_release) struct request q = REQUEST_INIT;
    scoped_conf struct conf conf = {0};
    (void)cmd;
    (void)opts;
    int r = request_read(args, &q, e);
    r = r < 0 ? r : conf_load(NULL, &conf, e);
    scoped_fd int signals = r < 0 ? r : signals_open(e);
    return signals < 0 ? signals : build(&q, &conf, signals, e);
}

const struct cmd imagetool_build_cmds[] = {
    {.name = "build-image",
     .summary = "Make the image of a step of 'rootlet build'",
     .min_args = 4,
     .max_args = 5,
     .flags = CMD_HIDDEN,
     .run = run_build},
    {NULL},
};
