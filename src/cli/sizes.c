#include "cli/sizes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"
#include "storage/storage.h"

char *cli_size_text(uint64_t bytes, char *buf)
{
    size_human(bytes, buf, 32);
    char *blank = strchr(buf, ' ');
    if (blank)
        memmove(blank, blank + 1, strlen(blank));
    return buf;
}

/* Where the drivers keep what a container may write: by place, so that a record that is damaged
 * leads nowhere else. */
static const char *const parts[] = {"upper", "rootfs"};

static void take_record(struct ctr_size *s)
{
    scoped_container struct container c = {.dir_fd = -1};
    struct err ignored = ERR_INIT;
    if (container_open_id(cli_conf(), s->id, &c, &ignored) < 0)
        return;
    s->image_id = take_ptr(c.rec.image_id);
    s->layers = take_ptr(c.rec.image_layers);
    for (size_t i = 0; i < c.rec.n_volumes; i++)
        if (c.rec.volumes[i].name)
            strv_add(&s->volumes, c.rec.volumes[i].name);
}

static void count_layers(struct ctr_sizes *all, struct ctr_size *s, bool copied)
{
    s->root = s->rw;
    for (char **l = s->layers; l && *l; l++) {
        struct store_layer_size *size = store_layer_size_of(all->layers, all->n_layers, *l);
        if (!size)
            continue;
        size->containers++;
        s->root += copied ? 0 : size->bytes;
    }
}

static void tree_paths(struct storage_tree *t, const char *id)
{
    scoped_free char *dir = container_dir(cli_conf(), id);
    for (size_t k = 0; k < N_ELEMENTS(parts); k++)
        t[k].path = xasprintf("%s/%s", dir, parts[k]);
}

int cli_sizes(char *const *ids, struct storage_tree *more, size_t n_more, struct ctr_sizes *ret,
              struct err *e)
{
    size_t n = strv_len(ids), n_own = n * N_ELEMENTS(parts);
    scoped_free struct storage_tree *trees = xcalloc(n_own + n_more + 1, sizeof(*trees));
    *ret = (struct ctr_sizes){.v = xcalloc(n + 1, sizeof(*ret->v)), .n = n};
    for (size_t i = 0; ids && ids[i]; i++) {
        ret->v[i].id = xstrdup(ids[i]);
        tree_paths(&trees[i * N_ELEMENTS(parts)], ids[i]);
        take_record(&ret->v[i]);
    }
    for (size_t i = 0; i < n_more; i++)
        trees[n_own + i] = more[i];
    struct err why = ERR_INIT;
    if (storage_measure(trees, n_own + n_more, &why) < 0) {
        scoped_free char *text = xasprintf("sizes are too small: %s", why.msg);
        cli_notice(text);
    }
    int r = store_layer_sizes(cli_conf(), &ret->layers, &ret->n_layers, e);
    for (size_t i = 0; i < n; i++) {
        struct storage_tree *t = &trees[i * N_ELEMENTS(parts)];
        ret->v[i].rw = t[0].size.bytes + t[1].size.bytes;
        count_layers(ret, &ret->v[i], t[1].size.bytes > 0);
        free(t[0].path);
        free(t[1].path);
    }
    for (size_t i = 0; i < n_more; i++)
        more[i] = trees[n_own + i];
    return r;
}

void ctr_sizes_release(struct ctr_sizes *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->v[i].id);
        free(s->v[i].image_id);
        strv_free(s->v[i].layers);
        strv_free(s->v[i].volumes);
    }
    free(s->v);
    free(s->layers);
    *s = (struct ctr_sizes){0};
}

static json_t *size_json(const struct ctr_size *s, bool json)
{
    char rw[32], root[32];
    if (json)
        return json_pack("{s:I, s:I}", "rootFsSize", (json_int_t)s->root, "rwSize",
                         (json_int_t)s->rw);
    return json_sprintf("%s (virtual %s)", cli_size_text(s->rw, rw), cli_size_text(s->root, root));
}

int cli_size_rows(json_t *rows, bool json, struct err *e)
{
    scoped_ctr_sizes struct ctr_sizes sizes = {0};
    scoped_strv char **ids = NULL;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) strv_add(&ids, json_string_value(json_object_get(row, "Id")));
    int r = cli_sizes(ids, NULL, 0, &sizes, e);
    for (i = 0; r == 0 && i < sizes.n; i++)
        json_object_set_new(json_array_get(rows, i), "Size", size_json(&sizes.v[i], json));
    return r;
}
