/* conf - see conf.h. */
#include "conf/conf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "conf/runroot.h"

#define CONF_MAX_BYTES (1u << 20)

static const struct setting {
    const char *key, *env;
    size_t offset;
} settings[] = {
    {"root", "ROOTLET_ROOT", offsetof(struct conf, root)},
    {"runroot", "ROOTLET_RUNROOT", offsetof(struct conf, run_root)},
    {"libexec", "ROOTLET_LIBEXEC", offsetof(struct conf, libexec)},
    {"cgroups", "ROOTLET_CGROUPS", offsetof(struct conf, cgroups)},
    {"security_profile", "ROOTLET_SECURITY_PROFILE", offsetof(struct conf, security_profile)},
    {"userns", "ROOTLET_USERNS", offsetof(struct conf, userns)},
    {"network", "ROOTLET_NETWORK", offsetof(struct conf, network)},
    {"storage_driver", "ROOTLET_STORAGE_DRIVER", offsetof(struct conf, storage_driver)},
    {"log_driver", "ROOTLET_LOG_DRIVER", offsetof(struct conf, log_driver)},
    {"detach_keys", "ROOTLET_DETACH_KEYS", offsetof(struct conf, detach_keys)},
    {"seccomp_profile", "ROOTLET_SECCOMP_PROFILE", offsetof(struct conf, seccomp_profile)},
    {"additional_stores", "ROOTLET_ADDITIONAL_STORES", offsetof(struct conf, additional_stores)},
};

/* Settings that other modules read from conf.extra. */
static const char *const other_keys[] = {
    "stop_timeout", "pids_limit", "log_size_max", "quadlet",    "publish_address",
    "dns",          "dns_search", "dns_options",  "hosts_file", "storage_shift"};

static char **member(struct conf *c, const struct setting *s)
{
    return (char **)((char *)c + s->offset);
}

static int set(struct conf *c, const char *key, const char *value, struct err *e)
{
    for (size_t i = 0; i < N_ELEMENTS(settings); i++) {
        if (!streq(settings[i].key, key))
            continue;
        char **m = member(c, &settings[i]);
        free(*m);
        *m = xstrdup(value);
        return 0;
    }
    for (size_t i = 0; i < N_ELEMENTS(other_keys); i++) {
        if (!streq(other_keys[i], key))
            continue;
        scoped_free char *pair = xasprintf("%s=%s", key, value);
        strv_env_set(&c->extra, pair);
        return 0;
    }
    return err_hint(e, err_msg(e, EINVAL, "unknown setting \"%s\"", key),
                    "man 5 rootlet.conf lists the settings");
}

static char *trim(char *s)
{
    s += strspn(s, " \t\r");
    size_t n = strlen(s);
    while (n > 0 && strchr(" \t\r", s[n - 1]))
        s[--n] = '\0';
    return s;
}

/* "text" without its quotes; a bare value ends at '#'. Returns NULL when a quote stays open. */
static char *unquote(char *s)
{
    if (*s == '"' || *s == '\'') {
        char *end = strchr(s + 1, *s);
        if (!end || (*trim(end + 1) != '\0' && *trim(end + 1) != '#'))
            return NULL;
        *end = '\0';
        return s + 1;
    }
    char *hash = strchr(s, '#');
    if (hash)
        *hash = '\0';
    return trim(s);
}

static int parse_line(struct conf *c, char *line, struct err *e)
{
    line = trim(line);
    if (*line == '\0' || *line == '#')
        return 0;
    char *eq = strchr(line, '=');
    if (!eq)
        return err_msg(e, EINVAL, "no \"=\" in \"%s\"", line);
    *eq = '\0';
    char *value = unquote(trim(eq + 1));
    if (!value)
        return err_msg(e, EINVAL, "quotes of \"%s\" do not match", line);
    return set(c, trim(line), value, e);
}

static int read_file(struct conf *c, const char *path, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, CONF_MAX_BYTES, &text, e);
    if (n == -ENOENT || n == -ENOTDIR || n == -EACCES) {
        err_clear(e);
        return 0;
    }
    if (n < 0)
        return (int)n;
    int number = 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        number++;
        int r = parse_line(c, line, e);
        if (r < 0)
            return err_add(e, r, "%s:%d", path, number);
    }
    return 0;
}

