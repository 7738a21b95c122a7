/* owner - names and numbers of owners, looked up in the image. */
#include "build/owner.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "engine/user.h"

#define ID_MAX (INT32_MAX - 1)

/* UID[:GID]; the group is lone when there is none. */
static bool numeric(const char *text, const char *lone, uint32_t *uid, uint32_t *gid)
{
    scoped_strv char **parts = strv_split(text, ":", true);
    size_t n = strv_len(parts);
    if (n < 1 || n > 2 || parse_u32(parts[0], uid) < 0 ||
        parse_u32(n == 2 ? parts[1]
                  : lone ? lone
                         : parts[0],
                  gid) < 0)
        return false;
    return *uid <= ID_MAX && *gid <= ID_MAX;
}

static int look_up(int root_fd, const char *text, uint32_t *uid, uint32_t *gid, struct err *e)
{
    struct user_request q = {.text = text};
    struct user u = {0};
    int r = user_resolve(root_fd, &q, &u, e);
    if (r < 0 && e)
        e->exit_status = 0; /* its 126 is for programs to be started */
    if (r < 0)
        return r;
    *uid = u.uid;
    *gid = u.gid;
    user_release(&u);
    return 0;
}

int owner_chown(int root_fd, const char *text, uint32_t *uid, uint32_t *gid, struct err *e)
{
    if (numeric(text, NULL, uid, gid))
        return 0;
    if (root_fd < 0)
        return err_hint(e,
                        err_msg(e, ENOENT, "--chown=%s: the image is empty, it has no names", text),
                        "use numbers: --chown=1000:1000");
    return err_add(e, look_up(root_fd, text, uid, gid, e), "--chown=%s", text);
}

const char *owner_workdir(int root_fd, const char *entry, uint32_t *uid, uint32_t *gid)
{
    const char *path = strchr(entry, '/');
    scoped_free char *user = xstrndup(entry, (size_t)(path - entry));
    *uid = *gid = 0;
    if (!*user || (root_fd < 0 && numeric(user, "0", uid, gid)))
        return path;
    if (root_fd < 0 || look_up(root_fd, user, uid, gid, NULL) < 0)
        *uid = *gid = 0;
    return path;
}
