/* rows - tables, JSON and templates over lists of records. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/jfield.h"
#include "base/strv.h"
#include "format/format-priv.h"

/* Cells may hold names from images: what would steer the terminal is replaced. */
static void add_cell(struct str *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        str_addc(out, (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i]);
}

/* Characters, not bytes, make the width. */
static size_t width_of(const char *s, size_t n)
{
    size_t w = 0;
    for (size_t i = 0; i < n; i++)
        w += ((unsigned char)s[i] & 0xc0) != 0x80;
    return w;
}

#define COLUMNS_MAX 32

static size_t next_cell(const char **p, const char *line_end, const char **ret)
{
    const char *tab = memchr(*p, '\t', (size_t)(line_end - *p));
    const char *end = tab ? tab : line_end;
    *ret = *p;
    *p = tab ? tab + 1 : line_end + 1;
    return (size_t)(end - *ret);
}

static void measure(const char *text, size_t *widths)
{
    for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        const char *p = line, *cell;
        for (size_t c = 0; c < COLUMNS_MAX && p <= end; c++) {
            size_t n = next_cell(&p, end, &cell), w = width_of(cell, n);
            widths[c] = w > widths[c] ? w : widths[c];
        }
    }
}

void format_columns(const char *text, struct str *out)
{
    size_t widths[COLUMNS_MAX] = {0};
    measure(text, widths);
    for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        const char *p = line, *cell;
        for (size_t c = 0; c < COLUMNS_MAX && p <= end; c++) {
            size_t n = next_cell(&p, end, &cell);
            add_cell(out, cell, n);
            if (p <= end)
                str_addf(out, "%*s", (int)(widths[c] + 2 - width_of(cell, n)), "");
        }
        str_addc(out, '\n');
    }
}

/* "\t" and "\n" typed as two characters, outside of actions, become what they mean. */
static char *unescape(const char *s)
{
    scoped_str struct str out = STR_INIT;
    bool inside = false;
    for (; *s; s++) {
        if (s[0] == '{' && s[1] == '{')
            inside = true;
        else if (s[0] == '}' && s[1] == '}')
            inside = false;
        if (!inside && s[0] == '\\' && (s[1] == 't' || s[1] == 'n')) {
            str_addc(&out, s[1] == 't' ? '\t' : '\n');
            s++;
        } else {
            str_addc(&out, *s);
        }
    }
    return str_detach(&out);
}

/* The title of one action: the last field named in it. */
static void add_title(struct str *out, const char *cell, size_t n, const char *const *headers)
{
    const char *name = NULL;
    size_t len = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        bool starts = cell[i] == '.' && isupper((unsigned char)cell[i + 1]);
        if (!starts || (i > 0 && isalnum((unsigned char)cell[i - 1]) && !name))
            continue;
        name = cell + i + 1;
        for (len = 0; i + 1 + len < n && isalnum((unsigned char)name[len]); len++)
            ;
    }
    for (const char *const *h = headers; name && h && *h; h++)
        if (strncmp(*h, name, len) == 0 && (*h)[len] == '=') {
            str_add(out, *h + len + 1);
            return;
        }
    for (size_t i = 0; i < len; i++) {
        bool gap = i > 0 && isupper((unsigned char)name[i]) && islower((unsigned char)name[i - 1]);
        if (gap)
            str_addc(out, ' ');
        str_addc(out, (char)toupper((unsigned char)name[i]));
    }
}

/* The title of one column: its text, with titles where the actions are ("{{.ID}} {{.Image}}"). */
static void add_cell_title(struct str *out, const char *cell, size_t n, const char *const *headers)
{
    for (size_t i = 0; i < n; i++) {
        const char *close = i + 1 < n && cell[i] == '{' && cell[i + 1] == '{'
                                ? memmem(cell + i, n - i, "}}", 2)
                                : NULL;
        if (!close) {
            str_addc(out, cell[i]);
            continue;
        }
        size_t len = (size_t)(close - cell) - i;
        add_title(out, cell + i, len, headers);
        i += len + 1;
    }
}

static void add_titles(struct str *out, const char *tmpl, const char *const *headers)
{
    const char *end = tmpl + strlen(tmpl), *p = tmpl, *cell;
    for (size_t c = 0; p <= end; c++) {
        size_t n = next_cell(&p, end, &cell);
        if (c > 0)
            str_addc(out, '\t');
        add_cell_title(out, cell, n, headers);
    }
    str_addc(out, '\n');
}

static int apply_rows(const char *tmpl, const json_t *rows, struct str *out, struct err *e)
{
    struct format *f = format_compile(tmpl, e);
    size_t i;
    json_t *row;
    int r = f ? 0 : -EINVAL;
    json_array_foreach(rows, i, row)
    {
        if (r < 0)
            break;
        r = format_apply(f, row, out, e);
        str_addc(out, '\n');
    }
    format_free(f);
    return r;
}

static int as_table(const struct format_options *o, const char *spec, const json_t *rows,
                    struct str *out, struct err *e)
{
    scoped_str struct str text = STR_INIT;
    while (*spec == ' ')
        spec++;
    scoped_free char *tmpl = unescape(spec);
    scoped_json json_t *clean = format_clean(rows, false);
    if (!o->no_header)
        add_titles(&text, tmpl, o->headers);
    int r = apply_rows(tmpl, clean, &text, e);
    if (r == 0)
        format_columns(text.s, out);
    return r;
}

/* Scripts get what there is, a terminal what it can show: labels and commands are the image's. */
static int as_text(const char *spec, const json_t *rows, struct str *out, struct err *e)
{
    scoped_free char *tmpl = unescape(spec);
    scoped_json json_t *clean = isatty(STDOUT_FILENO) ? format_clean(rows, true) : NULL;
    return apply_rows(tmpl, clean ? clean : rows, out, e);
}

int format_rows(const struct format_options *o, const json_t *rows, struct str *out, struct err *e)
{
    const char *text = o->text ? o->text : o->default_table;
    const char *table = str_after(text, "table");
    if (streq(text, "json")) {
        scoped_free char *all = json_text(rows, true);
        str_addf(out, "%s\n", all);
        return 0;
    }
    if (streq(text, "jsonl")) {
        size_t i;
        json_t *row;
        json_array_foreach(rows, i, row)
        {
            scoped_free char *line = json_text(row, false);
            str_addf(out, "%s\n", line);
        }
        return 0;
    }
    if (table && *table == '\0')
        table = str_after(o->default_table, "table");
    if (table && (*table == ' ' || *table == '\0'))
        return as_table(o, table, rows, out, e);
    return as_text(text, rows, out, e);
}

int format_objects(const char *text, const json_t *array, struct str *out, struct err *e)
{
    if (!text || streq(text, "json")) {
        scoped_free char *all = json_text(array, true);
        str_addf(out, "%s\n", all);
        return 0;
    }
    return as_text(text, array, out, e);
}
