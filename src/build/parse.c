/* parse - one logical line to an instruction: its flags, its words, and what it must not be. */
#include "build/parse.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/opt.h"
#include "base/str.h"
#include "base/strv.h"

#define N_KINDS (INS_WORKDIR + 1)

typedef int (*parse_fn)(const struct parse *p, struct ins *in, const char *rest, struct err *e);

static int no_args(const struct parse *p, const struct ins *in, struct err *e)
{
    return parse_fail(p, e, "%s needs at least one argument", ins_name(in->kind));
}

/* "[...]" that is JSON is the exec form; what only looks like it is for the shell. */
static int try_json(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    int r = words_json(rest, &in->args);
    in->exec_form = r == 0;
    if (r == -EBADMSG)
        return parse_fail(p, e, "%s: the list may hold strings only", ins_name(in->kind));
    if (r == -EINVAL && rest[0] == '[' && rest[1 + strspn(rest + 1, " \t")] == '\'' &&
        str_ends(rest, "]"))
        parse_note(p, "%s: not a JSON list (it wants double quotes), so it is taken as text",
                   ins_name(in->kind));
    return 0;
}

static int parse_command(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    int r = try_json(p, in, rest, e);
    if (r < 0 || in->exec_form)
        return r < 0 || in->kind != INS_RUN || in->args[0] ? r : no_args(p, in, e);
    if (!*rest)
        return no_args(p, in, e);
    struct ins_heredoc only;
    if (in->n_heredocs == 1 && !strpbrk(rest, " \t") && heredoc_parse(rest, p->f->escape, &only)) {
        free(only.name);
        in->script = true;
        strv_add(&in->args, in->heredocs[0].body);
        return 0;
    }
    scoped_str struct str s = STR_INIT;
    str_add(&s, rest);
    for (size_t i = 0; i < in->n_heredocs; i++)
        str_addf(&s, "\n%s%s", in->heredocs[i].body, in->heredocs[i].name);
    strv_take(&in->args, str_detach(&s));
    return 0;
}

static int parse_shell(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    int r = try_json(p, in, rest, e);
    if (r == 0 && (!in->exec_form || !in->args[0]))
        return err_hint(e, parse_fail(p, e, "SHELL needs a JSON list"),
                        "SHELL [\"/bin/sh\", \"-c\"]");
    return r;
}

static int parse_health(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    static const char *const times[] = {"interval", "timeout", "start-period", "start-interval"};
    for (size_t i = 0; i < N_ELEMENTS(times); i++) {
        const char *v = ins_flag_value(in, times[i], NULL);
        uint64_t ms;
        if (v && (parse_duration_ms(v, &ms) < 0 || parse_u64(v, &ms) == 0))
            return err_hint(e, parse_fail(p, e, "--%s=%s: not a duration", times[i], v), "--%s=30s",
                            times[i]);
    }
    uint64_t retries;
    const char *v = ins_flag_value(in, "retries", NULL);
    if (v && (parse_u64(v, &retries) < 0 || retries > INT32_MAX))
        return parse_fail(p, e, "--retries=%s: not a number", v);
    size_t n = strcspn(rest, " \t");
    if (n == 4 && strncasecmp(rest, "NONE", 4) == 0) {
        if (rest[4 + strspn(rest + 4, " \t")] || in->n_flags)
            return parse_fail(p, e, "HEALTHCHECK NONE takes no arguments");
        in->health_none = true;
        strv_add(&in->args, "NONE");
        return 0;
    }
    if (n != 3 || strncasecmp(rest, "CMD", 3) != 0)
        return err_hint(e, parse_fail(p, e, "HEALTHCHECK %.*s: not known", (int)n, rest),
                        "HEALTHCHECK CMD command, or HEALTHCHECK NONE");
    rest += n;
    rest += strspn(rest, " \t");
    return *rest ? parse_command(p, in, rest, e) : no_args(p, in, e);
}

static int parse_text(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    if (!*rest)
        return parse_fail(p, e, "%s needs exactly one argument", ins_name(in->kind));
    if (in->kind == INS_MAINTAINER)
        parse_note(p, "MAINTAINER is out of use: LABEL maintainer=... is the form of today");
    strv_add(&in->args, rest);
    return 0;
}

static int parse_words(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    in->args = strv_split(rest, " \t\v\f\r", false);
    return strv_len(in->args) ? 0 : no_args(p, in, e);
}

static int parse_volume(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    int r = try_json(p, in, rest, e);
    if (r < 0 || in->exec_form)
        return r < 0 || in->args[0] ? r : no_args(p, in, e);
    return parse_words(p, in, rest, e);
}

static int parse_copy(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    int r = parse_volume(p, in, rest, e);
    if (r == 0 && strv_len(in->args) < 2)
        return err_hint(e,
                        parse_fail(p, e, "%s needs a source and a destination", ins_name(in->kind)),
                        "%s SOURCE... DESTINATION", ins_name(in->kind));
    return r;
}

