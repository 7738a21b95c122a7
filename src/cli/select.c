/* select - see select.h. */
#include "cli/select.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "cli/psfilter.h"

#define CIDFILE_MAX 4096

bool cli_is_alive(const struct ctr_state *s)
{
    return ctr_state_alive(s);
}

static int exclude(const char *one, const char *other, struct err *e)
{
    return err_msg(e, EINVAL, "%s and %s exclude each other", one, other);
}

static int check(const struct cli_selection *s, char **args, struct err *e)
{
    const char *named = *args ? "names" : s->cidfile ? "--cidfile" : NULL;
    if (s->all && s->latest)
        return exclude("--all", "--latest", e);
    if (s->all && named)
        return exclude("--all", named, e);
    if (s->latest && (named || s->filter))
        return exclude("--latest", named ? named : "--filter", e);
    if (!s->all && !s->latest && !s->filter && !named)
        return err_hint(e, err_msg(e, EINVAL, "no container given"),
                        "names or ids, --latest, or --all");
    return 0;
}

/* The ids in the files that --cidfile names, then the names. */
static int named(const struct cli_selection *s, char **args, char ***ret, struct err *e)
{
    for (char **f = s->cidfile; f && *f; f++) {
        scoped_free char *id = NULL;
        ssize_t n = fs_read(AT_FDCWD, *f, CIDFILE_MAX, &id, e);
        if (n == -ENOENT && s->ignore)
            continue;
        if (n < 0)
            return err_add(e, (int)n, "--cidfile");
        id[strcspn(id, "\n")] = '\0';
        strv_add(ret, id);
    }
    strv_extend(ret, args);
    return 0;
}

static const struct ctr_state *state_of(const struct ctr_state *list, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (streq(list[i].id, id))
            return &list[i];
    return NULL;
}

/* One that there is no container of stays among the names, so that it is told. */
static bool lets_through(const struct cli_selection *s, const struct ps_filter *f,
                         const struct ctr_state *list, size_t n, const char *name)
{
    scoped_container struct container c = {.dir_fd = -1};
    struct err none = ERR_INIT;
    if (container_open(cli_conf(), name, &c, &none) < 0)
        return true;
    const struct ctr_state *st = state_of(list, n, c.id);
    return !st || (ps_filter_match(f, st) && (!s->of_names || s->of_all(st)));
}

static int filtered(const struct cli_selection *s, char **names, char ***ret, struct err *e)
{
    struct ctr_state *list = NULL;
    struct ps_filter f = {0};
    size_t n = 0;
    int r = ps_filter_parse(s->filter, &f, e);
    if (r == 0)
        r = container_list(cli_conf(), &list, &n, e);
    if (r == 0)
        r = ps_filter_resolve(&f, list, n, e);
    for (char **name = names; r == 0 && name && *name; name++)
        if (lets_through(s, &f, list, n, *name))
            strv_add(ret, *name);
    for (size_t i = 0; r == 0 && !names && i < n; i++)
        if ((!s->of_all || s->of_all(&list[i])) && ps_filter_match(&f, &list[i]))
            strv_add(ret, list[i].id);
    container_list_free(list, n);
    ps_filter_release(&f);
    return r;
}

static int latest(char ***ret, struct err *e)
{
    scoped_container struct container c = {.dir_fd = -1};
    int r = container_open_latest(cli_conf(), &c, e);
    if (r == 0)
        strv_add(ret, c.id);
    return r;
}

/* --ignore: the names that there are. */
static char **known(char **names)
{
    char **ret = NULL;
    for (char **n = names; n && *n; n++) {
        scoped_container struct container c = {.dir_fd = -1};
        struct err e = ERR_INIT;
        if (container_open(cli_conf(), *n, &c, &e) != -ENOENT)
            strv_add(&ret, *n);
    }
    return ret;
}

int cli_select(const struct cli_selection *s, char **args, char ***ret, struct err *e)
{
    scoped_strv char **names = NULL;
    int r = check(s, args, e);
    if (r < 0)
        return r;
    if (s->latest)
        return latest(ret, e);
    r = named(s, args, &names, e);
    if (r < 0)
        return r;
    if (s->ignore && names) {
        char **there = known(names);
        strv_free(names);
        names = there;
        if (!names)
            return 0;
    }
    if (names && !s->filter && !s->of_names)
        *ret = take_ptr(names);
    else if (names || !s->cidfile)
        r = filtered(s, names, ret, e);
    return r;
}
