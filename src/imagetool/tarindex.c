#include "imagetool/tarindex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"

#define BLOCK 512
#define MEMBERS_MAX 100000
#define META_MAX (1u << 20) /* a long name or PAX header */
#define LINKS_MAX 16

/* tar(5), struct posix_header */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

struct scan {
    int fd;
    int64_t at, end;
    char *path, *link; /* from a long-name or PAX header, for the next member */
    int64_t size;      /* from PAX, -1: none */
    struct tar_index index;
};

static int read_at(const struct scan *s, int64_t at, void *buf, size_t n, struct err *e)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = pread(s->fd, (char *)buf + got, n - got, at + (int64_t)got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_set(e, errno, "read the archive");
        if (r == 0)
            return err_msg(e, EBADMSG, "the archive is cut off at byte %lld",
                           (long long)(at + (int64_t)got));
        got += (size_t)r;
    }
    return 0;
}

/* Octal digits, or base 256 when the first byte has its high bit set. -1: out of range. */
static int64_t number(const char *field, size_t n)
{
    const unsigned char *p = (const unsigned char *)field;
    int64_t v = 0;
    if (p[0] & 0x80) {
        if (p[0] & 0x7f)
            return -1; /* negative, or beyond 2^80 */
        for (size_t i = 1; i < n; i++) {
            if (v >> 54)
                return -1;
            v = v << 8 | p[i];
        }
        return v;
    }
    size_t i = 0;
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (p[i] - '0'); /* 12 digits are 36 bits */
    return i < n && p[i] != '\0' && p[i] != ' ' ? -1 : v;
}

static bool checksum_ok(const struct header *h)
{
    const unsigned char *p = (const unsigned char *)h;
    int64_t sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= offsetof(struct header, checksum) && i < offsetof(struct header, type) ? ' '
                                                                                           : p[i];
    return number(h->checksum, sizeof(h->checksum)) == sum;
}

/* "./a//b" and "/a/b" are "a/b". */
static char *clean_name(const char *name)
{
    scoped_free char *clean = path_clean(name);
    return xstrdup(clean[0] == '/' ? clean + 1 : clean);
}

/* A symbolic link's target is relative to the member's own directory. */
static char *clean_link(const char *member, const char *target, char type)
{
    if (type == '1' || target[0] == '/')
        return clean_name(target);
    scoped_free char *dir = xstrdup(member);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    else
        dir[0] = '\0';
    scoped_free char *joined = xasprintf("%s/%s", dir, target);
    return clean_name(joined);
}

/* One "LEN key=value\n" record at *p. */
static int pax_record(struct scan *s, char **p, char *end, struct err *e)
{
    int64_t len = 0;
    char *q = *p;
    while (q < end && *q >= '0' && *q <= '9' && len < META_MAX)
        len = len * 10 + (*q++ - '0');
    if (q == *p || q >= end || *q != ' ' || len <= q - *p + 1 || len > end - *p ||
        (*p)[len - 1] != '\n')
        return err_msg(e, EBADMSG, "the archive has a damaged PAX header");
    char *key = q + 1, *stop = *p + len - 1;
    *stop = '\0';
    *p += len;
    char *eq = memchr(key, '=', (size_t)(stop - key));
    if (!eq)
        return err_msg(e, EBADMSG, "the archive has a damaged PAX header");
    *eq = '\0';
    char **slot = streq(key, "path") ? &s->path : streq(key, "linkpath") ? &s->link : NULL;
    if (slot) {
        free(*slot);
        *slot = xstrdup(eq + 1);
    } else if (streq(key, "size")) {
        if (parse_i64(eq + 1, &s->size) < 0 || s->size < 0)
            return err_msg(e, EBADMSG, "the archive has a member of %.40s bytes", eq + 1);
    } else if (str_after(key, "GNU.sparse.")) {
        return err_msg(e, EBADMSG, "the archive holds a sparse file");
    }
    return 0;
}

/* The content of a long-name ('L', 'K') or PAX ('x') header. */
static int read_meta(struct scan *s, char type, int64_t size, struct err *e)
{
    if (size > META_MAX)
        return err_msg(e, EBADMSG, "the archive has a header of %lld bytes", (long long)size);
    scoped_free char *data = xmalloc((size_t)size + 1);
    int r = read_at(s, s->at, data, (size_t)size, e);
    if (r < 0)
        return r;
    data[size] = '\0';
    if (type == 'L' || type == 'K') {
        char **slot = type == 'L' ? &s->path : &s->link;
        free(*slot);
        *slot = take_ptr(data);
        return 0;
    }
    for (char *p = data; r == 0 && p < data + size;)
        r = pax_record(s, &p, data + size, e);
    return r;
}

