/* remove - takes a container away: first it stops being one, by a rename, then its parts go. */
#include "container/container-priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "network/bridge.h"

/* A supervisor that writes its last lines is waited for this long. */
#define LOCK_MS 5000

/* The id map of a specification, as the storage wants it. Owned. */
static void map_lines(const struct spec_id_map *v, size_t n, struct idmap *ret)
{
    ret->v = n ? xcalloc(n, sizeof(*ret->v)) : NULL;
    ret->n = n;
    for (size_t i = 0; i < n; i++)
        ret->v[i] = (struct idmap_line){
            .inside = v[i].container_id, .outside = v[i].host_id, .count = v[i].size};
}

int container_map(int dir_fd, struct userns_map *ret, struct err *e)
{
    scoped_spec struct spec spec = {0};
    struct err ignored = ERR_INIT;
    if (container_read_spec(dir_fd, &spec, &ignored) < 0 || !spec.linux_ ||
        !spec.linux_->n_uid_mappings)
        return userns_map_default(ret, e);
    *ret = (struct userns_map){0};
    map_lines(spec.linux_->uid_mappings, spec.linux_->n_uid_mappings, &ret->uid);
    map_lines(spec.linux_->gid_mappings, spec.linux_->n_gid_mappings, &ret->gid);
    ret->single = ret->uid.n == 1 && ret->uid.v[0].count == 1;
    return 0;
}

/* Removes dirfd/name, whose path is given as well. Files of subordinate ids below directories of
 * theirs are out of our reach: only then the way through the user namespace, which costs two
 * helper programs, is taken. */
static int remove_tree(int dirfd, const char *name, const char *path, struct err *e)
{
    if (fs_remove_tree(dirfd, name, NULL) == 0)
        return 0;
    scoped_userns_map struct userns_map map = {0};
    scoped_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "open %s", path);
    int r = container_map(fd, &map, e);
    if (r == 0)
        r = storage_remove(path, &map, e);
    return r == 0 ? fs_remove_tree(dirfd, name, e) : r;
}

/* RUN_ROOT/ID goes before the last of containers/.rm-ID: nothing else would lead a sweeper to it.
 */
static int remove_run(const struct conf *c, const char *id, struct err *e)
{
    scoped_fd int run_fd = conf_open_run(c, "", false, e);
    int r = run_fd < 0 ? run_fd : fs_remove_tree(run_fd, id, e);
    if (r == 0 || r == -ENOENT)
        return 0;
    return err_add(e, r, "run root %s", c->run_root);
}

void container_remove_run(const struct conf *c, const char *id)
{
    (void)!remove_run(c, id, NULL);
}

/* Is this still what the name leads to? A lock on what was removed meanwhile protects nothing: its
 * maker may have made another one since. */
