/* parse - a template's text to a tree. Errors give the column in the text as typed. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/strv.h"
#include "format/format-priv.h"

#define DEPTH_MAX 50

struct parser {
    const char *text, *p; /* whole, position */
    struct err *e;
    unsigned depth;
    bool trim_next; /* the last action ended in -}} */
};

static size_t column(const struct parser *ps)
{
    return (size_t)(ps->p - ps->text) + 1;
}

void expr_free(struct expr *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->n_args; i++)
        expr_free(x->args[i]);
    free(x->args);
    expr_free(x->base);
    free(x->name);
    strv_free(x->path);
    json_decref(x->value);
    free(x);
}

void node_free(struct node *n)
{
    while (n) {
        struct node *next = n->next;
        free(n->text);
        expr_free(n->expr);
        free(n->var1);
        free(n->var2);
        node_free(n->body);
        node_free(n->otherwise);
        free(n);
        n = next;
    }
}

void format_free(struct format *f)
{
    if (f)
        node_free(f->first);
    free(f);
}

static struct expr *expr_new(const struct parser *ps, enum expr_kind kind)
{
    struct expr *x = xcalloc(1, sizeof(*x));
    x->kind = kind;
    x->column = column(ps);
    return x;
}

static void add_arg(struct expr *x, struct expr *arg)
{
    x->args = xrealloc(x->args, (x->n_args + 1) * sizeof(*x->args));
    x->args[x->n_args++] = arg;
}

