/* step - what the instructions that make a layer have in common. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/build.h"
#include "build/owner.h"
#include "container/root.h"
#include "image/ref.h"
#include "sys/sock.h"

static void print_id(struct build *b, const char *id, bool cached)
{
    const char *hex = image_digest_hex(id);
    step_print(b, cached ? "--> Using cache %.12s" : "--> %.12s", hex);
}

int step_cached(struct step *t, char *const *more, struct err *e)
{
    struct state *st = &t->s->st;
    scoped_strv char **all = NULL;
    strv_add(&all, ins_name(t->in->kind));
    strv_add(&all, t->in->text);
    strv_add(&all, t->created_by);
    strv_extend(&all, more);
    int r = cache_key(t->b, st, all, t->key, e);
    r = r < 0 ? r : cache_get(t->b, t->key, st, e);
    if (r == 1) {
        strv_free(st->dirs);
        st->dirs = NULL;
        print_id(t->b, st->image, true);
    }
    return r;
}

json_t *step_request(struct step *t, bool stream)
{
    const struct build *b = t->b;
    json_t *request = json_object(), *doc = json_deep_copy(t->s->st.doc);
    char created[64];
    state_created(b, created, sizeof(created));
    state_history(t->b, doc, t->created_by, false);
    json_object_set_new(doc, "created", json_string(created));
    json_object_set_new(request, "document", doc);
    json_object_set_new(request, "intermediate", json_true());
    json_object_set_new(request, "docker", json_boolean(b->docker));
    json_object_set_new(request, "stream", json_boolean(stream));
    json_object_set_new(request, "squash_ids", json_boolean(b->o->squash_ids));
    json_object_set_new(request, "pin", json_string(b->pin.name));
    if (b->epoch >= 0)
        json_object_set_new(request, "max_mtime", json_integer(b->epoch));
    return request;
}

int step_done(struct step *t, const char *id, struct err *e)
{
    int r = image_digest_check(id, e);
    r = r < 0 ? r : state_load(t->b, id, &t->s->st, e);
    if (r < 0)
        return err_add(e, r, "the image of the step");
    strv_free(t->s->st.dirs);
    t->s->st.dirs = NULL;
    if (t->key[0])
        cache_put(t->b, t->key, id);
    print_id(t->b, id, false);
    return 0;
}

/* --- CONTAINERS --- */

int step_container(struct build *b, const char *image, char *const *more, char *const *words,
                   char **ret_name, struct err *e)
{
    scoped_strv char **argv = NULL;
    scoped_free char *name = xasprintf("build-%s-%u", b->id, b->n_made++);
    strv_add(&argv, "rootlet");
    strv_add(&argv, "create");
    strv_addf(&argv, "--name=%s", name);
    strv_add(&argv, "--pull=never");
    strv_add(&argv, "--image-volume=ignore");
    strv_add(&argv, "--no-healthcheck");
    strv_add(&argv, "--log-driver=none");
    strv_extend(&argv, more);
    strv_add(&argv, image);
    strv_extend(&argv, words);
    strv_add(&b->containers, name); /* first: what is interrupted may have been made */
    int r = child_text(b, argv, NULL, e);
    if (r < 0)
        return err_add(e, r, "its container");
    *ret_name = take_ptr(name);
    return 0;
}

void step_container_end(struct build *b, const char *name)
{
    char *argv[] = {(char *)"rootlet", (char *)"rm", (char *)"-f", (char *)"-t",
                    (char *)"0",       (char *)name, NULL};
    struct err ignored = ERR_INIT;
    child_text(b, argv, NULL, &ignored);
    strv_remove(b->containers, name);
}

struct dirs {
    char *const *v;
    unsigned made;
    int64_t epoch;
};

/* One directory, when it is not there. */
static int make_part(int root_fd, const char *path, const uint32_t ids[2], struct dirs *d,
                     struct err *e)
{
    scoped_fd int there = path_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0, NULL);
    if (there >= 0)
        return 0;
    scoped_fd int fd = path_mkdirs_in_root(root_fd, path, 0755, e);
    if (fd < 0)
        return err_add(e, fd, "WORKDIR %s", path);
    d->made++;
    if ((ids[0] || ids[1]) && fchownat(fd, "", ids[0], ids[1], AT_EMPTY_PATH) < 0)
        return err_set(e, errno, "WORKDIR %s: give it to user %u", path, ids[0]);
    return 0;
}

/* With those above it, each the user's whose WORKDIR it is. */
static int make_one(int root_fd, const char *entry, struct dirs *d, struct err *e)
{
    uint32_t ids[2];
    scoped_free char *path = xstrdup(owner_workdir(root_fd, entry, &ids[0], &ids[1]));
    int r = 0;
    for (char *slash = strchr(path + 1, '/'); slash && r == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        r = make_part(root_fd, path, ids, d, e);
        *slash = '/';
    }
    return r == 0 ? make_part(root_fd, path, ids, d, e) : r;
}

