/* select - which files the sources of a COPY or ADD name. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/copy-priv.h"
#include "build/glob.h"
#include "build/place.h"

struct select {
    struct copy *c;
    const char *source; /* as written */
    char **parts;       /* of the cleaned source */
    size_t pivot;       /* parts in front of "/./" */
    size_t found;
};

static struct item *add_item(struct copy *c, enum item_kind kind, const char *name)
{
    c->items = xrealloc(c->items, (c->n + 1) * sizeof(*c->items));
    c->items[c->n] = (struct item){.kind = kind, .name = xstrdup(name)};
    return &c->items[c->n++];
}

static bool left_out(const struct copy *c, const char *path, bool is_dir)
{
    return *path && ignore_match(c->spec.ignore, path) &&
           !(is_dir && ignore_may_take_back(c->spec.ignore, path));
}

/* The parts behind the pivot of a path as it was asked for. */
static char *parents_of(const struct select *s, const char *asked)
{
    const char *p = asked;
    for (size_t i = 0; i < s->pivot && *p; i++) {
        p += strcspn(p, "/");
        p += *p == '/';
    }
    return xstrdup(p);
}

static bool excluded(const struct copy *c, const char *asked)
{
    return c->exclude &&
           (ignore_match(c->exclude, path_name(asked)) || ignore_match(c->exclude, asked));
}

/* asked: the path by the names of the source; what it leads to becomes an item. */
static int add_path(struct select *s, const char *asked, struct err *e)
{
    struct copy *c = s->c;
    struct place p scoped_place = PLACE_INIT;
    int r = place_find(c->spec.from_fd, asked, true, &p, e);
    if (r < 0)
        return r;
    bool dir = p.kind == PLACE_DIR;
    if (p.kind == PLACE_NONE || left_out(c, asked, dir) || left_out(c, p.path, dir))
        return 0;
    s->found++;
    if (!dir && excluded(c, asked))
        return 0;
    if (!dir && !S_ISREG(p.st.st_mode))
        return err_msg(e, EINVAL, "\"%s\" is neither a file nor a directory", asked);
    struct item *it = add_item(c, dir ? ITEM_DIR : ITEM_FILE, path_name(asked));
    it->path = take_ptr(p.path);
    if (c->parents)
        it->parents = parents_of(s, asked);
    return 0;
}

static int expand(struct select *s, const char *so_far, size_t part, struct err *e);

/* Entries of the directory so_far that match a part. */
static int match_part(struct select *s, const char *so_far, size_t part, struct err *e)
{
    struct glob *g SCOPED(glob_scoped) = NULL;
    struct place p scoped_place = PLACE_INIT;
    int r = glob_compile(s->parts[part], false, &g, e);
    if (r == 0)
        r = place_find(s->c->spec.from_fd, so_far, true, &p, e);
    if (r < 0 || p.kind != PLACE_DIR)
        return r;
    int fd =
        path_open_beneath(s->c->spec.from_fd, *p.path ? p.path : ".", O_RDONLY | O_DIRECTORY, 0, e);
    if (fd < 0)
        return fd;
    scoped_dir DIR *d = fdopendir(fd);
    scoped_strv char **names = NULL;
    struct dirent *x;
    while ((x = fs_next_entry(d, &r)))
        if (!streq(x->d_name, ".") && !streq(x->d_name, "..") && glob_match(g, x->d_name))
            strv_add(&names, x->d_name);
    if (r < 0)
        return err_set(e, -r, "read the directory \"%s\"", so_far);
    strv_sort(names);
    for (char **n = names; n && *n && r == 0; n++) {
        scoped_free char *next = *so_far ? xasprintf("%s/%s", so_far, *n) : xstrdup(*n);
        r = expand(s, next, part + 1, e);
    }
    return r;
}

static int expand(struct select *s, const char *so_far, size_t part, struct err *e)
{
    if (!s->parts || !s->parts[part])
        return add_path(s, so_far, e);
    if (glob_is_pattern(s->parts[part]))
        return match_part(s, so_far, part, e);
    scoped_free char *name = glob_literal(s->parts[part]);
    scoped_free char *next = *so_far ? xasprintf("%s/%s", so_far, name) : xstrdup(name);
    return expand(s, next, part + 1, e);
}

/* "a/./b" with --parents: what is in front of the dot is not made at the destination. */
static size_t find_pivot(const char *source)
{
    const char *dot = strstr(source, "/./");
    if (!dot)
        return 0;
    scoped_free char *front = xstrndup(source, (size_t)(dot - source));
    scoped_free char *clean = path_clean(front);
    scoped_strv char **parts = strv_split(clean, "/", false);
    return strv_len(parts);
}

static int missing(const struct select *s, struct err *e)
{
    char shown[300];
    const struct copy *c = s->c;
    err_escape(shown, sizeof(shown), s->source);
    struct place p scoped_place = PLACE_INIT;
    bool there =
        place_find(c->spec.from_fd, s->source, true, &p, NULL) == 0 && p.kind != PLACE_NONE;
    int r = err_msg(e, ENOENT,
                    there ? "\"%s\" is left out by the ignore file" : "there is no \"%s\"", shown);
    if (there)
        return err_hint(e, r, "take it back there by a line: !%s", shown);
    return err_hint(e, r,
                    c->spec.from_image ? "paths of --from begin at the root of that image"
                                       : "paths begin at the context directory; it must not "
                                         "be left by .. or links");
}

static int select_path(struct copy *c, const char *source, struct err *e)
{
    scoped_free char *clean = path_clean(source);
    scoped_strv char **parts = strv_split(clean, "/", false);
    struct select s = {.c = c, .source = source, .parts = parts, .pivot = find_pivot(source)};
    if (c->spec.from_fd < 0)
        return err_hint(e, err_msg(e, ENOENT, "\"%s\": there is no context to copy from", source),
                        "give a directory as context: rootlet build -f FILE DIR");
    size_t before = c->n;
    int r = expand(&s, "", 0, e);
    if (r < 0)
        return err_add(e, r, "\"%s\"", source);
    if (!s.found && !glob_is_pattern(source))
        return missing(&s, e);
    for (size_t i = before; i < c->n; i++)
        if (c->items[i].kind == ITEM_FILE && item_is_archive(c, &c->items[i]))
            c->items[i].kind = ITEM_ARCHIVE;
    return 0;
}

static bool is_url(const char *s)
{
    return strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0;
}

static int select_url(struct copy *c, const char *source, size_t at, struct err *e)
{
    if (!c->spec.downloads || at >= c->spec.downloads->n)
        return err_msg(e, EINVAL, "\"%s\" was not fetched", source);
    struct item *it = add_item(c, ITEM_URL, c->spec.downloads->v[at].name);
    it->download = &c->spec.downloads->v[at];
    return 0;
}

int copy_select(struct copy *c, struct err *e)
{
    const struct ins *in = c->spec.in;
    size_t n = strv_len(in->args), urls = 0, docs = 0;
    int r = 0;
    for (size_t i = 0; i + 1 < n && r == 0; i++) {
        const char *s = in->args[i];
        if (docs < in->n_heredocs && strncmp(s, "<<", 2) == 0 &&
            streq(s + 2, in->heredocs[docs].name))
            add_item(c, ITEM_HEREDOC, s + 2)->heredoc = &in->heredocs[docs++];
        else if (in->kind == INS_ADD && is_url(s))
            r = select_url(c, s, urls++, e);
        else
            r = select_path(c, s, e);
    }
    if (r == 0 && c->n == 0)
        return err_msg(e, ENOENT, "no file matches");
    return r;
}
