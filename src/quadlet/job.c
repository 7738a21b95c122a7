/* job - the parts of which every translation is made: reports, lines, words of commands. */
#include <stdarg.h>
#include <strings.h>

#include "base/opt.h"
#include "net/addr.h"
#include "net/ports.h"
#include "quadlet/keys.h"
#include "quadlet/words.h"

const struct unit_line *job_line(const struct job *j, const char *key)
{
    return unit_last(j->own, key);
}

void job_fail(struct job *j, const char *key, const char *fmt, ...)
{
    scoped_str struct str text = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_addv(&text, fmt, ap);
    va_end(ap);
    quadlet_problem(j->file, QUADLET_ERROR, job_line(j, key), "%s", text.s);
}

void job_unit_word(struct job *j, const char *key, const char *word)
{
    /* Lists of paths have quotes but no escapes. A path with both quotes is rare enough. */
    const char *quote = strchr(word, '"') ? "'" : "\"";
    bool plain = strcspn(word, " \t\"'") == strlen(word);
    if (plain || !strchr(word, *quote))
        str_addf(&j->unit, "%s=%s%s%s\n", key, plain ? "" : quote, word, plain ? "" : quote);
}

void job_default(struct job *j, const char *key, const char *value)
{
    if (!unit_last(j->service_in, key))
        str_addf(&j->service, "%s=%s\n", key, value);
}

void job_exec(struct job *j, const char *key, const char *prefix, const struct command *c)
{
    str_addf(&j->service, "%s=%s", key, prefix);
    for (size_t i = 0; c->words[i]; i++) {
        if (i)
            str_addc(&j->service, ' ');
        words_quote(&j->service, c->words[i]);
    }
    str_addc(&j->service, '\n');
}

/* systemd's words. -1 for none of them. */
static int bool_of(const char *v)
{
    static const char *const words[] = {"0", "no",  "n", "false", "f", "off",
                                        "1", "yes", "y", "true",  "t", "on"};
    for (size_t i = 0; i < N_ELEMENTS(words); i++)
        if (strcasecmp(v, words[i]) == 0)
            return i >= 6;
    return -1;
}

bool job_bool(struct job *j, const char *key, bool def)
{
    scoped_free char *v = quadlet_own_value(j->file, key);
    if (!v || !*v)
        return def;
    int b = bool_of(v);
    if (b < 0)
        job_fail(j, key, "\"%s\" is neither true nor false", v);
    return b > 0;
}

void command_add(struct command *c, const char *fmt, ...)
{
    scoped_str struct str text = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_addv(&text, fmt, ap);
    va_end(ap);
    strv_add(&c->words, text.s);
}

/* All words of the lines of a key. */
static char **words_of(struct job *j, const char *key, enum words_how how)
{
    char **words = NULL;
    scoped_free const struct unit_line **all = unit_all(j->own, key);
    for (size_t i = 0; all[i]; i++) {
        struct err e = ERR_INIT;
        if (words_split(all[i]->value, how, &words, &e) == 0)
            continue;
        quadlet_problem(j->file, QUADLET_ERROR, all[i], "%s", e.msg);
        quadlet_hint(j->file, "%s", e.hint);
    }
    return words;
}

static void add_words(struct command *c, const char *key, enum words_how how)
{
    scoped_strv char **words = words_of(c->job, key, how);
    strv_extend(&c->words, words);
}

void command_own_args(struct command *c)
{
    add_words(c, "PodmanArgs", WORDS_EXEC);
    add_words(c, "RootletArgs", WORDS_EXEC);
}

struct command command_of(struct job *j, const char *verb)
{
    struct command c = {.job = j};
    scoped_free char *program = words_literal(j->set->program, true);
    strv_add(&c.words, program);
    add_words(&c, "GlobalArgs", WORDS_EXEC);
    scoped_strv char **verbs = strv_split(verb, " ", false);
    strv_extend(&c.words, verbs);
    return c;
}

/* "label=type:" takes its value as it is, others by "=". */
static void add_option(struct command *c, const struct key *k, const char *value)
{
    command_add(c, "%s%s%s", k->option, str_ends(k->option, ":") ? "" : "=", value);
}

static void add_pairs(struct command *c, const struct key *k)
{
    scoped_strv char **words = words_of(c->job, k->name, WORDS_EXEC), **pairs = NULL;
    for (char **w = words; w && *w; w++) {
        size_t n = strcspn(*w, "=");
        scoped_free char *name = xstrndup(*w, n);
        strv_env_unset(pairs, name);
        strv_remove(pairs, name);
        strv_add(&pairs, *w);
    }
    for (char **p = pairs; p && *p; p++)
        add_option(c, k, *p);
}

static void add_list(struct command *c, const struct key *k)
{
    scoped_strv char **words =
        words_of(c->job, k->name, k->how == KEY_ARGS ? WORDS_EXEC : WORDS_PLAIN);
    for (char **w = words; w && *w; w++)
        add_option(c, k, *w);
}

/* What systemd fills in, specifiers and variables, is nobody's to judge here. */
static void check_value(const struct job *j, const struct unit_line *line)
{
    struct err e = ERR_INIT;
    struct net_port ports[2];
    struct net_cidr net;
    const char *v = line->value;
    if (!*v || strpbrk(v, "%$"))
        return;
    if (strcmp(line->key, "PublishPort") == 0 && net_port_parse(v, ports, &e) < 0) {
        quadlet_problem(j->file, QUADLET_ERROR, line, "%s", e.msg);
        quadlet_hint(j->file, "%s", *e.hint ? e.hint : "for example 8080:80 or 127.0.0.1::53/udp");
    }
    if (strcmp(line->key, "Subnet") == 0 && net_cidr_parse(v, &net) < 0) {
        quadlet_problem(j->file, QUADLET_ERROR, line, "\"%s\" is not ADDRESS/BITS", v);
        quadlet_hint(j->file, "for example 10.90.0.0/24 or fd90::/64");
    }
}

static void add_key(struct command *c, const struct key *k)
{
    scoped_free char *value = quadlet_own_value(c->job->file, k->name);
    scoped_free const struct unit_line **all = unit_all(c->job->own, k->name);
    for (size_t i = 0; all[i]; i++)
        check_value(c->job, all[i]);
    if (k->how == KEY_STRING && *value)
        add_option(c, k, value);
    for (size_t i = 0; k->how == KEY_EACH && all[i]; i++)
        add_option(c, k, all[i]->value);
    if (k->how == KEY_WORDS || k->how == KEY_ARGS)
        add_list(c, k);
    if (k->how == KEY_PAIRS)
        add_pairs(c, k);
    if (k->how == KEY_FLAG && *value)
        command_add(c, "%s%s", k->option, job_bool(c->job, k->name, false) ? "" : "=false");
    if (k->how == KEY_FIXED && job_bool(c->job, k->name, false))
        command_add(c, "%s", k->option);
}

void command_keys(struct command *c)
{
    for (const struct key *k = keys_of(c->job->file->kind); k->name; k++)
        if (job_line(c->job, k->name))
            add_key(c, k);
}
