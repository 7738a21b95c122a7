/* file - lines of a Containerfile: directives, comments, continued lines, here-documents. */
#include "build/file.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "build/parse.h"

struct lines {
    const char *p, *end;
    unsigned number; /* of the line read last */
};

/* The next line without its end; *ret_n is its length. */
static const char *next_line(struct lines *l, size_t *ret_n)
{
    if (l->p == l->end)
        return NULL;
    const char *start = l->p, *nl = memchr(start, '\n', (size_t)(l->end - start));
    size_t n = nl ? (size_t)(nl - start) : (size_t)(l->end - start);
    l->p = nl ? nl + 1 : l->end;
    l->number++;
    if (n && start[n - 1] == '\r')
        n--;
    *ret_n = n;
    return start;
}

static size_t skip_space(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && isspace((unsigned char)s[i]))
        i++;
    return i;
}

static bool is_comment(const char *s, size_t n)
{
    size_t i = skip_space(s, n);
    return i < n && s[i] == '#';
}

/* The length without the escape character that continues the line; *ret_more: there was one. */
static size_t without_continuation(const char *s, size_t n, char escape, bool *ret_more)
{
    size_t i = n;
    while (i && (s[i - 1] == ' ' || s[i - 1] == '\t'))
        i--;
    *ret_more = i && s[i - 1] == escape && (i == 1 || s[i - 2] != escape);
    return *ret_more ? i - 1 : n;
}

int parse_fail(const struct parse *p, struct err *e, const char *fmt, ...)
{
    scoped_str struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_addv(&s, fmt, ap);
    va_end(ap);
    char shown[800];
    err_escape(shown, sizeof(shown), s.s);
    return err_msg(e, EINVAL, "%s:%u: %s", p->f->name, p->line, shown);
}

void parse_note(const struct parse *p, const char *fmt, ...)
{
    scoped_str struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_addv(&s, fmt, ap);
    va_end(ap);
    char shown[800];
    err_escape(shown, sizeof(shown), s.s);
    strv_addf(&p->f->notes, "%s:%u: %s", p->f->name, p->line, shown);
}

static int set_directive(const struct parse *p, const char *name, char *value, struct err *e)
{
    if (streq(name, "escape")) {
        if (!streq(value, "\\") && !streq(value, "`"))
            return err_hint(e, parse_fail(p, e, "escape=%s: not an escape character", value),
                            "it is \\ or `");
        p->f->escape = value[0];
    } else if (streq(name, "syntax")) {
        p->f->syntax = xstrdup(value);
        parse_note(p, "syntax=%s is not fetched: the built-in reader is used", value);
    }
    return 0;
}

