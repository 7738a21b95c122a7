/* stage - FROM to the next FROM: what is built of what, and instruction after instruction. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "build/build.h"
#include "image/ref.h"

void step_print(struct build *b, const char *fmt, ...)
{
    va_list ap;
    scoped_str struct str text = STR_INIT;
    if (!b->out)
        return;
    va_start(ap, fmt);
    str_addv(&text, fmt, ap);
    va_end(ap);
    size_t size = 4 * text.len + 1;
    scoped_free char *out = xmalloc(size);
    fprintf(b->out, "%s\n", err_escape(out, size, text.s));
    fflush(b->out);
}

#define MAX_STAGES 1000 /* each may be built of the one before it, by a call in a call */

int stages_find(struct build *b, struct err *e)
{
    const struct bfile *f = b->file;
    for (size_t i = 0; i < f->n; i++) {
        if (b->n_stages)
            b->stages[b->n_stages - 1].end = i;
        if (f->ins[i].kind != INS_FROM)
            continue;
        if (b->n_stages == MAX_STAGES)
            return err_msg(e, E2BIG, "%s:%u: more than %d stages", f->name, f->ins[i].line,
                           MAX_STAGES);
        b->stages = xrealloc(b->stages, (b->n_stages + 1) * sizeof(*b->stages));
        b->stages[b->n_stages] = (struct stage){
            .from = &f->ins[i],
            .first = i + 1,
            .number = (unsigned)b->n_stages,
            .name = f->ins[i].args[1],
        };
        b->n_stages++;
    }
    if (!b->n_stages)
        return err_msg(e, EINVAL, "%s: no FROM", f->name);
    b->stages[b->n_stages - 1].end = f->n;
    return 0;
}

/* A stage before `before`: by its name (the last of that name), or its number. */
static struct stage *find_stage(const struct build *b, size_t before, const char *name)
{
    uint32_t n;
    for (size_t i = before; i > 0; i--)
        if (b->stages[i - 1].name && strcasecmp(b->stages[i - 1].name, name) == 0)
            return &b->stages[i - 1];
    return parse_u32(name, &n) == 0 && n < before ? &b->stages[n] : NULL;
}

int stage_target(struct build *b, struct stage **ret, struct err *e)
{
    const char *name = b->o->target;
    *ret = NULL;
    if (b->n_stages)
        *ret = name && *name ? find_stage(b, b->n_stages, name) : &b->stages[b->n_stages - 1];
    if (*ret)
        return 0;
    scoped_strv char **names = NULL;
    for (size_t i = 0; b->stages && i < b->n_stages; i++)
        if (b->stages[i].name)
            strv_add(&names, b->stages[i].name);
    scoped_free char *list = strv_join(names, ", ");
    return err_hint(e, err_msg(e, ENOENT, "--target %s: no such stage in %s", name, b->file->name),
                    "%s%s", list && *list ? "there are: " : "no stage has a name",
                    list ? list : "");
}

/* --- VARIABLES --- */

struct scope {
    struct build *b;
    const struct stage *s; /* NULL: before the first FROM, and of FROM itself */
    char text[100];
};

static const char *lookup(void *data, const char *name)
{
    struct scope *x = data;
    if (x->s)
        return state_variable(&x->s->st, name);
    const char *v = strv_env_get(x->b->globals, name);
    return v ? v : build_platform_arg(&x->b->host, &x->b->platform, name, x->text);
}

static int expanded(struct build *b, const struct stage *s, const char *file, const struct ins *in,
                    struct ins **ret, struct err *e)
{
    struct scope scope = {.b = b, .s = s};
    const struct expand x = {.get = lookup, .data = &scope, .escape = b->file->escape};
    return ins_expand(file, in, &x, ret, e);
}

static const char *given(struct build *b, const char *name)
{
    if (!strv_has(b->used, name))
        strv_add(&b->used, name);
    return strv_env_get(b->given, name);
}

