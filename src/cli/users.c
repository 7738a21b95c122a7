/* users - see users.h. */
#include "cli/users.h"

#include <errno.h>

#include "cli/cli.h"
#include "container/client.h"

int cli_users_error(const char *kind, const char *name, char *const *ids, struct err *e)
{
    scoped_str struct str who = STR_INIT;
    for (char *const *id = ids; *id; id++) {
        scoped_container struct container c = {.dir_fd = -1};
        bool known = container_open_id(cli_conf(), *id, &c, NULL) == 0;
        str_addf(&who, "%s%s (%.12s)", who.len ? ", " : "", known ? c.state.name : "?", *id);
    }
    return err_exit(e, err_msg(e, EBUSY, "%s %s is used by %s", kind, name, who.s), 2);
}

static void stop(const struct container *c, int64_t seconds)
{
    int64_t ms = seconds < 0 ? -1 : seconds > 1000000 ? INT32_MAX : seconds * 1000;
    struct err ignored = ERR_INIT;
    (void)!container_stop(cli_conf(), c->id, 15, (int)ms, &ignored);
}

int cli_users_remove(char *const *ids, const int64_t *seconds, struct err *e)
{
    for (char *const *id = ids; id && *id; id++) {
        scoped_container struct container c = {.dir_fd = -1};
        struct err gone = ERR_INIT;
        if (container_open_id(cli_conf(), *id, &c, &gone) < 0)
            continue;
        if (seconds && ctr_state_alive(&c.state))
            stop(&c, *seconds);
        int r = cli_remove(&c, true, false, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int cli_remove_names(char *const *names, bool force, cli_remove_fn *fn, const void *data,
                     struct err *e)
{
    int worst = 0;
    for (char *const *n = names; n && *n; n++) {
        struct err one = ERR_INIT;
        int r = fn(*n, data, &one);
        if (r == 0)
            puts(*n);
        if (r == 0 || (r == -ENOENT && force))
            continue;
        if (r == -ENOENT)
            err_exit(&one, r, 1);
        if (worst)
            cli_print_err(e);
        *e = one;
        int status = one.exit_status ? one.exit_status : 125;
        worst = status > worst ? status : worst;
    }
    if (!worst)
        return 0;
    e->exit_status = worst;
    return e->errnum > 0 ? -e->errnum : -EIO;
}
