/* reset - system reset: everything of the store and the run directory goes, damaged or not.
 *
 * Only the two paths are needed. What is no part of a store is never touched: a directory that
 * holds anything else is refused as a whole, so that a mistyped --root costs nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/lock.h"
#include "cli/cli.h"
#include "cli/pod.h"
#include "cli/prune.h"
#include "container/hunt.h"
#include "image/store.h"
#include "network/store.h"
#include "userns/userns.h"
#include "volume/volume.h"

/* Pulls and loads hold the store's lock only for moments. */
#define LOCK_MS 5000

struct reset_opts {
    bool force;
};

static const struct opt reset_table[] = {
    {"force", 'f', OPT_FLAG, offsetof(struct reset_opts, force), NULL, "Do not ask"},
    {NULL},
};

/* --- what is ours --- */

struct place {
    const char *what, *path; /* "store"; as the configuration names it */
    const char *const *names, *const *prefixes;
    bool ids;       /* container ids are entries, too */
    bool installed; /* make install with a prefix of ~/.local has put files of its own there */
    int fd;         /* -1: it is not there */
    char **entries, **foreign;
};

static const char *const root_names[] = {
    "containers", "names",      "images",     "layers",   "blobs", "refs",
    "idmap.json", "store.lock", "index",      "ingest",   "trash", "volumes",
    "networks",   "version",    "lost+found", "run-root", NULL};
static const char *const root_prefixes[] = {".tmp-", ".probe-", ".nfs", NULL};
static const char *const installed_names[] = {"schema", "seccomp", NULL};
static const char *const run_names[] = {"networks", NULL};
static const char *const run_prefixes[] = {".tmp-", "probe.", "events", "told-", NULL};

static void place_release(struct place *p)
{
    fd_close(&p->fd);
    strv_free(p->entries);
    strv_free(p->foreign);
}

static bool is_ours(const struct place *p, const char *name)
{
    if (p->ids && strlen(name) == ID_LEN && id_is_hex(name))
        return true;
    for (const char *const *prefix = p->prefixes; *prefix; prefix++)
        if (str_after(name, *prefix))
            return true;
    return strv_has((char *const *)(uintptr_t)p->names, name);
}

static int read_entries(struct place *p, struct err *e)
{
    int own = openat(p->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = own >= 0 ? fdopendir(own) : NULL;
    if (!d)
        return err_set(e, errno, "read %s", p->path);
    for (struct dirent *de; (de = readdir(d));)
        if (!streq(de->d_name, ".") && !streq(de->d_name, "..") &&
            !(p->installed && strv_has((char *const *)(uintptr_t)installed_names, de->d_name)))
            strv_add(is_ours(p, de->d_name) ? &p->entries : &p->foreign, de->d_name);
    return 0;
}

static int open_place(struct place *p, struct err *e)
{
    struct stat st, data;
    p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->fd < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "open %s", p->path);
    if (fstat(p->fd, &st) < 0)
        return err_set(e, errno, "stat %s", p->path);
    if (st.st_uid != geteuid())
        return err_msg(e, EPERM, "%s belongs to uid %u, not to you", p->path, st.st_uid);
    p->installed = stat(DATADIR "/rootlet", &data) == 0 && data.st_dev == st.st_dev &&
                   data.st_ino == st.st_ino;
    int r = read_entries(p, e);
    if (r < 0 || !p->foreign)
        return r;
    return err_hint(e,
                    err_msg(e, EINVAL, "%s is no %s of rootlet's: \"%s\" is in it", p->path,
                            p->what, p->foreign[0]),
                    "nothing was removed; move away what is yours, or name the right directory");
}

/* Names that any directory may have prove nothing. */
static int check_store(const struct place *p, struct err *e)
{
    bool both = strv_has(p->entries, "containers") && strv_has(p->entries, "names");
    if (!p->entries || both || p->installed || strv_has(p->entries, "store.lock") ||
        strv_has(p->entries, "idmap.json"))
        return 0;
    return err_hint(
        e, err_msg(e, EINVAL, "%s does not look like a store: no store.lock in it", p->path),
        "nothing was removed; 'rootlet unshare rm -r DIR' removes what is sure to be "
        "one");
}

