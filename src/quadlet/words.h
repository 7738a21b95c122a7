/* words - words of a unit file's value: split and unescaped as systemd.syntax(7), and quoted again
 * for a line of a unit file. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "base/strv.h"

enum words_how {
    WORDS_PLAIN, /* quotes group and go; a backslash is a letter (systemd's lists) */
    WORDS_EXEC,  /* quotes group and go; \n \t \x41 \101 \u00e9 ... are unescaped (ExecStart=) */
};

/* Appends the words of text to *ret. An open quote ends with the text, as podman takes it. -EINVAL
 * for an escape sequence that systemd does not know; then *ret is as it was. */
int words_split(const char *text, enum words_how how, char ***ret, struct err *e);

/* Appends word so that systemd reads it back as one word of a line: in double quotes and escaped
 * where it has to be, bytes that are no UTF-8 and control characters as \xNN. Specifiers (%) and
 * variables ($) stay what they are. */
void words_quote(struct str *out, const char *word);
/* A copy in which % (and with exec $ too) stand for themselves; owned. */
char *words_literal(const char *text, bool exec);

/* Length of the UTF-8 sequence at s, 0 if it is none. */
size_t words_utf8(const char *s);
