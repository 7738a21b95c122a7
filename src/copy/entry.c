/* entry - the writing side: one file, directory, link or node. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "copy/data.h"
#include "copy/write.h"

/* A name that is not there yet, for what shall replace something. */
static void temporary(char ret[static 32])
{
    memcpy(ret, ".tmp-", 5);
    id_random_hex(ret + 5, 16);
}

/* --- ATTRIBUTES --- */

static void note_owner(struct copy_writer *w, const struct copy_packet *p)
{
    if (w->n_owners++ == 0)
        snprintf(w->owner, sizeof(w->owner), "%u:%u of \"%.200s\"", p->m.uid, p->m.gid, p->path);
}

/* Of fd, or with name of a link or node in the directory fd. Whether the owner is as it should be.
 */
static bool set_owner(struct copy_writer *w, int fd, const char *name, const struct copy_packet *p)
{
    int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
    if (w->d->archive) {
        if (fchownat(fd, name, p->m.uid, p->m.gid, flags) == 0)
            return true;
        if (!w->d->outward)
            note_owner(w, p);
    }
    if (w->d->uid >= 0)
        (void)!fchownat(fd, name, (uid_t)w->d->uid, (gid_t)w->d->gid, flags);
    return false;
}

static mode_t kept_mode(const struct copy_writer *w, const struct copy_packet *p, bool owner_kept)
{
    bool all = !w->d->outward || (w->d->set_ids && owner_kept);
    return p->m.mode & (all ? 07777u : 01777u);
}

static void set_xattrs(int fd, const struct copy_packet *p)
{
    struct copy_xattr x;
    for (size_t at = 0; copy_next_xattr(p, &at, &x);)
        if (str_after(x.name, "user.")) /* a file system without them keeps none */
            (void)!fsetxattr(fd, x.name, x.value, x.size, 0);
}

