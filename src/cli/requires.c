/* requires - see requires.h. */
#include "cli/requires.h"

#include <errno.h>

#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/pod.h"

/* Ids are resolved when a container is made, so there is no circle; but records are files. */
#define DEPTH_MAX 32

int cli_requires_resolve(char *const *names, char ***ret_ids, struct err *e)
{
    for (char *const *n = names; n && *n; n++) {
        scoped_container struct container c = {.dir_fd = -1};
        int r = container_open(cli_conf(), *n, &c, e);
        if (r < 0)
            return err_add(e, r, "--requires");
        if (!strv_has(*ret_ids, c.id))
            strv_add(ret_ids, c.id);
    }
    return 0;
}

static int bring_up(const struct ctr_record *rec, unsigned depth, struct err *e);

static int start(const char *id, unsigned depth, struct err *e)
{
    scoped_container struct container c = {.dir_fd = -1};
    int r = container_open_id(cli_conf(), id, &c, e);
    if (r < 0 || ctr_state_alive(&c.state))
        return r;
    r = bring_up(&c.rec, depth + 1, e);
    if (r < 0)
        return r;
    const struct follow f = {.id = c.id};
    r = follow_detached(&f, e);
    return r < 0 ? err_add(e, r, "start %s", c.rec.name) : 0;
}

static int bring_up(const struct ctr_record *rec, unsigned depth, struct err *e)
{
    if (depth > DEPTH_MAX)
        return err_msg(e, ELOOP, "more than %d containers require each other", DEPTH_MAX);
    int r = cli_pod_of(rec, e);
    for (char **id = rec->requires; r == 0 && id && *id; id++) {
        r = start(*id, depth, e);
        if (r < 0)
            return err_add(e, r, "it requires container %.12s", *id);
    }
    return r;
}

int cli_bring_up(const struct ctr_record *rec, struct err *e)
{
    return bring_up(rec, 0, e);
}
