/* parse - between the parts of the parser: words of one logical line, one instruction. */
#pragma once

#include "build/file.h"

/* Where messages and notes go; line is that of the instruction. */
struct parse {
    struct bfile *f;
    unsigned line;
};

/* "NAME:LINE: what"; the hint, if any, is added by err_hint after. Returns -EINVAL. */
int parse_fail(const struct parse *p, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void parse_note(const struct parse *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The kind that a word names in any case, or -1. */
int ins_kind_of(const char *word);

/* The words of ENV, LABEL and ARG: unquoted white space splits; quotes and escapes stay in. */
char **words_quoted(const char *text, char escape);
/* The flags in front of text; *ret_rest (borrowed) is what follows them. Quotes and escapes of
 * flags are taken out here. */
char **words_flags(const char *text, char escape, const char **ret_rest);
/* A JSON array of strings: 0; -EINVAL: it is none; -EBADMSG: an array, but not of strings only. */
int words_json(const char *text, char ***ret);
/* Is word <<NAME, <<-NAME, 0<<"NAME"? Fills name (owned), expand and strip. */
bool heredoc_parse(const char *word, char escape, struct ins_heredoc *ret);
/* The here-documents that one line of an instruction begins, in order. */
void heredocs_of_line(const char *line, char escape, struct ins_heredoc **ret, size_t *ret_n);

/* One logical line, here-documents already read into in->heredocs, to an instruction; in->text is
 * the line. */
int ins_parse(const struct parse *p, struct ins *in, struct err *e);
/* May this line begin here-documents? RUN, COPY and ADD, not in JSON form, ONBUILD of them. */
bool ins_may_have_heredoc(const char *line, char escape);