static void times_of(const struct copy_packet *p, struct timespec ret[static 2])
{
    ret[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
    ret[1] = (struct timespec){.tv_sec = p->m.mtime, .tv_nsec = p->m.mtime_ns % 1000000000u};
}

static int set_attributes(struct copy_writer *w, int fd, const struct copy_packet *p, struct err *e)
{
    struct timespec times[2];
    set_xattrs(fd, p);
    bool kept = set_owner(w, fd, "", p);
    if (fchmod(fd, kept_mode(w, p, kept)) < 0)
        return err_set(e, errno, "set the mode");
    times_of(p, times);
    (void)!futimens(fd, times); /* another one's directory: only its owner may */
    return 0;
}

/* --- FILES --- */

/* Data that comes in packets: of a tar. */
static int receive_data(struct copy_writer *w, int fd, struct err *e)
{
    struct copy_packet p;
    for (;;) {
        int r = copy_msg_recv(w->sock, w->buf, &p, e);
        fd_close(&p.fd);
        if (r < 0)
            return r;
        if (p.m.type == COPY_FAILED) {
            w->told = true;
            return copy_take_failure(&p, e);
        }
        if (p.m.type == COPY_DATA_END)
            return ftruncate(fd, (off_t)p.m.size) < 0 ? err_set(e, errno, "set the size") : 0;
        if (p.m.type != COPY_DATA || p.m.size > (uint64_t)INT64_MAX - COPY_MAX_DATA)
            return err_msg(e, EPROTO, "the reading side sent no data");
        for (size_t done = 0; done < p.m.link_len;) {
            ssize_t n = pwrite(fd, p.link + done, p.m.link_len - done, (off_t)(p.m.size + done));
            if (n < 0 && errno != EINTR)
                return err_set(e, errno, "write");
            done += n > 0 ? (size_t)n : 0;
        }
        copy_tick_line(w, p.m.link_len);
    }
}

static int fill(struct copy_writer *w, struct copy_packet *p, int fd, struct err *e)
{
    if (p->fd >= 0)
        return copy_data(p->fd, fd, p->m.size, copy_tick_line, w, e);
    /* The packets of the data take its buffer. */
    struct copy_packet kept = *p;
    scoped_free char *path = xstrdup(p->path);
    scoped_free char *xattrs = xmalloc(p->m.xattrs_len + 1);
    memcpy(xattrs, p->xattrs, p->m.xattrs_len + 1);
    int r = receive_data(w, fd, e);
    kept.path = memcpy(w->buf + sizeof(kept.m), path, strlen(path) + 1);
    kept.link = "";
    kept.m.link_len = 0;
    kept.xattrs =
        memcpy(w->buf + sizeof(kept.m) + kept.m.path_len + 2, xattrs, p->m.xattrs_len + 1);
    *p = kept;
    return r;
}

/* A file without a name, or with a temporary one where the file system has no other. */
struct fresh {
    int dir, fd;   /* dir borrowed, fd owned */
    char name[32]; /* "": none */
};

static int fresh_open(struct fresh *f, struct err *e)
{
    f->fd = openat(f->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (f->fd >= 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
        return err_set(e, errno, "create");
    temporary(f->name);
    f->fd = openat(f->dir, f->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->fd < 0)
        f->name[0] = '\0';
    return f->fd < 0 ? err_set(e, errno, "create") : 0;
}

static int fresh_link(const struct fresh *f, const char *name)
{
    char self[40];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
    return linkat(AT_FDCWD, self, f->dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* Gives it its name, in place of what has it. */
static int fresh_name(struct fresh *f, const char *name, bool replace)
{
    int r = -EEXIST;
    if (!f->name[0] && !replace)
        r = fresh_link(f, name);
    if (r != -EEXIST)
        return r;
    if (!f->name[0]) {
        temporary(f->name);
        r = fresh_link(f, f->name);
        if (r < 0) {
            f->name[0] = '\0';
            return r;
        }
    }
    if (renameat(f->dir, f->name, f->dir, name) < 0)
        return -errno;
    f->name[0] = '\0';
    return 0;
}

static void fresh_end(struct fresh *f)
{
    if (f->name[0])
        unlinkat(f->dir, f->name, 0);
    fd_close(&f->fd);
}

/* A file that is itself mounted (/etc/hosts) keeps its place and gets the data. */
static int overwrite(struct copy_writer *w, const struct fresh *f, const char *name, struct err *e)
{
    struct stat st;
    scoped_fd int fd =
        openat(f->dir, name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(e, errno, "overwrite");
    if (!S_ISREG(st.st_mode))
        return err_msg(e, EEXIST, "it is a device, FIFO or socket there");
    if (ftruncate(fd, 0) < 0 || fstat(f->fd, &st) < 0)
        return err_set(e, errno, "overwrite");
    return copy_data(f->fd, fd, (uint64_t)st.st_size, NULL, w, e);
}

static int write_file_at(struct copy_writer *w, struct copy_packet *p, struct fresh *f,
                         const char *name, int there, struct err *e)
{
    int r = fresh_open(f, e);
    if (r == 0)
        r = fill(w, p, f->fd, e);
    if (r == 0)
        r = set_attributes(w, f->fd, p, e);
    if (r < 0)
        return r;
    r = there == COPY_MOUNTED ? -EBUSY : fresh_name(f, name, there == COPY_TAKEN);
    if (r == -EBUSY || r == -EXDEV)
        return overwrite(w, f, name, e);
    return r < 0 ? err_set(e, -r, "create") : 0;
}

int copy_write_file(struct copy_writer *w, struct copy_packet *p, struct err *e)
{
    const char *typed;
    struct fresh f = {.fd = -1};
    int r = copy_locate(w, p->path, &f.dir, &typed, e);
    if (r < 0)
        return r;
    scoped_free char *name = xstrdup(typed); /* data packets come where it lies */
    r = copy_make_way(w, f.dir, name, false, e);
    if (r >= 0)
        r = write_file_at(w, p, &f, name, r, e);
    fresh_end(&f);
    w->files++;
    if (r == -EROFS)
        err_hint(e, r, "what is read-only in the container cannot be copied to; a volume can");
    return r < 0 && !w->told ? err_add(e, r, "write \"%s\"", name) : r < 0 ? r : 0;
}

/* --- DIRECTORIES --- */

int copy_write_dir(struct copy_writer *w, struct copy_packet *p, struct err *e)
{
    int dir;
    const char *name;
    if (!*p->path)
        return 0; /* the top is open already */
    int r = copy_locate(w, p->path, &dir, &name, e);
    if (r == 0)
        r = copy_make_way(w, dir, name, true, e);
    if (r == COPY_FREE && mkdirat(dir, name, 0700) < 0)
        r = err_set(e, errno, "make directory \"%s\"", name);
    return r < 0 ? r : 0;
}

int copy_finish_dir(struct copy_writer *w, struct copy_packet *p, struct err *e)
{
    int dir;
    const char *name;
    if (!*p->path && !w->top_name)
        return 0; /* a directory of its own right: only what is in it was meant */
    int r = copy_locate(w, p->path, &dir, &name, e);
    if (r < 0)
        return r;
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "open directory \"%s\"", name);
    r = set_attributes(w, fd, p, e);
    if (r == -EPERM || r == -EROFS) { /* one that was there, of another owner or mounted there */
        err_clear(e);
        return 0;
    }
    return r < 0 ? err_add(e, r, "directory \"%s\"", name) : 0;
}

/* --- LINKS AND NODES --- */

static int make_hardlink(struct copy_writer *w, const struct copy_packet *p, int dir,
                         const char *name, struct err *e)
{
    int old_dir = -1;
    const char *old_name;
    struct stat st;
    /* Another directory than the one in work: that one is kept for the next file. */
    struct copy_writer other = *w;
    other.parent = -1;
    other.parent_path = NULL;
    int r = copy_locate(&other, p->link, &old_dir, &old_name, e);
    if (r == 0 && fstatat(old_dir, old_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        r = err_set(e, EISDIR, "link to \"%s\"", p->link);
    if (r == 0 && linkat(old_dir, old_name, dir, name, 0) < 0)
        r = err_set(e, errno, "link to \"%s\"", p->link);
    fd_close(&other.parent);
    free(other.parent_path);
    return r;
}

static int make(struct copy_writer *w, const struct copy_packet *p, int dir, const char *name,
                struct err *e)
{
    static const mode_t kinds[] = {
        [COPY_FIFO] = S_IFIFO, [COPY_CHAR] = S_IFCHR, [COPY_BLOCK] = S_IFBLK};
    if (p->m.type == COPY_HARDLINK)
        return make_hardlink(w, p, dir, name, e);
    if (p->m.type == COPY_SYMLINK)
        return symlinkat(p->link, dir, name) < 0 ? err_set(e, errno, "make the link") : 0;
    dev_t device = p->m.type == COPY_FIFO ? 0 : makedev(p->m.dev_major, p->m.dev_minor);
    if (mknodat(dir, name, kinds[p->m.type] | 0600, device) < 0)
        return err_set(e, errno, "make the node");
    return 0;
}

static void attributes_at(struct copy_writer *w, const struct copy_packet *p, int dir,
                          const char *name)
{
    struct timespec times[2];
    if (p->m.type == COPY_HARDLINK)
        return; /* those of the file */
    bool kept = set_owner(w, dir, name, p);
    if (p->m.type != COPY_SYMLINK) { /* we have just made it: it is no link */
        scoped_fd int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        char self[40];
        snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISLNK(st.st_mode))
            (void)!fchmodat(AT_FDCWD, self, kept_mode(w, p, kept), 0);
    }
    times_of(p, times);
    (void)!utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

/* What is there is replaced at once, so that there is always one or the other. */
static int make_or_replace(struct copy_writer *w, const struct copy_packet *p, int dir,
                           const char *name, bool replace, struct err *e)
{
    char tmp[32];
    temporary(tmp);
    int r = make(w, p, dir, replace ? tmp : name, e);
    if (r < 0)
        return r;
    attributes_at(w, p, dir, replace ? tmp : name);
    if (replace && renameat(dir, tmp, dir, name) < 0)
        r = err_set(e, errno, "replace it");
    if (replace)
        unlinkat(dir, tmp, 0); /* it stays when both are the same file */
    return r;
}

int copy_write_other(struct copy_writer *w, struct copy_packet *p, struct err *e)
{
    int dir;
    const char *name;
    bool device = p->m.type == COPY_CHAR || p->m.type == COPY_BLOCK;
    if (device && w->d->outward && !w->d->archive) {
        copy_leave_out(w, p->path, "it is a device");
        return 0;
    }
    int r = copy_locate(w, p->path, &dir, &name, e);
    if (r == 0)
        r = copy_make_way(w, dir, name, false, e);
    if (r == COPY_MOUNTED)
        r = err_msg(e, EBUSY, "it is mounted there");
    if (r >= 0)
        r = make_or_replace(w, p, dir, name, r == COPY_TAKEN, e);
    if (r == -EPERM && device) {
        err_clear(e);
        copy_leave_out(w, p->path, "it is a device");
        return 0;
    }
    /* The other name may lie in another file system here. */
    if (r < 0 && p->m.type == COPY_HARDLINK && p->fd >= 0) {
        err_clear(e);
        return copy_write_file(w, p, e);
    }
    w->files++;
    return r < 0 ? err_add(e, r, "write \"%s\"", name) : 0;
}
