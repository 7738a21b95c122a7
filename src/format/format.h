/* format - the part of Go's text/template that docker's and podman's users type after --format,
 * over a JSON value: fields, json, range, if, index, len, eq, join, table.
 *
 *   {{.A.B}} {{json .X}} {{range .X}}..{{else}}..{{end}} {{range $k, $v := .M}}
 * {{if}}{{else}}{{end}}
 *   {{with}} {{index .M "k"}} {{len}} {{eq}} {{ne}} {{and}} {{or}} {{not}} {{print}} {{println}}
 * {{printf}}
 *   {{upper}} {{lower}} {{title}} {{join .X ","}} {{split}} {{truncate}} {{pad}} {{.Label "k"}}
 *   {{- trims -}}, pipelines with |, \n and \t escapes outside of actions. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct format;

/* Compiles; errors give the column: `--format: column 7: unknown function "foo"`. NULL on error. */
struct format *format_compile(const char *text, struct err *e);
void format_free(struct format *f);
/* Appends what the template makes of value. An unknown field is an error that names it and the
 * fields there are (as Go: "can't evaluate field X"). */
int format_apply(const struct format *f, const json_t *value, struct str *out, struct err *e);

/* The whole of a --format option. rows: an array of objects. text: NULL (use default_table), "json"
 * (one array, pretty), "jsonl" (a line each), "table TEMPLATE" (aligned columns, header of the
 * field names in capitals with blanks: "CreatedAt" is CREATED AT), "table" alone (default_table),
 * or a template (a line each). headers: "Field=TITLE" pairs that replace derived titles; NULL. */
struct format_options {
    const char *text;
    const char *default_table; /* "table {{.ID}}\t{{.Names}}" */
    const char *const *headers;
    bool no_header;
};
int format_rows(const struct format_options *o, const json_t *rows, struct str *out, struct err *e);
/* For commands that print one object or an array as JSON unless a template is given (inspect). */
int format_objects(const char *text, const json_t *array, struct str *out, struct err *e);

/* Columns: cells separated by \t in lines, padded with two blanks between; the terminal's escape
 * characters in cells are replaced. */
void format_columns(const char *text, struct str *out);
