/* transfer-file - archives and directories as targets. An archive appears when it is complete; in a
 * directory each file does, and what names the image is written last. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/jfield.h"
#include "base/str.h"
#include "image/ref.h"
#include "imagetool/manifest.h"
#include "imagetool/sink.h"
#include "imagetool/transfer.h"

static const char layout_text[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
static const char dir_version[] = "Directory Transport Version: 1.1\n";

struct file_target {
    struct target target;
    enum place_kind kind;
    char *path, *name;
    int dir_fd; /* of a directory */
    struct sink sink;
    json_t *list; /* entries of index.json, or of a docker archive's manifest.json */
};

static bool is_archive(const struct file_target *t)
{
    return t->kind == PLACE_OCI_ARCHIVE || t->kind == PLACE_DOCKER_ARCHIVE;
}

static char *file_name(const struct file_target *t, const struct xfer_blob *b)
{
    const char *hex = strchr(b->digest, ':') + 1;
    if (t->kind == PLACE_DIR)
        return xstrdup(hex);
    if (t->kind == PLACE_DOCKER_ARCHIVE) {
        bool config =
            streq(b->media_type, MEDIA_OCI_CONFIG) || streq(b->media_type, MEDIA_DOCKER_CONFIG);
        return xasprintf("%s.%s", hex, config ? "json" : "tar");
    }
    return xasprintf("blobs/%.*s/%s", (int)(hex - 1 - b->digest), b->digest, hex);
}

