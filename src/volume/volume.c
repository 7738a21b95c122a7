/* volume - see volume.h. */
#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"

#define VOLUME_FILE "volume.json"
#define VOLUME_MAX_BYTES (64u << 10)

static const struct jfield volume_fields[] = {
    {"name", J_STRING, offsetof(struct volume, name), JF_REQUIRED},
    {"created_ns", J_INT64, offsetof(struct volume, created_ns)},
    {"anonymous", J_BOOL, offsetof(struct volume, anonymous)},
    {"needs_copy_up", J_BOOL, offsetof(struct volume, needs_copy_up)},
    {"labels", J_MAP, offsetof(struct volume, labels)},
    {"options", J_MAP, offsetof(struct volume, options)},
    {"", J_EXTRA, offsetof(struct volume, extra)},
    {NULL},
};

void volume_release(struct volume *v)
{
    free(v->path);
    v->path = NULL;
    jfield_release(volume_fields, v);
}

static int open_dir(const struct conf *c, const char *name, bool make, struct err *e)
{
    scoped_free char *sub = path_join("volumes", name);
    return conf_open_root(c, sub, make, e);
}

static int write_json(int dir, const struct volume *v, struct err *e)
{
    scoped_json json_t *j = jfield_emit(volume_fields, v);
    scoped_free char *text = json_text(j, true);
    return fs_write_atomic(dir, VOLUME_FILE, text, strlen(text), 0600, FS_NO_SYNC, e);
}

int volume_write(const struct conf *c, const struct volume *v, struct err *e)
{
    scoped_fd int dir = open_dir(c, v->name, false, e);
    return dir < 0 ? dir : write_json(dir, v, e);
}

static int read_json(int dir, const char *name, struct volume *ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(dir, VOLUME_FILE, VOLUME_MAX_BYTES, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "volume %s", name);
    scoped_json json_t *j = json_parse(text, (size_t)n, VOLUME_MAX_BYTES, VOLUME_FILE, e);
    if (!j)
        return err_add(e, -EINVAL, "volume %s", name);
    return jfield_parse(j, volume_fields, "", ret, e);
}

static int create(const struct conf *c, const char *name, bool anonymous, struct err *e)
{
    scoped_fd int dir = open_dir(c, name, true, e);
    if (dir < 0)
        return dir;
    /* The mode that a directory of an image would have: its users differ inside. */
    if (mkdirat(dir, "_data", 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "create volume %s", name);
    struct volume v = {.name = (char *)(uintptr_t)name,
                       .created_ns = time_now_ns(),
                       .anonymous = anonymous,
                       .needs_copy_up = true};
    return write_json(dir, &v, e);
}

int volume_open(const struct conf *c, const char *name, bool make, bool anonymous,
                struct volume *ret, struct err *e)
{
    if (!id_name_valid(name))
        return err_hint(e, err_msg(e, EINVAL, "volume name \"%s\" is not valid", name),
                        "letters, digits, \"_\", \".\" and \"-\"; a path begins with / or ./");
    struct err ignored = ERR_INIT;
    scoped_fd int dir = open_dir(c, name, false, &ignored);
    if (dir < 0 && !make)
        return err_msg(e, ENOENT, "no such volume: %s", name);
    if (dir < 0 || faccessat(dir, VOLUME_FILE, F_OK, 0) < 0) {
        int r = create(c, name, anonymous, e);
        if (r < 0)
            return r;
        fd_close(&dir);
        dir = open_dir(c, name, false, e);
        if (dir < 0)
            return dir;
    }
    struct volume v = {0};
    int r = read_json(dir, name, &v, e);
    if (r < 0)
        return r;
    v.path = xasprintf("%s/volumes/%s/_data", c->root, name);
    *ret = v;
    return 0;
}
