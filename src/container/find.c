/* find - from what the user typed to a container; the list of all. */
#include "container/container-priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/opt.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"

#define LOST "its records were lost, as in a power cut: remove it"

/* Is this entry of containers/ a container? */
static bool is_container(const struct dirent *ent)
{
    return strlen(ent->d_name) == ID_LEN && id_is_hex(ent->d_name);
}

static int no_such(const struct conf *c, const char *ref, struct err *e)
{
    int r = err_msg(e, ENOENT, "no such container: \"%s\"", ref);
    scoped_strv char **names = name_list(c);
    /* What is asked of containers goes to the one that holds the pod. */
    scoped_free char *infra = xasprintf("%s-infra", ref);
    if (strv_has(names, infra))
        return err_hint(e, r, "there is a pod of this name, whose own container is %s", infra);
    const char *close = names ? opt_suggest(ref, (const char *const *)names) : NULL;
    return close ? err_hint(e, r, "did you mean \"%s\"?", close) : r;
}

/* The one id that begins with prefix: 1, 0 when none does, -EEXIST when several do. */
static int find_prefix(const struct conf *c, const char *prefix, char ret_id[static ID_LEN + 1],
                       struct err *e)
{
    int fd = conf_open_root(c, "containers", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return 0;
    }
    int found = 0, ended = 0;
    size_t len = strlen(prefix);
    struct dirent *ent;
    while ((ent = fs_next_entry(d, &ended))) {
        if (!is_container(ent) || memcmp(ent->d_name, prefix, len) != 0)
            continue;
        if (found++)
            return err_msg(e, EEXIST, "\"%s\" begins the ids of several containers", prefix);
        memcpy(ret_id, ent->d_name, ID_LEN + 1);
    }
    return ended < 0 ? err_set(e, -ended, "list the containers in %s", c->root) : found;
}

static int find_id(const struct conf *c, const char *ref, char ret_id[static ID_LEN + 1],
                   struct err *e)
{
    if (!ref || !*ref)
        return err_msg(e, EINVAL, "the name of a container is empty");
    int r = name_lookup(c, ref, ret_id, e);
    if (r != 0)
        return r;
    if (id_is_hex(ref))
        r = find_prefix(c, ref, ret_id, e);
    return r == 0 ? no_such(c, ref, e) : r;
}

/* What is known of a container whose records cannot be read. */
static void fill_broken(const struct conf *c, const char *id, const struct err *why,
                        struct ctr_state *s)
{
    char uuid[37];
    id_uuid(id, uuid);
    if (!s->id) {
        char *name = name_of_id(c, id);
        *s = (struct ctr_state){
            .id = xstrdup(id), .uuid = xstrdup(uuid), .name = name ? name : xstrdup("")};
    }
    state_set_dead(s, why->msg);
}

/* Records are not synced: what was made just before a power cut may be there and empty. */
static bool records_lost(int containers_fd, const char *id)
{
    static const char *const names[] = {"container.json", "config.json"};
    struct stat st;
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        char path[ID_LEN + 32];
        snprintf(path, sizeof(path), "%s/%s", id, names[i]);
        if (fstatat(containers_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size == 0)
            return entry_exists(containers_fd, id);
    }
    return false;
}

