/* finish - what the target stage has become gets its names, and goes where it is wanted. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/build.h"
#include "image/ref.h"
#include "image/rows.h"

static void set_labels(struct build *b, struct state *st)
{
    json_t *labels = json_object_get(state_config(st), "Labels");
    if (!b->o->labels)
        return;
    if (!json_is_object(labels)) {
        labels = json_object();
        json_object_set_new(state_config(st), "Labels", labels);
    }
    for (char **l = b->o->labels; *l; l++) {
        const char *eq = strchr(*l, '=');
        scoped_free char *key = eq ? xstrndup(*l, (size_t)(eq - *l)) : xstrdup(*l);
        json_object_set_new(labels, key, json_from_bytes(eq ? eq + 1 : ""));
    }
    st->dirty = true;
}

static json_t *annotations(const struct build *b)
{
    json_t *all = json_object();
    for (char **a = b->o->annotations; a && *a; a++) {
        const char *eq = strchr(*a, '=');
        scoped_free char *key = xstrndup(*a, eq ? (size_t)(eq - *a) : strlen(*a));
        json_object_set_new(all, key, json_from_bytes(eq ? eq + 1 : ""));
    }
    return all;
}

static json_t *final_request(struct build *b, const struct state *st)
{
    json_t *request = json_object(), *doc = json_deep_copy(st->doc);
    char created[64];
    state_created(b, created, sizeof(created));
    json_object_set_new(doc, "created", json_string(created));
    json_object_set_new(request, "document", doc);
    json_object_set_new(request, "docker", json_boolean(b->docker));
    json_object_set_new(request, "annotations", annotations(b));
    json_object_set_new(request, "names", json_from_strv(b->o->tags));
    json_object_set_new(request, "pin", json_string(b->pin.name));
    return request;
}

/* An image of the same layers with a configuration of its own. */
static int make_image(struct build *b, const json_t *request, char **ret_id, struct err *e)
{
    scoped_free char *text = json_text(request, false);
    scoped_fd int doc = memfd_create("request", MFD_CLOEXEC);
    scoped_free char *arg = xasprintf("%d", doc);
    char *argv[] = {(char *)"rootlet-image",
                    (char *)"build-image",
                    arg,
                    (char *)"-",
                    (char *)"-",
                    (char *)"-",
                    NULL};
    const int fds[] = {doc};
    const struct child c = {
        .argv = argv, .out = -1, .err = -1, .ret_out = ret_id, .fds = fds, .n_fds = 1};
    int r = doc < 0 ? -errno : fs_write_all(doc, text, strlen(text));
    if (r < 0)
        return err_set(e, -r, "write the request");
    r = child_run(b, &c, e);
    return r > 0 ? -EIO : r;
}

static int tag(struct build *b, const char *id, struct err *e)
{
    scoped_strv char **argv = NULL;
    if (!b->o->tags)
        return 0;
    strv_add(&argv, "rootlet-image");
    strv_add(&argv, "tag");
    strv_add(&argv, id);
    strv_extend(&argv, b->o->tags);
    return child_text(b, argv, NULL, e);
}

/* All files of the result as one layer. */
static int squash(struct build *b, struct state *st, char **ret_id, struct err *e)
{
    char *words[] = {(char *)"true", NULL};
    scoped_json json_t *request = final_request(b, st);
    json_t *doc = json_object_get(request, "document");
    scoped_free char *name = NULL;
    if (!st->image)
        return make_image(b, request, ret_id, e);
    json_object_set_new(json_object_get(doc, "rootfs"), "diff_ids", json_array());
    json_object_set_new(doc, "history", json_array());
    state_history(b, doc, "rootlet build --squash-all", false);
    if (b->epoch >= 0)
        json_object_set_new(request, "max_mtime", json_integer(b->epoch));
    int r = step_container(b, st->image, NULL, words, &name, e);
    if (r == 0) {
        r = step_commit(b, name, request, true, ret_id, e);
        step_container_end(b, name);
    }
    return r;
}

/* The last step is the result: from now on it is an image like others, which images shows and
 * builder prune leaves, with a name or without. */
static int step_is_result(struct build *b, struct state *st, struct err *e)
{
    SCOPED(store_image_release) struct store_image row = {0};
    scoped_free char *id = NULL;
    int r = store_row_read(b->conf, image_digest_hex(st->image), &row, e);
    if (r < 0 || !row.intermediate)
        return r < 0 ? r : tag(b, st->image, e);
    scoped_json json_t *request = final_request(b, st);
    json_object_set(request, "document", st->doc); /* with its time: it stays the image it is */
    r = make_image(b, request, &id, e);
    if (r == 0 && !streq(id, st->image))
        r = tag(b, st->image, e);
    return r;
}

/* A configuration that was made the last time comes again, with its times. */
static int image_of(struct build *b, struct state *st, char **ret_id, struct err *e)
{
    char key[DIGEST_TEXT_MAX];
    scoped_json json_t *request = NULL;
    char *const more[] = {(char *)"image", NULL};
    bool plain = !b->o->annotations;
    if (b->o->squash_all || b->o->squash)
        return squash(b, st, ret_id, e);
    if (!st->dirty && plain) {
        *ret_id = xstrdup(st->image);
        return step_is_result(b, st, e);
    }
    int r = cache_key(b, st, more, key, e);
    r = r < 0 || !plain ? r : cache_get(b, key, st, e);
    if (r == 1) {
        *ret_id = xstrdup(st->image);
        return tag(b, st->image, e);
    }
    request = final_request(b, st);
    r = r < 0 ? r : make_image(b, request, ret_id, e);
    if (r == 0 && plain)
        cache_put(b, key, *ret_id);
    return r;
}

