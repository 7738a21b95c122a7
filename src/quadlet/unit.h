/* unit - a unit file of systemd.syntax(7) as sections of lines: comments gone, continued lines
 * joined, everything else as it was, in its order. Text in, text out. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "base/strv.h"

struct unit_line {
    char *key, *value; /* without spaces around them */
    const char *file;  /* where the line is from (the file or a drop-in), for messages */
    unsigned line;
};

struct unit_section {
    char *name;
    struct unit_line *lines;
    size_t n;
    const char *file;
    unsigned line;
};

struct unit {
    struct unit_section *sections;
    size_t n;
    char **files;
};

/* Largest file that is read: systemd takes no longer line either. */
#define UNIT_MAX_BYTES (1u << 20)

/* Adds what a file says to u: sections of one name become one, as those of drop-ins do. -EINVAL
 * with "FILE:LINE: ..." for what systemd would not read: no section before an assignment, no "=",
 * control characters, bytes that are no UTF-8. u is then to be released only. */
int unit_parse(struct unit *u, const char *file, const char *text, size_t len, struct err *e);
void unit_release(struct unit *u);

/* NULL when it is not there; so is a section of NULL below. */
const struct unit_section *unit_section(const struct unit *u, const char *name);
/* The last line of a key, or NULL. */
const struct unit_line *unit_last(const struct unit_section *s, const char *key);
/* The value of the last line of a key, or NULL. */
const char *unit_value(const struct unit_section *s, const char *key);
/* The lines of a key after its last empty assignment, which takes back those before. NULL ends the
 * array, which the caller frees. */
const struct unit_line **unit_all(const struct unit_section *s, const char *key);
/* Appends "[NAME]" and its lines. */
void unit_print(const struct unit_section *s, struct str *out);
