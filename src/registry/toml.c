/* toml - see toml.h. One pass over the text; what a table is (named, made by the way, closed) is
 * noted beside the values. */
#include "registry/toml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "registry/toml-priv.h"

#define TOML_MAX_BYTES (1u << 20)
#define TOML_MAX_DEPTH 16

/* A table by the way ([a.b] makes a) may be named later; a named one only once; a closed one
 * (inline, or made by dotted keys) gets nothing more. */
enum mark { MARK_NONE, MARK_NAMED, MARK_DOTTED, MARK_CLOSED };

int toml_fail(struct toml *t, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_msg(t->e, EINVAL, "%s:%d: %s", t->what, t->line, text);
}

static void set_mark(struct toml *t, const json_t *table, enum mark mark)
{
    char key[32];
    snprintf(key, sizeof(key), "%p", (const void *)table);
    json_object_set_new(t->marks, key, json_integer(mark));
}

static enum mark get_mark(const struct toml *t, const json_t *table)
{
    char key[32];
    snprintf(key, sizeof(key), "%p", (const void *)table);
    return (enum mark)json_integer_value(json_object_get(t->marks, key));
}

static void skip_blank(struct toml *t)
{
    while (t->s < t->end && (*t->s == ' ' || *t->s == '\t'))
        t->s++;
}

static bool at_newline(const struct toml *t)
{
    return t->s < t->end && (*t->s == '\n' || (*t->s == '\r' && t->s[1] == '\n'));
}

static void skip_newline(struct toml *t)
{
    t->s += *t->s == '\r' ? 2 : 1;
    t->line++;
}

/* A comment holds no control character but the tab. */
static int skip_comment(struct toml *t)
{
    if (t->s >= t->end || *t->s != '#')
        return 0;
    for (; t->s < t->end && !at_newline(t); t->s++)
        if ((unsigned char)*t->s < ' ' && *t->s != '\t')
            return toml_fail(t, "a control character in a comment");
    return 0;
}

/* Blanks, comments and ends of lines between the elements of an array. */
static int skip_lines(struct toml *t)
{
    for (;;) {
        skip_blank(t);
        int r = skip_comment(t);
        if (r < 0 || !at_newline(t))
            return r;
        skip_newline(t);
    }
}

