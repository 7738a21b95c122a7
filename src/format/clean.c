/* clean - values whose texts cannot steer a terminal, nor make lines and cells of their own. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "format/format-priv.h"

/* Plain ASCII needs no look at what it means; everything else goes through err_escape. */
static bool is_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] >= 0x7f)
            return false;
    return true;
}

static bool is_clean(json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_string(v))
        return is_plain(json_string_value(v), json_string_length(v));
    json_array_foreach(v, i, item)
    {
        if (!is_clean(item))
            return false;
    }
    json_object_foreach(v, key, item)
    {
        if (!is_plain(key, strlen(key)) || !is_clean(item))
            return false;
    }
    return true;
}

/* A piece without '\0', '\n' and '\t'. */
static void add_piece(struct str *out, const char *s, size_t n)
{
    scoped_free char *piece = xstrndup(s, n);
    scoped_free char *safe = xmalloc(4 * n + 1);
    str_add(out, err_escape(safe, 4 * n + 1, piece));
}

static void add_text(struct str *out, const char *s, size_t n, bool lines)
{
    while (n > 0) {
        size_t k = strcspn(s, "\n\t"); /* ends at a '\0' too */
        k = k < n ? k : n;
        add_piece(out, s, k);
        if (k < n && s[k] == '\0')
            str_add(out, "\\x00");
        else if (k < n && lines)
            str_addc(out, s[k]);
        else if (k < n)
            str_add(out, s[k] == '\n' ? "\\n" : "\\t");
        k += k < n;
        s += k;
        n -= k;
    }
}

static json_t *copy(json_t *v, bool lines)
{
    scoped_str struct str text = STR_INIT;
    const char *key;
    json_t *item, *made;
    size_t i;
    if (is_clean(v))
        return json_incref(v);
    if (json_is_string(v)) {
        add_text(&text, json_string_value(v), json_string_length(v), lines);
        return json_string(text.s);
    }
    made = json_is_array(v) ? json_array() : json_object();
    json_array_foreach(v, i, item)
    {
        json_array_append_new(made, copy(item, lines));
    }
    json_object_foreach(v, key, item)
    {
        str_reset(&text);
        add_text(&text, key, strlen(key), lines);
        json_object_set_new(made, text.s, copy(item, lines));
    }
    return made;
}

json_t *format_clean(const json_t *v, bool lines)
{
    return copy((json_t *)(uintptr_t)v, lines);
}
