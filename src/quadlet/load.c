/* load - see load.h. */
#include "quadlet/load.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/path.h"

#define DEPTH_MAX 16
#define PODMAN_GENERATOR "podman-user-generator"

static bool is_number(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s);
}

static bool is_known(const struct quadlet_dirs *d, const char *path)
{
    for (size_t i = 0; i < d->n; i++)
        if (streq(d->v[i].path, path))
            return true;
    return false;
}

/* The names in a directory, sorted; NULL when there is none. */
static char **names_in(const char *path)
{
    scoped_dir DIR *dir = opendir(path);
    char **names = NULL;
    for (struct dirent *de; dir && (de = readdir(dir));)
        if (de->d_name[0] != '.')
            strv_add(&names, de->d_name);
    strv_sort(names);
    return names;
}

/* users: the directory's numbers are other users'. */
static void add_tree(struct quadlet_dirs *d, const char *path, bool own, bool users, int depth)
{
    if (d->n == QUADLET_DIRS_MAX)
        return;
    scoped_free char *real = realpath(path, NULL);
    struct stat st;
    if (!real || stat(real, &st) < 0 || !S_ISDIR(st.st_mode) || is_known(d, real))
        return;
    d->v = xrealloc(d->v, (d->n + 1) * sizeof(*d->v));
    d->v[d->n++] = (struct quadlet_dir){.path = xstrdup(real), .own = own};
    scoped_strv char **names = depth < DEPTH_MAX ? names_in(real) : NULL;
    for (char **n = names; n && *n; n++) {
        if (str_ends(*n, ".d") || strchr(*n, '.') == *n || (users && is_number(*n)))
            continue;
        scoped_free char *below = path_join(real, *n);
        add_tree(d, below, own, false, depth + 1);
    }
}

void quadlet_dirs_add(struct quadlet_dirs *d, const char *path, bool own)
{
    add_tree(d, path, own, false, 0);
}

void quadlet_dirs_add_one(struct quadlet_dirs *d, const char *path)
{
    scoped_free char *real = realpath(path, NULL);
    add_tree(d, path, true, false, DEPTH_MAX);
    for (size_t i = 0; i < d->n; i++)
        if (streq(d->v[i].path, real))
            d->v[i].own = true;
}

static char *config_dir(const char *below)
{
    const char *x = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (x && *x == '/')
        return path_join(x, below);
    scoped_free char *config = home && *home == '/' ? path_join(home, ".config") : NULL;
    return config ? path_join(config, below) : NULL;
}

char *quadlet_own_dir(void)
{
    return config_dir("rootlet/systemd");
}

static void add_podmans(struct quadlet_dirs *d)
{
    static const char *const bases[] = {"/etc/containers/systemd/users",
                                        "/usr/share/containers/systemd/users"};
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    scoped_free char *config = config_dir("containers/systemd");
    if (runtime && *runtime == '/') {
        scoped_free char *path = path_join(runtime, "containers/systemd");
        quadlet_dirs_add(d, path, false);
    }
    if (config)
        quadlet_dirs_add(d, config, false);
    for (size_t i = 0; i < N_ELEMENTS(bases); i++) {
        scoped_free char *mine = xasprintf("%s/%u", bases[i], getuid());
        quadlet_dirs_add(d, mine, false);
        add_tree(d, bases[i], false, true, 0);
    }
}

void quadlet_dirs_default(struct quadlet_dirs *d)
{
    const char *set = getenv("QUADLET_UNIT_DIRS");
    scoped_free char *own = quadlet_own_dir();
    if (own)
        quadlet_dirs_add(d, own, true);
    if (!set || !*set) {
        add_podmans(d);
        return;
    }
    scoped_strv char **paths = strv_split(set, ":", false);
    for (char **p = paths; p && *p; p++)
        quadlet_dirs_add(d, *p, false);
}

void quadlet_dirs_release(struct quadlet_dirs *d)
{
    for (size_t i = 0; i < d->n; i++)
        free(d->v[i].path);
    free(d->v);
    *d = (struct quadlet_dirs){0};
}

bool quadlet_podman_generates(void)
{
    const char *set = getenv("SYSTEMD_GENERATOR_PATH");
    scoped_strv char **dirs =
        strv_split(set && *set ? set
                               : "/run/systemd/user-generators:/etc/systemd/user-generators:"
                                 "/usr/local/lib/systemd/user-generators:"
                                 "/usr/lib/systemd/user-generators",
                   ":", false);
    for (char **d = dirs; d && *d; d++) {
        scoped_free char *path = path_join(*d, PODMAN_GENERATOR);
        struct stat st;
        if (lstat(path, &st) < 0)
            continue;
        /* The first one counts; a link to /dev/null or an empty file masks it. */
        return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (st.st_mode & 0111);
    }
    return false;
}

