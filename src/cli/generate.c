/* generate - units of systemd for containers that are there. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/path.h"
#include "cli/cli.h"
#include "cli/runopts.h"
#include "quadlet/load.h"
#include "quadlet/words.h"

/* What a stop takes beyond the container's own time. */
#define STOP_EXTRA_SECONDS 60

struct generate_opts {
    bool is_new, name, files;
    char *restart, *prefix, *separator;
    char **after, **wants, **requires;
    int64_t time, restart_sec;
    bool time_set, restart_sec_set;
};
#define O(m) offsetof(struct generate_opts, m)
static const struct opt systemd_table[] = {
    {"after", 0, OPT_STRV, O(after), "UNIT", "Start behind another unit"},
    {"container-prefix", 0, OPT_STRING, O(prefix), "TEXT",
     "First part of the unit's name (container)"},
    {"files", 'f', OPT_FLAG, O(files), NULL, "Write a file into the working directory"},
    {"name", 'n', OPT_FLAG, O(name), NULL, "Name the unit by the container's name, not its id"},
    {"new", 0, OPT_FLAG, O(is_new), NULL, "Make the container anew at each start"},
    {"requires", 0, OPT_STRV, O(requires), "UNIT", "Start only with another unit"},
    {"restart-policy", 0, OPT_STRING, O(restart), "POLICY",
     "systemd's Restart= (on-failure): no, always, on-failure, ..."},
    {"restart-sec", 0, OPT_INT, O(restart_sec), "SECONDS", "systemd's RestartSec=", 0, NULL, NULL,
     O(restart_sec_set)},
    {"separator", 0, OPT_STRING, O(separator), "TEXT", "Between prefix and name (-)"},
    {"stop-timeout", 0, OPT_INT, O(time), "SECONDS", NULL, 0, "time", NULL, O(time_set)},
    {"time", 't', OPT_INT, O(time), "SECONDS", "Time from the stop signal to SIGKILL", 0, NULL,
     NULL, O(time_set)},
    {"wants", 0, OPT_STRV, O(wants), "UNIT", "Start with another unit"},
    {NULL},
};

/* Options of run that a unit sets itself or cannot have. */
static bool is_dropped(const struct opt *o)
{
    static const char *const names[] = {"attach",  "detach",  "detach-keys", "interactive", "name",
                                        "replace", "restart", "rm",          "sig-proxy",   "tty",
                                        "unit",    "cidfile", "creds",       NULL};
    const char *name = o->alias_of ? o->alias_of : o->name;
    return strv_has((char *const *)(uintptr_t)names, name);
}

static const struct opt *find_option(const char *name, size_t n, char short_name)
{
    for (const struct opt *o = run_table; o->name; o++)
        if (short_name ? o->short_name == short_name
                       : strlen(o->name) == n && strncmp(o->name, name, n) == 0)
            return o;
    return NULL;
}

static bool takes_word(const struct opt *o)
{
    return o->arg && !(o->flags & OPT_OPTVAL);
}

static void add_word(char ***words, const char *word)
{
    strv_take(words, words_literal(word, true));
}

/* "-dit": the letters that stay; returns whether the next word is the last one's value. */
static bool keep_short(const char *letters, char *const *next, char ***words)
{
    for (; *letters; letters++) {
        const struct opt *o = find_option("", 0, *letters);
        if (!o)
            continue;
        bool value = takes_word(o);
        if (!is_dropped(o)) {
            scoped_free char *word = xasprintf("-%c%s", *letters, value ? letters + 1 : "");
            add_word(words, word);
            if (value && !letters[1] && *next)
                add_word(words, *next);
        }
        if (value)
            return !letters[1] && *next;
    }
    return false;
}

/* The options of a run or create command line that a unit takes over, then its arguments. */
static void keep_options(char *const *argv, char ***words)
{
    char *const *a = argv;
    for (; *a && (*a)[0] == '-' && (*a)[1]; a++) {
        if ((*a)[1] != '-') {
            a += keep_short(*a + 1, a + 1, words);
            continue;
        }
        if (!(*a)[2])
            break;
        size_t n = strcspn(*a + 2, "=");
        const struct opt *o = find_option(*a + 2, n, '\0');
        bool next = o && takes_word(o) && !(*a)[2 + n] && a[1];
        if (!o || !is_dropped(o)) {
            add_word(words, *a);
            if (next)
                add_word(words, a[1]);
        }
        a += next;
    }
    for (; *a; a++)
        add_word(words, *a);
}

/* ExecStart= of --new: the command line that made the container, as a unit wants it. */
static int new_command(const struct container *c, const struct generate_opts *o, char ***words,
                       struct err *e)
{
    char *const *argv = c->rec.create_command;
    size_t verb = argv && argv[0] ? 1 : 0;
    while (verb && argv[verb] && !streq(argv[verb], "run") && !streq(argv[verb], "create"))
        verb++;
    if (!verb || !argv[verb])
        return err_hint(e, err_msg(e, ENOTSUP, "how %s was made is not known", c->state.name),
                        "leave out --new");
    for (size_t i = 1; i < verb; i++)
        if (!streq(argv[i], "container"))
            add_word(words, argv[i]);
    strv_add(words, "run");
    strv_add(words, "--unit");
    strv_add(words, "--rm");
    strv_add(words, "--replace");
    strv_addf(words, "--name=%s", c->state.name);
    if (o->time_set)
        strv_addf(words, "--stop-timeout=%lld", (long long)o->time);
    keep_options(argv + verb + 1, words);
    return 0;
}

