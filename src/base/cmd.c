/* cmd - finds and runs the command that argv names. */
#include <errno.h>
#include <stdio.h>

#include "base/opt.h"

/* How many words of argv are name's, 0 if they are not. */
static int match(const char *name, char **argv)
{
    int used = 0;
    while (*name) {
        size_t n = strcspn(name, " ");
        if (!argv[used] || strlen(argv[used]) != n || strncmp(argv[used], name, n) != 0)
            return 0;
        used++;
        name += n + (name[n] == ' ');
    }
    return used;
}

const struct cmd *cmd_find(const struct cmd *const *table, char **argv, int *ret_used)
{
    const struct cmd *best = NULL;
    int best_used = 0;
    for (; *table; table++) {
        int used = match((*table)->name, argv);
        for (const char *const *alias = (*table)->aliases; alias && *alias; alias++) {
            int more = match(*alias, argv);
            used = more > used ? more : used;
        }
        if (used > best_used) {
            best = *table;
            best_used = used;
        }
    }
    if (best)
        *ret_used = best_used;
    return best;
}

/* One entry of a list of commands: what comes behind the group's name. */
struct entry {
    const char *word; /* may hold a space: "image ls" in no group */
    const struct cmd *cmd;
};

/* Adds name if it is in the group ("" is the program's own), as one word. */
static void list_add(struct entry **list, size_t *n, const char *group, const char *name,
                     const struct cmd *cmd)
{
    if (group[0]) {
        name = str_after(name, group);
        if (!name || *name != ' ')
            return;
        name++;
    }
    if (!strchr(name, ' ')) {
        *list = xrealloc(*list, (*n + 1) * sizeof(**list));
        (*list)[(*n)++] = (struct entry){name, cmd};
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->word, ((const struct entry *)b)->word);
}

/* The commands of a group, sorted; owned. */
static struct entry *list_group(const struct cmd *const *table, const char *group, size_t *ret_n)
{
    struct entry *list = NULL;
    size_t n = 0;
    for (; *table; table++) {
        if ((*table)->flags & CMD_HIDDEN)
            continue;
        list_add(&list, &n, group, (*table)->name, *table);
        for (const char *const *alias = (*table)->aliases; alias && *alias; alias++)
            list_add(&list, &n, group, *alias, *table);
    }
    if (n > 1)
        qsort(list, n, sizeof(*list), compare);
    *ret_n = n;
    return list;
}

/* The names of groups ("image") that names with a space begin with. */
static char **group_names(const struct cmd *const *table)
{
    char **groups = NULL;
    for (; *table; table++) {
        const char *const none[] = {NULL};
        const char *const *alias = (*table)->aliases ? (*table)->aliases : none;
        const char *name = (*table)->name;
        if ((*table)->flags & CMD_HIDDEN)
            continue;
        for (; name; name = *alias++) {
            scoped_free char *group = xstrndup(name, strcspn(name, " "));
            if (strchr(name, ' ') && !strv_has(groups, group))
                strv_add(&groups, group);
        }
    }
    strv_sort(groups);
    return groups;
}

static void print_group(const char *program, const struct cmd *const *table, const char *group,
                        struct str *out)
{
    size_t n = 0, width = 0;
    scoped_free struct entry *list = list_group(table, group, &n);
    scoped_strv char **groups = group[0] ? NULL : group_names(table);
    for (size_t i = 0; i < n; i++)
        width = strlen(list[i].word) > width ? strlen(list[i].word) : width;

    const char *space = group[0] ? " " : "";
    str_addf(out, "Usage:\n  %s%s%s%s COMMAND\n\nCommands:\n", program,
             group[0] ? "" : " [options]", space, group);
    for (size_t i = 0; i < n; i++)
        str_addf(out, "  %-*s  %s\n", (int)width, list[i].word, list[i].cmd->summary);
    if (groups)
        str_add(out, "\nGroups of commands:\n");
    for (size_t i = 0; groups && groups[i]; i++)
        str_addf(out, "  %s\n", groups[i]);
    str_addf(out, "\nSee '%s%s%s COMMAND --help' for the options of a command.\n", program, space,
             group);
}

