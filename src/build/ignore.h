/* ignore - .containerignore and .dockerignore: which paths of a context do not exist for a build.
 *
 * One pattern a line, "#" comments, "!" takes a path back, the last match wins; "*" and "?" stay
 * within a part, "**" crosses parts. A pattern that matches a directory matches all below it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct ignore;
int ignore_parse(const char *name, const char *data, size_t n, struct ignore **ret, struct err *e);
/* From patterns, as --exclude gives them. */
int ignore_new(char *const *patterns, struct ignore **ret, struct err *e);
void ignore_free(struct ignore *g);

/* path: relative, without leading or trailing slash. Is it left out? */
bool ignore_match(const struct ignore *g, const char *path);
/* May a directory that is left out still hold something taken back by "!"? If not, it need not be
 * read at all. */
bool ignore_may_take_back(const struct ignore *g, const char *dir);
