/* tar - the tar end of "rootlet cp": a stream on stdin or stdout, packets (copy/message.h) on
 * descriptor 3. A command of our own, not for people. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "copy/message.h"
#include "imagetool/imagetool.h"
#include "layer/decompress.h"
#include "layer/entry.h"
#include "layer/out.h"
#include "layer/pax.h"
#include "layer/sandbox.h"

#define SOCKET 3
#define SPARSE_FROM (1u << 20) /* holes of smaller files are written as zeros */

/* --- IN: A STREAM THAT ANYBODY MAY HAVE MADE --- */

struct later_dir {
    struct copy_msg m;
    char *path;
};

struct reader {
    struct archive *archive;
    struct decompress *input;
    struct layer_entry x;
    char buf[64 << 10];
    struct later_dir *dirs;
    size_t n_dirs;
    struct err read_err;
    bool gone; /* nobody listens any more */
};

static ssize_t read_stdin(void *data, void *buf, size_t size, struct err *e)
{
    ssize_t n;
    (void)data;
    do
        n = read(STDIN_FILENO, buf, size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? err_set(e, errno, "read standard input") : n;
}

static la_ssize_t next_block(struct archive *a, void *data, const void **ret)
{
    struct reader *t = data;
    ssize_t n = decompress_read(t->input, t->buf, sizeof(t->buf), &t->read_err);
    *ret = t->buf;
    if (n < 0)
        archive_set_error(a, -(int)n, "%s", t->read_err.msg);
    return n < 0 ? -1 : n;
}

static int put(struct reader *t, const struct copy_msg *m, const char *path, const void *link,
               const void *xattrs)
{
    int r = copy_msg_write(SOCKET, m, path, link, xattrs);
    t->gone = r < 0 && r != -ENAMETOOLONG;
    return r;
}

static int damaged(struct reader *t, struct err *e)
{
    const char *why = archive_error_string(t->archive);
    if (t->read_err.errnum) {
        *e = t->read_err;
        return -t->read_err.errnum;
    }
    return err_msg(e, EBADMSG, "damaged tar archive: %.200s", why ? why : "unknown");
}

static uint32_t pack_xattrs(struct archive_entry *raw, char *buf)
{
    const char *name;
    const void *value;
    size_t size, at = 0;
    archive_entry_xattr_reset(raw);
    while (archive_entry_xattr_next(raw, &name, &value, &size) == ARCHIVE_OK) {
        size_t len = name ? strlen(name) + 1 : 0;
        if (!name || !str_after(name, "user.") || str_after(name, "user.overlay.") ||
            size > COPY_MAX_XATTRS || at + len + 4 + size > COPY_MAX_XATTRS)
            continue;
        uint32_t size32 = (uint32_t)size;
        memcpy(buf + at, name, len);
        memcpy(buf + at + len, &size32, 4);
        memcpy(buf + at + len + 4, value, size);
        at += len + 4 + size;
    }
    return (uint32_t)at;
}

static int put_content(struct reader *t, struct err *e)
{
    struct copy_msg m = {.type = COPY_DATA};
    for (;;) {
        const void *p;
        size_t n;
        la_int64_t offset;
        int a = archive_read_data_block(t->archive, &p, &n, &offset);
        if (a == ARCHIVE_EOF)
            break;
        if (a != ARCHIVE_OK)
            return damaged(t, e);
        if (offset < 0 || (uint64_t)offset + n > t->x.size)
            return err_msg(e, EBADMSG, "damaged sparse map");
        for (size_t done = 0; done < n; done += m.link_len) {
            m.size = (uint64_t)offset + done;
            m.link_len = n - done < COPY_MAX_DATA ? (uint32_t)(n - done) : COPY_MAX_DATA;
            int r = put(t, &m, "", (const char *)p + done, NULL);
            if (r < 0)
                return r;
        }
    }
    m = (struct copy_msg){.type = COPY_DATA_END, .size = t->x.size};
    return put(t, &m, "", NULL, NULL);
}

static void finish_later(struct reader *t, const struct copy_msg *m, const char *path)
{
    t->dirs = xrealloc(t->dirs, (t->n_dirs + 1) * sizeof(*t->dirs));
    t->dirs[t->n_dirs] = (struct later_dir){*m, xstrdup(path)};
    t->dirs[t->n_dirs].m.type = COPY_DIR_END;
    t->dirs[t->n_dirs++].m.xattrs_len = 0;
}

static int do_entry(struct reader *t, struct archive_entry *raw, struct err *e)
{
    static const uint32_t types[] = {
        [ENTRY_FILE] = COPY_FILE,         [ENTRY_DIR] = COPY_DIR,   [ENTRY_SYMLINK] = COPY_SYMLINK,
        [ENTRY_HARDLINK] = COPY_HARDLINK, [ENTRY_FIFO] = COPY_FIFO, [ENTRY_CHAR] = COPY_CHAR,
        [ENTRY_BLOCK] = COPY_BLOCK};
    char xattrs[COPY_MAX_XATTRS];
    struct layer_entry *x = &t->x;
    int r = entry_from_archive(raw, false, x, e);
    if (r < 0)
        return r;
    if (!x->path[0]) /* "./": the destination itself, which is there */
        return 0;
    struct copy_msg m = {
        .type = types[x->type],
        .mode = x->mode,
        .uid = x->uid < 0 || x->uid > UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)x->uid,
        .gid = x->gid < 0 || x->gid > UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)x->gid,
        .dev_major = (uint32_t)archive_entry_rdevmajor(raw),
        .dev_minor = (uint32_t)archive_entry_rdevminor(raw),
        .mtime = x->mtime.tv_sec,
        .mtime_ns = (uint32_t)x->mtime.tv_nsec,
        .size = x->size,
        .path_len = (uint32_t)strlen(x->path),
        .link_len = (uint32_t)strlen(x->link),
        .xattrs_len = pack_xattrs(raw, xattrs),
    };
    r = put(t, &m, x->path, x->link, xattrs);
    if (r == 0 && x->type == ENTRY_DIR)
        finish_later(t, &m, x->path);
    return r == 0 && x->type == ENTRY_FILE ? put_content(t, e) : r;
}