static void skip_blanks(struct parser *ps)
{
    while (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\n')
        ps->p++;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static char *take_word(struct parser *ps)
{
    const char *start = ps->p;
    while (is_word(*ps->p))
        ps->p++;
    return xstrndup(start, (size_t)(ps->p - start));
}

/* "text" with escapes, or `raw`. */
static struct expr *parse_string(struct parser *ps)
{
    scoped_str struct str s = STR_INIT;
    struct expr *x = expr_new(ps, EXPR_LITERAL);
    char quote = *ps->p++;
    while (*ps->p && *ps->p != quote) {
        char c = *ps->p++;
        if (c == '\\' && quote == '"' && *ps->p) {
            c = *ps->p++;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        str_addc(&s, c);
    }
    if (*ps->p != quote) {
        err_msg(ps->e, EINVAL, "column %zu: the string does not end", x->column);
        expr_free(x);
        return NULL;
    }
    ps->p++;
    x->value = json_string(s.s);
    if (!x->value)
        x->value = json_string("");
    return x;
}

static struct expr *parse_number(struct parser *ps)
{
    struct expr *x = expr_new(ps, EXPR_LITERAL);
    const char *start = ps->p;
    int64_t v = 0;
    if (*ps->p == '-')
        ps->p++;
    free(take_word(ps)); /* without the sign */
    scoped_free char *digits = xstrndup(start, (size_t)(ps->p - start));
    if (parse_i64(digits, &v) < 0) {
        err_msg(ps->e, EINVAL, "column %zu: \"%s\" is not a whole number", x->column, digits);
        expr_free(x);
        return NULL;
    }
    x->value = json_integer(v);
    return x;
}

/* ".A.B" behind base. */
static struct expr *parse_chain(struct parser *ps, struct expr *base)
{
    struct expr *x = expr_new(ps, EXPR_FIELD);
    x->base = base;
    while (*ps->p == '.' && is_word(ps->p[1])) {
        ps->p++;
        strv_take(&x->path, take_word(ps));
    }
    return x;
}

static struct expr *parse_pipeline(struct parser *ps);

static struct expr *parse_parenthesis(struct parser *ps)
{
    ps->p++;
    struct expr *x = parse_pipeline(ps);
    skip_blanks(ps);
    if (!x)
        return NULL;
    if (*ps->p != ')') {
        err_msg(ps->e, EINVAL, "column %zu: no closing parenthesis", column(ps));
        expr_free(x);
        return NULL;
    }
    ps->p++;
    return *ps->p == '.' ? parse_chain(ps, x) : x;
}

static struct expr *parse_variable(struct parser *ps)
{
    struct expr *x = expr_new(ps, EXPR_VAR);
    ps->p++;
    x->name = take_word(ps);
    return *ps->p == '.' ? parse_chain(ps, x) : x;
}

/* A function's name, true, false, nil. */
static struct expr *parse_ident(struct parser *ps)
{
    struct expr *x = expr_new(ps, EXPR_CALL);
    x->name = take_word(ps);
    bool is_true = streq(x->name, "true");
    if (is_true || streq(x->name, "false") || streq(x->name, "nil")) {
        x->kind = EXPR_LITERAL;
        x->value = streq(x->name, "nil") ? json_null() : json_boolean(is_true);
        return x;
    }
    if (!format_function_known(x->name)) {
        err_msg(ps->e, EINVAL, "column %zu: unknown function \"%s\"", x->column, x->name);
        expr_free(x);
        return NULL;
    }
    return x;
}

static struct expr *parse_operand(struct parser *ps)
{
    char c = *ps->p;
    if (c == '"' || c == '`')
        return parse_string(ps);
    if (isdigit((unsigned char)c) || (c == '-' && isdigit((unsigned char)ps->p[1])))
        return parse_number(ps);
    if (c == '(')
        return parse_parenthesis(ps);
    if (c == '$')
        return parse_variable(ps);
    if (c == '.' && is_word(ps->p[1]))
        return parse_chain(ps, NULL);
    if (c == '.') {
        ps->p++;
        return expr_new(ps, EXPR_DOT);
    }
    if (isalpha((unsigned char)c))
        return parse_ident(ps);
    err_msg(ps->e, EINVAL, "column %zu: unexpected %s", column(ps), c ? "character" : "end");
    return NULL;
}

static bool at_command_end(const struct parser *ps)
{
    return !*ps->p || *ps->p == '|' || *ps->p == ')' || strncmp(ps->p, "}}", 2) == 0 ||
           strncmp(ps->p, "-}}", 3) == 0;
}

/* One operand with its arguments. */
static struct expr *parse_command(struct parser *ps)
{
    struct expr *x = parse_operand(ps);
    if (!x)
        return NULL;
    for (skip_blanks(ps); !at_command_end(ps); skip_blanks(ps)) {
        if (x->kind == EXPR_FIELD)
            x->kind = EXPR_METHOD;
        if (x->kind != EXPR_CALL && x->kind != EXPR_METHOD) {
            err_msg(ps->e, EINVAL, "column %zu: arguments behind something that is no function",
                    column(ps));
            expr_free(x);
            return NULL;
        }
        struct expr *arg = parse_operand(ps);
        if (!arg) {
            expr_free(x);
            return NULL;
        }
        add_arg(x, arg);
    }
    return x;
}

/* a | f x | g: the value so far is each function's last argument. */
static struct expr *parse_pipeline(struct parser *ps)
{
    skip_blanks(ps);
    if (++ps->depth > DEPTH_MAX) {
        err_msg(ps->e, EINVAL, "column %zu: nested too deeply", column(ps));
        return NULL;
    }
    struct expr *x = parse_command(ps);
    while (x && *ps->p == '|') {
        ps->p++;
        skip_blanks(ps);
        struct expr *next = parse_command(ps);
        if (next && next->kind != EXPR_CALL) {
            err_msg(ps->e, EINVAL, "column %zu: a pipe leads to a function", next->column);
            expr_free(next);
            next = NULL;
        }
        if (next)
            add_arg(next, x);
        else
            expr_free(x);
        x = next;
    }
    ps->depth--;
    return x;
}

/* "$x :=" or "$k, $v :=" in front of a pipeline; leaves the position alone when there is none. */
static void parse_declaration(struct parser *ps, struct node *n)
{
    const char *start = ps->p;
    skip_blanks(ps);
    if (*ps->p != '$')
        return;
    ps->p++;
    n->var1 = take_word(ps);
    skip_blanks(ps);
    if (*ps->p == ',') {
        ps->p++;
        skip_blanks(ps);
        if (*ps->p == '$') {
            ps->p++;
            n->var2 = take_word(ps);
            skip_blanks(ps);
        }
    }
    if (strncmp(ps->p, ":=", 2) == 0) {
        ps->p += 2;
        return;
    }
    free(n->var1);
    free(n->var2);
    n->var1 = n->var2 = NULL;
    ps->p = start;
}

static int end_action(struct parser *ps)
{
    skip_blanks(ps);
    ps->trim_next = strncmp(ps->p, "-}}", 3) == 0;
    if (ps->trim_next)
        ps->p++;
    if (strncmp(ps->p, "}}", 2) != 0)
        return err_msg(ps->e, EINVAL, "column %zu: the action does not end with }}", column(ps));
    ps->p += 2;
    return 0;
}

static bool take_keyword(struct parser *ps, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(ps->p, word, n) != 0 || is_word(ps->p[n]))
        return false;
    ps->p += n;
    return true;
}

enum stop { STOP_EOF, STOP_END, STOP_ELSE, STOP_ERROR };
static enum stop parse_list(struct parser *ps, struct node **ret);

/* The bodies of if, range and with, up to {{end}}. */
static int parse_block(struct parser *ps, struct node *n)
{
    size_t at = column(ps);
    parse_declaration(ps, n);
    n->expr = parse_pipeline(ps);
    if (!n->expr || end_action(ps) < 0)
        return -EINVAL;
    enum stop s = parse_list(ps, &n->body);
    if (s == STOP_ELSE) {
        skip_blanks(ps);
        if (take_keyword(ps, "if")) { /* {{else if}}: an if of its own, sharing our {{end}} */
            n->otherwise = xcalloc(1, sizeof(*n));
            n->otherwise->kind = NODE_IF;
            skip_blanks(ps);
            return parse_block(ps, n->otherwise);
        }
        if (end_action(ps) < 0)
            return -EINVAL;
        s = parse_list(ps, &n->otherwise);
    }
    if (s == STOP_ERROR)
        return -EINVAL;
    if (s != STOP_END)
        return err_msg(ps->e, EINVAL, "column %zu: no {{end}}", at);
    return end_action(ps);
}

/* Text up to the next action. */
static void parse_text(struct parser *ps, struct node **tail[])
{
    const char *end = strstr(ps->p, "{{");
    size_t n = end ? (size_t)(end - ps->p) : strlen(ps->p);
    const char *start = ps->p;
    ps->p += n;
    if (ps->trim_next)
        while (n > 0 && isspace((unsigned char)*start)) {
            start++;
            n--;
        }
    if (end && end[2] == '-')
        while (n > 0 && isspace((unsigned char)start[n - 1]))
            n--;
    ps->trim_next = false;
    if (n == 0)
        return;
    struct node *text = xcalloc(1, sizeof(*text));
    text->text = xstrndup(start, n);
    **tail = text;
    *tail = &text->next;
}

static int parse_action(struct parser *ps, struct node *n)
{
    static const struct {
        const char *word;
        enum node_kind kind;
    } blocks[] = {{"if", NODE_IF}, {"range", NODE_RANGE}, {"with", NODE_WITH}};
    for (size_t i = 0; i < N_ELEMENTS(blocks); i++) {
        if (!take_keyword(ps, blocks[i].word))
            continue;
        n->kind = blocks[i].kind;
        if (++ps->depth > DEPTH_MAX)
            return err_msg(ps->e, EINVAL, "column %zu: nested too deeply", column(ps));
        skip_blanks(ps);
        int r = parse_block(ps, n);
        ps->depth--;
        return r;
    }
    n->kind = NODE_ACTION;
    parse_declaration(ps, n);
    n->expr = parse_pipeline(ps);
    return n->expr ? end_action(ps) : -EINVAL;
}

static enum stop parse_list(struct parser *ps, struct node **ret)
{
    struct node **tail = ret;
    for (;;) {
        parse_text(ps, &tail);
        if (!*ps->p)
            return STOP_EOF;
        ps->p += ps->p[2] == '-' ? 3 : 2;
        skip_blanks(ps);
        if (strncmp(ps->p, "/*", 2) == 0) {
            const char *end = strstr(ps->p, "*/");
            ps->p = end ? end + 2 : ps->p + strlen(ps->p);
            if (end_action(ps) < 0)
                return STOP_ERROR;
            continue;
        }
        if (take_keyword(ps, "end"))
            return STOP_END;
        if (take_keyword(ps, "else"))
            return STOP_ELSE;
        struct node *n = xcalloc(1, sizeof(*n));
        *tail = n;
        tail = &n->next;
        if (parse_action(ps, n) < 0)
            return STOP_ERROR;
    }
}

struct format *format_compile(const char *text, struct err *e)
{
    struct parser ps = {.text = text, .p = text, .e = e};
    struct format *f = xcalloc(1, sizeof(*f));
    enum stop s = parse_list(&ps, &f->first);
    if (s == STOP_EOF)
        return f;
    if (s != STOP_ERROR)
        err_msg(e, EINVAL, "column %zu: {{%s}} without a block", column(&ps),
                s == STOP_END ? "end" : "else");
    err_add(e, -EINVAL, "--format");
    format_free(f);
    return NULL;
}
