#include "image/index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "image/ref.h"

#define INDEX_MAX (256u << 20)
#define INDEX_FROM 32 /* fewer images are read as quickly */
/* A change in the same tick of the kernel's clock would not show: what is younger is not indexed.
 */
#define SETTLED_NS INT64_C(100000000)
#define MAGIC "rootlet-index 2 "
#define HEAD_LEN (sizeof(MAGIC) - 1 + 16 + 1) /* the sum of the rest, end of line */

struct store_index_key {
    struct str text; /* a line for each directory */
    int64_t began_ns, newest_ns;
    bool is_good;
};

/* Not against malice (the file is ours), but half a file after a power cut is not believed. */
static uint64_t sum_of(const char *p, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ n, word;
    for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    word = 0;
    memcpy(&word, p, n);
    return (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
}

/* "D <tab> NAME <tab> time links inode" */
static bool describe(int root_fd, const char *dir, struct str *out, int64_t *ret_ns)
{
    struct stat st;
    if (fstatat(root_fd, dir, &st, AT_SYMLINK_NOFOLLOW) < 0 || strpbrk(dir, "\t\n"))
        return false;
    *ret_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    str_addf(out, "D\t%s\t%" PRId64 " %ju %ju\n", dir, *ret_ns, (uintmax_t)st.st_nlink,
             (uintmax_t)st.st_ino);
    return true;
}

static bool add_dir(struct store_index_key *k, int root_fd, const char *dir)
{
    int64_t ns = 0;
    if (!describe(root_fd, dir, &k->text, &ns))
        return false;
    if (ns > k->newest_ns)
        k->newest_ns = ns;
    return true;
}

struct store_index_key *store_index_begin(const struct conf *c)
{
    struct store_index_key *k = xcalloc(1, sizeof(*k));
    struct timespec now;
    k->text = (struct str)STR_INIT;
    clock_gettime(CLOCK_REALTIME, &now);
    k->began_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    scoped_fd int root = conf_open_root(c, "", false, NULL);
    k->is_good = root >= 0 && add_dir(k, root, "images") && add_dir(k, root, "refs");
    int refs = k->is_good ? openat(root, "refs", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    scoped_dir DIR *d = refs >= 0 ? fdopendir(refs) : NULL;
    int ended = 0;
    for (struct dirent *de; d && k->is_good && (de = fs_next_entry(d, &ended));) {
        scoped_free char *path = xasprintf("refs/%s", de->d_name);
        if (de->d_name[0] != '.')
            k->is_good = add_dir(k, root, path);
    }
    k->is_good &= d && ended == 0;
    return k;
}

void store_index_end(struct store_index_key *k)
{
    str_release(&k->text);
    free(k);
}

static bool is_plain(const char *s)
{
    return !s || !strpbrk(s, "\t\n");
}

static bool add_row(struct str *out, const struct store_image *i)
{
    if (i->extra && json_object_size(i->extra))
        return false; /* of a later version: read it there */
    if (!is_plain(i->os) || !is_plain(i->architecture) || !is_plain(i->variant))
        return false;
    str_addf(out, "I\t%s\t%s\t%" PRId64 "\t%" PRIu64 "\t%" PRIu32 "\t%d\t%s\t%s\t%s\t%s\t", i->id,
             i->manifest, i->created_ns, i->size, i->shown_from, i->intermediate,
             i->os ? i->os : "", i->architecture ? i->architecture : "",
             i->variant ? i->variant : "", i->dirs ? i->dirs : "");
    for (char **l = i->layers; l && *l; l++)
        str_addf(out, "%s%s", l > i->layers ? "," : "", *l);
    str_addc(out, '\n');
    return true;
}

void store_index_write(const struct conf *c, struct store_index_key *k, const struct store_scan *s)
{
    scoped_str struct str out = STR_INIT;
    if (!k->is_good || s->n_rows < INDEX_FROM || k->newest_ns > k->began_ns - SETTLED_NS)
        return;
    str_addn(&out, k->text.s, k->text.len);
    for (size_t i = 0; i < s->n_rows; i++)
        if (!add_row(&out, &s->rows[i]))
            return;
    for (size_t i = 0; i < s->n_refs; i++)
        str_addf(&out, "N\t%s\t%s\t%s\t%s\t%s\n", s->refs[i].name, s->refs[i].tag,
                 s->refs[i].manifest, s->refs[i].id, s->refs[i].index ? s->refs[i].index : "");
    scoped_free char *text = xasprintf(MAGIC "%016" PRIx64 "\n%s", sum_of(out.s, out.len), out.s);
    scoped_fd int dir = conf_open_root(c, "index", true, NULL);
    if (dir >= 0) /* read-only, full: then without */
        (void)!fs_write_atomic(dir, "images", text, strlen(text), 0600, FS_NO_SYNC, NULL);
}

/* The next field of a line, or NULL. */
static char *field(char **line)
{
    char *s = *line, *tab = s ? strchr(s, '\t') : NULL;
    *line = tab ? tab + 1 : NULL;
    if (tab)
        *tab = '\0';
    return s;
}

static bool parse_layers(char *text, struct store_image *i)
{
    if (!text || !*text)
        return text != NULL;
    i->layers = strv_split(text, ",", false);
    for (char **l = i->layers; *l; l++)
        if (image_digest_check(*l, NULL) < 0)
            return false;
    return true;
}

static char *dup_or_null(const char *s)
{
    return s && *s ? xstrdup(s) : NULL;
}

static bool parse_row(char *line, struct store_image *ret)
{
    enum { ID, MANIFEST, CREATED, SIZE, SHOWN, INTERMEDIATE, OS, ARCH, VARIANT, DIRS, LAYERS, N };
    char *f[N];
    for (int i = 0; i < N; i++)
        if (!(f[i] = field(&line)))
            return false;
    if (image_digest_check(f[ID], NULL) < 0 || image_digest_check(f[MANIFEST], NULL) < 0)
        return false;
    *ret = (struct store_image){
        .id = xstrdup(f[ID]),
        .manifest = xstrdup(f[MANIFEST]),
        .created_ns = strtoll(f[CREATED], NULL, 10),
        .size = strtoull(f[SIZE], NULL, 10),
        .shown_from = (uint32_t)strtoul(f[SHOWN], NULL, 10),
        .intermediate = streq(f[INTERMEDIATE], "1"),
        .os = dup_or_null(f[OS]),
        .architecture = dup_or_null(f[ARCH]),
        .variant = dup_or_null(f[VARIANT]),
        .dirs = dup_or_null(f[DIRS]),
    };
    if ((!ret->dirs || image_digest_check(ret->dirs, NULL) == 0) && parse_layers(f[LAYERS], ret))
        return true;
    store_image_release(ret);
    return false;
}

static bool parse_name(char *line, struct store_ref *ret)
{
    char *name = field(&line), *tag = field(&line), *manifest = field(&line), *id = field(&line);
    char *index = field(&line);
    if (!index || image_digest_check(manifest, NULL) < 0 || image_digest_check(id, NULL) < 0 ||
        (*index && image_digest_check(index, NULL) < 0))
        return false;
    *ret = (struct store_ref){xstrdup(name), xstrdup(tag), xstrdup(manifest), xstrdup(id),
                              dup_or_null(index)};
    return true;
}

/* Is the directory of this line as it was? */
static bool is_same(int root_fd, const char *line)
{
    scoped_str struct str now = STR_INIT;
    const char *name = line + 2, *tab = strchr(name, '\t');
    int64_t ns;
    if (!tab)
        return false;
    scoped_free char *dir = xstrndup(name, (size_t)(tab - name));
    if (!describe(root_fd, dir, &now, &ns))
        return false;
    return strlen(line) + 1 == now.len && memcmp(now.s, line, now.len - 1) == 0;
}

static bool parse_line(int root_fd, char *line, struct store_scan *s)
{
    if (line[0] == 'D' && line[1] == '\t')
        return is_same(root_fd, line);
    if (line[0] == 'I' && line[1] == '\t') {
        if (s->n_rows % 256 == 0)
            s->rows = xrealloc(s->rows, (s->n_rows + 256) * sizeof(*s->rows));
        if (!parse_row(line + 2, &s->rows[s->n_rows]))
            return false;
        return ++s->n_rows;
    }
    if (line[0] != 'N' || line[1] != '\t')
        return false;
    if (s->n_refs % 256 == 0)
        s->refs = xrealloc(s->refs, (s->n_refs + 256) * sizeof(*s->refs));
    if (!parse_name(line + 2, &s->refs[s->n_refs]))
        return false;
    return ++s->n_refs;
}

bool store_index_read(const struct conf *c, struct store_scan *ret)
{
    scoped_fd int root = conf_open_root(c, "", false, NULL);
    scoped_free char *text = NULL;
    struct store_scan s = {0};
    char head[HEAD_LEN + 1];
    ssize_t n = root < 0 ? root : fs_read(root, "index/images", INDEX_MAX, &text, NULL);
    if (n < (ssize_t)HEAD_LEN)
        return false;
    snprintf(head, sizeof(head), MAGIC "%016" PRIx64 "\n",
             sum_of(text + HEAD_LEN, (size_t)n - HEAD_LEN));
    bool good = memcmp(head, text, HEAD_LEN) == 0;
    for (char *line = text + HEAD_LEN, *end; good && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        good = parse_line(root, line, &s);
    }
    if (good)
        *ret = s;
    else
        store_scan_release(&s);
    return good;
}