/* --- the question --- */

static void count(struct str *out, size_t n, const char *what)
{
    str_addf(out, "\n  - %zu %s%s", n, what, n == 1 ? "" : "s");
}

static int ask(const struct place *root, const struct place *run, struct err *e)
{
    struct ctr_state *states = NULL;
    struct store_image *images = NULL;
    struct volume *volumes = NULL;
    struct network_config *networks = NULL;
    size_t n = 0, n_images = 0, n_volumes = 0, n_networks = 0, up = 0;
    struct err ignored = ERR_INIT; /* a damaged store can be counted in parts only */
    scoped_str struct str out = STR_INIT;
    (void)!container_list(cli_conf(), &states, &n, &ignored);
    (void)!store_list(cli_conf(), &images, &n_images, &ignored);
    (void)!volume_list(cli_conf(), &volumes, &n_volumes, &ignored);
    (void)!network_list(cli_conf(), &networks, &n_networks, &ignored);
    for (size_t i = 0; i < n; i++)
        up += ctr_state_alive(&states[i]);
    str_add(&out, ":");
    count(&out, n, "container");
    if (up)
        str_addf(&out, ", of which %zu run%s", up, up == 1 ? "s" : "");
    count(&out, n_images, "image");
    count(&out, n_volumes, "volume");
    count(&out, n_networks, "network");
    if (root->fd >= 0)
        str_addf(&out, "\n  - everything else in the store %s", root->path);
    if (run->fd >= 0)
        str_addf(&out, "\n  - everything in the run directory %s", run->path);
    str_add(&out, "\nThe configuration stays.");
    container_list_free(states, n);
    store_list_free(images, n_images);
    volume_list_free(volumes, n_volumes);
    network_list_free(networks, n_networks);
    return prune_ask(out.s, e);
}

/* --- containers --- */

static void remove_pods(void)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    struct err ignored = ERR_INIT;
    if (pod_set_load(cli_conf(), &set, &ignored) < 0)
        return;
    for (size_t i = 0; i < set.n; i++)
        (void)!cli_pod_remove(set.v[i].infra.id, 0, &ignored);
}

static void remove_containers(char *const *ids)
{
    storage_remover_begin();
    for (char *const *id = ids; id && *id; id++) {
        scoped_container struct container c = {.dir_fd = -1};
        struct err ignored = ERR_INIT;
        if (container_open_id(cli_conf(), *id, &c, &ignored) == 0)
            (void)!cli_remove(&c, true, true, &ignored);
    }
    storage_remover_end();
}

/* Of containers, whole or half gone. */
static char **ids_left(const struct place *root)
{
    char **ids = NULL;
    int fd = root->fd < 0
                 ? -1
                 : openat(root->fd, "containers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return NULL;
    }
    for (struct dirent *de; (de = readdir(d));) {
        const char *dash = strrchr(de->d_name, '-'), *id = dash ? dash + 1 : de->d_name;
        if (strlen(id) == ID_LEN && id_is_hex(id))
            strv_add(&ids, id);
    }
    return ids;
}

/* First as they are removed always, which also tells their service manager. What is left then is
 * damaged. */
static int end_containers(const struct place *root, const struct place *run, struct err *e)
{
    remove_pods();
    scoped_strv char **all = ids_left(root);
    remove_containers(all);
    scoped_strv char **left = ids_left(root);
    for (char **name = run->entries; name && *name;
         name++) /* the record is gone, not the process */
        if (strlen(*name) == ID_LEN && !strv_has(left, *name))
            strv_add(&left, *name);
    int r = container_hunt(left, e);
    scoped_strv char **damaged = ids_left(root);
    remove_containers(damaged);
    return r;
}

/* --- files --- */

