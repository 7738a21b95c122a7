/* untar-worker - the confined child that parses an archive. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "build/untar-priv.h"
#include "sys/sandbox.h"

#define MAX_BYTES ((uint64_t)256 << 30) /* a sparse file costs nothing in an archive */
#define MAX_MEMORY ((uint64_t)3 << 30)  /* xz -9 of 1.5 GiB dictionaries */

static const int calls[] = {
    SYS_read,           SYS_write,      SYS_lseek,      SYS_fstat,   SYS_mmap,         SYS_munmap,
    SYS_mremap,         SYS_brk,        SYS_mprotect,   SYS_madvise, SYS_close,        SYS_futex,
    SYS_clock_gettime,  SYS_getrandom,  SYS_exit_group, SYS_exit,    SYS_rt_sigreturn, SYS_sysinfo,
    SYS_rt_sigprocmask, SYS_newfstatat, SYS_getpid,     SYS_gettid,
};

struct worker {
    struct archive *archive;
    int out;
    uint64_t bytes;
};

static void say(const struct worker *w, enum untar_kind kind, const void *data, size_t n)
{
    struct untar_wire head = {kind, (uint32_t)n};
    if (fs_write_all(w->out, &head, sizeof(head)) < 0 || fs_write_all(w->out, data, n) < 0)
        _exit(1);
}

static void __attribute__((noreturn)) fail(const struct worker *w, const char *why)
{
    say(w, UNTAR_ERROR, why ? why : "damaged", strnlen(why ? why : "damaged", 500));
    _exit(1);
}

static uint32_t add_xattrs(struct str *s, struct archive_entry *x)
{
    const char *name;
    const void *value;
    size_t size;
    uint32_t n = 0;
    archive_entry_xattr_reset(x);
    while (n < UNTAR_MAX_XATTRS &&
           archive_entry_xattr_next(x, &name, &value, &size) == ARCHIVE_OK) {
        if (!name || size > UNTAR_CHUNK || strlen(name) > 255)
            continue;
        uint32_t len[2] = {(uint32_t)strlen(name), (uint32_t)size};
        str_addn(s, len, sizeof(len));
        str_addn(s, name, len[0]);
        str_addn(s, value, size);
        n++;
    }
    return n;
}

static uint32_t type_of(struct archive_entry *x)
{
    if (archive_entry_hardlink(x))
        return '1';
    switch (archive_entry_filetype(x)) {
    case AE_IFREG:
        return '0';
    case AE_IFLNK:
        return '2';
    case AE_IFDIR:
        return '5';
    case AE_IFIFO:
        return '6';
    default:
        return 0;
    }
}

static void say_entry(struct worker *w, struct archive_entry *x)
{
    const char *path = archive_entry_pathname(x);
    const char *hard = archive_entry_hardlink(x);
    const char *link = hard ? hard : archive_entry_symlink(x);
    struct untar_head h = {.type = type_of(x)};
    if (!h.type)
        return;
    if (!path || strlen(path) >= 65536 || (link && strlen(link) >= 65536))
        fail(w, "an entry without a usable name");
    if ((h.type == '1' || h.type == '2') && !link)
        fail(w, "a link without a target");
    int64_t size = h.type == '0' ? archive_entry_size(x) : 0;
    if (size < 0 || (uint64_t)size > MAX_BYTES - w->bytes)
        fail(w, "its content is too large");
    w->bytes += (uint64_t)size;
    h.size = (uint64_t)size;
    h.mode = archive_entry_mode(x) & 07777;
    h.uid = (uint32_t)archive_entry_uid(x);
    h.gid = (uint32_t)archive_entry_gid(x);
    h.mtime = archive_entry_mtime(x);
    h.mtime_ns = (uint32_t)archive_entry_mtime_nsec(x);
    h.path_len = (uint32_t)strlen(path);
    h.link_len = link ? (uint32_t)strlen(link) : 0;
    scoped_str struct str xattrs = STR_INIT, all = STR_INIT;
    h.n_xattrs = add_xattrs(&xattrs, x);
    str_addn(&all, &h, sizeof(h));
    str_addn(&all, path, h.path_len);
    str_addn(&all, link ? link : "", h.link_len);
    str_addn(&all, xattrs.s, xattrs.len);
    if (all.len > UNTAR_MAX_MESSAGE)
        fail(w, "an entry with too many attributes");
    say(w, UNTAR_ENTRY, all.s, all.len);
    static char buf[UNTAR_CHUNK];
    for (uint64_t left = h.size; left;) {
        la_ssize_t n = archive_read_data(w->archive, buf, left < sizeof(buf) ? left : sizeof(buf));
        if (n <= 0)
            fail(w, n < 0 ? archive_error_string(w->archive) : "an entry is cut off");
        say(w, UNTAR_DATA, buf, (size_t)n);
        left -= (uint64_t)n;
    }
}

static int open_archive(struct worker *w, int in_fd)
{
    w->archive = archive_read_new();
    if (!w->archive)
        return ARCHIVE_FATAL;
    archive_read_support_filter_gzip(w->archive);
    archive_read_support_filter_bzip2(w->archive);
    archive_read_support_filter_xz(w->archive);
    archive_read_support_filter_zstd(w->archive);
    archive_read_support_format_tar(w->archive);
    return archive_read_open_fd(w->archive, in_fd, UNTAR_CHUNK);
}

void untar_worker(int in_fd, int out_fd)
{
    struct worker w = {.out = out_fd};
    struct err e = ERR_INIT;
    const struct sandbox box = {
        .what = "the reader of archives",
        .calls = calls,
        .n_calls = N_ELEMENTS(calls),
        .max_memory = MAX_MEMORY,
    };
    struct archive_entry *x;
    setlocale(LC_CTYPE, "C.UTF-8"); /* names are bytes for us, but libarchive asks */
    if (sandbox_enter(&box, &e) < 0)
        fail(&w, e.msg);
    int r = open_archive(&w, in_fd), n = 0;
    while (r == ARCHIVE_OK || r == ARCHIVE_WARN) {
        r = archive_read_next_header(w.archive, &x);
        if (r == ARCHIVE_OK || r == ARCHIVE_WARN)
            say_entry(&w, x);
        n += r == ARCHIVE_OK || r == ARCHIVE_WARN;
    }
    if (r != ARCHIVE_EOF && n == 0)
        say(&w, UNTAR_NONE, "", 0);
    else if (r != ARCHIVE_EOF)
        fail(&w, archive_error_string(w.archive));
    else
        say(&w, UNTAR_END, "", 0);
    _exit(0);
}
