/* Manifests, indexes, the choice of a platform; the outer tar; --change. Rows A26, A27. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/str.h"
#include "imagetool/change.h"
#include "imagetool/manifest.h"
#include "imagetool/tarindex.h"

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CONFIG "\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D "\",\"size\":5}"
#define LAYER "{\"mediaType\":\"" MEDIA_OCI_LAYER "+gzip\",\"digest\":\"" D "\",\"size\":7}"
#define LAYERS "\"layers\":[" LAYER "]"
#define V "\"schemaVersion\":2"

static const struct {
    const char *text, *type, *want;
} cases[] = {
    {"{" V "," CONFIG "," LAYERS "}", NULL, NULL},
    {"{" V "," CONFIG "," LAYERS "}", MEDIA_OCI_MANIFEST, NULL},
    {"{" V "," CONFIG ",\"layers\":[]}", MEDIA_DOCKER_MANIFEST, NULL},
    {"{" V ",\"manifests\":[]}", MEDIA_OCI_INDEX, NULL},
    {"{" V ",\"manifests\":[]," CONFIG "," LAYERS "}", NULL, "both an index and an image"},
    {"{" V ",\"manifests\":[]," LAYERS "}", MEDIA_OCI_INDEX, "both an index and an image"},
    {"{" V ",\"manifests\":[]," CONFIG "}", MEDIA_OCI_INDEX, "both an index and an image"},
    {"{" V "," CONFIG "," LAYERS "}", MEDIA_OCI_INDEX, "is not what its media type"},
    {"{" V ",\"manifests\":[]}", MEDIA_OCI_MANIFEST, "is not what its media type"},
    {"{" V ",\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," CONFIG "," LAYERS "}",
     MEDIA_DOCKER_MANIFEST, "its descriptor"},
    {"{" V "," CONFIG "," LAYERS "}", "text/html", "is no image or index"},
    {"{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, "schema 1"},
    {"{" CONFIG "," LAYERS "}", NULL, "schemaVersion: want 2"},
    {"{" V "," LAYERS "}", NULL, "config: want an object"},
    {"{" V "," CONFIG "}", NULL, "layers: want a list"},
    {"{" V "," CONFIG ",\"layers\":{}}", NULL, "layers: want a list"},
    {"{" V ",\"artifactType\":\"a/b\"," CONFIG "," LAYERS "}", NULL, "an artifact"},
    {"{" V ",\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"" D
     "\",\"size\":2}," LAYERS "}",
     NULL, "an artifact"},
    {"{" V "," CONFIG ",\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER "+encrypted\",\"digest\":"
     "\"" D "\",\"size\":7}]}",
     NULL, "layers[0].mediaType"},
    {"{" V "," CONFIG ",\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER "\",\"digest\":\"" D
     "\",\"size\":-1}]}",
     NULL, "layers[0].size"},
    {"{" V "," CONFIG ",\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER "\",\"digest\":\"" D "\"}]}",
     NULL, "layers[0].size"},
    {"{" V "," CONFIG ",\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER "\",\"digest\":\"" D
     "\",\"size\":1.5}]}",
     NULL, "layers[0].size"},
    {"{" V "," CONFIG ",\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
     "\",\"digest\":\"sha256:../../x\",\"size\":7}]}",
     NULL, "layers[0].digest"},
    {"{" V "," CONFIG ",\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
     "\",\"digest\":\"crc32:00000000\",\"size\":7}]}",
     NULL, "layers[0].digest"},
    {"[]", NULL, "want an object"},
    {"", NULL, "manifest"},
};

static void test_manifest(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct manifest m = {0};
        struct err e = ERR_INIT;
        int r = manifest_parse(cases[i].text, strlen(cases[i].text), cases[i].type, &m, &e);
        if ((r < 0) != (cases[i].want != NULL) || (cases[i].want && !strstr(e.msg, cases[i].want)))
            fail_msg("%s: %d %s", cases[i].text, r, e.msg);
        manifest_release(&m);
    }
}

static void test_limits(void **state)
{
    scoped_str struct str s = STR_INIT;
    struct manifest m = {0};
    struct err e = ERR_INIT;
    (void)state;
    str_add(&s, "{" V "," CONFIG "," LAYERS ",\"x\":\"");
    while (s.len < MANIFEST_MAX)
        str_add(&s, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    str_add(&s, "\"}");
    assert_true(manifest_parse(s.s, s.len, NULL, &m, &e) < 0);
    str_reset(&s);
    for (int i = 0; i < 100000; i++)
        str_add(&s, "{\"a\":");
    assert_true(manifest_parse(s.s, s.len, NULL, &m, &e) < 0);
}

static const struct platform amd64_v3 = {"linux", "amd64", 3}, armv7 = {"linux", "arm", 7},
                             arm64 = {"linux", "arm64", 8};

static void check_choice(const struct platform *p, const char *const (*entries)[3], size_t n,
                         int want)
{
    struct descriptor d[8] = {0};
    const struct descriptor *list[8];
    struct err e = ERR_INIT;
    for (size_t i = 0; i < n; i++) {
        d[i] = (struct descriptor){.os = (char *)entries[i][0],
                                   .architecture = (char *)entries[i][1],
                                   .variant = (char *)entries[i][2]};
        list[i] = &d[i];
    }
    const struct descriptor *best = platform_choose(list, n, p, &e);
    assert_int_equal(best ? best - d : -1, want);
    if (!best)
        assert_non_null(strstr(e.msg, "there is: "));
}

static void test_platform(void **state)
{
    static const char *const mixed[][3] = {
        {"linux", "arm64", NULL}, {"unknown", "unknown", NULL}, {"linux", "amd64", NULL},
        {"linux", "amd64", "v2"}, {"linux", "amd64", "v4"},     {"windows", "amd64", NULL},
        {"linux", "arm", "v6"},   {"linux", "arm", "v5"},
    };
    (void)state;
    check_choice(&amd64_v3, mixed, 8, 3);
    check_choice(&arm64, mixed, 8, 0);
    check_choice(&armv7, mixed, 8, 6);
    check_choice(&armv7, mixed, 6, -1);
    struct descriptor plain = {0}, statement = {.attestation = true},
                      artifact = {.artifact_type = (char *)"a/b"};
    assert_int_equal(platform_score(&plain, &amd64_v3), 1);
    assert_int_equal(platform_score(&statement, &amd64_v3), 0);
    assert_int_equal(platform_score(&artifact, &amd64_v3), 0);
}

static void test_make(void **state)
{
    struct plain_layer layers[] = {{D, 10240}};
    struct manifest m = {0};
    (void)state;
    scoped_free char *a = manifest_make(D, 5, layers, 1, NULL);
    scoped_free char *b = manifest_make(D, 5, layers, 1, NULL);
    assert_string_equal(a, b);
    assert_int_equal(manifest_parse(a, strlen(a), MEDIA_OCI_MANIFEST, &m, NULL), 0);
    assert_int_equal(m.n, 1);
    assert_int_equal(m.v[0].size, 10240);
    manifest_release(&m);
}

/* A tar header; the checksum is filled in. */
static void put_member(struct str *s, const char *name, char type, const char *link,
                       const char *size, size_t content)
{
    char h[512] = "", sum_text[8];
    unsigned sum = 0;
    strncpy(h, name, 100);
    memcpy(h + 124, size, strlen(size));
    memset(h + 148, ' ', 8);
    h[156] = type;
    strncpy(h + 157, link, 100);
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof(h); i++)
        sum += (unsigned char)h[i];
    snprintf(sum_text, sizeof(sum_text), "%06o", sum & 0777777);
    memcpy(h + 148, sum_text, 7);
    str_addn(s, h, sizeof(h));
    for (size_t i = 0; i < content; i++)
        str_addc(s, 'x');
}

