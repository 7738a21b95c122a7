/* rootlet-user-generator - makes services of the users' container files when a user's systemd
 * starts or reloads; see systemd.generator(7) and rootlet-quadlet(5).
 *
 * It reads files and writes units: no bus, no program, no locale. What is wrong with a file is said
 * on standard error, which systemd hands to the journal, and by a service that fails in its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/path.h"
#include "conf/conf.h"
#include "quadlet/load.h"

#define NAME "rootlet-user-generator"
#define MADE "# Made by rootlet" /* how each unit of the translation begins */

struct generator {
    struct quadlet_set set;
    const char *normal, *early; /* NULL: print */
    bool quiet;                 /* notes are left out */
    char **written;             /* units of this run, by path */
    int failed;
};

static void say(int level, const char *text, const char *hint)
{
    char line[2000];
    /* The journal takes the number as the level; a terminal need not see it. */
    if (!isatty(STDERR_FILENO))
        fprintf(stderr, "<%d>", level);
    fprintf(stderr, NAME ": %s", err_escape(line, sizeof(line), text));
    if (hint)
        fprintf(stderr, " (%s)", err_escape(line, sizeof(line), hint));
    fputc('\n', stderr);
}

static void fail(struct generator *g, const struct err *e)
{
    g->failed = 1;
    say(3, e->msg, e->hint[0] ? e->hint : NULL);
}

static void tell_problems(struct generator *g, const struct quadlet_file *f)
{
    static const int levels[] = {[QUADLET_NOTE] = 6, [QUADLET_LATER] = 4, [QUADLET_ERROR] = 3};
    for (size_t i = 0; i < f->n_problems; i++) {
        const struct quadlet_problem *p = &f->problems[i];
        if (p->severity == QUADLET_ERROR)
            g->failed = 1;
        if (p->severity != QUADLET_NOTE || !g->quiet)
            say(levels[p->severity], p->text, p->hint);
    }
}

/* Ours of an earlier run? systemd empties its directories; those of a run by hand stay. */
static bool is_old(const struct generator *g, const char *path)
{
    scoped_free char *text = NULL;
    return !strv_has(g->written, path) &&
           fs_read(AT_FDCWD, path, UNIT_MAX_BYTES, &text, NULL) >= 0 && str_after(text, MADE);
}

/* A file of that name that is there already is another generator's or another file's: it stays. */
static int write_unit(struct generator *g, const char *path, const struct str *text, struct err *e)
{
    if (is_old(g, path))
        unlink(path);
    scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return errno == EEXIST ? err_hint(e, err_msg(e, EEXIST, "%s was made by another", path),
                                          "give one of the two ServiceName=")
                               : err_set(e, errno, "make %s", path);
    strv_add(&g->written, path);
    int r = fs_write_all(fd, text->s, text->len);
    return r < 0 ? err_set(e, -r, "write %s", path) : 0;
}

static int link_unit(const char *dir, const char *name, const char *target, struct err *e)
{
    scoped_free char *path = path_join(dir, name);
    const char *slash = strchr(name, '/');
    scoped_free char *parent =
        slash ? xasprintf("%s/%.*s", dir, (int)(slash - name), name) : xstrdup(dir);
    int r = fs_mkdirs(parent, 0755, e);
    if (r < 0)
        return r;
    if (symlink(target, path) < 0 && errno != EEXIST)
        return err_set(e, errno, "link %s", path);
    return 0;
}

static void emit(struct generator *g, struct quadlet_file *f, const struct str *text)
{
    scoped_free char *service = quadlet_service_name(f);
    scoped_strv char **links = quadlet_links(f);
    struct err e = ERR_INIT;
    if (!g->normal) {
        printf("---%s---\n%s\n", service, text->s);
        return;
    }
    /* What podman's generator makes too has to be found before it, whoever writes first. */
    const char *dir = f->shared ? g->early : g->normal;
    scoped_free char *path = path_join(dir, service);
    int r = fs_mkdirs(dir, 0755, &e);
    if (r == 0)
        r = write_unit(g, path, text, &e);
    for (char **l = links; r == 0 && l && *l; l += 2)
        r = link_unit(dir, l[0], l[1], &e);
    if (r < 0)
        fail(g, &e);
}

static void generate(struct generator *g, struct quadlet_file *f)
{
    scoped_str struct str text = STR_INIT;
    if (quadlet_translate(&g->set, f, &text) == 0)
        emit(g, f, &text);
}

/* After all others, so that it takes no good unit's name. */
static void generate_failing(struct generator *g, struct quadlet_file *f)
{
    scoped_str struct str text = STR_INIT;
    scoped_free char *service = quadlet_service_name(f);
    if (quadlet_worst(f) < (int)QUADLET_ERROR || !quadlet_is_unit_name(service))
        return;
    quadlet_failing_unit(&g->set, f, &text);
    emit(g, f, &text);
}

/* "auto", "all" or "own", by rootlet.conf; a broken one must not stop the user's services. */
static char *read_take(struct generator *g)
{
    struct conf c = {0};
    struct err e = ERR_INIT;
    if (conf_load(NULL, &c, &e) < 0)
        fail(g, &e);
    const char *take = strv_env_get(c.extra, "quadlet");
    char *copy = xstrdup(take && (streq(take, "all") || streq(take, "own")) ? take : "auto");
    conf_release(&c);
    return copy;
}

static int run(struct generator *g)
{
    struct quadlet_dirs dirs SCOPED(quadlet_dirs_release) = {0};
    quadlet_dirs_default(&dirs);
    if (dirs.n == 0)
        return 0;
    if (dirs.n == QUADLET_DIRS_MAX)
        say(4, "only the first 1000 directories are searched for unit files",
            "a link that leads out of them?");
    scoped_free char *program = quadlet_program(), *take = read_take(g);
    g->set.program = program;
    g->set.exists = quadlet_path_exists;
    quadlet_load(&g->set, &dirs, take);
    for (size_t i = 0; i < g->set.n; i++)
        generate(g, g->set.files[i]);
    for (size_t i = 0; i < g->set.n; i++)
        generate_failing(g, g->set.files[i]);
    for (size_t i = 0; i < g->set.n; i++)
        tell_problems(g, g->set.files[i]);
    quadlet_set_release(&g->set);
    strv_free(g->written);
    return fflush(stdout) == 0 ? g->failed : 1;
}

int main(int argc, char **argv)
{
    struct generator g = {0};
    int i = 1;
    bool print = false;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *o = argv[i] + strspn(argv[i], "-");
        if (streq(o, "version")) {
            puts("rootlet version " PACKAGE_VERSION);
            return 0;
        }
        print = print || streq(o, "dryrun") || streq(o, "dry-run");
        if (!streq(o, "dryrun") && !streq(o, "dry-run") && !streq(o, "user") && !streq(o, "v")) {
            fputs("usage: " NAME " [--dry-run] NORMAL-DIR [EARLY-DIR LATE-DIR]\n", stderr);
            return 1;
        }
    }
    if (!print) {
        if (i >= argc) {
            fputs("usage: " NAME " [--dry-run] NORMAL-DIR [EARLY-DIR LATE-DIR]\n", stderr);
            return 1;
        }
        g.normal = argv[i];
        g.early = i + 1 < argc ? argv[i + 1] : argv[i];
        g.quiet = true;
    }
    return run(&g);
}
