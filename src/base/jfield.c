/* jfield - the reading half: a document's members into the fields of a struct. */
#include "base/jfield.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"

/* Where we are, as frames on the stack: text is made of it only when something is wrong. */
struct jpath {
    const struct jpath *up;
    const char *key; /* NULL: an index; the outermost frame's is the caller's path, verbatim */
    size_t index;
};

struct slot {
    const struct jfield *f;
    void *p;         /* the field */
    char *base;      /* the struct */
    struct err *err; /* where to report */
};

static bool plain_key(const char *key)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return *key && key[strspn(key, plain)] == '\0';
}

static void path_text(const struct jpath *at, struct str *ret)
{
    if (!at->up) {
        str_add(ret, at->key);
        return;
    }
    path_text(at->up, ret);
    if (!at->key)
        str_addf(ret, "[%zu]", at->index);
    else if (plain_key(at->key))
        str_addf(ret, "%s%s", ret->len ? "." : "", at->key);
    else
        str_addf(ret, "[\"%.64s\"]", at->key);
}

static int fail(const struct jpath *at, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(const struct jpath *at, struct err *e, const char *fmt, ...)
{
    scoped_str struct str path = STR_INIT, message = STR_INIT;
    path_text(at, &path);
    va_list ap;
    va_start(ap, fmt);
    str_addv(&message, fmt, ap);
    va_end(ap);
    return err_msg(e, EINVAL, "%s%s%s", path.s, path.len ? ": " : "", message.s);
}

static int parse_object(const json_t *obj, const struct jfield *table, const struct jpath *at,
                        void *ret, struct err *e);

static int parse_bool_field(const json_t *v, const struct slot *s, const struct jpath *at)
{
    if (!json_is_boolean(v))
        return fail(at, s->err, "want true or false");
    *(bool *)s->p = json_is_true(v);
    return 0;
}

static int parse_signed(const json_t *v, const struct slot *s, const struct jpath *at)
{
    bool wide = s->f->type == J_INT64;
    json_int_t min = wide ? INT64_MIN : INT32_MIN, max = wide ? INT64_MAX : INT32_MAX;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return fail(at, s->err, "want an integer from %lld to %lld", (long long)min,
                    (long long)max);
    if (wide)
        *(int64_t *)s->p = json_integer_value(v);
    else
        *(int32_t *)s->p = (int32_t)json_integer_value(v);
    return 0;
}

static int parse_unsigned(const json_t *v, const struct slot *s, const struct jpath *at)
{
    bool wide = s->f->type == J_UINT64;
    uint64_t max = wide ? UINT64_MAX : UINT32_MAX, n;
    if (!json_to_u64(v, &n) || n > max)
        return fail(at, s->err, "want an integer from 0 to %llu", (unsigned long long)max);
    if (wide)
        *(uint64_t *)s->p = n;
    else
        *(uint32_t *)s->p = (uint32_t)n;
    return 0;
}

static int parse_double(const json_t *v, const struct slot *s, const struct jpath *at)
{
    if (!json_is_number(v))
        return fail(at, s->err, "want a number");
    *(double *)s->p = json_number_value(v);
    return 0;
}

/* A borrowed C string, or NULL with e set: none, a big integer in disguise, or one with a NUL,
 * which would be cut where C code reads it. */
static const char *want_string(const json_t *v, const struct jpath *at, struct err *e)
{
    const char *s = json_string_value(v);
    uint64_t n;
    if (!s || (s[0] == '\x1e' && json_to_u64(v, &n))) {
        fail(at, e, "want a string");
        return NULL;
    }
    if (strlen(s) != json_string_length(v)) {
        fail(at, e, "a NUL character is not allowed");
        return NULL;
    }
    return s;
}

static int parse_string(const json_t *v, const struct slot *s, const struct jpath *at)
{
    const char *text = want_string(v, at, s->err);
    if (!text)
        return -EINVAL;
    *(char **)s->p = xstrdup(text);
    return 0;
}

static int parse_strv(const json_t *v, const struct slot *s, const struct jpath *at)
{
    if (!json_is_array(v))
        return fail(at, s->err, "want a list of strings");
    size_t n = json_array_size(v);
    char **list = xcalloc(n + 1, sizeof(*list));
    *(char ***)s->p = list;
    for (size_t i = 0; i < n; i++) {
        struct jpath here = {.up = at, .index = i};
        const char *text = want_string(json_array_get(v, i), &here, s->err);
        if (!text)
            return -EINVAL;
        list[i] = xstrdup(text);
    }
    return 0;
}

static int parse_u32v(const json_t *v, const struct slot *s, const struct jpath *at)
{
    if (!json_is_array(v))
        return fail(at, s->err, "want a list of integers");
    struct jfield_u32v *list = s->p;
    size_t n = json_array_size(v);
    list->v = n ? xcalloc(n, sizeof(*list->v)) : NULL;
    list->n = n;
    for (size_t i = 0; i < n; i++) {
        struct jpath here = {.up = at, .index = i};
        uint64_t number;
        if (!json_to_u64(json_array_get(v, i), &number) || number > UINT32_MAX)
            return fail(&here, s->err, "want an integer from 0 to 4294967295");
        list->v[i] = (uint32_t)number;
    }
    return 0;
}

static int parse_map(const json_t *v, const struct slot *s, const struct jpath *at)
{
    if (!json_is_object(v))
        return fail(at, s->err, "want an object of strings");
    char **list = xcalloc(json_object_size(v) + 1, sizeof(*list));
    *(char ***)s->p = list;
    const char *key;
    json_t *value;
    size_t i = 0;
    json_object_foreach((json_t *)v, key, value)
    {
        struct jpath here = {.up = at, .key = key};
        if (strchr(key, '='))
            return fail(&here, s->err, "a name with '=' is not allowed");
        const char *text = want_string(value, &here, s->err);
        if (!text)
            return -EINVAL;
        list[i++] = xasprintf("%s=%s", key, text);
    }
    return 0;
}

static int parse_struct(const json_t *v, const struct slot *s, const struct jpath *at)
{
    return parse_object(v, s->f->sub, at, s->p, s->err);
}

static int parse_pointer(const json_t *v, const struct slot *s, const struct jpath *at)
{
    if (!json_is_object(v))
        return fail(at, s->err, "want an object");
    void *item = xcalloc(1, s->f->sub_size);
    *(void **)s->p = item;
    return parse_object(v, s->f->sub, at, item, s->err);
}

static int parse_array(const json_t *v, const struct slot *s, const struct jpath *at)
{
    if (!json_is_array(v))
        return fail(at, s->err, "want a list of objects");
    size_t n = json_array_size(v);
    char *items = n ? xcalloc(n, s->f->sub_size) : NULL;
    *(void **)s->p = items;
    *(size_t *)(void *)(s->base + s->f->count_offset) = n;
    for (size_t i = 0; i < n; i++) {
        struct jpath here = {.up = at, .index = i};
        int r = parse_object(json_array_get(v, i), s->f->sub, &here, items + i * s->f->sub_size,
                             s->err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_enum(const json_t *v, const struct slot *s, const struct jpath *at)
{
    const char *text = json_string_value(v);
    scoped_str struct str names = STR_INIT;
    for (int i = 0; s->f->names[i]; i++) {
        if (text && streq(text, s->f->names[i])) {
            *(int *)s->p = i;
            return 0;
        }
        str_addf(&names, "%s\"%s\"", i ? ", " : "", s->f->names[i]);
    }
    return fail(at, s->err, "want one of %s", names.s);
}

static int parse_raw(const json_t *v, const struct slot *s, const struct jpath *at)
{
    (void)at;
    *(json_t **)s->p = json_incref((json_t *)v);
    return 0;
}

static int (*const parsers[])(const json_t *, const struct slot *, const struct jpath *) = {
    [J_BOOL] = parse_bool_field, [J_INT32] = parse_signed,    [J_UINT32] = parse_unsigned,
    [J_INT64] = parse_signed,    [J_UINT64] = parse_unsigned, [J_DOUBLE] = parse_double,
    [J_STRING] = parse_string,   [J_STRV] = parse_strv,       [J_U32V] = parse_u32v,
    [J_MAP] = parse_map,         [J_STRUCT] = parse_struct,   [J_POINTER] = parse_pointer,
    [J_ARRAY] = parse_array,     [J_ENUM] = parse_enum,       [J_RAW] = parse_raw,
};

static void release_field(const struct jfield *f, char *base)
{
    void *p = base + f->offset;
    size_t *count = (void *)(base + f->count_offset);
    switch (f->type) {
    case J_STRING:
        free(*(char **)p);
        *(char **)p = NULL;
        break;
    case J_STRV:
    case J_MAP:
        strv_free(*(char ***)p);
        *(char ***)p = NULL;
        break;
    case J_U32V:
        free(((struct jfield_u32v *)p)->v);
        *(struct jfield_u32v *)p = (struct jfield_u32v){0};
        break;
    case J_STRUCT:
        jfield_release(f->sub, p);
        break;
    case J_POINTER:
        if (*(void **)p)
            jfield_release(f->sub, *(void **)p);
        free(*(void **)p);
        *(void **)p = NULL;
        break;
    case J_ARRAY:
        for (size_t i = 0; i < *count; i++)
            jfield_release(f->sub, *(char **)p + i * f->sub_size);
        free(*(void **)p);
        *(void **)p = NULL;
        *count = 0;
        break;
    case J_RAW:
    case J_EXTRA:
        json_decref(*(json_t **)p);
        *(json_t **)p = NULL;
        break;
    default:
        break;
    }
}

static int parse_member(const json_t *v, const struct jfield *f, const struct jpath *at, char *base,
                        struct err *e)
{
    if (json_is_null(v) && f->type != J_RAW) {
        if ((f->flags & JF_REQUIRED) && !(f->flags & JF_NULL_OK))
            return fail(at, e, "null is not allowed");
        return 0;
    }
    if (f->type != J_STRUCT)
        release_field(f, base); /* a default that the caller gave */
    if (f->set_offset)
        *(bool *)(base + f->set_offset) = true;
    struct slot s = {.f = f, .p = base + f->offset, .base = base, .err = e};
    return parsers[f->type](v, &s, at);
}

static void keep_unknown(const struct jfield *extra, char *base, const char *key, json_t *value)
{
    if (!extra)
        return;
    json_t **keep = (void *)(base + extra->offset);
    if (!*keep)
        *keep = json_object();
    json_object_set_nocheck(*keep, key, value);
}

/* Row of the member `key`: members mostly come in the table's order, so search on from `from`. */
static size_t find_row(const struct jfield *table, size_t rows, size_t from, const char *key)
{
    for (size_t i = 0; i < rows; i++) {
        size_t at = from + i < rows ? from + i : from + i - rows;
        if (table[at].type != J_EXTRA && strcmp(table[at].name, key) == 0)
            return at;
    }
    return rows;
}

static int parse_object(const json_t *obj, const struct jfield *table, const struct jpath *at,
                        void *ret, struct err *e)
{
    if (!json_is_object(obj))
        return fail(at, e, "want an object");
    const struct jfield *extra = NULL;
    size_t rows = 0, next = 0;
    for (; table[rows].name; rows++)
        if (table[rows].type == J_EXTRA)
            extra = &table[rows];
    assert(rows <= 64);
    uint64_t seen = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)obj, key, value)
    {
        size_t row = find_row(table, rows, next, key);
        if (row == rows) {
            keep_unknown(extra, ret, key, value);
            continue;
        }
        next = row + 1;
        seen |= (uint64_t)1 << row;
        struct jpath here = {.up = at, .key = key};
        int r = parse_member(value, &table[row], &here, ret, e);
        if (r < 0)
            return r;
    }
    for (size_t row = 0; row < rows; row++) {
        struct jpath here = {.up = at, .key = table[row].name};
        if ((table[row].flags & JF_REQUIRED) && !(seen >> row & 1))
            return fail(&here, e, "missing");
    }
    return 0;
}

int jfield_parse(const json_t *obj, const struct jfield *table, const char *path, void *ret,
                 struct err *e)
{
    struct jpath at = {.key = path ? path : ""};
    int r = parse_object(obj, table, &at, ret, e);
    if (r < 0)
        jfield_release(table, ret);
    return r;
}

void jfield_release(const struct jfield *table, void *data)
{
    for (const struct jfield *f = table; f->name; f++)
        release_field(f, data);
}
