#include "image/trees.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "image/ref.h"

#define HASH 16
#define RECORD_MAX (16u << 20)

/* Length of the name that the text begins with, or 0. */
static size_t name_len(const char *text)
{
    size_t kind = str_after(text, "map-") ? 4 : str_after(text, "copy-") ? 5 : 0;
    return kind && strspn(text + kind, "0123456789abcdef") == HASH ? kind + HASH : 0;
}

bool store_is_tree(const char *name)
{
    size_t len = name_len(name);
    return len && !name[len];
}

/* NULL: there is none, or e says why. */
static DIR *open_dir(int dir_fd, const char *name, int *ret, struct err *e)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    *ret = d || errno == ENOENT || errno == ENOTDIR ? 0 : err_set(e, errno, "open %s", name);
    if (!d && fd >= 0)
        close(fd);
    return d;
}

int store_trees_used(int root_fd, char ***ret, struct err *e)
{
    int r = 0;
    scoped_dir DIR *d = open_dir(root_fd, "containers", &r, e);
    for (struct dirent *de; r == 0 && d && (de = fs_next_entry(d, &r));) {
        scoped_free char *file = xasprintf("%s/container.json", de->d_name), *text = NULL;
        ssize_t n = *de->d_name == '.' ? -ENOENT : fs_read(dirfd(d), file, RECORD_MAX, &text, e);
        if (n < 0 && n != -ENOENT)
            return (int)n;
        for (const char *p = n > 0 ? text : NULL; p && (p = strchr(p, '/')); p++) {
            size_t len = name_len(p + 1);
            if (len)
                strv_take(ret, xstrndup(p + 1, len));
        }
    }
    return r;
}

struct found {
    struct store_tree *v;
    size_t n;
    char **used;
};

static void look_beside(const struct conf *c, int layers_fd, const char *hex, struct found *f)
{
    int r = 0;
    scoped_dir DIR *d = open_dir(layers_fd, hex, &r, NULL);
    for (struct dirent *de; d && (de = readdir(d));) {
        struct stat st;
        if (!store_is_tree(de->d_name))
            continue;
        f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
        struct store_tree *t = &f->v[f->n++];
        *t =
            (struct store_tree){.name = xstrdup(de->d_name), .used = strv_has(f->used, de->d_name)};
        memcpy(t->hex, hex, DIGEST_HEX + 1);
        t->path = xasprintf("%s/layers/%s/%s", c->root, hex, de->d_name);
        scoped_free char *note = xasprintf("%s/used", de->d_name);
        if (fstatat(dirfd(d), note, &st, AT_SYMLINK_NOFOLLOW) == 0)
            t->wanted = st.st_mtime;
    }
}

int store_trees(const struct conf *c, struct store_tree **ret, size_t *ret_n, struct err *e)
{
    struct found f = {.n = 0};
    int r = 0;
    scoped_fd int root = conf_open_root(c, "", false, NULL);
    *ret = NULL;
    *ret_n = 0;
    if (root < 0)
        return root == -ENOENT ? 0 : err_set(e, -root, "open %s", c->root);
    scoped_dir DIR *d = open_dir(root, "layers", &r, e);
    r = r < 0 ? r : store_trees_used(root, &f.used, e);
    for (struct dirent *de; r == 0 && d && (de = fs_next_entry(d, &r));)
        if (strlen(de->d_name) == DIGEST_HEX)
            look_beside(c, dirfd(d), de->d_name, &f);
    strv_free(f.used);
    if (r < 0) {
        store_trees_free(f.v, f.n);
        return r;
    }
    *ret = f.v;
    *ret_n = f.n;
    return 0;
}

void store_trees_free(struct store_tree *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].name);
        free(v[i].path);
    }
    free(v);
}
