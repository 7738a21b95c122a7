/* quadlet_files - puts unit files of containers where the generator finds them, and takes them
 * away.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "cli/quadlet.h"

struct files_opts {
    bool ignored, replace, force, ignore, no_reload;
};
#define O(m) offsetof(struct files_opts, m)
static const struct opt install_table[] = {
    {"no-reload", 0, OPT_FLAG, O(no_reload), NULL,
     "Leave systemctl --user daemon-reload to others"},
    {"replace", 'r', OPT_FLAG, O(replace), NULL, "Replace files of the same names"},
    {"user", 0, OPT_FLAG, O(ignored), NULL, "For a user's systemd, as always", OPT_IGNORED},
    {NULL},
};
static const struct opt rm_table[] = {
    {"force", 'f', OPT_FLAG, O(force), NULL, "Stop the unit first"},
    {"ignore", 'i', OPT_FLAG, O(ignore), NULL, "A missing one is no error"},
    {"no-reload", 0, OPT_FLAG, O(no_reload), NULL,
     "Leave systemctl --user daemon-reload to others"},
    {NULL},
};

/* Files to copy: from one path to another, in order. */
struct copies {
    char **from, **to;
};

static void copies_release(struct copies *c)
{
    strv_free(c->from);
    strv_free(c->to);
}

static void add_copy(struct copies *c, const char *from, const char *to)
{
    strv_add(&c->from, from);
    strv_add(&c->to, to);
}

