/* untar - entries of an archive as its confined parser tells them. */
#include "build/untar.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/untar-priv.h"

struct untar {
    int fd;
    pid_t pid;
    struct untar_wire next; /* read ahead; kind 0: nothing */
    struct untar_entry entry;
    char *message;
    uint64_t left;    /* content of the entry that did not come yet */
    uint32_t in_data; /* of it in the current message */
};

static void entry_release(struct untar_entry *x)
{
    free(x->path);
    free(x->link);
    for (size_t i = 0; x->xattrs && x->xattrs[i]; i++)
        str_release(&x->values[i]);
    free(x->values);
    strv_free(x->xattrs);
    *x = (struct untar_entry){0};
}

void untar_close(struct untar *u)
{
    if (!u)
        return;
    fd_close(&u->fd); /* a writer that goes on gets SIGPIPE */
    kill(u->pid, SIGKILL);
    while (waitpid(u->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    entry_release(&u->entry);
    free(u->message);
    free(u);
}

static int read_all(int fd, void *buf, size_t n, struct err *e)
{
    for (size_t at = 0; at < n;) {
        ssize_t r = read(fd, (char *)buf + at, n - at);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_set(e, errno, "read the archive");
        if (r == 0)
            return err_msg(e, EBADMSG, "its reader has ended too early");
        at += (size_t)r;
    }
    return 0;
}

static int read_wire(struct untar *u, struct err *e)
{
    int r = read_all(u->fd, &u->next, sizeof(u->next), e);
    if (r < 0)
        return r;
    if (u->next.len > UNTAR_MAX_MESSAGE)
        return err_msg(e, EBADMSG, "its reader talks nonsense");
    if (u->next.kind == UNTAR_DATA)
        return 0;
    free(u->message);
    u->message = xcalloc(u->next.len + 1, 1);
    r = read_all(u->fd, u->message, u->next.len, e);
    if (r == 0 && u->next.kind == UNTAR_ERROR) {
        char shown[400];
        return err_msg(e, EBADMSG, "damaged archive: %s",
                       err_escape(shown, sizeof(shown), u->message));
    }
    return r;
}

int untar_open(int fd, struct untar **ret, struct err *e)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_set(e, errno, "read an archive");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd, 0); /* clears close-on-exec, which does not matter: it never execs */
        dup2(pipe_fds[1], 1);
        close_range(2, ~0u, 0);
        untar_worker(0, 1);
    }
    close(pipe_fds[1]);
    if (pid < 0) {
        close(pipe_fds[0]);
        return err_set(e, errno, "read an archive");
    }
    struct untar *u = xcalloc(1, sizeof(*u));
    u->fd = pipe_fds[0];
    u->pid = pid;
    int r = read_wire(u, e);
    if (r == 0 && u->next.kind == UNTAR_NONE)
        r = err_msg(e, ENOMSG, "not a tar");
    if (r < 0) {
        untar_close(u);
        return r;
    }
    *ret = u;
    return 0;
}

/* Cleaned: relative, no ".."; NULL: it has a "..". */
static char *clean_path(const char *s, size_t n)
{
    scoped_free char *text = xstrndup(s, n);
    scoped_strv char **parts = strv_split(text, "/", false);
    if (strv_has(parts, ".."))
        return NULL;
    scoped_free char *clean = path_clean(text);
    return xstrdup(clean + 1);
}

static int take_xattrs(struct untar_entry *x, const char *p, size_t n, uint32_t count)
{
    x->values = xcalloc(count + 1, sizeof(*x->values));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len[2];
        if (n < sizeof(len))
            return -EBADMSG;
        memcpy(len, p, sizeof(len));
        p += sizeof(len);
        n -= sizeof(len);
        if (len[0] > n || len[1] > n - len[0])
            return -EBADMSG;
        strv_take(&x->xattrs, xstrndup(p, len[0]));
        x->values[i] = (struct str)STR_INIT;
        str_addn(&x->values[i], p + len[0], len[1]);
        p += len[0] + len[1];
        n -= len[0] + len[1];
    }
    return 0;
}

static int take_entry(struct untar *u, struct err *e)
{
    struct untar_head h;
    struct untar_entry *x = &u->entry;
    size_t n = u->next.len;
    if (n < sizeof(h))
        return err_msg(e, EBADMSG, "its reader talks nonsense");
    memcpy(&h, u->message, sizeof(h));
    const char *p = u->message + sizeof(h);
    n -= sizeof(h);
    if (h.path_len > n || h.link_len > n - h.path_len || h.n_xattrs > UNTAR_MAX_XATTRS ||
        !strchr("01256", (int)h.type) || !h.type)
        return err_msg(e, EBADMSG, "its reader talks nonsense");
    *x = (struct untar_entry){
        .type = (char)h.type,
        .mode = h.mode & 07777,
        .uid = h.uid,
        .gid = h.gid,
        .size = h.size,
        .mtime = h.mtime,
        .mtime_ns = h.mtime_ns < 1000000000 ? h.mtime_ns : 0,
    };
    x->path = clean_path(p, h.path_len);
    p += h.path_len;
    x->link = h.type == '1' ? clean_path(p, h.link_len) : xstrndup(p, h.link_len);
    p += h.link_len;
    n -= h.path_len + h.link_len;
    if (!x->path || !x->link)
        return err_msg(e, EPERM, "an entry of the archive leaves it by \"..\"");
    u->left = x->size;
    if (take_xattrs(x, p, n, h.n_xattrs) < 0)
        return err_msg(e, EBADMSG, "its reader talks nonsense");
    return 0;
}

