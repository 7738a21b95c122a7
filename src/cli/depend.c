/* depend - see depend.h. */
#include "cli/depend.h"

#include "cli/cli.h"

struct graph {
    struct container *v; /* all that could be opened */
    size_t n;
    char **done; /* ids that stand in the result */
};

static bool depends(const struct ctr_record *r, const char *id)
{
    if (streq(r->network.mode, "container") && streq(r->network.target, id))
        return true;
    if (r->pod_id && streq(r->pod_id, id))
        return true;
    if (strv_has(r->requires, id))
        return true;
    for (char **j = r->joins; j && *j; j++) {
        const char *of = strchr(*j, '=');
        if (of && streq(of + 1, id))
            return true;
    }
    return false;
}

/* Depth first; one that was seen is not looked at again, so a circle ends. */
static void visit(struct graph *g, const char *id, const char *shown, char ***ret)
{
    if (strv_has(g->done, id))
        return;
    strv_add(&g->done, id);
    for (size_t i = 0; i < g->n; i++)
        if (depends(&g->v[i].rec, id))
            visit(g, g->v[i].id, g->v[i].id, ret);
    strv_add(ret, shown);
}

static int load(struct graph *g, struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0;
    int r = container_list(cli_conf(), &list, &n, e);
    if (r < 0)
        return r;
    g->v = xcalloc(n ? n : 1, sizeof(*g->v));
    for (size_t i = 0; i < n; i++) {
        struct err none = ERR_INIT;
        if (container_open_id(cli_conf(), list[i].id, &g->v[g->n], &none) == 0)
            fd_close(&g->v[g->n++].dir_fd); /* there may be many */
    }
    container_list_free(list, n);
    return 0;
}

int cli_dependents(char **names, char ***ret, struct err *e)
{
    struct graph g = {.n = 0};
    int r = load(&g, e);
    for (char **name = names; r == 0 && name && *name; name++) {
        scoped_container struct container c = {.dir_fd = -1};
        struct err none = ERR_INIT;
        if (container_open(cli_conf(), *name, &c, &none) < 0)
            strv_add(ret, *name);
        else
            visit(&g, c.id, *name, ret);
    }
    for (size_t i = 0; i < g.n; i++)
        container_release(&g.v[i]);
    free(g.v);
    strv_free(g.done);
    return r;
}
