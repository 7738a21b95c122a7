#include "imagetool/sink.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "base/strv.h"

#define BLOCK 512

static int open_file(const char *path, struct sink *s, struct err *e)
{
    struct stat st;
    if (!path) {
        if (isatty(STDOUT_FILENO)) {
            err_msg(e, EINVAL, "refusing to write an archive to a terminal");
            return err_hint(e, -EINVAL, "use --output FILE, or redirect the output");
        }
        s->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        return s->fd < 0 ? err_set(e, errno, "dup") : 0;
    }
    s->path = xstrdup(path);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) { /* /dev/stdout, a named pipe */
        s->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return s->fd < 0 ? err_set(e, errno, "open %s", path) : 0;
    }
    char rand[9];
    id_random_hex(rand, 8);
    s->temp = xasprintf("%s.%s.tmp", path, rand);
    /* Without a name nothing is left whatever ends us; not all file systems can do it. */
    scoped_free char *dir =
        strchr(path, '/') ? xstrndup(path, (size_t)(strrchr(path, '/') - path) + 1) : xstrdup(".");
    s->fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    s->unnamed = s->fd >= 0;
    if (s->unnamed)
        return 0;
    s->fd = open(s->temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (s->fd < 0) {
        free(take_ptr(s->temp));
        return err_set(e, errno, "create %s", path);
    }
    return 0;
}

static int open_dir(const char *path, struct sink *s, struct err *e)
{
    if (!path) {
        err_msg(e, EINVAL, "a directory cannot go to standard output");
        return err_hint(e, -EINVAL, "use --output DIR");
    }
    s->path = xstrdup(path);
    s->is_dir = true;
    s->made_dir = access(path, F_OK) < 0;
    s->fd = fs_open_dir(path, true, 0755, e);
    if (s->fd < 0)
        return s->fd;
    scoped_fd int again = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = again < 0 ? NULL : fdopendir(again);
    if (!d)
        return err_set(e, errno, "read %s", path);
    again = -1;
    for (struct dirent *de; (de = readdir(d));)
        if (!streq(de->d_name, ".") && !streq(de->d_name, ".."))
            return err_msg(e, ENOTEMPTY, "directory %s is not empty", path);
    if (mkdirat(s->fd, "blobs", 0755) < 0 || mkdirat(s->fd, "blobs/sha256", 0755) < 0)
        return err_set(e, errno, "create %s/blobs", path);
    return 0;
}

int sink_open(const char *path, bool is_dir, struct sink *ret, struct err *e)
{
    struct sink s = SINK_INIT;
    int r = is_dir ? open_dir(path, &s, e) : open_file(path, &s, e);
    if (r < 0) {
        if (s.is_dir)
            fd_close(&s.fd); /* it is not ours to remove */
        sink_release(&s);
        return r;
    }
    *ret = s;
    return 0;
}

void sink_release(struct sink *s)
{
    fd_close(&s->entry_fd);
    if (s->temp && !s->unnamed)
        unlink(s->temp);
    if (s->is_dir && s->fd >= 0) {
        static const char *const made[] = {"blobs", "index.json", "oci-layout"};
        for (size_t i = 0; i < N_ELEMENTS(made); i++)
            fs_remove_tree(s->fd, made[i], NULL);
        if (s->made_dir)
            rmdir(s->path);
    }
    fd_close(&s->fd);
    free(s->path);
    free(s->temp);
    strv_free(s->written);
    *s = (struct sink)SINK_INIT;
}

static int write_fail(const struct sink *s, int r, struct err *e)
{
    return err_set(e, -r, "write %s", s->path ? s->path : "standard output");
}

int sink_finish(struct sink *s, struct err *e)
{
    static const char end[2 * BLOCK];
    int r = s->is_dir ? 0 : fs_write_all(s->fd, end, sizeof(end));
    return r < 0 ? write_fail(s, r, e) : sink_keep(s, e);
}

/* linkat(2) has no way to replace a file: first under the temporary name. */
static int name_it(struct sink *s, struct err *e)
{
    char self[40];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", s->fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, s->temp, AT_SYMLINK_FOLLOW) < 0)
        return err_set(e, errno, "create %s", s->temp);
    s->unnamed = false;
    return 0;
}

int sink_keep(struct sink *s, struct err *e)
{
    int r = s->unnamed ? name_it(s, e) : 0;
    if (r < 0)
        return r;
    if (s->temp && rename(s->temp, s->path) < 0)
        return err_set(e, errno, "rename to %s", s->path);
    free(take_ptr(s->temp));
    fd_close(&s->fd);
    return 0;
}

bool sink_has(const struct sink *s, const char *name)
{
    return strv_has(s->written, name);
}

/* Octal, or base 256 from 8 GiB on. */
static void put_size(char field[static 12], uint64_t size)
{
    if (size < (1ull << 33)) {
        char text[13];
        snprintf(text, sizeof(text), "%011llo", (unsigned long long)size);
        memcpy(field, text, 12);
        return;
    }
    field[0] = (char)0x80;
    for (int i = 11; i > 0; i--, size >>= 8)
        field[i] = (char)(size & 0xff);
}

/* tar(5): a plain file of root, mode 0644, time 0, so that equal images give equal archives. */
static int put_header(struct sink *s, const char *name, uint64_t size, struct err *e)
{
    char h[BLOCK] = "";
    char sum_text[8];
    unsigned sum = 0;
    if (strlen(name) >= 100)
        return err_msg(e, ENAMETOOLONG, "name %s is too long for the archive", name);
    memcpy(h, name, strlen(name));
    memcpy(h + 100, "0000644\0000000000\0000000000", 24);
    put_size(h + 124, size);
    memcpy(h + 136, "00000000000", 12);
    memset(h + 148, ' ', 8);
    h[156] = '0';
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)h[i];
    snprintf(sum_text, sizeof(sum_text), "%06o", sum & 0777777);
    memcpy(h + 148, sum_text, 7);
    int r = fs_write_all(s->fd, h, BLOCK);
    return r < 0 ? write_fail(s, r, e) : 0;
}

int sink_begin(struct sink *s, const char *name, uint64_t size, struct err *e)
{
    strv_add(&s->written, name);
    s->entry_size = size;
    if (!s->is_dir) {
        int r = put_header(s, name, size, e);
        return r < 0 ? r : s->fd;
    }
    s->entry_fd = openat(s->fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
    return s->entry_fd < 0 ? err_set(e, errno, "create %s/%s", s->path, name) : s->entry_fd;
}

int sink_end(struct sink *s, struct err *e)
{
    static const char zero[BLOCK];
    size_t rest = (size_t)(s->entry_size % BLOCK);
    if (s->is_dir) {
        fd_close(&s->entry_fd);
        return 0;
    }
    int r = rest ? fs_write_all(s->fd, zero, BLOCK - rest) : 0;
    return r < 0 ? write_fail(s, r, e) : 0;
}

int sink_file(struct sink *s, const char *name, const void *data, size_t n, struct err *e)
{
    int fd = sink_begin(s, name, n, e);
    int r = fd < 0 ? fd : 0;
    if (r == 0) {
        r = fs_write_all(fd, data, n);
        r = r < 0 ? write_fail(s, r, e) : sink_end(s, e);
    }
    return r;
}
