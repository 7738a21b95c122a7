/* expand-ins - which words of which instruction are expanded. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "build/expand.h"
#include "build/parse.h"

static int expand_flags(struct ins *in, const struct expand *x, struct err *e)
{
    int r = 0;
    for (size_t i = 0; i < in->n_flags && r == 0; i++) {
        char *value = NULL;
        if (!in->flags[i].value || !strchr(in->flags[i].value, '$'))
            continue;
        r = expand_word(x, in->flags[i].value, &value, e);
        if (r < 0)
            return err_add(e, r, "--%s", in->flags[i].name);
        free(in->flags[i].value);
        in->flags[i].value = value;
    }
    return r;
}

static int expand_heredocs(struct ins *in, const struct expand *x, struct err *e)
{
    int r = 0;
    for (size_t i = 0; i < in->n_heredocs && r == 0; i++) {
        char *body = NULL;
        if (!in->heredocs[i].expand)
            continue;
        r = expand_body(x, in->heredocs[i].body, &body, e);
        if (r < 0)
            return err_add(e, r, "<<%s", in->heredocs[i].name);
        free(in->heredocs[i].body);
        in->heredocs[i].body = body;
    }
    return r;
}

/* The word that stands for the next here-document: "<<NAME", without quotes. */
static bool take_heredoc(const struct ins *in, const char *word, char escape, size_t *at,
                         char ***args)
{
    struct ins_heredoc h;
    if (*at == in->n_heredocs || !heredoc_parse(word, escape, &h))
        return false;
    free(h.name);
    strv_addf(args, "<<%s", in->heredocs[(*at)++].name);
    return true;
}

static int expand_args(struct ins *in, const struct expand *x, struct err *e)
{
    scoped_strv char **args = xcalloc(1, sizeof(*args));
    size_t heredoc = 0;
    int r = 0;
    for (char **a = in->args; a && *a && r == 0; a++) {
        char *word = NULL;
        if (take_heredoc(in, *a, x->escape, &heredoc, &args))
            continue;
        if (in->kind == INS_EXPOSE) {
            r = expand_words(x, *a, &args, e);
            continue;
        }
        r = expand_word(x, *a, &word, e);
        if (r == 0)
            strv_take(&args, word);
    }
    if (r == 0) {
        strv_free(in->args);
        in->args = take_ptr(args);
    }
    return r;
}

/* What must not have become nothing. */
static int check_empty(const struct ins *in, const struct ins *before, struct err *e)
{
    static const enum ins_kind whole[] = {INS_FROM, INS_STOPSIGNAL, INS_USER, INS_WORKDIR};
    for (size_t i = 0; i < N_ELEMENTS(whole); i++)
        if (in->kind == whole[i] && !*in->args[0])
            return err_hint(e,
                            err_msg(e, EINVAL, "\"%s\" is empty after its variables were put in",
                                    before->args[0]),
                            in->kind == INS_FROM ? "an ARG for FROM must stand before the first "
                                                   "FROM"
                                                 : "is its ARG or ENV in this stage?");
    bool pairs = in->kind == INS_ENV || in->kind == INS_LABEL;
    for (size_t i = 0; pairs && in->args[i]; i += 2)
        if (!*in->args[i])
            return err_msg(e, EINVAL, "a name is empty after its variables were put in");
    return 0;
}

int ins_expand(const char *name, const struct ins *in, const struct expand *x, struct ins **ret,
               struct err *e)
{
    scoped_ins struct ins *c = ins_dup(in);
    int r = 0;
    switch (in->kind) {
    case INS_CMD:
    case INS_ENTRYPOINT:
    case INS_HEALTHCHECK:
    case INS_MAINTAINER:
    case INS_ONBUILD:
    case INS_SHELL:
        break;
    case INS_RUN:
        r = expand_flags(c, x, e);
        break;
    default:
        r = expand_flags(c, x, e);
        if (r == 0)
            r = expand_args(c, x, e);
        if (r == 0)
            r = expand_heredocs(c, x, e);
        if (r == 0)
            r = check_empty(c, in, e);
    }
    if (r < 0)
        return err_add(e, r, "%s:%u: %s", name, in->line, ins_name(in->kind));
    *ret = take_ptr(c);
    return 0;
}