static bool is_at(int fd, int dirfd, const char *name)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && fstatat(dirfd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/* With the lock on it: nobody makes it anew or removes it while we have the descriptor. */
static int claim(int containers_fd, const char *name)
{
    scoped_fd int fd = openat(containers_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_at(fd, containers_fd, name))
        return -EWOULDBLOCK; /* gone, or somebody works on it */
    return take_fd(&fd);
}

void sweep_entry(const struct conf *c, int containers_fd, const char *name)
{
    scoped_fd int fd = claim(containers_fd, name);
    scoped_free char *path = container_dir(c, name);
    if (fd >= 0)
        (void)!remove_tree(containers_fd, name, path, NULL);
}

static int remove_volumes(const struct conf *c, const struct ctr_record *rec, struct err *e)
{
    int worst = 0;
    for (size_t i = 0; i < rec->n_volumes; i++) {
        const struct ctr_volume *v = &rec->volumes[i];
        struct err one = ERR_INIT;
        int r = v->anonymous && v->name ? container_volume_remove(c, v->name, &one) : 0;
        /* Another container has it, too; or it went by hand. */
        if (r == 0 || r == -EBUSY || r == -ENOENT)
            continue;
        if (e)
            *e = one;
        worst = r;
    }
    return worst;
}

/* The directory goes last: as long as it is there the next sweeper knows what else to look for. */
void sweep_debris(const struct conf *c, int containers_fd, const char *name)
{
    const char *id = strrchr(name, '-') + 1;
    scoped_fd int fd = claim(containers_fd, name);
    struct ctr_record rec = {0};
    struct err ignored = ERR_INIT;
    if (fd < 0)
        return;
    /* What else somebody has put there names nothing of ours. */
    bool ours = strlen(id) == ID_LEN && id_is_hex(id);
    if (ours && !entry_exists(containers_fd, id)) {
        names_free_all(c, id);
        if (str_after(name, DIR_RM_VOLUMES) && container_read_record(fd, &rec, &ignored) == 0)
            (void)!remove_volumes(c, &rec, NULL);
        ctr_record_release(&rec);
        if (remove_run(c, id, NULL) < 0)
            return;
    }
    scoped_free char *path = container_dir(c, name);
    (void)!remove_tree(containers_fd, name, path, NULL);
}

int container_remove_locked(const struct conf *c, struct container *ctr, bool volumes,
                            struct err *e)
{
    int r = container_end_survivor(ctr->dir_fd, e);
    if (r < 0)
        return err_add(e, r, "remove container %s", ctr->rec.name);
    container_settle(c, ctr);
    return container_remove_ended(c, ctr, volumes, e);
}

/* Also when it has been renamed since its record was read, or is just being. */
static void free_name(const struct conf *c, const struct container *ctr)
{
    struct ctr_record now = {0};
    struct err ignored = ERR_INIT;
    if (rename_unfinished(ctr->dir_fd))
        names_free_all(c, ctr->id);
    else if (container_read_record(ctr->dir_fd, &now, &ignored) == 0)
        name_free(c, now.name, ctr->id);
    else
        name_free(c, ctr->rec.name, ctr->id);
    ctr_record_release(&now);
}

int container_remove_ended(const struct conf *c, const struct container *ctr, bool volumes,
                           struct err *e)
{
    int r = 0;
    scoped_fd int containers_fd = conf_open_root(c, "containers", false, e);
    if (containers_fd < 0)
        return containers_fd;
    char gone[sizeof(DIR_RM_VOLUMES) + ID_LEN];
    snprintf(gone, sizeof(gone), "%s%s", volumes ? DIR_RM_VOLUMES : DIR_RM, ctr->id);
    /* The lock on the directory tells sweepers that this removal is not an interrupted one. Its
     * maker may have it still, which does as well: when that one goes, two delete the same. */
    if ((flock(ctr->dir_fd, LOCK_EX | LOCK_NB) < 0 && errno != EWOULDBLOCK) ||
        renameat(containers_fd, ctr->id, containers_fd, gone) < 0)
        return err_set(e, errno, "remove container %s", ctr->rec.name);
    free_name(c, ctr);

    struct err first = ERR_INIT;
    if (volumes)
        r = remove_volumes(c, &ctr->rec, &first);
    scoped_free char *path = container_dir(c, gone);
    int r2 = remove_run(c, ctr->id, r < 0 ? NULL : &first);
    if (r2 == 0)
        r2 = remove_tree(containers_fd, gone, path, r < 0 ? NULL : &first);
    container_event(c, &ctr->rec, "remove", NULL);
    network_bridge_collect(c->libexec, ctr->state.network);
    r = r < 0 ? r : r2;
    if (r < 0 && e)
        *e = first;
    return r < 0 ? err_add(e, r, "remove container %s", ctr->rec.name) : 0;
}

int container_remove(const struct conf *c, struct container *ctr, bool volumes, struct err *e)
{
    if (ctr_state_alive(&ctr->state)) {
        int r = err_msg(e, EBUSY, "remove container %s: it is %s", ctr->rec.name,
                        ctr_status_names[ctr->state.status]);
        return err_hint(e, r, "stop it first, or use \"rootlet rm --force\"");
    }
    scoped_fd int lock_fd = container_lock_wait(c, ctr->id, LOCK_MS, e);
    if (lock_fd < 0)
        return err_add(e, lock_fd == -EWOULDBLOCK ? -EBUSY : lock_fd, "remove container %s",
                       ctr->rec.name);
    /* It may have been started before we had the lock. */
    struct container now;
    int r = container_open_id(c, ctr->id, &now, e);
    if (r < 0)
        return r;
    r = container_remove_locked(c, &now, volumes, e);
    container_release(&now);
    if (r == 0)
        container_sweep(c);
    return r;
}

/* Is it as it was before we had the lock? Its own words: nobody can be its supervisor now. */
static bool is_unchanged(const struct container *before, int dir_fd)
{
    struct ctr_state now;
    if (container_read_state(dir_fd, &now, NULL) < 0)
        return before->state.status == CTR_DEAD;
    bool same = now.started_ns == before->state.started_ns;
    ctr_state_release(&now);
    return same;
}

int container_prune(const struct conf *c, const char *id, struct err *e)
{
    scoped_container struct container before = {.dir_fd = -1}, now = {.dir_fd = -1};
    struct err why = ERR_INIT;
    if (container_open_id(c, id, &before, &why) < 0 || ctr_state_alive(&before.state))
        return 0;
    scoped_fd int lock_fd = container_lock(c, id, &why);
    int r = lock_fd < 0 ? lock_fd : container_open_id(c, id, &now, &why);
    if (r == -EWOULDBLOCK || r == -ENOENT)
        return 0;
    if (r < 0) {
        if (e)
            *e = why;
        return r;
    }
    /* Whoever made it just now holds a lock on the directory until it has been started. */
    if (!is_unchanged(&before, now.dir_fd) || flock(now.dir_fd, LOCK_SH | LOCK_NB) < 0)
        return 0;
    r = container_remove_locked(c, &now, false, e);
    return r < 0 ? r : 1;
}

void sweep_lock(const struct conf *c, const char *id)
{
    scoped_fd int run_fd = conf_open_run(c, id, false, NULL);
    if (run_fd >= 0 && lock_held(run_fd, "lock") == 0)
        container_remove_run(c, id);
}

/* Of commands that locked a container that was just being removed, and were killed. */
static void sweep_run(const struct conf *c, int containers_fd)
{
    int fd = conf_open_run(c, "", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return;
    }
    struct dirent *ent;
    while ((ent = readdir(d))) {
        if (strlen(ent->d_name) == ID_LEN && id_is_hex(ent->d_name) &&
            !entry_exists(containers_fd, ent->d_name))
            sweep_lock(c, ent->d_name);
    }
}

void container_sweep(const struct conf *c)
{
    int fd = conf_open_root(c, "containers", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return;
    }
    struct dirent *ent;
    while ((ent = readdir(d)))
        if (str_after(ent->d_name, DIR_RM) || str_after(ent->d_name, DIR_TMP))
            sweep_debris(c, dirfd(d), ent->d_name);
    sweep_run(c, dirfd(d));
    container_volume_sweep(c);
}
