/* The compressor's blocks: what comes out is one gzip member, the same whoever has made it. */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/str.h"
#include "layer/gzip.h"
#include "unit.h"

enum kind { ZEROS, WORDS, NOISE, N_KINDS };

struct input {
    enum kind kind;
    size_t at, n, step, fail_at;
};

/* Any byte of it without those before. */
static uint8_t byte_at(enum kind kind, size_t at)
{
    uint64_t x = kind == NOISE ? at : (at / 7) % 4099;
    x = (x + 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return kind == ZEROS   ? 0
           : kind == WORDS ? (uint8_t)("etaoin shrdlu\n"[(x >> 40) % 14])
                           : (uint8_t)(x >> 32);
}

static ssize_t give(void *data, void *buf, size_t size, struct err *e)
{
    struct input *in = data;
    uint8_t *out = buf;
    if (in->fail_at && in->at >= in->fail_at)
        return err_set(e, EPIPE, "read it");
    size = in->step && size > in->step ? in->step : size;
    size = size < in->n - in->at ? size : in->n - in->at;
    for (size_t i = 0; i < size; i++)
        out[i] = byte_at(in->kind, in->at++);
    return (ssize_t)size;
}

static size_t read_all(struct gzip *g, size_t step, uint8_t **ret)
{
    struct err e = ERR_INIT;
    uint8_t *v = NULL;
    size_t len = 0;
    for (ssize_t n = 1; n > 0; len += (size_t)n) {
        v = xrealloc(v, len + step);
        n = gzip_read(g, v + len, step, &e);
        assert_true(n >= 0);
    }
    *ret = v;
    return len;
}

/* By zlib, which takes one member: nothing is behind it. */
static void check_member(uint8_t *v, size_t len, const struct input *in)
{
    z_stream z = {0};
    uint8_t buf[65536];
    size_t at = 0;
    int r = Z_OK;
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_in = v;
    z.avail_in = (uInt)len;
    while (r == Z_OK) {
        z.next_out = buf;
        z.avail_out = sizeof(buf);
        r = inflate(&z, Z_NO_FLUSH);
        for (size_t i = 0; i < sizeof(buf) - z.avail_out; i++, at++)
            if (buf[i] != byte_at(in->kind, at))
                fail_msg("byte %zu differs", at);
    }
    assert_int_equal(r, Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    assert_true(at == in->n);
    inflateEnd(&z);
}

static void check_input(enum kind kind, size_t n, int level)
{
    static const struct {
        unsigned helpers;
        size_t in_step, out_step;
    } ways[] = {{0, 0, 1 << 20}, {1, 0, 4099}, {3, 100001, 65536}, {7, 0, 1 << 20}};
    uint8_t *first = NULL;
    size_t first_len = 0;
    for (size_t i = 0; i < N_ELEMENTS(ways); i++) {
        struct input in = {.kind = kind, .n = n, .step = ways[i].in_step};
        struct gzip *g = NULL;
        uint8_t *v;
        assert_int_equal(gzip_new_with(level, ways[i].helpers, give, &in, &g, NULL), 0);
        size_t len = read_all(g, ways[i].out_step, &v);
        gzip_free(g);
        if (i == 0) {
            check_member(v, len, &in);
            first = v;
            first_len = len;
            continue;
        }
        assert_true(len == first_len);
        assert_memory_equal(v, first, len);
        free(v);
    }
    assert_true(first_len < n + n / 1000 + 100);
    free(first);
}

static void test_round_trip(void **state)
{
    static const size_t sizes[] = {0,
                                   1,
                                   500,
                                   GZIP_BLOCK - 1,
                                   GZIP_BLOCK,
                                   GZIP_BLOCK + 1,
                                   2 * GZIP_BLOCK,
                                   20 * GZIP_BLOCK + 12345};
    static const int levels[] = {1, 3, 4, 9};
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(sizes); i++)
        for (size_t k = 0; k < N_ELEMENTS(levels); k++)
            for (enum kind kind = 0; kind < N_KINDS; kind++)
                check_input(kind, sizes[i], levels[k]);
}

static size_t threads(void)
{
    DIR *d = opendir("/proc/self/task");
    size_t n = 0;
    for (const struct dirent *x; (x = readdir(d));)
        n += x->d_name[0] != '.';
    closedir(d);
    return n;
}

/* One that was waited for is listed for a moment longer. */
static void check_none_left(size_t before)
{
    for (int i = 0; i < 1000 && threads() != before; i++)
        usleep(1000);
    assert_int_equal(threads(), before);
}

/* The input's own error, and only after what was right; no thread stays. */
static void test_input_fails(void **state)
{
    size_t before = threads();
    (void)state;
    for (size_t at = 1; at < 12 * GZIP_BLOCK; at += 5 * GZIP_BLOCK - 7) {
        struct input in = {.kind = WORDS, .n = SIZE_MAX, .step = 5000, .fail_at = at};
        struct err e = ERR_INIT;
        struct gzip *g = NULL;
        uint8_t buf[10000];
        ssize_t n;
        assert_int_equal(gzip_new_with(3, 3, give, &in, &g, &e), 0);
        while ((n = gzip_read(g, buf, sizeof(buf), &e)) > 0)
            ;
        assert_int_equal(n, -EPIPE);
        assert_non_null(strstr(e.msg, "read it"));
        gzip_free(g);
        check_none_left(before);
    }
}

/* Given up, or begun anew, with blocks in work. */
static void test_left_in_the_middle(void **state)
{
    size_t before = threads();
    (void)state;
    for (size_t amount = 0; amount < 200000; amount += 50000) {
        struct input in = {.kind = NOISE, .n = 10 * GZIP_BLOCK + 5};
        struct gzip *g = NULL;
        uint8_t *v = xmalloc(amount + 1), *all;
        assert_int_equal(gzip_new_with(4, 3, give, &in, &g, NULL), 0);
        for (size_t at = 0; at < amount;)
            at += (size_t)gzip_read(g, v + at, amount - at, NULL);
        in.at = 0;
        gzip_restart(g);
        size_t len = read_all(g, 77777, &all);
        check_member(all, len, &in);
        assert_memory_equal(v, all, amount);
        in.at = 0;
        gzip_restart(g);
        (void)gzip_read(g, v, amount, NULL);
        (void)gzip_read(g, v, amount, NULL);
        gzip_free(g);
        free(v);
        free(all);
        check_none_left(before);
    }
}

/* Many streams have no more helpers than one. */
static void test_helpers_are_shared(void **state)
{
    struct input in[5];
    struct gzip *g[N_ELEMENTS(in)];
    uint8_t buf[65536];
    cpu_set_t set;
    size_t before = threads();
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    for (size_t i = 0; i < N_ELEMENTS(in); i++) {
        in[i] = (struct input){.kind = NOISE, .n = SIZE_MAX};
        assert_int_equal(gzip_new(3, give, &in[i], &g[i], NULL), 0);
    }
    for (size_t k = 0; k < 64; k++)
        assert_true(gzip_read(g[k % N_ELEMENTS(g)], buf, sizeof(buf), NULL) > 0);
    assert_in_range(threads(), before + (CPU_COUNT(&set) > 1),
                    before + (size_t)CPU_COUNT(&set) - 1);
    for (size_t i = 0; i < N_ELEMENTS(in); i++)
        gzip_free(g[i]);
    check_none_left(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_input_fails),
        cmocka_unit_test(test_left_in_the_middle),
        cmocka_unit_test(test_helpers_are_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
