/* creds-store - what login writes and logout takes away. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/path.h"
#include "registry/creds-priv.h"

/* A file of credentials open for a change. */
struct change {
    char *path, *dir; /* path: behind symbolic links, which stay */
    int dir_fd;
    json_t *doc;
};

static void change_release(struct change *c)
{
    free(c->path);
    free(c->dir);
    fd_close(&c->dir_fd);
    json_decref(c->doc);
}
#define CHANGE_INIT                                                                                \
    {                                                                                              \
        .dir_fd = -1                                                                               \
    }

/* Two logins at once must not lose one: the directory is locked, where it is ours. */
static int lock_dir(const struct change *c, struct err *e)
{
    struct stat st;
    if (fstat(c->dir_fd, &st) < 0)
        return err_set(e, errno, "%s", c->dir);
    if (st.st_uid != geteuid())
        return 0;
    return lock_fd(c->dir_fd, LOCK_EXCLUSIVE, 10000, c->dir, e);
}

static int change_begin(const char *authfile, bool make, struct change *c, struct err *e)
{
    scoped_free char *name = creds_file(authfile);
    char *real = realpath(name, NULL);
    c->path = real ? real : xstrdup(name);
    const char *slash = strrchr(c->path, '/');
    c->dir = !slash             ? xstrdup(".")
             : slash == c->path ? xstrdup("/")
                                : xstrndup(c->path, (size_t)(slash - c->path));
    c->dir_fd = fs_open_dir(c->dir, make, 0700, e);
    if (c->dir_fd == -ENOENT && !make) {
        err_clear(e);
        return 0;
    }
    if (c->dir_fd < 0)
        return err_add(e, c->dir_fd, "credentials");
    int r = lock_dir(c, e);
    r = r < 0 ? r : creds_read(c->path, &c->doc, e);
    if (r == 0 && !c->doc && make)
        c->doc = json_object();
    return r;
}

static int change_end(const struct change *c, struct err *e)
{
    scoped_free char *text = json_text(c->doc, true);
    scoped_free char *lines = xasprintf("%s\n", text);
    int r = fs_write_atomic(c->dir_fd, path_name(c->path), lines, strlen(lines), 0600, FS_SYNC, e);
    explicit_bzero(text, strlen(text));
    explicit_bzero(lines, strlen(lines));
    return r < 0 ? err_add(e, r, "write %s", c->path) : 0;
}

/* docker looks for docker.io under another name, in its own file. */
static const char *key_in(const struct change *c, const char *key)
{
    bool docker = streq(path_name(c->path), "config.json") && streq(key, "docker.io");
    return docker ? CREDS_DOCKER_IO_URL : key;
}

static const char *url_of(const char *key)
{
    return streq(key, "docker.io") ? CREDS_DOCKER_IO_URL : key;
}

static json_t *object_in(json_t *doc, const char *name)
{
    json_t *o = json_object_get(doc, name);
    if (!json_is_object(o)) {
        o = json_object();
        json_object_set_new(doc, name, o);
    }
    return o;
}

int creds_store(const char *authfile, const char *key, const struct registry_creds *creds,
                struct err *e)
{
    SCOPED(change_release) struct change c = CHANGE_INIT;
    bool own = false;
    int r = change_begin(authfile, true, &c, e);
    if (r < 0)
        return r;
    const char *helper = creds_helper(c.doc, key, &own);
    if (helper && !own && strchr(key, '/')) /* the store of all keeps hosts only */
        helper = NULL;
    if (helper) {
        r = creds_helper_store(helper, url_of(key), creds, e);
        if (r < 0)
            return err_add(e, r, "keep the credentials for %s", key);
        if (own)
            return 0;
    }
    /* Beside a store docker leaves an empty entry: "logged in". */
    json_object_set_new(object_in(c.doc, "auths"), key_in(&c, key),
                        helper ? json_object() : creds_encode(creds));
    return change_end(&c, e);
}

/* Whatever the host is called in the file. */
static int erase_from(json_t *auths, const char *key)
{
    scoped_free char *want = creds_host_of(key);
    scoped_strv char **names = NULL;
    const char *name = NULL;
    json_t *v = NULL;
    bool whole = !strchr(key, '/');
    json_object_foreach(auths, name, v)
    {
        scoped_free char *host = creds_host_of(name);
        bool same = !strchr(name, '/') || strstr(name, "://");
        if (streq(name, key) || (whole && same && streq(host, want)))
            strv_add(&names, name);
    }
    for (char **p = names; p && *p; p++)
        json_object_del(auths, *p);
    return names ? 1 : 0;
}

static int erase_helper(const json_t *doc, const char *key, struct err *e)
{
    SCOPED(registry_creds_release) struct registry_creds had = {0};
    bool own = false;
    const char *helper = creds_helper(doc, key, &own);
    if (!helper || (!own && strchr(key, '/')))
        return 0;
    int r = creds_helper_get(helper, url_of(key), &had, e);
    if (r <= 0)
        return r;
    r = creds_helper_erase(helper, url_of(key), e);
    return r < 0 ? r : 1;
}

int creds_erase(const char *authfile, const char *key, struct err *e)
{
    SCOPED(change_release) struct change c = CHANGE_INIT;
    int r = change_begin(authfile, false, &c, e);
    if (r < 0 || !c.doc)
        return r;
    int helped = erase_helper(c.doc, key, e);
    if (helped < 0)
        return err_add(e, helped, "remove the credentials for %s", key);
    int erased = erase_from(json_object_get(c.doc, "auths"), key);
    r = erased ? change_end(&c, e) : 0;
    return r < 0 ? r : erased || helped;
}

int creds_erase_all(const char *authfile, struct err *e)
{
    SCOPED(change_release) struct change c = CHANGE_INIT;
    json_t *v = NULL;
    const char *key = NULL;
    int r = change_begin(authfile, false, &c, e), n = 0;
    if (r < 0 || !c.doc)
        return r;
    json_object_foreach(json_object_get(c.doc, "credHelpers"), key, v)
    {
        r = erase_helper(c.doc, key, e);
        if (r < 0)
            return err_add(e, r, "remove the credentials for %s", key);
        n += r;
    }
    json_object_foreach(json_object_get(c.doc, "auths"), key, v)
    {
        bool own = false;
        const char *store = creds_helper(c.doc, key, &own);
        r = store && !own ? creds_helper_erase(store, url_of(key), e) : 0;
        if (r < 0)
            return err_add(e, r, "remove the credentials for %s", key);
        n++;
    }
    if (json_object_size(json_object_get(c.doc, "auths")) == 0)
        return n > 0;
    json_object_set_new(c.doc, "auths", json_object());
    r = change_end(&c, e);
    return r < 0 ? r : 1;
}
