/* mask - whiteouts for the paths of a context that do not exist for a build. */
#include "build/mask.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/scoped.h"
#include "base/str.h"
#include "build/place.h"

#define MAX_DEPTH 400 /* a descriptor or two each */

/* A directory on the way. out: the same one of the mask, made when something has to be in it. */
struct level {
    struct level *up;
    const char *name, *path;
    struct stat st;
    int in, out;
    unsigned depth;
    bool visible; /* it has an entry that is not left out */
    bool hides;   /* of the top: there is a whiteout somewhere */
};

static int need(struct level *l, struct err *e)
{
    if (l->out >= 0)
        return 0;
    int r = need(l->up, e);
    if (r < 0)
        return r;
    if (mkdirat(l->up->out, l->name, 0700) == 0)
        l->out = openat(l->up->out, l->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return l->out < 0 ? err_set(e, errno, "hide what is below \"%s\"", l->path) : 0;
}

static int hide(struct level *l, const char *name, struct err *e)
{
    int r = need(l, e);
    if (r == 0 && mknodat(l->out, name, S_IFCHR, 0) < 0)
        return err_set(e, errno, "hide \"%s\"", name);
    while (l->up)
        l = l->up;
    l->hides = true;
    return r;
}

/* A directory that is in both shows the attributes of the upper one. */
static void finish(const struct level *l)
{
    const struct timespec times[] = {l->st.st_atim, l->st.st_mtim};
    if (l->out < 0)
        return;
    if (fchown(l->out, l->st.st_uid, l->st.st_gid) < 0)
        errno = 0; /* not one of ours: the owner of the build stands for it */
    fchmod(l->out, l->st.st_mode & 07777);
    futimens(l->out, times);
}

static int each(const struct mask_spec *s, struct level *l, struct err *e);

/* left_out: it is there only if something in it is taken back. */
static int into(const struct mask_spec *s, struct level *sub, bool left_out, struct err *e)
{
    struct level *up = sub->up;
    if (sub->depth > MAX_DEPTH)
        return err_msg(e, ELOOP, "\"%s\": deeper than %d directories", sub->path, MAX_DEPTH);
    scoped_fd int in = openat(up->in, sub->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return errno == EACCES && !left_out ? (up->visible = true, 0)
                                            : err_set(e, errno, "read \"%s\"", sub->path);
    sub->in = in;
    int r = each(s, sub, e);
    finish(sub);
    fd_close(&sub->out);
    if (r < 0)
        return r;
    if (!left_out || sub->visible) {
        up->visible = true;
        return 0;
    }
    r = up->out < 0 ? 0 : fs_remove_tree(up->out, sub->name, e);
    return r < 0 ? r : hide(up, sub->name, e);
}

static int entry(const struct mask_spec *s, struct level *l, const char *name, struct err *e)
{
    scoped_free char *path = *l->path ? xasprintf("%s/%s", l->path, name) : xstrdup(name);
    struct level sub = {
        .up = l, .name = name, .path = path, .in = -1, .out = -1, .depth = l->depth + 1};
    int r = s->interrupted(e);
    if (r < 0)
        return r;
    if (fstatat(l->in, name, &sub.st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "look at \"%s\"", path);
    bool out = ignore_match(s->ignore, path), dir = S_ISDIR(sub.st.st_mode);
    if (out && !(dir && ignore_may_take_back(s->ignore, path)))
        return hide(l, name, e);
    if (dir)
        return into(s, &sub, out, e);
    l->visible = true;
    return 0;
}

static int each(const struct mask_spec *s, struct level *l, struct err *e)
{
    int r = 0, fd = openat(l->in, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "read \"%s\"", l->path);
    scoped_dir DIR *d = fdopendir(fd);
    struct dirent *x;
    while (r == 0 && (x = fs_next_entry(d, &r)))
        if (!streq(x->d_name, ".") && !streq(x->d_name, ".."))
            r = entry(s, l, x->d_name, e);
    return r;
}

static int make(const struct mask_spec *s, const struct place *p, const char *dir, struct err *e)
{
    const char *path = *p->path ? p->path : ".";
    scoped_fd int in = path_open_beneath(s->from_fd, path, O_RDONLY | O_DIRECTORY, 0, e);
    scoped_fd int out = in < 0 ? -1 : fs_open_dir(dir, false, 0, e);
    struct level top = {.name = "", .path = p->path, .st = p->st, .in = in, .out = out};
    if (in < 0 || out < 0)
        return -EIO;
    int r = each(s, &top, e);
    finish(&top);
    return r < 0 ? r : top.hides;
}

int mask_make(const struct mask_spec *spec, const char *dir, struct err *e)
{
    struct place p scoped_place = PLACE_INIT;
    int r = spec->ignore ? place_find(spec->from_fd, spec->source, true, &p, e) : 0;
    if (r < 0 || p.kind == PLACE_NONE)
        return r;
    bool is_dir = p.kind == PLACE_DIR;
    if (*p.path && ignore_match(spec->ignore, p.path) &&
        !(is_dir && ignore_may_take_back(spec->ignore, p.path)))
        return err_msg(e, ENOENT, "it is left out by the ignore file");
    return is_dir ? make(spec, &p, dir, e) : 0;
}
