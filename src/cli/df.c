/* df - system df: what images, containers and volumes hold, and what of it nobody needs. */
#include "cli/df.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/lock.h"
#include "cli/cli.h"
#include "format/format.h"

struct df_opts {
    bool verbose;
    char *format;
};

static const struct opt df_table[] = {
    {"format", 0, OPT_STRING, offsetof(struct df_opts, format), "TEMPLATE",
     "json, jsonl, table ..., or a Go template"},
    {"verbose", 'v', OPT_FLAG, offsetof(struct df_opts, verbose), NULL,
     "Each image, container, volume, part of the build cache and shifted tree"},
    {NULL},
};

static size_t n_trees(const struct df *d)
{
    return d->n_volumes + d->n_shifted + d->n_mounts;
}

void df_release(struct df *d)
{
    container_list_free(d->states, d->n_states);
    ctr_sizes_release(&d->sizes);
    store_list_free(d->images, d->n_images);
    for (size_t i = 0; d->trees && i < n_trees(d); i++)
        free(d->trees[i].path);
    for (size_t i = 0; i < d->n_mounts; i++)
        free(d->mounts[i].name);
    free(d->mounts);
    store_trees_free(d->shifted, d->n_shifted);
    volume_list_free(d->volumes, d->n_volumes);
    free(d->trees);
    *d = (struct df){0};
}

unsigned df_image_users(const struct df *d, const struct store_image *i)
{
    unsigned n = 0;
    for (size_t k = 0; k < d->sizes.n; k++)
        n += streq(d->sizes.v[k].image_id, i->id);
    return n;
}

unsigned df_volume_users(const struct df *d, const struct volume *v)
{
    unsigned n = 0;
    for (size_t k = 0; k < d->sizes.n; k++)
        n += strv_has(d->sizes.v[k].volumes, v->name);
    return n;
}

static void count_layer(struct df *d, const struct store_image *i, const char *diff_id)
{
    struct store_layer_size *size =
        store_layer_size_of(d->sizes.layers, d->sizes.n_layers, diff_id);
    if (!size)
        return;
    size->images++;
    size->steps += df_is_step(i);
}

/* In which images each layer is, once for each. The tree of directories is no layer to containers'
 * records: it is needed where its image is. */
static void count_images(struct df *d)
{
    for (size_t i = 0; i < d->n_images; i++) {
        const struct store_image *img = &d->images[i];
        for (char **l = img->layers; l && *l; l++) {
            bool again = false;
            for (char **k = img->layers; k < l; k++)
                again |= streq(*k, *l);
            if (!again)
                count_layer(d, img, *l);
        }
        if (!img->dirs)
            continue;
        count_layer(d, img, img->dirs);
        struct store_layer_size *size =
            store_layer_size_of(d->sizes.layers, d->sizes.n_layers, img->dirs);
        if (size)
            size->containers += df_image_users(d, img);
    }
}

/* What lies in additional stores is not ours to reclaim. */
static void drop_others(struct df *d)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->n_images; i++) {
        if (d->images[i].store && !d->images[i].is_copied)
            store_image_release(&d->images[i]);
        else
            d->images[kept++] = d->images[i];
    }
    d->n_images = kept;
}

static void take_paths(struct df *d)
{
    size_t n = 0;
    d->trees = xcalloc(n_trees(d) + 1, sizeof(*d->trees));
    for (size_t i = 0; i < d->n_volumes; i++)
        d->trees[n++].path = xstrdup(d->volumes[i].path);
    for (size_t i = 0; i < d->n_shifted; i++)
        d->trees[n++].path = xstrdup(d->shifted[i].path);
    for (size_t i = 0; i < d->n_mounts; i++)
        d->trees[n++].path = xasprintf("%s/build/mounts/%s", cli_conf()->root, d->mounts[i].name);
}

int df_load(struct df *ret, struct err *e)
{
    scoped_strv char **ids = NULL;
    struct df d SCOPED(df_release) = {0};
    int r = container_list(cli_conf(), &d.states, &d.n_states, e);
    for (size_t i = 0; r == 0 && i < d.n_states; i++)
        strv_add(&ids, d.states[i].id);
    if (r == 0)
        r = store_list(cli_conf(), &d.images, &d.n_images, e);
    if (r == 0)
        drop_others(&d);
    if (r == 0)
        r = volume_list(cli_conf(), &d.volumes, &d.n_volumes, e);
    if (r == 0)
        r = df_load_cache(&d, e);
    if (r < 0)
        return r;
    take_paths(&d);
    r = cli_sizes(ids, d.trees, n_trees(&d), &d.sizes, e);
    if (r < 0)
        return r;
    count_images(&d);
    *ret = d;
    d = (struct df){0};
    return 0;
}