/* dir/rootlet.conf, then dir/rootlet.conf.d/NAME.conf in order of their names. */
static int read_dir(struct conf *c, const char *dir, struct err *e)
{
    scoped_free char *main_file = path_join(dir, "rootlet.conf");
    scoped_free char *drop_ins = path_join(dir, "rootlet.conf.d");
    int r = read_file(c, main_file, e);
    scoped_dir DIR *d = r < 0 ? NULL : opendir(drop_ins);
    if (!d)
        return r;
    scoped_strv char **names = NULL;
    for (struct dirent *de; (de = readdir(d));)
        if (str_ends(de->d_name, ".conf"))
            strv_add(&names, de->d_name);
    strv_sort(names);
    for (char **p = names; r == 0 && p && *p; p++) {
        scoped_free char *path = path_join(drop_ins, *p);
        r = read_file(c, path, e);
    }
    return r;
}

static char *home_dir(const char *xdg, const char *below_home)
{
    const char *x = getenv(xdg), *home = getenv("HOME");
    if (x && *x == '/')
        return path_join(x, "rootlet");
    if (!home || *home != '/')
        home = geteuid() == 0 ? "/root" : "/";
    scoped_free char *base = path_join(home, below_home);
    return path_join(base, "rootlet");
}

/* Where the runtime directory goes when the user has none. */
#define FALLBACK "/tmp/rootlet-"

bool conf_run_is_makeshift(const struct conf *c)
{
    scoped_free char *path = xasprintf(FALLBACK "%u", geteuid());
    return streq(c->run_root, path);
}

/* Shells of su and sudo keep the directory of another user, where we may not write or where, as
 * root, what we note could be taken away and would go with that user's session. */
static bool is_anothers(const char *dir)
{
    struct stat st;
    if (stat(dir, &st) < 0 || st.st_uid == geteuid())
        return false;
    return st.st_uid != 0 || access(dir, W_OK) < 0;
}

static char *default_run_root(void)
{
    const char *x = getenv("XDG_RUNTIME_DIR");
    if (x && *x == '/' && !is_anothers(x))
        return path_join(x, "rootlet");
    /* Shells of su and sudo -u, system units with User=: where a login would have put it. */
    scoped_free char *session = xasprintf("/run/user/%u", geteuid());
    struct stat st;
    if (stat(session, &st) == 0 && st.st_uid == geteuid() && access(session, W_OK) == 0)
        return path_join(session, "rootlet");
    return geteuid() == 0 ? xstrdup("/run/rootlet") : xasprintf(FALLBACK "%u", geteuid());
}

/* The directory of our own binary when our helpers lie beside it (a build tree), else the installed
 * place. A protected copy of ourselves (engine_protect_self: a mount of the file alone, or sealed
 * memory) has no directory, but was told the path of the original. */
static char *default_libexec(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = '\0';
        const char *original = getenv("ROOTLET_EXE");
        bool copy = streq(self, "/") || str_after(self, "/memfd:rootlet");
        const char *exe = copy && original ? original : self;
        const char *slash = strrchr(exe, '/');
        scoped_free char *dir = slash ? xstrndup(exe, (size_t)(slash - exe)) : xstrdup("");
        scoped_free char *beside = path_join(dir, "rootlet-supervise");
        if (dir[0] == '/' && access(beside, X_OK) == 0)
            return take_ptr(dir);
    }
    return xstrdup(LIBEXECDIR);
}

char *conf_libexec(void)
{
    const char *set = getenv("ROOTLET_LIBEXEC");
    return set && set[0] == '/' ? xstrdup(set) : default_libexec();
}

static void defaults(struct conf *c)
{
    c->root = home_dir("XDG_DATA_HOME", ".local/share");
    c->libexec = default_libexec();
    c->cgroups = xstrdup("enabled");
    c->security_profile = xstrdup("default");
    c->userns = xstrdup("");
    c->network = xstrdup("auto");
    c->storage_driver = xstrdup("");
    c->log_driver = xstrdup("k8s-file");
    c->detach_keys = xstrdup("ctrl-p,ctrl-q");
    c->seccomp_profile = xstrdup("");
    c->additional_stores = xstrdup("");
}

static int read_files(struct conf *c, struct err *e)
{
    scoped_free char *user = home_dir("XDG_CONFIG_HOME", ".config");
    const char *const dirs[] = {DATADIR "/rootlet", SYSCONFDIR "/rootlet", "/etc/rootlet", user};
    int r = 0;
    for (size_t i = 0; r == 0 && i < N_ELEMENTS(dirs); i++)
        if (i != 2 || !streq(dirs[1], dirs[2]))
            r = read_dir(c, dirs[i], e);
    return r;
}

static int check_paths(const struct conf *c, struct err *e)
{
    if (c->root[0] != '/' || c->run_root[0] != '/' || c->libexec[0] != '/')
        return err_msg(e, EINVAL, "root, runroot and libexec must be absolute paths (%s, %s, %s)",
                       c->root, c->run_root, c->libexec);
    return 0;
}