static int print(const struct str *text, struct err *e)
{
    if (fwrite(text->s, 1, text->len, stdout) != text->len || fflush(stdout) != 0)
        return err_set(e, errno, "write to stdout");
    return 0;
}

static bool is_help(const char *word)
{
    return streq(word, "--help") || streq(word, "-h") || streq(word, "help");
}

static int usage_error(struct err *e, int r, const char *program, const char *name)
{
    err_exit(e, r, 125);
    return err_hint(e, r, "See '%s%s%s --help'", program, name[0] ? " " : "", name);
}

/* No command: the overview of the program or a group, or what may have been meant. */
static int no_command(const char *program, const struct cmd *const *table, char **argv,
                      struct err *e)
{
    scoped_strv char **groups = group_names(table);
    const char *group = argv[0] && strv_has(groups, argv[0]) ? argv[0] : "";
    const char *word = argv[group[0] ? 1 : 0];
    const char *space = group[0] ? " " : "";

    if (word && is_help(word)) {
        scoped_str struct str out = STR_INIT;
        print_group(program, table, group, &out);
        return print(&out, e);
    }
    if (!word) {
        int r = err_msg(e, EINVAL, "missing command: '%s%s%s COMMAND'", program, space, group);
        return usage_error(e, r, program, group);
    }
    size_t n = 0, count = 0;
    scoped_free struct entry *list = list_group(table, group, &n);
    scoped_free const char **words = xcalloc(n + strv_len(groups) + 1, sizeof(*words));
    for (size_t i = 0; i < n; i++)
        words[count++] = list[i].word;
    for (size_t i = 0; !group[0] && groups && groups[i]; i++)
        words[count++] = groups[i];

    const char *meant = opt_suggest(word, words);
    int r = err_msg(e, EINVAL, "unrecognized command '%s%s%s %s'%s%s%s", program, space, group,
                    word, meant ? ", did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
    return usage_error(e, r, program, group);
}

static int check_args(const char *program, const struct cmd *cmd, char **args, struct err *e)
{
    int n = (int)strv_len(args), min = cmd->min_args, max = cmd->max_args;
    if (n >= min && (max < 0 || n <= max))
        return 0;
    const char *bound = min == max ? "" : n < min ? "at least " : "at most ";
    int want = n < min ? min : max;
    if (want == 0)
        return err_msg(e, EINVAL, "'%s %s' takes no arguments, got %d", program, cmd->name, n);
    return err_msg(e, EINVAL, "'%s %s' takes %s%d argument%s (%s), got %d", program, cmd->name,
                   bound, want, want == 1 ? "" : "s", cmd->args ? cmd->args : "", n);
}

static int parse_and_run(const char *program, const struct cmd *cmd, char **argv, void *opts,
                         struct err *e)
{
    scoped_free char **args = NULL;
    bool help = false;
    int r = opt_parse(cmd, argv, opts, &args, &help, e);
    if (r == 0 && help) {
        scoped_str struct str out = STR_INIT;
        cmd_help(program, cmd, &out);
        return print(&out, e);
    }
    if (r == 0)
        r = check_args(program, cmd, args, e);
    if (r < 0)
        return usage_error(e, r, program, cmd->name);
    return cmd->run(cmd, opts, args, e);
}

int cmd_dispatch(const char *program, const struct cmd *const *table, char **argv, struct err *e)
{
    int used = 0;
    if (streq(argv[0], "help") && argv[1]) {
        /* "help run" is "run --help". */
        const struct cmd *cmd = cmd_find(table, argv + 1, &used);
        scoped_str struct str out = STR_INIT;
        if (cmd) {
            cmd_help(program, cmd, &out);
            return print(&out, e);
        }
        char *words[] = {argv[1], argv[2] ? argv[2] : argv[0], NULL};
        return no_command(program, table, words, e);
    }
    const struct cmd *cmd = cmd_find(table, argv, &used);
    if (!cmd)
        return no_command(program, table, argv, e);
    scoped_free void *opts = xcalloc(1, cmd->opts_size);
    int r = parse_and_run(program, cmd, argv + used, opts, e);
    opt_release(cmd->opts, opts);
    return r;
}
