/* file - a Containerfile as data: what stands in it, line by line, nothing of it looked up yet.
 *
 * The language is the Dockerfile reference as BuildKit and buildah read it: parser directives,
 * comments between continued lines, here-documents, JSON forms, flags. Words are kept as written:
 * variables, quotes and escapes are taken out by ins_expand (expand.h), because their values are
 * known only while the stages run. A file is not trusted: it is bounded in size and depth. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/scoped.h"

#define BFILE_MAX (4u << 20) /* bytes of one file */

enum ins_kind {
    INS_ADD,
    INS_ARG,
    INS_CMD,
    INS_COPY,
    INS_ENTRYPOINT,
    INS_ENV,
    INS_EXPOSE,
    INS_FROM,
    INS_HEALTHCHECK,
    INS_LABEL,
    INS_MAINTAINER,
    INS_ONBUILD,
    INS_RUN,
    INS_SHELL,
    INS_STOPSIGNAL,
    INS_USER,
    INS_VOLUME,
    INS_WORKDIR,
};

/* --name=value; value is NULL for a flag without "=" (--link). One that may come more than once
 * (--mount, --exclude) is there as often. Unknown flags are refused by the parser. */
struct ins_flag {
    char *name, *value;
};

/* <<NAME: body has no leading tabs if it was <<-NAME; expand is false if NAME was quoted. */
struct ins_heredoc {
    char *name, *body;
    bool expand, strip;
};

/* args, by kind (NULL-terminated):
 *   ADD COPY            sources, then the destination; a here-document stands as "<<NAME" among
 *                       them, its body is heredocs[] in the same order
 *   ARG                 NAME or NAME=VALUE, one or more
 *   ENV LABEL           name, value, name, value ...
 *   EXPOSE VOLUME       words
 *   FROM                image[, stage name in lower case]
 *   RUN CMD ENTRYPOINT  exec_form: the vector; else one string for the shell. Here-documents of RUN
 *                       are in that string already, ends and all; when the line is nothing but
 *                       one <<NAME, the string is its body and script is set: a body that begins
 *                       with "#!" is to be run as a program then, another one by the shell
 *   SHELL               the vector
 *   HEALTHCHECK         as CMD, or { "NONE" } with health_none set
 *   ONBUILD             { the instruction's text }; child is the same, parsed
 *   MAINTAINER STOPSIGNAL USER WORKDIR  one word or text */
struct ins {
    enum ins_kind kind;
    unsigned line, last_line; /* from 1 */
    char *text;               /* whole, continued lines joined, name in capitals: for STEP, history
                                 and cache key. Here-documents are not in it */
    struct ins_flag *flags;
    size_t n_flags;
    char **args;
    bool exec_form, health_none, script;
    struct ins_heredoc *heredocs;
    size_t n_heredocs;
    struct ins *child;
};

struct bfile {
    char *name;   /* for messages: "Containerfile" */
    char escape;  /* '\\' or '`' */
    char *syntax; /* of the directive "# syntax=", or NULL: not used, worth a note */
    struct ins *ins;
    size_t n;
    char **notes; /* "Containerfile:3: ...": worth a line to the user each */
};

/* Parses n bytes of data. Errors: "NAME:LINE: what" with a hint. At least one FROM is there after,
 * only ARG before it. */
int bfile_parse(const char *name, const char *data, size_t n, struct bfile **ret, struct err *e);
/* One instruction from text, as an image's config.OnBuild has it (FROM and ONBUILD are refused):
 * a file without FROM. name is for messages ("ONBUILD of IMAGE"). */
int bfile_parse_trigger(const char *name, const char *text, struct bfile **ret, struct err *e);
void bfile_free(struct bfile *f);
static inline void bfile_scoped(struct bfile **f)
{
    bfile_free(*f);
}
#define scoped_bfile SCOPED(bfile_scoped)

/* "RUN" */
const char *ins_name(enum ins_kind kind);
/* The last --name of the instruction, or NULL. */
const struct ins_flag *ins_flag(const struct ins *in, const char *name);
/* Its value, or fallback. */
const char *ins_flag_value(const struct ins *in, const char *name, const char *fallback);
/* A flag that may stand alone: --link, --link=true, --link=false. -EINVAL for another value. */
int ins_flag_bool(const struct ins *in, const char *name, bool *ret, struct err *e);
/* A deep copy; freed by ins_free (which frees the struct too). */
struct ins *ins_dup(const struct ins *in);
void ins_free(struct ins *in);
void ins_release(struct ins *in); /* what it holds, not itself */
static inline void ins_scoped(struct ins **in)
{
    ins_free(*in);
}
#define scoped_ins SCOPED(ins_scoped)
