/* df_cache - system df: what lies beside the images: the build cache, and trees for other id maps.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/lock.h"
#include "base/timefmt.h"
#include "cli/df.h"

static void load_mounts(struct df *d)
{
    int fd = conf_open_root(cli_conf(), "build/mounts", false, NULL);
    scoped_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *de; dir && (de = readdir(dir));) {
        struct stat st;
        if (!str_ends(de->d_name, ".lock"))
            continue; /* builder prune takes those with a lock */
        scoped_free char *name = xasprintf("%.*s", (int)strlen(de->d_name) - 5, de->d_name);
        if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        d->mounts = xrealloc(d->mounts, (d->n_mounts + 1) * sizeof(*d->mounts));
        d->mounts[d->n_mounts].used = lock_held(dirfd(dir), de->d_name) > 0;
        d->mounts[d->n_mounts++].name = take_ptr(name);
    }
}

int df_load_cache(struct df *d, struct err *e)
{
    load_mounts(d);
    return store_trees(cli_conf(), &d->shifted, &d->n_shifted, e);
}

const struct fs_size *df_shifted_size(const struct df *d, size_t i)
{
    return &d->trees[d->n_volumes + i].size;
}

const struct fs_size *df_mount_size(const struct df *d, size_t i)
{
    return &d->trees[d->n_volumes + d->n_shifted + i].size;
}

bool df_is_step(const struct store_image *i)
{
    return i->intermediate && !(i->names && i->names[0]);
}

bool df_is_cache(const struct store_layer_size *l)
{
    return l->steps && l->steps == l->images;
}

static void add(struct df_total *t, bool used, uint64_t size)
{
    t->total++;
    t->active += used;
    t->size += size;
    t->reclaimable += used ? 0 : size;
}

struct df_total df_cache_total(const struct df *d)
{
    struct df_total t = {.type = "Build Cache"};
    for (size_t i = 0; i < d->sizes.n_layers; i++)
        if (df_is_cache(&d->sizes.layers[i]))
            add(&t, d->sizes.layers[i].containers, d->sizes.layers[i].bytes);
    for (size_t i = 0; i < d->n_mounts; i++)
        add(&t, d->mounts[i].used, df_mount_size(d, i)->bytes);
    return t;
}

/* Their files have sizes but no data: what they take are blocks. */
struct df_total df_shifted_total(const struct df *d)
{
    struct df_total t = {.type = "Shifted Trees"};
    for (size_t i = 0; i < d->n_shifted; i++)
        add(&t, d->shifted[i].used, df_shifted_size(d, i)->disk);
    return t;
}

static json_t *cache_row(const char *id, const char *type, uint64_t bytes, bool used)
{
    char size[32];
    return json_pack("{s:s%, s:s, s:s, s:b}", "CacheID", id, strnlen(id, 12), "CacheType", type,
                     "Size", cli_size_text(bytes, size), "InUse", used);
}

json_t *df_cache_rows(const struct df *d)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < d->sizes.n_layers; i++) {
        const struct store_layer_size *l = &d->sizes.layers[i];
        if (df_is_cache(l))
            json_array_append_new(rows, cache_row(l->hex, "regular", l->bytes, l->containers));
    }
    for (size_t i = 0; i < d->n_mounts; i++)
        json_array_append_new(rows, cache_row(d->mounts[i].name, "exec.cachemount",
                                              df_mount_size(d, i)->bytes, d->mounts[i].used));
    return rows;
}

json_t *df_shifted_rows(const struct df *d)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < d->n_shifted; i++) {
        const struct store_tree *t = &d->shifted[i];
        char size[32], human[64];
        time_human(time_now_ns() - t->wanted * INT64_C(1000000000), human, sizeof(human));
        json_t *row = json_pack("{s:s%, s:s, s:s, s:b}", "LayerID", t->hex, (size_t)12, "Kind",
                                str_after(t->name, "map-") ? "metadata" : "copy", "Size",
                                cli_size_text(df_shifted_size(d, i)->disk, size), "InUse", t->used);
        json_object_set_new(row, "LastUsed",
                            t->wanted ? json_sprintf("%s ago", human) : json_string("N/A"));
        json_array_append_new(rows, row);
    }
    return rows;
}
