/* build_life - restart policy and health check. */
#include "cli/build.h"

#include <errno.h>

#include "container/restart.h"

int build_restart(struct build *b, struct err *e)
{
    const char *text = b->o->restart ? b->o->restart : "no";
    int r = container_restart_parse(text, &b->rec->restart_policy, &b->rec->restart_retries, e);
    if (r < 0 || !b->o->rm || streq(b->rec->restart_policy, "no"))
        return r;
    r = err_msg(e, EINVAL, "--restart %s and --rm exclude each other", text);
    return err_hint(e, r, "what is removed at its end cannot be started again");
}