int conf_load(char *const *overrides, struct conf *ret, struct err *e)
{
    struct conf c SCOPED(conf_release) = {0};
    defaults(&c);
    int r = read_files(&c, e);
    for (size_t i = 0; r == 0 && i < N_ELEMENTS(settings); i++) {
        const char *v = getenv(settings[i].env);
        if (v && *v)
            r = set(&c, settings[i].key, v, e);
    }
    for (char *const *p = overrides; r == 0 && p && *p; p++) {
        const char *eq = strchr(*p, '=');
        scoped_free char *key = eq ? xstrndup(*p, (size_t)(eq - *p)) : xstrdup(*p);
        r = set(&c, key, eq ? eq + 1 : "", e);
    }
    bool by_session = r == 0 && !c.run_root;
    if (by_session)
        c.run_root = default_run_root();
    if (r == 0)
        r = check_paths(&c, e);
    if (r < 0)
        return err_add(e, r, "configuration");
    if (by_session)
        conf_settle_run_root(&c);
    *ret = c;
    c = (struct conf){0};
    return 0;
}

void conf_release(struct conf *c)
{
    for (size_t i = 0; i < N_ELEMENTS(settings); i++)
        free(*member(c, &settings[i]));
    strv_free(c->extra);
    *c = (struct conf){0};
}

static int open_sub(const char *base, const char *sub, bool make, struct err *e)
{
    scoped_free char *path = *sub ? path_join(base, sub) : xstrdup(base);
    return fs_open_dir(path, make, 0700, e);
}

int conf_open_root(const struct conf *c, const char *sub, bool make, struct err *e)
{
    int fd = open_sub(c->root, sub, make, e);
    if (fd == -EACCES || fd == -EPERM || fd == -EROFS)
        return err_hint(e, fd, "--root, ROOTLET_ROOT or root in rootlet.conf names another place");
    return fd;
}

/* In a /tmp that everybody may write to, a link that somebody else has put there first would lead
 * us into any directory of ours that is 0700. (fs.protected_symlinks of proc_sys_fs(5) stands
 * against it, where it is set.) */
static int refuse_foreign_link(const char *path, struct err *e)
{
    struct stat st;
    if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode) || st.st_uid == geteuid() || st.st_uid == 0)
        return 0;
    return err_hint(
        e, err_msg(e, EPERM, "%s is a symbolic link that uid %u has made", path, st.st_uid),
        "set XDG_RUNTIME_DIR or --runroot to a directory of your own");
}

/* The runtime directory may lie in a world-writable /tmp: it must be ours alone. Returns it open.
 */
static int open_run_root(const struct conf *c, bool make, struct err *e)
{
    struct stat st;
    int r = refuse_foreign_link(c->run_root, e);
    if (r < 0)
        return r;
    scoped_fd int fd = fs_open_dir(c->run_root, make, 0700, e);
    if (fd < 0)
        return err_hint(e, fd,
                        "set XDG_RUNTIME_DIR, ROOTLET_RUNROOT or --runroot to a directory "
                        "of your own");
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat %s", c->run_root);
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return err_hint(e,
                        err_msg(e, EPERM, "%s belongs to uid %u, mode %o: it must be yours, 0700",
                                c->run_root, st.st_uid, st.st_mode & 07777),
                        "set XDG_RUNTIME_DIR or --runroot to a directory of your own");
    return take_fd(&fd);
}

int conf_open_run(const struct conf *c, const char *sub, bool make, struct err *e)
{
    scoped_fd int fd = open_run_root(c, make, e);
    return fd < 0 || !*sub ? take_fd(&fd) : open_sub(c->run_root, sub, make, e);
}

void conf_env(const struct conf *c, char ***env)
{
    for (size_t i = 0; i < N_ELEMENTS(settings); i++) {
        scoped_free char *pair =
            xasprintf("%s=%s", settings[i].env, *member((struct conf *)(uintptr_t)c, &settings[i]));
        strv_env_set(env, pair);
    }
}

#define CREDS_ENV "ROOTLET_CHILD_CREDS"

void conf_env_creds(const char *creds, char ***env)
{
    if (!creds)
        return;
    char *pair = xasprintf(CREDS_ENV "=%s", creds);
    strv_env_set(env, pair);
    explicit_bzero(pair, strlen(pair));
    free(pair);
}

char *conf_take_creds(void)
{
    char *value = getenv(CREDS_ENV);
    char *own = xstrdup(value);
    if (value) {
        explicit_bzero(value, strlen(value)); /* /proc/PID/environ shows this memory */
        unsetenv(CREDS_ENV);
    }
    return own;
}
