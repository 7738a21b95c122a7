/* format-priv - the tree that a template is compiled to; folder-private. */
#pragma once

#include "base/jfield.h"
#include "format/format.h"

enum expr_kind {
    EXPR_DOT,     /* "." */
    EXPR_FIELD,   /* chain of names behind base (NULL: dot) */
    EXPR_VAR,     /* "$x"; "$" is the root */
    EXPR_LITERAL, /* value */
    EXPR_CALL,    /* function name with args */
    EXPR_METHOD,  /* field chain with args: .Label "k" */
};

struct expr {
    enum expr_kind kind;
    char *name;         /* variable, function */
    char **path;        /* names of a field chain */
    json_t *value;      /* literal */
    struct expr *base;  /* of a field chain: a variable or parenthesis */
    struct expr **args; /* owned */
    size_t n_args;
    size_t column; /* for messages, from 1 */
};

enum node_kind { NODE_TEXT, NODE_ACTION, NODE_IF, NODE_RANGE, NODE_WITH };

struct node {
    enum node_kind kind;
    char *text;
    struct expr *expr;
    char *var1, *var2; /* declared names */
    struct node *body, *otherwise, *next;
};

struct format {
    struct node *first;
};

void expr_free(struct expr *x);
void node_free(struct node *n);
/* Whether a function of this name exists, for the parser. */
bool format_function_known(const char *name);

/* One function call over evaluated arguments (borrowed). Returns a new reference, NULL on error. */
json_t *format_call(const char *name, json_t **args, size_t n, struct err *e);
bool format_truth(const json_t *v);
/* As Go prints a value with %v. */
void format_print_value(const json_t *v, struct str *out);

/* A copy of v (v itself when there is nothing to do) in which what would steer a terminal is
 * spelled out, "\x1b"; lines: '\n' and '\t' may stay. A new reference. */
json_t *format_clean(const json_t *v, bool lines);
