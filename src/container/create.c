/* create - a new container: built aside as .tmp-ID, valid from one rename on. */
#include "container/container-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"

#define NAME_TRIES 32

/* A container that is being made. */
struct making {
    const struct conf *conf;
    int containers_fd, dir_fd; /* owned; dir_fd holds the flock that keeps sweepers away */
    char tmp[sizeof(DIR_TMP) + ID_LEN];
};

char *container_dir(const struct conf *c, const char *id)
{
    return xasprintf("%s/containers/%s", c->root, id);
}

/* Makes and locks .tmp-ID. */
static int make_dir(struct making *m, struct err *e)
{
    for (int tries = 0; tries < 8; tries++) {
        if (mkdirat(m->containers_fd, m->tmp, 0700) < 0)
            return err_set(e, errno, "make the directory of the container");
        scoped_fd int fd = openat(m->containers_fd, m->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;
        /* A sweeper may have seen it before it was locked. */
        if (fd >= 0 && lock_wait(fd, LOCK_EX) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0) {
            m->dir_fd = take_fd(&fd);
            return 0;
        }
        if (fd < 0 && errno != ENOENT)
            return err_set(e, errno, "open the new directory of the container");
    }
    return err_msg(e, EBUSY, "make the directory of the container: it is removed again and again");
}

/* Reserves rec->name, or a name that nobody has. */
static int reserve_name(const struct conf *c, struct ctr_record *rec, struct err *e)
{
    if (rec->name) {
        if (!id_name_valid(rec->name)) {
            int r = err_msg(e, EINVAL, "the name \"%s\" is not valid", rec->name);
            return err_hint(e, r,
                            "names are made of letters, digits, \"_\", \".\" and \"-\", and "
                            "begin with a letter or a digit");
        }
        return name_reserve(c, rec->name, rec->id, e);
    }
    char name[80];
    int r = -EEXIST;
    for (int tries = 0; tries < NAME_TRIES && r == -EEXIST; tries++) {
        id_random_name(name, sizeof(name));
        /* When most are taken, a number makes it one that is not. */
        if (tries > NAME_TRIES / 2)
            snprintf(name + strlen(name), sizeof(name) - strlen(name), "_%d", tries);
        r = name_reserve(c, name, rec->id, e);
    }
    if (r == 0)
        rec->name = xstrdup(name);
    return r;
}

/* What was prepared in .tmp-ID will be in ID. */
static void move_path(char **path, const char *from, const char *to)
{
    const char *rest = *path ? str_after(*path, from) : NULL;
    if (!rest || (*rest && *rest != '/'))
        return;
    char *moved = xasprintf("%s%s", to, rest);
    free(*path);
    *path = moved;
}

static void move_storage(struct storage_root *root, const char *from, const char *to)
{
    move_path(&root->upper, from, to);
    move_path(&root->work, from, to);
    move_path(&root->dir, from, to);
    for (char **p = root->layers; p && *p; p++)
        move_path(p, from, to);
    for (char **p = root->data_layers; p && *p; p++)
        move_path(p, from, to);
}

static int write_new(int dir_fd, const char *name, const char *text, struct err *e)
{
    scoped_fd int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fs_write_all(fd, text, strlen(text));
    return r < 0 ? err_set(e, -r, "write %s", name) : 0;
}

static int write_records(const struct making *m, const struct ctr_record *rec,
                         const struct spec *spec, struct err *e)
{
    scoped_json json_t *j = spec_emit(spec);
    scoped_free char *config = json_text(j, false);
    scoped_free char *record = record_text(rec);
    struct ctr_state s;
    container_state_init(rec, &s);
    scoped_free char *state = state_text(&s);
    ctr_state_release(&s);

    int r = write_new(m->dir_fd, "config.json", config, e);
    if (r == 0)
        r = write_new(m->dir_fd, "container.json", record, e);
    return r == 0 ? write_new(m->dir_fd, "state.json", state, e) : r;
}

static int build(const struct making *m, struct ctr_record *rec, const struct spec *spec,
                 int (*prepare)(const char *dir, struct ctr_record *rec, void *data, struct err *e),
                 void *data, struct err *e)
{
    scoped_free char *from = container_dir(m->conf, m->tmp);
    scoped_free char *to = container_dir(m->conf, rec->id);
    int r = prepare ? prepare(from, rec, data, e) : 0;
    if (r < 0)
        return r;
    move_storage(&rec->storage, from, to);
    r = write_records(m, rec, spec, e);
    if (r < 0)
        return r;
    /* Before others see it, who may remove it at once: its story must begin so. */
    container_event(m->conf, rec, "create", NULL);
    if (renameat(m->containers_fd, m->tmp, m->containers_fd, rec->id) < 0)
        return err_set(e, errno, "create container %s", rec->name);
    return 0;
}

int container_create(const struct conf *c, struct ctr_record *rec, const struct spec *spec,
                     int (*prepare)(const char *dir, struct ctr_record *rec, void *data,
                                    struct err *e),
                     void *data, struct err *e)
{
    if (!rec->id) {
        rec->id = xmalloc(ID_LEN + 1);
        id_random(rec->id);
    }
    rec->version = RECORD_VERSION;
    if (!rec->created_ns)
        rec->created_ns = time_now_ns();

    scoped_fd int containers_fd = conf_open_root(c, "containers", true, e);
    if (containers_fd < 0)
        return containers_fd;
    struct making m = {.conf = c, .containers_fd = containers_fd, .dir_fd = -1};
    snprintf(m.tmp, sizeof(m.tmp), DIR_TMP "%s", rec->id);
    /* The directory before the name: a name whose id has neither is debris. */
    int r = make_dir(&m, e);
    if (r < 0)
        return r;
    r = reserve_name(c, rec, e);
    if (r == 0) {
        r = build(&m, rec, spec, prepare, data, e);
        if (r < 0)
            name_free(c, rec->name, rec->id);
    }
    if (r < 0) {
        fd_close(&m.dir_fd);
        sweep_entry(c, containers_fd, m.tmp);
        return r;
    }
    return m.dir_fd;
}
