/* unit - see unit.h. */
#include "quadlet/unit.h"

#include <errno.h>

#include "quadlet/words.h"

#define SPACES " \t\r\f\v"

struct reader {
    struct unit *unit;
    const char *file;
    unsigned line;  /* of the text that is read */
    unsigned first; /* where a continued line began */
    size_t section; /* index + 1; 0: none yet */
    struct str text;
};

static void add_section(struct reader *r, const char *name)
{
    struct unit *u = r->unit;
    for (size_t i = 0; i < u->n; i++)
        if (streq(u->sections[i].name, name)) {
            r->section = i + 1;
            return;
        }
    u->sections = xrealloc(u->sections, (u->n + 1) * sizeof(*u->sections));
    u->sections[u->n++] =
        (struct unit_section){.name = xstrdup(name), .file = r->file, .line = r->first};
    r->section = u->n;
}

static char *trim(char *s)
{
    s += strspn(s, SPACES);
    size_t n = strlen(s);
    while (n > 0 && strchr(SPACES, s[n - 1]))
        s[--n] = '\0';
    return s;
}

static int parse_header(struct reader *r, char *s, struct err *e)
{
    size_t n = strlen(s);
    if (s[n - 1] != ']' || n < 3 || strcspn(s + 1, "[]") != n - 2)
        return err_msg(e, EINVAL, "\"%s\" is no section", s);
    s[n - 1] = '\0';
    add_section(r, s + 1);
    return 0;
}

/* One line, joined and without spaces around it. */
static int parse_line(struct reader *r, char *s, struct err *e)
{
    if (!*s)
        return 0;
    if (*s == '[')
        return parse_header(r, s, e);
    char *eq = strchr(s, '=');
    if (!eq)
        return err_hint(e, err_msg(e, EINVAL, "no \"=\" in \"%s\"", s),
                        "a line that goes on in the next one ends in a backslash");
    if (!r->section)
        return err_msg(e, EINVAL, "\"%s\" stands in no section", s);
    *eq = '\0';
    char *key = trim(s), *value = trim(eq + 1);
    if (!*key)
        return err_msg(e, EINVAL, "no key in front of \"=\"");
    struct unit_section *section = &r->unit->sections[r->section - 1];
    section->lines = xrealloc(section->lines, (section->n + 1) * sizeof(*section->lines));
    section->lines[section->n++] = (struct unit_line){
        .key = xstrdup(key), .value = xstrdup(value), .file = r->file, .line = r->first};
    return 0;
}

static int check_letters(const char *s, struct err *e)
{
    while (*s) {
        size_t n = words_utf8(s);
        unsigned char c = (unsigned char)*s;
        if (n == 0)
            return err_msg(e, EINVAL, "a byte that is no UTF-8 (0x%02x)", c);
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return err_msg(e, EINVAL, "a control character (0x%02x)", c);
        s += n;
    }
    return 0;
}

/* A physical line; in what is continued a comment is left out and a backslash becomes a space. */
static int read_line(struct reader *r, char *line, bool last, struct err *e)
{
    line = trim(line);
    int err = check_letters(line, e);
    if (err < 0)
        return err;
    if ((*line == '#' || *line == ';') && !last)
        return 0;
    bool comment = *line == '#' || *line == ';';
    if (r->text.len == 0)
        r->first = r->line;
    size_t n = strlen(line), backslashes = 0;
    while (backslashes < n && line[n - 1 - backslashes] == '\\')
        backslashes++;
    bool goes_on = !comment && backslashes % 2 == 1;
    if (goes_on)
        line[n - 1] = ' ';
    if (!comment)
        str_add(&r->text, line);
    if (goes_on && !last)
        return 0;
    err = parse_line(r, trim(r->text.s), e);
    str_reset(&r->text);
    return err;
}

static int read_lines(struct reader *r, char *text, struct err *e)
{
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        r->line++;
        int err = read_line(r, line, !next, e);
        if (err < 0)
            return err_add(e, err, "%s:%u", r->file, r->line);
    }
    return 0;
}

int unit_parse(struct unit *u, const char *file, const char *text, size_t len, struct err *e)
{
    if (len > UNIT_MAX_BYTES)
        return err_msg(e, EFBIG, "%s: more than %u bytes", file, UNIT_MAX_BYTES);
    if (memchr(text, '\0', len))
        return err_msg(e, EINVAL, "%s: a zero byte, so this is no text", file);
    strv_add(&u->files, file);
    struct reader r = {.unit = u, .file = u->files[strv_len(u->files) - 1], .text = STR_INIT};
    scoped_free char *copy = xstrndup(text, len);
    int err = read_lines(&r, copy, e);
    str_release(&r.text);
    return err;
}

void unit_release(struct unit *u)
{
    for (size_t i = 0; i < u->n; i++) {
        for (size_t k = 0; k < u->sections[i].n; k++) {
            free(u->sections[i].lines[k].key);
            free(u->sections[i].lines[k].value);
        }
        free(u->sections[i].lines);
        free(u->sections[i].name);
    }
    free(u->sections);
    strv_free(u->files);
    *u = (struct unit){0};
}

const struct unit_section *unit_section(const struct unit *u, const char *name)
{
    for (size_t i = 0; i < u->n; i++)
        if (streq(u->sections[i].name, name))
            return &u->sections[i];
    return NULL;
}

const struct unit_line *unit_last(const struct unit_section *s, const char *key)
{
    for (size_t i = s ? s->n : 0; i > 0; i--)
        if (streq(s->lines[i - 1].key, key))
            return &s->lines[i - 1];
    return NULL;
}

const char *unit_value(const struct unit_section *s, const char *key)
{
    const struct unit_line *l = unit_last(s, key);
    return l ? l->value : NULL;
}

const struct unit_line **unit_all(const struct unit_section *s, const char *key)
{
    size_t n = 0;
    const struct unit_line **list = xcalloc((s ? s->n : 0) + 1, sizeof(*list));
    for (size_t i = 0; s && i < s->n; i++) {
        if (!streq(s->lines[i].key, key))
            continue;
        if (s->lines[i].value[0])
            list[n++] = &s->lines[i];
        else
            n = 0;
    }
    list[n] = NULL;
    return list;
}

void unit_print(const struct unit_section *s, struct str *out)
{
    str_addf(out, "[%s]\n", s->name);
    for (size_t i = 0; i < s->n; i++)
        str_addf(out, "%s=%s\n", s->lines[i].key, s->lines[i].value);
}
