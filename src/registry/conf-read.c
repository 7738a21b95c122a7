/* conf-read - the files of registries.conf(5), and which of them there are. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/log.h"
#include "base/path.h"
#include "image/ref.h"
#include "registry/conf-priv.h"
#include "registry/toml.h"

#define CONF_MAX_BYTES (1u << 20)

char *registry_user_dir(const char *variable, const char *below_home)
{
    const char *x = getenv(variable), *home = getenv("HOME");
    if (x && *x == '/')
        return path_join(x, "containers");
    if (!home || *home != '/')
        return xstrdup("");
    scoped_free char *base = path_join(home, below_home);
    return path_join(base, "containers");
}

void conf_entry_release(struct conf_entry *entry)
{
    for (size_t i = 0; i < entry->mirrors_n; i++)
        free(entry->mirrors[i].location);
    free(entry->mirrors);
    free(entry->prefix);
    free(entry->location);
    free(entry->file);
    *entry = (struct conf_entry){0};
}

/* Where in a file we are: messages name the file and the key. */
struct place {
    const char *file, *table;
    struct err *e;
};

static int want(const struct place *p, const char *key, const char *what)
{
    return err_msg(p->e, EINVAL, "%s: %s%s%s: want %s", p->file, p->table, *p->table ? "." : "",
                   key, what);
}

static int get_bool(const struct place *p, const json_t *table, const char *key, bool *ret)
{
    const json_t *v = json_object_get(table, key);
    if (v && !json_is_boolean(v))
        return want(p, key, "true or false");
    if (v)
        *ret = json_is_true(v);
    return 0;
}

static int get_text(const struct place *p, const json_t *table, const char *key, char **ret)
{
    const json_t *v = json_object_get(table, key);
    if (v && !json_is_string(v))
        return want(p, key, "a text in quotes");
    if (v)
        *ret = xstrdup(json_string_value(v));
    return 0;
}

static int get_list(const struct place *p, const json_t *table, const char *key, char ***ret)
{
    const json_t *list = json_object_get(table, key), *v = NULL;
    size_t i = 0;
    if (!json_is_array(list))
        return want(p, key, "an array of texts");
    json_array_foreach(list, i, v)
    {
        if (!json_is_string(v) || !*json_string_value(v))
            return want(p, key, "an array of texts");
        strv_add(ret, json_string_value(v));
    }
    return 0;
}

/* A key that a later version of the format has must not pass in silence. */
static void tell_unknown(const struct place *p, const json_t *table, const char *const *known)
{
    const char *key = NULL;
    json_t *v = NULL;
    json_object_foreach((json_t *)(uintptr_t)table, key, v)
    {
        if (!strv_has((char *const *)(uintptr_t)known, key))
            log_warn("%s: %s%s%s is not known here and is ignored", p->file, p->table,
                     *p->table ? "." : "", key);
    }
}

static void trim_slashes(char *s)
{
    for (size_t n = s ? strlen(s) : 0; n > 0 && s[n - 1] == '/'; n--)
        s[n - 1] = '\0';
}

/* HOST[:PORT][/PATH]: no scheme, no blanks. */
static int check_location(const struct place *p, const char *key, const char *s)
{
    if (strstr(s, "://"))
        return want(p, key, "a host and a path, without http:// or https://");
    if (!*s || *s == '/' || strpbrk(s, " \t\n\r"))
        return want(p, key, "HOST[:PORT][/PATH]");
    return 0;
}

static int read_mirror(const char *file, const json_t *table, struct conf_mirror *m, struct err *e)
{
    static const char *const known[] = {"location", "insecure", "pull-from-mirror", NULL};
    struct place p = {file, "registry.mirror", e};
    scoped_free char *pull = NULL;
    int r = get_text(&p, table, "location", &m->location);
    if (r == 0 && !m->location)
        return want(&p, "location", "a value");
    trim_slashes(m->location);
    r = r < 0 ? r : check_location(&p, "location", m->location);
    r = r < 0 ? r : get_bool(&p, table, "insecure", &m->insecure);
    r = r < 0 ? r : get_text(&p, table, "pull-from-mirror", &pull);
    if (r < 0)
        return r;
    tell_unknown(&p, table, known);
    if (!pull || !*pull || streq(pull, "all"))
        m->pull = PULL_ALL;
    else if (streq(pull, "digest-only"))
        m->pull = PULL_DIGEST_ONLY;
    else if (streq(pull, "tag-only"))
        m->pull = PULL_TAG_ONLY;
    else
        return want(&p, "pull-from-mirror", "all, digest-only or tag-only");
    return 0;
}

