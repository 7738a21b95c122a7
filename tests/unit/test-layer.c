/* Unit tests of src/layer: digests, decompression, names, the ring and headers.zst. (A27) */
#include "unit.h"

#include <pthread.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "layer/decompress.h"
#include "layer/digest.h"
#include "layer/entry.h"
#include "layer/ring.h"
#include "layer/split.h"

#define SHA_ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA_NONE "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_digest(void **state)
{
    char text[DIGEST_TEXT_MAX];
    struct err e = ERR_INIT;
    struct digest *d = NULL;

    (void)state;
    assert_int_equal(digest_data("abc", 3, text), 0);
    assert_string_equal(text, SHA_ABC);
    assert_int_equal(digest_new("sha256", &d, &e), 0);
    assert_int_equal(digest_add(d, "a", 1), 0);
    assert_int_equal(digest_add(d, "bc", 2), 0);
    assert_int_equal(digest_end(d, text), 0);
    digest_free(d);
    assert_true(digest_equal(text, SHA_ABC));
    assert_false(digest_equal(text, SHA_NONE));
    assert_false(digest_equal(NULL, NULL));
    assert_int_equal(digest_new("sha512:anything", &d, &e), 0);
    assert_int_equal(digest_end(d, text), 0);
    digest_free(d);
    assert_int_equal(strlen(text), 7 + 128);
    assert_int_equal(digest_new("md5", &d, &e), -ENOTSUP);
    assert_has(e.msg, "md5");
}

static void test_digest_parse(void **state)
{
    static const char *const bad[] = {
        "",
        "sha256",
        "sha256:",
        "sha256:abc",
        "SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:../816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        SHA_ABC "0",
        SHA_ABC "/",
        "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
    };
    const char *hex = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(digest_parse(SHA_ABC, &hex, &e), 0);
    assert_string_equal(hex, SHA_ABC + 7);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (digest_parse(bad[i], &hex, &e) != -EINVAL)
            fail_msg("\"%s\" was accepted", bad[i]);
}

static void test_digest_fd(void **state)
{
    scoped_fd int fd = memfd_create("x", MFD_CLOEXEC);
    char text[DIGEST_TEXT_MAX];
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(digest_fd(fd, 3, text, &e), 0);
    assert_string_equal(text, SHA_ABC);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(digest_fd(fd, 2, text, &e), -EFBIG);
}

/* An input that gives at most step bytes at a time. */
struct input {
    const struct str *s;
    size_t at, step;
};

static ssize_t input_read(void *data, void *buf, size_t size, struct err *e)
{
    struct input *in = data;
    size_t n = in->s->len - in->at;

    (void)e;
    n = n < size ? n : size;
    n = n < in->step ? n : in->step;
    memcpy(buf, in->s->s + in->at, n);
    in->at += n;
    return (ssize_t)n;
}

static void add_gzip(struct str *s, const void *data, size_t n)
{
    z_stream z = {0};
    unsigned char *out = xmalloc(n + 1024);

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)data;
    z.avail_in = (unsigned)n;
    z.next_out = out;
    z.avail_out = (unsigned)n + 1024;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    str_addn(s, out, n + 1024 - z.avail_out);
    deflateEnd(&z);
    free(out);
}

static void add_zstd(struct str *s, const void *data, size_t n)
{
    size_t room = ZSTD_compressBound(n), got;
    void *out = xmalloc(room);

    got = ZSTD_compress(out, room, data, n, 3);
    assert_false(ZSTD_isError(got));
    str_addn(s, out, got);
    free(out);
}

/* Decompresses in with reads of chunk bytes; returns the length or -errno. */
static ssize_t run(const struct str *in, size_t step, size_t chunk, struct str *out, struct err *e)
{
    struct input input = {in, 0, step};
    SCOPED(decompress_scoped) struct decompress *d = decompress_new(input_read, &input);
    scoped_free char *buf = xmalloc(chunk);
    ssize_t n;

    str_reset(out);
    while ((n = decompress_read(d, buf, chunk, e)) > 0)
        str_addn(out, buf, (size_t)n);
    return n < 0 ? n : (ssize_t)out->len;
}

static void check_same(const struct str *in, const struct str *want)
{
    static const size_t sizes[] = {1, 7, 4096, 1 << 20};
    scoped_str struct str out = STR_INIT;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
        for (size_t k = 0; k < N_ELEMENTS(sizes); k++) {
            if (run(in, sizes[i], sizes[k], &out, &e) != (ssize_t)want->len)
                fail_msg("steps of %zu, reads of %zu: %s", sizes[i], sizes[k], e.msg);
            assert_memory_equal(out.s, want->s, want->len);
        }
    }
}

