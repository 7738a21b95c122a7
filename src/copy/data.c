/* data - shared where the file system can, else within the kernel, else through a buffer. */
#include "copy/data.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define BUFFER ((size_t)256 << 10)
#define STEP ((off_t)16 << 20) /* between two ticks */
#define MAX_UNSIZED ((off_t)64 << 20)

struct job {
    int src, dst;
    bool by_hand; /* copy_file_range(2) does not work between these two */
    char *buf;
    copy_tick *tick;
    void *data;
};

/* One piece through the buffer: its length, 0 at the end of the file. */
static ssize_t piece(struct job *j, off_t at, off_t to, struct err *e)
{
    size_t want = to - at < (off_t)BUFFER ? (size_t)(to - at) : BUFFER;
    if (!j->buf)
        j->buf = xmalloc(BUFFER);
    ssize_t n = pread(j->src, j->buf, want, at);
    if (n < 0 && errno == EINTR)
        return piece(j, at, to, e);
    if (n < 0)
        return err_set(e, errno, "read");
    for (ssize_t done = 0; done < n;) {
        ssize_t w = pwrite(j->dst, j->buf + done, (size_t)(n - done), at + done);
        if (w < 0 && errno != EINTR)
            return err_set(e, errno, "write");
        done += w > 0 ? w : 0;
    }
    return n;
}

/* From at to the end of an extent. Returns where it came to, or -errno. */
static off_t extent(struct job *j, off_t at, off_t to, struct err *e)
{
    while (at < to) {
        off_t in = at, out = at;
        ssize_t n = -1;
        if (!j->by_hand)
            n = copy_file_range(j->src, &in, j->dst, &out,
                                (size_t)(to - at < STEP ? to - at : STEP), 0);
        /* Files of the kernel's own are empty to it; what failed fails again with its reason. */
        if (n <= 0) {
            j->by_hand = true;
            n = piece(j, at, to, e);
        }
        if (n < 0)
            return n;
        if (n == 0)
            break;
        at += n;
        if (j->tick)
            j->tick(j->data, (uint64_t)n);
    }
    return at;
}

static int sized(struct job *j, off_t size, bool holes, struct err *e)
{
    off_t at = 0;
    while (at < size) {
        off_t start = holes ? lseek(j->src, at, SEEK_DATA) : at;
        if (start < 0 && errno == ENXIO)
            break; /* a hole up to the end */
        if (start < at)
            start = at; /* no such seek here, or a file system that lies: all is data */
        if (start >= size)
            break;
        off_t end = holes ? lseek(j->src, start, SEEK_HOLE) : size;
        if (end <= start || end > size)
            end = size;
        at = extent(j, start, end, e);
        if (at < 0)
            return (int)at;
        if (at < end) { /* it was cut off meanwhile */
            size = at;
            break;
        }
    }
    if (!holes && at == size)
        return 0;
    return ftruncate(j->dst, size) < 0 ? err_set(e, errno, "set the size") : 0;
}

int copy_data(int src, int dst, uint64_t size, copy_tick *tick, void *data, struct err *e)
{
    struct job j = {.src = src, .dst = dst, .tick = tick, .data = data};
    struct stat st;
    if (size > (uint64_t)INT64_MAX)
        return err_set(e, EFBIG, "read");
    /* EACCES: a file of a container's FUSE, which answers only its own user namespace. */
    if (fstat(src, &st) < 0) {
        if (errno != EACCES)
            return err_set(e, errno, "stat");
        st = (struct stat){.st_size = 0};
    }
    int r = 0;
    if (size == 0) {
        j.by_hand = true;
        off_t end = extent(&j, 0, MAX_UNSIZED, e);
        r = end < 0 ? (int)end : 0;
    } else if (ioctl(dst, FICLONE, src) == 0) {
        if (tick)
            tick(data, size);
    } else {
        r = sized(&j, (off_t)size, st.st_blocks * 512 < st.st_size, e);
    }
    free(j.buf);
    return r;
}
