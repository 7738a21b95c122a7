/* names - what a directory has, sorted, with the types that it tells without a look at the files.
 */
#pragma once

#include <stddef.h>

#define NAMES_BUFFER ((size_t)64 << 10)

struct name {
    char *text;
    unsigned char type; /* DT_* */
};

struct names {
    struct name *v;
    size_t n;
};

/* buf: NAMES_BUFFER bytes. 0 or -errno; ret has what was read. */
int names_read(int dir, char *buf, struct names *ret);
void names_release(struct names *names);
