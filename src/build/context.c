/* context - a directory, a tar, or nothing but a Containerfile; and the ignore file of it. */
#include "build/context.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "build/fetch.h"
#include "build/file.h"
#include "build/untar.h"

#define IGNORE_MAX (1u << 20)

static const char *const default_files[] = {"Containerfile", "Dockerfile"};

void context_close(struct build_context *c)
{
    if (!c)
        return;
    fd_close(&c->dir_fd);
    free(c->containerfile);
    free(c->name);
    ignore_free(c->ignore);
    free(c->ignore_name);
    free(c);
}

static bool is_url(const char *s)
{
    return strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0;
}

static bool is_git(const char *s)
{
    scoped_free char *path = xstrndup(s, strcspn(s, "#?"));
    return strncmp(s, "git://", 6) == 0 || strncmp(s, "git@", 4) == 0 ||
           strncmp(s, "ssh://", 6) == 0 || strncmp(s, "github.com/", 11) == 0 ||
           (is_url(s) && str_ends(path, ".git"));
}

/* All of standard input into an unlinked file: an archive is told by its first bytes. */
static int spool(int in_fd, int scratch_fd, struct err *e)
{
    char buf[65536];
    int fd = openat(scratch_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno, "keep what standard input gives");
    for (;;) {
        ssize_t n = read(in_fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        int r = n < 0 ? -errno : n > 0 ? fs_write_all(fd, buf, (size_t)n) : 0;
        if (r < 0) {
            close(fd);
            return err_set(e, -r, "keep what standard input gives");
        }
        if (n == 0)
            return fd;
    }
}

static int read_text(struct build_context *c, int fd, const char *name, struct err *e)
{
    ssize_t n = fs_read_fd(fd, BFILE_MAX, &c->containerfile, e);
    if (n < 0)
        return err_add(e, (int)n, "read %s", name);
    c->containerfile_len = (size_t)n;
    free(c->name);
    c->name = xstrdup(name);
    return 0;
}

/* A tar becomes a directory; another file is the Containerfile, and there are no files. */
static int open_file(struct build_context *c, const struct context_options *o, int fd,
                     struct err *e)
{
    if (lseek(fd, 0, SEEK_SET) < 0 || mkdirat(o->scratch_fd, "context", 0700) < 0)
        return err_set(e, errno, "unpack the context");
    scoped_fd int dir =
        openat(o->scratch_fd, "context", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return err_set(e, errno, "unpack the context");
    int r = untar_tree(fd, dir, e);
    if (r == 0) {
        c->dir_fd = take_fd(&dir);
        return 0;
    }
    if (r != -ENOMSG)
        return err_add(e, r, "unpack the context");
    err_clear(e);
    if (o->containerfile)
        return err_hint(e,
                        err_msg(e, EINVAL, "the context is no archive, but -f %s is to be in it",
                                o->containerfile),
                        "leave -f out when the Containerfile itself comes that way");
    lseek(fd, 0, SEEK_SET);
    return read_text(c, fd, streq(o->where, "-") ? "stdin" : path_name(o->where), e);
}

static int open_where(struct build_context *c, const struct context_options *o, struct err *e)
{
    const char *where = o->where;
    if (is_git(where))
        return err_hint(e, err_msg(e, ENOTSUP, "\"%s\": a git repository as context", where),
                        "git clone it, and give the directory");
    if (streq(where, "-") && o->containerfile && streq(o->containerfile, "-"))
        return err_msg(e, EINVAL, "standard input cannot be the context and the Containerfile");
    if (streq(where, "-")) {
        scoped_fd int fd = spool(o->stdin_fd, o->scratch_fd, e);
        return fd < 0 ? fd : open_file(c, o, fd, e);
    }
    if (is_url(where)) {
        struct copy_download d = {.fd = -1};
        int r = fetch_url(where, o->scratch_fd, &d, e);
        if (r == 0)
            r = open_file(c, o, d.fd, e);
        fd_close(&d.fd);
        free(d.name);
        return r;
    }
    c->dir_fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dir_fd >= 0)
        return 0;
    int r = err_set(e, errno, "context %s", where);
    return r == -ENOTDIR
               ? err_hint(e, r, "a Containerfile is given by -f: rootlet build -f %s .", where)
               : r;
}

/* One of the names in the context, or -ENOENT. */
static int read_inside(struct build_context *c, const char *name, struct err *e)
{
    ssize_t n = path_read_in_root(c->dir_fd, name, BFILE_MAX, &c->containerfile, e);
    if (n < 0)
        return (int)n;
    c->containerfile_len = (size_t)n;
    free(c->name);
    c->name = xstrdup(name);
    return 0;
}

static int find_default(struct build_context *c, struct err *e)
{
    for (size_t i = 0; i < N_ELEMENTS(default_files); i++) {
        int r = read_inside(c, default_files[i], e);
        if (r != -ENOENT)
            return r;
        err_clear(e);
    }
    return err_hint(e,
                    err_msg(e, ENOENT, "neither a Containerfile nor a Dockerfile in the context"),
                    "another name is given by -f FILE");
}

/* -f: a path from here, or else one in the context. */
static int read_containerfile(struct build_context *c, const struct context_options *o,
                              struct err *e)
{
    const char *name = o->containerfile;
    if (!name)
        return c->containerfile ? 0 : find_default(c, e);
    if (streq(name, "-"))
        return read_text(c, o->stdin_fd, "stdin", e);
    bool local = !streq(o->where, "-") && !is_url(o->where);
    scoped_fd int fd = local ? open(name, O_RDONLY | O_NOCTTY | O_CLOEXEC) : -1;
    if (fd >= 0)
        return read_text(c, fd, path_name(name), e);
    if (local && errno != ENOENT)
        return err_set(e, errno, "open %s", name);
    int r = read_inside(c, name, e);
    if (r == -ENOENT)
        return err_set(e, ENOENT, "Containerfile %s", name);
    return r;
}

static int use_ignore(struct build_context *c, const char *name, const char *data, size_t n,
                      struct err *e)
{
    c->ignore_name = xstrdup(name);
    return ignore_parse(name, data, n, &c->ignore, e);
}

/* By a path of the host; -ENOENT when there is none. */
static int ignore_host(struct build_context *c, const char *path, struct err *e)
{
    scoped_free char *data = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, IGNORE_MAX, &data, e);
    if (n < 0)
        return n == -ENOENT ? -ENOENT : err_add(e, (int)n, "%s", path);
    return use_ignore(c, path, data, (size_t)n, e);
}

