/* dirs-tree - looks through the trees of an image's layers and makes the one that lies on top.
 * Nothing is followed: each name is opened as a directory and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "imagetool/dirs.h"
#include "mounts/tree.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

enum found {
    ABSENT,  /* lower layers show */
    BLOCKED, /* something else, a whiteout for one: they do not */
    HIDDEN,  /* absent, and they do not */
    DIRECTORY,
    LAST, /* a directory in one that hides what they have */
};

struct made {
    char *path; /* "" for the root */
    size_t source;
};

struct build {
    const struct dirs_job *job;
    int dst; /* diff/, -1: not made yet */
    struct made *made;
    size_t n;
};

static bool is_opaque(int fd)
{
    char value[2];
    return fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

/* Opens path below a directory, part by part. *ret_opaque: one of those above it is opaque. The
 * descriptor or -errno. */
static int open_path(int root, const char *path, bool *ret_opaque)
{
    scoped_fd int fd = openat(root, ".", OPEN_DIR);
    for (const char *p = path; fd >= 0 && *p;) {
        char part[NAME_MAX + 1];
        size_t n = strcspn(p, "/");
        if (n == 0 || n > NAME_MAX || p[n + (p[n] == '/')] == '/')
            return -EINVAL;
        memcpy(part, p, n);
        part[n] = '\0';
        if (streq(part, ".") || streq(part, ".."))
            return -EINVAL;
        if (ret_opaque && p > path)
            *ret_opaque |= is_opaque(fd);
        int next = openat(fd, part, OPEN_DIR);
        if (next < 0)
            return -errno;
        fd_close(&fd);
        fd = next;
        p += n + (p[n] == '/');
    }
    return fd < 0 ? -errno : take_fd(&fd);
}

static int look(const struct dirs_layer *l, const char *path, enum found *ret, struct err *e)
{
    bool opaque = false;
    scoped_fd int fd = open_path(l->fd, path, &opaque);
    if (fd >= 0)
        *ret = opaque ? LAST : DIRECTORY;
    else if (fd == -ENOENT)
        *ret = opaque ? HIDDEN : ABSENT;
    else if (fd == -ENOTDIR || fd == -ELOOP)
        *ret = BLOCKED;
    else
        return err_set(e, -fd, "look at \"%.300s\"", path);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_implied(const struct dirs_layer *l, const char *path)
{
    return l->n_implied &&
           bsearch(&path, l->implied, l->n_implied, sizeof(*l->implied), compare) != NULL;
}

/* Which layer's directory counts, and which one overlay shows. */
struct place {
    size_t source, shown;
    bool any;
};

static int find(const struct dirs_job *j, const char *path, struct place *ret, struct err *e)
{
    *ret = (struct place){0};
    for (size_t i = j->n; i-- > j->shown_from;) {
        enum found what = ABSENT;
        int r = look(&j->layers[i], path, &what, e);
        if (r < 0)
            return err_add(e, r, "layer %zu", i + 1);
        if (what == ABSENT)
            continue;
        if (what == BLOCKED || what == HIDDEN)
            break;
        if (!ret->any)
            *ret = (struct place){i, i, true};
        if (!is_implied(&j->layers[i], path)) {
            ret->source = i;
            break;
        }
        if (what == LAST)
            break;
    }
    return 0;
}

/* The root is in each layer, and an opaque one is the same root. */
static struct place find_root(const struct dirs_job *j)
{
    struct place p = {j->n - 1, j->n - 1, true};
    for (size_t i = j->n; i-- > 0;)
        if (j->layers[i].root_entry != LAYER_ROOT_NONE) {
            p.source = i;
            break;
        }
    return p;
}

static void add_made(struct build *b, const char *path, size_t source)
{
    if (b->n % 64 == 0)
        b->made = xrealloc(b->made, (b->n + 64) * sizeof(*b->made));
    b->made[b->n++] = (struct made){xstrdup(path), source};
}

static int make_root(struct build *b, struct err *e)
{
    int stage = b->job->stage_fd;
    if (b->dst >= 0)
        return 0;
    if (mkdirat(stage, "diff", 0700) < 0 || (b->dst = openat(stage, "diff", OPEN_DIR)) < 0)
        return err_set(e, errno, "make a tree of directories");
    add_made(b, "", find_root(b->job).source);
    return 0;
}

/* Makes a directory and those above it. */
static int make(struct build *b, const char *path, struct err *e)
{
    scoped_free char *text = xstrdup(path);
    int r = make_root(b, e);
    scoped_fd int fd = r < 0 ? -1 : openat(b->dst, ".", OPEN_DIR);
    for (char *p = text, *end; r == 0 && *p; p = end) {
        end = p + strcspn(p, "/");
        const char keep = *end;
        *end = '\0';
        if (mkdirat(fd, p, 0700) == 0) {
            struct place place;
            r = find(b->job, text, &place, e);
            if (r == 0)
                add_made(b, text, place.source);
        } else if (errno != EEXIST) {
            r = err_set(e, errno, "make \"%.300s\"", text);
        }
        int next = r == 0 ? openat(fd, p, OPEN_DIR) : -1;
        if (r == 0 && next < 0)
            r = err_set(e, errno, "open \"%.300s\"", text);
        fd_close(&fd);
        fd = next;
        *end = keep;
        end += keep == '/';
    }
    return r;
}

static int copy_attributes(int from, int to, struct err *e)
{
    const struct tree_copy as = {.src = from, .dst = to, .whiteouts = true, .objects = -1};
    struct stat st;
    if (fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
        fchmod(to, st.st_mode & 07777) < 0)
        return err_set(e, errno, "set owner and mode");
    int r = tree_copy_xattrs(&as, from, to, e);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    if (r == 0 && futimens(to, times) < 0)
        r = err_set(e, errno, "set times");
    return r;
}

/* From below to above: what is made in a directory changes its time. */
static int finish(struct build *b, struct err *e)
{
    int r = 0;
    for (size_t i = b->n; r == 0 && i-- > 0;) {
        const struct made *m = &b->made[i];
        scoped_fd int from = open_path(b->job->layers[m->source].fd, m->path, NULL);
        scoped_fd int to = from < 0 ? from : open_path(b->dst, m->path, NULL);
        r = to < 0 ? err_set(e, -to, "open it") : copy_attributes(from, to, e);
        if (r < 0)
            err_add(e, r, "directory \"%.300s\"", m->path);
    }
    return r;
}

static int needs_root(const struct dirs_job *j)
{
    const struct place p = find_root(j);
    return p.source != p.shown && j->layers[p.source].root_entry == LAYER_ROOT_OWN;
}

static int build_all(struct build *b, struct err *e)
{
    const struct dirs_job *j = b->job;
    int r = needs_root(j) ? make_root(b, e) : 0;
    for (size_t i = j->n; r == 0 && i-- > j->shown_from;)
        for (size_t k = 0; r == 0 && k < j->layers[i].n_implied; k++) {
            struct place p;
            const char *path = j->layers[i].implied[k];
            r = find(j, path, &p, e);
            /* Of the layers that imply it, the topmost one decides. */
            if (r == 0 && p.any && p.shown == i && p.source != i)
                r = make(b, path, e);
        }
    return r < 0 || b->dst < 0 ? r : finish(b, e);
}

int dirs_build(void *job, struct err *e)
{
    struct build b = {.job = job, .dst = -1};
    umask(0);
    int r = build_all(&b, e);
    fd_close(&b.dst);
    for (size_t i = 0; i < b.n; i++)
        free(b.made[i].path);
    free(b.made);
    return r;
}
