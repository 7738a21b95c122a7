#include "imagetool/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/path.h"
#include "base/str.h"

#define CHUNK (256u << 10)
/* As for layers: more than this is a bomb, that would fill the disk before anybody looks at it. */
#define RATIO_MAX 1000u
#define RATIO_FROM ((uint64_t)1 << 30)

void bundle_file_close(struct bundle_file *f)
{
    if (f->own && f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* An unnamed file: gone with its last descriptor, however we end. */
static int open_spool(int dir_fd, struct err *e)
{
    int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
        return err_set(e, errno, "create a temporary file in the store");
    char name[20] = "s.";
    id_random_hex(name + 2, 16);
    fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(e, errno, "create a temporary file in the store");
    unlinkat(dir_fd, name, 0);
    return fd;
}

static void archive_scoped(struct archive **a)
{
    if (*a)
        archive_read_free(*a);
}

static int archive_fail(struct archive *a, struct err *e)
{
    const char *why = archive_error_string(a);
    return err_msg(e, EBADMSG, "decompress the archive: %s", why ? why : "unknown error");
}

/* Copies in_fd to out_fd, decompressed when it is compressed. Only filters that run inside this
 * process are on: libarchive would start programs for the others. */
static int spool(int in_fd, int out_fd, struct err *e)
{
    SCOPED(archive_scoped) struct archive *a = archive_read_new();
    scoped_free char *buf = xmalloc(CHUNK);
    struct archive_entry *entry;
    if (!a)
        return err_set(e, ENOMEM, "read the archive");
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_format_raw(a);
    archive_read_support_format_empty(a);
    if (archive_read_open_fd(a, in_fd, CHUNK) != ARCHIVE_OK)
        return archive_fail(a, e);
    uint64_t out = 0;
    int r = archive_read_next_header(a, &entry);
    if (r == ARCHIVE_EOF)
        return err_msg(e, EBADMSG, "the archive is empty");
    if (r < ARCHIVE_WARN)
        return archive_fail(a, e);
    for (;;) {
        la_ssize_t n = archive_read_data(a, buf, CHUNK);
        if (n < 0)
            return archive_fail(a, e);
        if (n == 0)
            return 0;
        out += (uint64_t)n;
        if (out > RATIO_FROM && out / RATIO_MAX > (uint64_t)archive_filter_bytes(a, -1))
            return err_msg(e, EFBIG, "decompress the archive: it grows more than %u times",
                           RATIO_MAX);
        r = fs_write_all(out_fd, buf, (size_t)n);
        if (r < 0)
            return err_set(e, -r, "write a temporary file in the store");
    }
}

static bool is_compressed(int fd)
{
    static const struct {
        const char *magic;
        size_t n;
    } known[] = {{"\x1f\x8b", 2},
                 {"\x28\xb5\x2f\xfd", 4},
                 {"\xfd"
                  "7zXZ",
                  5},
                 {"BZh", 3}};
    char head[8] = "";
    if (pread(fd, head, sizeof(head), 0) < 0)
        return false;
    for (size_t i = 0; i < N_ELEMENTS(known); i++)
        if (memcmp(head, known[i].magic, known[i].n) == 0)
            return true;
    return false;
}

static int open_archive(int fd, int spool_fd, struct bundle *b, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat");
    if (S_ISDIR(st.st_mode)) {
        b->is_dir = true;
        b->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return b->fd < 0 ? err_set(e, errno, "dup") : 0;
    }
    if (S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_CUR) == 0 && !is_compressed(fd)) {
        b->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (b->fd < 0)
            return err_set(e, errno, "dup");
    } else {
        b->fd = open_spool(spool_fd, e);
        int r = b->fd < 0 ? b->fd : spool(fd, b->fd, e);
        if (r < 0)
            return r;
    }
    return tar_index_read(b->fd, &b->index, e);
}

int bundle_open(const char *path, int spool_fd, struct bundle *ret, struct err *e)
{
    bool from_stdin = streq(path, "-");
    struct bundle b = {.fd = -1, .label = xstrdup(from_stdin ? "standard input" : path)};
    scoped_fd int fd = from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                  : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int r = fd < 0 ? err_set(e, errno, "open %s", b.label) : 0;
    if (r == 0) {
        r = open_archive(fd, spool_fd, &b, e);
        r = r < 0 ? err_add(e, r, "%s", b.label) : 0;
    }
    if (r < 0) {
        bundle_release(&b);
        return r;
    }
    *ret = b;
    return 0;
}

void bundle_release(struct bundle *b)
{
    if (b->fd >= 0)
        close(b->fd);
    tar_index_release(&b->index);
    free(b->label);
    *b = (struct bundle){.fd = -1};
}

static int missing(const char *name, struct err *e)
{
    return err_msg(e, ENOENT, "%s is missing from the archive", name);
}

int bundle_file(const struct bundle *b, const char *name, struct bundle_file *ret, struct err *e)
{
    if (!b->is_dir) {
        const struct tar_member *m = tar_index_find(&b->index, name);
        if (!m)
            return missing(name, e);
        *ret = (struct bundle_file){.fd = b->fd, .offset = m->offset, .size = m->size};
        return 0;
    }
    struct stat st;
    struct err why = ERR_INIT;
    scoped_fd int fd = path_open_in_root(b->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &why);
    if (fd == -ENOENT || fd == -ENOTDIR)
        return missing(name, e);
    if (fd < 0) {
        if (e)
            *e = why;
        return fd;
    }
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat %s", name);
    if (!S_ISREG(st.st_mode))
        return err_msg(e, EINVAL, "%s is not a regular file", name);
    *ret = (struct bundle_file){.fd = take_fd(&fd), .own = true, .size = st.st_size};
    return 0;
}

bool bundle_has(const struct bundle *b, const char *name)
{
    struct bundle_file f;
    if (bundle_file(b, name, &f, NULL) < 0)
        return false;
    bundle_file_close(&f);
    return true;
}

ssize_t bundle_read(const struct bundle *b, const char *name, size_t max, char **ret, struct err *e)
{
    SCOPED(bundle_file_close) struct bundle_file f = {.fd = -1};
    int r = bundle_file(b, name, &f, e);
    if (r < 0)
        return r;
    if ((uint64_t)f.size > max)
        return err_msg(e, EFBIG, "%s: %lld bytes are more than the %zu allowed", name,
                       (long long)f.size, max);
    scoped_free char *data = xmalloc((size_t)f.size + 1);
    size_t got = 0;
    while (got < (size_t)f.size) {
        ssize_t n = pread(f.fd, data + got, (size_t)f.size - got, f.offset + (int64_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(e, n < 0 ? errno : EIO, "read %s", name);
        got += (size_t)n;
    }
    data[got] = '\0';
    *ret = take_ptr(data);
    return (ssize_t)got;
}
