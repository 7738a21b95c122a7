#include "imagetool/idmap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "image/rows.h"

/* "0=1000+1 1=100000+65536" */
static void describe(const struct idmap *m, struct str *out)
{
    for (size_t i = 0; i < m->n && i < 4; i++)
        str_addf(out, "%s%u=%u+%u", i ? " " : "", m->v[i].inside, m->v[i].outside, m->v[i].count);
    if (m->n > 4)
        str_add(out, " ...");
}

static int mismatch(const struct conf *c, const struct userns_map *stored,
                    const struct userns_map *now, struct err *e)
{
    scoped_str struct str old_uid = STR_INIT, new_uid = STR_INIT;
    describe(&stored->uid, &old_uid);
    describe(&now->uid, &new_uid);
    err_msg(e, EXDEV,
            "the images in %s belong to another range of user ids (uids %s) than today's (uids %s)",
            c->root, old_uid.s, new_uid.s);
    return err_hint(e, -EXDEV,
                    "put the old ranges back into /etc/subuid and /etc/subgid, or start afresh: "
                    "'rootlet image prune --all', or another --root");
}

static bool any_layer(int root_fd)
{
    int fd = openat(root_fd, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    scoped_dir DIR *d = fdopendir(fd);
    bool found = false;
    for (struct dirent *de; d && !found && (de = readdir(d));)
        found = de->d_name[0] != '.';
    return found;
}

static int record(int root_fd, const struct userns_map *map, struct err *e)
{
    scoped_json json_t *doc = jfield_emit(store_idmap_fields, map);
    scoped_free char *text = json_text(doc, true);
    return fs_write_atomic(root_fd, "idmap.json", text, strlen(text), 0600, FS_NO_SYNC, e);
}

static int give_away(void *data, struct err *e)
{
    return fchown(*(const int *)data, 1, 1) < 0 ? err_set(e, errno, "chown to a subordinate id")
                                                : 0;
}

static int try_owner(int fd, const struct userns_map *map, struct err *e)
{
    if (geteuid() != 0)
        return userns_run(map, 0, give_away, &fd, e);
    int64_t uid = idmap_to_host(&map->uid, 1), gid = idmap_to_host(&map->gid, 1);
    return fchown(fd, (uid_t)uid, (gid_t)gid) < 0 ? err_set(e, errno, "chown to a subordinate id")
                                                  : 0;
}

/* A file system that gives no files to subordinate ids (NFS, SMB, many a FUSE) would show so in the
 * middle of the first layer, after a download. Found out by doing, while the store is empty. */
static int check_place(const struct conf *c, int root_fd, const struct userns_map *map,
                       struct err *e)
{
    char name[32] = ".probe-";
    if (map->single)
        return 0;
    id_random_hex(name + 7, 16);
    scoped_fd int fd = openat(root_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno, "make %s/%s", c->root, name);
    int r = try_owner(fd, map, e);
    unlinkat(root_fd, name, 0);
    if (r < 0) {
        r = err_add(e, r, "files in %s cannot have the owners of images", c->root);
        return err_hint(e, r, "Put the store on a local disk: --root DIR or ROOTLET_ROOT.");
    }
    return 0;
}

int idmap_check(const struct conf *c, int root_fd, struct userns_map *ret, struct err *e)
{
    scoped_userns_map struct userns_map now = {0}, stored = {0};
    int r = userns_map_default(&now, e);
    if (r < 0)
        return r;
    r = store_idmap(c, &stored, e);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == -ENOENT || !userns_map_equal(&stored, &now)) {
        if (r == 0 && any_layer(root_fd))
            return mismatch(c, &stored, &now, e);
        r = check_place(c, root_fd, &now, e);
        if (r < 0)
            return r;
        r = record(root_fd, &now, e);
        if (r < 0)
            return r;
    }
    *ret = now;
    now = (struct userns_map){0};
    return 0;
}

int idmap_stored(const struct conf *c, struct userns_map *ret, struct err *e)
{
    int r = store_idmap(c, ret, e);
    return r == -ENOENT ? userns_map_default(ret, e) : r;
}