static int parse_from(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    scoped_strv char **w = strv_split(rest, " \t\v\f\r", false);
    size_t n = strv_len(w);
    if (n != 1 && !(n == 3 && strcasecmp(w[1], "AS") == 0))
        return err_hint(e, parse_fail(p, e, "FROM takes an image, or an image AS a name"),
                        "FROM IMAGE [AS NAME]");
    strv_add(&in->args, w[0]);
    if (n == 1)
        return 0;
    for (char *c = w[2]; *c; c++) {
        *c = (char)tolower((unsigned char)*c);
        bool first = c == w[2];
        if (!(*c >= 'a' && *c <= 'z') &&
            (first || (!strchr("-_.", *c) && !(*c >= '0' && *c <= '9'))))
            return err_hint(e,
                            parse_fail(p, e, "FROM: the name of the stage, %s, is not valid", w[2]),
                            "a letter first, then letters, digits and -_.");
    }
    strv_add(&in->args, w[2]);
    return 0;
}

/* ENV and LABEL: NAME=VALUE ..., or the old form, NAME and the rest of the line. */
static int parse_pairs(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    const char *what = ins_name(in->kind);
    scoped_strv char **w = words_quoted(rest, p->f->escape);
    if (!w)
        return no_args(p, in, e);
    if (!strchr(w[0], '=')) {
        const char *value = rest + strcspn(rest, " \t\v\f\r");
        value += strspn(value, " \t\v\f\r");
        if (!*value)
            return err_hint(e, parse_fail(p, e, "%s %s: there is no value", what, w[0]),
                            "%s %s=VALUE", what, w[0]);
        strv_take(&in->args, xstrndup(rest, strcspn(rest, " \t\v\f\r")));
        strv_add(&in->args, value);
        return 0;
    }
    for (char **x = w; *x; x++) {
        char *eq = strchr(*x, '=');
        if (!eq)
            return err_hint(e, parse_fail(p, e, "%s %s: there is no \"=\"", what, *x),
                            "a value with spaces needs quotes: %s NAME=\"a b\"", what);
        if (eq == *x)
            return parse_fail(p, e, "%s %s: the name is empty", what, *x);
        strv_take(&in->args, xstrndup(*x, (size_t)(eq - *x)));
        strv_add(&in->args, eq + 1);
    }
    return 0;
}

static int parse_arg(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    in->args = words_quoted(rest, p->f->escape);
    if (!in->args)
        return no_args(p, in, e);
    for (char **w = in->args; *w; w++)
        if (**w == '=')
            return parse_fail(p, e, "ARG %s: the name is empty", *w);
    return 0;
}

static int parse_onbuild(const struct parse *p, struct ins *in, const char *rest, struct err *e)
{
    if (!*rest)
        return no_args(p, in, e);
    struct ins *c = in->child = xcalloc(1, sizeof(*c));
    c->line = in->line;
    c->last_line = in->last_line;
    c->text = xstrdup(rest);
    /* The trigger is text in the image: with its here-documents, to be read again from there. */
    scoped_str struct str text = STR_INIT;
    str_add(&text, rest);
    for (size_t i = 0; i < in->n_heredocs; i++)
        str_addf(&text, "\n%s%s", in->heredocs[i].body, in->heredocs[i].name);
    c->heredocs = take_ptr(in->heredocs);
    c->n_heredocs = in->n_heredocs;
    in->n_heredocs = 0;
    int kind = ins_kind_of(rest);
    if (kind == INS_ONBUILD || kind == INS_FROM || kind == INS_MAINTAINER)
        return parse_fail(p, e, "ONBUILD %s is not allowed", ins_name((enum ins_kind)kind));
    int r = ins_parse(p, c, e);
    if (r == 0)
        strv_take(&in->args, str_detach(&text));
    return r;
}

#define FLAGS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
static const struct {
    parse_fn fn;
    const char *const *flags;
} kinds[N_KINDS] = {
    [INS_ADD] = {parse_copy,
                 FLAGS("chown", "chmod", "checksum", "link", "exclude", "keep-git-dir", "unpack")},
    [INS_ARG] = {parse_arg, NULL},
    [INS_CMD] = {parse_command, NULL},
    [INS_COPY] = {parse_copy, FLAGS("from", "chown", "chmod", "link", "parents", "exclude")},
    [INS_ENTRYPOINT] = {parse_command, NULL},
    [INS_ENV] = {parse_pairs, NULL},
    [INS_EXPOSE] = {parse_words, NULL},
    [INS_FROM] = {parse_from, FLAGS("platform")},
    [INS_HEALTHCHECK] = {parse_health,
                         FLAGS("interval", "timeout", "start-period", "start-interval", "retries")},
    [INS_LABEL] = {parse_pairs, NULL},
    [INS_MAINTAINER] = {parse_text, NULL},
    [INS_ONBUILD] = {parse_onbuild, NULL},
    [INS_RUN] = {parse_command, FLAGS("mount", "network", "security")},
    [INS_SHELL] = {parse_shell, NULL},
    [INS_STOPSIGNAL] = {parse_text, NULL},
    [INS_USER] = {parse_text, NULL},
    [INS_VOLUME] = {parse_volume, NULL},
    [INS_WORKDIR] = {parse_text, NULL},
};
/* Those that mean something without a value. */
static const char *const lone_flags[] = {"link", "parents", "keep-git-dir", "unpack", NULL};
/* Those that may come more than once. */
static const char *const many_flags[] = {"mount", "exclude", NULL};

