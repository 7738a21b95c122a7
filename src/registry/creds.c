/* creds - see creds.h. */
#include "registry/creds.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "registry/conf-priv.h"
#include "registry/creds-priv.h"

/* "https://index.docker.io/v1/" is how docker asks its helpers about docker.io. */
static const char *helper_url(const char *key)
{
    return streq(key, "docker.io") ? CREDS_DOCKER_IO_URL : key;
}

static int ask_helper(const char *path, const json_t *doc, const char *key,
                      struct registry_creds *ret, struct err *e)
{
    bool own = false;
    const char *name = creds_helper(doc, key, &own);
    if (!name || (!own && strchr(key, '/'))) /* the store of all knows hosts only */
        return 0;
    int r = creds_helper_get(name, helper_url(key), ret, e);
    if (r != -ENOENT || own)
        return r < 0 ? err_add(e, r, "credentials for %s (%s)", key, path) : r;
    /* A store that came with a configuration copied from another machine says nothing. */
    log_warn("%s: credsStore: %s", path, e->msg);
    err_clear(e);
    return 0;
}

/* Entries under other spellings of the host, as docker has written them: with a scheme, with a path
 * behind it. */
static const json_t *find_legacy(json_t *auths, const char *host)
{
    scoped_free char *want = creds_host_of(host);
    const char *key = NULL;
    json_t *v = NULL;
    json_object_foreach(auths, key, v)
    {
        scoped_free char *other = creds_host_of(key);
        bool plain = !strchr(key, '/') || strstr(key, "://");
        if (plain && streq(want, other) && json_object_size(v) > 0)
            return v;
    }
    return NULL;
}

int creds_find_in(const char *path, json_t *doc, const char *host, const char *repository,
                  struct registry_creds *ret, struct err *e)
{
    json_t *auths = json_object_get(doc, "auths");
    scoped_free char *key = repository ? xasprintf("%s/%s", host, repository) : xstrdup(host);
    for (;;) {
        const json_t *entry = json_object_get(auths, key);
        bool is_host = strlen(key) == strlen(host);
        scoped_free char *where = xasprintf("%s: auths.%s", path, key);
        int r = ask_helper(path, doc, key, ret, e);
        if (r == 0 && !entry && is_host)
            entry = find_legacy(auths, host);
        if (r == 0 && entry)
            r = creds_decode(entry, where, ret, e);
        if (r != 0 || is_host)
            return r;
        *strrchr(key, '/') = '\0';
    }
}

/* 1 found, 0 not there. legacy: ~/.dockercfg, whose whole is what others call auths. */
static int find_in_file(const char *path, bool legacy, const char *host, const char *repository,
                        struct registry_creds *ret, struct err *e)
{
    scoped_json json_t *doc = NULL;
    int r = creds_read(path, &doc, e);
    if (r < 0 || !doc)
        return r;
    if (legacy) {
        json_t *whole = json_object();
        json_object_set(whole, "auths", doc);
        json_decref(doc);
        doc = whole;
    }
    return creds_find_in(path, doc, host, repository, ret, e);
}

/* Shells of su and sudo keep the directory of another user: its credentials are not ours. */
static bool is_ours(const char *dir)
{
    struct stat st;
    if (stat(dir, &st) < 0)
        return false;
    if (st.st_mode & S_IWOTH) /* anybody could put a file there, or a link to another one */
        return false;
    return st.st_uid == geteuid() || (st.st_uid == 0 && access(dir, W_OK) == 0);
}

/* Where a login of this session is: as podman has it. Owned. */
static char *session_file(void)
{
    const char *x = getenv("XDG_RUNTIME_DIR");
    if (x && *x == '/' && is_ours(x))
        return xasprintf("%s/containers/auth.json", x);
    scoped_free char *run = xasprintf("/run/user/%u", geteuid());
    if (is_ours(run))
        return xasprintf("%s/containers/auth.json", run);
    return xasprintf("/run/containers/%u/auth.json", geteuid());
}

static char *user_file(void)
{
    scoped_free char *dir = registry_user_dir("XDG_CONFIG_HOME", ".config");
    return path_join(dir, "auth.json");
}

static char *docker_file(void)
{
    const char *set = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    if (set && *set)
        return path_join(set, "config.json");
    return home && *home == '/' ? path_join(home, ".docker/config.json") : xstrdup("");
}

char *creds_file(const char *authfile)
{
    const char *set = getenv("REGISTRY_AUTH_FILE");
    if (authfile && *authfile)
        return xstrdup(authfile);
    if (set && *set)
        return xstrdup(set);
    scoped_free char *session = session_file();
    /* /run/containers is root's: without a runtime directory the login outlives the session. */
    return str_after(session, "/run/containers/") && geteuid() != 0 ? user_file()
                                                                    : take_ptr(session);
}

static int find_in_files(const char *host, const char *repository, struct registry_creds *ret,
                         struct err *e)
{
    const char *home = getenv("HOME");
    scoped_free char *session = session_file(), *user = user_file(), *docker = docker_file();
    scoped_free char *legacy = path_join(home && *home == '/' ? home : "", ".dockercfg");
    const char *const files[] = {session, user, docker, legacy};
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        int r = *files[i] == '/' || *files[i] == '.'
                    ? find_in_file(files[i], files[i] == legacy, host, repository, ret, e)
                    : 0;
        if (r != 0)
            return r;
    }
    return 0;
}

static int take_option(const char *text, struct registry_creds *ret, struct err *e)
{
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    if (n == 0)
        return err_msg(e, EINVAL, "--creds: want USER:PASSWORD");
    ret->username = xstrndup(text, n);
    ret->password = xstrdup(colon ? colon + 1 : "");
    return 1;
}

int creds_find(const struct creds_source *s, const char *host, const char *repository,
               struct registry_creds *ret, struct err *e)
{
    const char *set = getenv("REGISTRY_AUTH_FILE");
    *ret = (struct registry_creds){0};
    if (s && s->creds)
        return take_option(s->creds, ret, e);
    if (s && s->authfile && *s->authfile) {
        if (access(s->authfile, F_OK) < 0)
            return err_set(e, errno, "--authfile %s", s->authfile);
        return find_in_file(s->authfile, false, host, repository, ret, e);
    }
    if (set && *set)
        return find_in_file(set, false, host, repository, ret, e);
    return find_in_files(host, repository, ret, e);
}
