#include "base/prune.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"

static int parse_term(const char *term, struct prune_filter *f, struct err *e)
{
    const char *v;
    if ((v = str_after(term, "label="))) {
        strv_add(&f->labels, v);
        return 0;
    }
    if ((v = str_after(term, "label!="))) {
        strv_add(&f->without, v);
        return 0;
    }
    if (!(v = str_after(term, "until=")))
        return err_hint(e, err_msg(e, EINVAL, "--filter %s: unknown filter", term),
                        "known: until=, label=, label!=");
    if (time_parse(v, &f->until_ns) < 0)
        return err_hint(e, err_msg(e, EINVAL, "--filter %s: not a time", term),
                        "for example until=24h, or until=2026-01-31T12:00:00Z");
    return 0;
}

int prune_filter_parse(char *const *terms, struct prune_filter *ret, struct err *e)
{
    scoped_prune_filter struct prune_filter f = {.until_ns = 0};
    for (char *const *t = terms; t && *t; t++) {
        int r = parse_term(*t, &f, e);
        if (r < 0)
            return r;
    }
    *ret = f;
    f = (struct prune_filter){.until_ns = 0};
    return 0;
}

void prune_filter_release(struct prune_filter *f)
{
    strv_free(f->labels);
    strv_free(f->without);
    *f = (struct prune_filter){.until_ns = 0};
}

static bool has_label(char *const *labels, const char *wanted)
{
    return strchr(wanted, '=') ? strv_has(labels, wanted) : strv_env_get(labels, wanted) != NULL;
}

bool prune_filter_match(const struct prune_filter *f, int64_t created_ns, char *const *labels)
{
    if (f->until_ns && created_ns >= f->until_ns)
        return false;
    for (char **l = f->labels; l && *l; l++)
        if (!has_label(labels, *l))
            return false;
    for (char **l = f->without; l && *l; l++)
        if (has_label(labels, *l))
            return false;
    return true;
}

int prune_ask(const char *what, struct err *e)
{
    char answer[32] = "";
    printf("WARNING! This will remove%s\nAre you sure you want to continue? [y/N] ", what);
    fflush(stdout);
    if (!fgets(answer, sizeof(answer), stdin)) {
        putchar('\n');
        return err_hint(e, err_msg(e, EINVAL, "nobody is there to answer: nothing was removed"),
                        "--force does not ask");
    }
    return answer[0] == 'y' || answer[0] == 'Y';
}
