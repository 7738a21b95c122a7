/* call - the functions of templates, and how values print. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/strv.h"
#include "format/format-priv.h"

bool format_truth(const json_t *v)
{
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_TRUE:
        return true;
    case JSON_INTEGER:
        return json_integer_value(v) != 0;
    case JSON_REAL:
        return json_real_value(v) != 0;
    case JSON_STRING:
        return json_string_length(v) > 0;
    case JSON_ARRAY:
        return json_array_size(v) > 0;
    case JSON_OBJECT:
        return json_object_size(v) > 0;
    default:
        return false;
    }
}

static void print_array(const json_t *v, struct str *out)
{
    size_t i;
    json_t *item;
    str_addc(out, '[');
    json_array_foreach(v, i, item)
    {
        if (i > 0)
            str_addc(out, ' ');
        format_print_value(item, out);
    }
    str_addc(out, ']');
}

/* Go prints maps in the order of their keys. */
static void print_object(const json_t *v, struct str *out)
{
    scoped_strv char **keys = NULL;
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)v, key, item) strv_add(&keys, key);
    strv_sort(keys);
    str_add(out, "map[");
    for (char **k = keys; k && *k; k++) {
        str_addf(out, "%s%s:", k == keys ? "" : " ", *k);
        format_print_value(json_object_get(v, *k), out);
    }
    str_addc(out, ']');
}