static json_t *total_row(const struct df_total *t)
{
    char size[32], free_size[32];
    unsigned percent = t->size ? (unsigned)(100.0 * (double)t->reclaimable / (double)t->size) : 0;
    json_t *row = json_pack("{s:s, s:i, s:i, s:i, s:s, s:I, s:I}", "Type", t->type, "Total",
                            (int)t->total, "TotalCount", (int)t->total, "Active", (int)t->active,
                            "Size", cli_size_text(t->size, size), "RawSize", (json_int_t)t->size,
                            "RawReclaimable", (json_int_t)t->reclaimable);
    json_object_set_new(
        row, "Reclaimable",
        json_sprintf("%s (%u%%)", cli_size_text(t->reclaimable, free_size), percent));
    return row;
}

/* Each layer once, however many images have it; what no container needs could go. Steps of builds
 * are listed by images -a alone, and are cache. */
static json_t *image_row(const struct df *d)
{
    struct df_total t = {.type = "Images"};
    for (size_t i = 0; i < d->n_images; i++) {
        if (df_is_step(&d->images[i]))
            continue;
        t.total++;
        t.active += df_image_users(d, &d->images[i]) > 0;
    }
    for (size_t i = 0; i < d->sizes.n_layers; i++) {
        const struct store_layer_size *l = &d->sizes.layers[i];
        if (df_is_cache(l))
            continue;
        t.size += l->bytes;
        t.reclaimable += l->containers ? 0 : l->bytes;
    }
    return total_row(&t);
}

static json_t *container_row(const struct df *d)
{
    struct df_total t = {.type = "Containers", .total = (unsigned)d->n_states};
    for (size_t i = 0; i < d->n_states; i++) {
        bool alive = ctr_state_alive(&d->states[i]);
        t.active += alive;
        t.size += d->sizes.v[i].rw;
        t.reclaimable += alive ? 0 : d->sizes.v[i].rw;
    }
    return total_row(&t);
}

static json_t *volume_row(const struct df *d)
{
    struct df_total t = {.type = "Local Volumes", .total = (unsigned)d->n_volumes};
    for (size_t i = 0; i < d->n_volumes; i++) {
        bool used = df_volume_users(d, &d->volumes[i]) > 0;
        t.active += used;
        t.size += d->trees[i].size.bytes;
        t.reclaimable += used ? 0 : d->trees[i].size.bytes;
    }
    return total_row(&t);
}

/* What interrupted pulls could go on with; NULL: nothing. */
static json_t *download_row(void)
{
    struct df_total t = {.type = "Downloads"};
    int fd = conf_open_root(cli_conf(), "ingest", false, NULL);
    scoped_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *de; dir && (de = readdir(dir));) {
        struct stat st;
        if (!str_ends(de->d_name, ".part") ||
            fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        scoped_free char *lock = xasprintf("%.*s.lock", (int)strlen(de->d_name) - 5, de->d_name);
        bool active = lock_held(dirfd(dir), lock) > 0;
        t.total++;
        t.active += active;
        t.size += (uint64_t)st.st_blocks * 512;
        t.reclaimable += active ? 0 : (uint64_t)st.st_blocks * 512;
    }
    return t.total ? total_row(&t) : NULL;
}

static const char *const headers[] = {"TotalCount=TOTAL", NULL};

static int df_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct df_opts *o = opts;
    struct df d SCOPED(df_release) = {0};
    scoped_str struct str out = STR_INIT;
    (void)cmd, (void)args;
    int r = df_load(&d, e);
    if (r < 0 || o->verbose)
        return r < 0 ? r : df_print_verbose(&d, o->format, e);
    struct df_total cache = df_cache_total(&d), shifted = df_shifted_total(&d);
    scoped_json json_t *rows = json_pack("[o, o, o, o]", image_row(&d), container_row(&d),
                                         volume_row(&d), total_row(&cache));
    if (shifted.total)
        json_array_append_new(rows, total_row(&shifted));
    json_t *downloads = download_row();
    if (downloads)
        json_array_append_new(rows, downloads);
    struct format_options f = {
        o->format, "table {{.Type}}\t{{.Total}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}", headers,
        false};
    r = format_rows(&f, rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

const struct cmd cli_df_cmds[] = {
    {
        .name = "system df",
        .args = "",
        .summary = "Show how much images, containers, volumes and the build cache hold",
        .opts = df_table,
        .opts_size = sizeof(struct df_opts),
        .run = df_command,
        .details =
            "A layer that several images share counts once. RECLAIMABLE is what goes when "
            "everything is removed that no container, or no running one, needs. Build Cache is "
            "what 'builder prune' removes. Shifted Trees are images' files for --userns=keep-id "
            "and other id maps: 'image prune -a' removes those that no container uses. Downloads "
            "are what interrupted pulls could go on with: 'image prune --partial' removes them.",
        .examples = "rootlet system df\nrootlet system df -v",
    },
    {NULL},
};
