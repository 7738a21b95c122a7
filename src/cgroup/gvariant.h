/* gvariant - values in GVariant text format, the simple types: what annotations say of units.
 * glib: docs, "GVariant Text Format" */
#pragma once

#include "base/err.h"
#include "base/jfield.h"

#define GVARIANT_SIGNATURE 3 /* the longest one with its terminator: "as" */

/* Reads text: true, 12, uint64 12, byte 0x1f, double 1.5, 'text', "text", ['a', 'b'], @as [].
 * sig: its D-Bus signature (a basic type, or an array of one); *ret: the value, owned (b: boolean,
 * s: string, d: real, others: integer). Numbers without a type are int32 or double. Nothing is
 * guessed: -EINVAL says what is wrong where. */
int gvariant_parse(const char *text, char sig[GVARIANT_SIGNATURE], json_t **ret, struct err *e);
