/* eval - walks a template's tree over a JSON value. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/strv.h"
#include "format/format-priv.h"

struct scope { /* a variable; inner ones first */
    const char *name;
    json_t *value; /* borrowed */
    const struct scope *outer;
};

struct eval {
    json_t *root;
    struct str *out;
    struct err *e;
};

static json_t *eval_expr(struct eval *ev, const struct expr *x, json_t *dot,
                         const struct scope *vars);

/* A record (Go's struct) has names in capitals: a wrong one is an error there. In a map (labels) a
 * missing key is nothing. */
static bool is_record(const json_t *v)
{
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)v, key,
                        item) if (isupper((unsigned char)key[0])) return true;
    return false;
}

static json_t *field(struct eval *ev, json_t *v, const char *name)
{
    json_t *found = json_is_object(v) ? json_object_get(v, name) : NULL;
    if (found)
        return found;
    if (json_is_object(v) && !is_record(v))
        return json_null();
    if (json_is_null(v))
        return v;
    scoped_strv char **known = NULL;
    const char *key;
    json_t *item;
    if (json_is_object(v))
        json_object_foreach(v, key, item) strv_add(&known, key);
    scoped_free char *list = strv_join(known, " ");
    err_msg(ev->e, EINVAL, "--format: there is no field \"%s\"", name);
    if (known)
        err_hint(ev->e, 0, "fields: %.400s", list);
    return NULL;
}

/* Follows a chain; a borrowed value or NULL. */
static json_t *follow(struct eval *ev, json_t *v, char *const *path)
{
    for (; v && path && *path; path++)
        v = field(ev, v, *path);
    return v;
}

static json_t *eval_field(struct eval *ev, const struct expr *x, json_t *dot,
                          const struct scope *vars)
{
    scoped_json json_t *base = x->base ? eval_expr(ev, x->base, dot, vars) : json_incref(dot);
    json_t *v = base ? follow(ev, base, x->path) : NULL;
    return json_incref(v);
}

static json_t *eval_var(struct eval *ev, const struct expr *x, const struct scope *vars)
{
    if (!*x->name)
        return json_incref(ev->root);
    for (; vars; vars = vars->outer)
        if (streq(vars->name, x->name))
            return json_incref(vars->value);
    err_msg(ev->e, EINVAL, "--format: column %zu: no variable $%s", x->column, x->name);
    return NULL;
}

/* .Label "k" is the only method there is. */
static json_t *eval_method(struct eval *ev, const struct expr *x, json_t *dot, json_t **args)
{
    size_t n = strv_len(x->path);
    if (n == 0 || !streq(x->path[n - 1], "Label") || x->n_args != 1 || x->base) {
        err_msg(ev->e, EINVAL, "--format: column %zu: a field takes no arguments", x->column);
        return NULL;
    }
    json_t *labels = json_object_get(dot, "Labels");
    json_t *v = json_object_get(labels, json_string_value(args[0]));
    return v ? json_incref(v) : json_string("");
}

static json_t *eval_call(struct eval *ev, const struct expr *x, json_t *dot,
                         const struct scope *vars)
{
    json_t *args[16] = {NULL}, *result = NULL;
    size_t n = 0;
    if (x->n_args > N_ELEMENTS(args)) {
        err_msg(ev->e, EINVAL, "--format: column %zu: too many arguments", x->column);
        return NULL;
    }
    while (n < x->n_args && (args[n] = eval_expr(ev, x->args[n], dot, vars)))
        n++;
    if (n == x->n_args) {
        struct err call = ERR_INIT;
        result = x->kind == EXPR_METHOD ? eval_method(ev, x, dot, args)
                                        : format_call(x->name, args, n, &call);
        if (!result && call.msg[0]) {
            *ev->e = call;
            err_add(ev->e, -EINVAL, "--format: column %zu", x->column);
        }
    }
    for (size_t i = 0; i < n; i++)
        json_decref(args[i]);
    return result;
}