static void check_bad(const struct str *in, int error, const char *text)
{
    scoped_str struct str out = STR_INIT;
    struct err e = ERR_INIT;

    assert_int_equal(run(in, 1000, 5000, &out, &e), error);
    assert_has(e.msg, text);
}

static void fill_text(struct str *s)
{
    for (unsigned i = 0; i < 3000; i++)
        str_addf(s, "line %u of %u;", i, i * i * 2654435761U);
}

static void test_gzip(void **state)
{
    scoped_str struct str want = STR_INIT, in = STR_INIT;

    (void)state;
    fill_text(&want);
    add_gzip(&in, want.s, 20000);
    add_gzip(&in, "", 0);
    add_gzip(&in, want.s + 20000, want.len - 20000);
    check_same(&in, &want);
    in.len -= 3;
    check_bad(&in, -EBADMSG, "truncated");
    in.len += 3;
    in.s[in.len - 7] ^= 1;
    check_bad(&in, -EBADMSG, "damaged gzip");
    in.s[in.len - 7] ^= 1;
    str_add(&in, "x");
    check_bad(&in, -EBADMSG, "after its end");
}

static void test_zstd(void **state)
{
    static const char skip[] = "\x55\x2a\x4d\x18\x04\x00\x00\x00meta";
    scoped_str struct str want = STR_INIT, in = STR_INIT;

    (void)state;
    fill_text(&want);
    str_addn(&in, skip, sizeof(skip) - 1);
    add_zstd(&in, want.s, 20000);
    str_addn(&in, skip, sizeof(skip) - 1);
    add_zstd(&in, want.s + 20000, want.len - 20000);
    str_addn(&in, skip, sizeof(skip) - 1);
    check_same(&in, &want);
    in.len -= 1;
    check_bad(&in, -EBADMSG, "truncated");
    in.len += 1;
    str_add(&in, "junkjunk");
    check_bad(&in, -EBADMSG, "damaged zstd");
}

static void test_plain_and_foreign(void **state)
{
    scoped_str struct str in = STR_INIT;

    (void)state;
    check_same(&in, &in); /* nothing */
    fill_text(&in);
    check_same(&in, &in);
    str_reset(&in);
    str_add(&in, "\xfd"
                 "7zXZ and more");
    check_bad(&in, -ENOTSUP, "xz");
}

static void test_clean_path(void **state)
{
    static const struct {
        const char *name, *want, *lenient; /* NULL: refused */
    } cases[] = {
        {"a/b", "a/b", "a/b"},
        {"./a//./b/", "a/b", "a/b"},
        {"", "", ""},
        {".", "", ""},
        {"./", "", ""},
        {"/", "", ""},
        {"/./", "", ""},
        {"a/..b/...", "a/..b/...", "a/..b/..."},
        {"/etc", NULL, "etc"},
        {"..", NULL, ""},
        {"/..", NULL, ""},
        {"a/../../b", NULL, "b"},
        {"a/b/../c", NULL, "a/c"},
        {"a/..", NULL, ""},
    };
    char got[PATH_MAX], name[300];
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        int r = entry_clean_path(cases[i].name, false, got, &e);
        if (r != (cases[i].want ? 0 : -EPERM) || (r == 0 && !streq(got, cases[i].want)))
            fail_msg("\"%s\": %d, \"%s\"", cases[i].name, r, r < 0 ? e.msg : got);
        assert_int_equal(entry_clean_path(cases[i].name, true, got, &e), 0);
        assert_string_equal(got, cases[i].lenient);
    }
    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    assert_int_equal(entry_clean_path(name, false, got, &e), 0);
    name[255] = 'n';
    name[256] = '\0';
    assert_int_equal(entry_clean_path(name, false, got, &e), -ENAMETOOLONG);
}

struct feeder {
    struct ring ring;
    unsigned blocks;
    int result;
};

static void *feed(void *data)
{
    struct feeder *f = data;
    struct err e = ERR_INIT;
    unsigned i;

    for (i = 0; i < f->blocks; i++) {
        struct ring_block *b = ring_begin_fill(&f->ring);
        if (!b)
            break;
        memset(b->data, (int)i, 100);
        ring_end_fill(&f->ring, 100);
    }
    if (f->result < 0)
        err_set(&e, -f->result, "feed");
    ring_finish(&f->ring, f->result, &e);
    return (void *)(uintptr_t)i;
}

