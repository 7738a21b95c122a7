/* ins - the instructions by name; their flags; copies and release of parsed ones. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "build/file.h"

static const char *const names[] = {
    [INS_ADD] = "ADD",
    [INS_ARG] = "ARG",
    [INS_CMD] = "CMD",
    [INS_COPY] = "COPY",
    [INS_ENTRYPOINT] = "ENTRYPOINT",
    [INS_ENV] = "ENV",
    [INS_EXPOSE] = "EXPOSE",
    [INS_FROM] = "FROM",
    [INS_HEALTHCHECK] = "HEALTHCHECK",
    [INS_LABEL] = "LABEL",
    [INS_MAINTAINER] = "MAINTAINER",
    [INS_ONBUILD] = "ONBUILD",
    [INS_RUN] = "RUN",
    [INS_SHELL] = "SHELL",
    [INS_STOPSIGNAL] = "STOPSIGNAL",
    [INS_USER] = "USER",
    [INS_VOLUME] = "VOLUME",
    [INS_WORKDIR] = "WORKDIR",
};

const char *ins_name(enum ins_kind kind)
{
    return names[kind];
}

const struct ins_flag *ins_flag(const struct ins *in, const char *name)
{
    for (size_t i = in->n_flags; i-- > 0;)
        if (streq(in->flags[i].name, name))
            return &in->flags[i];
    return NULL;
}

const char *ins_flag_value(const struct ins *in, const char *name, const char *fallback)
{
    const struct ins_flag *f = ins_flag(in, name);
    return f && f->value ? f->value : fallback;
}

int ins_flag_bool(const struct ins *in, const char *name, bool *ret, struct err *e)
{
    const struct ins_flag *f = ins_flag(in, name);
    *ret = f != NULL;
    if (!f || !f->value)
        return 0;
    if (strcasecmp(f->value, "true") == 0 || streq(f->value, "1"))
        return 0;
    *ret = false;
    if (strcasecmp(f->value, "false") == 0 || streq(f->value, "0"))
        return 0;
    return err_msg(e, EINVAL, "--%s=%s: true or false is expected", name, f->value);
}

struct ins *ins_dup(const struct ins *in)
{
    struct ins *c = xcalloc(1, sizeof(*c));
    *c = *in;
    c->text = xstrdup(in->text);
    c->args = strv_dup(in->args);
    c->flags = xcalloc(in->n_flags + 1, sizeof(*c->flags));
    for (size_t i = 0; i < in->n_flags; i++) {
        c->flags[i].name = xstrdup(in->flags[i].name);
        c->flags[i].value = xstrdup(in->flags[i].value);
    }
    c->heredocs = xcalloc(in->n_heredocs + 1, sizeof(*c->heredocs));
    for (size_t i = 0; i < in->n_heredocs; i++) {
        c->heredocs[i] = in->heredocs[i];
        c->heredocs[i].name = xstrdup(in->heredocs[i].name);
        c->heredocs[i].body = xstrdup(in->heredocs[i].body);
    }
    c->child = in->child ? ins_dup(in->child) : NULL;
    return c;
}

void ins_release(struct ins *in)
{
    free(in->text);
    strv_free(in->args);
    for (size_t i = 0; i < in->n_flags; i++) {
        free(in->flags[i].name);
        free(in->flags[i].value);
    }
    free(in->flags);
    for (size_t i = 0; i < in->n_heredocs; i++) {
        free(in->heredocs[i].name);
        free(in->heredocs[i].body);
    }
    free(in->heredocs);
    ins_free(in->child);
}

void ins_free(struct ins *in)
{
    if (!in)
        return;
    ins_release(in);
    free(in);
}

void bfile_free(struct bfile *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++)
        ins_release(&f->ins[i]);
    free(f->ins);
    free(f->name);
    free(f->syntax);
    strv_free(f->notes);
    free(f);
}
