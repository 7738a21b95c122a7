/* output - what --format makes of the commands' data, on stdout. */
#pragma once

#include <jansson.h>

#include "base/err.h"

/* An array of objects as pretty JSON, or each through a template. */
int output_objects(const char *format, const json_t *list, struct err *e);
/* Rows as a table (default_table), or as format says. */
int output_rows(const char *format, const char *default_table, const json_t *rows, struct err *e);