static int ignore_inside(struct build_context *c, const char *name, struct err *e)
{
    scoped_free char *data = NULL;
    ssize_t n = path_read_in_root(c->dir_fd, name, IGNORE_MAX, &data, e);
    return n < 0 ? (int)n : use_ignore(c, name, data, (size_t)n, e);
}

/* NAME.dockerignore beside -f NAME goes before those of the whole context. */
static int read_ignore(struct build_context *c, const struct context_options *o, struct err *e)
{
    static const char *const ends[] = {"containerignore", "dockerignore"};
    int r = -ENOENT;
    if (c->dir_fd < 0)
        return 0;
    if (o->ignorefile)
        return ignore_host(c, o->ignorefile, e);
    bool beside = o->containerfile && !streq(o->containerfile, "-");
    for (size_t i = 0; beside && i < N_ELEMENTS(ends) && r == -ENOENT; i++) {
        scoped_free char *name = xasprintf("%s.%s", o->containerfile, ends[i]);
        r = ignore_host(c, name, e);
    }
    for (size_t i = 0; !o->containerfile && i < N_ELEMENTS(ends) && r == -ENOENT; i++) {
        scoped_free char *name = xasprintf("%s.%s", c->name, ends[i]);
        r = ignore_inside(c, name, e);
    }
    for (size_t i = 0; i < N_ELEMENTS(ends) && r == -ENOENT; i++) {
        scoped_free char *name = xasprintf(".%s", ends[i]);
        r = ignore_inside(c, name, e);
    }
    if (r != -ENOENT)
        return r;
    err_clear(e);
    return 0;
}

int context_open(const struct context_options *o, struct build_context **ret, struct err *e)
{
    struct build_context *c = xcalloc(1, sizeof(*c));
    c->dir_fd = -1;
    int r = open_where(c, o, e);
    if (r == 0)
        r = read_containerfile(c, o, e);
    if (r == 0)
        r = read_ignore(c, o, e);
    if (r < 0)
        context_close(c);
    else
        *ret = c;
    return r;
}
