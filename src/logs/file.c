/* file - the files of a log: appending, rotation, and what a crash has left at their end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/str.h"
#include "logs/logs-priv.h"

const char *log_file_name(const char *path, unsigned n, char *buf, size_t size)
{
    if (n == 0)
        snprintf(buf, size, "%s", path);
    else
        snprintf(buf, size, "%s.%u", path, n);
    return buf;
}

/* A record that was cut by a full disk or a crash must not take the next one with it. */
static bool is_torn(int fd, off_t size)
{
    char last;
    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

static int open_file(struct log_writer *w)
{
    struct stat st;
    int fd =
        openat(w->dir_fd, w->path,
               O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    w->fd = fd;
    w->size = (uint64_t)st.st_size;
    w->torn = is_torn(fd, st.st_size);
    return 0;
}

int log_file_open(struct log_writer *w, const struct log_ident *ident, struct err *e)
{
    struct log_file_opts o;
    int r = log_file_opts_parse(ident->opts, &o, e);
    if (r < 0)
        return r;
    w->max_size = o.max_size;
    w->max_files = o.max_files;
    w->path = xstrdup(o.path);
    w->dir_fd = fcntl(ident->dir_fd, F_DUPFD_CLOEXEC, 3);
    r = w->dir_fd < 0 ? -errno : open_file(w);
    return r < 0 ? err_set(e, -r, "%s", o.path) : 0;
}

void log_file_reopen(struct log_writer *w)
{
    fd_close(&w->fd);
    (void)!open_file(w);
}

void log_file_close(struct log_writer *w)
{
    fd_close(&w->fd);
    fd_close(&w->dir_fd);
    free(w->path);
}

/* log.1 becomes log.2 and so on, log becomes log.1; with one file only it starts anew. */
static void rotate(struct log_writer *w)
{
    char from[4096], to[4096];
    for (unsigned n = w->max_files - 1; n > 0; n--)
        (void)!renameat(w->dir_fd, log_file_name(w->path, n - 1, from, sizeof(from)), w->dir_fd,
                        log_file_name(w->path, n, to, sizeof(to)));
    if (w->max_files == 1)
        (void)!unlinkat(w->dir_fd, w->path, 0);
    log_file_reopen(w);
}

void log_file_put(struct log_writer *w, struct iovec *v, int n)
{
    struct iovec end = {(void *)(uintptr_t) "\n", 1};
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += v[i].iov_len;
    if (w->fd < 0)
        (void)!open_file(w);
    if (w->max_size && w->size && w->size + bytes > w->max_size)
        rotate(w);
    if (w->torn && w->fd >= 0 && writev(w->fd, &end, 1) == 1)
        w->torn = false;
    while (n > 0 && w->fd >= 0) {
        ssize_t done = writev(w->fd, v, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* a full disk loses lines, not the container */
        w->size += (uint64_t)done;
        for (; n > 0 && (size_t)done >= v->iov_len; v++, n--)
            done -= (ssize_t)v->iov_len;
        w->torn = n > 0;
        if (n > 0) {
            v->iov_base = (char *)v->iov_base + done;
            v->iov_len -= (size_t)done;
        }
    }
}
