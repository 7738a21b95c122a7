/* opt - the parser: words of argv to members of the options struct, by the command's table. */
#include "base/opt.h"

#include <errno.h>
#include <stdint.h>

#include "base/opt-internal.h"

struct parser {
    const struct cmd *cmd;
    void *opts;
    char **next; /* the word after the one being read */
    char **args;
    size_t n_args;
    bool help;
    struct err *e;
};

static const struct opt *find_long(const struct opt *table, const char *name, size_t n)
{
    for (const struct opt *o = table; o && o->name; o++)
        if (strncmp(o->name, name, n) == 0 && o->name[n] == '\0')
            return o;
    return NULL;
}

static const struct opt *find_short(const struct opt *table, char c)
{
    for (const struct opt *o = table; o && o->name; o++)
        if (o->short_name == c)
            return o;
    return NULL;
}

const struct opt *opt_target(const struct opt *table, const struct opt *o)
{
    const struct opt *target = o->alias_of ? find_long(table, o->alias_of, strlen(o->alias_of)) : o;
    return target ? target : o;
}

bool opt_takes_value(const struct opt *o)
{
    if (o->flags & OPT_OPTVAL)
        return false;
    return o->type != OPT_FLAG && (o->type != OPT_CALL || o->arg);
}

static int store_number(const struct opt *o, void *member, const char *value, const char **ret_want)
{
    switch (o->type) {
    case OPT_INT:
        *ret_want = "a whole number";
        return parse_i64(value, member);
    case OPT_SIZE:
        *ret_want = "a size such as 512m or 2g";
        return parse_size(value, member);
    case OPT_DURATION:
        *ret_want = "a length of time such as 10s or 1m30s";
        return parse_duration_ms(value, member);
    default:
        *ret_want = "true or false";
        return value ? parse_bool(value, member) : (*(bool *)member = true, 0);
    }
}

/* "-m, --memory", as usage errors name an option. */
static const char *full_name(const struct opt *o, char *buf, size_t size)
{
    if (o->short_name)
        snprintf(buf, size, "-%c, --%s", o->short_name, o->name);
    else
        snprintf(buf, size, "--%s", o->name);
    return buf;
}

/* value NULL: none was given. o is the target of an alias. */
static int store(struct parser *p, const struct opt *o, const char *value)
{
    char name[80];
    const char *want = NULL;
    char *member = (char *)p->opts + o->offset;
    int r = 0;

    if (o->flags & OPT_IGNORED)
        return 0;
    if (o->flags & OPT_NEVER)
        return err_msg(p->e, EINVAL, "--%s: %s", o->name, o->help);
    if (o->flags & OPT_LATER)
        return err_hint(p->e, err_msg(p->e, EINVAL, "--%s is not there yet", o->name), "%s",
                        o->help);
    switch (o->type) {
    case OPT_STRING:
        free(*(char **)member);
        *(char **)member = xstrdup(value ? value : "");
        break;
    case OPT_STRV:
        strv_add((char ***)member, value ? value : "");
        break;
    case OPT_COMMAS: {
        scoped_strv char **parts = strv_split(value ? value : "", ",", false);
        strv_extend((char ***)member, parts);
        break;
    }
    case OPT_CALL:
        r = o->parse(p->opts, o, value, p->e);
        if (r < 0)
            return err_add(p->e, r, "invalid argument \"%s\" for \"%s\" flag", value ? value : "",
                           full_name(o, name, sizeof(name)));
        break;
    default:
        r = store_number(o, member, value, &want);
        if (r < 0)
            return err_msg(p->e, EINVAL, "invalid argument \"%s\" for \"%s\" flag: %s %s",
                           value ? value : "", full_name(o, name, sizeof(name)),
                           r == -ERANGE ? "out of range, want" : "want", want);
    }
    if (o->set_offset)
        *(bool *)((char *)p->opts + o->set_offset) = true;
    return 0;
}

static int unknown_long(struct parser *p, const char *name, size_t n)
{
    scoped_free const char **known = NULL;
    size_t count = 0;
    for (const struct opt *o = p->cmd->opts; o && o->name; o++)
        if (!(o->flags & (OPT_HIDDEN | OPT_LATER))) {
            known = xrealloc((void *)known, (count + 2) * sizeof(*known));
            known[count++] = o->name;
            known[count] = NULL;
        }
    scoped_free char *word = xstrndup(name, n);
    const char *meant = known ? opt_suggest(word, known) : NULL;
    if (meant)
        return err_msg(p->e, EINVAL, "unknown flag: --%s, did you mean --%s?", word, meant);
    return err_msg(p->e, EINVAL, "unknown flag: --%s", word);
}