static char *header_name(const struct header *h)
{
    bool ustar = memcmp(h->magic, "ustar\0", 6) == 0;
    scoped_free char *name = xstrndup(h->name, sizeof(h->name));
    if (ustar && h->prefix[0])
        return xasprintf("%.*s/%s", (int)strnlen(h->prefix, sizeof(h->prefix)), h->prefix, name);
    return take_ptr(name);
}

static void add_member(struct scan *s, const struct header *h, int64_t size)
{
    struct tar_index *t = &s->index;
    bool is_link = h->type == '1' || h->type == '2';
    scoped_free char *raw = s->path ? take_ptr(s->path) : header_name(h);
    scoped_free char *target = s->link ? take_ptr(s->link) : xstrndup(h->link, sizeof(h->link));
    if (!is_link && h->type != '0' && h->type != '\0' && h->type != '7')
        return; /* directories and the like hold nothing */
    if (t->n == t->alloc) {
        t->alloc = t->alloc ? t->alloc * 2 : 64;
        t->v = xrealloc(t->v, t->alloc * sizeof(*t->v));
    }
    char *name = clean_name(raw);
    t->v[t->n++] = (struct tar_member){
        .name = name,
        .link = is_link ? clean_link(name, target, h->type) : NULL,
        .offset = s->at,
        .size = is_link ? 0 : size,
    };
}

/* One header and what it announces. 1: end of the archive. */
static int scan_one(struct scan *s, struct err *e)
{
    static const struct header zero;
    struct header h;
    if (s->at == s->end)
        return 1;
    int r = read_at(s, s->at, &h, sizeof(h), e);
    if (r < 0)
        return r;
    if (memcmp(&h, &zero, sizeof(h)) == 0)
        return 1;
    if (!checksum_ok(&h))
        return err_msg(e, EBADMSG, "this is no tar archive, or a damaged one (header at byte %lld)",
                       (long long)s->at);
    int64_t size = number(h.size, sizeof(h.size));
    bool meta = h.type == 'L' || h.type == 'K' || h.type == 'x';
    s->at += BLOCK;
    if (h.type == 'S')
        return err_msg(e, EBADMSG, "the archive holds a sparse file");
    if (!meta && h.type != 'g' && s->size >= 0)
        size = s->size;
    if (h.type >= '1' && h.type <= '6')
        size = 0; /* links, devices and directories have no content, whatever the field says */
    if (size < 0 || size > s->end - s->at)
        return err_msg(e, EBADMSG, "the archive is cut off: a member at byte %lld goes beyond it",
                       (long long)s->at);
    if (meta) {
        r = read_meta(s, h.type, size, e);
    } else if (h.type != 'g') {
        if (s->index.n >= MEMBERS_MAX)
            return err_msg(e, EBADMSG, "the archive has more than %d members", MEMBERS_MAX);
        add_member(s, &h, size);
        s->size = -1;
    }
    s->at += (size + BLOCK - 1) / BLOCK * BLOCK;
    if (s->at > s->end)
        s->at = s->end; /* the last block may lack its padding */
    return r;
}

/* By name; the later one in the archive first. */
static int compare(const void *a, const void *b)
{
    const struct tar_member *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : x->offset < y->offset ? 1 : -1;
}

static void drop_replaced(struct tar_index *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (kept && streq(t->v[kept - 1].name, t->v[i].name)) {
            free(t->v[i].name);
            free(t->v[i].link);
        } else {
            t->v[kept++] = t->v[i];
        }
    }
    t->n = kept;
}

int tar_index_read(int fd, struct tar_index *ret, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat the archive");
    struct scan s = {.fd = fd, .end = st.st_size, .size = -1};
    int r = s.end ? 0 : err_msg(e, EBADMSG, "the archive is empty");
    while (r == 0)
        r = scan_one(&s, e);
    free(s.path);
    free(s.link);
    if (r < 0) {
        tar_index_release(&s.index);
        return r;
    }
    if (s.index.n)
        qsort(s.index.v, s.index.n, sizeof(*s.index.v), compare);
    drop_replaced(&s.index);
    *ret = s.index;
    return 0;
}

void tar_index_release(struct tar_index *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->v[i].name);
        free(t->v[i].link);
    }
    free(t->v);
    *t = (struct tar_index){0};
}

static int by_name(const void *key, const void *member)
{
    return strcmp(key, ((const struct tar_member *)member)->name);
}

const struct tar_member *tar_index_find(const struct tar_index *t, const char *name)
{
    scoped_free char *clean = clean_name(name);
    const char *want = clean;
    for (int i = 0; i < LINKS_MAX && t->n; i++) {
        const struct tar_member *m = bsearch(want, t->v, t->n, sizeof(*t->v), by_name);
        if (!m || !m->link)
            return m;
        want = m->link;
    }
    return NULL;
}
