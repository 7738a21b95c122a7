/* measure - how much the writable parts of containers and volumes hold. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storage/storage-priv.h"

struct measuring {
    struct storage_tree *v;
    size_t n;
    struct fs_size *shared; /* where the child puts its answers */
};

static int measure_hidden(void *data, struct err *e)
{
    struct measuring *m = data;
    (void)e;
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].size.hidden)
            fs_tree_size(AT_FDCWD, m->v[i].path, &m->shared[i]);
    return 0;
}

static int measure_as_owner(struct measuring *m, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    int r = userns_map_default(&map, e);
    if (r == 0)
        r = userns_run(&map, 0, measure_hidden, m, e);
    for (size_t i = 0; r == 0 && i < m->n; i++)
        if (m->v[i].size.hidden)
            m->v[i].size = m->shared[i];
    return r;
}

int storage_measure(struct storage_tree *v, size_t n, struct err *e)
{
    bool hidden = false;
    for (size_t i = 0; i < n; i++) {
        fs_tree_size(AT_FDCWD, v[i].path, &v[i].size);
        hidden |= v[i].size.hidden;
    }
    if (!hidden || geteuid() == 0)
        return 0;
    size_t bytes = n * sizeof(struct fs_size);
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return err_set(e, errno, "measure trees");
    struct measuring m = {v, n, shared};
    int r = measure_as_owner(&m, e);
    munmap(shared, bytes);
    return r < 0 ? err_add(e, r, "measure what subordinate ids own") : 0;
}
