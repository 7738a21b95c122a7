/* toml - the part of TOML 1.0 that registries.conf(5) of the containers tools uses, as JSON values.
 *
 * Tables, arrays of tables, dotted and quoted keys, basic and literal strings (also of several
 * lines), booleans, integers, arrays over lines, inline tables, comments. Floats and dates are
 * refused: no key of ours has one. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/jfield.h"

/* Parses a text of at most 1 MiB. what: for the message ("/etc/containers/registries.conf"); an
 * error reads "WHAT:LINE: why". An object, owned; NULL with e set (-EINVAL) on error. */
json_t *toml_parse(const char *text, size_t len, const char *what, struct err *e);