int container_open_id(const struct conf *c, const char *id, struct container *ret, struct err *e)
{
    scoped_fd int containers_fd = conf_open_root(c, "containers", false, e);
    if (containers_fd < 0)
        return containers_fd;
    scoped_fd int dir_fd = openat(containers_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? err_msg(e, ENOENT, "no such container: \"%.12s\"", id)
                               : err_set(e, errno, "open container %.12s", id);

    struct container ctr = {.dir_fd = -1};
    struct err why = ERR_INIT;
    memcpy(ctr.id, id, ID_LEN + 1);
    if (container_read_state(dir_fd, &ctr.state, &why) < 0)
        fill_broken(c, id, &why, &ctr.state);
    else
        container_derive(c, &ctr.state);
    if (container_read_record(dir_fd, &ctr.rec, &why) < 0) {
        fill_broken(c, id, &why, &ctr.state);
        ctr.rec = (struct ctr_record){
            .version = RECORD_VERSION, .id = xstrdup(id), .name = xstrdup(ctr.state.name)};
    } else if (records_lost(containers_fd, id)) {
        state_set_dead(&ctr.state, LOST);
    }
    ctr.dir_fd = take_fd(&dir_fd);
    *ret = ctr;
    return 0;
}

int container_open(const struct conf *c, const char *ref, struct container *ret, struct err *e)
{
    char id[ID_LEN + 1];
    int r = find_id(c, ref, id, e);
    if (r < 0)
        return r;
    struct err inner = ERR_INIT;
    r = container_open_id(c, id, ret, &inner);
    if (r == 0 && rename_unfinished(ret->dir_fd)) {
        container_release(ret);
        rename_recover(c, id);
        r = container_open_id(c, id, ret, &inner);
    }
    if (r == -ENOENT) /* a name that an interrupted removal left */
        return no_such(c, ref, e);
    if (r < 0 && e)
        *e = inner;
    return r;
}

static int newest_first(const void *a, const void *b)
{
    const struct ctr_state *x = a, *y = b;
    if (x->created_ns != y->created_ns)
        return x->created_ns < y->created_ns ? 1 : -1;
    return strcmp(x->id, y->id);
}

/* A listing under way. The buffer is reused from one container to the next. */
struct listing {
    const struct conf *conf;
    int containers_fd;
    char boot_id[40];
    char *buf;
};
#define LIST_BUF (16u << 10)

/* Reads ID/state.json: 1, or 0 when it went away meanwhile. */
static int list_one(const struct listing *l, const char *id, struct ctr_state *ret)
{
    char path[ID_LEN + sizeof("/state.json")];
    memcpy(path, id, ID_LEN);
    memcpy(path + ID_LEN, "/state.json", sizeof("/state.json"));
    struct err why = ERR_INIT;
    *ret = (struct ctr_state){0};

    int r = 0;
    scoped_fd int fd = openat(l->containers_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        if (errno == ENOENT && !entry_exists(l->containers_fd, id))
            return 0;
        r = err_set(&why, errno, "open state.json");
    } else {
        ssize_t n = read(fd, l->buf, LIST_BUF);
        if (n >= 0 && (size_t)n < LIST_BUF) {
            r = state_parse(l->buf, (size_t)n, ret, &why);
        } else { /* larger than any that we wrote */
            scoped_free char *text = NULL;
            ssize_t size = fs_read(l->containers_fd, path, RECORD_MAX_BYTES, &text, &why);
            r = size < 0 ? (int)size : state_parse(text, (size_t)size, ret, &why);
        }
    }
    if (r == 0 && !streq(ret->id, id)) {
        ctr_state_release(ret);
        r = err_msg(&why, EINVAL, "state.json is that of another container");
    }
    if (r < 0)
        fill_broken(l->conf, id, &why, ret);
    else if (!streq(ret->boot_id, l->boot_id) && records_lost(l->containers_fd, id))
        state_set_dead(ret, LOST);
    else
        derive_state(l->conf, l->boot_id, ret);
    return 1;
}

int container_list(const struct conf *c, struct ctr_state **ret, size_t *ret_n, struct err *e)
{
    *ret = NULL;
    *ret_n = 0;
    scoped_fd int containers_fd = conf_open_root(c, "containers", false, NULL);
    if (containers_fd == -ENOENT)
        return 0;
    if (containers_fd < 0)
        return err_set(e, -containers_fd, "open the directory of containers in %s", c->root);
    int own = openat(containers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = own >= 0 ? fdopendir(own) : NULL;
    if (!d)
        return err_set(e, errno, "list the containers in %s", c->root);

    scoped_strv char **debris = NULL;
    scoped_free char *buf = xmalloc(LIST_BUF);
    struct listing l = {.conf = c, .containers_fd = containers_fd, .buf = buf};
    (void)!proc_boot_id(l.boot_id);
    struct ctr_state *v = NULL;
    size_t n = 0, alloc = 0;
    int ended = 0;
    struct dirent *ent;
    while ((ent = fs_next_entry(d, &ended))) {
        if (str_after(ent->d_name, DIR_RM) || str_after(ent->d_name, DIR_TMP))
            strv_add(&debris, ent->d_name);
        if (!is_container(ent))
            continue;
        if (n == alloc)
            v = xrealloc(v, (alloc = alloc ? alloc * 2 : 64) * sizeof(*v));
        n += (size_t)list_one(&l, ent->d_name, &v[n]);
    }
    for (char **p = debris; p && *p; p++)
        sweep_debris(c, containers_fd, *p);
    if (ended < 0) {
        container_list_free(v, n);
        return err_set(e, -ended, "list the containers in %s", c->root);
    }
    if (n)
        qsort(v, n, sizeof(*v), newest_first);
    *ret = v;
    *ret_n = n;
    return 0;
}

void container_list_free(struct ctr_state *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ctr_state_release(&v[i]);
    free(v);
}

int container_open_latest(const struct conf *c, struct container *ret, struct err *e)
{
    struct ctr_state *v = NULL;
    size_t n = 0;
    int r = container_list(c, &v, &n, e);
    if (r < 0)
        return r;
    r = n ? container_open_id(c, v[0].id, ret, e) : err_msg(e, ENOENT, "there is no container");
    container_list_free(v, n);
    return r;
}
