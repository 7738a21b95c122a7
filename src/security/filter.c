/* filter - see filter.h. */
#include "security/filter.h"

#include <errno.h>

#include "base/str.h"
#include "security/caps.h"

static int open_builtin(const char *name, const struct spec_caps *caps, struct seccomp_prog *ret,
                        struct err *e)
{
    uint64_t mask = caps ? cap_known(caps->bounding) : 0;
    int r = seccomp_builtin(name, mask, ret);
    return r < 0 ? err_set(e, -r, "seccomp profile \"%s\" for these capabilities", name) : 1;
}

int seccomp_filter_open(const char *what, const struct spec_caps *caps, int dirfd,
                        struct seccomp_prog *ret, struct err *e)
{
    if (!what || streq(what, "unconfined"))
        return 0;
    const char *builtin = str_after(what, "builtin:");
    if (builtin)
        return open_builtin(builtin, caps, ret, e);
    if (!streq(what, "file"))
        return err_msg(e, EINVAL, "the container's record names an unknown seccomp filter \"%s\"",
                       what);
    int r = seccomp_read(dirfd, "seccomp.bpf", ret, e);
    return r < 0 ? r : 1;
}
