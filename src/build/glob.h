/* glob - path patterns as Go's filepath.Match has them ("*" and "?" do not match a slash, "[a-z]",
 * "[^a]", "\" takes the meaning away), with "**" for ignore files. Matched without backtracking.
 *
 * A byte that is in no character of UTF-8 is U+FFFD of one byte, as Go decodes it: "?" and classes
 * match it, a class that names one is not valid. A literal byte is itself, but with stars next to
 * something special, where docker uses a regular expression, it is U+FFFD as well. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct glob;
/* stars: "**" crosses slashes, and "**" with a slash behind also matches nothing. -EINVAL for a
 * class that does not end and the like. */
int glob_compile(const char *pattern, bool stars, struct glob **ret, struct err *e);
void glob_free(struct glob *g);
static inline void glob_scoped(struct glob **g)
{
    glob_free(*g);
}
/* The whole text must match. */
bool glob_match(const struct glob *g, const char *text);
/* Bytes of a pattern with stars that every text it matches begins with. */
size_t glob_prefix(const char *pattern);
/* Has it characters with a meaning? */
bool glob_is_pattern(const char *text);
/* Copy without the backslashes: the name that a pattern without meaning stands for. Owned. */
char *glob_literal(const char *pattern);