static int finish_dirs(struct reader *t)
{
    int r = 0;
    while (r == 0 && t->n_dirs > 0) {
        struct later_dir *d = &t->dirs[--t->n_dirs];
        r = put(t, &d->m, d->path, NULL, NULL);
    }
    return r;
}

/* What follows the archive is read, so that who writes it does not get EPIPE. */
static void drain(struct reader *t)
{
    struct err ignored = ERR_INIT;
    while (decompress_read(t->input, t->buf, sizeof(t->buf), &ignored) > 0)
        ;
}

static int read_tar(struct reader *t, struct err *e)
{
    struct archive_entry *raw;
    struct copy_msg m = {.type = COPY_HEAD, .flags = COPY_IS_DIR | COPY_IS_STREAM};
    int r = put(t, &m, "", NULL, NULL);
    if (r == 0 && archive_read_open(t->archive, t, NULL, next_block, NULL) != ARCHIVE_OK)
        r = damaged(t, e);
    while (r == 0) {
        int a = archive_read_next_header(t->archive, &raw);
        if (a == ARCHIVE_EOF)
            break;
        if (a != ARCHIVE_OK && a != ARCHIVE_WARN)
            return damaged(t, e);
        r = do_entry(t, raw, e);
        if (r < 0 && e->errnum) {
            const char *name = archive_entry_pathname(raw);
            return err_add(e, r, "entry \"%.300s\"", name ? name : "?");
        }
    }
    if (r == 0)
        r = finish_dirs(t);
    if (r == 0)
        drain(t);
    m = (struct copy_msg){.type = COPY_END};
    return r == 0 ? put(t, &m, "", NULL, NULL) : r;
}

/* Nothing but our descriptors: a name space of users of our own gives the right to leave every
 * directory, and the filter leaves no more than reading and writing. */
