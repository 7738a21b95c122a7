/* fuzz-copy - any bytes as a packet between the two sides of a copy: what is taken from it lies in
 * it, and every text has an end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "copy/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(const char *p, size_t n, const char *buf, size_t size)
{
    if (p < buf || n > size || p > buf + (size - n))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *buf = (const char *)data;
    struct copy_packet p;
    struct copy_xattr x;
    struct err e = {0};
    if (copy_msg_parse(buf, size, &p, &e) < 0)
        return 0;
    check_inside(p.path, p.m.path_len + 1u, buf, size);
    check_inside(p.link, p.m.link_len + 1u, buf, size);
    check_inside(p.xattrs, p.m.xattrs_len + 1u, buf, size);
    if (strlen(p.path) > p.m.path_len || strlen(p.link) > p.m.link_len)
        abort();
    for (size_t at = 0, before = 0; copy_next_xattr(&p, &at, &x); before = at) {
        check_inside(x.name, strlen(x.name) + 1, p.xattrs, p.m.xattrs_len);
        check_inside(x.value, x.size, p.xattrs, p.m.xattrs_len);
        if (at <= before)
            abort();
    }
    copy_take_failure(&p, &e);
    return 0;
}