static int read_mirrors(const json_t *table, struct conf_entry *entry, struct err *e)
{
    const json_t *list = json_object_get(table, "mirror"), *m = NULL;
    size_t i = 0;
    if (!list)
        return 0;
    if (!json_is_array(list))
        return err_msg(e, EINVAL, "%s: mirrors are written as [[registry.mirror]]", entry->file);
    entry->mirrors = xcalloc(json_array_size(list) + 1, sizeof(*entry->mirrors));
    json_array_foreach(list, i, m)
    {
        if (!json_is_object(m))
            return err_msg(e, EINVAL, "%s: mirrors are written as [[registry.mirror]]",
                           entry->file);
        int r = read_mirror(entry->file, m, &entry->mirrors[entry->mirrors_n++], e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* prefix and location stand for each other, but a wildcard is no location. */
static int check_entry(const struct place *p, struct conf_entry *entry)
{
    trim_slashes(entry->prefix);
    trim_slashes(entry->location);
    if (entry->location && !*entry->location)
        free(take_ptr(entry->location));
    if (entry->prefix)
        image_host_lower(entry->prefix);
    if (entry->location)
        image_host_lower(entry->location);
    int r = entry->location ? check_location(p, "location", entry->location) : 0;
    if (r < 0)
        return r;
    if (!entry->prefix || !*entry->prefix) {
        if (!entry->location)
            return want(p, "location", "a value, as there is no prefix either");
        free(entry->prefix);
        entry->prefix = xstrdup(entry->location);
    }
    r = check_location(p, "prefix", entry->prefix);
    if (r == 0 && entry->location && strchr(entry->location, '*') &&
        !streq(entry->location, entry->prefix))
        r = want(p, "location", "a host without *");
    const char *star = strchr(entry->prefix, '*');
    if (r == 0 && star && (star != entry->prefix || star[1] != '.' || strchr(star + 1, '*')))
        r = want(p, "prefix", "a wildcard as in *.example.com");
    if (r == 0 && star && streq(entry->location, entry->prefix))
        free(take_ptr(entry->location));
    return r;
}

static int read_entry(struct conf_entry *entry, const json_t *table, struct err *e)
{
    static const char *const known[] = {
        "prefix", "location", "insecure", "blocked", "mirror", "mirror-by-digest-only", NULL};
    struct place p = {entry->file, "registry", e};
    if (!json_is_object(table))
        return err_msg(e, EINVAL, "%s: registries are written as [[registry]]", entry->file);
    int r = get_text(&p, table, "prefix", &entry->prefix);
    r = r < 0 ? r : get_text(&p, table, "location", &entry->location);
    r = r < 0 ? r : get_bool(&p, table, "insecure", &entry->insecure);
    r = r < 0 ? r : get_bool(&p, table, "blocked", &entry->blocked);
    r = r < 0 ? r : get_bool(&p, table, "mirror-by-digest-only", &entry->digest_only);
    r = r < 0 ? r : check_entry(&p, entry);
    r = r < 0 ? r : read_mirrors(table, entry, e);
    if (r == 0)
        tell_unknown(&p, table, known);
    return r;
}

/* A later word about the same prefix takes the place of the earlier. */
static void keep_entry(struct registry_conf *c, struct conf_entry *entry)
{
    size_t i = 0;
    while (i < c->entries_n && !streq(c->entries[i].prefix, entry->prefix))
        i++;
    if (i == c->entries_n)
        c->entries = xrealloc(c->entries, ++c->entries_n * sizeof(*c->entries));
    else
        conf_entry_release(&c->entries[i]);
    c->entries[i] = *entry;
    *entry = (struct conf_entry){0};
}

static int read_entries(struct registry_conf *c, const json_t *doc, const char *path, struct err *e)
{
    const json_t *list = json_object_get(doc, "registry"), *table = NULL;
    size_t i = 0;
    if (list && !json_is_array(list))
        return err_msg(e, EINVAL, "%s: registries are written as [[registry]]", path);
    json_array_foreach(list, i, table)
    {
        SCOPED(conf_entry_release) struct conf_entry entry = {.file = xstrdup(path)};
        int r = read_entry(&entry, table, e);
        if (r < 0)
            return r;
        keep_entry(c, &entry);
    }
    return 0;
}

static int read_aliases(struct registry_conf *c, const json_t *doc, const char *path, struct err *e)
{
    json_t *table = json_object_get(doc, "aliases"), *v = NULL;
    struct place p = {path, "aliases", e};
    const char *key = NULL;
    if (table && !json_is_object(table))
        return want(&(struct place){path, "", e}, "aliases", "a table");
    json_object_foreach(table, key, v)
    {
        SCOPED(image_ref_release) struct image_ref ref = {0};
        bool is_short = false;
        const char *full = json_string_value(v);
        scoped_free char *pair = xasprintf("%s=%s", key, full ? full : "");
        if (!full)
            return want(&p, key, "a text in quotes");
        if (image_ref_split(key, &ref, &is_short, NULL) < 0 || !is_short || ref.tag || ref.digest)
            return want(&p, key, "a short name without a tag in front of it");
        image_ref_release(&ref);
        if (*full &&
            (image_ref_split(full, &ref, &is_short, NULL) < 0 || is_short || ref.tag || ref.digest))
            return want(&p, key, "a full name without a tag");
        strv_env_set(&c->aliases, pair);
    }
    return 0;
}

static int read_document(struct registry_conf *c, const json_t *doc, const char *path,
                         struct err *e)
{
    static const char *const known[] = {"unqualified-search-registries",
                                        "short-name-mode",
                                        "credential-helpers",
                                        "additional-layer-store-auth-helper",
                                        "registry",
                                        "aliases",
                                        NULL};
    struct place p = {path, "", e};
    if (json_object_get(doc, "registries"))
        return err_hint(e, err_msg(e, EINVAL, "%s is in the format of version 1", path),
                        "write unqualified-search-registries and [[registry]] instead: man "
                        "containers-registries.conf");
    if (json_object_get(doc, "unqualified-search-registries")) {
        strv_free(take_ptr(c->search));
        int r = get_list(&p, doc, "unqualified-search-registries", &c->search);
        if (r < 0)
            return r;
        c->search_given = true;
        free(c->search_file);
        c->search_file = xstrdup(path);
    }
    int r = read_entries(c, doc, path, e);
    r = r < 0 ? r : read_aliases(c, doc, path, e);
    if (r == 0)
        tell_unknown(&p, doc, known);
    return r;
}

int registry_conf_read_text(struct registry_conf *c, const char *text, size_t len, const char *path,
                            struct err *e)
{
    scoped_json json_t *doc = toml_parse(text, len, path, e);
    return doc ? read_document(c, doc, path, e) : -EINVAL;
}

int registry_conf_read(struct registry_conf *c, const char *path, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, CONF_MAX_BYTES, &text, e);
    return n < 0 ? (int)n : registry_conf_read_text(c, text, (size_t)n, path, e);
}

/* As above; 1 if there is no such file. */
static int read_if_there(struct registry_conf *c, const char *path, struct err *e)
{
    int r = registry_conf_read(c, path, e);
    if (r != -ENOENT && r != -ENOTDIR)
        return r;
    err_clear(e);
    return 1;
}

static int read_drop_ins(struct registry_conf *c, const char *dir, struct err *e)
{
    scoped_free char *path = path_join(dir, "registries.conf.d");
    scoped_dir DIR *d = *dir ? opendir(path) : NULL;
    scoped_strv char **names = NULL;
    struct dirent *de = NULL;
    int r = 0;
    if (!d)
        return 0;
    while ((de = fs_next_entry(d, &r)))
        if (str_ends(de->d_name, ".conf"))
            strv_add(&names, de->d_name);
    if (r < 0)
        return err_set(e, -r, "read %s", path);
    strv_sort(names);
    for (char **p = names; r >= 0 && p && *p; p++) {
        scoped_free char *file = path_join(path, *p);
        r = read_if_there(c, file, e);
    }
    return r < 0 ? r : 0;
}

static int read_main(struct registry_conf *c, const char *user, struct err *e)
{
    const char *set = getenv("CONTAINERS_REGISTRIES_CONF");
    const char *const dirs[] = {user, "/etc/containers", "/usr/share/containers"};
    if (set && *set)
        return registry_conf_read(c, set, e);
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        scoped_free char *path = path_join(dirs[i], "registries.conf");
        int r = *dirs[i] ? read_if_there(c, path, e) : 1;
        if (r <= 0)
            return r;
    }
    return 0;
}

int registry_conf_load(struct registry_conf **ret, struct err *e)
{
    scoped_registry_conf struct registry_conf *c = xcalloc(1, sizeof(*c));
    scoped_free char *user = registry_user_dir("XDG_CONFIG_HOME", ".config");
    scoped_free char *cache = registry_user_dir("XDG_CACHE_HOME", ".cache");
    int r = read_main(c, user, e);
    r = r < 0 ? r : read_drop_ins(c, "/etc/containers", e);
    r = r < 0 ? r : read_drop_ins(c, user, e);
    scoped_free char *learnt = path_join(cache, "short-name-aliases.conf");
    if (r >= 0 && *cache)
        r = read_if_there(c, learnt, e);
    if (r < 0)
        return err_add(e, r, "registries");
    *ret = take_ptr(c);
    return 0;
}
