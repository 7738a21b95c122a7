#include "imagetool/gc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/log.h"
#include "image/pin.h"
#include "image/ref.h"
#include "image/rows.h"
#include "imagetool/idmap.h"
#include "layer/layer.h"

#define RECORD_MAX (16u << 20)
#define PART_KEPT_S (7 * 24 * 3600)

/* Digests that something refers to. */
struct marks {
    char **v;
    size_t n, alloc;
    bool sorted;
};

static void marks_release(struct marks *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->v[i]);
    free(m->v);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool marked(struct marks *m, const char *hex)
{
    if (!m->sorted && m->n)
        qsort(m->v, m->n, sizeof(*m->v), compare);
    m->sorted = true;
    return m->n && bsearch(&hex, m->v, m->n, sizeof(*m->v), compare);
}

/* Every run of 64 hex digits counts, whatever member it stands in: a record of a later version
 * keeps what it needs, and nothing in use is ever deleted for a misread field. */
static void mark_text(struct marks *m, const char *text)
{
    for (const char *p = text; *p;) {
        size_t n = strspn(p, "0123456789abcdef");
        if (n == DIGEST_HEX) {
            if (m->n == m->alloc) {
                m->alloc = m->alloc ? m->alloc * 2 : 64;
                m->v = xrealloc(m->v, m->alloc * sizeof(*m->v));
            }
            m->v[m->n++] = xstrndup(p, n);
            m->sorted = false;
        }
        p += n ? n : 1;
    }
}

int gc_each(int root_fd, const char *dir, gc_entry *fn, void *data, struct err *e)
{
    int fd = openat(root_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "open %s", dir);
    scoped_dir DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return err_set(e, ENOMEM, "read %s", dir);
    }
    int r = 0, ended = 0;
    for (struct dirent *de; r == 0 && (de = fs_next_entry(d, &ended));)
        if (de->d_name[0] != '.')
            r = fn(dirfd(d), de->d_name, data, e);
    return r == 0 && ended < 0 ? err_set(e, -ended, "read %s", dir) : r;
}

static int mark_file(int dir_fd, const char *name, void *data, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(dir_fd, name, RECORD_MAX, &text, e);
    if (n == -ENOENT)
        return 0;
    if (n < 0)
        return (int)n;
    mark_text(data, text);
    return 0;
}

static int mark_tags(int dir_fd, const char *name, void *data, struct err *e)
{
    return gc_each(dir_fd, name, mark_file, data, e);
}

static int mark_container(int dir_fd, const char *name, void *data, struct err *e)
{
    scoped_free char *file = xasprintf("%s/container.json", name);
    return mark_file(dir_fd, file, data, e);
}

/* What a command under way relies on. */
static int mark_pin(int dir_fd, const char *name, void *data, struct err *e)
{
    scoped_free char *file = xasprintf("%s/wants", name);
    scoped_fd int dead = -1;
    if (!store_stage_is_live(dir_fd, name, &dead))
        return 0;
    return mark_file(dir_fd, file, data, e);
}

/* Pins first: who gives one up has made a reference before, which is seen then. */
static int mark_all(int root_fd, struct marks *m, struct err *e)
{
    int r = gc_each(root_fd, "ingest", mark_pin, m, e);
    r = r < 0 ? r : gc_each(root_fd, "images", mark_file, m, e);
    r = r < 0 ? r : gc_each(root_fd, "refs", mark_tags, m, e);
    return r < 0 ? r : gc_each(root_fd, "containers", mark_container, m, e);
}