static bool in_list(const char *const *list, const char *word)
{
    for (; list && *list; list++)
        if (streq(*list, word))
            return true;
    return false;
}

static int add_flag(const struct parse *p, struct ins *in, const char *word, struct err *e)
{
    const char *const *known = kinds[in->kind].flags, *what = ins_name(in->kind);
    const char *eq = strchr(word, '=');
    scoped_free char *name = eq ? xstrndup(word + 2, (size_t)(eq - word - 2)) : xstrdup(word + 2);
    if (!in_list(known, name)) {
        int r = parse_fail(p, e, "%s: unknown flag --%s", what, name);
        const char *near = known ? opt_suggest(name, known) : NULL;
        if (near)
            return err_hint(e, r, "did you mean --%s?", near);
        return known ? r : err_hint(e, r, "%s takes no flags", what);
    }
    if (!eq && !in_list(lone_flags, name))
        return err_hint(e, parse_fail(p, e, "%s: --%s needs a value", what, name), "--%s=VALUE",
                        name);
    if (ins_flag(in, name) && !in_list(many_flags, name))
        return parse_fail(p, e, "%s: --%s is given twice", what, name);
    in->flags = xrealloc(in->flags, (in->n_flags + 1) * sizeof(*in->flags));
    in->flags[in->n_flags++] = (struct ins_flag){take_ptr(name), eq ? xstrdup(eq + 1) : NULL};
    return 0;
}

static size_t name_len(const char *line)
{
    return strcspn(line, " \t\v\f\r\n");
}

int ins_kind_of(const char *word)
{
    size_t n = name_len(word);
    for (int k = 0; k < N_KINDS; k++)
        if (strlen(ins_name((enum ins_kind)k)) == n &&
            strncasecmp(word, ins_name((enum ins_kind)k), n) == 0)
            return k;
    return -1;
}

bool ins_may_have_heredoc(const char *line, char escape)
{
    int kind = ins_kind_of(line);
    const char *rest = line + name_len(line);
    rest += strspn(rest, " \t\v\f\r");
    if (kind == INS_ONBUILD)
        return ins_kind_of(rest) != INS_ONBUILD && ins_may_have_heredoc(rest, escape);
    if (kind != INS_RUN && kind != INS_COPY && kind != INS_ADD)
        return false;
    scoped_strv char **flags = words_flags(rest, escape, &rest);
    scoped_strv char **json = NULL;
    return words_json(rest, &json) != 0;
}

static int unknown(const struct parse *p, const char *line, struct err *e)
{
    const char *all[N_KINDS + 1] = {NULL};
    for (int k = 0; k < N_KINDS; k++)
        all[k] = ins_name((enum ins_kind)k);
    scoped_free char *word = xstrndup(line, name_len(line));
    scoped_free char *upper = xstrdup(word);
    for (char *c = upper; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    int r = parse_fail(p, e, "unknown instruction %s", word);
    const char *near = opt_suggest(upper, all);
    if (near)
        return err_hint(e, r, "did you mean %s?", near);
    return err_hint(e, r, "if it belongs to the line before, that one must end in %c",
                    p->f->escape);
}

/* The name in capitals: cache keys and histories do not depend on how it was written. */
static void set_text(struct ins *in, const char *rest)
{
    char *text = xasprintf("%s%s%s", ins_name(in->kind), *rest ? " " : "", rest);
    free(in->text);
    in->text = text;
}

int ins_parse(const struct parse *p, struct ins *in, struct err *e)
{
    int kind = ins_kind_of(in->text);
    if (kind < 0)
        return unknown(p, in->text, e);
    in->kind = (enum ins_kind)kind;
    const char *rest = in->text + name_len(in->text);
    rest += strspn(rest, " \t\v\f\r");
    scoped_free char *line = xstrdup(rest);
    set_text(in, rest);
    scoped_strv char **flags = words_flags(line, p->f->escape, &rest);
    int r = 0;
    for (char **f = flags; f && *f && r == 0; f++)
        r = add_flag(p, in, *f, e);
    return r < 0 ? r : kinds[kind].fn(p, in, rest, e);
}