static int read_index(const struct str *s, struct tar_index *t, struct err *e)
{
    scoped_fd int fd = memfd_create("tar", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, s->s, s->len), 0);
    return tar_index_read(fd, t, e);
}

static void test_tar(void **state)
{
    scoped_str struct str s = STR_INIT;
    struct tar_index t = {0};
    struct err e = ERR_INIT;
    (void)state;
    put_member(&s, "./a", '0', "", "00000000003", 512);
    put_member(&s, "d/l", '2', "../a", "0", 0);
    put_member(&s, "up", '2', "../../../a", "0", 0);
    put_member(&s, "hard", '1', "a", "0", 0);
    put_member(&s, "x", '2', "y", "0", 0);
    put_member(&s, "y", '2', "x", "0", 0);
    put_member(&s, "a", '0', "", "00000000004", 512);
    if (read_index(&s, &t, &e) < 0)
        fail_msg("%s", e.msg);
    const char *const names[] = {"a", "d/l", "/d/../a", "up", "hard"};
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        const struct tar_member *m = tar_index_find(&t, names[i]);
        assert_non_null(m);
        assert_int_equal(m->size, 4); /* the later one */
    }
    assert_null(tar_index_find(&t, "x"));
    assert_null(tar_index_find(&t, "b"));
    tar_index_release(&t);
}

