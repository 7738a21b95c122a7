#include "layer/compress.h"

#include <errno.h>
#include <stdbool.h>
#include <zstd.h>

#include "base/str.h"
#include "layer/gzip.h"

#define INPUT_SIZE ((size_t)64 << 10)

struct compress {
    enum compress_format format;
    int level;
    decompress_input input;
    void *data;
    uint8_t *in;
    size_t at, len;   /* unread input is in[at..len) */
    bool in_eof, end; /* the input gave its last byte; the output is complete */
    struct gzip *gzip;
    ZSTD_CStream *zstd;
};

int compress_check_level(enum compress_format format, int level, struct err *e)
{
    int max = format == COMPRESS_ZSTD ? 20 : 9; /* zstd's last two need gigabytes to unpack */
    if (level == COMPRESS_LEVEL_DEFAULT || (level >= 1 && level <= max))
        return 0;
    return err_msg(e, EINVAL, "level %d: %s has 1 to %d", level,
                   format == COMPRESS_ZSTD ? "zstd" : "gzip", max);
}

static int begin(struct compress *c, struct err *e)
{
    c->at = c->len = 0;
    c->in_eof = c->end = false;
    if (c->format == COMPRESS_GZIP && c->gzip) {
        gzip_restart(c->gzip);
    } else if (c->format == COMPRESS_GZIP) {
        int level = c->level == COMPRESS_LEVEL_DEFAULT ? GZIP_LEVEL_DEFAULT : c->level;
        return gzip_new(level, c->input, c->data, &c->gzip, e);
    } else if (c->format == COMPRESS_ZSTD) {
        int level = c->level == COMPRESS_LEVEL_DEFAULT ? 3 : c->level;
        if (!c->zstd)
            c->zstd = ZSTD_createCStream();
        if (!c->zstd || ZSTD_isError(ZSTD_initCStream(c->zstd, level)))
            return err_set(e, ENOMEM, "compress by zstd");
    }
    return 0;
}

int compress_new(enum compress_format format, int level, decompress_input input, void *data,
                 struct compress **ret, struct err *e)
{
    int r = compress_check_level(format, level, e);
    if (r < 0)
        return r;
    struct compress *c = xcalloc(1, sizeof(*c));
    c->format = format;
    c->level = level;
    c->input = input;
    c->data = data;
    c->in = xmalloc(INPUT_SIZE);
    r = begin(c, e);
    if (r < 0) {
        compress_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void compress_free(struct compress *c)
{
    if (!c)
        return;
    gzip_free(c->gzip);
    ZSTD_freeCStream(c->zstd);
    free(c->in);
    free(c);
}

int compress_restart(struct compress *c, struct err *e)
{
    return begin(c, e);
}

static int fill(struct compress *c, struct err *e)
{
    if (c->at < c->len || c->in_eof)
        return 0;
    ssize_t n = c->input(c->data, c->in, INPUT_SIZE, e);
    if (n < 0)
        return (int)n;
    c->at = 0;
    c->len = (size_t)n;
    c->in_eof = n == 0;
    return 0;
}

static int step_gzip(struct compress *c, uint8_t *out, size_t size, size_t *ret_done, struct err *e)
{
    ssize_t n = gzip_read(c->gzip, out, size, e);
    if (n < 0)
        return (int)n;
    *ret_done = (size_t)n;
    c->end = n == 0;
    return 0;
}

static int step_zstd(struct compress *c, uint8_t *out, size_t size, size_t *ret_done, struct err *e)
{
    int r = fill(c, e);
    if (r < 0)
        return r;
    ZSTD_inBuffer in = {.src = c->in, .size = c->len, .pos = c->at};
    ZSTD_outBuffer to = {.dst = out, .size = size};
    size_t left = ZSTD_compressStream2(c->zstd, &to, &in, c->in_eof ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left))
        return err_msg(e, EIO, "compress by zstd: %s", ZSTD_getErrorName(left));
    c->at = in.pos;
    *ret_done = to.pos;
    c->end = c->in_eof && left == 0;
    return 0;
}

ssize_t compress_read(struct compress *c, void *buf, size_t size, struct err *e)
{
    uint8_t *out = buf;
    size_t done = 0;
    if (c->format == COMPRESS_NONE)
        return c->input(c->data, buf, size, e);
    if (size > INT32_MAX)
        size = INT32_MAX;
    while (done < size && !c->end) {
        size_t n = 0;
        int r = c->format == COMPRESS_GZIP ? step_gzip(c, out + done, size - done, &n, e)
                                           : step_zstd(c, out + done, size - done, &n, e);
        if (r < 0)
            return r;
        done += n;
    }
    return (ssize_t)done;
}
