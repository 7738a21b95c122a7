/* set - files that are known, their names, and what is wrong with them. */
#include <stdarg.h>

#include "quadlet/keys.h"

static const struct {
    const char *name, *section, *suffix, *name_key;
} kinds[QUADLET_N_KINDS] = {
    [QUADLET_CONTAINER] = {"container", "Container", "", "ContainerName"},
    [QUADLET_VOLUME] = {"volume", "Volume", "-volume", "VolumeName"},
    [QUADLET_NETWORK] = {"network", "Network", "-network", "NetworkName"},
    [QUADLET_POD] = {"pod", "Pod", "-pod", "PodName"},
    [QUADLET_IMAGE] = {"image", "Image", "-image", NULL},
    [QUADLET_BUILD] = {"build", "Build", "-build", NULL},
    [QUADLET_KUBE] = {"kube", "Kube", "", NULL},
    [QUADLET_ARTIFACT] = {"artifact", "Artifact", "-artifact", NULL},
};

bool quadlet_kind_of(const char *name, enum quadlet_kind *ret)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && dot != name && i < QUADLET_N_KINDS; i++)
        if (streq(dot + 1, kinds[i].name)) {
            *ret = (enum quadlet_kind)i;
            return true;
        }
    return false;
}

const char *quadlet_kind_name(enum quadlet_kind kind)
{
    return kinds[kind].name;
}

const char *quadlet_section(enum quadlet_kind kind)
{
    return kinds[kind].section;
}

static void parse(struct quadlet_file *f, const char *path, const char *text, size_t len)
{
    struct err e = ERR_INIT;
    if (unit_parse(&f->unit, path, text, len, &e) == 0)
        return;
    quadlet_problem(f, QUADLET_ERROR, NULL, "%s", e.msg);
    if (e.hint[0])
        quadlet_hint(f, "%s", e.hint);
}

struct quadlet_file *quadlet_add(struct quadlet_set *s, const char *path, const char *text,
                                 size_t len)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    enum quadlet_kind kind;
    if (!quadlet_kind_of(name, &kind))
        return NULL;
    struct quadlet_file *f = xcalloc(1, sizeof(*f));
    f->name = xstrdup(name);
    f->path = xstrdup(path);
    f->kind = kind;
    parse(f, path, text, len);
    s->files = xrealloc(s->files, (s->n + 1) * sizeof(struct quadlet_file *));
    s->files[s->n++] = f;
    return f;
}

void quadlet_add_drop_in(struct quadlet_file *f, const char *path, const char *text, size_t len)
{
    parse(f, path, text, len);
}

struct quadlet_file *quadlet_find(const struct quadlet_set *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (streq(s->files[i]->name, name))
            return s->files[i];
    return NULL;
}

static void file_free(struct quadlet_file *f)
{
    for (size_t i = 0; i < f->n_problems; i++) {
        free(f->problems[i].text);
        free(f->problems[i].hint);
    }
    free(f->problems);
    strv_free(f->run);
    unit_release(&f->unit);
    free(f->name);
    free(f->path);
    free(f);
}

void quadlet_set_release(struct quadlet_set *s)
{
    for (size_t i = 0; i < s->n; i++)
        file_free(s->files[i]);
    free(s->files);
    s->files = NULL;
    s->n = 0;
}

void quadlet_problem(struct quadlet_file *f, enum quadlet_severity severity,
                     const struct unit_line *at, const char *fmt, ...)
{
    scoped_str struct str text = STR_INIT;
    va_list ap;
    if (at)
        str_addf(&text, "%s:%u: %s=: ", at->file, at->line, at->key);
    va_start(ap, fmt);
    str_addv(&text, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < f->n_problems; i++)
        if (streq(f->problems[i].text, text.s))
            return;
    f->problems = xrealloc(f->problems, (f->n_problems + 1) * sizeof(*f->problems));
    f->problems[f->n_problems++] =
        (struct quadlet_problem){.severity = severity, .text = str_detach(&text)};
}

