/* quadlet - what becomes of unit files of containers: check, print, keys. */
#include "cli/quadlet.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/path.h"
#include "cli/runopts.h"

struct check_opts {
    bool fail, quiet;
};
#define O(m) offsetof(struct check_opts, m)
static const struct opt check_table[] = {
    {"fail", 0, OPT_FLAG, O(fail), NULL, "Fail in any case: for the unit that stands for a file",
     OPT_HIDDEN},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Errors only"},
    {NULL},
};
struct no_opts {
    char unused;
};
static const struct opt no_table[] = {{NULL}};

void cli_quadlet_load(struct quadlet_set *s, char *const *further, struct quadlet_dirs *dirs,
                      char **ret_program)
{
    const char *take = strv_env_get(cli_conf()->extra, "quadlet");
    quadlet_dirs_default(dirs);
    for (char *const *f = further; f && *f; f++)
        quadlet_dirs_add_one(dirs, *f);
    *ret_program = quadlet_program();
    s->program = *ret_program;
    s->exists = quadlet_path_exists;
    quadlet_load(s, dirs, take ? take : "auto");
}

static bool has_specifier(char *const *words)
{
    for (; words && *words; words++)
        if (strpbrk(*words, "%$") && !str_after(*words, "--name=")) /* ours: systemd-%N */
            return true;
    return false;
}

/* The words of PodmanArgs= and what later versions can do: the option table knows. */
static void ask_run(struct quadlet_file *f)
{
    struct run_opts o = {0};
    struct err e = ERR_INIT;
    scoped_free char **args = NULL;
    bool help = false;
    if (!f->run)
        return;
    if (opt_parse(&cli_run_cmds[0], f->run, &o, &args, &help, &e) < 0) {
        /* What a specifier stands for, nobody knows here. */
        quadlet_problem(f,
                        strstr(e.msg, "unknown") ? QUADLET_ERROR
                        : !has_specifier(f->run) ? QUADLET_LATER
                                                 : QUADLET_NOTE,
                        NULL, "%s: rootlet run: %s", f->path, e.msg);
        if (e.hint[0])
            quadlet_hint(f, "%s", e.hint);
    }
    opt_release(run_table, &o);
}

void cli_quadlet_check(const struct quadlet_set *s, struct quadlet_file *f, struct str *out)
{
    scoped_strv char **links = NULL;
    if (quadlet_translate(s, f, out) < 0)
        return;
    links = quadlet_links(f);
    ask_run(f);
}

void cli_quadlet_tell(const struct quadlet_file *f, enum quadlet_severity least)
{
    static const char *const words[] = {
        [QUADLET_NOTE] = "note", [QUADLET_LATER] = "not yet", [QUADLET_ERROR] = "error"};
    char text[2000];
    for (size_t i = 0; i < f->n_problems; i++) {
        const struct quadlet_problem *p = &f->problems[i];
        if (p->severity < least)
            continue;
        printf("%s: %s\n", words[p->severity], err_escape(text, sizeof(text), p->text));
        if (p->hint)
            printf("  hint: %s\n", err_escape(text, sizeof(text), p->hint));
    }
}

/* The files of the command line, their neighbours and all that the generator takes. */
static int load_named(char **args, struct quadlet_set *s, struct quadlet_file ***ret,
                      char **ret_program, struct err *e)
{
    struct quadlet_dirs dirs SCOPED(quadlet_dirs_release) = {0};
    scoped_strv char **further = NULL;
    enum quadlet_kind kind;
    size_t n = 0;
    for (char **a = args; *a; a++) {
        if (!quadlet_kind_of(path_name(*a), &kind))
            return err_hint(e, err_msg(e, EINVAL, "%s: its name tells no kind of unit", *a),
                            "names end in .container .volume .network .pod .image or .build");
        if (access(*a, R_OK) < 0)
            return err_set(e, errno, "%s", *a);
        scoped_free char *dir = xstrndup(*a, (size_t)(path_name(*a) - *a));
        strv_add(&further, *dir ? dir : ".");
    }
    cli_quadlet_load(s, further, &dirs, ret_program);
    struct quadlet_file **list = xcalloc(strv_len(args) + s->n + 1, sizeof(struct quadlet_file *));
    for (size_t i = 0; !*args && i < s->n; i++)
        list[n++] = s->files[i];
    for (char **a = args; *a; a++) {
        /* Another directory may have a file of that name: this one is meant. */
        scoped_free char *dir = xstrndup(*a, (size_t)(path_name(*a) - *a));
        scoped_free char *real = realpath(*dir ? dir : ".", NULL);
        scoped_free char *path = path_join(real ? real : ".", path_name(*a));
        struct quadlet_file *f = quadlet_find(s, path_name(*a));
        list[n++] = f && streq(f->path, path) ? f : quadlet_load_file(s, path, &dirs);
    }
    *ret = list;
    return 0;
}

