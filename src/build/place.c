/* place - one part after the other, each opened without following it. */
#include "build/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"

#define MAX_LINKS 40

struct way {
    int root_fd;
    struct str real;
    char **left; /* parts to go, the next one last */
    unsigned links;
    bool follow;
    struct place *ret;
};

static void push(struct way *w, const char *path)
{
    scoped_strv char **parts = strv_split(path, "/", false);
    for (size_t n = strv_len(parts); n-- > 0;)
        strv_add(&w->left, parts[n]);
}

static char *pop(struct way *w)
{
    size_t n = strv_len(w->left);
    char *part = w->left[n - 1];
    w->left[n - 1] = NULL;
    return part;
}

static void up(struct way *w)
{
    char *slash = strrchr(w->real.s, '/');
    w->real.len = slash ? (size_t)(slash - w->real.s) : 0;
    if (w->real.alloc)
        w->real.s[w->real.len] = '\0';
}

static int follow_link(struct way *w, int fd, struct err *e)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);
    if (n < 0)
        return err_set(e, errno, "read a link");
    target[n] = '\0';
    if (++w->links > MAX_LINKS)
        return err_set(e, ELOOP, "/%s", w->real.s);
    up(w);
    if (target[0] == '/')
        str_reset(&w->real);
    if (w->real.alloc)
        w->real.s[w->real.len] = '\0';
    push(w, target);
    return 0;
}

/* Looks at what real names now;. */
static int look(struct way *w, struct err *e)
{
    bool last = !w->left || !w->left[0];
    w->ret->kind = PLACE_NONE;
    if (w->root_fd < 0)
        return 0;
    scoped_fd int fd =
        path_open_beneath(w->root_fd, *w->real.s ? w->real.s : ".", O_PATH | O_NOFOLLOW, 0, e);
    if (fd == -ENOENT) {
        err_clear(e);
        return 0;
    }
    if (fd < 0)
        return fd;
    if (fstat(fd, &w->ret->st) < 0)
        return err_set(e, errno, "look at /%s", w->real.s);
    if (S_ISLNK(w->ret->st.st_mode) && (!last || w->follow))
        return follow_link(w, fd, e);
    w->ret->kind = S_ISDIR(w->ret->st.st_mode) ? PLACE_DIR : PLACE_OTHER;
    if (!last && w->ret->kind != PLACE_DIR)
        return err_set(e, ENOTDIR, "/%s", w->real.s);
    return 0;
}

static int step(struct way *w, struct err *e)
{
    scoped_free char *part = pop(w);
    /* Not streq: gcc takes its first look, at the pointers, for a part that is freed as a constant.
     */
    if (strcmp(part, ".") == 0)
        return 0;
    if (strcmp(part, "..") == 0) {
        up(w);
        return *w->left ? 0 : look(w, e);
    }
    if (w->real.len)
        str_addc(&w->real, '/');
    str_add(&w->real, part);
    if (w->real.len >= PATH_MAX)
        return err_set(e, ENAMETOOLONG, "%.100s...", w->real.s);
    /* Nothing can be below what does not exist. */
    return look(w, e);
}

int place_find(int root_fd, const char *path, bool follow, struct place *ret, struct err *e)
{
    struct way w = {.root_fd = root_fd, .real = STR_INIT, .follow = follow, .ret = ret};
    int r;
    push(&w, path);
    r = look(&w, e);
    while (r == 0 && w.left && w.left[0])
        r = step(&w, e);
    strv_free(w.left);
    if (r < 0) {
        str_release(&w.real);
        return r;
    }
    ret->path = str_detach(&w.real);
    return 0;
}
