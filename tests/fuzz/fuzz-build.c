/* Any bytes as a Containerfile, a trigger, a word, an ignore file, a pattern, a mode or a platform:
 * no crash, no endless work, and what is accepted holds what the callers rely on. The first byte
 * says which. Rows B55, B49. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "build/chmod.h"
#include "build/expand.h"
#include "build/file.h"
#include "build/glob.h"
#include "build/ignore.h"
#include "build/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
    if (!ok)
        abort();
}

static const char *get(void *data, const char *name)
{
    (void)data;
    must(*name && (!name[1] || !strpbrk(name, "${}\\/")));
    return streq(name, "a") ? "x/y.z" : streq(name, "b") ? "" : NULL;
}

static const struct expand env = {get, NULL, '\\'};

static void check_ins(const struct ins *in)
{
    size_t n = strv_len(in->args);
    must(in->line >= 1 && in->last_line >= in->line);
    must(strncmp(in->text, ins_name(in->kind), strlen(ins_name(in->kind))) == 0);
    must(n >= 1 || in->exec_form);
    must(in->kind != INS_FROM || n <= 2);
    must((in->kind != INS_COPY && in->kind != INS_ADD) || n >= 2);
    must((in->kind != INS_ENV && in->kind != INS_LABEL) || n % 2 == 0);
    must((in->kind == INS_ONBUILD) == (in->child != NULL));
    for (size_t i = 0; i < in->n_heredocs; i++)
        must(*in->heredocs[i].name && in->heredocs[i].body);
    if (in->child)
        check_ins(in->child);
}

/* What an ONBUILD leaves in an image is read back the same. */
static void check_trigger(const struct ins *in)
{
    struct bfile *f SCOPED(bfile_scoped) = NULL;
    struct err e = ERR_INIT;
    if (!in->child || strchr(in->args[0], '`'))
        return; /* the escape character is not kept in images */
    if (bfile_parse_trigger("t", in->args[0], &f, &e) == 0)
        must(f->n == 1 && f->ins[0].kind == in->child->kind);
}

static void fuzz_file(const char *text, size_t n)
{
    struct bfile *f SCOPED(bfile_scoped) = NULL;
    struct err e = ERR_INIT;
    if (bfile_parse("f", text, n, &f, &e) < 0) {
        must(e.errnum > 0 && strncmp(e.msg, "f:", 2) == 0);
        return;
    }
    bool from = false;
    for (size_t i = 0; i < f->n; i++) {
        struct ins *x SCOPED(ins_scoped) = NULL;
        check_ins(&f->ins[i]);
        check_trigger(&f->ins[i]);
        from = from || f->ins[i].kind == INS_FROM;
        must(from || f->ins[i].kind == INS_ARG);
        struct expand own = env;
        own.escape = f->escape;
        if (ins_expand("f", &f->ins[i], &own, &x, &e) == 0 && x->kind != INS_EXPOSE)
            must(strv_len(x->args) == strv_len(f->ins[i].args) && x->n_flags == f->ins[i].n_flags);
    }
    must(from);
}

static void fuzz_word(const char *text)
{
    scoped_free char *word = NULL, *body = NULL;
    scoped_strv char **words = NULL;
    struct err e = ERR_INIT;
    int r = expand_word(&env, text, &word, &e);
    must(r == 0 ? word != NULL : e.errnum == EINVAL);
    expand_words(&env, text, &words, &e);
    expand_body(&env, text, &body, &e);
}

/* "PATTERN\nTEXT": a literal matches itself, trims are parts of the text. */
static void fuzz_pattern(char *text)
{
    char *nl = strchr(text, '\n');
    struct glob *g SCOPED(glob_scoped) = NULL;
    if (!nl)
        return;
    *nl++ = '\0';
    if (glob_compile(text, true, &g, NULL) == 0)
        glob_match(g, nl);
    struct glob *h SCOPED(glob_scoped) = NULL;
    if (glob_compile(text, false, &h, NULL) == 0 && !glob_is_pattern(text)) {
        scoped_free char *literal = glob_literal(text);
        must(glob_match(h, literal));
    }
    for (int i = 0; i < 4; i++) {
        scoped_free char *s = pattern_trim(nl, text, i & 1, i & 2);
        size_t n = strlen(s), all = strlen(nl);
        must(n <= all && memcmp(i & 1 ? nl + all - n : nl, s, n) == 0);
    }
    scoped_free char *first = pattern_replace(nl, text, "w", false);
    scoped_free char *every = pattern_replace(nl, text, "w", true);
    must(first && every);
}

/* "PATH\nRULES": what is under a path that is out, and not taken back, is out as well. */
static void fuzz_ignore(char *text)
{
    char *nl = strchr(text, '\n');
    struct ignore *g = NULL;
    struct err e = ERR_INIT;
    if (!nl || nl == text || *text == '/' || nl[-1] == '/' || strstr(text, "//"))
        return;
    *nl++ = '\0';
    if (ignore_parse("i", nl, strlen(nl), &g, &e) < 0) {
        must(strncmp(e.msg, "i:", 2) == 0);
        return;
    }
    scoped_free char *below = xasprintf("%s/x", text);
    if (ignore_match(g, text) && !ignore_may_take_back(g, text))
        must(ignore_match(g, below));
    ignore_free(g);
}

static void fuzz_small(const char *text)
{
    struct build_platform p, again;
    struct err e = ERR_INIT;
    char shown[100];
    if (build_platform_parse(text, &p, &e) == 0) {
        build_platform_text(&p, shown);
        must(build_platform_parse(shown, &again, &e) == 0);
        must(streq(p.arch, again.arch) && streq(p.variant, again.variant));
    }
    if (chmod_check(text, &e) == 0)
        must(chmod_apply(text, 0644, false) <= 07777 && chmod_apply(text, 0755, true) <= 07777);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = xstrndup((const char *)data + 1, size - 1); /* ends at a zero byte */
    switch (data[0] % 5) {
    case 0:
        fuzz_file((const char *)data + 1, size - 1);
        break;
    case 1:
        fuzz_word(text);
        break;
    case 2:
        fuzz_pattern(text);
        break;
    case 3:
        fuzz_ignore(text);
        break;
    default:
        fuzz_small(text);
    }
    free(text);
    return 0;
}
