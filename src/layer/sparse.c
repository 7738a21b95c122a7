#include "layer/sparse.h"

#include <stdlib.h>
#include <unistd.h>

#define HOLE_MIN ((uint64_t)1 << 20)

static void add_part(struct sparse *s, uint64_t offset, uint64_t end, size_t *alloc)
{
    struct sparse_part *last = s->n ? &s->v[s->n - 1] : NULL;

    if (last && offset - (last->offset + last->len) < HOLE_MIN) {
        last->len = end - last->offset;
        return;
    }
    if (!last && offset < HOLE_MIN)
        offset = 0;
    if (s->n == *alloc) {
        *alloc = *alloc ? *alloc * 2 : 16;
        s->v = xrealloc(s->v, *alloc * sizeof(*s->v));
    }
    s->v[s->n++] = (struct sparse_part){.offset = offset, .len = end - offset};
}

/* lseek(2): every file ends in a hole, and one without data has no SEEK_DATA. */
static void find_data(int fd, uint64_t size, struct sparse *s)
{
    uint64_t at = 0;
    size_t alloc = 0;

    while (at < size) {
        off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;
        if (data < 0 || (uint64_t)data >= size)
            break;
        if ((uint64_t)data < at) /* a file system of somebody's own may say anything */
            data = (off_t)at;
        hole = lseek(fd, data, SEEK_HOLE);
        at = hole <= data || (uint64_t)hole > size ? size : (uint64_t)hole;
        add_part(s, (uint64_t)data, at, &alloc);
    }
    /* The end: a last part that stops short of it is followed by an empty one. */
    if (s->n && size - (s->v[s->n - 1].offset + s->v[s->n - 1].len) < HOLE_MIN)
        s->v[s->n - 1].len = size - s->v[s->n - 1].offset;
    if (!s->n || s->v[s->n - 1].offset + s->v[s->n - 1].len < size) {
        s->v = xrealloc(s->v, (s->n + 1) * sizeof(*s->v));
        s->v[s->n++] = (struct sparse_part){.offset = size};
    }
}

bool sparse_look(int fd, const struct stat *st, struct sparse *ret)
{
    struct sparse s = {.map = STR_INIT};
    uint64_t size = (uint64_t)st->st_size;

    if (size < HOLE_MIN || (uint64_t)st->st_blocks * 512 >= size)
        return false;
    find_data(fd, size, &s);
    for (size_t i = 0; i < s.n; i++)
        s.bytes += s.v[i].len;
    if (s.bytes == size) {
        sparse_release(&s);
        return false;
    }
    str_addf(&s.map, "%zu\n", s.n);
    for (size_t i = 0; i < s.n; i++)
        str_addf(&s.map, "%llu\n%llu\n", (unsigned long long)s.v[i].offset,
                 (unsigned long long)s.v[i].len);
    while (s.map.len % 512)
        str_addc(&s.map, '\0');
    *ret = s;
    return true;
}

void sparse_release(struct sparse *s)
{
    free(s->v);
    str_release(&s->map);
}
