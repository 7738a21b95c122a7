/* out - a tar on its way out: buffered, hashed, counted. */
#include "layer/out.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"

#define BUFFER ((size_t)256 << 10)

struct out {
    int fd;
    struct digest *digest; /* or NULL */
    uint8_t *buf;          /* BUFFER */
    size_t len;
    uint64_t bytes;
};

int out_new(int fd, const char *algorithm, struct out **ret, struct err *e)
{
    struct out *o = xcalloc(1, sizeof(*o));
    bool none = algorithm && !algorithm[0];
    int r = none ? 0 : digest_new(algorithm, &o->digest, e);

    if (r < 0) {
        out_free(o);
        return r;
    }
    o->fd = fd;
    o->buf = xmalloc(BUFFER);
    *ret = o;
    return 0;
}

void out_free(struct out *o)
{
    if (!o)
        return;
    digest_free(o->digest);
    free(o->buf);
    free(o);
}

static int flush(struct out *o, struct err *e)
{
    int r = o->digest ? digest_add(o->digest, o->buf, o->len) : 0;

    if (r == 0)
        r = fs_write_all(o->fd, o->buf, o->len);
    o->len = 0;
    return r < 0 ? err_set(e, -r, "write the tar") : 0;
}

int out_write(struct out *o, const void *data, size_t n, struct err *e)
{
    const uint8_t *p = data;

    while (n > 0) {
        size_t part = BUFFER - o->len < n ? BUFFER - o->len : n;
        memcpy(o->buf + o->len, p, part);
        o->len += part;
        o->bytes += part;
        p += part;
        n -= part;
        if (o->len == BUFFER && flush(o, e) < 0)
            return -EIO;
    }
    return 0;
}

int out_zeros(struct out *o, uint64_t n, struct err *e)
{
    static const uint8_t zero[4096];
    int r = 0;

    while (r == 0 && n > 0) {
        size_t part = n < sizeof(zero) ? (size_t)n : sizeof(zero);
        r = out_write(o, zero, part, e);
        n -= part;
    }
    return r;
}

int out_copy(struct out *o, int fd, uint64_t offset, uint64_t len, struct err *e)
{
    while (len > 0) {
        size_t room = BUFFER - o->len;
        ssize_t n = pread(fd, o->buf + o->len, room < len ? room : (size_t)len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "read");
        if (n == 0)
            return err_msg(e, EUCLEAN, "the file is shorter than it was");
        o->len += (size_t)n;
        o->bytes += (uint64_t)n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
        if (o->len == BUFFER && flush(o, e) < 0)
            return -EIO;
    }
    return 0;
}

uint64_t out_bytes(const struct out *o)
{
    return o->bytes;
}

int out_end(struct out *o, struct layer_result *res, struct err *e)
{
    int r = flush(o, e);

    if (r < 0)
        return r;
    if (o->digest && digest_end(o->digest, res->diffid) < 0)
        return err_set(e, EIO, "hash the tar");
    res->tar_bytes = o->bytes;
    return 0;
}