static int confine(struct err *e)
{
    struct sandbox_filter *filter = NULL;
    int r = sandbox_filter_new(&filter, e);
    if (r < 0)
        return r;
    /* A directory in which nothing can be made. */
    scoped_fd int fd = open("/proc/self/fdinfo", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        r = err_set(e, errno, "open /proc/self/fdinfo");
    else if (unshare(CLONE_NEWUSER) < 0)
        r = err_set(e, errno, "confine the tar reader");
    else
        r = layer_sandbox_enter(fd, 0, filter, e);
    sandbox_filter_free(filter);
    return r;
}

_Noreturn static void tar_in(const char *label, struct err *e)
{
    struct reader *t = xcalloc(1, sizeof(*t));
    t->input = decompress_new(read_stdin, t);
    t->archive = archive_read_new();
    if (!t->archive || archive_read_support_format_tar(t->archive) != ARCHIVE_OK)
        err_set(e, ENOMEM, "start the archive reader");
    int r = e->errnum ? -e->errnum : confine(e);
    if (r == 0)
        r = read_tar(t, e);
    if (r < 0 && !t->gone) {
        if (!e->errnum)
            err_set(e, -r, "read the tar");
        err_add(e, r, "%s", label);
        copy_send_failure(SOCKET, e);
    }
    /* Nothing is left to be done, and in the confinement nothing else can be. */
    _exit(0);
}

/* --- OUT --- */

struct writer {
    struct out *out;
    struct pax pax;
    struct str path, link;
    char *prefix; /* "name/" or "./" */
    bool is_dir;
};

static const char *full_name(struct writer *t, struct str *s, const char *path, bool dir)
{
    str_reset(s);
    if (!t->is_dir)
        str_add(s, t->prefix);
    else
        str_addf(s, "%s%s%s", t->prefix, path, dir && *path ? "/" : "");
    return s->s;
}

static void pack_records(struct pax *pax, const struct copy_packet *p)
{
    struct copy_xattr x;
    for (size_t at = 0; copy_next_xattr(p, &at, &x);) {
        scoped_free char *key = xasprintf("SCHILY.xattr.%s", x.name);
        pax_record(pax, key, x.value, x.size);
    }
}

/* The data of a file between two offsets; zeros where it became shorter meanwhile. */
static int put_range(struct writer *t, int fd, uint64_t at, uint64_t end, struct err *e)
{
    char buf[32 << 10];
    while (at < end) {
        size_t want = end - at < sizeof(buf) ? (size_t)(end - at) : sizeof(buf);
        ssize_t n = pread(fd, buf, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "read");
        int r = n > 0 ? out_write(t->out, buf, (size_t)n, e) : out_zeros(t->out, want, e);
        if (r < 0)
            return r;
        at += n > 0 ? (uint64_t)n : want;
    }
    return 0;
}

/* The extents of a file with holes: "N\nOFFSET\nSIZE\n..." as GNU's format 1.0 has them, and the
 * sum of the sizes. The last one is empty when the file ends in a hole. */
static uint64_t sparse_map(int fd, uint64_t size, struct str *map)
{
    scoped_str struct str list = STR_INIT;
    uint64_t sum = 0, n = 0, at = 0;
    while (at < size) {
        off_t start = lseek(fd, (off_t)at, SEEK_DATA);
        if (start < 0 || (uint64_t)start >= size)
            break;
        if ((uint64_t)start < at) /* a file system of somebody's own may say anything */
            start = (off_t)at;
        off_t end = lseek(fd, start, SEEK_HOLE);
        if (end <= start || (uint64_t)end > size)
            end = (off_t)size;
        str_addf(&list, "%llu\n%llu\n", (unsigned long long)start,
                 (unsigned long long)(end - start));
        sum += (uint64_t)(end - start);
        at = (uint64_t)end;
        n++;
    }
    if (at < size) {
        str_addf(&list, "%llu\n0\n", (unsigned long long)size);
        n++;
    }
    str_addf(map, "%llu\n%s", (unsigned long long)n, list.s);
    while (map->len % 512)
        str_addc(map, '\0');
    return sum;
}

static int put_sparse(struct writer *t, const struct copy_packet *p, struct err *e)
{
    scoped_str struct str map = STR_INIT, real = STR_INIT;
    uint64_t sum = sparse_map(p->fd, p->m.size, &map);
    pax_record(&t->pax, "GNU.sparse.major", "1", 1);
    pax_record(&t->pax, "GNU.sparse.minor", "0", 1);
    pax_record(&t->pax, "GNU.sparse.name", t->path.s, t->path.len);
    str_addf(&real, "%llu", (unsigned long long)p->m.size);
    pax_record(&t->pax, "GNU.sparse.realsize", real.s, real.len);
    t->pax.path = "GNUSparseFile.0/x";
    t->pax.size = sum + map.len;
    int r = pax_write(&t->pax, t->out, e);
    if (r == 0)
        r = out_write(t->out, map.s, map.len, e);
    /* Again from the map, which is what was announced. */
    char *s = map.s + strcspn(map.s, "\n");
    while (r == 0 && *s && s[1] >= '0' && s[1] <= '9') {
        uint64_t at = strtoull(s + 1, &s, 10), len = strtoull(s + 1, &s, 10);
        r = put_range(t, p->fd, at, at + len, e);
    }
    return r == 0 ? out_zeros(t->out, (size_t)((512 - sum % 512) % 512), e) : r;
}

/* A file of the kernel's own says to be empty, and has to be read to be measured. */
static int put_unsized(struct writer *t, const struct copy_packet *p, struct err *e)
{
    scoped_free char *data = NULL;
    ssize_t n = fs_read_fd(p->fd, 64u << 20, &data, NULL);
    t->pax.size = n > 0 ? (uint64_t)n : 0;
    int r = pax_write(&t->pax, t->out, e);
    if (r == 0 && n > 0)
        r = out_write(t->out, data, (size_t)n, e);
    return r == 0 && n > 0 ? out_zeros(t->out, (size_t)((512 - n % 512) % 512), e) : r;
}

static int put_file(struct writer *t, const struct copy_packet *p, struct err *e)
{
    struct stat st = {.st_blocks = INT64_MAX / 512};
    /* EACCES: of a container's FUSE, which answers only its own user namespace. */
    if (p->fd < 0 || (fstat(p->fd, &st) < 0 && errno != EACCES))
        return err_msg(e, EPROTO, "the reading side sent no file");
    if (p->m.size == 0)
        return put_unsized(t, p, e);
    if (p->m.size > SPARSE_FROM && (uint64_t)st.st_blocks * 512 < p->m.size / 2)
        return put_sparse(t, p, e);
    t->pax.size = p->m.size;
    int r = pax_write(&t->pax, t->out, e);
    if (r == 0)
        r = put_range(t, p->fd, 0, p->m.size, e);
    return r == 0 ? out_zeros(t->out, (size_t)((512 - p->m.size % 512) % 512), e) : r;
}

static int put_entry(struct writer *t, const struct copy_packet *p, struct err *e)
{
    static const char types[] = {
        [COPY_FILE] = '0', [COPY_DIR] = '5',  [COPY_SYMLINK] = '2', [COPY_HARDLINK] = '1',
        [COPY_FIFO] = '6', [COPY_CHAR] = '3', [COPY_BLOCK] = '4'};
    t->pax = (struct pax){
        .type = types[p->m.type],
        .path = full_name(t, &t->path, p->path, p->m.type == COPY_DIR),
        .link = p->m.type == COPY_SYMLINK    ? p->link
                : p->m.type == COPY_HARDLINK ? full_name(t, &t->link, p->link, false)
                                             : NULL,
        .mode = p->m.mode,
        .uid = p->m.uid,
        .gid = p->m.gid,
        .dev_major = p->m.type == COPY_CHAR || p->m.type == COPY_BLOCK ? p->m.dev_major : 0,
        .dev_minor = p->m.type == COPY_CHAR || p->m.type == COPY_BLOCK ? p->m.dev_minor : 0,
        .mtime = {.tv_sec = p->m.mtime, .tv_nsec = p->m.mtime_ns},
        .records = STR_INIT,
    };
    pack_records(&t->pax, p);
    int r = p->m.type == COPY_FILE ? put_file(t, p, e) : pax_write(&t->pax, t->out, e);
    str_release(&t->pax.records);
    return r < 0 ? err_add(e, r, "\"%s\"", t->path.s) : 0;
}

/* 0: go on, 1: the end. */
static int take(struct writer *t, struct copy_packet *p, struct err *e)
{
    switch (p->m.type) {
    case COPY_HEAD:
        free(t->prefix);
        t->is_dir = p->m.flags & COPY_IS_DIR;
        t->prefix = !t->is_dir                      ? xstrdup(p->link)
                    : p->m.flags & COPY_IS_CONTENTS ? xstrdup("./")
                                                    : xasprintf("%s/", p->link);
        return 0;
    case COPY_FILE:
    case COPY_DIR:
    case COPY_SYMLINK:
    case COPY_HARDLINK:
    case COPY_FIFO:
    case COPY_CHAR:
    case COPY_BLOCK:
        return t->prefix ? put_entry(t, p, e) : err_msg(e, EPROTO, "no beginning");
    case COPY_DIR_END:
    case COPY_LEFT_OUT:
        return 0;
    case COPY_FAILED:
        return copy_take_failure(p, e);
    case COPY_END:
        return 1;
    default:
        return err_msg(e, EPROTO, "the reading side sent a packet of type %u", p->m.type);
    }
}

static int tar_out(struct err *e)
{
    struct writer t = {.path = STR_INIT, .link = STR_INIT};
    scoped_free char *buf = xmalloc(COPY_MAX_PACKET);
    struct layer_result ignored;
    int r = out_new(STDOUT_FILENO, OUT_NO_DIGEST, &t.out, e);
    while (r == 0) {
        struct copy_packet p;
        r = copy_msg_recv(SOCKET, buf, &p, e);
        if (r == 0)
            r = take(&t, &p, e);
        fd_close(&p.fd);
    }
    if (r == 1)
        r = out_zeros(t.out, 1024, e);
    /* Its processes are gone when we are. */
    struct copy_packet end;
    struct err ignored_end = ERR_INIT;
    while (r == 0 && copy_msg_recv(SOCKET, buf, &end, &ignored_end) == 0)
        fd_close(&end.fd);
    if (r == 0)
        r = out_end(t.out, &ignored, e);
    out_free(t.out);
    free(t.prefix);
    str_release(&t.path);
    str_release(&t.link);
    return r;
}

static int tar_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)cmd;
    (void)opts;
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (streq(args[0], "in"))
        tar_in(args[1], e);
    int r = tar_out(e);
    return r < 0 && !str_after(e->msg, args[1]) ? err_add(e, r, "%s", args[1]) : r;
}

const struct cmd imagetool_tar_cmds[] = {
    {
        .name = "cp-tar",
        .args = "in|out NAME",
        .summary = "The tar end of rootlet cp",
        .min_args = 2,
        .max_args = 2,
        .flags = CMD_HIDDEN,
        .run = tar_command,
    },
};
