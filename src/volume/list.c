/* list - which volumes there are. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "base/id.h"
#include "base/opt.h"
#include "base/str.h"
#include "base/strv.h"
#include "volume/volume-priv.h"

/* The entries of ROOT/volumes: volumes, or what removals left. */
static char **entries(const struct conf *c, bool debris)
{
    char **names = NULL;
    int fd = conf_open_root(c, "volumes", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return NULL;
    }
    struct dirent *ent;
    while ((ent = readdir(d)))
        if (debris ? str_after(ent->d_name, DIR_RM) != NULL : id_name_valid(ent->d_name))
            strv_add(&names, ent->d_name);
    strv_sort(names);
    return names;
}

char **volume_debris(const struct conf *c)
{
    return entries(c, true);
}

int volume_unknown(const struct conf *c, const char *name, struct err *e)
{
    scoped_strv char **names = entries(c, false);
    int r = err_msg(e, ENOENT, "no such volume: %s", name);
    const char *close = names ? opt_suggest(name, (const char *const *)names) : NULL;
    return close ? err_hint(e, r, "did you mean \"%s\"?", close) : r;
}

int volume_list(const struct conf *c, struct volume **ret, size_t *ret_n, struct err *e)
{
    scoped_strv char **names = entries(c, false);
    size_t n = 0;
    (void)e;
    struct volume *v = xcalloc(strv_len(names) + 1, sizeof(*v));
    for (char **name = names; name && *name; name++) {
        struct err ignored = ERR_INIT;
        scoped_fd int dir = volume_dir(c, *name, false, &ignored);
        if (dir >= 0 && volume_read(c, dir, *name, &v[n], &ignored) == 0)
            n++;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

void volume_list_free(struct volume *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        volume_release(&v[i]);
    free(v);
}
