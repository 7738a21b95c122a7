/* words - how one line of an instruction is split: quoted words, flags, JSON, here-documents. */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "build/parse.h"

static bool space(char c)
{
    return isspace((unsigned char)c);
}

/* Over one word with its quotes and escapes; the text behind it. */
static const char *word_end(const char *s, char escape)
{
    char quote = 0;
    for (; *s; s++) {
        if (*s == escape && quote != '\'') {
            if (s[1])
                s++;
        } else if (quote) {
            if (*s == quote)
                quote = 0;
        } else if (space(*s)) {
            break;
        } else if (*s == '\'' || *s == '"') {
            quote = *s;
        }
    }
    return s;
}

char **words_quoted(const char *text, char escape)
{
    char **v = NULL;
    for (;;) {
        while (space(*text))
            text++;
        if (!*text)
            return v;
        const char *end = word_end(text, escape);
        strv_take(&v, xstrndup(text, (size_t)(end - text)));
        text = end;
    }
}

char **words_flags(const char *text, char escape, const char **ret_rest)
{
    char **v = NULL;
    for (;;) {
        while (space(*text))
            text++;
        if (strncmp(text, "--", 2) != 0)
            break;
        const char *end = word_end(text, escape);
        if (end == text + 2) { /* "--" ends the flags */
            text = end;
            break;
        }
        scoped_str struct str s = STR_INIT;
        char quote = 0;
        for (; text < end; text++) {
            if (*text == escape && text + 1 < end)
                str_addc(&s, *++text);
            else if (quote ? *text == quote : *text == '\'' || *text == '"')
                quote = quote ? 0 : *text;
            else
                str_addc(&s, *text);
        }
        strv_take(&v, str_detach(&s));
    }
    while (space(*text))
        text++;
    *ret_rest = text;
    return v;
}

int words_json(const char *text, char ***ret)
{
    if (*text != '[')
        return -EINVAL;
    scoped_json json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!j || !json_is_array(j))
        return -EINVAL;
    scoped_strv char **v = xcalloc(json_array_size(j) + 1, sizeof(*v));
    size_t i = 0;
    json_t *item;
    json_array_foreach(j, i, item)
    {
        if (!json_is_string(item))
            return -EBADMSG;
        v[i] = xstrdup(json_string_value(item));
    }
    *ret = take_ptr(v);
    return 0;
}

bool heredoc_parse(const char *word, char escape, struct ins_heredoc *ret)
{
    const char *s = word + strspn(word, "0123456789");
    if (strncmp(s, "<<", 2) != 0)
        return false;
    s += 2;
    bool strip = *s == '-', quoted = false;
    s += strip;
    if (!*s || strchr(s, '<'))
        return false;
    scoped_str struct str name = STR_INIT;
    char quote = 0;
    for (; *s; s++) {
        if (*s == escape && quote != '\'' && s[1]) {
            str_addc(&name, *++s);
            quoted = true;
        } else if (quote ? *s == quote : *s == '\'' || *s == '"') {
            quote = quote ? 0 : *s;
            quoted = true;
        } else if (space(*s)) {
            return false;
        } else {
            str_addc(&name, *s);
        }
    }
    if (quote || !name.len)
        return false;
    *ret = (struct ins_heredoc){.name = str_detach(&name), .expand = !quoted, .strip = strip};
    return true;
}

void heredocs_of_line(const char *line, char escape, struct ins_heredoc **ret, size_t *ret_n)
{
    scoped_strv char **words = words_quoted(line, escape);
    for (char **w = words; w && *w; w++) {
        struct ins_heredoc h;
        if (!heredoc_parse(*w, escape, &h))
            continue;
        *ret = xrealloc(*ret, (*ret_n + 1) * sizeof(**ret));
        (*ret)[(*ret_n)++] = h;
    }
}