/* A file of the right name and size may still be what a power cut left: its bytes decide. */
static bool is_whole(const struct file_target *t, const char *name, const struct xfer_blob *b)
{
    char digest[DIGEST_TEXT_MAX];
    struct stat st;
    scoped_fd int fd = openat(t->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == b->size && digest_fd_as(b->digest, fd, digest, NULL) == 0 &&
           digest_equal(digest, b->digest);
}

static int file_has(struct target *target, const struct xfer_blob *b, struct err *e)
{
    struct file_target *t = (struct file_target *)target;
    scoped_free char *name = file_name(t, b);
    (void)e;
    return is_archive(t) ? sink_has(&t->sink, name) : is_whole(t, name, b);
}

static void set_blob(struct xfer_blob *b, const char *digest, uint64_t size)
{
    free(b->digest);
    b->digest = xstrdup(digest);
    b->size = size;
}

/* Into a file without a name first: an archive wants to know the size before. */
static int put_unknown(struct file_target *t, struct stream *in, struct xfer_blob *b, struct err *e)
{
    const char *tmp = getenv("TMPDIR");
    scoped_fd int fd = open(tmp && *tmp ? tmp : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char digest[DIGEST_TEXT_MAX];
    uint64_t size;
    if (fd < 0)
        return err_set(e, errno, "create a temporary file");
    int r = stream_copy(in, fd, NULL, digest, &size, e);
    if (r < 0)
        return r;
    set_blob(b, digest, size);
    SCOPED(stream_scoped) struct stream *again = stream_file(fd, false, 0, size);
    return t->target.ops->put(&t->target, again, b, true, e);
}

static int put_archive(struct file_target *t, struct stream *in, struct xfer_blob *b, struct err *e)
{
    scoped_free char *name = file_name(t, b);
    char digest[DIGEST_TEXT_MAX];
    uint64_t size;
    int fd = sink_begin(&t->sink, name, b->size, e);
    int r = fd < 0 ? fd : stream_copy(in, fd, b->digest, digest, &size, e);
    if (r == 0 && (size != b->size || !digest_equal(digest, b->digest)))
        r = err_msg(e, EBADMSG, "digest mismatch: blob %s has the content of %s", b->digest,
                    digest);
    return r < 0 ? r : sink_end(&t->sink, e);
}

/* A file without a name where that can be made, so that nothing is left whatever ends us. */
static int open_blob(struct file_target *t, char temp[static 40], struct err *e)
{
    temp[0] = '\0';
    int fd = openat(t->dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
    if (fd >= 0)
        return fd;
    memcpy(temp, ".tmp-", 6);
    id_random_hex(temp + 5, 16);
    fd = openat(t->dir_fd, temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
    return fd < 0 ? err_set(e, errno, "create a file in %s", t->path) : fd;
}

static int name_blob(struct file_target *t, int fd, const char *temp, const struct xfer_blob *b,
                     struct err *e)
{
    scoped_free char *name = file_name(t, b);
    char self[40];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (t->kind == PLACE_OCI) { /* sha512 has a directory of its own */
        scoped_free char *dir = xstrndup(name, (size_t)(strrchr(name, '/') - name));
        mkdirat(t->dir_fd, dir, 0755);
    }
    /* A file of this name is a leftover, or damaged. */
    unlinkat(t->dir_fd, name, 0);
    int r = *temp ? renameat(t->dir_fd, temp, t->dir_fd, name)
                  : linkat(AT_FDCWD, self, t->dir_fd, name, AT_SYMLINK_FOLLOW);
    return r < 0 ? err_set(e, errno, "create %s/%s", t->path, name) : 0;
}

static int put_dir(struct file_target *t, struct stream *in, struct xfer_blob *b, bool known,
                   struct err *e)
{
    char temp[40], digest[DIGEST_TEXT_MAX];
    uint64_t size;
    scoped_fd int fd = open_blob(t, temp, e);
    if (fd < 0)
        return fd;
    int r = stream_copy(in, fd, known ? b->digest : NULL, digest, &size, e);
    if (r == 0 && known && (size != b->size || !digest_equal(digest, b->digest)))
        r = err_msg(e, EBADMSG, "digest mismatch: blob %s has the content of %s", b->digest,
                    digest);
    if (r == 0 && !known)
        set_blob(b, digest, size);
    r = r < 0 ? r : name_blob(t, fd, temp, b, e);
    if (r < 0 && *temp)
        unlinkat(t->dir_fd, temp, 0);
    return r;
}

static int file_put(struct target *target, struct stream *in, struct xfer_blob *b, bool known,
                    struct err *e)
{
    struct file_target *t = (struct file_target *)target;
    if (!is_archive(t))
        return put_dir(t, in, b, known, e);
    return known ? put_archive(t, in, b, e) : put_unknown(t, in, b, e);
}

static int put_text(struct file_target *t, const char *name, const char *data, size_t n,
                    struct err *e)
{
    if (is_archive(t))
        return sink_has(&t->sink, name) ? 0 : sink_file(&t->sink, name, data, n, e);
    return fs_write_atomic(t->dir_fd, name, data, n, 0644, FS_NO_SYNC, e);
}

/* The entry of a docker archive for an image. */
static int add_docker(struct file_target *t, const struct registry_manifest *m, struct err *e)
{
    SCOPED(xfer_manifest_release) struct xfer_manifest doc = {0};
    int r = xfer_manifest_parse(m->bytes, m->len, NULL, &doc, e);
    if (r < 0)
        return r;
    scoped_free char *config = file_name(t, &doc.v[0]);
    json_t *layers = json_array(), *tags = json_array();
    for (size_t i = 1; i < doc.n; i++) {
        scoped_free char *name = file_name(t, &doc.v[i]);
        json_array_append_new(layers, json_string(name));
    }
    if (t->name)
        json_array_append_new(tags, json_string(t->name));
    json_array_append_new(
        t->list, json_pack("{s:s,s:o,s:o}", "Config", config, "RepoTags", tags, "Layers", layers));
    return 0;
}

static void add_oci(struct file_target *t, const struct registry_manifest *m)
{
    static const char key[] = "org.opencontainers.image.ref.name";
    json_t *d = json_pack("{s:s,s:s,s:I}", "mediaType", m->media_type, "digest", m->digest, "size",
                          (json_int_t)m->len);
    for (size_t i = json_array_size(t->list); i-- > 0;) { /* the image that had the name */
        const json_t *old = json_array_get(t->list, i);
        const char *name =
            json_string_value(json_object_get(json_object_get(old, "annotations"), key));
        if (streq(name, t->name))
            json_array_remove(t->list, i);
    }
    if (t->name)
        json_object_set_new(d, "annotations", json_pack("{s:s}", key, t->name));
    json_array_append_new(t->list, d);
}

static int file_manifest(struct target *target, const struct registry_manifest *m, const char *tag,
                         bool top, struct err *e)
{
    struct file_target *t = (struct file_target *)target;
    const char *hex = strchr(m->digest, ':') + 1;
    (void)tag;
    if (t->kind == PLACE_DOCKER_ARCHIVE)
        return add_docker(t, m, e);
    if (t->kind == PLACE_DIR) {
        scoped_free char *name =
            top ? xstrdup("manifest.json") : xasprintf("%s.manifest.json", hex);
        return put_text(t, name, m->bytes, m->len, e);
    }
    if (top)
        add_oci(t, m);
    scoped_free char *name = xasprintf("blobs/%.*s/%s", (int)(hex - 1 - m->digest), m->digest, hex);
    return put_text(t, name, m->bytes, m->len, e);
}

static int file_finish(struct target *target, struct err *e)
{
    struct file_target *t = (struct file_target *)target;
    int r;
    if (t->kind == PLACE_DIR)
        return put_text(t, "version", dir_version, strlen(dir_version), e);
    if (t->kind == PLACE_DOCKER_ARCHIVE) {
        scoped_free char *text = json_text(t->list, false);
        r = put_text(t, "manifest.json", text, strlen(text), e);
        return r < 0 ? r : sink_finish(&t->sink, e);
    }
    scoped_json json_t *index = json_pack("{s:i,s:s,s:O}", "schemaVersion", 2, "mediaType",
                                          MEDIA_OCI_INDEX, "manifests", t->list);
    scoped_free char *text = json_text(index, false);
    r = put_text(t, "oci-layout", layout_text, strlen(layout_text), e);
    r = r < 0 ? r : put_text(t, "index.json", text, strlen(text), e);
    return r < 0 || !is_archive(t) ? r : sink_finish(&t->sink, e);
}

static void file_free(struct target *target)
{
    struct file_target *t = (struct file_target *)target;
    sink_release(&t->sink);
    fd_close(&t->dir_fd);
    json_decref(t->list);
    free(t->path);
    free(t->name);
    free(t->target.label);
    free(t);
}

static const struct target_ops file_ops = {
    .has = file_has,
    .put = file_put,
    .manifest = file_manifest,
    .finish = file_finish,
    .free = file_free,
};

/* An OCI layout that is there gets one more image. */
static int open_layout(struct file_target *t, struct err *e)
{
    scoped_free char *text = NULL;
    struct err why = ERR_INIT;
    if ((mkdirat(t->dir_fd, "blobs", 0755) < 0 && errno != EEXIST) ||
        (mkdirat(t->dir_fd, "blobs/sha256", 0755) < 0 && errno != EEXIST))
        return err_set(e, errno, "create %s/blobs", t->path);
    ssize_t n = fs_read(t->dir_fd, "index.json", MANIFEST_MAX, &text, &why);
    if (n == -ENOENT)
        return 0;
    if (n < 0) {
        if (e)
            *e = why;
        return (int)n;
    }
    scoped_json json_t *doc = json_parse(text, (size_t)n, MANIFEST_MAX, "index.json", e);
    json_t *list = doc ? json_object_get(doc, "manifests") : NULL;
    if (doc && !json_is_array(list))
        return err_msg(e, EINVAL, "%s/index.json: is no index", t->path);
    json_array_extend(t->list, list);
    return doc ? 0 : -EINVAL;
}

static int open_dir(struct file_target *t, struct err *e)
{
    t->dir_fd = fs_open_dir(t->path, true, 0755, e);
    if (t->dir_fd < 0)
        return t->dir_fd;
    if (t->kind == PLACE_OCI)
        return open_layout(t, e);
    if (faccessat(t->dir_fd, "version", F_OK, 0) == 0 ||
        faccessat(t->dir_fd, "manifest.json", F_OK, 0) == 0)
        return err_msg(e, EEXIST, "%s: an image is in it already", t->path);
    return 0;
}

int target_archive(const struct place *p, struct target **ret, struct err *e)
{
    struct file_target *t = xcalloc(1, sizeof(*t));
    *t = (struct file_target){.target = {.ops = &file_ops,
                                         .label = xstrdup(p->path),
                                         .packs = COMPRESS_NONE,
                                         .docker_only = p->kind == PLACE_DOCKER_ARCHIVE},
                              .kind = p->kind,
                              .path = xstrdup(p->path),
                              .name = xstrdup(p->name),
                              .dir_fd = -1,
                              .sink = SINK_INIT,
                              .list = json_array()};
    int r = is_archive(t) ? sink_open(streq(p->path, "-") ? NULL : p->path, false, &t->sink, e)
                          : open_dir(t, e);
    if (r < 0) {
        file_free(&t->target);
        return r;
    }
    *ret = &t->target;
    return 0;
}
