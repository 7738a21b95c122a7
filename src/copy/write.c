/* write - the writing side: where it all goes to, and the packets in order. */
#include "copy/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "base/timefmt.h"

#define QUIET_NS 1000000000LL /* nothing is shown of what is quicker */
#define LINE_NS 200000000LL

static const char *shown(const struct copy_writer *w, const char *path)
{
    return *path ? path : w->top_name ? w->top_name : w->at.path;
}

/* --- THE LINE ON THE TERMINAL AND NOTICES --- */

void copy_tick_line(void *data, uint64_t bytes)
{
    struct copy_writer *w = data;
    char size[32];
    w->bytes += bytes;
    if (!w->d->progress)
        return;
    int64_t now = time_monotonic_ns();
    if (now - w->begun_ns < QUIET_NS || now - w->shown_ns < LINE_NS)
        return;
    w->shown_ns = now;
    fprintf(stderr, "\r%s, %llu files copied \033[K", size_human(w->bytes, size, sizeof(size)),
            (unsigned long long)w->files);
}

void copy_clear_line(struct copy_writer *w)
{
    if (w->shown_ns)
        fputs("\r\033[K", stderr);
    w->shown_ns = 0;
}

void copy_leave_out(struct copy_writer *w, const char *path, const char *why)
{
    if (w->n_left_out++ == 0)
        snprintf(w->left_out, sizeof(w->left_out), "\"%.200s\": %.80s", shown(w, path), why);
}

static void tell(struct copy_writer *w)
{
    copy_clear_line(w);
    if (w->n_left_out && w->d->notice) {
        scoped_free char *text = w->n_left_out == 1 ? xasprintf("left out %s", w->left_out)
                                                    : xasprintf("left out %u files, among them %s",
                                                                w->n_left_out, w->left_out);
        w->d->notice(text);
    }
    if (w->n_owners && w->d->notice) {
        scoped_free char *text = xasprintf("owners that mean nothing there were not kept: %s%s",
                                           w->owner, w->n_owners > 1 ? " and others" : "");
        w->d->notice(text);
    }
}

/* --- PLACES --- */

/* Below the top, where no link is followed. In a container a tar may go through links (/bin of a
 * merged /usr) and through directories that it does not name: that is as safe, below the root. */
static int open_parent(struct copy_writer *w, const char *path, struct err *e)
{
    int fd = path_open_beneath(w->top, *path ? path : ".", O_PATH | O_DIRECTORY, 0, NULL);
    if (fd < 0 && w->stream && w->d->root >= 0) {
        scoped_free char *full = path_join(w->top_path, path);
        fd = path_mkdirs_in_root(w->d->root, full, 0755, NULL);
    }
    if (fd == -ELOOP || fd == -ENOTDIR)
        return err_msg(e, -fd, "\"%s\" is not a directory in the destination", path);
    return fd < 0 ? err_set(e, -fd, "\"%s\"", path) : fd;
}

/* "a/b": parts that are not empty, "." or "..". Our reader sends nothing else. */
static int check_path(const char *path, struct err *e)
{
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.') ||
            (p[n] == '/' && !p[n + 1]))
            return err_msg(e, EPROTO, "the reading side sent the name \"%s\"", path);
        p += n + (p[n] == '/');
    }
    return 0;
}

int copy_locate(struct copy_writer *w, const char *path, int *ret_dir, const char **ret_name,
                struct err *e)
{
    int r = check_path(path, e);
    if (r < 0)
        return r;
    if (!*path) {
        *ret_dir = w->at.dir;
        *ret_name = w->top_name;
        return w->top_name ? 0 : err_msg(e, EPROTO, "the reading side sent no name");
    }
    if (w->top < 0)
        return err_msg(e, EPROTO, "the reading side sent a file within a file");
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    *ret_name = slash ? slash + 1 : path;
    bool same =
        w->parent_path && strlen(w->parent_path) == len && memcmp(w->parent_path, path, len) == 0;
    if (!same) {
        fd_close(&w->parent);
        free(w->parent_path);
        w->parent_path = xstrndup(path, len);
        w->parent = open_parent(w, w->parent_path, e);
        if (w->parent < 0) {
            free(take_ptr(w->parent_path));
            return w->parent;
        }
    }
    *ret_dir = w->parent;
    return 0;
}

