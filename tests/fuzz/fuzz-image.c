/* Any bytes as a manifest, an index (also as what is only carried on), a configuration, a
 * reference, an outer archive or an instruction: no crash, and what is accepted holds what the
 * callers rely on. The first byte says which; each program made of this takes its own kinds, so
 * that each gets its time. Rows A27, B49. */
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"
#include "image/ref.h"
#include "imagetool/change.h"
#include "imagetool/manifest.h"
#include "imagetool/tarindex.h"
#include "imagetool/transfer-manifest.h"
#include "layer/digest.h"

#ifndef FUZZ_KINDS
#define FUZZ_KINDS "ti"
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
    if (!ok)
        abort();
}

static void check_digest(const char *digest)
{
    must(digest && !strchr(digest, '/') && digest_parse(digest, NULL, NULL) == 0);
}

static void fuzz_manifest(const char *text, size_t len)
{
    SCOPED(manifest_release) struct manifest m = {0};
    struct err e = ERR_INIT;
    struct platform host;
    if (manifest_parse(text, len, NULL, &m, &e) < 0) {
        must(e.msg[0]);
        return;
    }
    const struct descriptor **list = xcalloc(m.n + 1, sizeof(*list));
    if (!m.is_index)
        check_digest(m.config.digest);
    for (size_t i = 0; i < m.n; i++) {
        check_digest(m.v[i].digest);
        must(m.v[i].size >= 0);
        list[i] = &m.v[i];
    }
    platform_host(&host);
    const struct descriptor *best = platform_choose(list, m.n, &host, &e);
    must(best ? !best->attestation : e.msg[0] != '\0');
    free(list);
}

/* What push and copy carry on: whatever it is, its blobs' digests are safe in paths, and what is
 * made of an image is one again. */
static void fuzz_transfer(const char *text, size_t len)
{
    SCOPED(xfer_manifest_release) struct xfer_manifest m = {0}, again = {0};
    struct err e = ERR_INIT;
    if (xfer_manifest_parse(text, len, NULL, &m, &e) < 0) {
        must(e.msg[0]);
        return;
    }
    for (size_t i = 0; i < m.n; i++)
        check_digest(m.v[i].digest);
    const char *type = xfer_manifest_type(&m); /* a header */
    for (size_t i = 0; i <= strlen(type); i++)
        must(i == strlen(type) || ((unsigned char)type[i] >= ' ' && type[i] != 0x7f));
    if (!m.is_image)
        return;
    scoped_free char *made = xfer_manifest_remake(&m, m.v, !m.is_docker, &e);
    must(made ? xfer_manifest_parse(made, strlen(made), NULL, &again, &e) == 0 : e.msg[0] != '\0');
    must(!made || (again.n == m.n && again.is_image && again.is_docker != m.is_docker));
}

static void fuzz_config(const char *text, size_t len)
{
    struct image_config c = {0};
    struct err e = ERR_INIT;
    if (image_config_parse(text, len, &c, &e) < 0) {
        must(e.msg[0]);
        return;
    }
    for (size_t i = 0; c.diff_ids && c.diff_ids[i]; i++)
        must(image_digest_check(c.diff_ids[i], NULL) == 0);
    for (size_t i = 0; c.env && c.env[i]; i++)
        must(strchr(c.env[i], '=') > c.env[i]);
    image_config_release(&c);
}

/* A host written in capitals is the same one: no rule about it is passed by. */
static void check_shouted(const char *full, const char *name)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    scoped_free char *loud = xstrdup(full);
    for (char *p = loud; *p != '/'; p++)
        *p = (char)toupper((unsigned char)*p);
    must(image_ref_parse(loud, &ref, NULL) == 0 && streq(ref.name, name));
}

/* What is accepted is safe as a path below refs/ and reads back as itself. */
static void fuzz_ref(const char *text)
{
    struct image_ref ref = {0}, again = {0};
    struct err e = ERR_INIT;
    if (image_ref_parse(text, &ref, &e) < 0) {
        must(e.msg[0]);
        return;
    }
    scoped_free char *full = image_ref_text(&ref), *dir = image_ref_encode(ref.name);
    must(!strchr(dir, '/') && dir[0] != '.' && strlen(dir) <= 255);
    must(!ref.tag || (!strchr(ref.tag, '/') && ref.tag[0] != '.' && strlen(ref.tag) <= 128));
    scoped_free char *back = image_ref_decode(dir);
    must(streq(back, ref.name));
    must(image_ref_parse(full, &again, &e) == 0);
    must(streq(again.name, ref.name) && streq(again.tag, ref.tag));
    must(streq(again.digest, ref.digest));
    if (strpbrk(full, ".:/") != strchr(full, '/')) /* else its capitals alone make it a host */
        check_shouted(full, ref.name);
    image_ref_release(&ref);
    image_ref_release(&again);
}

static void fuzz_tar(const char *data, size_t len)
{
    struct tar_index t = {0};
    struct err e = ERR_INIT;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    if (tar_index_read(fd, &t, &e) < 0) {
        must(e.msg[0]);
    } else {
        for (size_t i = 0; i < t.n; i++) {
            must(t.v[i].offset >= 0 && t.v[i].size >= 0);
            must((size_t)(t.v[i].offset + t.v[i].size) <= len);
            const struct tar_member *m = tar_index_find(&t, t.v[i].name);
            must(!m || !m->link);
        }
        tar_index_release(&t);
    }
    close(fd);
}

static void fuzz_change(const char *text)
{
    json_t *config = json_object();
    struct err e = ERR_INIT;
    if (change_apply(config, text, &e) < 0)
        must(e.msg[0]);
    json_decref(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char kind = data[0] && strchr(FUZZ_KINDS, data[0]) ? (char)data[0] : *FUZZ_KINDS;
    scoped_free char *text = xstrndup((const char *)data + 1, size - 1);
    char *bytes = xmalloc(size); /* not terminated: reads beyond the end show */
    memcpy(bytes, data + 1, size - 1);
    if (kind == 'm')
        fuzz_manifest(bytes, size - 1);
    else if (kind == 'x')
        fuzz_transfer(bytes, size - 1);
    else if (kind == 'c')
        fuzz_config(bytes, size - 1);
    else if (kind == 'r')
        fuzz_ref(text);
    else if (kind == 't')
        fuzz_tar(bytes, size - 1);
    else if (kind == 'i')
        fuzz_change(text);
    free(bytes);
    return 0;
}
