/* filter - the terms KEY=VALUE and KEY!=VALUE of --filter, of whatever objects a list has.
 *
 * Terms of one key are alternatives but for labels, which must all hold; none that is negated may
 * hold; different keys must all hold (docker's and podman's rule). */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Is it a term, of one of these keys (to NULL)? -EINVAL names the known ones. *ret_key: owned. */
int filter_check(const char *term, const char *const *keys, char **ret_key, struct err *e);
/* Of a term that was checked: within it. */
const char *filter_value(const char *term);

/* Does an object fit a value? data is the caller's: the object, and what else the answer needs. */
typedef bool (*filter_test)(const void *data, const char *key, const char *value);
/* terms: checked ones, NULL for none. */
bool filter_match(char *const *terms, filter_test test, const void *data);

/* Of the key "label": "KEY=VALUE", or "KEY" with any value. labels: "KEY=VALUE", NULL for none. */
bool filter_label(char *const *labels, const char *value);
/* A name is a regular expression, as of docker and podman ("^web$"), of which docker's names begin
 * with a slash. 1: it matches; 0; -EINVAL: it is none. */
int filter_name(const char *name, const char *value);
