/* keys - the keys of each kind of file, and what the translators share. Inside of quadlet only. */
#pragma once

#include "quadlet/quadlet.h"

enum key_how {
    KEY_STRING,  /* the last value; empty: none */
    KEY_EACH,    /* every value as a whole */
    KEY_WORDS,   /* every word of every value; a backslash is a letter */
    KEY_ARGS,    /* every word of every value, unescaped */
    KEY_PAIRS,   /* every NAME=VALUE word of every value; of one name the last */
    KEY_FLAG,    /* --option or --option=false */
    KEY_FIXED,   /* the option's whole text when true */
    KEY_CODE,    /* by a function of its kind; option is what the manual says */
    KEY_NOTHING, /* accepted; option says why nothing comes of it */
    KEY_REFUSED, /* option is the hint */
};

struct key {
    const char *name;
    enum key_how how;
    const char *option;
    const char *later; /* this version's hint: a later one can do it */
};

/* The table of a kind; a NULL name ends it. */
const struct key *keys_of(enum quadlet_kind kind);

/* A service that is made. */
struct job {
    const struct quadlet_set *set;
    struct quadlet_file *file;
    const struct unit_section *own, *service_in; /* [Container], [Service]; may be NULL */
    struct str unit, service;                    /* lines that are added to the sections */
};

/* A command line: words as systemd reads them. */
struct command {
    struct job *job;
    char **words;
};

bool quadlet_is_template(const struct quadlet_file *f);
/* The last value of a key of the file's own section without quotes around it. Owned, or NULL. */
char *quadlet_own_value(const struct quadlet_file *f, const char *key);

/* Reports at the last line of key in the own section. */
void job_fail(struct job *j, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const struct unit_line *job_line(const struct job *j, const char *key);
/* "Key=path" for [Unit], in quotes where it has to be. */
void job_unit_word(struct job *j, const char *key, const char *word);
/* Key=value for [Service] unless the file has the key there. */
void job_default(struct job *j, const char *key, const char *value);
/* A line of [Service] from a command. */
void job_exec(struct job *j, const char *key, const char *prefix, const struct command *c);
/* The last value of a boolean key; absent: def. */
bool job_bool(struct job *j, const char *key, bool def);

/* A command of rootlet: program, GlobalArgs=, and the words of a verb ("volume create"). */
struct command command_of(struct job *j, const char *verb);
static inline void command_release(struct command *c)
{
    strv_free(c->words);
}
#define scoped_command SCOPED(command_release)
void command_add(struct command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The options of all keys of the table that need no code of their own. */
void command_keys(struct command *c);
/* PodmanArgs= and RootletArgs=, as they are. */
void command_own_args(struct command *c);

/* Requires= and After= of the unit that makes name ("data.volume"); NULL when there is none, which
 * is reported at the line. Owned: its resource's name. */
char *job_reference(struct job *j, const struct unit_line *at, const char *name);
/* A path of the file's: relative to its directory unless it begins with / or %. exec: for a command
 * line, else for a setting. Owned. */
char *job_path(const struct job *j, const char *path, bool exec);
/* A volume's or mount's source as the command line wants it, with what the unit then needs. Owned,
 * NULL after a report. */
char *job_source(struct job *j, const struct unit_line *at, const char *source, bool images);
/* --network, --volume, and the ids, which several kinds have. */
void command_networks(struct command *c);
void command_volumes(struct command *c);
void command_mounts(struct command *c);
void command_ids(struct command *c);

void translate_container(struct job *j);
void translate_pod(struct job *j);
void translate_volume(struct job *j);
void translate_network(struct job *j);
void translate_image(struct job *j);
void translate_build(struct job *j);
