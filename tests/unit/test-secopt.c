/* The values of --security-opt. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/strv.h"
#include "security/lsm.h"
#include "security/secopt.h"

#define V(...) ((char **)(const char *[]){__VA_ARGS__, NULL})

static void test_all(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct secopt o = SECOPT_INIT;
    char **v = V("seccomp=/etc/p.json", "seccomp-default=log", "no-new-privileges", "apparmor=web",
                 "label=type:web_t", "label:level:s0:c1,c2", "mask=/proc/a:/b//c/",
                 "unmask=/proc/*", "proc-opts=hidepid=2,subset=pid", "mask=/d");
    assert_int_equal(secopt_parse(v, &o, &e), 0);
    assert_int_equal(o.seccomp, SECOPT_SECCOMP_FILE);
    assert_string_equal(o.seccomp_name, "/etc/p.json");
    assert_int_equal(o.seccomp_default, SECOPT_DEFAULT_LOG);
    assert_int_equal(o.no_new_privs, 1);
    assert_string_equal(o.apparmor, "web");
    assert_string_equal(o.label_type, "web_t");
    assert_string_equal(o.label_level, "s0:c1,c2");
    assert_false(o.label_disable);
    assert_int_equal(strv_len(o.mask), 3);
    assert_string_equal(o.mask[1], "/b/c");
    assert_string_equal(o.mask[2], "/d");
    assert_string_equal(o.unmask[0], "/proc/*");
    assert_false(o.unmask_all);
    assert_string_equal(o.proc_opts[1], "subset=pid");
    secopt_release(&o);
    assert_int_equal(o.no_new_privs, -1);
}

static void test_nothing(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct secopt o;
    assert_int_equal(secopt_parse(NULL, &o, &e), 0);
    assert_int_equal(o.seccomp, SECOPT_SECCOMP_BUILTIN);
    assert_false(o.seccomp_given);
    assert_int_equal(o.no_new_privs, -1);
    secopt_release(&o);
}

static const struct {
    const char *value;
    enum secopt_seccomp kind;
    const char *name;
} seccomp_cases[] = {
    {"seccomp=unconfined", SECOPT_SECCOMP_UNCONFINED, NULL},
    {"seccomp:unconfined", SECOPT_SECCOMP_UNCONFINED, NULL},
    {"seccomp=minimal", SECOPT_SECCOMP_BUILTIN, "minimal"},
    {"seccomp=nested", SECOPT_SECCOMP_BUILTIN, "nested"},
    {"seccomp=default", SECOPT_SECCOMP_BUILTIN, "default"},
    {"seccomp=builtin", SECOPT_SECCOMP_BUILTIN, "default"},
    {"seccomp=./default", SECOPT_SECCOMP_FILE, "./default"},
    {"seccomp=p=1.json", SECOPT_SECCOMP_FILE, "p=1.json"},
};

static void test_seccomp(void **state)
{
    (void)state;
    struct secopt o = SECOPT_INIT;
    for (size_t i = 0; i < N_ELEMENTS(seccomp_cases); i++) {
        struct err e = ERR_INIT;
        assert_int_equal(secopt_add(&o, seccomp_cases[i].value, &e), 0);
        assert_true(o.seccomp_given);
        assert_int_equal(o.seccomp, seccomp_cases[i].kind);
        assert_true(streq(o.seccomp_name, seccomp_cases[i].name));
    }
    secopt_release(&o);
}

static const struct {
    const char *text, *want;
} bad_cases[] = {
    {"", "unknown"},
    {"selinux=x", "known: seccomp seccomp-default no-new-privileges"},
    {"sec=x", "unknown"},
    {"seccomp", "want seccomp=VALUE"},
    {"seccomp=", "want seccomp=VALUE"},
    {"seccomp-default=allow", "want errno, log"},
    {"no-new-privileges=maybe", "want true or false"},
    {"label=blue", "want disable"},
    {"label=user:", "want disable"},
    {"mask=proc/x", "want absolute paths"},
    {"mask=/a::/b", "want absolute paths"},
    {"unmask=some", "want absolute paths"},
    {"proc-opts=hidepid=2,suid", "suid: want hidepid"},
    {"systempaths=confined", "want unconfined"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad_cases); i++) {
        struct err e = ERR_INIT;
        struct secopt o = SECOPT_INIT;
        int r = secopt_add(&o, bad_cases[i].text, &e);
        if (r != -EINVAL || !strstr(e.msg, bad_cases[i].want))
            fail_msg("%s: %d %s", bad_cases[i].text, r, e.msg);
        assert_null(o.mask);
        assert_null(o.proc_opts);
        secopt_release(&o);
    }
}

static void test_flags(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct secopt o = SECOPT_INIT;
    assert_int_equal(secopt_add(&o, "no-new-privileges:true", &e), 0);
    assert_int_equal(o.no_new_privs, 1);
    assert_int_equal(secopt_add(&o, "no-new-privileges=false", &e), 0);
    assert_int_equal(o.no_new_privs, 0);
    assert_int_equal(secopt_add(&o, "unmask=all", &e), 0);
    assert_true(o.unmask_all);
    assert_int_equal(secopt_add(&o, "label=disable", &e), 0);
    assert_true(o.label_disable);
    assert_null(secopt_default_name(o.seccomp_default));
    assert_int_equal(secopt_add(&o, "seccomp-default=learn", &e), 0);
    assert_string_equal(secopt_default_name(o.seccomp_default), "notify");
    secopt_release(&o);
}

/* A5: what the kernel lacks is an error that says so; "unconfined" never is. */
static void test_lsm(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_strv char **v = lsm_list(NULL);
    assert_int_equal(lsm_active("apparmor"), strv_has(v, "apparmor"));
    assert_int_equal(lsm_set_exec_label(-1, NULL, NULL, &e), 0);
    assert_int_equal(lsm_set_exec_label(-1, "unconfined", "", &e), 0);
    if (!lsm_active("apparmor")) {
        assert_int_equal(lsm_set_exec_label(-1, "web", NULL, &e), -EOPNOTSUPP);
        assert_non_null(strstr(e.msg, "AppArmor profile web: this kernel runs without AppArmor"));
    }
    if (!lsm_active("selinux")) {
        assert_int_equal(lsm_set_exec_label(-1, NULL, "a:b:c", &e), -EOPNOTSUPP);
        assert_non_null(strstr(e.msg, "SELinux label a:b:c"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all), cmocka_unit_test(test_nothing), cmocka_unit_test(test_seccomp),
        cmocka_unit_test(test_bad), cmocka_unit_test(test_flags),   cmocka_unit_test(test_lsm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
