/* image_filter - see image_filter.h. */
#include "cli/image_filter.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "image/ref.h"

static int parse_yes(const char *term, const char *value, int *ret, struct err *e)
{
    bool yes;
    if (parse_bool(value, &yes) < 0)
        return err_msg(e, EINVAL, "--filter %s: want true or false", term);
    *ret = yes;
    return 0;
}

static int parse_image(const char *term, const char *name, int64_t *ret, struct err *e)
{
    SCOPED(store_image_release) struct store_image i = {0};
    int r = store_find(cli_conf(), name, &i, e);
    if (r < 0)
        return err_add(e, r, "--filter %s", term);
    *ret = i.created_ns;
    return 0;
}

static int parse_term(const char *term, struct image_filter *f, char ***rest, struct err *e)
{
    const char *v;
    if ((v = str_after(term, "reference=")))
        strv_add(&f->references, v);
    else if ((v = str_after(term, "id=")))
        strv_add(&f->ids, str_after(v, DIGEST_PREFIX) ? v + strlen(DIGEST_PREFIX) : v);
    else if ((v = str_after(term, "dangling=")))
        return parse_yes(term, v, &f->dangling, e);
    else if ((v = str_after(term, "readonly=")))
        return parse_yes(term, v, &f->readonly, e);
    else if ((v = str_after(term, "intermediate=")))
        return parse_yes(term, v, &f->intermediate, e);
    else if ((v = str_after(term, "before=")))
        return parse_image(term, v, &f->before_ns, e);
    else if ((v = str_after(term, "since=")) || (v = str_after(term, "after=")))
        return parse_image(term, v, &f->since_ns, e);
    else if (str_after(term, "until=") || str_after(term, "label=") || str_after(term, "label!="))
        strv_add(rest, term);
    else
        return err_hint(e, err_msg(e, EINVAL, "--filter %s: unknown filter", term),
                        "known: reference, id, dangling, label, label!, before, since, until, "
                        "readonly, intermediate");
    return 0;
}

int image_filter_parse(char *const *terms, char *const *names, struct image_filter *ret,
                       struct err *e)
{
    struct image_filter f SCOPED(image_filter_release) = {
        .dangling = -1, .readonly = -1, .intermediate = -1};
    scoped_strv char **rest = NULL;
    int r = 0;
    for (; r == 0 && terms && *terms; terms++)
        r = parse_term(*terms, &f, &rest, e);
    if (r == 0)
        r = prune_filter_parse(rest, &f.rest, e);
    if (r < 0)
        return r;
    strv_extend(&f.references, names);
    *ret = f;
    f = (struct image_filter){0};
    return 0;
}

void image_filter_release(struct image_filter *f)
{
    strv_free(f->references);
    strv_free(f->ids);
    prune_filter_release(&f->rest);
    *f = (struct image_filter){0};
}

/* "busybox", "busy*", "library/busybox:1", "docker.io/library/busybox": any end of the name that
 * begins a part, with its tag or without. */
static bool matches_name(const char *pattern, const char *name)
{
    const char *colon = strrchr(name, ':');
    if (colon && strchr(colon, '/'))
        colon = NULL;
    scoped_free char *plain = colon ? xstrndup(name, (size_t)(colon - name)) : xstrdup(name);
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (fnmatch(pattern, part, 0) == 0 || fnmatch(pattern, plain + (part - name), 0) == 0)
            return true;
    }
    return false;
}

/* A repository's digest may be given too. */
static bool matches_any(char *const *patterns, const struct store_image *i, const char *name)
{
    for (char *const *p = patterns; *p; p++) {
        if (name && matches_name(*p, name))
            return true;
        for (char **d = strchr(*p, '@') ? i->digests : NULL; d && *d; d++)
            if (str_ends(*d, *p))
                return true;
    }
    return patterns[0] == NULL;
}

static int matches_labels(const struct image_filter *f, const struct store_image *i, struct err *e)
{
    struct image_config config SCOPED(image_config_release) = {0};
    if (!f->rest.labels && !f->rest.without && !f->rest.until_ns)
        return 1;
    if (!prune_filter_match(&(struct prune_filter){.until_ns = f->rest.until_ns}, i->created_ns,
                            NULL))
        return 0;
    if (!f->rest.labels && !f->rest.without)
        return 1;
    int r = store_config(cli_conf(), i, &config, e);
    if (r < 0) { /* one that is damaged has no labels; the others are shown */
        cli_print_err(e);
        err_clear(e);
        return 0;
    }
    return prune_filter_match(&f->rest, i->created_ns, config.labels);
}

int image_filter_match(const struct image_filter *f, const struct store_image *i, const char *name,
                       struct err *e)
{
    for (char **id = f->ids; id && *id; id++)
        if (!str_after(image_digest_hex(i->id), *id))
            return 0;
    if ((f->dangling >= 0 && f->dangling != !name) ||
        (f->readonly >= 0 && f->readonly != !!i->store) ||
        (f->intermediate >= 0 && f->intermediate != (i->intermediate && !name)))
        return 0;
    if ((f->before_ns && i->created_ns >= f->before_ns) ||
        (f->since_ns && i->created_ns <= f->since_ns))
        return 0;
    if (f->references && !matches_any(f->references, i, name))
        return 0;
    return matches_labels(f, i, e);
}
