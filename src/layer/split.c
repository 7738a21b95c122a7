/* split - headers.zst: the bytes of a tar that are not file content, and where the content is. */
#include "layer/split.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/fs.h"
#include "base/str.h"

static const char magic[8] = {'R', 'L', 'S', 'P', 'L', 'I', 'T', '1'};

#define BUFFER_SIZE ((size_t)64 << 10)

struct split_writer {
    int fd;
    ZSTD_CCtx *zstd;
    char *out;                /* BUFFER_SIZE */
    uint64_t file, file_next; /* the file of the last 'F' or 'C' and the offset behind it */
    bool file_open, started;
};

struct split_writer *split_writer_new(int fd)
{
    struct split_writer *w = xcalloc(1, sizeof(*w));

    w->fd = fd;
    w->out = xmalloc(BUFFER_SIZE);
    w->zstd = ZSTD_createCCtx();
    if (w->zstd)
        ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, 1);
    return w;
}

void split_writer_free(struct split_writer *w)
{
    if (!w)
        return;
    ZSTD_freeCCtx(w->zstd);
    free(w->out);
    free(w);
}

static int put(struct split_writer *w, const void *data, size_t n, ZSTD_EndDirective mode,
               struct err *e)
{
    ZSTD_inBuffer in = {data, n, 0};
    size_t left;

    if (!w->zstd)
        return err_set(e, ENOMEM, "write headers.zst");
    do {
        ZSTD_outBuffer out = {w->out, BUFFER_SIZE, 0};
        int r;
        left = ZSTD_compressStream2(w->zstd, &out, &in, mode);
        if (ZSTD_isError(left))
            return err_msg(e, EIO, "write headers.zst: %s", ZSTD_getErrorName(left));
        r = out.pos ? fs_write_all(w->fd, w->out, out.pos) : 0;
        if (r < 0)
            return err_set(e, -r, "write headers.zst");
    } while (in.pos < in.size || (mode == ZSTD_e_end && left > 0));
    return 0;
}

static size_t put_number(uint8_t *p, uint64_t v)
{
    size_t n = 0;

    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

/* A record head: type, count numbers; the magic before the first. */
static int put_head(struct split_writer *w, char type, const uint64_t *v, size_t count,
                    struct err *e)
{
    uint8_t buf[sizeof(magic) + 1 + 3 * 10];
    size_t n = 0;

    if (!w->started) {
        memcpy(buf, magic, sizeof(magic));
        n = sizeof(magic);
        w->started = true;
    }
    buf[n++] = (uint8_t)type;
    for (size_t i = 0; i < count; i++)
        n += put_number(buf + n, v[i]);
    return put(w, buf, n, ZSTD_e_continue, e);
}

int split_raw(struct split_writer *w, const void *data, size_t n, struct err *e)
{
    uint64_t len = n;
    int r = n ? put_head(w, 'R', &len, 1, e) : 0;

    return r < 0 || n == 0 ? r : put(w, data, n, ZSTD_e_continue, e);
}

static int put_path(struct split_writer *w, char type, const char *path, struct err *e)
{
    uint64_t len = strlen(path);
    int r = put_head(w, type, &len, 1, e);

    return r < 0 ? r : put(w, path, len, ZSTD_e_continue, e);
}

int split_content(struct split_writer *w, uint64_t id, const char *path, uint64_t offset,
                  uint64_t len, struct err *e)
{
    bool same = w->file_open && w->file == id && w->file_next == offset;
    uint64_t v[2] = {offset, len};
    uint8_t buf[20];
    size_t n;
    int r;

    w->file_open = true;
    w->file = id;
    w->file_next = offset + len;
    if (same)
        return put_head(w, 'C', &len, 1, e);
    r = put_path(w, 'F', path, e);
    n = put_number(buf, v[0]);
    n += put_number(buf + n, v[1]);
    return r < 0 ? r : put(w, buf, n, ZSTD_e_continue, e);
}

int split_moved(struct split_writer *w, const char *path, uint64_t number, struct err *e)
{
    uint8_t buf[10];
    int r = put_path(w, 'X', path, e);

    return r < 0 ? r : put(w, buf, put_number(buf, number), ZSTD_e_continue, e);
}

int split_end(struct split_writer *w, uint64_t total, struct err *e)
{
    int r = put_head(w, 'E', &total, 1, e);

    return r < 0 ? r : put(w, "", 0, ZSTD_e_end, e);
}

struct split_reader {
    int fd;
    ZSTD_DCtx *zstd;
    uint8_t *in, *out; /* BUFFER_SIZE each */
    ZSTD_inBuffer inb;
    size_t at, len;    /* unread output is out[at..len) */
    uint64_t raw_left; /* of the current 'R' */
    uint64_t next;     /* offset behind the last content */
    bool file_open, started;
    char path[4097];
};

struct split_reader *split_reader_new(int fd)
{
    struct split_reader *r = xcalloc(1, sizeof(*r));

    r->fd = fd;
    r->in = xmalloc(BUFFER_SIZE);
    r->out = xmalloc(BUFFER_SIZE);
    r->zstd = ZSTD_createDCtx();
    r->inb.src = r->in;
    return r;
}

void split_reader_free(struct split_reader *r)
{
    if (!r)
        return;
    ZSTD_freeDCtx(r->zstd);
    free(r->in);
    free(r->out);
    free(r);
}

static int damaged(struct err *e)
{
    return err_msg(e, EUCLEAN, "headers.zst is damaged");
}

/* Decompresses until some output is there. */
static int refill(struct split_reader *r, struct err *e)
{
    while (r->at == r->len) {
        ZSTD_outBuffer out = {r->out, BUFFER_SIZE, 0};
        bool eof = false;
        if (r->inb.pos == r->inb.size) {
            ssize_t n = read(r->fd, r->in, BUFFER_SIZE);
            if (n < 0)
                return err_set(e, errno, "read headers.zst");
            eof = n == 0;
            r->inb.pos = 0;
            r->inb.size = (size_t)n;
        }
        if (!r->zstd || ZSTD_isError(ZSTD_decompressStream(r->zstd, &out, &r->inb)))
            return damaged(e);
        r->at = 0;
        r->len = out.pos;
        if (eof && out.pos == 0)
            return damaged(e);
    }
    return 0;
}

static int take(struct split_reader *r, void *buf, size_t n, struct err *e)
{
    uint8_t *p = buf;

    while (n > 0) {
        int q = refill(r, e);
        size_t part = r->len - r->at < n ? r->len - r->at : n;
        if (q < 0)
            return q;
        memcpy(p, r->out + r->at, part);
        r->at += part;
        p += part;
        n -= part;
    }
    return 0;
}

static int take_number(struct split_reader *r, uint64_t *ret, struct err *e)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = 0;
        int q = take(r, &b, 1, e);
        if (q < 0)
            return q;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return 0;
        }
    }
    return damaged(e);
}