ssize_t untar_read(struct untar *u, void *buf, size_t size, struct err *e)
{
    if (u->left == 0 || size == 0)
        return 0;
    if (u->in_data == 0) {
        int r = u->next.kind ? 0 : read_wire(u, e);
        if (r < 0)
            return r;
        if (u->next.kind != UNTAR_DATA || u->next.len == 0 || u->next.len > u->left)
            return err_msg(e, EBADMSG, "its reader talks nonsense");
        u->in_data = u->next.len;
        u->next.kind = 0;
    }
    size_t n = size < u->in_data ? size : u->in_data;
    int r = read_all(u->fd, buf, n, e);
    if (r < 0)
        return r;
    u->in_data -= (uint32_t)n;
    u->left -= n;
    return (ssize_t)n;
}

int untar_next(struct untar *u, const struct untar_entry **ret, struct err *e)
{
    char rest[4096];
    while (u->left) {
        ssize_t n = untar_read(u, rest, sizeof(rest), e);
        if (n < 0)
            return (int)n;
    }
    int r = u->next.kind ? 0 : read_wire(u, e);
    if (r < 0)
        return r;
    enum untar_kind kind = (enum untar_kind)u->next.kind;
    if (kind == UNTAR_END)
        return 0;
    entry_release(&u->entry);
    u->next.kind = 0;
    if (kind != UNTAR_ENTRY)
        return err_msg(e, EBADMSG, "its reader talks nonsense");
    r = take_entry(u, e);
    if (r < 0)
        return r;
    *ret = &u->entry;
    return 1;
}

static int put_file(struct untar *u, const struct untar_entry *x, int parent, const char *name,
                    struct err *e)
{
    static char buf[UNTAR_CHUNK];
    scoped_fd int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                              (x->mode & 0777) | 0600);
    if (fd < 0)
        return err_set(e, errno, "make it");
    ssize_t n;
    while ((n = untar_read(u, buf, sizeof(buf), e)) > 0) {
        int r = fs_write_all(fd, buf, (size_t)n);
        if (r < 0)
            return err_set(e, -r, "write it");
    }
    if (n == 0 && fchmod(fd, x->mode | 0400) < 0)
        return err_set(e, errno, "set its mode");
    return (int)n;
}

static int put_link(int root, const struct untar_entry *x, int parent, const char *name,
                    struct err *e)
{
    if (x->type == '2')
        return symlinkat(x->link, parent, name) < 0 ? err_set(e, errno, "make it") : 0;
    scoped_free char *target = NULL;
    scoped_fd int dir = path_open_parent(root, x->link, false, &target, e);
    if (dir < 0)
        return dir;
    return linkat(dir, target, parent, name, 0) < 0 ? err_set(e, errno, "link it") : 0;
}

/* Below a directory of our own; links inside it are followed inside it only. */
static int put_entry(struct untar *u, const struct untar_entry *x, int root, struct err *e)
{
    struct stat st;
    scoped_free char *name = NULL;
    if (!*x->path)
        return 0;
    scoped_fd int parent = path_open_parent(root, x->path, true, &name, e);
    if (parent < 0)
        return parent;
    bool there = fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (x->type == '5') {
        if (there && S_ISDIR(st.st_mode))
            return 0;
        return mkdirat(parent, name, (x->mode & 0777) | 0700) < 0 ? err_set(e, errno, "make it")
                                                                  : 0;
    }
    if (there && unlinkat(parent, name, 0) < 0)
        return err_set(e, errno, "replace it");
    if (x->type == '0')
        return put_file(u, x, parent, name, e);
    return x->type == '6' ? 0 : put_link(root, x, parent, name, e);
}

int untar_tree(int fd, int dir_fd, struct err *e)
{
    struct untar *u SCOPED(untar_scoped) = NULL;
    const struct untar_entry *x = NULL;
    int r = untar_open(fd, &u, e);
    if (r < 0)
        return r;
    while ((r = untar_next(u, &x, e)) > 0) {
        r = put_entry(u, x, dir_fd, e);
        if (r < 0) {
            char shown[300];
            return err_add(e, r, "entry \"%s\"", err_escape(shown, sizeof(shown), x->path));
        }
    }
    return r;
}