/* --- OUTPUT --- */

static int save(struct build *b, const char *format, const char *dest, const char *id,
                struct err *e)
{
    scoped_strv char **argv = NULL;
    strv_add(&argv, "rootlet-image");
    strv_add(&argv, "save");
    strv_addf(&argv, "--format=%s", format);
    strv_addf(&argv, "--output=%s", dest);
    strv_add(&argv, b->o->tags ? b->o->tags[0] : id);
    return child_text(b, argv, NULL, e);
}

static int export_files(struct build *b, bool local, const char *dest, const char *id,
                        struct err *e)
{
    char *words[] = {(char *)"true", NULL};
    scoped_free char *name = NULL;
    int r = step_container(b, id, NULL, words, &name, e);
    if (r < 0)
        return r;
    scoped_free char *from = xasprintf("%s:/.", name), *to = xasprintf("--output=%s", dest);
    char *tar[] = {(char *)"rootlet", (char *)"export", to, name, NULL};
    char *copy[] = {(char *)"rootlet", (char *)"cp", from, (char *)dest, NULL};
    if (local)
        r = fs_mkdirs(dest, 0755, e);
    r = r < 0 ? r : child_text(b, local ? copy : tar, NULL, e);
    step_container_end(b, name);
    return r;
}

static int write_output(struct build *b, const char *text, const char *id, struct err *e)
{
    scoped_free char *type = build_opt_key(text, "type"), *dest = build_opt_key(text, "dest");
    if (!type && !dest && !strchr(text, '=')) {
        bool stdout_tar = streq(text, "-");
        return export_files(b, !stdout_tar, text, id, e);
    }
    if (streq(type, "image") || streq(type, "docker"))
        return 0;
    if (!dest || !*dest)
        return err_msg(e, EINVAL, "no dest=");
    if (!type || streq(type, "local") || streq(type, "tar"))
        return export_files(b, !streq(type, "tar"), dest, id, e);
    if (streq(type, "oci-archive") || streq(type, "oci"))
        return save(b, "oci-archive", dest, id, e);
    if (streq(type, "docker-archive"))
        return save(b, "docker-archive", dest, id, e);
    return err_hint(e, err_msg(e, EINVAL, "unknown type %s", type),
                    "known: local, tar, oci-archive, docker-archive");
}

static int write_outputs(struct build *b, const char *id, struct err *e)
{
    int r = 0;
    for (char **o = b->o->output; r == 0 && o && *o; o++) {
        r = write_output(b, *o, id, e);
        if (r < 0)
            err_add(e, r, "--output %s", *o);
    }
    return r;
}

static int push(struct build *b, const char *name, struct err *e)
{
    const struct build_opts *o = b->o;
    scoped_strv char **argv = NULL;
    strv_add(&argv, "rootlet");
    strv_add(&argv, "push");
    strv_add(&argv, "-q");
    const struct {
        const char *name, *value;
    } more[] = {{"authfile", o->authfile},
                {"cert-dir", o->cert_dir},
                {"tls-verify", o->tls_verify && !*o->tls_verify ? "true" : o->tls_verify}};
    for (size_t i = 0; i < N_ELEMENTS(more); i++)
        if (more[i].value)
            strv_addf(&argv, "--%s=%s", more[i].name, more[i].value);
    strv_add(&argv, name);
    step_print(b, "Pushing %s...", name);
    int r = child_text(b, argv, NULL, e);
    return r < 0 ? err_add(e, r, "--push %s", name) : 0;
}

static int push_all(struct build *b, struct err *e)
{
    int r = 0;
    for (char **t = b->o->tags; r == 0 && b->o->push && t && *t; t++)
        r = push(b, *t, e);
    return r;
}

static int write_id(const struct build *b, const char *id, struct err *e)
{
    const char *path = b->o->iidfile;
    scoped_fd int fd =
        path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666) : -1;
    if (!path || !id)
        return 0;
    int r = fd < 0 ? -errno : fs_write_all(fd, id, strlen(id));
    return r < 0 ? err_set(e, -r, "--iidfile %s", path) : 0;
}

static void tell(struct build *b, const char *id)
{
    step_print(b, "--> %.12s", image_digest_hex(id));
    for (char **t = b->o->tags; t && *t; t++) {
        SCOPED(image_ref_release) struct image_ref ref = {0};
        if (image_ref_parse_local(*t, &ref, NULL) < 0)
            continue;
        scoped_free char *full = image_ref_text(&ref);
        step_print(b, "Successfully tagged %s", full);
    }
    /* -q: as podman, with its algorithm nowhere and the digits everywhere. */
    puts(image_digest_hex(id));
}

int finish(struct build *b, struct stage *s, struct err *e)
{
    struct state *st = &s->st;
    scoped_free char *id = NULL;
    set_labels(b, st);
    if (b->o->author) {
        json_object_set_new(st->doc, "author", json_from_bytes(b->o->author));
        st->dirty = true;
    }
    step_print(b, "COMMIT%s%s", b->o->tags ? " " : "", b->o->tags ? b->o->tags[0] : "");
    int r = image_of(b, st, &id, e);
    if (r == 0 && !id)
        r = err_msg(e, EIO, "the image has no id");
    r = r < 0 ? r : image_digest_check(id, e);
    r = r < 0 ? r : write_outputs(b, id, e);
    r = r < 0 ? r : push_all(b, e);
    r = r < 0 ? r : write_id(b, id, e);
    if (r == 0)
        tell(b, id);
    return r;
}