/* The text of a regular file. 1, 0 for a masked one (a link to /dev/null), or -errno. */
static int read_text(const char *path, char **ret, size_t *ret_len, struct err *e)
{
    struct stat st;
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(e, errno, "%s", path);
    if (S_ISCHR(st.st_mode))
        return 0;
    if (!S_ISREG(st.st_mode))
        return err_msg(e, EINVAL, "%s: no regular file", path);
    ssize_t n = fs_read_fd(fd, UNIT_MAX_BYTES, ret, e);
    if (n < 0)
        return err_add(e, (int)n, "%s", path);
    *ret_len = (size_t)n;
    return 1;
}

static void add_drop_in(struct quadlet_file *f, const char *path)
{
    struct err e = ERR_INIT;
    scoped_free char *text = NULL;
    size_t len = 0;
    int r = read_text(path, &text, &len, &e);
    if (r > 0)
        quadlet_add_drop_in(f, path, text, len);
    else if (r < 0)
        quadlet_problem(f, QUADLET_ERROR, NULL, "%s", e.msg);
}

/* Of drop-ins of one name the most specific counts; they are read in the order of their names. */
static void add_drop_ins(struct quadlet_file *f, const struct quadlet_dirs *d)
{
    scoped_strv char **places = quadlet_drop_in_dirs(f->name), **found = NULL, **names = NULL;
    for (char **p = places; *p; p++)
        for (size_t i = 0; i < d->n; i++) {
            scoped_free char *dir = path_join(d->v[i].path, *p);
            scoped_strv char **in = names_in(dir);
            for (char **n = in; n && *n; n++) {
                if (!str_ends(*n, ".conf") || strv_has(names, *n))
                    continue;
                strv_add(&names, *n);
                /* NAME and its path, to be sorted by the name. */
                strv_addf(&found, "%s\n%s/%s", *n, dir, *n);
            }
        }
    strv_sort(found);
    for (char **p = found; p && *p; p++)
        add_drop_in(f, strchr(*p, '\n') + 1);
}

struct quadlet_file *quadlet_load_file(struct quadlet_set *s, const char *path,
                                       const struct quadlet_dirs *d)
{
    struct err e = ERR_INIT;
    scoped_free char *text = NULL;
    size_t len = 0;
    int r = read_text(path, &text, &len, &e);
    struct quadlet_file *f = quadlet_add(s, path, text ? text : "", len);
    if (f && r <= 0)
        quadlet_problem(f, QUADLET_ERROR, NULL, "%s", r < 0 ? e.msg : path);
    if (f && d)
        add_drop_ins(f, d);
    return f;
}

static bool is_masked(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISCHR(st.st_mode);
}

static bool makes_same(const struct quadlet_set *others, const struct quadlet_file *f)
{
    scoped_free char *service = quadlet_service_name(f);
    for (size_t i = 0; i < others->n; i++) {
        scoped_free char *other = quadlet_service_name(others->files[i]);
        if (streq(service, other))
            return true;
    }
    return false;
}

struct loading {
    struct quadlet_set *set, others; /* others: what podman's generator alone makes */
    const struct quadlet_dirs *dirs;
    const char *take;
    bool podman;
    char **seen;
};

static bool is_taken(const struct loading *l, const struct quadlet_dir *dir, const char *path)
{
    if (dir->own || streq(l->take, "all"))
        return true;
    if (streq(l->take, "own"))
        return false;
    if (!l->podman)
        return true;
    struct quadlet_set one = {0};
    const struct quadlet_file *f = quadlet_load_file(&one, path, NULL);
    bool claimed = f && unit_section(&f->unit, "X-Rootlet");
    quadlet_set_release(&one);
    return claimed;
}

static void load_dir(struct loading *l, const struct quadlet_dir *dir)
{
    scoped_strv char **names = names_in(dir->path);
    enum quadlet_kind kind;
    for (char **n = names; n && *n; n++) {
        scoped_free char *path = path_join(dir->path, *n);
        struct stat st;
        if (!quadlet_kind_of(*n, &kind) || (stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
            continue;
        bool taken = is_taken(l, dir, path);
        if (l->podman && !dir->own)
            quadlet_load_file(&l->others, path, NULL);
        if (!taken || strv_has(l->seen, *n))
            continue;
        strv_add(&l->seen, *n);
        if (!is_masked(path))
            quadlet_load_file(l->set, path, l->dirs);
    }
}

void quadlet_load(struct quadlet_set *s, const struct quadlet_dirs *d, const char *take)
{
    struct loading l = {.set = s, .dirs = d, .take = take, .podman = quadlet_podman_generates()};
    for (size_t i = 0; i < d->n; i++)
        load_dir(&l, &d->v[i]);
    for (size_t i = 0; i < s->n; i++)
        s->files[i]->shared = makes_same(&l.others, s->files[i]);
    quadlet_set_release(&l.others);
    strv_free(l.seen);
}

bool quadlet_path_exists(const char *path)
{
    return access(path, F_OK) == 0 || errno != ENOENT;
}

char *quadlet_program(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        scoped_free char *beside =
            slash ? xasprintf("%.*s/rootlet", (int)(slash - self), self) : NULL;
        if (beside && *beside == '/' && access(beside, X_OK) == 0)
            return take_ptr(beside);
    }
    return xstrdup(BINDIR "/rootlet");
}
