/* decompress - one reader for plain, gzip and zstd streams, told apart by their first bytes. */
#include "layer/decompress.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>
#else
#include <zlib.h>
#endif

#include "base/str.h"

#define INPUT_SIZE ((size_t)128 << 10)

struct format {
    const char *name;
    /* Moves input to output until one of them is used up. Returns 0 or -errno. */
    int (*step)(struct decompress *d, uint8_t *out, size_t size, size_t *ret_done, struct err *e);
    void (*end)(struct decompress *d);
};

struct decompress {
    decompress_input input;
    void *data;
    const struct format *format;
    uint8_t *in;    /* INPUT_SIZE */
    size_t at, len; /* unread input is in[at..len) */
    bool in_eof;    /* the input gave its last byte */
    bool between;   /* no member or frame is open: the input may end here */
    ZSTD_DStream *zstd;
#ifdef HAVE_ISAL
    struct inflate_state *isal;
#else
    z_stream z;
    bool z_open;
#endif
};

struct decompress *decompress_new(decompress_input input, void *data)
{
    struct decompress *d = xcalloc(1, sizeof(*d));

    d->input = input;
    d->data = data;
    d->in = xmalloc(INPUT_SIZE);
    return d;
}

void decompress_free(struct decompress *d)
{
    if (!d)
        return;
    if (d->format && d->format->end)
        d->format->end(d);
    free(d->in);
    free(d);
}

const char *decompress_name(const struct decompress *d)
{
    return d->format ? d->format->name : "";
}

/* Reads more input when none is left, until there are want bytes or the end. */
static int fill(struct decompress *d, size_t want, struct err *e)
{
    if (d->len - d->at >= want || d->in_eof)
        return 0;
    memmove(d->in, d->in + d->at, d->len - d->at);
    d->len -= d->at;
    d->at = 0;
    while (d->len < want && !d->in_eof) {
        ssize_t n = d->input(d->data, d->in + d->len, INPUT_SIZE - d->len, e);
        if (n < 0)
            return (int)n;
        d->in_eof = n == 0;
        d->len += (size_t)n;
    }
    return 0;
}

static int damaged(struct err *e, const char *what, const char *why)
{
    return err_msg(e, EBADMSG, "damaged %s stream: %s", what, why);
}

static int plain_step(struct decompress *d, uint8_t *out, size_t size, size_t *ret_done,
                      struct err *e)
{
    size_t n = d->len - d->at;

    (void)e;
    if (n > size)
        n = size;
    memcpy(out, d->in + d->at, n);
    d->at += n;
    *ret_done = n;
    return 0;
}

/* After a gzip member: is the next one's magic there? Sets between when the input ends instead. */
static int gzip_next_member(struct decompress *d, bool *ret_more, struct err *e)
{
    int r = fill(d, 2, e);

    if (r < 0)
        return r;
    d->between = true;
    *ret_more = false;
    if (d->at == d->len)
        return 0;
    if (d->len - d->at < 2 || d->in[d->at] != 0x1f || d->in[d->at + 1] != 0x8b)
        return damaged(e, "gzip", "unknown bytes after its end");
    *ret_more = true;
    return 0;
}

#ifdef HAVE_ISAL
static int gzip_reset(struct decompress *d)
{
    if (!d->isal)
        d->isal = xmalloc(sizeof(*d->isal));
    isal_inflate_init(d->isal);
    d->isal->crc_flag = ISAL_GZIP;
    d->between = false;
    return 0;
}

static int gzip_step(struct decompress *d, uint8_t *out, size_t size, size_t *ret_done,
                     struct err *e)
{
    struct inflate_state *s = d->isal;
    bool more = false;
    int r = 0;

    if (d->between) {
        r = gzip_next_member(d, &more, e);
        if (r < 0 || !more)
            return r;
        gzip_reset(d);
    }
    s->next_in = d->in + d->at;
    s->avail_in = (uint32_t)(d->len - d->at);
    s->next_out = out;
    s->avail_out = (uint32_t)size;
    r = isal_inflate(s);
    d->at = d->len - s->avail_in;
    *ret_done = size - s->avail_out;
    if (r != ISAL_DECOMP_OK)
        return damaged(e, "gzip", r == ISAL_INCORRECT_CHECKSUM ? "wrong checksum" : "invalid data");
    if (s->block_state == ISAL_BLOCK_FINISH)
        d->between = true;
    return 0;
}

