/* strv - NULL-terminated string vectors. A NULL vector is the empty one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/scoped.h"

void strv_free(char **v);
static inline void scoped_strv_fn(char ***v)
{
    strv_free(*v);
}
#define scoped_strv SCOPED(scoped_strv_fn)

size_t strv_len(char *const *v);
void strv_add(char ***v, const char *s); /* copies s */
void strv_take(char ***v, char *s);      /* s becomes the vector's */
void strv_addf(char ***v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_insert(char ***v, size_t at, const char *s);
void strv_extend(char ***v, char *const *other);
char **strv_dup(char *const *v);
char **strv_split(const char *s, const char *separators, bool keep_empty);
char *strv_join(char *const *v, const char *separator);
bool strv_has(char *const *v, const char *s);
void strv_remove(char **v, const char *s); /* all equal entries */
void strv_sort(char **v);
/* Environment form: the value of NAME in NAME=VALUE entries (borrowed) or NULL; set replaces. */
const char *strv_env_get(char *const *v, const char *name);
void strv_env_set(char ***v, const char *name_value);
void strv_env_unset(char **v, const char *name);
/* A copy, owned, in which a name that comes more than once has its last value only; NULL for NULL.
 */
char **strv_env_dup(char *const *v);