/* "ARG NAME[=DEFAULT]": what --build-arg says, else the default, else what holds for the file. */
static void take_arg(struct build *b, struct stage *s, const char *word)
{
    char text[100];
    const char *eq = strchr(word, '=');
    scoped_free char *name = eq ? xstrndup(word, (size_t)(eq - word)) : xstrdup(word);
    const char *value = given(b, name);
    char ***to = s ? &s->st.args : &b->globals;
    if (!value && eq)
        value = eq + 1;
    if (!value && s)
        value = strv_env_get(b->globals, name);
    if (!value && s)
        value = build_platform_arg(&b->host, &s->platform, name, text);
    if (!value)
        return;
    scoped_free char *pair = xasprintf("%s=%s", name, value);
    strv_env_set(to, pair);
}

static int take_args(struct build *b, struct stage *s, const char *file, const struct ins *in,
                     struct err *e)
{
    scoped_ins struct ins *x = NULL;
    int r = expanded(b, s, file, in, &x, e);
    for (char **a = x ? x->args : NULL; r == 0 && a && *a; a++)
        take_arg(b, s, *a);
    return r;
}

/* --- FROM --- */

/* "FROM NAME" and "--from=NAME" stand in front of it already. */
static void drop_name(const char *name, struct err *e)
{
    scoped_free char *start = xasprintf("pull %s: ", name);
    const char *rest = str_after(e->msg, start);
    scoped_free char *text = rest ? xstrdup(rest) : NULL;
    scoped_free char *hint = e->hint[0] ? xstrdup(e->hint) : NULL;
    if (text)
        err_msg(e, e->errnum, "%s", text);
    if (text && hint)
        err_hint(e, -e->errnum, "%s", hint);
}

static bool same_platform(const struct build_platform *p, const struct build_platform *q)
{
    return streq(p->os, q->os) && streq(p->arch, q->arch) && streq(p->variant, q->variant);
}

static int pull(struct build *b, const char *name, const struct build_platform *p, struct err *e)
{
    const struct build_opts *o = b->o;
    scoped_strv char **argv = NULL;
    char platform[100];
    build_platform_text(p, platform);
    strv_add(&argv, "rootlet");
    strv_add(&argv, "pull");
    strv_add(&argv, "-q");
    if (o->platform || o->arch || o->os || o->variant || !same_platform(p, &b->host))
        strv_addf(&argv, "--platform=%s", platform);
    if (o->squash_ids)
        strv_add(&argv, "--squash-ids");
    const struct {
        const char *name, *value;
    } more[] = {{"authfile", o->authfile},
                {"cert-dir", o->cert_dir},
                {"retry", o->retry},
                {"retry-delay", o->retry_delay},
                {"tls-verify", o->tls_verify && !*o->tls_verify ? "true" : o->tls_verify}};
    for (size_t i = 0; i < N_ELEMENTS(more); i++)
        if (more[i].value)
            strv_addf(&argv, "--%s=%s", more[i].name, more[i].value);
    strv_add(&argv, "--");
    strv_add(&argv, name);
    step_print(b, "Trying to pull %s...", name);
    int r = child_text(b, argv, NULL, e);
    if (r < 0 && r != -EINTR)
        drop_name(name, e);
    return r;
}

/* An image without a word on its platform fits all. */
static bool fits(const struct store_image *i, const struct build_platform *p)
{
    return (!i->os || !*i->os || streq(i->os, p->os)) &&
           (!i->architecture || !*i->architecture || streq(i->architecture, p->arch)) &&
           (!p->variant[0] || !i->variant || !*i->variant || streq(i->variant, p->variant));
}

/* -ENOENT, or -ENOEXEC: it is for another platform. */
static int find_image(struct build *b, const char *name, const struct build_platform *p, char **ret,
                      struct err *e)
{
    SCOPED(store_image_release) struct store_image image = {0};
    int r = store_pin_find(&b->pin, b->conf, name, &image, e);
    if (r < 0)
        return r;
    if (!fits(&image, p)) {
        char want[100];
        build_platform_text(p, want);
        return err_msg(e, ENOEXEC, "it is for %s/%s, not for %s", image.os ? image.os : "?",
                       image.architecture ? image.architecture : "?", want);
    }
    *ret = xstrdup(image.id);
    return 0;
}