/* Is this the root of a mount? In the mount namespace of a container such a place would be given
 * up by a rename or removal of ours, and its mount with it. */
static bool is_mounted(int dir, const char *name)
{
    struct statx st;
    return statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int refuse(const char *name, const struct stat *st, bool is_dir, struct err *e)
{
    int r = is_dir ? err_msg(e, ENOTDIR,
                             "\"%s\" is no directory there, and it is not replaced by one", name)
            : S_ISDIR(st->st_mode)
                ? err_msg(e, EISDIR,
                          "\"%s\" is a directory there, and it is not replaced by a file", name)
                : err_msg(e, EEXIST, "\"%s\" is a device, FIFO or socket there", name);
    return err_hint(e, r, "--overwrite replaces it");
}

int copy_make_way(struct copy_writer *w, int dir, const char *name, bool is_dir, struct err *e)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? COPY_FREE : err_set(e, errno, "\"%s\"", name);
    bool mounted = is_mounted(dir, name);
    if (is_dir ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
        return mounted ? COPY_MOUNTED : COPY_TAKEN;
    if (!w->d->overwrite)
        return refuse(name, &st, is_dir, e);
    if (mounted)
        return err_msg(e, EBUSY, "\"%s\" is mounted there", name);
    int r = fs_remove_tree(dir, name, e);
    return r < 0 ? err_add(e, r, "replace \"%s\"", name) : COPY_FREE;
}

/* --- THE TOP --- */

static int no_such_dir(const char *path, struct err *e)
{
    int r = path ? err_set(e, ENOENT, "directory %s", path) : -ENOENT;
    return err_hint(e, r, "the directory to copy to must be there; cp makes none above it");
}

/* Opens the directory that the top is, made first when it is not there. */
static int open_top(struct copy_writer *w, struct err *e)
{
    if (!w->top_name) {
        w->top = copy_place_open_dir(&w->at, O_PATH, e);
        return w->top < 0 ? w->top : 0;
    }
    int r = copy_make_way(w, w->at.dir, w->top_name, true, e);
    if (r == COPY_FREE && mkdirat(w->at.dir, w->top_name, 0700) < 0)
        return err_set(e, errno, "make directory %s", w->top_name);
    if (r < 0)
        return r;
    w->top = openat(w->at.dir, w->top_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return w->top < 0 ? err_set(e, errno, "%s", w->top_name) : 0;
}

/* Into a directory that is there: under the source's own name. */
static int into_dir(struct copy_writer *w, const struct copy_packet *head, struct err *e)
{
    if (head->m.flags & (COPY_IS_CONTENTS | COPY_IS_STREAM))
        return 0;
    int r = check_path(head->link, e);
    if (r < 0 || !*head->link || strchr(head->link, '/'))
        return r < 0 ? r : err_msg(e, EINVAL, "the source has no name");
    int dir = copy_place_open_dir(&w->at, O_PATH, e);
    if (dir < 0)
        return dir;
    fd_close(&w->at.dir);
    w->at.dir = dir;
    w->top_name = xstrdup(head->link);
    return 0;
}

static int choose_top(struct copy_writer *w, const struct copy_packet *head, struct err *e)
{
    const struct copy_place *at = &w->at;
    bool is_dir = head->m.flags & COPY_IS_DIR;
    if (at->exists && S_ISDIR(at->st.st_mode))
        return into_dir(w, head, e);
    if (head->m.flags & COPY_IS_STREAM)
        return at->exists ? err_set(e, ENOTDIR, "%s", at->path) : no_such_dir(at->path, e);
    if (!at->exists && at->slash && !is_dir)
        return no_such_dir(at->path, e);
    if (at->exists && at->slash)
        return err_set(e, ENOTDIR, "%s", at->path);
    if (at->exists && is_dir && !w->d->overwrite) {
        int r = err_msg(e, ENOTDIR, "%s is no directory, and it is not replaced by one", at->path);
        return err_hint(e, r, "--overwrite replaces it");
    }
    w->top_name = xstrdup(at->name);
    return 0;
}

static int begin(struct copy_writer *w, const struct copy_packet *head, struct err *e)
{
    int r = copy_place_find(w->d->root, w->d->path, true, &w->at, e);
    if (r == -ENOENT)
        return no_such_dir(NULL, e);
    if (r == 0)
        r = choose_top(w, head, e);
    w->stream = head->m.flags & COPY_IS_STREAM;
    if (r == 0 && (head->m.flags & (COPY_IS_DIR | COPY_IS_STREAM)))
        r = open_top(w, e);
    if (r == 0)
        w->top_path = w->top_name && !streq(w->top_name, w->at.name)
                          ? path_join(w->at.path, w->top_name)
                          : xstrdup(w->at.path);
    return r;
}

/* --- PACKETS --- */

static int one(struct copy_writer *w, struct copy_packet *p, struct err *e)
{
    switch (p->m.type) {
    case COPY_FILE:
        return copy_write_file(w, p, e);
    case COPY_DIR:
        return copy_write_dir(w, p, e);
    case COPY_DIR_END:
        return copy_finish_dir(w, p, e);
    case COPY_SYMLINK:
    case COPY_HARDLINK:
    case COPY_FIFO:
    case COPY_CHAR:
    case COPY_BLOCK:
        return copy_write_other(w, p, e);
    case COPY_LEFT_OUT:
        copy_leave_out(w, p->path, p->link);
        return 0;
    default:
        return err_msg(e, EPROTO, "the reading side sent a packet of type %u", p->m.type);
    }
}

static int told(struct copy_writer *w, const struct copy_packet *p, struct err *e)
{
    w->told = true;
    return copy_take_failure(p, e);
}

static int receive_all(struct copy_writer *w, struct err *e)
{
    struct copy_packet p;
    for (;;) {
        int r = copy_msg_recv(w->sock, w->buf, &p, e);
        if (r == 0 && p.m.type == COPY_FAILED)
            r = told(w, &p, e);
        else if (r == 0 && p.m.type == COPY_END)
            return 0;
        else if (r == 0)
            r = one(w, &p, e);
        fd_close(&p.fd);
        if (r < 0)
            return r;
        copy_tick_line(w, 0);
    }
}

int copy_receive(const struct copy_dest *d, int sock, struct err *e)
{
    struct copy_writer w = {.d = d, .sock = sock, .at = COPY_PLACE_INIT, .top = -1, .parent = -1};
    struct copy_packet head;
    w.buf = xmalloc(COPY_MAX_PACKET);
    w.begun_ns = time_monotonic_ns();
    mode_t mask = umask(0);
    int r = copy_msg_recv(sock, w.buf, &head, e);
    fd_close(&head.fd);
    if (r == 0 && head.m.type == COPY_FAILED)
        r = told(&w, &head, e);
    else if (r == 0 && head.m.type != COPY_HEAD)
        r = err_msg(e, EPROTO, "the reading side sent no beginning");
    else if (r == 0)
        r = begin(&w, &head, e);
    if (r == 0)
        r = receive_all(&w, e);
    if (r < 0 && !w.told)
        err_add(e, r, "%s", d->label);
    tell(&w);
    umask(mask);
    copy_place_release(&w.at);
    fd_close(&w.top);
    fd_close(&w.parent);
    free(w.top_name);
    free(w.top_path);
    free(w.parent_path);
    free(w.buf);
    return r;
}
