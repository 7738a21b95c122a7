/* opt - one table per command gives parsing, --help, completion and the man page's option list.
 *
 * Conventions (cli.md): --name v, --name=v, clustered short flags (-it), -n5 and -n 5,
 * --flag=false;
 * "--" ends options. The last wins, except for lists. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "base/strv.h"

enum opt_type {
    OPT_FLAG,     /* bool */
    OPT_STRING,   /* char *, owned */
    OPT_STRV,     /* char **, owned; each use adds one */
    OPT_COMMAS,   /* char **, owned; each use adds its comma-separated parts */
    OPT_INT,      /* int64_t */
    OPT_SIZE,     /* uint64_t bytes: 64m */
    OPT_DURATION, /* uint64_t milliseconds: 10s */
    OPT_CALL,     /* parse() decides; value NULL when none was given (arg NULL or OPT_OPTVAL).
                     What it stores in members of its own, the command frees */
};

enum {
    OPT_HIDDEN = 1,  /* parsed, not shown */
    OPT_IGNORED = 2, /* accepted for docker's sake, does nothing (shown so in the man page) */
    OPT_OPTVAL = 4,  /* OPT_STRING with an optional value, only as --name=value; "" without */
    OPT_LATER = 8,   /* a later version's, not shown: refused by name, help is the hint */
    OPT_NEVER = 16,  /* with OPT_LATER: refused for good, help is the reason */
};

struct opt {
    const char *name; /* long name without dashes; NULL ends the table */
    char short_name;  /* 0: none */
    enum opt_type type;
    size_t offset;    /* of the member in the options struct */
    const char *arg;  /* metavariable: "NAME"; NULL for flags */
    const char *help; /* one line, no full stop */
    unsigned flags;
    const char *alias_of; /* another long name of the table: same member, hidden from help lists */
    int (*parse)(void *opts, const struct opt *o, const char *value, struct err *e);
    size_t set_offset; /* if not 0: offset of a bool that records that the option was given */
};

enum {
    CMD_STOP_AT_ARG = 1, /* options end at the first argument (run, create, exec) */
    CMD_HIDDEN = 2,
    CMD_NO_SUPER = 4,
};

struct cmd;
/* What a command runs with. opts: the zeroed and parsed struct; args: NULL-terminated. */
typedef int cmd_fn(const struct cmd *cmd, void *opts, char **args, struct err *e);

struct cmd {
    const char *name;    /* "run"; a noun's sub-command: "image inspect"; NULL ends a table */
    const char *args;    /* "IMAGE [COMMAND [ARG...]]" */
    const char *summary; /* one line, no full stop */
    const struct opt *opts;
    size_t opts_size;       /* sizeof of the options struct */
    int min_args, max_args; /* max < 0: no limit */
    unsigned flags;
    cmd_fn *run;                /* returns the exit status (>= 0) or negative errno with e filled */
    const char *const *aliases; /* other full names, NULL-terminated: {"container run", NULL} */
    const char *details;        /* more text for --help and the man page; may be NULL */
    const char *examples;       /* lines for --help; may be NULL */
};

/* Parses argv (without the command's name) into opts (zeroed by the caller). *ret_args points into
 * argv's strings; the vector itself is owned by the caller. 0, or -EINVAL with a usage error. On
 * --help *ret_help is set and the rest is not examined. */
int opt_parse(const struct cmd *cmd, char **argv, void *opts, char ***ret_args, bool *ret_help,
              struct err *e);
/* Frees what the strings and lists of a parsed struct hold. */
void opt_release(const struct opt *table, void *opts);
/* The command with the longest matching (alias) name at the head of argv; *ret_used: words taken.
 */
const struct cmd *cmd_find(const struct cmd *const *table, char **argv, int *ret_used);
/* Finds, parses, runs, frees: the whole of a program behind its global options. Prints help to
 * stdout. A usage error carries exit 125 and hint "see 'PROGRAM COMMAND --help'". */
int cmd_dispatch(const char *program, const struct cmd *const *table, char **argv, struct err *e);
void cmd_help(const char *program, const struct cmd *cmd, struct str *out);
/* "NAME<TAB>FLAGS<TAB>ARG<TAB>HELP" lines of all commands: for completion and the man page test.
 * FLAGS: "" is the command itself (ARG and HELP are its args and summary), "@images" an alias of
 * that command, else "-t,--tty" and other names. Help of ignored options begins "(ignored) ". */
void cmd_dump(const struct cmd *const *table, struct str *out);
/* The closest known word to a misspelt one, or NULL. */
const char *opt_suggest(const char *word, const char *const *words);