/* Nothing that is mounted there is ours: openat2(2), RESOLVE_NO_XDEV. */
static bool is_mount(int fd, const char *name)
{
    struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV};
    scoped_fd int there = (int)syscall(SYS_openat2, fd, name, &how, sizeof(how));
    return there < 0 && errno == EXDEV;
}

static int empty(void *data, struct err *e)
{
    const struct place *p = data;
    int worst = 0;
    for (char **name = p->entries; name && *name; name++) {
        struct err one = ERR_INIT;
        if (streq(*name, "lost+found"))
            continue;
        int r = is_mount(p->fd, *name) ? err_msg(&one, EBUSY, "something is mounted on it")
                                       : fs_remove_tree(p->fd, *name, &one);
        if (r == 0)
            continue;
        *e = one;
        worst = err_add(e, r, "%s/%s", p->path, *name);
    }
    return worst;
}

/* As the user, who owns most; then as the root of a user namespace, who owns the rest. */
static int empty_place(struct place *p, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    struct err first = ERR_INIT;
    if (p->fd < 0)
        return 0;
    int r = empty(p, &first);
    if (r < 0 && geteuid() != 0) {
        r = userns_map_default(&map, e);
        r = r < 0 ? r : userns_run(&map, 0, empty, p, e);
    } else if (r < 0) {
        *e = first;
    }
    /* A mount point, or a link to a directory elsewhere, stays, empty. */
    if (r == 0 && rmdir(p->path) < 0 && (errno == ENOTEMPTY || errno == EEXIST) && !p->installed &&
        !strv_has(p->entries, "lost+found"))
        r = err_msg(e, EBUSY, "%s: another command has made new files in it", p->path);
    return r;
}

static int reset(struct place *root, struct place *run, struct err *e)
{
    scoped_fd int lock = -1;
    struct err why = ERR_INIT;
    if (root->fd >= 0) {
        lock = lock_take(root->fd, "store.lock", LOCK_EXCLUSIVE, LOCK_MS, &why);
        if (lock == -EWOULDBLOCK)
            return err_hint(e, err_msg(e, EBUSY, "another command is using %s", root->path),
                            "try again when it has ended");
    }
    int r = end_containers(root, run, e);
    /* What came since, and what the removals have made. */
    strv_free(take_ptr(root->entries));
    if (r == 0 && root->fd >= 0)
        r = read_entries(root, e);
    strv_free(take_ptr(run->entries));
    if (r == 0 && run->fd >= 0)
        r = read_entries(run, e);
    if (r < 0)
        return r;
    int r1 = empty_place(root, &why), r2 = empty_place(run, e);
    if (r1 < 0 && r2 < 0)
        cli_print_err(e);
    if (r1 < 0)
        *e = why;
    return r1 < 0 ? r1 : r2;
}

static int reset_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct reset_opts *o = opts;
    SCOPED(place_release)
    struct place root = {"store", cli_conf()->root, root_names, root_prefixes, .fd = -1};
    SCOPED(place_release)
    struct place run = {"run directory", cli_conf()->run_root, run_names, run_prefixes, true,
                        .fd = -1};
    (void)cmd, (void)args;
    int r = open_place(&root, e);
    r = r < 0 ? r : check_store(&root, e);
    r = r < 0 ? r : open_place(&run, e);
    if (r == 0 && !o->force) {
        r = ask(&root, &run, e);
        if (r == 0)
            return 0;
    }
    r = r < 0 ? r : reset(&root, &run, e);
    return r < 0 ? err_add(e, r, "system reset") : 0;
}

const struct cmd cli_reset_cmds[] = {
    {
        .name = "system reset",
        .args = "",
        .summary = "Remove all containers, images, volumes and everything else of the store",
        .opts = reset_table,
        .opts_size = sizeof(struct reset_opts),
        .run = reset_command,
        .details = "Works on a damaged store, too. A directory in which there is anything else is "
                   "refused. The configuration stays.",
        .examples = "rootlet system reset\nrootlet --root /mnt/old/rootlet system reset --force",
    },
    {NULL},
};