static int make_dirs(int root_fd, void *data, struct err *e)
{
    struct dirs *d = data;
    int r = 0;
    umask(022);
    for (char *const *v = d->v; r == 0 && v && *v; v++)
        r = make_one(root_fd, *v, d, e);
    return r;
}

int step_make_dirs(struct build *b, struct state *st, const char *name, struct err *e)
{
    scoped_container struct container ctr = {.dir_fd = -1};
    struct dirs d = {.v = st->dirs};
    if (!st->dirs || !st->dirs[0])
        return 0;
    int r = container_open(b->conf, name, &ctr, e);
    return r < 0 ? r : container_root_run(b->conf, &ctr, CTR_ROOT_WRITE, make_dirs, &d, e);
}

int step_commit(struct build *b, const char *name, const json_t *request, bool squash,
                char **ret_id, struct err *e)
{
    scoped_free char *text = json_text(request, false);
    scoped_free char *file = xasprintf("%s/request%u", b->scratch, b->n_made++);
    int r = fs_write_atomic(AT_FDCWD, file, text, strlen(text), 0600, FS_NO_SYNC, e);
    char *argv[] = {(char *)"rootlet",    (char *)"commit",
                    (char *)"-q",         (char *)(squash ? "--squash" : "-q"),
                    (char *)"--document", file,
                    (char *)name,         NULL};
    r = r < 0 ? r : child_text(b, argv, ret_id, e);
    unlink(file);
    return r < 0 ? err_add(e, r, "its layer") : 0;
}

static int send_root(int root_fd, void *data, struct err *e)
{
    int r = sock_send(*(int *)data, "r", 1, &root_fd, 1);
    return r < 0 ? err_set(e, -r, "hand over the root file system") : 0;
}

int step_root(struct build *b, const char *container, struct err *e)
{
    scoped_container struct container ctr = {.dir_fd = -1};
    int pair[2], fds[SOCK_MAX_FDS];
    char byte;
    int r = container_open(b->conf, container, &ctr, e);
    r = r < 0 ? r : sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int mine = pair[0], theirs = pair[1];
    r = container_root_run(b->conf, &ctr, 0, send_root, &theirs, e);
    if (r < 0)
        return r;
    if (sock_recv(mine, &byte, 1, fds) != 1 || fds[0] < 0)
        return err_msg(e, EPROTO, "the root file system has not come");
    return fds[0];
}

/* --- WORKDIR AT THE END --- */

static int look(int root_fd, void *data, struct err *e)
{
    const struct dirs *d = data;
    (void)e;
    for (char *const *v = d->v; v && *v; v++) {
        scoped_fd int fd =
            path_open_in_root(root_fd, strchr(*v, '/'), O_PATH | O_DIRECTORY, 0, NULL);
        if (fd < 0)
            return -ENOENT;
    }
    return 0;
}

static int all_there(struct build *b, struct state *st, const char *name, struct err *e)
{
    scoped_container struct container ctr = {.dir_fd = -1};
    struct dirs d = {.v = st->dirs};
    int r = container_open(b->conf, name, &ctr, e);
    r = r < 0 ? r : container_root_run(b->conf, &ctr, 0, look, &d, e);
    return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

/* The entry of the last WORKDIR is that of the layer. */
static json_t *dirs_request(struct step *t)
{
    json_t *request = step_request(t, false);
    json_t *history = json_object_get(json_object_get(request, "document"), "history");
    size_t n = json_array_size(history);
    json_array_remove(history, n - 1);
    for (size_t i = n - 1; i > 0; i--) {
        json_t *one = json_array_get(history, i - 1);
        const char *by = json_string_value(json_object_get(one, "created_by"));
        if (by && str_after(by, "/bin/sh -c #(nop) WORKDIR")) {
            json_object_del(one, "empty_layer");
            break;
        }
    }
    return request;
}

int step_dirs(struct build *b, struct stage *s, struct err *e)
{
    struct state *st = &s->st;
    scoped_free char *name = NULL, *id = NULL;
    char *words[] = {(char *)"true", NULL};
    const struct ins in = {.kind = INS_WORKDIR, .text = (char *)"WORKDIR"};
    struct step t = {.b = b, .s = s, .in = &in};
    if (!st->dirs || !st->dirs[0] || !st->image)
        return 0;
    t.created_by = xstrdup("");
    int r = cache_key(b, st, NULL, t.key, e);
    r = r < 0 ? r : cache_get(b, t.key, st, e);
    r = r != 0 ? r : step_container(b, st->image, NULL, words, &name, e);
    if (name) {
        r = all_there(b, st, name, e);
        if (r == 0) {
            scoped_json json_t *request = dirs_request(&t);
            r = step_make_dirs(b, st, name, e);
            r = r < 0 ? r : step_commit(b, name, request, false, &id, e);
            r = r < 0 ? r : step_done(&t, id, e);
        }
        step_container_end(b, name);
    }
    free(t.created_by);
    strv_free(st->dirs); /* they are there now */
    st->dirs = NULL;
    return r < 0 ? r : 0;
}
