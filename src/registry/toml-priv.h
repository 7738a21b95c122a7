/* toml-priv - what the two files of the parser share. */
#pragma once

#include <stdbool.h>

#include "base/jfield.h"
#include "base/str.h"

struct toml {
    const char *s, *end; /* terminated at end: looking one byte ahead is safe */
    const char *what;
    int line, depth;
    json_t *root, *table, *marks; /* borrowed; marks: of tables, by their address */
    struct err *e;
};

int toml_fail(struct toml *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A value; *ret is owned. */
int toml_value(struct toml *t, json_t **ret);
/* A string of any of the four kinds, t->s at its first quote. */
int toml_string(struct toml *t, struct str *ret);
