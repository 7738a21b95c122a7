/* volume - see volume.h. */
#include "volume/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "volume/volume-priv.h"

#define VOLUME_FILE "volume.json"
#define VOLUME_MAX_BYTES (64u << 10)
#define USE_TRIES 16

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

int volume_dir(const struct conf *c, const char *name, bool make, struct err *e)
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
    scoped_fd int dir = volume_dir(c, v->name, false, e);
    return dir < 0 ? dir : write_json(dir, v, e);
}

static int check_name(const char *name, struct err *e)
{
    if (id_name_valid(name))
        return 0;
    return err_hint(e, err_msg(e, EINVAL, "volume name \"%s\" is not valid", name),
                    "letters, digits, \"_\", \".\" and \"-\"; a path begins with / or ./");
}

static bool is_empty(int data)
{
    int fd = openat(data, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *ent;
    bool found = !d;
    while (!found && (ent = readdir(d)))
        found = !streq(ent->d_name, ".") && !streq(ent->d_name, "..");
    return !found;
}

/* A power cut may take a record that was just written: the data is not hidden for that. */
static int assume(const struct conf *c, int dir, const char *name, struct volume *ret,
                  struct err *e)
{
    struct stat st;
    scoped_fd int data = openat(dir, "_data", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (data < 0 || fstat(data, &st) < 0)
        return err_set(e, errno, "volume %s", name);
    *ret = (struct volume){.name = xstrdup(name),
                           .created_ns = (int64_t)st.st_mtim.tv_sec * 1000000000,
                           .anonymous = strlen(name) == ID_LEN && id_is_hex(name),
                           .needs_copy_up = is_empty(data),
                           .path = xasprintf("%s/volumes/%s/_data", c->root, name)};
    return 0;
}

int volume_read(const struct conf *c, int dir, const char *name, struct volume *ret, struct err *e)
{
    scoped_free char *text = NULL;
    struct err why = ERR_INIT;
    ssize_t n = fs_read(dir, VOLUME_FILE, VOLUME_MAX_BYTES, &text, &why);
    if (n == 0 || n == -ENOENT)
        return assume(c, dir, name, ret, e);
    if (n < 0) {
        if (e)
            *e = why;
        return err_add(e, (int)n, "volume %s", name);
    }
    scoped_json json_t *j = json_parse(text, (size_t)n, VOLUME_MAX_BYTES, VOLUME_FILE, e);
    if (!j)
        return err_add(e, -EINVAL, "volume %s", name);
    struct volume v = {0};
    int r = jfield_parse(j, volume_fields, "", &v, e);
    if (r < 0)
        return r;
    v.path = xasprintf("%s/volumes/%s/_data", c->root, name);
    *ret = v;
    return 0;
}

static bool is_there(int dir)
{
    return dir >= 0 && faccessat(dir, VOLUME_FILE, F_OK, 0) == 0;
}

int volume_open(const struct conf *c, const char *name, struct volume *ret, struct err *e)
{
    struct err ignored = ERR_INIT;
    if (check_name(name, e) < 0)
        return -EINVAL;
    scoped_fd int dir = volume_dir(c, name, false, &ignored);
    return is_there(dir) ? volume_read(c, dir, name, ret, e) : volume_unknown(c, name, e);
}

/* Whoever locked a directory that was renamed meanwhile has locked nothing. */
static bool still_there(const struct conf *c, const char *name, int dir)
{
    struct stat a, b;
    scoped_fd int now = volume_dir(c, name, false, NULL);
    return now >= 0 && fstat(now, &a) == 0 && fstat(dir, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

/* The directory with this lock on it, or -errno. */
static int open_locked(const struct conf *c, const char *name, bool make, enum lock_mode how,
                       struct err *e)
{
    scoped_free char *what = xasprintf("volume %s", name);
    for (int tries = 0; tries < USE_TRIES; tries++) {
        scoped_fd int dir = volume_dir(c, name, make, e);
        if (dir < 0)
            return dir;
        int r = lock_fd(dir, how, how == LOCK_SHARED ? -1 : 0, what, e);
        if (r == -EWOULDBLOCK)
            return err_msg(e, EBUSY, "volume %s: a container is being made with it", name);
        if (r < 0)
            return r;
        if (still_there(c, name, dir))
            return take_fd(&dir);
    }
    return err_msg(e, EBUSY, "volume %s is removed again and again", name);
}

static int fill_new(int dir, const struct volume *v, struct err *e)
{
    /* The mode that a directory of an image would have: its users differ inside. */
    if (mkdirat(dir, "_data", 0755) < 0 ? errno != EEXIST : fchmodat(dir, "_data", 0755, 0) < 0)
        return err_set(e, errno, "create volume %s", v->name);
    return write_json(dir, v, e);
}

int volume_use(const struct conf *c, const char *name, bool anonymous, struct volume *ret,
               int *ret_lock, struct err *e)
{
    if (check_name(name, e) < 0)
        return -EINVAL;
    scoped_fd int dir = open_locked(c, name, true, LOCK_SHARED, e);
    if (dir < 0)
        return dir;
    bool made = !is_there(dir);
    int r = 0;
    if (made) {
        struct volume v = {.name = (char *)(uintptr_t)name,
                           .created_ns = time_now_ns(),
                           .anonymous = anonymous,
                           .needs_copy_up = true};
        r = fill_new(dir, &v, e);
    }
    if (r == 0)
        r = volume_read(c, dir, name, ret, e);
    if (r < 0)
        return r;
    *ret_lock = take_fd(&dir);
    return made;
}

int volume_create(const struct conf *c, struct volume *v, struct err *e)
{
    if (check_name(v->name, e) < 0)
        return -EINVAL;
    scoped_fd int dir = open_locked(c, v->name, true, LOCK_EXCLUSIVE, e);
    if (dir >= 0 && !is_there(dir)) {
        v->created_ns = time_now_ns();
        v->needs_copy_up = !volume_kind(v);
        return fill_new(dir, v, e);
    }
    if (dir < 0 && dir != -EBUSY)
        return dir;
    err_clear(e);
    return err_hint(e, err_msg(e, EEXIST, "the volume %s exists already", v->name),
                    "--ignore takes it as it is");
}

int volume_lock(const struct conf *c, const char *name, struct err *e)
{
    struct err ignored = ERR_INIT;
    if (check_name(name, e) < 0)
        return -EINVAL;
    scoped_fd int there = volume_dir(c, name, false, &ignored);
    return there < 0 ? volume_unknown(c, name, e) : open_locked(c, name, false, LOCK_EXCLUSIVE, e);
}

int volume_set_aside(const struct conf *c, const char *name, char **ret_debris, struct err *e)
{
    char hex[17];
    id_random_hex(hex, 16);
    scoped_fd int volumes = conf_open_root(c, "volumes", false, e);
    if (volumes < 0)
        return volumes;
    scoped_free char *to = xasprintf(DIR_RM "%s-%s", name, hex);
    if (renameat(volumes, name, volumes, to) < 0)
        return err_set(e, errno, "remove volume %s", name);
    *ret_debris = take_ptr(to);
    return 0;
}
