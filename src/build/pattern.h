/* pattern - the shell patterns of ${x#p} and its kind: "*" any text, "?" one character, "\" takes
 * the meaning away. Brackets have none, as in BuildKit. */
#pragma once

#include <stdbool.h>

/* value without what pattern matches at its start (prefix) or end; owned. */
char *pattern_trim(const char *value, const char *pattern, bool prefix, bool longest);
/* value with the first match (or all) replaced; a match is as long as possible. Owned. */
char *pattern_replace(const char *value, const char *pattern, const char *with, bool all);