/* "# name=value" at the top of the file; anything else ends the directives. */
static int read_directives(struct parse *p, struct lines l, struct err *e)
{
    scoped_strv char **seen = NULL;
    const char *s;
    size_t n = 0;
    while ((s = next_line(&l, &n))) {
        size_t i = skip_space(s, n);
        if (i == n || s[i] != '#')
            return 0;
        i++;
        i += skip_space(s + i, n - i);
        size_t start = i;
        while (i < n && isalnum((unsigned char)s[i]))
            i++;
        scoped_free char *name = xstrndup(s + start, i - start);
        for (char *c = name; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        i += skip_space(s + i, n - i);
        if (i == n || s[i] != '=' ||
            (!streq(name, "syntax") && !streq(name, "escape") && !streq(name, "check")))
            return 0;
        i++;
        i += skip_space(s + i, n - i);
        while (n > i && isspace((unsigned char)s[n - 1]))
            n--;
        p->line = l.number;
        if (strv_has(seen, name))
            return parse_fail(p, e, "the directive %s is given twice", name);
        strv_add(&seen, name);
        scoped_free char *value = xstrndup(s + i, n - i);
        int r = set_directive(p, name, value, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* One logical line: continued ones joined, comments between them left out. False at the end. */
static bool read_logical(struct parse *p, struct lines *l, struct str *ret)
{
    const char *s;
    size_t n = 0;
    bool more = false, empty = false;
    str_reset(ret);
    while ((s = next_line(l, &n))) {
        size_t skip = skip_space(s, n);
        if (skip == n || s[skip] == '#')
            continue;
        p->line = l->number;
        size_t keep = without_continuation(s, n, p->f->escape, &more);
        if (keep > skip)
            str_addn(ret, s + skip, keep - skip);
        if (more || ret->len)
            break;
    }
    if (!s)
        return false;
    while (more && (s = next_line(l, &n))) {
        if (is_comment(s, n))
            continue;
        if (skip_space(s, n) == n) {
            empty = true;
            continue;
        }
        size_t keep = without_continuation(s, n, p->f->escape, &more);
        str_addn(ret, s, keep);
    }
    if (empty)
        parse_note(p, "an empty line inside a continued one");
    while (ret->len && isspace((unsigned char)ret->s[ret->len - 1]))
        ret->s[--ret->len] = '\0';
    return true;
}

static int read_heredoc(const struct parse *p, struct lines *l, struct ins_heredoc *h,
                        struct err *e)
{
    scoped_str struct str body = STR_INIT;
    const char *s;
    size_t n = 0, want = strlen(h->name);
    while ((s = next_line(l, &n))) {
        size_t tabs = 0;
        while (h->strip && tabs < n && s[tabs] == '\t')
            tabs++;
        if (n - tabs == want && memcmp(s + tabs, h->name, want) == 0) {
            h->body = str_detach(&body);
            return 0;
        }
        str_addn(&body, s + tabs, (size_t)(l->p - s) - tabs); /* with its own line end */
    }
    return err_hint(e, parse_fail(p, e, "the here-document <<%s has no end", h->name),
                    "end it by a line that is just: %s", h->name);
}

static int read_heredocs(struct parse *p, struct lines *l, struct ins *in, struct err *e)
{
    if (!strstr(in->text, "<<") || !ins_may_have_heredoc(in->text, p->f->escape))
        return 0;
    heredocs_of_line(in->text, p->f->escape, &in->heredocs, &in->n_heredocs);
    for (size_t i = 0; i < in->n_heredocs; i++) {
        int r = read_heredoc(p, l, &in->heredocs[i], e);
        if (r < 0)
            return r;
    }
    return 0;
}

static struct ins *add_ins(struct bfile *f)
{
    f->ins = xrealloc(f->ins, (f->n + 1) * sizeof(*f->ins));
    memset(&f->ins[f->n], 0, sizeof(*f->ins));
    return &f->ins[f->n++];
}

static int read_all(struct parse *p, struct lines *l, struct err *e)
{
    scoped_str struct str line = STR_INIT;
    int r = read_directives(p, *l, e);
    while (r == 0 && read_logical(p, l, &line)) {
        if (!line.len)
            continue;
        struct ins *in = add_ins(p->f);
        in->line = p->line;
        in->text = xstrdup(line.s);
        r = read_heredocs(p, l, in, e);
        in->last_line = l->number;
        if (r == 0)
            r = ins_parse(p, in, e);
    }
    return r;
}

static struct bfile *bfile_new(const char *name)
{
    struct bfile *f = xcalloc(1, sizeof(*f));
    char shown[300];
    f->name = xstrdup(err_escape(shown, sizeof(shown), name));
    f->escape = '\\';
    return f;
}

static int check_text(const char *name, const char *data, size_t n, struct err *e)
{
    if (n > BFILE_MAX)
        return err_msg(e, EFBIG, "%s: over %u MiB", name, BFILE_MAX >> 20);
    if (memchr(data, 0, n))
        return err_hint(e, err_msg(e, EINVAL, "%s: not a text: it has zero bytes", name),
                        "UTF-16 must be saved as UTF-8");
    return 0;
}

/* Only ARG may stand in front of the first FROM. */
static int check_order(const struct bfile *f, struct err *e)
{
    for (size_t i = 0; i < f->n; i++) {
        struct parse p = {(struct bfile *)f, f->ins[i].line};
        if (f->ins[i].kind == INS_FROM)
            return 0;
        if (f->ins[i].kind != INS_ARG)
            return err_hint(e,
                            parse_fail(&p, e, "%s before the first FROM", ins_name(f->ins[i].kind)),
                            "a stage begins with FROM; only ARG may stand before it");
    }
    return err_hint(e, err_msg(e, EINVAL, "%s: there is no FROM in it", f->name),
                    "FROM IMAGE begins a stage; FROM scratch begins an empty one");
}

int bfile_parse(const char *name, const char *data, size_t n, struct bfile **ret, struct err *e)
{
    scoped_bfile struct bfile *f = bfile_new(name);
    int r = check_text(f->name, data, n, e);
    if (r < 0)
        return r;
    struct lines l = {data, data + n, 0};
    if (n >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        l.p += 3; /* the mark of UTF-8 that some editors write */
    struct parse p = {f, 0};
    r = read_all(&p, &l, e);
    if (r == 0)
        r = check_order(f, e);
    if (r == 0)
        *ret = take_ptr(f);
    return r;
}

int bfile_parse_trigger(const char *name, const char *text, struct bfile **ret, struct err *e)
{
    scoped_bfile struct bfile *f = bfile_new(name);
    int r = check_text(f->name, text, strlen(text), e);
    if (r < 0)
        return r;
    struct lines l = {text, text + strlen(text), 0};
    struct parse p = {f, 1};
    scoped_str struct str line = STR_INIT;
    while (r == 0 && read_logical(&p, &l, &line)) {
        struct ins *in = add_ins(f);
        in->line = p.line;
        in->text = xstrdup(line.s);
        r = read_heredocs(&p, &l, in, e);
        in->last_line = l.number;
        if (r == 0)
            r = ins_parse(&p, in, e);
        if (r == 0 && (in->kind == INS_FROM || in->kind == INS_ONBUILD))
            r = parse_fail(&p, e, "%s is not allowed as a trigger", ins_name(in->kind));
    }
    if (r == 0 && f->n != 1)
        r = err_msg(e, EINVAL, "%s: one instruction is expected", f->name);
    if (r == 0)
        *ret = take_ptr(f);
    return r;
}
