/* rebuild - the exact tar of a layer again, from headers.zst and the tree. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "layer/job.h"
#include "layer/out.h"
#include "layer/sandbox.h"
#include "layer/split.h"

/* 'X' records: files named before (by ordinal) whose content went to replaced/. */
struct moved {
    uint64_t until; /* files with a smaller ordinal */
    uint64_t number;
    char *path;
};

struct rebuild {
    const struct layer_task *task;
    struct out *out;
    struct moved *moved;
    size_t n_moved;
    uint64_t file; /* ordinal of the 'F' in work */
    int fd;        /* its content */
    char path[PATH_MAX];
};

/* First pass: what moved, since that is recorded behind the files it concerns. */
static int find_moved(struct rebuild *b, struct err *e)
{
    SCOPED(split_reader_scoped) struct split_reader *in = split_reader_new(b->task->headers_fd);
    struct split_record rec;
    uint64_t files = 0;
    int r;

    while ((r = split_next(in, &rec, e)) > 0) {
        files += rec.type == 'F';
        if (rec.type != 'X')
            continue;
        b->moved = xrealloc(b->moved, (b->n_moved + 1) * sizeof(*b->moved));
        b->moved[b->n_moved++] =
            (struct moved){.until = files, .number = rec.number, .path = xstrdup(rec.path)};
    }
    return r;
}

/* The path of file number b->file now: records are in the order of time, the first move that
 * concerns it took it out of diff/ for good. Returns 1 when it is below replaced/. */
static int locate(const struct rebuild *b, const char *path, char ret[static PATH_MAX])
{
    for (size_t i = 0; i < b->n_moved; i++) {
        const struct moved *m = &b->moved[i];
        size_t n = strlen(m->path);
        if (m->until < b->file || strncmp(m->path, path, n) != 0 || (path[n] && path[n] != '/'))
            continue;
        return snprintf(ret, PATH_MAX, "%llu%s", (unsigned long long)m->number, path + n) < PATH_MAX
                   ? 1
                   : -ENAMETOOLONG;
    }
    snprintf(ret, PATH_MAX, "%s", path);
    return 0;
}

static int open_content(struct rebuild *b, const char *path, struct err *e)
{
    struct stat st;
    char real[PATH_MAX];
    char *slash;
    int where, dir, base;

    b->file++;
    fd_close(&b->fd);
    where = locate(b, path, real);
    base = where > 0 ? b->task->replaced_fd : b->task->diff_fd;
    if (where < 0 || base < 0)
        return err_msg(e, EUCLEAN, "content of \"%.300s\" is missing", path);
    slash = strrchr(real, '/');
    if (slash)
        *slash = '\0';
    dir = tree_open_dir(base, slash ? real : "");
    if (dir < 0)
        return err_msg(e, EUCLEAN, "content of \"%.300s\" is missing", path);
    b->fd = openat(dir, slash ? slash + 1 : real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    close(dir);
    if (b->fd < 0 || fstat(b->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_msg(e, EUCLEAN, "content of \"%.300s\" is missing", path);
    return 0;
}

static int copy_record(struct rebuild *b, struct split_reader *in, const struct split_record *rec,
                       struct err *e)
{
    uint8_t buf[16384];
    int r = 0, n;

    switch (rec->type) {
    case 'R':
        while ((n = split_read_raw(in, buf, sizeof(buf), e)) > 0) {
            r = out_write(b->out, buf, (size_t)n, e);
            if (r < 0)
                return r;
        }
        return n;
    case 'F':
        r = open_content(b, rec->path, e);
        if (r < 0)
            return r;
        snprintf(b->path, sizeof(b->path), "%s", rec->path);
        break;
    case 'C':
        if (b->fd < 0)
            return err_msg(e, EUCLEAN, "headers.zst is damaged");
        break;
    default:
        return 0;
    }
    r = out_copy(b->out, b->fd, rec->offset, rec->len, e);
    return r < 0 ? err_add(e, r, "\"%.300s\"", b->path) : 0;
}

static int rebuild(struct rebuild *b, struct err *e)
{
    SCOPED(split_reader_scoped) struct split_reader *in = NULL;
    struct split_record rec = {0};
    int r = find_moved(b, e);

    if (r == 0 && lseek(b->task->headers_fd, 0, SEEK_SET) < 0)
        r = err_set(e, errno, "read headers.zst");
    if (r < 0)
        return r;
    in = split_reader_new(b->task->headers_fd);
    while ((r = split_next(in, &rec, e)) > 0) {
        r = copy_record(b, in, &rec, e);
        if (r < 0)
            return r;
    }
    if (r == 0 && rec.number != out_bytes(b->out))
        r = err_msg(e, EUCLEAN, "its size is wrong");
    return r;
}

static int rebuild_all(const struct layer_task *task, bool confine, struct layer_result *res,
                       struct err *e)
{
    const char *want = task->req->diffid;
    struct rebuild b = {.task = task, .fd = -1};
    int r = out_new(task->io_fd, want[0] ? want : NULL, &b.out, e);

    if (r == 0 && confine)
        r = layer_sandbox_enter(task->dir_fd, UINT64_MAX, task->env->filter, e);
    if (r == 0)
        r = rebuild(&b, e);
    if (r == 0)
        r = out_end(b.out, res, e);
    fd_close(&b.fd);
    for (size_t i = 0; i < b.n_moved; i++)
        free(b.moved[i].path);
    free(b.moved);
    out_free(b.out);
    if (r == 0 && want[0] && !digest_equal(want, res->diffid))
        r = err_msg(e, EUCLEAN, "its content changed");
    return r == -EUCLEAN ? err_add(e, r, "layer %.24s is damaged", want) : r;
}

int rebuild_run(const struct layer_task *task, struct layer_result *res, struct err *e)
{
    return rebuild_all(task, true, res, e);
}

int rebuild_unconfined(const struct layer_task *task, struct layer_result *res, struct err *e)
{
    return rebuild_all(task, false, res, e);
}
