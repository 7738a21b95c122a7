/* --network in all its forms, to a plan. */
#include "network/plan.h"

#include <errno.h>

#include "base/strv.h"
#include "unit.h"

/* The plan as one text: "mode target options | network:aliases:ip:ip6:mac:interface ..." */
static char *shown(const struct network_plan *p)
{
    struct str s = STR_INIT;
    scoped_free char *options = strv_join(p->options, ",");
    str_addf(&s, "%s %s %s", p->mode, p->target ? p->target : "-", options ? options : "");
    for (size_t i = 0; i < p->n_joins; i++) {
        const struct network_join *j = &p->joins[i];
        scoped_free char *aliases = strv_join(j->aliases, "+");
        str_addf(&s, "| %s:%s:%s:%s:%s:%s", j->network, aliases ? aliases : "", j->ip ? j->ip : "",
                 j->ip6 ? j->ip6 : "", j->mac ? j->mac : "", j->interface ? j->interface : "");
    }
    return str_detach(&s);
}

static const struct {
    const char *texts[3], *want; /* want: the plan, or behind '!' a part of the message */
} cases[] = {
    {{"none"}, "none - "},
    {{"host"}, "host - "},
    {{"slirp"}, "slirp - "},
    {{"slirp:"}, "slirp - "},
    {{"slirp4netns:mtu=1500,cidr=10.9.0.0/24"}, "slirp - mtu=1500,cidr=10.9.0.0/24"},
    {{"container:web"}, "container web "},
    {{"ns:/run/netns/x:y"}, "ns /run/netns/x:y "},
    {{"web"}, "networks - | web:::::"},
    {{"web", "db"}, "networks - | web:::::| db:::::"},
    {{"web,db"}, "networks - | web:::::| db:::::"},
    {{"web:"}, "networks - | web:::::"},
    {{"bridge"}, "networks - | bridge:::::"},
    {{"web:alias=a,alias=b,alias=a,ip=10.0.0.9,ip6=fd00::9,mac=02:0:0:0:0:1"},
     "!is not the address of a network card"},
    {{"web:alias=a,alias=b,alias=a,ip=10.0.0.9,ip6=fd00::9,mac=02:00:00:00:00:0A"},
     "networks - | web:a+b:10.0.0.9:fd00::9:02:00:00:00:00:0a:"},
    {{"web:ip=fd00::9,ip=10.0.0.9,interface_name=lan"}, "networks - | web::10.0.0.9:fd00::9::lan"},
    {{"name=web"}, "networks - | web:::::"},
    {{"alias=x,name=web,ip=10.0.0.9"}, "networks - | web:x:10.0.0.9:::"},
    {{"none:"}, "!takes no options"},
    {{"host:x"}, "!takes no options"},
    {{"container"}, "!want container:ID"},
    {{"ns:"}, "!want ns:PATH"},
    {{"user"}, "!is a driver of networks"},
    {{""}, "!unknown network mode"},
    {{":"}, "!unknown network mode"},
    {{","}, "!unknown network mode"},
    {{"web,"}, "!unknown network mode"},
    {{"../web"}, "!unknown network mode"},
    {{"web\n"}, "!unknown network mode"},
    {{"web", "web"}, "!given twice"},
    {{"web", "host"}, "!\"host\" excludes"},
    {{"host", "web"}, "!\"host\" excludes"},
    {{"none", "none"}, "!\"none\" excludes"},
    {{"web:x"}, "!not KEY=VALUE"},
    {{"web:x=y"}, "!unknown option \"x\""},
    {{"web:ip="}, "!is not an address"},
    {{"web:ip=0.0.0.0"}, "!no address that an interface can have"},
    {{"web:ip=10.0.0.1,ip=10.0.0.2"}, "!given twice"},
    {{"web:mac=02:00:00:00:00:01,mac=02:00:00:00:00:02"}, "!given twice"},
    {{"web:alias="}, "!not a name of a host"},
    {{"web:alias=.x"}, "!not a name of a host"},
    {{"web:interface_name=lo"}, "!not a name of an interface"},
    {{"web:interface_name=sixteencharacter"}, "!not a name of an interface"},
    {{"web:interface_name=a b"}, "!not a name of an interface"},
    {{"alias=x,name="}, "!unknown network mode"},
};

static void test_add(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct network_plan p = {.mode = NULL};
        struct err e = ERR_INIT;
        int r = 0;
        for (size_t k = 0; r == 0 && k < 3 && cases[i].texts[k]; k++)
            r = network_plan_add(&p, cases[i].texts[k], &e);
        bool bad = cases[i].want[0] == '!';
        scoped_free char *got = r == 0 ? shown(&p) : xstrdup(e.msg);
        if (bad != (r < 0) || (bad && r != -EINVAL) ||
            (bad ? !strstr(got, cases[i].want + 1) : !streq(got, cases[i].want)))
            fail_msg("%s: want \"%s\", got \"%s\" (%d)", cases[i].texts[0], cases[i].want, got, r);
        network_plan_release(&p);
    }
}

static void test_default(void **state)
{
    (void)state;
    assert_true(network_plan_is_default("auto") && network_plan_is_default("default"));
    assert_true(network_plan_is_default("private") && network_plan_is_default(""));
    assert_false(network_plan_is_default("none") || network_plan_is_default("autos"));
    scoped_free char *why = NULL;
    const char *mode = network_plan_default(&why);
    assert_true(streq(mode, "slirp") ? !why : streq(mode, "none"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_add), cmocka_unit_test(test_default)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