static void add_exec(struct str *out, const char *key, const char *prefix, char *const *words)
{
    scoped_free char *program = quadlet_program(), *literal = words_literal(program, true);
    str_addf(out, "%s=%s", key, prefix);
    words_quote(out, literal);
    for (; words && *words; words++) {
        str_addc(out, ' ');
        words_quote(out, *words);
    }
    str_addc(out, '\n');
}

static int add_units(struct str *out, const char *key, char *const *units, struct err *e)
{
    for (char *const *u = units; u && *u; u++) {
        if (!quadlet_is_unit_name(*u))
            return err_msg(e, EINVAL, "\"%s\" is no unit", *u);
        str_addf(out, "%s=%s\n", key, *u);
    }
    return 0;
}

static int check_policy(const char *policy, struct err *e)
{
    static const char *const known[] = {"no",          "always",      "on-success", "on-failure",
                                        "on-abnormal", "on-watchdog", "on-abort",   NULL};
    if (!policy || strv_has((char *const *)(uintptr_t)known, policy))
        return 0;
    return err_hint(e, err_msg(e, EINVAL, "--restart-policy %s: no such policy", policy),
                    "systemd.service(5): no, always, on-success, on-failure, on-abnormal, "
                    "on-watchdog, on-abort");
}

static int make_unit(const struct container *c, const struct generate_opts *o, struct str *out,
                     struct err *e)
{
    scoped_strv char **words = NULL, **rm = NULL;
    long long stop = o->time_set ? o->time : c->rec.stop_timeout_s;
    int r = check_policy(o->restart, e);
    str_addf(out, "# Made by rootlet generate systemd.\n[Unit]\nDescription=Container %s\n",
             c->state.name);
    if (r == 0)
        r = add_units(out, "After", o->after, e);
    if (r == 0)
        r = add_units(out, "Wants", o->wants, e);
    if (r == 0)
        r = add_units(out, "Requires", o->requires, e);
    if (r == 0 && o->is_new)
        r = new_command(c, o, &words, e);
    if (r < 0)
        return r;
    if (!o->is_new && c->rec.restart_policy && !streq(c->rec.restart_policy, "no"))
        return err_hint(e,
                        err_msg(e, EINVAL,
                                "%s has the restart policy \"%s\", and systemd restarts "
                                "a unit",
                                c->state.name, c->rec.restart_policy),
                        "'rootlet update --restart=no %s', or --new", c->state.name);
    if (!o->is_new) {
        strv_add(&words, "start");
        strv_add(&words, "--unit");
        strv_add(&words, c->state.name);
    }
    str_addf(out, "\n[Service]\nType=notify\nNotifyAccess=main\nRestart=%s\n",
             o->restart ? o->restart : "on-failure");
    if (o->restart_sec_set)
        str_addf(out, "RestartSec=%lld\n", (long long)o->restart_sec);
    str_addf(out, "TimeoutStopSec=%lld\nKillMode=mixed\nDelegate=yes\nSyslogIdentifier=%%N\n",
             stop + STOP_EXTRA_SECONDS);
    add_exec(out, "ExecStart", "", words);
    if (o->is_new) {
        strv_add(&rm, "rm");
        strv_add(&rm, "--force");
        strv_add(&rm, "--ignore");
        strv_add(&rm, "--volumes");
        strv_add(&rm, c->state.name);
        add_exec(out, "ExecStopPost", "-", rm);
    }
    str_add(out, "\n[Install]\nWantedBy=default.target\n");
    return 0;
}

static int generate(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct generate_opts *o = opts;
    scoped_container struct container c = {.dir_fd = -1};
    scoped_str struct str out = STR_INIT;
    (void)cmd;
    int r = container_open(cli_conf(), args[0], &c, e);
    if (r == 0)
        r = make_unit(&c, o, &out, e);
    if (r < 0)
        return r;
    scoped_free char *name = xasprintf("%s%s%s.service", o->prefix ? o->prefix : "container",
                                       o->separator ? o->separator : "-",
                                       o->name || o->is_new ? c.state.name : c.state.id);
    if (!quadlet_is_unit_name(name))
        return err_msg(e, EINVAL, "%s: no name of a unit", name);
    if (!o->files) {
        printf("# %s\n%s", name, out.s);
        return 0;
    }
    scoped_free char *here = realpath(".", NULL);
    r = fs_write_atomic(AT_FDCWD, name, out.s, out.len, 0644, FS_SYNC, e);
    if (r == 0)
        printf("%s/%s\n", here ? here : ".", name);
    return r;
}

const struct cmd cli_generate_cmds[] = {
    {
        .name = "generate systemd",
        .args = "CONTAINER",
        .summary = "Print a unit of systemd that runs a container",
        .opts = systemd_table,
        .opts_size = sizeof(struct generate_opts),
        .min_args = 1,
        .max_args = 1,
        .run = generate,
        .examples = "rootlet generate systemd --new --name web > "
                    "~/.config/systemd/user/container-web.service",
    },
    {NULL},
};