void format_print_value(const json_t *v, struct str *out)
{
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_STRING:
        str_addn(out, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        str_addf(out, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        str_addf(out, "%g", json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        str_add(out, json_is_true(v) ? "true" : "false");
        break;
    case JSON_ARRAY:
        print_array(v, out);
        break;
    case JSON_OBJECT:
        print_object(v, out);
        break;
    default:
        str_add(out, "<nil>");
    }
}

static json_t *take_text(struct str *s)
{
    json_t *v = json_stringn(s->s, s->len);
    return v ? v : json_string("");
}

static json_t *f_json(json_t **a, size_t n, struct err *e)
{
    (void)n;
    (void)e;
    scoped_free char *text = json_dumps(a[0], JSON_COMPACT | JSON_ENCODE_ANY);
    return json_string(text ? text : "null");
}

static json_t *f_len(json_t **a, size_t n, struct err *e)
{
    (void)n;
    if (json_is_string(a[0]))
        return json_integer((json_int_t)json_string_length(a[0]));
    if (json_is_array(a[0]))
        return json_integer((json_int_t)json_array_size(a[0]));
    if (json_is_object(a[0]))
        return json_integer((json_int_t)json_object_size(a[0]));
    err_msg(e, EINVAL, "len of something without a length");
    return NULL;
}

static json_t *f_index(json_t **a, size_t n, struct err *e)
{
    json_t *v = a[0];
    for (size_t i = 1; i < n; i++) {
        if (json_is_object(v) && json_is_string(a[i])) {
            v = json_object_get(v, json_string_value(a[i]));
        } else if (json_is_array(v) && json_is_integer(a[i])) {
            json_int_t at = json_integer_value(a[i]);
            if (at < 0 || (size_t)at >= json_array_size(v)) {
                err_msg(e, ERANGE, "index out of range: %lld", (long long)at);
                return NULL;
            }
            v = json_array_get(v, (size_t)at);
        } else {
            err_msg(e, EINVAL, "index wants a list and a number, or a map and a string");
            return NULL;
        }
    }
    return v ? json_incref(v) : json_string("");
}

static json_t *f_eq(json_t **a, size_t n, struct err *e)
{
    (void)e;
    for (size_t i = 1; i < n; i++)
        if (json_equal(a[0], a[i]))
            return json_true();
    return json_false();
}

static json_t *f_ne(json_t **a, size_t n, struct err *e)
{
    (void)n;
    (void)e;
    return json_boolean(!json_equal(a[0], a[1]));
}

#define NUMERIC(name, operator)                                                                    \
    static json_t *name(json_t **a, size_t n, struct err *e)                                       \
    {                                                                                              \
        (void)n;                                                                                   \
        (void)e;                                                                                   \
        return json_boolean(json_number_value(a[0]) operator json_number_value(a[1]));             \
    }
NUMERIC(f_lt, <)
NUMERIC(f_le, <=)
NUMERIC(f_gt, >)
NUMERIC(f_ge, >=)

static json_t *f_and(json_t **a, size_t n, struct err *e)
{
    (void)e;
    for (size_t i = 0; i + 1 < n; i++)
        if (!format_truth(a[i]))
            return json_incref(a[i]);
    return json_incref(a[n - 1]);
}

static json_t *f_or(json_t **a, size_t n, struct err *e)
{
    (void)e;
    for (size_t i = 0; i + 1 < n; i++)
        if (format_truth(a[i]))
            return json_incref(a[i]);
    return json_incref(a[n - 1]);
}

static json_t *f_not(json_t **a, size_t n, struct err *e)
{
    (void)n;
    (void)e;
    return json_boolean(!format_truth(a[0]));
}

static json_t *f_print(json_t **a, size_t n, struct err *e)
{
    scoped_str struct str s = STR_INIT;
    (void)e;
    for (size_t i = 0; i < n; i++)
        format_print_value(a[i], &s);
    return take_text(&s);
}

static json_t *f_println(json_t **a, size_t n, struct err *e)
{
    scoped_str struct str s = STR_INIT;
    (void)e;
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            str_addc(&s, ' ');
        format_print_value(a[i], &s);
    }
    str_addc(&s, '\n');
    return take_text(&s);
}

/* One directive "%[-][width]verb"; s, d, v and q mean what %v means (q in quotes). */
static const char *directive(const char *p, const json_t *value, struct str *out)
{
    scoped_str struct str text = STR_INIT;
    bool left = *p == '-';
    uint32_t width = 0;
    if (left)
        p++;
    for (; isdigit((unsigned char)*p) && width < 1000; p++)
        width = width * 10 + (uint32_t)(*p - '0');
    if (*p == 'q')
        str_addc(&text, '"');
    format_print_value(value, &text);
    if (*p == 'q')
        str_addc(&text, '"');
    str_addf(out, left ? "%-*s" : "%*s", (int)width, text.s);
    return *p ? p + 1 : p;
}

static json_t *f_printf(json_t **a, size_t n, struct err *e)
{
    scoped_str struct str s = STR_INIT;
    const char *p = json_string_value(a[0]);
    size_t next = 1;
    if (!p) {
        err_msg(e, EINVAL, "printf wants a string first");
        return NULL;
    }
    while (*p) {
        if (*p != '%') {
            str_addc(&s, *p++);
        } else if (p[1] == '%') {
            str_addc(&s, '%');
            p += 2;
        } else {
            p = directive(p + 1, next < n ? a[next] : NULL, &s);
            next++;
        }
    }
    return take_text(&s);
}

static json_t *map_chars(json_t *v, int (*fn)(int c), bool first_only)
{
    scoped_str struct str s = STR_INIT;
    format_print_value(v, &s);
    for (size_t i = 0; i < s.len && !(first_only && i > 0); i++)
        s.s[i] = (char)fn((unsigned char)s.s[i]);
    return take_text(&s);
}

static json_t *f_upper(json_t **a, size_t n, struct err *e)
{
    (void)n;
    (void)e;
    return map_chars(a[0], toupper, false);
}

static json_t *f_lower(json_t **a, size_t n, struct err *e)
{
    (void)n;
    (void)e;
    return map_chars(a[0], tolower, false);
}

static json_t *f_title(json_t **a, size_t n, struct err *e)
{
    (void)n;
    (void)e;
    return map_chars(a[0], toupper, true);
}

static json_t *f_join(json_t **a, size_t n, struct err *e)
{
    scoped_str struct str s = STR_INIT;
    size_t i;
    json_t *item;
    (void)n;
    (void)e;
    if (!json_is_array(a[0]))
        return f_print(a, 1, e);
    json_array_foreach(a[0], i, item)
    {
        if (i > 0)
            format_print_value(a[1], &s);
        format_print_value(item, &s);
    }
    return take_text(&s);
}

static json_t *f_split(json_t **a, size_t n, struct err *e)
{
    json_t *list = json_array();
    (void)n;
    (void)e;
    const char *text = json_string_value(a[0]), *sep = json_string_value(a[1]);
    if (!text || !sep || !*sep)
        return list;
    for (const char *hit; (hit = strstr(text, sep)); text = hit + strlen(sep))
        json_array_append_new(list, json_stringn(text, (size_t)(hit - text)));
    json_array_append_new(list, json_string(text));
    return list;
}

static json_t *f_truncate(json_t **a, size_t n, struct err *e)
{
    scoped_str struct str s = STR_INIT;
    (void)n;
    (void)e;
    format_print_value(a[0], &s);
    json_int_t max = json_integer_value(a[1]);
    if (max < 0 || (size_t)max >= s.len)
        return take_text(&s);
    size_t cut = (size_t)max;
    while (cut > 0 && ((unsigned char)s.s[cut] & 0xc0) == 0x80)
        cut--; /* not inside of a UTF-8 sequence */
    return json_stringn(s.s, cut);
}

static json_t *f_pad(json_t **a, size_t n, struct err *e)
{
    scoped_str struct str s = STR_INIT;
    (void)e;
    json_int_t before = json_integer_value(a[1]), after = n > 2 ? json_integer_value(a[2]) : 0;
    for (json_int_t i = 0; i < before && i < 1000; i++)
        str_addc(&s, ' ');
    format_print_value(a[0], &s);
    for (json_int_t i = 0; i < after && i < 1000; i++)
        str_addc(&s, ' ');
    return take_text(&s);
}

static const struct function {
    const char *name;
    size_t min, max;
    json_t *(*fn)(json_t **args, size_t n, struct err *e);
} functions[] = {
    {"json", 1, 1, f_json},   {"len", 1, 1, f_len},         {"index", 1, 9, f_index},
    {"eq", 2, 9, f_eq},       {"ne", 2, 2, f_ne},           {"lt", 2, 2, f_lt},
    {"le", 2, 2, f_le},       {"gt", 2, 2, f_gt},           {"ge", 2, 2, f_ge},
    {"and", 1, 9, f_and},     {"or", 1, 9, f_or},           {"not", 1, 1, f_not},
    {"print", 0, 9, f_print}, {"println", 0, 9, f_println}, {"printf", 1, 9, f_printf},
    {"upper", 1, 1, f_upper}, {"lower", 1, 1, f_lower},     {"title", 1, 1, f_title},
    {"join", 2, 2, f_join},   {"split", 2, 2, f_split},     {"truncate", 2, 2, f_truncate},
    {"pad", 2, 3, f_pad},
};

static const struct function *find(const char *name)
{
    for (size_t i = 0; i < N_ELEMENTS(functions); i++)
        if (streq(functions[i].name, name))
            return &functions[i];
    return NULL;
}

bool format_function_known(const char *name)
{
    return find(name) != NULL;
}

json_t *format_call(const char *name, json_t **args, size_t n, struct err *e)
{
    const struct function *f = find(name);
    if (n >= f->min && n <= f->max)
        return f->fn(args, n, e);
    err_msg(e, EINVAL, "%s takes %zu to %zu arguments, not %zu", name, f->min, f->max, n);
    return NULL;
}