int stage_image(struct build *b, const char *name, const struct build_platform *p, char **ret,
                struct err *e)
{
    const char *policy = b->o->pull;
    bool never = streq(policy, "never") || streq(policy, "false");
    bool always = policy && (!*policy || streq(policy, "always") || streq(policy, "true") ||
                             streq(policy, "newer") || streq(policy, "ifnewer"));
    struct err why = ERR_INIT;
    int r = always ? -ENOENT : find_image(b, name, p, ret, e);
    if (r != -ENOENT && (r != -ENOEXEC || never))
        return r;
    bool other = r == -ENOEXEC;
    err_clear(e);
    if (never)
        return err_hint(e, err_msg(e, ENOENT, "no such image here, and --pull=%s", policy),
                        "'rootlet images' lists those that are here; 'rootlet pull NAME' or "
                        "'rootlet load -i FILE' brings one");
    r = pull(b, name, p, &why);
    if (r == -EINTR || (r < 0 && !streq(policy, "newer") && !streq(policy, "ifnewer"))) {
        if (e)
            *e = why;
        return other && r != -EINTR ? err_add(e, r, "the one here is for another platform; pull")
                                    : r;
    }
    return find_image(b, name, p, ret, e);
}

static int platform_of(struct build *b, const struct ins *from, struct build_platform *ret,
                       struct err *e)
{
    const char *text = ins_flag_value(from, "platform", NULL);
    *ret = b->platform;
    return text && *text ? build_platform_parse(text, ret, e) : 0;
}

static const char *named_context(const struct build *b, const char *name)
{
    for (char **c = b->o->contexts; c && *c; c++) {
        const char *v = str_after(*c, name);
        if (v && *v == '=')
            return v + 1;
    }
    return NULL;
}

/* "docker-image://NAME": the image's name; NULL: a directory. */
static const char *context_image(const char *source)
{
    const char *v = str_after(source, "docker-image://");
    return v ? v : str_after(source, "container-image://");
}

/* Another name than the one in the file is told. */
static int context_or_image(struct build *b, const struct stage *s, const char *name, char **ret,
                            struct err *e)
{
    const char *context = named_context(b, name);
    const char *image = context ? context_image(context) : name;
    int r = stage_image(b, image, &s->platform, ret, e);
    return r < 0 && context ? err_add(e, r, "image %s", image) : r;
}

static int load_base(struct build *b, struct stage *s, const char *name, struct err *e)
{
    struct stage *other = find_stage(b, s->number, name);
    const char *context = named_context(b, name);
    scoped_free char *id = NULL;
    if (other) {
        int r = stage_run(b, other, e);
        if (r == 0)
            state_copy(&s->st, &other->st);
        return r;
    }
    if (streq(name, "scratch")) {
        state_scratch(b, s, &s->st);
        return 0;
    }
    if (context && !context_image(context))
        return err_msg(e, EINVAL, "--build-context %s is a directory, no image", name);
    int r = context_or_image(b, s, name, &id, e);
    r = r < 0 ? r : state_load(b, id, &s->st, e);
    s->st.base = r < 0 ? 0 : json_array_size(state_layers(&s->st));
    return r;
}

int stage_source(struct build *b, struct stage *s, const char *name, char **ret_dir,
                 char **ret_image, struct err *e)
{
    struct stage *other = find_stage(b, s->number, name);
    const char *context = named_context(b, name);
    *ret_dir = *ret_image = NULL;
    if (other) {
        int r = stage_run(b, other, e);
        *ret_image = r == 0 ? xstrdup(other->st.image) : NULL;
        return r == 0 && !*ret_image ? err_msg(e, ENOENT, "stage %s has no files", name) : r;
    }
    if (context && !context_image(context)) {
        *ret_dir = xstrdup(context);
        return 0;
    }
    return context_or_image(b, s, name, ret_image, e);
}

/* --- INSTRUCTIONS --- */

static void print_step(struct build *b, struct stage *s, const struct ins *in)
{
    s->step++;
    if (b->n_stages > 1)
        step_print(b, "[%u/%zu] STEP %u/%u: %s", s->number + 1, b->n_stages, s->step, s->steps,
                   in->text);
    else
        step_print(b, "STEP %u/%u: %s", s->step, s->steps, in->text);
}