static void test_ring(void **state)
{
    static const int results[] = {0, -EIO};

    (void)state;
    for (size_t k = 0; k < N_ELEMENTS(results); k++) {
        struct feeder f = {.blocks = 1000, .result = results[k]};
        const struct ring_block *b = NULL;
        struct err e = ERR_INIT;
        pthread_t t;
        unsigned got = 0;
        int r;

        ring_init(&f.ring);
        assert_int_equal(pthread_create(&t, NULL, feed, &f), 0);
        while ((r = ring_next(&f.ring, got > 0, &b, &e)) > 0) {
            assert_int_equal(b->len, 100);
            assert_int_equal(b->data[99], got & 255);
            got++;
        }
        assert_int_equal(r, results[k]);
        assert_int_equal(got, 1000);
        pthread_join(t, NULL);
        ring_release(&f.ring);
        if (r < 0)
            assert_has(e.msg, "feed");
    }
}

static void test_ring_stop(void **state)
{
    struct feeder f = {.blocks = 1000000};
    const struct ring_block *b;
    struct err e = ERR_INIT;
    pthread_t t;
    void *fed;

    (void)state;
    ring_init(&f.ring);
    assert_int_equal(pthread_create(&t, NULL, feed, &f), 0);
    assert_int_equal(ring_next(&f.ring, false, &b, &e), 1);
    ring_stop(&f.ring);
    pthread_join(t, &fed);
    assert_true((uintptr_t)fed < 100);
    ring_release(&f.ring);
}

static int write_records(int fd, struct err *e)
{
    SCOPED(split_writer_scoped) struct split_writer *w = split_writer_new(fd);
    char big[200000];

    memset(big, 'r', sizeof(big));
    return split_raw(w, big, sizeof(big), e) < 0 || split_content(w, 1, "a/b", 0, 1000, e) < 0 ||
                   split_content(w, 1, "a/b", 1000, 24, e) < 0 ||
                   split_content(w, 1, "a/b", (uint64_t)1 << 40, 5, e) < 0 ||
                   split_raw(w, "", 0, e) < 0 || split_moved(w, "a", 300, e) < 0 ||
                   split_raw(w, "end", 3, e) < 0 || split_end(w, 201032, e) < 0
               ? -1
               : 0;
}

static void test_split(void **state)
{
    static const struct split_record want[] = {
        {.type = 'R', .len = 200000},
        {.type = 'F', .path = "a/b", .offset = 0, .len = 1000},
        {.type = 'C', .path = "a/b", .offset = 1000, .len = 24},
        {.type = 'F', .path = "a/b", .offset = (uint64_t)1 << 40, .len = 5},
        {.type = 'X', .path = "a", .number = 300},
        {.type = 'R', .len = 3},
    };
    scoped_fd int fd = memfd_create("headers", MFD_CLOEXEC);
    struct split_record rec;
    struct err e = ERR_INIT;
    char raw[4] = "";

    (void)state;
    assert_int_equal(write_records(fd, &e), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    SCOPED(split_reader_scoped) struct split_reader *r = split_reader_new(fd);
    for (size_t i = 0; i < N_ELEMENTS(want); i++) {
        assert_int_equal(split_next(r, &rec, &e), 1);
        assert_int_equal(rec.type, want[i].type);
        assert_int_equal(rec.len, want[i].len);
        assert_int_equal(rec.offset, want[i].offset);
        assert_int_equal(rec.number, want[i].number);
        if (want[i].path)
            assert_string_equal(rec.path, want[i].path);
    }
    assert_int_equal(split_read_raw(r, raw, 3, &e), 3);
    assert_string_equal(raw, "end");
    assert_int_equal(split_next(r, &rec, &e), 0);
    assert_int_equal(rec.number, 201032);
}

static void test_split_damaged(void **state)
{
    struct err e = ERR_INIT;
    off_t size;

    (void)state;
    scoped_fd int whole = memfd_create("headers", MFD_CLOEXEC);
    assert_int_equal(write_records(whole, &e), 0);
    size = lseek(whole, 0, SEEK_END);
    for (off_t cut = 0; cut < size; cut++) {
        struct split_record rec;
        int r;
        assert_int_equal(ftruncate(whole, size - 1 - cut), 0);
        assert_int_equal(lseek(whole, 0, SEEK_SET), 0);
        SCOPED(split_reader_scoped) struct split_reader *in = split_reader_new(whole);
        while ((r = split_next(in, &rec, &e)) > 0)
            ;
        /* The last bytes may be zstd's checksum or frame end only; all records were read then. */
        assert_true(r == -EUCLEAN || (r == 0 && rec.number == 201032));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest),        cmocka_unit_test(test_digest_parse),
        cmocka_unit_test(test_digest_fd),     cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_zstd),          cmocka_unit_test(test_plain_and_foreign),
        cmocka_unit_test(test_clean_path),    cmocka_unit_test(test_ring),
        cmocka_unit_test(test_ring_stop),     cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_damaged),
    };

    return cmocka_run_group_tests_name("layer", tests, NULL, NULL);
}
