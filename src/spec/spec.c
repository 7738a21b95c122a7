/* spec - text to struct spec and back. The rules beyond types are in validate*.c. */
#include "spec/spec.h"

#include <errno.h>

#include "base/str.h"
#include "spec/tables.h"

int spec_parse_unchecked(const char *text, size_t len, const char *what, struct spec *ret,
                         struct err *e)
{
    scoped_json json_t *doc = json_parse(text, len, SPEC_MAX_BYTES, what, e);
    if (!doc)
        return -EINVAL;
    struct spec s = {0};
    int r = jfield_parse(doc, spec_fields, "", &s, e);
    if (r < 0)
        return err_add(e, r, "%s", what);
    if (!s.linux_)
        s.linux_ = xcalloc(1, sizeof(*s.linux_));
    *ret = s;
    return 0;
}

/* What encoders of other make write for nothing. */
static void forget_empty(struct spec *s)
{
    for (size_t i = 0; i < s->linux_->n_namespaces; i++) {
        char **path = &s->linux_->namespaces[i].path;
        if (*path && !**path)
            free(take_ptr(*path));
    }
    for (size_t i = 0; i < s->n_mounts; i++) {
        char **to = s->mounts[i].options;
        for (char **from = to; from && *from; from++) {
            if (**from)
                *to++ = *from;
            else
                free(*from);
        }
        if (to)
            *to = NULL;
    }
    struct spec_linux *l = s->linux_;
    json_t **raw[] = {&l->resources,    &l->intel_rdt,   &l->personality,
                      &l->time_offsets, &l->net_devices, &l->memory_policy};
    for (size_t i = 0; i < N_ELEMENTS(raw); i++) {
        if (json_is_null(*raw[i]))
            *raw[i] = NULL; /* a singleton of jansson's, which counts no references */
    }
}

int spec_parse(const char *text, size_t len, const char *what, struct spec *ret, struct err *e)
{
    struct spec s = {0};
    int r = spec_parse_unchecked(text, len, what, &s, e);
    if (r < 0)
        return r;
    forget_empty(&s);
    if (!s.process) {
        s.no_process = true;
        s.process = xcalloc(1, sizeof(*s.process));
        s.process->cwd = xstrdup("/");
    }
    r = spec_validate(&s, e);
    if (r < 0) {
        spec_release(&s);
        return err_add(e, r, "%s", what);
    }
    *ret = s;
    return 0;
}

json_t *spec_emit(const struct spec *s)
{
    struct spec copy = *s;
    if (s->no_process)
        copy.process = NULL;
    return jfield_emit(spec_fields, &copy);
}

void spec_release(struct spec *s)
{
    jfield_release(spec_fields, s);
}

int spec_process_parse(const json_t *obj, const char *path, struct spec_process *ret, struct err *e)
{
    struct spec_process p = {0};
    int r = jfield_parse(obj, spec_process_fields, path, &p, e);
    if (r < 0)
        return r;
    r = spec_process_validate(&p, path, e);
    if (r < 0) {
        spec_process_release(&p);
        return r;
    }
    *ret = p;
    return 0;
}

json_t *spec_process_emit(const struct spec_process *p)
{
    return jfield_emit(spec_process_fields, p);
}

void spec_process_release(struct spec_process *p)
{
    jfield_release(spec_process_fields, p);
}

int spec_seccomp_parse(const json_t *obj, const char *path, struct spec_seccomp *ret, struct err *e)
{
    struct spec_seccomp s = {0};
    int r = jfield_parse(obj, spec_seccomp_fields, path, &s, e);
    if (r < 0)
        return r;
    r = spec_seccomp_validate(&s, path, e);
    if (r < 0) {
        spec_seccomp_release(&s);
        return r;
    }
    *ret = s;
    return 0;
}

static void drop_unknown(json_t *obj, const struct jfield *fields)
{
    const char *key;
    json_t *value, *one;
    void *next;
    size_t i;
    json_object_foreach_safe(obj, next, key, value)
    {
        const struct jfield *f = fields;
        while (f->name && (f->type == J_EXTRA || !streq(f->name, key)))
            f++;
        if (!f->name)
            json_object_del(obj, key);
        else if (f->sub && json_is_object(value))
            drop_unknown(value, f->sub);
        else if (f->sub)
            json_array_foreach(value, i, one) drop_unknown(one, f->sub);
    }
}

json_t *spec_seccomp_emit(const struct spec_seccomp *s)
{
    json_t *j = jfield_emit(spec_seccomp_fields, s);
    drop_unknown(j, spec_seccomp_fields);
    return j;
}

void spec_seccomp_release(struct spec_seccomp *s)
{
    jfield_release(spec_seccomp_fields, s);
}
