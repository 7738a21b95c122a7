/* build_watch - what the supervisor and systemd-oomd are to do when resources run short. */
#include "cli/build.h"

#include <errno.h>

#include "base/strv.h"
#include "cgroup/pressure.h"

static int check_rule(const struct build *b, const char *text, struct err *e)
{
    struct pressure_rule rule;
    int r = pressure_parse(text, &rule, e);
    if (r < 0 || rule.action != PRESSURE_RESTART || !b->o->rm)
        return r;
    r = err_msg(e, EINVAL, "--on-pressure %s and --rm exclude each other", text);
    return err_hint(e, r, "what is removed at its end cannot be started again");
}

int build_watch(struct build *b, struct err *e)
{
    const struct run_opts *o = b->o;
    const char *driver = b->rec->cgroups;
    scoped_strv char **properties = NULL;
    int r = oomd_properties(o->oomd, &properties, e);
    for (char **rule = o->on_pressure; r == 0 && rule && *rule; rule++)
        r = check_rule(b, *rule, e);
    if (r < 0)
        return r;
    if (o->on_pressure && streq(driver, "disabled")) {
        r = err_msg(e, ENOTSUP, "--on-pressure needs a cgroup, and the container would have none");
        return err_hint(e, r, "'rootlet doctor' tells what keeps cgroups from being used");
    }
    if (properties && !streq(driver, "systemd")) {
        r = err_msg(e, ENOTSUP, "--oomd %s needs a scope of systemd, and the cgroups are \"%s\"",
                    o->oomd, driver);
        return err_hint(e, r, "in a unit of your own, ManagedOOMPreference= does it");
    }
    b->rec->on_pressure = strv_dup(o->on_pressure);
    b->rec->oomd = properties ? xstrdup(o->oomd) : NULL;
    return 0;
}