void quadlet_hint(struct quadlet_file *f, const char *fmt, ...)
{
    scoped_str struct str text = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_addv(&text, fmt, ap);
    va_end(ap);
    struct quadlet_problem *last = &f->problems[f->n_problems - 1];
    if (!last->hint)
        last->hint = str_detach(&text);
}

int quadlet_worst(const struct quadlet_file *f)
{
    int worst = -1;
    for (size_t i = 0; i < f->n_problems; i++)
        if ((int)f->problems[i].severity > worst)
            worst = (int)f->problems[i].severity;
    return worst;
}

/* The name without its ending, and where its instance begins (at the '@') or its end. */
static char *base_name(const struct quadlet_file *f, size_t *ret_at)
{
    char *base = xstrndup(f->name, (size_t)(strrchr(f->name, '.') - f->name));
    *ret_at = strcspn(base, "@");
    return base;
}

bool quadlet_is_template(const struct quadlet_file *f)
{
    const char *dot = strrchr(f->name, '.');
    return dot > f->name && dot[-1] == '@';
}

char *quadlet_own_value(const struct quadlet_file *f, const char *key)
{
    const char *v = unit_value(unit_section(&f->unit, kinds[f->kind].section), key);
    size_t n = v ? strlen(v) : 0;
    /* As podman: quotes around the whole value go, others are the value's. */
    if (n >= 2 && v[0] == '"' && v[n - 1] == '"')
        return xstrndup(v + 1, n - 2);
    return xstrdup(v);
}

char *quadlet_service_name(const struct quadlet_file *f)
{
    size_t at;
    scoped_free char *own = quadlet_own_value(f, "ServiceName"), *base = base_name(f, &at);
    if (own && *own)
        return xasprintf("%s%s.service", own,
                         quadlet_is_template(f) && !strchr(own, '@') ? "@" : "");
    return xasprintf("%.*s%s%s.service", (int)at, base, kinds[f->kind].suffix, base + at);
}

char *quadlet_resource_name(const struct quadlet_file *f)
{
    size_t at;
    if (f->kind == QUADLET_IMAGE || f->kind == QUADLET_BUILD) {
        char *tag = quadlet_own_value(f, "ImageTag");
        if (f->kind == QUADLET_BUILD || (tag && *tag)) {
            free(tag);
            const struct unit_section *s = unit_section(&f->unit, kinds[f->kind].section);
            scoped_free const struct unit_line **all = unit_all(s, "ImageTag");
            return all[0] ? xstrdup(all[0]->value) : NULL;
        }
        free(tag);
        return quadlet_own_value(f, "Image");
    }
    scoped_free char *own =
        kinds[f->kind].name_key ? quadlet_own_value(f, kinds[f->kind].name_key) : NULL;
    if (own && *own)
        return take_ptr(own);
    if (f->kind == QUADLET_CONTAINER)
        return xstrdup(strchr(f->name, '@') ? "systemd-%p_%i" : "systemd-%N");
    scoped_free char *base = base_name(f, &at);
    const char *instance = base[at] ? (base[at + 1] ? base + at + 1 : "%i") : NULL;
    return xasprintf("systemd-%.*s%s%s", (int)at, base, instance ? "-" : "",
                     instance ? instance : "");
}

char **quadlet_drop_in_dirs(const char *name)
{
    char **list = NULL;
    const char *dot = strrchr(name, '.');
    if (!dot)
        dot = name + strlen(name);
    size_t base = (size_t)(dot - name), at = strcspn(name, "@");
    bool has_at = at < base;
    strv_addf(&list, "%s.d", name);
    if (has_at && at + 1 < base)
        strv_addf(&list, "%.*s@%s.d", (int)at, name, dot);
    /* a-b-c has drop-ins of a-b- and a- too. */
    for (size_t n = has_at ? at : base; n > 1; n--) {
        if (name[n - 2] != '-')
            continue;
        if (has_at)
            strv_addf(&list, "%.*s@%s.d", (int)n - 1, name, dot);
        strv_addf(&list, "%.*s%s.d", (int)n - 1, name, dot);
    }
    if (*dot)
        strv_addf(&list, "%s.d", dot + 1);
    return list;
}
