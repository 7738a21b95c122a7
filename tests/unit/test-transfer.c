/* What push and copy make of manifests; compressed streams. Rows A9. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "imagetool/manifest.h"
#include "imagetool/transfer-manifest.h"
#include "layer/compress.h"
#include "layer/decompress.h"

#define D1 "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D2 "sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D3 "sha256:2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LAYER(type, digest)                                                                        \
    "{\"mediaType\":\"" type "\",\"digest\":\"" digest                                             \
    "\",\"size\":7,\"annotations\":{\"io.github.containers.zstd-chunked.manifest-checksum\":"      \
    "\"x\"}}"
#define IMAGE(config, layers)                                                                      \
    "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" config "\",\"digest\":\"" D1               \
    "\",\"size\":5},\"annotations\":{\"a\":\"b\"},\"layers\":[" layers "]}"
#define GZIP MEDIA_OCI_LAYER "+gzip"

static struct xfer_manifest parse(const char *text)
{
    struct xfer_manifest m = {0};
    struct err e = ERR_INIT;
    assert_int_equal(xfer_manifest_parse(text, strlen(text), NULL, &m, &e), 0);
    return m;
}

static void test_kinds(void **state)
{
    (void)state;
    struct xfer_manifest m = parse(IMAGE(MEDIA_OCI_CONFIG, LAYER(GZIP, D2)));
    assert_true(m.is_image && !m.is_docker && !m.is_index && m.n == 2);
    assert_string_equal(xfer_manifest_type(&m), MEDIA_OCI_MANIFEST);
    xfer_manifest_release(&m);
    m = parse(IMAGE("application/x-other", LAYER(GZIP, D2)));
    assert_false(m.is_image);
    xfer_manifest_release(&m);
    m = parse(IMAGE(MEDIA_OCI_CONFIG, LAYER("application/vnd.in-toto+json", D2)));
    assert_false(m.is_image);
    xfer_manifest_release(&m);
    m = parse("{\"schemaVersion\":2,\"manifests\":[" LAYER(MEDIA_OCI_MANIFEST, D2) "]}");
    assert_true(m.is_index && m.n == 1);
    assert_string_equal(xfer_manifest_type(&m), MEDIA_OCI_INDEX);
    xfer_manifest_release(&m);
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"manifests\":[],\"layers\":[]}",
        "{\"manifests\":[],\"config\":{}}",
        "{\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"layers\":[]}",
        "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"manifests\":[]}",
        "{\"fsLayers\":[]}",
        IMAGE(MEDIA_OCI_CONFIG, LAYER(GZIP, "sha256:../../etc")),
        IMAGE(MEDIA_OCI_CONFIG, "{\"mediaType\":\"x\",\"digest\":\"" D2 "\",\"size\":-1}"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct xfer_manifest m = {0};
        struct err e = ERR_INIT;
        assert_true(xfer_manifest_parse(texts[i], strlen(texts[i]), NULL, &m, &e) < 0);
        assert_true(e.msg[0]);
    }
}

static void test_remake(void **state)
{
    struct err e = ERR_INIT;
    (void)state;
    struct xfer_manifest m = parse(IMAGE(MEDIA_OCI_CONFIG, LAYER(GZIP, D2) "," LAYER(GZIP, D3)));
    struct xfer_blob v[3] = {m.v[0], m.v[1], m.v[2]};
    v[2].digest = xstrdup(D1);
    v[2].size = 99;
    scoped_free char *same = xfer_manifest_remake(&m, v, false, &e);
    assert_non_null(strstr(same, "\"digest\":\"" D1 "\",\"size\":99}"));
    assert_non_null(strstr(same, "\"annotations\":{\"a\":\"b\"}"));
    assert_non_null(strstr(same, "zstd-chunked")); /* of the layer that stayed */
    scoped_free char *docker = xfer_manifest_remake(&m, v, true, &e);
    struct xfer_manifest d = parse(docker);
    assert_true(d.is_docker && d.is_image);
    assert_string_equal(d.v[0].media_type, MEDIA_DOCKER_CONFIG);
    assert_string_equal(d.v[1].media_type, "application/vnd.docker.image.rootfs.diff.tar.gzip");
    assert_null(json_object_get(d.doc, "annotations"));
    xfer_manifest_release(&d);
    free(v[2].digest);
    xfer_manifest_release(&m);
    m = parse(IMAGE(MEDIA_OCI_CONFIG, LAYER(MEDIA_OCI_LAYER "+zstd", D2)));
    assert_null(xfer_manifest_remake(&m, m.v, true, &e));
    assert_non_null(strstr(e.msg, "no zstd"));
    xfer_manifest_release(&m);
}

/* Bytes that are neither all the same nor all different. */
struct input {
    size_t at, n;
};

static ssize_t give(void *data, void *buf, size_t size, struct err *e)
{
    struct input *in = data;
    unsigned char *out = buf;
    (void)e;
    if (size > 1000)
        size = 1000;
    if (size > in->n - in->at)
        size = in->n - in->at;
    for (size_t i = 0; i < size; i++, in->at++)
        out[i] = (unsigned char)((in->at * in->at) >> 7);
    return (ssize_t)size;
}

static ssize_t packed(void *data, void *buf, size_t size, struct err *e)
{
    return compress_read(data, buf, size, e);
}

static void check_stream(enum compress_format f, int level, size_t n)
{
    struct input in = {.n = n}, plain = {.n = n};
    struct compress *c = NULL;
    struct err e = ERR_INIT;
    unsigned char a[777], b[777];
    assert_int_equal(compress_new(f, level, give, &in, &c, &e), 0);
    (void)compress_read(c, a, sizeof(a), &e); /* begun, and begun anew */
    in.at = 0;
    assert_int_equal(compress_restart(c, &e), 0);
    struct decompress *d = decompress_new(packed, c);
    for (ssize_t got = 1; got > 0;) {
        size_t want = 0;
        got = decompress_read(d, a, sizeof(a), &e);
        assert_true(got >= 0);
        while (want < (size_t)got)
            want += (size_t)give(&plain, b + want, (size_t)got - want, &e);
        assert_memory_equal(a, b, (size_t)got);
    }
    assert_true(plain.at == n);
    assert_string_equal(decompress_name(d), f == COMPRESS_GZIP ? "gzip" : "zstd");
    decompress_free(d);
    compress_free(c);
}

static void test_compress(void **state)
{
    static const size_t sizes[] = {0, 1, 65536, 300000};
    struct err e = ERR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_stream(COMPRESS_GZIP, COMPRESS_LEVEL_DEFAULT, sizes[i]);
        check_stream(COMPRESS_GZIP, 1, sizes[i]);
        check_stream(COMPRESS_ZSTD, COMPRESS_LEVEL_DEFAULT, sizes[i]);
        check_stream(COMPRESS_ZSTD, 9, sizes[i]);
    }
    assert_int_equal(compress_check_level(COMPRESS_GZIP, 10, &e), -EINVAL);
    assert_int_equal(compress_check_level(COMPRESS_ZSTD, 10, &e), 0);
    assert_int_equal(compress_check_level(COMPRESS_ZSTD, 21, &e), -EINVAL);
    assert_int_equal(compress_check_level(COMPRESS_GZIP, 0, &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_remake),
        cmocka_unit_test(test_compress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
