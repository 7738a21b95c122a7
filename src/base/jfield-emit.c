/* jfield - the writing half: the fields of a struct as an object. */
#include "base/jfield.h"

#include <string.h>

#include "base/str.h"

static json_t *emit_strv(char *const *list, bool keep_empty)
{
    if (!keep_empty && (!list || !*list))
        return NULL;
    json_t *array = json_array();
    for (; list && *list; list++)
        json_array_append_new(array, json_from_bytes(*list));
    return array;
}

static json_t *emit_u32v(const struct jfield_u32v *list, bool keep_empty)
{
    if (!keep_empty && !list->n)
        return NULL;
    json_t *array = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(array, json_integer(list->v[i]));
    return array;
}

static json_t *emit_map(char *const *list, bool keep_empty)
{
    if (!keep_empty && (!list || !*list))
        return NULL;
    json_t *object = json_object();
    for (; list && *list; list++) {
        const char *value = strchr(*list, '=');
        scoped_free char *key = value ? xstrndup(*list, (size_t)(value - *list)) : xstrdup(*list);
        scoped_json json_t *clean = json_from_bytes(key);
        json_object_set_new(object, json_string_value(clean),
                            json_from_bytes(value ? value + 1 : ""));
    }
    return object;
}

static json_t *emit_array(const struct jfield *f, const char *base, bool keep_empty)
{
    const char *items = *(char *const *)(const void *)(base + f->offset);
    size_t n = *(const size_t *)(const void *)(base + f->count_offset);
    if (!keep_empty && !n)
        return NULL;
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, jfield_emit(f->sub, items + i * f->sub_size));
    return array;
}

static json_t *emit_number(const struct jfield *f, const void *p, bool keep_zero)
{
    uint64_t u = 0;
    int64_t i = 0;
    switch (f->type) {
    case J_INT32:
        i = *(const int32_t *)p;
        break;
    case J_INT64:
        i = *(const int64_t *)p;
        break;
    case J_UINT32:
        u = *(const uint32_t *)p;
        break;
    default:
        u = *(const uint64_t *)p;
    }
    if (!u && !i && !keep_zero)
        return NULL;
    return i ? json_integer(i) : json_from_u64(u);
}

static json_t *emit_struct(const struct jfield *f, const void *p, bool keep_empty)
{
    json_t *object = jfield_emit(f->sub, p);
    if (keep_empty || json_object_size(object))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *emit_string(const char *s, bool keep_empty)
{
    if (!s)
        return keep_empty ? json_string("") : NULL;
    return *s || keep_empty ? json_from_bytes(s) : NULL;
}

/* The value of one field, owned, or NULL when it is not to appear. */
static json_t *emit_value(const struct jfield *f, const char *base)
{
    const void *p = base + f->offset;
    bool keep = f->flags & JF_KEEP_EMPTY;
    if (f->set_offset) {
        keep = *(const bool *)(base + f->set_offset);
        if (!keep)
            return NULL;
    }
    bool required = keep || (f->flags & JF_REQUIRED);
    switch (f->type) {
    case J_BOOL:
        return *(const bool *)p || required ? json_boolean(*(const bool *)p) : NULL;
    case J_INT32:
    case J_UINT32:
    case J_INT64:
    case J_UINT64:
        return emit_number(f, p, required);
    case J_DOUBLE: /* jansson makes no value of NaN and infinity, nor can JSON */
        return *(const double *)p < 0 || *(const double *)p > 0 || required
                   ? json_real(*(const double *)p)
                   : NULL;
    case J_STRING:
        return emit_string(*(char *const *)p, keep || (required && *(char *const *)p));
    case J_STRV:
        return emit_strv(*(char **const *)p, required);
    case J_U32V:
        return emit_u32v(p, required);
    case J_MAP:
        return emit_map(*(char **const *)p, required);
    case J_STRUCT:
        return emit_struct(f, p, required);
    case J_POINTER:
        return *(void *const *)p ? jfield_emit(f->sub, *(void *const *)p) : NULL;
    case J_ARRAY:
        return emit_array(f, base, required);
    case J_ENUM:
        return *(const int *)p >= 0 ? json_string(f->names[*(const int *)p]) : NULL;
    case J_RAW:
        return *(json_t *const *)p ? json_incref(*(json_t *const *)p) : NULL;
    case J_EXTRA:
        break;
    }
    return NULL;
}

json_t *jfield_emit(const struct jfield *table, const void *data)
{
    json_t *object = json_object();
    const struct jfield *extra = NULL;
    for (const struct jfield *f = table; f->name; f++) {
        if (f->type == J_EXTRA) {
            extra = f;
            continue;
        }
        json_t *value = emit_value(f, data);
        if (value)
            json_object_set_new_nocheck(object, f->name, value);
    }
    if (extra) /* known members were filtered out when it was read; a builder's cannot override */
        json_object_update_missing(
            object, *(json_t *const *)(const void *)((const char *)data + extra->offset));
    return object;
}
