/* select - the names that a packer is told to take, to leave out, or to write whiteouts for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct select_entry {
    char kind;        /* enum storage_diff_kind: 'A', 'C', 'D', 'M' */
    const char *path; /* "a/b", borrowed from the text */
};
struct select {
    char *text;
    struct select_entry *v; /* sorted by path */
    size_t n;
};

/* Reads a list of "KIND PATH" (KIND one letter, PATH with or without a slash in front), each ended
 * by a zero byte, from the start of a file. */
int select_read(int fd, struct select *ret, struct err *e);
void select_release(struct select *s);
/* The kind of a path, 0 when it is not in the list. */
char select_kind(const struct select *s, const char *path);
