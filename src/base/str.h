/* str - growing strings, checked number parsing and aborting allocation.
 *
 * Invariants of struct str: s is never NULL and always terminated; len excludes the terminator.
 * Programs that must survive ENOMEM (rootlet-supervise's loop) use fixed buffers instead. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/scoped.h"

extern char str_empty[1];

struct str {
    char *s;
    size_t len, alloc; /* alloc 0: s is str_empty */
};
#define STR_INIT                                                                                   \
    {                                                                                              \
        .s = str_empty                                                                             \
    }

void str_release(struct str *s); /* frees; s is usable again */
#define scoped_str SCOPED(str_release)
void str_reset(struct str *s);   /* len = 0, memory kept */
char *str_detach(struct str *s); /* the caller frees; s is empty after */
void str_addn(struct str *s, const void *data, size_t n);
void str_add(struct str *s, const char *text);
void str_addc(struct str *s, char c);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_addv(struct str *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Allocation that ends the program with a message when memory is out. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s); /* NULL gives NULL */
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline bool streq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}
/* The text behind prefix if s starts with it, else NULL. */
const char *str_after(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Whole-string parsers: no sign, space, hex or trailing text unless said. -EINVAL or -ERANGE. */
int parse_u64(const char *s, uint64_t *ret);
int parse_u32(const char *s, uint32_t *ret);
int parse_i64(const char *s, int64_t *ret); /* a leading '-' is allowed */
int parse_octal(const char *s, uint32_t *ret);
int parse_bool(const char *s, bool *ret); /* true/false/1/0/yes/no/on/off */
int parse_size(const char *s,
               uint64_t *ret_bytes); /* 64m, 1g, 512, 1.5g; b k m g t (1024), "kb", "kib" */
int parse_duration_ms(const char *s, uint64_t *ret_ms); /* 10 (s), 10s, 1h30m, 250ms */