static void gzip_end(struct decompress *d)
{
    free(d->isal);
}
#else
static int gzip_reset(struct decompress *d)
{
    int z = d->z_open ? inflateReset(&d->z) : inflateInit2(&d->z, 15 + 16);

    d->z_open = true;
    d->between = false;
    return z == Z_OK ? 0 : -ENOMEM;
}

static int gzip_step(struct decompress *d, uint8_t *out, size_t size, size_t *ret_done,
                     struct err *e)
{
    bool more = false;
    int r, z;

    if (d->between) {
        r = gzip_next_member(d, &more, e);
        if (r < 0 || !more)
            return r;
        if (gzip_reset(d) < 0)
            return err_set(e, ENOMEM, "start decompression");
    }
    d->z.next_in = d->in + d->at;
    d->z.avail_in = (unsigned)(d->len - d->at);
    d->z.next_out = out;
    d->z.avail_out = (unsigned)size;
    z = inflate(&d->z, Z_NO_FLUSH);
    d->at = d->len - d->z.avail_in;
    *ret_done = size - d->z.avail_out;
    if (z == Z_STREAM_END)
        d->between = true;
    else if (z != Z_OK && z != Z_BUF_ERROR)
        return damaged(e, "gzip", d->z.msg ? d->z.msg : "invalid data");
    return 0;
}

static void gzip_end(struct decompress *d)
{
    if (d->z_open)
        inflateEnd(&d->z);
}
#endif

/* ZSTD_decompressStream goes from frame to frame, and over skippable ones, by itself. Its default
 * window limit (128 MiB) stays: a larger one is a memory bomb. */
static int zstd_step(struct decompress *d, uint8_t *out, size_t size, size_t *ret_done,
                     struct err *e)
{
    ZSTD_inBuffer in = {d->in, d->len, d->at};
    ZSTD_outBuffer o = {out, size, 0};
    size_t left = ZSTD_decompressStream(d->zstd, &o, &in);

    d->at = in.pos;
    *ret_done = o.pos;
    if (ZSTD_isError(left))
        return damaged(e, "zstd", ZSTD_getErrorName(left));
    d->between = left == 0;
    return 0;
}

static void zstd_end(struct decompress *d)
{
    ZSTD_freeDStream(d->zstd);
}

static const struct format format_none = {"none", plain_step, NULL};
static const struct format format_gzip = {"gzip", gzip_step, gzip_end};
static const struct format format_zstd = {"zstd", zstd_step, zstd_end};

/* Compressions that are seen in the wild but are not part of the image formats. */
static const struct {
    const char *name, *magic;
    size_t len;
} foreign[] = {{"xz",
                "\xfd"
                "7zXZ",
                5},
               {"bzip2", "BZh", 3},
               {"lz4", "\x04\x22\x4d\x18", 4}};

static int sniff(struct decompress *d, struct err *e)
{
    const uint8_t *p = d->in;
    int r = fill(d, 6, e);

    if (r < 0)
        return r;
    d->between = true;
    for (size_t i = 0; i < N_ELEMENTS(foreign); i++)
        if (d->len >= foreign[i].len && memcmp(p, foreign[i].magic, foreign[i].len) == 0)
            return err_msg(e, ENOTSUP, "%s compression is not supported", foreign[i].name);
    if (d->len >= 2 && p[0] == 0x1f && p[1] == 0x8b) {
        d->format = &format_gzip;
        return gzip_reset(d) < 0 ? err_set(e, ENOMEM, "start decompression") : 0;
    }
    if (d->len >= 4 && ((p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd) ||
                        ((p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18))) {
        d->format = &format_zstd;
        d->zstd = ZSTD_createDStream();
        return d->zstd ? 0 : err_set(e, ENOMEM, "start decompression");
    }
    d->format = &format_none;
    return 0;
}

ssize_t decompress_read(struct decompress *d, void *buf, size_t size, struct err *e)
{
    size_t done = 0, n;
    int r = d->format ? 0 : sniff(d, e);

    while (r == 0 && done < size) {
        size_t before;
        r = fill(d, 1, e);
        /* A finished stream must not be stepped again: it would wait for another frame. */
        if (r < 0 || (d->at == d->len && d->between))
            break;
        before = d->at;
        n = 0;
        r = d->format->step(d, (uint8_t *)buf + done, size - done, &n, e);
        done += n;
        if (r == 0 && n == 0 && d->at == before && !d->between)
            r = damaged(e, d->format->name, d->at == d->len ? "it is truncated" : "no progress");
    }
    return r < 0 ? r : (ssize_t)done;
}