static json_t *eval_expr(struct eval *ev, const struct expr *x, json_t *dot,
                         const struct scope *vars)
{
    switch (x->kind) {
    case EXPR_DOT:
        return json_incref(dot);
    case EXPR_LITERAL:
        return json_incref(x->value);
    case EXPR_VAR:
        return eval_var(ev, x, vars);
    case EXPR_FIELD:
        return eval_field(ev, x, dot, vars);
    default:
        return eval_call(ev, x, dot, vars);
    }
}

static int eval_list(struct eval *ev, const struct node *n, json_t *dot, const struct scope *vars);

static int range_item(struct eval *ev, const struct node *n, json_t *key, json_t *item,
                      const struct scope *vars)
{
    /* One name: the item; two: index or key, and the item. */
    struct scope first = {n->var2 ? n->var1 : "", key, vars};
    struct scope second = {n->var2 ? n->var2 : n->var1 ? n->var1 : "", item, &first};
    return eval_list(ev, n->body, item, &second);
}

static int eval_range(struct eval *ev, const struct node *n, json_t *v, json_t *dot,
                      const struct scope *vars)
{
    int r = 0;
    size_t i;
    json_t *item;
    if (!format_truth(v))
        return eval_list(ev, n->otherwise, dot, vars);
    if (json_is_array(v)) {
        json_array_foreach(v, i, item)
        {
            scoped_json json_t *key = json_integer((json_int_t)i);
            if ((r = range_item(ev, n, key, item, vars)) < 0)
                return r;
        }
        return 0;
    }
    if (!json_is_object(v))
        return err_msg(ev->e, EINVAL, "--format: range over something that is no list");
    scoped_strv char **keys = NULL;
    const char *name;
    json_object_foreach(v, name, item) strv_add(&keys, name);
    strv_sort(keys);
    for (char **k = keys; r == 0 && k && *k; k++) {
        scoped_json json_t *key = json_string(*k);
        r = range_item(ev, n, key, json_object_get(v, *k), vars);
    }
    return r;
}

static int eval_node(struct eval *ev, const struct node *n, json_t *v, json_t *dot,
                     const struct scope *vars)
{
    switch (n->kind) {
    case NODE_IF:
        return eval_list(ev, format_truth(v) ? n->body : n->otherwise, dot, vars);
    case NODE_WITH:
        return format_truth(v) ? eval_list(ev, n->body, v, vars)
                               : eval_list(ev, n->otherwise, dot, vars);
    case NODE_RANGE:
        return eval_range(ev, n, v, dot, vars);
    default:
        if (json_is_null(v))
            str_add(ev->out, "<no value>");
        else
            format_print_value(v, ev->out);
        return 0;
    }
}

static int eval_list(struct eval *ev, const struct node *n, json_t *dot, const struct scope *vars)
{
    for (; n; n = n->next) {
        if (n->kind == NODE_TEXT) {
            str_add(ev->out, n->text);
            continue;
        }
        scoped_json json_t *v = eval_expr(ev, n->expr, dot, vars);
        if (!v)
            return -EINVAL;
        if (n->kind == NODE_ACTION && n->var1) { /* {{$x := ...}}: for the rest of this list */
            struct scope s = {n->var1, v, vars};
            return eval_list(ev, n->next, dot, &s);
        }
        struct scope s = {n->var1 && n->kind != NODE_RANGE ? n->var1 : "", v, vars};
        int r = eval_node(ev, n, v, dot, *s.name ? &s : vars);
        if (r < 0)
            return r;
    }
    return 0;
}

int format_apply(const struct format *f, const json_t *value, struct str *out, struct err *e)
{
    struct err none = ERR_INIT;
    struct eval ev = {(json_t *)(uintptr_t)value, out, e ? e : &none};
    return eval_list(&ev, f->first, ev.root, NULL);
}
