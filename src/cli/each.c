/* each - the same work for several containers: go on after errors, the worst status counts. */
#include <errno.h>

#include "cli/cli.h"

static void keep_worst(int status, int *worst)
{
    if (status > *worst)
        *worst = status;
}

struct each {
    cli_each_fn *fn;
    void *data;
    int worst;
    bool failed;
};

/* Prints the error that was held back before a new one takes its place. */
static void take_error(struct each *s, struct err *e, const struct err *one)
{
    if (s->failed)
        cli_print_err(e);
    *e = *one;
    s->failed = true;
    keep_worst(one->exit_status ? one->exit_status : 125, &s->worst);
}

static void one_container(struct each *s, const char *name, struct err *e)
{
    struct err one = ERR_INIT;
    scoped_container struct container c = {.dir_fd = -1};
    int r = name ? container_open(cli_conf(), name, &c, &one)
                 : container_open_latest(cli_conf(), &c, &one);
    if (r >= 0)
        r = s->fn(&c, name ? name : c.id, s->data, &one);
    if (r < 0)
        take_error(s, e, &one);
    else
        keep_worst(r, &s->worst);
}

int cli_each(char **names, bool latest, cli_each_fn *fn, void *data, struct err *e)
{
    struct each s = {.fn = fn, .data = data};
    if (latest && *names)
        return err_msg(e, EINVAL, "--latest and names exclude each other");
    if (!latest && !*names)
        return err_hint(e, err_msg(e, EINVAL, "no container given"), "names or ids");
    if (latest)
        one_container(&s, NULL, e);
    for (char **n = names; *n; n++)
        one_container(&s, *n, e);
    if (!s.failed)
        return s.worst;
    e->exit_status = s.worst;
    return e->errnum > 0 ? -e->errnum : -EIO;
}