static void test_tar_bad(void **state)
{
    static const struct {
        char type;
        const char *size;
        size_t content;
    } bad[] = {
        {'0', "00000001000", 0},   /* longer than the archive */
        {'0', "77777777777", 512}, /* much */
        {'S', "00000000001", 512}, /* sparse */
        {'x', "00000000010", 512}, /* no PAX record */
        {'L', "77777777777", 512},
        {'0', "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 512}, /* negative */
        {'0', "\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 512},
        {'0', "9", 512},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        scoped_str struct str s = STR_INIT;
        struct tar_index t = {0};
        struct err e = ERR_INIT;
        put_member(&s, "a", bad[i].type, "", bad[i].size, bad[i].content);
        if (read_index(&s, &t, &e) != -EBADMSG)
            fail_msg("case %zu: %s", i, e.msg);
    }
}

static const struct {
    const char *text, *want; /* want: the whole object, or part of the message after "!" */
} changes[] = {
    {"CMD [\"a\",\"b c\"]", "{\"Cmd\":[\"a\",\"b c\"]}"},
    {"cmd=a b", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"a b\"]}"},
    {"ENTRYPOINT [\"/x\"]", "{\"Entrypoint\":[\"/x\"]}"},
    {"ENV A=1 B=\"x y\" A=2", "{\"Env\":[\"A=2\",\"B=x y\"]}"},
    {"ENV A some words", "{\"Env\":[\"A=some words\"]}"},
    {"LABEL a.b=c", "{\"Labels\":{\"a.b\":\"c\"}}"},
    {"USER 1:2", "{\"User\":\"1:2\"}"},
    {"WORKDIR /w", "{\"WorkingDir\":\"/w\"}"},
    {"EXPOSE 80 53/udp", "{\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}}}"},
    {"VOLUME [\"/a\",\"/b c\"]", "{\"Volumes\":{\"/a\":{},\"/b c\":{}}}"},
    {"STOPSIGNAL SIGINT", "{\"StopSignal\":\"SIGINT\"}"},
    {"RUN x", "!want CMD"},
    {"", "!want CMD"},
    {"CMD", "!nothing follows"},
    {"ENV =x", "!NAME=VALUE"},
    {"EXPOSE 99999", "!PORT"},
    {"EXPOSE 80/icmp", "!PORT"},
    {"WORKDIR x", "!absolute"},
    {"VOLUME x", "!absolute"},
    {"STOPSIGNAL NONE", "!not a signal"},
};

static void test_change(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(changes); i++) {
        scoped_json json_t *config = json_object();
        struct err e = ERR_INIT;
        int r = change_apply(config, changes[i].text, &e);
        scoped_free char *text = json_text(config, false);
        bool bad = changes[i].want[0] == '!';
        if ((r < 0) != bad ||
            (bad ? !strstr(e.msg, changes[i].want + 1) : !streq(text, changes[i].want)))
            fail_msg("%s: %d %s %s", changes[i].text, r, text, e.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_platform), cmocka_unit_test(test_make),
        cmocka_unit_test(test_tar),      cmocka_unit_test(test_tar_bad),
        cmocka_unit_test(test_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
