#include "build/prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/prune.h"
#include "base/strv.h"
#include "build/build.h"
#include "userns/userns.h"

#define O(m) offsetof(struct prune_opts, m)
const struct opt prune_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "For docker's sake: all of it goes", OPT_IGNORED},
    {"force", 'f', OPT_FLAG, O(force), NULL, "Do not ask"},
    {NULL},
};

struct removal {
    int dir;
    char **names;
};

static char **names_in(int dir)
{
    char **names = NULL;
    int copy = fcntl(dir, F_DUPFD_CLOEXEC, 3), r = 0;
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *x;
    if (d)
        rewinddir(d);
    while (d && (x = fs_next_entry(d, &r)))
        if (x->d_name[0] != '.')
            strv_add(&names, x->d_name);
    if (d)
        closedir(d);
    return names;
}

static int remove_trees(void *data, struct err *e)
{
    const struct removal *r = data;
    int q = 0;
    for (char **n = r->names; q == 0 && n && *n; n++)
        q = fs_remove_tree(r->dir, *n, e);
    return q;
}

/* Cache mounts that no build has open now. */
static int prune_mounts(const struct conf *c, struct err *e)
{
    scoped_fd int dir = conf_open_root(c, "build/mounts", false, NULL);
    scoped_strv char **names = dir < 0 ? NULL : names_in(dir), **free_ones = NULL;
    scoped_userns_map struct userns_map map = {0};
    scoped_free int *locks = xcalloc(strv_len(names) + 1, sizeof(*locks));
    size_t n_locks = 0;
    for (char **n = names; n && *n; n++) {
        if (!str_ends(*n, ".lock"))
            continue;
        int fd = openat(dir, *n, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
            fd_close(&fd);
            continue;
        }
        locks[n_locks++] = fd;
        strv_take(&free_ones, xstrndup(*n, strlen(*n) - strlen(".lock")));
    }
    struct removal r = {dir, free_ones};
    int q = free_ones ? userns_map_default(&map, e) : 0;
    q = q < 0 || !free_ones ? q : userns_run(&map, 0, remove_trees, &r, e);
    while (n_locks)
        close(locks[--n_locks]);
    return q;
}

static void prune_records(const struct conf *c)
{
    scoped_fd int dir = conf_open_root(c, "build/cache", false, NULL);
    scoped_strv char **names = dir < 0 ? NULL : names_in(dir);
    for (char **n = names; n && *n; n++)
        unlinkat(dir, *n, 0);
}

/* Steps without a name; what a container or a build under way uses stays. */
static int prune_images(struct build *b, struct err *e)
{
    char *argv[] = {(char *)"rootlet-image", (char *)"image",
                    (char *)"prune",         (char *)"-f",
                    (char *)"--build-steps", NULL};
    scoped_free char *ids = NULL;
    int r = child_text(b, argv, &ids, e);
    if (r == 0 && ids && *ids)
        puts(ids);
    return r;
}

int prune_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct prune_opts *o = opts;
    SCOPED(conf_release) struct conf conf = {0};
    struct build b = {.conf = &conf, .scratch_fd = -1, .pin = STORE_PIN_INIT};
    (void)cmd;
    (void)args;
    int r = o->force ? 1 : prune_ask(" the whole build cache", e);
    if (r <= 0)
        return r;
    r = conf_load(NULL, &conf, e);
    r = r < 0 ? r : child_init(e);
    if (r < 0)
        return r;
    prune_records(&conf);
    r = prune_mounts(&conf, e);
    r = r < 0 ? r : prune_images(&b, e);
    return r < 0 ? err_add(e, r, "builder prune") : 0;
}