static int parse_long(struct parser *p, const char *word)
{
    size_t n = strcspn(word, "=");
    const char *value = word[n] ? word + n + 1 : NULL;
    if (n == 0)
        return err_msg(p->e, EINVAL, "bad flag syntax: --%s", word);
    const struct opt *o = find_long(p->cmd->opts, word, n);
    if (!o && n == 4 && strncmp(word, "help", n) == 0) {
        p->help = true;
        return 0;
    }
    if (!o)
        return unknown_long(p, word, n);
    o = opt_target(p->cmd->opts, o);
    if (!value && opt_takes_value(o) && !(o->flags & OPT_LATER)) {
        if (!*p->next)
            return err_msg(p->e, EINVAL, "flag needs an argument: --%s", word);
        value = *p->next++;
    }
    return store(p, o, value);
}

/* "-name" for "--name", "kill -9": what the shell's own commands take. */
static int unknown_short(const struct parser *p, char c, const char *cluster)
{
    size_t n = strcspn(cluster, "=");
    const struct opt *o = n > 1 ? find_long(p->cmd->opts, cluster, n) : NULL;
    const struct opt *s = find_short(p->cmd->opts, 's');
    int r = err_msg(p->e, EINVAL, "unknown shorthand flag: '%c' in -%s%s%.*s%s", c, cluster,
                    o ? ", did you mean --" : "", o ? (int)n : 0, cluster, o ? "?" : "");
    if (!o && streq(p->cmd->name, "kill") && s && streq(s->name, "signal"))
        return err_hint(p->e, r, "a signal is given by -s: -s %s", cluster);
    return r;
}

/* A cluster: flags up to the first option that takes a value, which is the rest or the next word.
 */
static int parse_short(struct parser *p, const char *cluster)
{
    for (const char *c = cluster; *c; c++) {
        const struct opt *o = find_short(p->cmd->opts, *c);
        if (!o && *c == 'h') {
            p->help = true;
            return 0;
        }
        if (!o)
            return unknown_short(p, *c, cluster);
        o = opt_target(p->cmd->opts, o);
        if (c[1] == '=')
            return store(p, o, c + 2);
        if (!opt_takes_value(o)) {
            int r = store(p, o, NULL);
            if (r < 0)
                return r;
            continue;
        }
        const char *value = c[1] ? c + 1 : *p->next;
        if (!value)
            return err_msg(p->e, EINVAL, "flag needs an argument: '%c' in -%s", *c, cluster);
        if (!c[1])
            p->next++;
        return store(p, o, value);
    }
    return 0;
}

static void take_rest(struct parser *p)
{
    while (*p->next)
        p->args[p->n_args++] = *p->next++;
}

int opt_parse(const struct cmd *cmd, char **argv, void *opts, char ***ret_args, bool *ret_help,
              struct err *e)
{
    scoped_free char **args = xcalloc(strv_len(argv) + 1, sizeof(char *));
    struct parser p = {.cmd = cmd, .opts = opts, .next = argv, .args = args, .e = e};
    while (*p.next && !p.help) {
        const char *word = *p.next++;
        int r = 0;
        if (streq(word, "--")) {
            take_rest(&p);
        } else if (word[0] != '-' || !word[1]) {
            p.args[p.n_args++] = (char *)(uintptr_t)word;
            if (cmd->flags & CMD_STOP_AT_ARG)
                take_rest(&p);
        } else {
            r = word[1] == '-' ? parse_long(&p, word + 2) : parse_short(&p, word + 1);
        }
        if (r < 0)
            return r;
    }
    *ret_help = p.help;
    *ret_args = take_ptr(args);
    return 0;
}

void opt_release(const struct opt *table, void *opts)
{
    for (const struct opt *o = table; o && o->name; o++) {
        char *member = (char *)opts + o->offset;
        if (o->alias_of || (o->flags & (OPT_IGNORED | OPT_LATER)))
            continue;
        if (o->type == OPT_STRING) {
            free(*(char **)member);
            *(char **)member = NULL;
        } else if (o->type == OPT_STRV || o->type == OPT_COMMAS) {
            strv_free(*(char ***)member);
            *(char ***)member = NULL;
        }
    }
}
