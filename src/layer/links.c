#include "layer/links.h"

#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct link {
    struct link_key key;
    char path[];
};

static int order(const void *a, const void *b)
{
    const struct link_key *x = a, *y = b;

    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    if (x->born.tv_sec != y->born.tv_sec)
        return x->born.tv_sec < y->born.tv_sec ? -1 : 1;
    return x->born.tv_nsec < y->born.tv_nsec ? -1 : x->born.tv_nsec > y->born.tv_nsec;
}

struct link_key link_key_of(int fd, const char *name, const struct stat *st)
{
    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
    struct link_key key = {.dev = st->st_dev, .ino = st->st_nlink < 2 ? 0 : st->st_ino};
    struct statx x;

    if (key.ino == 0)
        return key;
    if (statx(fd, name, flags, STATX_BTIME, &x) == 0 && (x.stx_mask & STATX_BTIME))
        key.born = x.stx_btime;
    else
        key.born = (struct statx_timestamp){.tv_sec = st->st_ctim.tv_sec,
                                            .tv_nsec = (uint32_t)st->st_ctim.tv_nsec};
    return key;
}

const char *links_find(void *const *links, const struct link_key *key)
{
    struct link **found = key->ino ? tfind(key, links, order) : NULL;

    return found ? (*found)->path : NULL;
}

void links_add(void **links, const struct link_key *key, const char *path)
{
    size_t n = strlen(path) + 1;
    struct link *l;

    if (key->ino == 0)
        return;
    l = xmalloc(sizeof(*l) + n);
    l->key = *key;
    memcpy(l->path, path, n);
    if (*(struct link **)tsearch(l, links, order) != l)
        free(l);
}

void links_release(void *links)
{
    tdestroy(links, free);
}