static int take_path(struct split_reader *r, struct err *e)
{
    uint64_t n = 0;
    int q = take_number(r, &n, e);

    if (q == 0 && (n == 0 || n >= sizeof(r->path)))
        q = damaged(e);
    if (q == 0)
        q = take(r, r->path, n, e);
    if (q == 0)
        r->path[n] = '\0';
    return q;
}

static int take_record(struct split_reader *r, struct split_record *ret, struct err *e)
{
    int q = take(r, &ret->type, 1, e);

    if (q < 0)
        return q;
    switch (ret->type) {
    case 'R':
        q = take_number(r, &ret->len, e);
        r->raw_left = q == 0 ? ret->len : 0;
        return q;
    case 'F':
        q = take_path(r, e);
        if (q == 0)
            q = take_number(r, &ret->offset, e);
        r->file_open = true;
        break;
    case 'C':
        if (!r->file_open)
            return damaged(e);
        ret->offset = r->next;
        break;
    case 'X':
        q = take_path(r, e);
        ret->path = r->path;
        r->file_open = false;
        return q < 0 ? q : take_number(r, &ret->number, e);
    case 'E':
        return take_number(r, &ret->number, e);
    default:
        return damaged(e);
    }
    if (q == 0)
        q = take_number(r, &ret->len, e);
    ret->path = r->path;
    r->next = ret->offset + ret->len;
    return q;
}

int split_next(struct split_reader *r, struct split_record *ret, struct err *e)
{
    char head[sizeof(magic)];
    int q = 0;

    if (!r->started) {
        q = take(r, head, sizeof(head), e);
        if (q == 0 && memcmp(head, magic, sizeof(magic)) != 0)
            q = damaged(e);
        r->started = true;
    }
    while (q == 0 && r->raw_left > 0) /* the caller did not want these bytes */
        q = split_read_raw(r, NULL, SIZE_MAX, e) < 0 ? damaged(e) : 0;
    memset(ret, 0, sizeof(*ret));
    if (q == 0)
        q = take_record(r, ret, e);
    return q < 0 ? q : ret->type != 'E';
}

int split_read_raw(struct split_reader *r, void *buf, size_t size, struct err *e)
{
    size_t n;
    int q;

    if (r->raw_left == 0)
        return 0;
    q = refill(r, e);
    if (q < 0)
        return q;
    n = r->len - r->at;
    if (n > size)
        n = size;
    if (n > r->raw_left)
        n = r->raw_left;
    if (buf)
        memcpy(buf, r->out + r->at, n);
    r->at += n;
    r->raw_left -= n;
    return (int)n;
}