static int check(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct check_opts *o = opts;
    struct quadlet_set s SCOPED(quadlet_set_release) = {0};
    scoped_free struct quadlet_file **files = NULL;
    scoped_free char *program = NULL;
    bool bad = o->fail;
    (void)cmd;
    int r = load_named(args, &s, &files, &program, e);
    for (size_t i = 0; r == 0 && files[i]; i++) {
        scoped_str struct str out = STR_INIT;
        scoped_free char *service = quadlet_service_name(files[i]);
        cli_quadlet_check(&s, files[i], &out);
        cli_quadlet_tell(files[i], o->quiet ? QUADLET_LATER : QUADLET_NOTE);
        bool wrong = quadlet_worst(files[i]) >= (int)QUADLET_LATER;
        bad = bad || wrong;
        if (!wrong && o->fail)
            printf("%s: no errors any more: systemctl --user daemon-reload\n", files[i]->path);
        else if (!wrong && !o->quiet)
            printf("%s: %s\n", files[i]->name, service);
    }
    return r < 0 ? r : bad;
}

static int print(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct quadlet_set s SCOPED(quadlet_set_release) = {0};
    scoped_free struct quadlet_file **files = NULL;
    scoped_free char *program = NULL;
    bool several = args[1];
    (void)cmd;
    (void)opts;
    int r = load_named(args, &s, &files, &program, e);
    for (size_t i = 0; r == 0 && files[i]; i++) {
        scoped_str struct str out = STR_INIT;
        scoped_free char *service = quadlet_service_name(files[i]);
        r = quadlet_translate(&s, files[i], &out);
        for (size_t p = 0; r < 0 && p < files[i]->n_problems; p++)
            if (files[i]->problems[p].severity == QUADLET_ERROR) {
                err_msg(e, -r, "%s", files[i]->problems[p].text);
                err_hint(e, r, "%s",
                         files[i]->problems[p].hint ? files[i]->problems[p].hint
                                                    : "see 'rootlet quadlet check'");
                return err_exit(e, r, 1);
            }
        printf("%s%s%s%s", several ? "---" : "", several ? service : "", several ? "---\n" : "",
               out.s);
    }
    return r;
}

static int keys(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    bool any = false;
    (void)cmd;
    (void)opts;
    for (int k = 0; k < QUADLET_N_KINDS; k++) {
        struct quadlet_key_info info;
        if (args[0] && !streq(args[0], quadlet_kind_name((enum quadlet_kind)k)))
            continue;
        any = true;
        for (size_t i = 0; quadlet_key((enum quadlet_kind)k, i, &info); i++)
            printf("%s\t%s\t%s\t%s\n", quadlet_section((enum quadlet_kind)k), info.name, info.state,
                   info.what);
    }
    return any ? 0
               : err_hint(e, err_msg(e, EINVAL, "%s: no such kind", args[0]),
                          "container, volume, network, pod, image or build");
}

const struct cmd cli_quadlet_cmds[] = {
    {
        .name = "quadlet check",
        .args = "[FILE...]",
        .summary = "Tell what is wrong with unit files of containers",
        .opts = check_table,
        .opts_size = sizeof(struct check_opts),
        .max_args = -1,
        .run = check,
        .examples = "rootlet quadlet check\nrootlet quadlet check web.container",
    },
    {
        .name = "quadlet print",
        .args = "FILE...",
        .summary = "Print the units that come of unit files of containers",
        .opts = no_table,
        .opts_size = sizeof(struct no_opts),
        .min_args = 1,
        .max_args = -1,
        .run = print,
        .examples = "rootlet quadlet print web.container",
    },
    {
        .name = "quadlet keys",
        .args = "[KIND]",
        .summary = "List the keys of unit files of containers and what comes of them",
        .opts = no_table,
        .opts_size = sizeof(struct no_opts),
        .max_args = 1,
        .run = keys,
        .examples = "rootlet quadlet keys container",
    },
    {NULL},
};