int gc_to_trash(int dir_fd, const char *name, int root_fd)
{
    char dest[32] = "trash/";
    id_random_hex(dest + strlen(dest), 16);
    if (mkdirat(root_fd, "trash", 0700) < 0 && errno != EEXIST)
        return -errno;
    return renameat2(dir_fd, name, root_fd, dest, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

struct sweep {
    struct marks *marks; /* NULL: nothing is in use */
    int root_fd;
};

static int sweep_entry(int dir_fd, const char *name, void *data, struct err *e)
{
    struct sweep *s = data;
    if (s->marks && (strlen(name) != DIGEST_HEX || marked(s->marks, name)))
        return 0;
    int r = gc_to_trash(dir_fd, name, s->root_fd);
    return r < 0 && r != -ENOENT ? err_set(e, -r, "move %s to trash", name) : 0;
}

/* A download is HEX.part, its lock HEX.lock beside it. */
static bool is_download(int dir_fd, const char *name)
{
    const char *dot = strrchr(name, '.');
    struct stat st;
    if (!dot || (!streq(dot, ".part") && !streq(dot, ".lock")))
        return false;
    scoped_free char *lock = xasprintf("%.*s.lock", (int)(dot - name), name);
    scoped_free char *part = xasprintf("%.*s.part", (int)(dot - name), name);
    if (lock_held(dir_fd, lock) > 0)
        return true;
    return fstatat(dir_fd, part, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           st.st_mtime + PART_KEPT_S > time(NULL);
}

static int sweep_kept(int dir_fd, const char *name, struct sweep *s, struct err *e)
{
    SCOPED(marks_release) struct marks users = {0};
    scoped_free char *hex = xstrndup(name + strlen(GC_KEPT), DIGEST_HEX);
    int r = gc_each(s->root_fd, "containers", mark_container, &users, e);
    return r < 0 || marked(&users, hex) ? r : sweep_entry(dir_fd, name, s, e);
}

static int sweep_stage(int dir_fd, const char *name, void *data, struct err *e)
{
    scoped_fd int dead = -1;
    if (str_after(name, GC_KEPT))
        return sweep_kept(dir_fd, name, data, e);
    if (is_download(dir_fd, name) || store_stage_is_live(dir_fd, name, &dead))
        return 0;
    return sweep_entry(dir_fd, name, data, e);
}

/* What fs_write_atomic began: with the exclusive lock nobody is at it. */
static void sweep_temporaries(int root_fd, const char *dir)
{
    int fd = openat(root_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return;
    }
    for (struct dirent *de; (de = readdir(d));)
        if (str_after(de->d_name, ".tmp-"))
            unlinkat(dirfd(d), de->d_name, 0);
}

static int sweep_name(int dir_fd, const char *name, void *data, struct err *e)
{
    (void)data;
    (void)e;
    sweep_temporaries(dir_fd, name);
    unlinkat(dir_fd, name, AT_REMOVEDIR); /* fails while a tag is there */
    return 0;
}

/* What an interrupted command left half made. */
static int sweep_unfinished(int root_fd, struct err *e)
{
    struct sweep unused = {.root_fd = root_fd};
    sweep_temporaries(root_fd, ".");
    int r = gc_each(root_fd, "refs", sweep_name, NULL, e);
    return r < 0 ? r : gc_each(root_fd, "ingest", sweep_stage, &unused, e);
}

struct emptying {
    const struct conf *conf;
    struct layer_session *session;
};

/* Files of subordinate ids go only from inside the user namespace. */
static int empty_entry(int dir_fd, const char *name, void *data, struct err *e)
{
    struct emptying *x = data;
    int r = fs_remove_tree(dir_fd, name, NULL);
    if (r == 0)
        return 0;
    if (!x->session) {
        scoped_userns_map struct userns_map map = {0};
        r = idmap_stored(x->conf, &map, e);
        r = r < 0 ? r : layer_session_open(&map, NULL, &x->session, e);
        if (r < 0)
            return r;
    }
    return layer_remove(x->session, dir_fd, name, e);
}

static int empty_trash(const struct conf *c, int root_fd, struct err *e)
{
    struct emptying x = {.conf = c};
    int r = gc_each(root_fd, "trash", empty_entry, &x, e);
    layer_session_close(x.session);
    return r;
}

static int open_locked(const struct conf *c, int *ret_lock, struct err *e)
{
    int root = conf_open_root(c, "", false, NULL);
    if (root < 0)
        return root == -ENOENT ? root : err_set(e, -root, "open %s", c->root);
    *ret_lock = lock_take(root, "store.lock", LOCK_EXCLUSIVE, 0, NULL);
    return root;
}

void gc_sweep(const struct conf *c)
{
    scoped_fd int lock = -1, root = open_locked(c, &lock, NULL);
    struct err e = ERR_INIT;
    if (root < 0 || lock < 0)
        return; /* somebody works: what lies there may be theirs */
    int r = sweep_unfinished(root, &e);
    fd_close(&lock);
    if (r == 0)
        r = empty_trash(c, root, &e);
    if (r < 0)
        log_info("leftovers stay: %s", e.msg);
}

static bool is_pinned(void *pins, const char *hex)
{
    return marked(pins, hex);
}

int gc_run(const struct conf *c, bool all_trees, struct err *e)
{
    SCOPED(marks_release) struct marks marks = {0}, pins = {0};
    scoped_fd int lock = -1, root = open_locked(c, &lock, e);
    if (root < 0)
        return root == -ENOENT ? 0 : root;
    if (lock == -EWOULDBLOCK) {
        log_info("another process uses the store: unused layers stay until later");
        return 0;
    }
    if (lock < 0)
        return err_set(e, -lock, "lock %s/store.lock", c->root);
    struct sweep used = {.marks = &marks, .root_fd = root};
    int r = mark_all(root, &marks, e);
    r = r < 0 ? r : gc_each(root, "layers", sweep_entry, &used, e);
    r = r < 0 ? r : gc_each(root, "blobs/sha256", sweep_entry, &used, e);
    r = r < 0 ? r : gc_each(root, "ingest", mark_pin, &pins, e);
    r = r < 0 ? r : gc_trees(root, all_trees, is_pinned, &pins, e);
    r = r < 0 ? r : sweep_unfinished(root, e);
    fd_close(&lock);
    int r2 = empty_trash(c, root, r < 0 ? NULL : e);
    return r < 0 ? err_add(e, r, "collect garbage") : r2;
}

static int drop_part(int dir_fd, const char *name, void *data, struct err *e)
{
    struct stat st;
    (void)e;
    if (!str_ends(name, ".part") || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    scoped_free char *lock_name = xasprintf("%.*s.lock", (int)strlen(name) - 5, name);
    scoped_fd int lock = lock_take(dir_fd, lock_name, LOCK_EXCLUSIVE, 0, NULL);
    if (lock < 0)
        return 0; /* it is being fetched */
    if (unlinkat(dir_fd, name, 0) == 0)
        *(uint64_t *)data += (uint64_t)st.st_size;
    unlinkat(dir_fd, lock_name, 0);
    return 0;
}

int gc_partial(const struct conf *c, uint64_t *ret, struct err *e)
{
    scoped_fd int root = conf_open_root(c, "", false, NULL);
    *ret = 0;
    return root < 0 ? 0 : gc_each(root, "ingest", drop_part, ret, e);
}

struct users {
    const char *image_id;
    char ***ret, ***ret_ids;
};

/* A container's record: 1 with its text, and *ret NULL when that is no JSON (e says why); 0 there
 * is none. */
static int read_record(int dir_fd, const char *name, char **ret_text, json_t **ret, struct err *e)
{
    scoped_free char *file = xasprintf("%s/container.json", name);
    ssize_t n = fs_read(dir_fd, file, RECORD_MAX, ret_text, e);
    if (n < 0)
        return n == -ENOENT ? 0 : (int)n;
    *ret = json_parse(*ret_text, (size_t)n, RECORD_MAX, file, e);
    return 1;
}

static int check_user(int dir_fd, const char *name, void *data, struct err *e)
{
    struct users *u = data;
    scoped_free char *text = NULL;
    scoped_json json_t *doc = NULL;
    int r = read_record(dir_fd, name, &text, &doc, e);
    if (r <= 0)
        return r;
    if (!doc)
        err_clear(e); /* the text tells enough */
    const char *id = json_string_value(json_object_get(doc, "image_id"));
    const char *label = json_string_value(json_object_get(doc, "name"));
    bool uses = doc ? streq(id, u->image_id) : strstr(text, u->image_id) != NULL;
    if (uses)
        strv_add(u->ret, label ? label : name);
    if (uses && doc && u->ret_ids) /* a name may be another one's by the time it is used */
        strv_add(u->ret_ids, name);
    return 0;
}

int gc_users(const struct conf *c, const char *image_id, char ***ret, char ***ret_ids,
             struct err *e)
{
    struct users u = {.image_id = image_id, .ret = ret, .ret_ids = ret_ids};
    scoped_fd int root = conf_open_root(c, "", false, NULL);
    return root < 0 ? 0 : gc_each(root, "containers", check_user, &u, e);
}

static int add_image_of(int dir_fd, const char *name, void *data, struct err *e)
{
    scoped_free char *text = NULL;
    scoped_json json_t *doc = NULL;
    int r = read_record(dir_fd, name, &text, &doc, e);
    if (r <= 0)
        return r;
    const char *id = json_string_value(json_object_get(doc, "image_id"));
    if (id && !strv_has(*(char ***)data, id))
        strv_add(data, id);
    return doc ? 0 : -EUCLEAN; /* it might be any */
}

static int add_image_of_pin(int dir_fd, const char *name, void *data, struct err *e)
{
    SCOPED(marks_release) struct marks marks = {0};
    int r = mark_pin(dir_fd, name, &marks, e);
    for (size_t i = 0; i < marks.n; i++)
        strv_addf(data, DIGEST_PREFIX "%s", marks.v[i]);
    return r;
}

int gc_used_images(const struct conf *c, char ***ret, struct err *e)
{
    scoped_fd int root = conf_open_root(c, "", false, NULL);
    int r = root < 0 ? 0 : gc_each(root, "ingest", add_image_of_pin, ret, e);
    return r < 0 || root < 0 ? r : gc_each(root, "containers", add_image_of, ret, e);
}