/* What a directory holds but hidden files; of those in it only the drop-ins ("web.container.d"). */
static int add_dir(struct copies *c, const char *from, const char *to, bool drop_ins, struct err *e)
{
    scoped_dir DIR *d = opendir(from);
    scoped_strv char **names = NULL;
    if (!d)
        return err_set(e, errno, "%s", from);
    for (struct dirent *de; (de = readdir(d));)
        if (de->d_name[0] != '.')
            strv_add(&names, de->d_name);
    strv_sort(names);
    for (char **n = names; n && *n; n++) {
        scoped_free char *source = path_join(from, *n), *target = path_join(to, *n);
        struct stat st;
        if (stat(source, &st) < 0)
            return err_set(e, errno, "%s", source);
        if (S_ISREG(st.st_mode))
            add_copy(c, source, target);
        else if (S_ISDIR(st.st_mode) && drop_ins && str_ends(*n, ".d")) {
            int r = add_dir(c, source, target, false, e);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int add_argument(struct copies *c, const char *arg, const char *to, struct err *e)
{
    scoped_free char *real = realpath(arg, NULL), *dir = NULL;
    enum quadlet_kind kind;
    struct stat st;
    if (!real || stat(real, &st) < 0)
        return err_set(e, errno, "%s", arg);
    if (S_ISDIR(st.st_mode)) {
        dir = path_join(to, path_name(real));
        return add_dir(c, real, dir, true, e);
    }
    if (!S_ISREG(st.st_mode) || !quadlet_kind_of(path_name(arg), &kind))
        return err_hint(e, err_msg(e, EINVAL, "%s: no unit file of a container", arg),
                        "names end in .container .volume .network .pod .image or .build; files "
                        "that belong to them come along in a directory");
    dir = path_join(to, path_name(arg));
    add_copy(c, real, dir);
    scoped_free char *drop_ins = xasprintf("%s.d", real), *to_drop_ins = xasprintf("%s.d", dir);
    return access(drop_ins, F_OK) == 0 ? add_dir(c, drop_ins, to_drop_ins, false, e) : 0;
}

/* Checked beside one another and beside what is installed. */
static int check_all(const struct copies *c, struct err *e)
{
    struct quadlet_dirs dirs SCOPED(quadlet_dirs_release) = {0};
    struct quadlet_set s SCOPED(quadlet_set_release) = {0};
    scoped_free char *program = NULL;
    scoped_strv char **further = NULL;
    size_t units = 0;
    int worst = -1;
    for (char **f = c->from; f && *f; f++) {
        scoped_free char *dir = xstrndup(*f, (size_t)(path_name(*f) - *f));
        if (!str_ends(dir, ".d/"))
            strv_add(&further, dir);
    }
    cli_quadlet_load(&s, further, &dirs, &program);
    for (char **f = c->from; f && *f; f++) {
        struct quadlet_file *q = quadlet_find(&s, path_name(*f));
        scoped_str struct str out = STR_INIT;
        if (!q || !streq(q->path, *f)) /* one of that name is installed */
            q = quadlet_load_file(&s, *f, &dirs);
        if (!q)
            continue;
        units++;
        cli_quadlet_check(&s, q, &out);
        cli_quadlet_tell(q, QUADLET_LATER);
        worst = quadlet_worst(q) > worst ? quadlet_worst(q) : worst;
    }
    if (units == 0)
        return err_msg(e, EINVAL, "there is no unit file of a container among them");
    return worst < (int)QUADLET_ERROR
               ? 0
               : err_exit(e, err_msg(e, EINVAL, "nothing was installed: see the errors above"), 1);
}

static int check_targets(const struct copies *c, struct err *e)
{
    for (char **t = c->to; t && *t; t++)
        if (access(*t, F_OK) == 0)
            return err_hint(e, err_msg(e, EEXIST, "%s is there already", *t),
                            "--replace replaces it");
    return 0;
}

static int copy(const char *from, const char *to, struct err *e)
{
    scoped_free char *text = NULL, *parent = xstrndup(to, (size_t)(path_name(to) - to - 1));
    ssize_t n = fs_read(AT_FDCWD, from, UNIT_MAX_BYTES, &text, e);
    if (n < 0)
        return (int)n;
    int r = fs_mkdirs(parent, 0755, e);
    return r < 0 ? r : fs_write_atomic(AT_FDCWD, to, text, (size_t)n, 0644, FS_SYNC, e);
}

/* Nobody starts our generator when it lies below a prefix that systemd does not search. */
static void notice_generator(void)
{
    static const char *const dirs[] = {
        "/run/systemd/user-generators", "/etc/systemd/user-generators",
        "/usr/local/lib/systemd/user-generators", "/usr/lib/systemd/user-generators"};
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        scoped_free char *path = path_join(dirs[i], "rootlet-user-generator");
        if (access(path, X_OK) == 0)
            return;
    }
    cli_notice("systemd will not find rootlet-user-generator: link it into "
               "/etc/systemd/user-generators (see rootlet-quadlet(5))");
}

static int install(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct files_opts *o = opts;
    struct copies c SCOPED(copies_release) = {0};
    scoped_free char *to = quadlet_own_dir();
    (void)cmd;
    if (!to)
        return err_msg(e, ENOENT, "neither XDG_CONFIG_HOME nor HOME says where to");
    int r = 0;
    for (char **a = args; r == 0 && *a; a++)
        r = add_argument(&c, *a, to, e);
    if (r == 0)
        r = check_all(&c, e);
    if (r == 0 && !o->replace)
        r = check_targets(&c, e);
    for (size_t i = 0; r == 0 && c.from && c.from[i]; i++) {
        r = copy(c.from[i], c.to[i], e);
        if (r == 0)
            puts(c.to[i]);
    }
    if (r < 0)
        return r;
    notice_generator();
    if (!o->no_reload)
        cli_quadlet_reload();
    return 0;
}

static bool is_active(const char *service)
{
    if (strstr(service, "@."))
        return false;
    scoped_free char *state =
        cli_systemctl((char *[]){(char *)(uintptr_t) "is-active", (char *)(uintptr_t) "--",
                                 (char *)(uintptr_t)service, NULL});
    return state && (str_after(state, "active") || str_after(state, "activating"));
}

static int remove_file(const struct quadlet_file *f, const char *own, bool force, struct err *e)
{
    scoped_free char *service = quadlet_service_name(f), *drop_ins = xasprintf("%s.d", f->path);
    if (!str_after(f->path, own) || f->path[strlen(own)] != '/')
        return err_hint(e, err_msg(e, EPERM, "%s is not in %s", f->path, own), "remove it by hand");
    if (is_active(service)) {
        if (!force)
            return err_exit(e,
                            err_hint(e, err_msg(e, EBUSY, "%s is active", service),
                                     "systemctl --user stop %s, or --force", service),
                            2);
        free(cli_systemctl(
            (char *[]){(char *)(uintptr_t) "stop", (char *)(uintptr_t) "--", service, NULL}));
    }
    if (unlink(f->path) < 0)
        return err_set(e, errno, "remove %s", f->path);
    return fs_remove_tree(AT_FDCWD, drop_ins, e);
}

static int rm(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct files_opts *o = opts;
    struct quadlet_set s SCOPED(quadlet_set_release) = {0};
    struct quadlet_dirs dirs SCOPED(quadlet_dirs_release) = {0};
    scoped_free char *program = NULL, *path = quadlet_own_dir();
    scoped_free char *own = path ? realpath(path, NULL) : NULL;
    bool removed = false;
    int r = 0;
    (void)cmd;
    cli_quadlet_load(&s, NULL, &dirs, &program);
    for (char **a = args; r == 0 && *a; a++) {
        const struct quadlet_file *f = quadlet_find(&s, *a);
        if (!f && o->ignore)
            continue;
        r = f ? remove_file(f, own ? own : "", o->force, e)
              : err_exit(e,
                         err_hint(e, err_msg(e, ENOENT, "there is no unit file %s", *a),
                                  "'rootlet quadlet list' lists them"),
                         1);
        if (r == 0)
            puts(*a);
        removed = removed || r == 0;
    }
    if (removed && !o->no_reload)
        cli_quadlet_reload();
    return r;
}

const struct cmd cli_quadlet_files_cmds[] = {
    {
        .name = "quadlet install",
        .args = "FILE|DIR...",
        .summary = "Check unit files of containers and put them where systemd's generator looks",
        .opts = install_table,
        .opts_size = sizeof(struct files_opts),
        .min_args = 1,
        .max_args = -1,
        .run = install,
        .examples = "rootlet quadlet install web.container\nsystemctl --user start web",
    },
    {
        .name = "quadlet rm",
        .args = "NAME...",
        .summary = "Remove installed unit files of containers",
        .opts = rm_table,
        .opts_size = sizeof(struct files_opts),
        .min_args = 1,
        .max_args = -1,
        .run = rm,
        .examples = "rootlet quadlet rm -f web.container",
    },
    {NULL},
};
