/* jfield - JSON objects to C structs and back, by one table of fields.
 *
 * Every message carries the JSON path: "process.user.uid: want an integer from 0 to 4294967295".
 * Unknown members are kept (member of type J_EXTRA) and come out again; duplicate keys, depth over
 * 64 and texts over the given size are refused. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/scoped.h"

static inline void scoped_json_fn(json_t **j)
{
    json_decref(*j);
}
#define scoped_json SCOPED(scoped_json_fn)

enum jtype {
    J_BOOL,    /* bool */
    J_INT32,   /* int32_t */
    J_UINT32,  /* uint32_t */
    J_INT64,   /* int64_t */
    J_UINT64,  /* uint64_t */
    J_DOUBLE,  /* double */
    J_STRING,  /* char *, owned, no NUL inside; NULL when absent */
    J_STRV,    /* char **, owned */
    J_U32V,    /* struct jfield_u32v */
    J_MAP,     /* char **, owned "key=value" strings: an object of strings */
    J_STRUCT,  /* a struct inside; sub = its table */
    J_POINTER, /* struct X *, owned, NULL when absent; sub, sub_size */
    J_ARRAY,   /* struct X *, owned, with a size_t count at count_offset; sub, sub_size */
    J_ENUM,    /* int: index into names (NULL-terminated list); -1 impossible, absent = untouched */
    J_RAW,     /* json_t *, one reference owned; any value */
    J_EXTRA,   /* json_t *: object of the members no other field names (name is "") */
};

struct jfield_u32v {
    uint32_t *v;
    size_t n;
};

enum {
    JF_REQUIRED = 1,
    JF_KEEP_EMPTY = 2, /* emit empty lists, empty strings, false and 0 too */
    JF_NULL_OK = 4,    /* null counts as absent (always so for optional fields of Go's making) */
};

struct jfield {
    const char *name; /* NULL ends the table */
    enum jtype type;
    size_t offset;
    unsigned flags;
    const struct jfield *sub;
    size_t sub_size;
    size_t count_offset;      /* J_ARRAY */
    size_t set_offset;        /* if not 0: offset of a bool set when the member was present; emit
                                 obeys it (numbers: 0 is emitted when set) */
    const char *const *names; /* J_ENUM */
};

/* Text to a document: duplicates, depth > 64, more than 250,000 values, size > max, NUL in strings,
 * trailing text are errors with line and column. Owned. what: for the message ("config.json"). NULL
 * on error, e set.
 *
 * Integers from 2^63 to 2^64-1, which jansson lacks, are kept as strings that only this module
 * writes and reads (json_from_u64): a text that holds such a string itself is refused. */
json_t *json_parse(const char *text, size_t len, size_t max, const char *what, struct err *e);
/* Compact text (pretty: 4 spaces a level), keys in the order of insertion; owned. j may be any
 * value; NULL gives "null". */
char *json_text(const json_t *j, bool pretty);
/* An array of the strings; an object of "key=value" pairs (no "=": an empty value). New references,
 * empty for NULL. */
json_t *json_from_strv(char *const *v);
json_t *json_from_pairs(char *const *v);
/* An integer of the whole range, and back. to: false if j is none or negative; *ret untouched. */
json_t *json_from_u64(uint64_t v);
bool json_to_u64(const json_t *j, uint64_t *ret);
/* A string; bytes that are no UTF-8 become U+FFFD, as JSON cannot hold them. */
json_t *json_from_bytes(const char *s);

/* Fills *ret (zeroed or with defaults by the caller, which present members replace) from obj.
 * path "" for the root. On failure what was filled is released and zeroed, -EINVAL. A table has at
 * most 64 rows. null is as good as absent, except for required members without JF_NULL_OK. */
int jfield_parse(const json_t *obj, const struct jfield *table, const char *path, void *ret,
                 struct err *e);
/* A new object with the members that are not empty, in the order of the table, unknown ones last.
 * Required numbers, pointers that are set and enumerations always appear. Raw values are shared
 * with data by reference, not copied. */
json_t *jfield_emit(const struct jfield *table, const void *data);
/* Frees everything the fields own and zeroes them. */
void jfield_release(const struct jfield *table, void *data);