static int end_of_line(struct toml *t)
{
    skip_blank(t);
    int r = skip_comment(t);
    if (r < 0 || t->s >= t->end)
        return r;
    if (!at_newline(t))
        return toml_fail(t, "unexpected text behind the value");
    skip_newline(t);
    return 0;
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static int parse_key(struct toml *t, char **ret)
{
    skip_blank(t);
    if (t->s < t->end && (*t->s == '"' || *t->s == '\'')) {
        scoped_str struct str text = STR_INIT;
        if (t->end - t->s > 2 && t->s[1] == *t->s && t->s[2] == *t->s)
            return toml_fail(t, "a key has no lines");
        int r = toml_string(t, &text);
        if (r == 0 && text.len == 0)
            return toml_fail(t, "the key is empty");
        if (r == 0)
            *ret = str_detach(&text);
        return r;
    }
    const char *start = t->s;
    while (t->s < t->end && is_bare(*t->s))
        t->s++;
    if (t->s == start)
        return toml_fail(t, "want a key");
    *ret = xstrndup(start, (size_t)(t->s - start));
    return 0;
}

static int set_value(struct toml *t, json_t *table, const char *key, json_t *value)
{
    if (json_object_get(table, key)) {
        json_decref(value);
        return toml_fail(t, "\"%s\" is given twice", key);
    }
    if (!value || json_object_set_new(table, key, value) < 0) /* a key that is no UTF-8 */
        return toml_fail(t, "\"%s\" is not UTF-8", key);
    return 0;
}

/* The table NAME of *table, made if it is not there; of an array of tables its last one. For a
 * dotted key (dotted) a table with a heading of its own is not to be touched. */
static int descend(struct toml *t, json_t **table, const char *name, bool dotted)
{
    json_t *next = json_object_get(*table, name);
    if (!next) {
        next = json_object();
        if (dotted)
            set_mark(t, next, MARK_DOTTED);
        int r = set_value(t, *table, name, next);
        if (r < 0)
            return r;
    }
    enum mark mark = get_mark(t, next);
    if (json_is_array(next) && !dotted && mark != MARK_CLOSED)
        next = json_array_get(next, json_array_size(next) - 1);
    if (!json_is_object(next) || mark == MARK_CLOSED)
        return toml_fail(t, "\"%s\" is a value already, not a table", name);
    if (dotted && get_mark(t, next) != MARK_DOTTED)
        return toml_fail(t, "\"%s\" is a table already", name);
    *table = next;
    return 0;
}

/* A, A.B, A."b.c": all parts but the last lead to *table, the last is *ret_key. */
static int parse_path(struct toml *t, json_t **table, bool dotted, char **ret_key)
{
    scoped_free char *key = NULL;
    int r = parse_key(t, &key);
    for (int depth = 0; r == 0; depth++) {
        skip_blank(t);
        if (t->s >= t->end || *t->s != '.')
            break;
        t->s++;
        if (depth >= TOML_MAX_DEPTH)
            return toml_fail(t, "the key has too many parts");
        r = descend(t, table, key, dotted);
        free(take_ptr(key));
        r = r < 0 ? r : parse_key(t, &key);
    }
    if (r == 0)
        *ret_key = take_ptr(key);
    return r;
}

static int parse_pair(struct toml *t, json_t *table)
{
    scoped_free char *key = NULL;
    scoped_json json_t *value = NULL;
    int r = parse_path(t, &table, true, &key);
    if (r < 0)
        return r;
    if (t->s >= t->end || *t->s != '=')
        return toml_fail(t, "want \"=\" behind the key \"%s\"", key);
    t->s++;
    skip_blank(t);
    r = toml_value(t, &value);
    return r < 0 ? r : set_value(t, table, key, take_ptr(value));
}

/* [ ... ], over several lines; a comma may stand behind the last element. */
static int parse_array(struct toml *t, json_t **ret)
{
    scoped_json json_t *list = json_array();
    set_mark(t, list, MARK_CLOSED);
    for (t->s++;;) {
        scoped_json json_t *value = NULL;
        int r = skip_lines(t);
        if (r < 0)
            return r;
        if (t->s < t->end && *t->s == ']')
            break;
        r = toml_value(t, &value);
        if (r < 0)
            return r;
        json_array_append_new(list, take_ptr(value));
        r = skip_lines(t);
        if (r < 0)
            return r;
        if (t->s < t->end && *t->s == ',')
            t->s++;
        else if (t->s >= t->end || *t->s != ']')
            return toml_fail(t, "want \",\" or \"]\" in the array");
    }
    t->s++;
    *ret = take_ptr(list);
    return 0;
}

/* { a = 1, b.c = 2 } on one line. */
static int parse_inline(struct toml *t, json_t **ret)
{
    scoped_json json_t *table = json_object();
    t->s++;
    skip_blank(t);
    bool empty = t->s < t->end && *t->s == '}';
    while (!empty) {
        int r = parse_pair(t, table);
        if (r < 0)
            return r;
        skip_blank(t);
        if (t->s < t->end && *t->s == '}')
            break;
        if (t->s >= t->end || *t->s != ',')
            return toml_fail(t, "want \",\" or \"}\" in the inline table");
        t->s++;
    }
    t->s++;
    set_mark(t, table, MARK_CLOSED);
    *ret = take_ptr(table);
    return 0;
}

/* true, false, or an integer in decimal: one word. */
static int parse_word(struct toml *t, json_t **ret)
{
    const char *start = t->s;
    while (t->s < t->end && (is_bare(*t->s) || strchr("+.:", *t->s)) && *t->s)
        t->s++;
    scoped_free char *word = xstrndup(start, (size_t)(t->s - start));
    int64_t n = 0;
    if (streq(word, "true") || streq(word, "false"))
        *ret = json_boolean(word[0] == 't');
    else if (parse_i64(word, &n) == 0 && (word[0] != '0' || !word[1]))
        *ret = json_integer(n);
    else if (!*word)
        return toml_fail(t, "want a value");
    else
        return toml_fail(t, "\"%s\" is neither a text in quotes, nor true, false or an integer",
                         word);
    return 0;
}

int toml_value(struct toml *t, json_t **ret)
{
    char c = t->s < t->end ? *t->s : '\0';
    int r = 0;
    if (c == '"' || c == '\'') {
        scoped_str struct str text = STR_INIT;
        r = toml_string(t, &text);
        if (r < 0)
            return r;
        *ret = json_stringn(text.s, text.len);
        return *ret ? 0 : toml_fail(t, "the text is not UTF-8");
    }
    if (c != '[' && c != '{')
        return parse_word(t, ret);
    if (++t->depth > TOML_MAX_DEPTH)
        return toml_fail(t, "values are nested too deeply");
    r = c == '[' ? parse_array(t, ret) : parse_inline(t, ret);
    t->depth--;
    return r;
}

/* [name]: once each, unless it was only made by the way. */
static int name_table(struct toml *t, json_t *parent, const char *key)
{
    json_t *table = json_object_get(parent, key);
    if (!table) {
        table = json_object();
        int r = set_value(t, parent, key, table);
        if (r < 0)
            return r;
    } else if (!json_is_object(table) || get_mark(t, table) != MARK_NONE) {
        return toml_fail(t, "\"%s\" is given twice", key);
    }
    set_mark(t, table, MARK_NAMED);
    t->table = table;
    return 0;
}

/* [[name]]: one more table of the array. */
static int name_element(struct toml *t, json_t *parent, const char *key)
{
    json_t *list = json_object_get(parent, key);
    if (!list) {
        list = json_array();
        int r = set_value(t, parent, key, list);
        if (r < 0)
            return r;
    } else if (!json_is_array(list) || get_mark(t, list) != MARK_NONE) {
        return toml_fail(t, "\"%s\" is given twice, and not as [[%s]]", key, key);
    }
    t->table = json_object();
    json_array_append_new(list, t->table);
    set_mark(t, t->table, MARK_NAMED);
    return 0;
}

static int parse_heading(struct toml *t)
{
    scoped_free char *key = NULL;
    json_t *parent = t->root;
    t->s++;
    bool array = t->s < t->end && *t->s == '[';
    t->s += array;
    int r = parse_path(t, &parent, false, &key);
    for (int i = array ? 2 : 1; r == 0 && i > 0; i--) {
        if (t->s >= t->end || *t->s != ']')
            return toml_fail(t, "want \"%s\" behind the name of the table", array ? "]]" : "]");
        t->s++;
    }
    r = r < 0 ? r : array ? name_element(t, parent, key) : name_table(t, parent, key);
    return r < 0 ? r : end_of_line(t);
}

static int parse_document(struct toml *t)
{
    if (t->end - t->s >= 3 && memcmp(t->s, "\xef\xbb\xbf", 3) == 0)
        t->s += 3;
    for (;;) {
        int r = skip_lines(t);
        if (r < 0 || t->s >= t->end)
            return r;
        if (*t->s == '[') {
            r = parse_heading(t);
        } else {
            r = parse_pair(t, t->table);
            r = r < 0 ? r : end_of_line(t);
        }
        if (r < 0)
            return r;
    }
}

json_t *toml_parse(const char *text, size_t len, const char *what, struct err *e)
{
    struct toml t = {.s = text, .end = text + len, .line = 1, .what = what, .e = e};
    if (len > TOML_MAX_BYTES) {
        err_msg(e, EFBIG, "%s: more than %u bytes", what, TOML_MAX_BYTES);
        return NULL;
    }
    scoped_json json_t *root = json_object(), *marks = json_object();
    t.root = t.table = root;
    t.marks = marks;
    return parse_document(&t) < 0 ? NULL : take_ptr(root);
}
