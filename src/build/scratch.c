/* scratch - the directories of one build, and what a killed one has left. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/build.h"
#include "container/container.h"
#include "userns/userns.h"

#define PIN_LINK "pin"

struct removal {
    int dir;
    const char *name;
};

static int remove_tree(void *data, struct err *e)
{
    const struct removal *r = data;
    return fs_remove_tree(r->dir, r->name, e);
}

/* What RUN has written there belongs to subordinate ids. */
static void remove_all(int dir, const char *name)
{
    scoped_userns_map struct userns_map map = {0};
    struct removal r = {dir, name};
    if (fs_remove_tree(dir, name, NULL) < 0 && userns_map_default(&map, NULL) == 0)
        userns_run(&map, 0, remove_tree, &r, NULL);
}

static void remove_containers(struct build *b, const char *id)
{
    struct ctr_state *list = NULL;
    size_t n = 0;
    scoped_free char *prefix = xasprintf("build-%s-", id);
    if (container_list(b->conf, &list, &n, NULL) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (list[i].name && str_after(list[i].name, prefix))
            step_container_end(b, list[i].name);
    container_list_free(list, n);
}

int scratch_pin(struct build *b, struct err *e)
{
    int r = store_pin_open(b->conf, "build", &b->pin, e);
    if (r < 0)
        return r;
    return symlinkat(b->pin.name, b->scratch_fd, PIN_LINK) < 0 ? err_set(e, errno, "note the pin")
                                                               : 0;
}

static void remove_pin(struct build *b, int scratch_fd)
{
    char name[sizeof(b->pin.name)] = "";
    struct store_pin pin = {.root_fd = conf_open_root(b->conf, "", false, NULL), .fd = -1};
    ssize_t n = readlinkat(scratch_fd, PIN_LINK, name, sizeof(name) - 1);
    const char *own = n > 0 ? str_after(name, "ingest/build.") : NULL;
    if (own && !strchr(own, '/') && pin.root_fd >= 0) {
        memcpy(pin.name, name, sizeof(name));
        pin.fd = openat(pin.root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    store_pin_close(&pin);
}

/* Of a build that was killed: its lock is free. */
static void sweep_one(struct build *b, int dir, int run, const char *name)
{
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_free char *secrets = xasprintf("build-%s", name + 2);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return;
    remove_containers(b, name + 2);
    remove_pin(b, fd);
    if (run >= 0)
        fs_remove_tree(run, secrets, NULL);
    remove_all(dir, name);
}

static void sweep(struct build *b, int dir)
{
    scoped_strv char **names = NULL;
    scoped_fd int run = conf_open_run(b->conf, "", false, NULL);
    int copy = fcntl(dir, F_DUPFD_CLOEXEC, 3), r = 0;
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *x;
    while (d && (x = fs_next_entry(d, &r)))
        if (str_after(x->d_name, "w."))
            strv_add(&names, x->d_name);
    if (d)
        closedir(d);
    for (char **n = names; n && *n; n++)
        sweep_one(b, dir, run, *n);
}

int scratch_open(struct build *b, struct err *e)
{
    scoped_fd int dir = conf_open_root(b->conf, "build", true, e);
    if (dir < 0)
        return dir;
    sweep(b, dir);
    id_random_hex(b->id, 8);
    scoped_free char *name = xasprintf("w.%s", b->id);
    /* Nobody else sweeps what it cannot lock, and we hold the lock before anything is in it. */
    scoped_free char *making = xasprintf(".new-%s", b->id);
    if (mkdirat(dir, making, 0700) < 0)
        return err_set(e, errno, "make a directory below %s/build", b->conf->root);
    b->scratch_fd = openat(dir, making, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->scratch_fd < 0 || flock(b->scratch_fd, LOCK_EX | LOCK_NB) < 0 ||
        renameat(dir, making, dir, name) < 0)
        return err_set(e, errno, "make a directory below %s/build", b->conf->root);
    b->scratch = xasprintf("%s/build/%s", b->conf->root, name);
    return 0;
}

void scratch_close(struct build *b)
{
    scoped_fd int dir = conf_open_root(b->conf, "build", false, NULL);
    while (b->containers && b->containers[0]) {
        scoped_free char *name = xstrdup(b->containers[0]);
        step_container_end(b, name);
    }
    if (b->secrets) {
        scoped_fd int run = conf_open_run(b->conf, "", false, NULL);
        fs_remove_tree(run, path_name(b->secrets), NULL);
    }
    if (b->scratch && dir >= 0)
        remove_all(dir, path_name(b->scratch));
    fd_close(&b->scratch_fd);
    free(b->scratch);
    free(b->secrets);
    b->scratch = b->secrets = NULL;
}

char *scratch_dir(struct build *b, struct err *e)
{
    char *path = xasprintf("%s/d%u", b->scratch, b->n_made++);
    if (mkdir(path, 0700) == 0)
        return path;
    err_set(e, errno, "make %s", path);
    free(path);
    return NULL;
}

const char *scratch_secrets(struct build *b, struct err *e)
{
    if (b->secrets)
        return b->secrets;
    scoped_free char *name = xasprintf("build-%s", b->id);
    scoped_fd int dir = conf_open_run(b->conf, name, true, e);
    if (dir < 0)
        return NULL;
    b->secrets = path_join(b->conf->run_root, name);
    return b->secrets;
}
