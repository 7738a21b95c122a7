/* ids - the arithmetic between the map that layers were unpacked under and a container's. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "mounts/tree.h"
#include "storage/storage-priv.h"

static bool idmap_same(const struct idmap *a, const struct idmap *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (a->v[i].inside != b->v[i].inside || a->v[i].outside != b->v[i].outside ||
            a->v[i].count != b->v[i].count)
            return false;
    }
    return true;
}

bool shift_needed(const struct userns_map *from, const struct userns_map *to)
{
    /* With one id only, every file is the user's whatever it is called inside. */
    if (!from || !to || from->single || to->single)
        return false;
    return !idmap_same(&from->uid, &to->uid) || !idmap_same(&from->gid, &to->gid);
}

static int shift_one(const struct storage_shift *s, const char *what, const struct idmap *from,
                     const struct idmap *to, uint32_t *id, struct err *e)
{
    int64_t image = s->direct ? idmap_to_inside(from, *id) : *id;
    int64_t host = image < 0 ? -1 : idmap_to_host(to, (uint32_t)image);
    if (host < 0) {
        int r = err_msg(e, EOVERFLOW, "%s %lld of the image is not in the container's id map", what,
                        image < 0 ? (long long)*id : (long long)image);
        return err_hint(e, r, "Use a larger range (--userns=auto:size=65536) or the default map.");
    }
    int64_t seen = s->direct ? host : idmap_to_inside(from, (uint32_t)host);
    if (seen < 0)
        return err_msg(e, EOVERFLOW, "host %s %lld is not one of your subordinate ids", what,
                       (long long)host);
    *id = (uint32_t)seen;
    return 0;
}

int shift_ids(void *data, uint32_t *uid, uint32_t *gid, struct err *e)
{
    const struct storage_shift *s = data;
    uint32_t u = *uid, g = *gid;
    int r = shift_one(s, "uid", &s->from->uid, &s->to->uid, &u, e);
    if (r == 0)
        r = shift_one(s, "gid", &s->from->gid, &s->to->gid, &g, e);
    if (r < 0)
        return r;
    *uid = u;
    *gid = g;
    return 0;
}

int shift_setup(const struct storage_shift *s, struct tree_copy *t, struct err *e)
{
    if (!s)
        return 0;
    uint32_t root = 0;
    if (s->direct) {
        int64_t host = idmap_to_host(&s->from->uid, 0);
        root = host < 0 ? 0 : (uint32_t)host;
    }
    int r = shift_one(s, "uid", &s->from->uid, &s->to->uid, &root, e);
    if (r < 0)
        return r;
    t->shift = shift_ids;
    t->data = (void *)(uintptr_t)s;
    t->new_caps_root = true;
    t->caps_root = root;
    return 0;
}

static uint64_t hash_idmap(uint64_t h, const struct idmap *m)
{
    for (size_t i = 0; i < m->n; i++) {
        uint32_t line[3] = {m->v[i].inside, m->v[i].outside, m->v[i].count};
        const unsigned char *p = (const unsigned char *)line;
        for (size_t k = 0; k < sizeof(line); k++)
            // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): all of line is set
            h = (h ^ p[k]) * 0x100000001b3u; /* FNV-1a */
    }
    return (h ^ 0xff) * 0x100000001b3u;
}

void shift_hash(const struct storage_shift *s, char ret[static 17])
{
    uint64_t h = 0xcbf29ce484222325u;
    const struct userns_map *maps[] = {s->from, s->to};
    for (size_t i = 0; i < N_ELEMENTS(maps); i++) {
        h = hash_idmap(h, &maps[i]->uid);
        h = hash_idmap(h, &maps[i]->gid);
    }
    snprintf(ret, 17, "%016llx", (unsigned long long)h);
}

int run_as_owner(const struct userns_map *map, int (*fn)(void *data, struct err *e), void *data,
                 struct err *e)
{
    if (geteuid() == 0)
        return fn(data, e);
    return userns_run(map, 0, fn, data, e);
}
