/* cmd-help - the texts that a command's table gives: --help, and the dump for tools. */
#include "base/opt-internal.h"

/* Longer left columns push their text to the next line. */
#define LEFT_MAX 34

static bool shown(const struct opt *o)
{
    return !o->alias_of && !(o->flags & (OPT_HIDDEN | OPT_IGNORED | OPT_LATER));
}

static int compare(const void *a, const void *b)
{
    return strcmp((*(const struct opt *const *)a)->name, (*(const struct opt *const *)b)->name);
}

/* "  -m, --memory BYTES" */
static void left_column(const struct opt *o, struct str *out)
{
    if (o->short_name)
        str_addf(out, "  -%c, ", o->short_name);
    else
        str_add(out, "      ");
    str_addf(out, "--%s", o->name);
    if (o->arg && (o->flags & OPT_OPTVAL))
        str_addf(out, "[=%s]", o->arg);
    else if (o->arg)
        str_addf(out, " %s", o->arg);
}

static void help_options(const struct opt *table, struct str *out)
{
    size_t n = 0, count = 0, width = 0;
    for (const struct opt *o = table; o->name; o++)
        n++;
    scoped_free const struct opt **sorted = xcalloc(n + 1, sizeof(*sorted));
    scoped_str struct str left = STR_INIT;
    for (const struct opt *o = table; o->name; o++) {
        if (!shown(o))
            continue;
        sorted[count++] = o;
        str_reset(&left);
        left_column(o, &left);
        if (left.len > width && left.len <= LEFT_MAX)
            width = left.len;
    }
    if (count == 0)
        return;
    qsort(sorted, count, sizeof(*sorted), compare);
    str_add(out, "\nOptions:\n");
    for (size_t i = 0; i < count; i++) {
        str_reset(&left);
        left_column(sorted[i], &left);
        if (left.len > width) {
            str_addf(out, "%s\n", left.s);
            str_reset(&left);
        }
        str_addf(out, "%-*s   %s\n", (int)width, left.s, sorted[i]->help);
    }
}

/* A text of several lines, each indented by two. */
static void indented(const char *title, const char *text, struct str *out)
{
    str_addf(out, "\n%s:\n", title);
    while (*text) {
        size_t n = strcspn(text, "\n");
        str_addf(out, "%s%.*s\n", n ? "  " : "", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

void cmd_help(const char *program, const struct cmd *cmd, struct str *out)
{
    bool options = false;
    for (const struct opt *o = cmd->opts; o && o->name; o++)
        options |= shown(o);
    str_addf(out, "%s\n", cmd->summary);
    if (cmd->details)
        indented("Description", cmd->details, out);
    str_addf(out, "\nUsage:\n  %s %s%s%s%s\n", program, cmd->name, options ? " [options]" : "",
             cmd->args && cmd->args[0] ? " " : "", cmd->args ? cmd->args : "");
    if (cmd->aliases && cmd->aliases[0]) {
        str_addf(out, "\nAliases:\n  %s %s", program, cmd->name);
        for (const char *const *alias = cmd->aliases; *alias; alias++)
            str_addf(out, ", %s %s", program, *alias);
        str_addc(out, '\n');
    }
    if (cmd->examples)
        indented("Examples", cmd->examples, out);
    if (options)
        help_options(cmd->opts, out);
}

static void dump_option(const struct cmd *cmd, const struct opt *o, struct str *out)
{
    str_addf(out, "%s\t", cmd->name);
    if (o->short_name)
        str_addf(out, "-%c,", o->short_name);
    str_addf(out, "--%s", o->name);
    for (const struct opt *a = cmd->opts; a->name; a++)
        if (streq(a->alias_of, o->name))
            str_addf(out, ",--%s", a->name);
    const char *ignored = o->flags & OPT_IGNORED ? "(ignored) " : "";
    str_addf(out, "\t%s\t%s%s\n", o->arg ? o->arg : "", ignored, o->help ? o->help : "");
}

void cmd_dump(const struct cmd *const *table, struct str *out)
{
    for (; *table; table++) {
        const struct cmd *cmd = *table;
        if (cmd->flags & CMD_HIDDEN)
            continue;
        str_addf(out, "%s\t\t%s\t%s\n", cmd->name, cmd->args ? cmd->args : "", cmd->summary);
        for (const char *const *alias = cmd->aliases; alias && *alias; alias++)
            str_addf(out, "%s\t@%s\t\t\n", *alias, cmd->name);
        for (const struct opt *o = cmd->opts; o && o->name; o++)
            if (!o->alias_of && !(o->flags & (OPT_HIDDEN | OPT_LATER)))
                dump_option(cmd, o, out);
    }
}