static int do_ins(struct build *b, struct stage *s, const char *file, const struct ins *in,
                  struct err *e)
{
    scoped_ins struct ins *x = NULL;
    if (in->kind == INS_ARG) {
        int r = take_args(b, s, file, in, e);
        scoped_free char *by = xasprintf("/bin/sh -c #(nop) %s", in->text);
        state_history(b, s->st.doc, by, true);
        s->st.dirty = true;
        return r;
    }
    int r = expanded(b, s, file, in, &x, e);
    if (r < 0)
        return r;
    if (x->kind != INS_RUN && x->kind != INS_COPY && x->kind != INS_ADD)
        return state_apply(b, &s->st, x, e);
    struct step t = {.b = b, .s = s, .in = x, .file = file};
    r = x->kind == INS_RUN ? step_run(&t, e) : step_copy(&t, e);
    free(t.created_by);
    return r;
}

static int run_ins(struct build *b, struct stage *s, const char *file, const struct ins *in,
                   struct err *e)
{
    print_step(b, s, in);
    int r = do_ins(b, s, file, in, e);
    /* Errors of the file itself name it already. */
    if (r >= 0 || (e && str_after(e->msg, file)))
        return r;
    return in->kind == INS_RUN ? err_add(e, r, "%s:%u: %s", file, in->line, in->text)
                               : err_add(e, r, "%s:%u: %s", file, in->line, ins_name(in->kind));
}

/* ONBUILD of the base, which is done once. */
static int run_triggers(struct build *b, struct stage *s, const char *base, const json_t *list,
                        struct err *e)
{
    scoped_free char *name = xasprintf("ONBUILD of %s", base);
    const json_t *one;
    size_t i;
    int r = 0;
    json_array_foreach(list, i, one)
    {
        scoped_bfile struct bfile *f = NULL;
        if (r == 0 && json_is_string(one))
            r = bfile_parse_trigger(name, json_string_value(one), &f, e);
        for (size_t k = 0; r == 0 && f && k < f->n; k++)
            r = run_ins(b, s, name, &f->ins[k], e);
    }
    return r;
}

static int run_body(struct build *b, struct stage *s, const char *base, struct err *e)
{
    json_t *config = state_config(&s->st);
    scoped_json json_t *triggers = json_incref(json_object_get(config, "OnBuild"));
    struct ins from = *s->from;
    json_object_del(config, "OnBuild");
    state_set_env(&s->st, b->o->env);
    if (json_array_size(triggers))
        s->st.dirty = true;
    s->steps = (unsigned)(1 + s->end - s->first + json_array_size(triggers));
    s->step = 0;
    print_step(b, s, &from);
    int r = run_triggers(b, s, base, triggers, e);
    for (size_t i = s->first; r == 0 && i < s->end; i++)
        r = run_ins(b, s, b->file->name, &b->file->ins[i], e);
    return r == 0 ? step_dirs(b, s, e) : r;
}

int stage_run(struct build *b, struct stage *s, struct err *e)
{
    scoped_ins struct ins *from = NULL;
    if (s->done)
        return 0;
    if (s->begun)
        return err_msg(e, ELOOP, "stage %u needs itself", s->number);
    s->begun = true;
    int r = expanded(b, NULL, b->file->name, s->from, &from, e);
    r = r < 0 ? r : platform_of(b, from, &s->platform, e);
    if (r == 0 && !*from->args[0])
        r = err_hint(e, err_msg(e, EINVAL, "the name of the image is empty"),
                     "an ARG before the first FROM, or --build-arg, gives a variable its value");
    r = r < 0 ? r : load_base(b, s, from->args[0], e);
    if (r == 0 && b->o->squash && s->st.base)
        r = err_hint(
            e, err_msg(e, ENOTSUP, "--squash keeps the layers of the base, which is not there yet"),
            "--squash-all makes one layer of all files");
    if (r < 0)
        return e && str_after(e->msg, b->file->name)
                   ? r
                   : err_add(e, r, "%s:%u: FROM %s", b->file->name, s->from->line,
                             from ? from->args[0] : "");
    r = run_body(b, s, from->args[0], e);
    s->done = r == 0;
    return r;
}

/* --- ARG BEFORE THE FIRST FROM --- */

int stages_globals(struct build *b, struct err *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < b->file->n && b->file->ins[i].kind != INS_FROM; i++)
        r = take_args(b, NULL, b->file->name, &b->file->ins[i], e);
    return r;
}
