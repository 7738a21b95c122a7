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

/* Text to a document: duplicates, depth > 64, size > max, trailing text are errors with line and
 * column. Owned. what: for the message ("config.json"). NULL on error. */
json_t *json_parse(const char *text, size_t len, size_t max, const char *what, struct err *e);
/* Compact text, keys in the order of insertion; owned. */
char *json_text(const json_t *j, bool pretty);

/* Fills *ret (zeroed or with defaults by the caller) from obj. path "" for the root. On failure
 * what was filled is released and zeroed, -EINVAL. */
int jfield_parse(const json_t *obj, const struct jfield *table, const char *path, void *ret,
                 struct err *e);
/* A new object with the members that are not empty. */
json_t *jfield_emit(const struct jfield *table, const void *data);
/* Frees everything the fields own and zeroes them. */
void jfield_release(const struct jfield *table, void *data);
