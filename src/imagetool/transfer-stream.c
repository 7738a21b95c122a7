/* transfer-stream - blobs as streams: of memory, of a file, compressed, checked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "imagetool/transfer.h"
#include "layer/digest.h"

#define CHUNK ((size_t)128 << 10)

void stream_free(struct stream *s)
{
    if (s)
        s->free(s);
}

struct memory {
    struct stream stream;
    char *data;
    size_t n, at;
};

static ssize_t memory_read(struct stream *s, void *buf, size_t n, struct err *e)
{
    struct memory *m = (struct memory *)s;
    (void)e;
    if (n > m->n - m->at)
        n = m->n - m->at;
    memcpy(buf, m->data + m->at, n);
    m->at += n;
    return (ssize_t)n;
}

static int memory_rewind(struct stream *s, struct err *e)
{
    (void)e;
    ((struct memory *)s)->at = 0;
    return 0;
}

static void memory_free(struct stream *s)
{
    struct memory *m = (struct memory *)s;
    free(m->data);
    free(m);
}

struct stream *stream_memory(char *data, size_t n)
{
    struct memory *m = xcalloc(1, sizeof(*m));
    *m = (struct memory){
        .stream = {memory_read, memory_rewind, memory_free, n}, .data = data, .n = n};
    return &m->stream;
}

struct file {
    struct stream stream;
    int fd;
    bool own;
    int64_t offset;
    uint64_t size, at;
};

static ssize_t file_read(struct stream *s, void *buf, size_t n, struct err *e)
{
    struct file *f = (struct file *)s;
    if (n > f->size - f->at)
        n = (size_t)(f->size - f->at);
    ssize_t got = n ? pread(f->fd, buf, n, (off_t)(f->offset + (int64_t)f->at)) : 0;
    if (got < 0)
        return err_set(e, errno, "read the archive");
    if (got == 0 && n)
        return err_msg(e, EBADMSG, "the archive is cut off");
    f->at += (uint64_t)got;
    return got;
}

static int file_rewind(struct stream *s, struct err *e)
{
    (void)e;
    ((struct file *)s)->at = 0;
    return 0;
}

static void file_free(struct stream *s)
{
    struct file *f = (struct file *)s;
    if (f->own)
        fd_close(&f->fd);
    free(f);
}

struct stream *stream_file(int fd, bool own, int64_t offset, uint64_t size)
{
    struct file *f = xcalloc(1, sizeof(*f));
    *f = (struct file){.stream = {file_read, file_rewind, file_free, size},
                       .fd = fd,
                       .own = own,
                       .offset = offset,
                       .size = size};
    return &f->stream;
}

struct packed {
    struct stream stream, *in;
    struct compress *c;
};

static ssize_t packed_input(void *data, void *buf, size_t n, struct err *e)
{
    struct stream *in = data;
    return in->read(in, buf, n, e);
}

static ssize_t packed_read(struct stream *s, void *buf, size_t n, struct err *e)
{
    return compress_read(((struct packed *)s)->c, buf, n, e);
}

static int packed_rewind(struct stream *s, struct err *e)
{
    struct packed *p = (struct packed *)s;
    int r = p->in->rewind(p->in, e);
    return r < 0 ? r : compress_restart(p->c, e);
}

static void packed_free(struct stream *s)
{
    struct packed *p = (struct packed *)s;
    compress_free(p->c);
    stream_free(p->in);
    free(p);
}

int stream_compress(struct stream *in, enum compress_format format, int level, struct stream **ret,
                    struct err *e)
{
    struct packed *p = xcalloc(1, sizeof(*p));
    *p = (struct packed){.stream = {packed_read, packed_rewind, packed_free, UINT64_MAX}, .in = in};
    int r = compress_new(format, level, packed_input, in, &p->c, e);
    if (r < 0) {
        packed_free(&p->stream);
        return r;
    }
    *ret = &p->stream;
    return 0;
}

struct checked {
    struct stream stream, *in;
    struct digest *hash;
    char want[DIGEST_TEXT_MAX];
    uint64_t size, at;
    bool ended;
};

static int checked_end(struct checked *c, struct err *e)
{
    char got[DIGEST_TEXT_MAX];
    if (c->ended)
        return 0;
    if (c->at != c->size)
        return err_msg(e, EBADMSG, "blob %s has %llu bytes, its descriptor says %llu", c->want,
                       (unsigned long long)c->at, (unsigned long long)c->size);
    if (!c->hash || digest_end(c->hash, got) < 0)
        return err_set(e, EIO, "hash blob %s", c->want);
    if (!digest_equal(got, c->want))
        return err_msg(e, EBADMSG, "digest mismatch: blob %s has the content of %s", c->want, got);
    c->ended = true;
    return 0;
}

static ssize_t checked_read(struct stream *s, void *buf, size_t n, struct err *e)
{
    struct checked *c = (struct checked *)s;
    ssize_t got = c->in->read(c->in, buf, n, e);
    if (got < 0)
        return got;
    if (got == 0)
        return checked_end(c, e);
    c->at += (uint64_t)got;
    if (c->at > c->size)
        return err_msg(e, EBADMSG, "blob %s is longer than the %llu bytes of its descriptor",
                       c->want, (unsigned long long)c->size);
    int r = digest_add(c->hash, buf, (size_t)got);
    if (r < 0)
        return err_set(e, -r, "hash blob %s", c->want);
    /* Who knows the size does not ask for the end: wrong bytes must not have gone by then. */
    if (c->at == c->size) {
        r = checked_end(c, e);
        return r < 0 ? r : got;
    }
    return got;
}

static int checked_rewind(struct stream *s, struct err *e)
{
    struct checked *c = (struct checked *)s;
    digest_free(take_ptr(c->hash));
    c->at = 0;
    c->ended = false;
    int r = digest_new(c->want, &c->hash, e);
    return r < 0 ? r : c->in->rewind(c->in, e);
}

static void checked_free(struct stream *s)
{
    struct checked *c = (struct checked *)s;
    digest_free(c->hash);
    stream_free(c->in);
    free(c);
}

struct stream *stream_checked(struct stream *in, const char *digest, uint64_t size)
{
    struct checked *c = xcalloc(1, sizeof(*c));
    *c = (struct checked){
        .stream = {checked_read, checked_rewind, checked_free, size}, .in = in, .size = size};
    snprintf(c->want, sizeof(c->want), "%s", digest);
    (void)!digest_new(digest, &c->hash, NULL); /* the digest was parsed before */
    return &c->stream;
}

int stream_copy(struct stream *in, int fd, const char *algorithm, char ret_digest[DIGEST_TEXT_MAX],
                uint64_t *ret_size, struct err *e)
{
    SCOPED(digest_scoped) struct digest *hash = NULL;
    scoped_free char *buf = xmalloc(CHUNK);
    ssize_t n;
    int r = digest_new(algorithm, &hash, e);
    if (r < 0)
        return r;
    *ret_size = 0;
    while ((n = in->read(in, buf, CHUNK, e)) > 0) {
        r = fs_write_all(fd, buf, (size_t)n);
        if (r < 0)
            return err_set(e, -r, "write");
        if (digest_add(hash, buf, (size_t)n) < 0)
            return err_set(e, EIO, "hash");
        *ret_size += (uint64_t)n;
    }
    if (n < 0)
        return (int)n;
    return digest_end(hash, ret_digest) < 0 ? err_set(e, EIO, "hash") : 0;
}
