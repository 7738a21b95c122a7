/* Rows A18, A23: capability sets by name, and their application to a process. */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/strv.h"
#include "security/caps.h"

#define CAP(c) (UINT64_C(1) << (c))
#define ALL_CAPS ((CAP(cap_last()) << 1) - 1)

static void free_caps(struct spec_caps *c)
{
    strv_free(c->bounding);
    strv_free(c->effective);
    strv_free(c->inheritable);
    strv_free(c->permitted);
    strv_free(c->ambient);
    free(c);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(cap_parse("CAP_CHOWN"), CAP_CHOWN);
    assert_int_equal(cap_parse("chown"), CAP_CHOWN);
    assert_int_equal(cap_parse("cap_net_raw"), CAP_NET_RAW);
    assert_int_equal(cap_parse("CHECKPOINT_RESTORE"), CAP_CHECKPOINT_RESTORE);
    assert_int_equal(cap_parse("CAP_"), -EINVAL);
    assert_int_equal(cap_parse(""), -EINVAL);
    assert_int_equal(cap_parse("CAP_CAP_CHOWN"), -EINVAL);
    assert_int_equal(cap_parse("ALL"), -EINVAL);
    assert_null(cap_name(-1));
    assert_null(cap_name(63));
    for (int i = 0; i <= CAP_LAST_CAP; i++)
        assert_int_equal(cap_parse(cap_name(i)), i);
}

static void test_last(void **state)
{
    (void)state;
    int last = 0;
    scoped_file FILE *f = fopen("/proc/sys/kernel/cap_last_cap", "re");
    if (!f)
        skip();
    assert_int_equal(fscanf(f, "%d", &last), 1);
    assert_int_equal(cap_last(), last);
}

/* A18: the mission's set is 0x421; hardened contains it, default contains hardened. */
static void test_profiles(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    uint64_t minimal = 0, hardened = 0, deflt = 0;
    assert_int_equal(cap_profile("minimal", &minimal, &e), 0);
    assert_int_equal(cap_profile("hardened", &hardened, &e), 0);
    assert_int_equal(cap_profile("default", &deflt, &e), 0);
    assert_int_equal(minimal, 0x421);
    assert_int_equal(__builtin_popcountll(hardened), 7);
    assert_int_equal(__builtin_popcountll(deflt), 11);
    assert_int_equal(hardened & minimal, minimal);
    assert_int_equal(deflt & hardened, hardened);
    assert_int_equal(deflt & CAP(CAP_NET_RAW), 0);
    assert_int_equal(cap_profile("loose", &deflt, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "loose"));
}

#define V(...) ((char **)(const char *[]){__VA_ARGS__, NULL})

static void test_adjust(void **state)
{
    (void)state;
    const struct {
        char **add, **drop;
        uint64_t from, to;
        const char *want; /* NULL: fine; else a part of the message */
    } cases[] = {
        {NULL, NULL, 0x421, 0x421, NULL},
        {V("NET_RAW"), NULL, 0x421, 0x421 | CAP(CAP_NET_RAW), NULL},
        {NULL, V("kill", "CAP_CHOWN"), 0x421, CAP(CAP_NET_BIND_SERVICE), NULL},
        {V("NET_BIND_SERVICE", "KILL", "CHOWN"), V("ALL"), 0x7ff, 0x421, NULL},
        {NULL, V("all"), 0x7ff, 0, NULL},
        {V("ALL"), NULL, 0, ALL_CAPS, NULL},
        {V("ALL"), V("SYS_ADMIN"), 0, ALL_CAPS & ~CAP(CAP_SYS_ADMIN), NULL},
        {V("ALL"), V("ALL"), 1, 1, "contradict"},
        {V("CHOWN"), V("CAP_chown"), 1, 1, "CAP_CHOWN is both"},
        {V("FLY"), NULL, 1, 1, "--cap-add FLY: unknown"},
        {NULL, V("FLY"), 1, 1, "--cap-drop FLY: unknown"},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        uint64_t mask = cases[i].from;
        int r = cap_adjust(&mask, cases[i].add, cases[i].drop, &e);
        assert_int_equal(r, cases[i].want ? -EINVAL : 0);
        assert_int_equal(mask, cases[i].to);
        if (cases[i].want && !strstr(e.msg, cases[i].want))
            fail_msg("case %zu: %s", i, e.msg);
    }
}

static void test_spec(void **state)
{
    (void)state;
    struct spec_caps *c = NULL;
    struct err e = ERR_INIT;
    uint64_t mask = 0;
    cap_mask_to_spec(0x1, &c);
    cap_mask_to_spec(0x421, &c); /* replaces */
    assert_int_equal(strv_len(c->bounding), 3);
    assert_null(c->ambient);
    assert_null(c->inheritable);
    assert_int_equal(cap_list_to_mask(c->effective, &mask, &e), 0);
    assert_int_equal(mask, 0x421);
    assert_int_equal(cap_list_to_mask(V("CAP_FLY"), &mask, &e), -EINVAL);
    free_caps(c);
}

/* ---- applied, in a child -------------------------------------------------------------------- */

struct sets {
    uint64_t bounding, effective, permitted, inheritable, ambient;
};

static struct sets read_sets(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2] = {0};
    struct sets s = {0};
    syscall(SYS_capget, &head, d);
    s.effective = d[0].effective | (uint64_t)d[1].effective << 32;
    s.permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
    s.inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
    for (int i = 0; i <= cap_last(); i++) {
        if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
            s.bounding |= CAP(i);
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
            s.ambient |= CAP(i);
    }
    return s;
}

/* Applies the spec around a change to uid; gives the child's sets. */
static struct sets apply(const struct spec_caps *c, uid_t uid)
{
    struct sets s = {0};
    int p[2];
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        int r = cap_apply_bounding(c, &e);
        if (r == 0 && setresuid(uid, uid, uid) < 0)
            r = err_set(&e, errno, "setresuid");
        if (r == 0)
            r = cap_apply_sets(c, &e);
        if (r < 0) {
            fprintf(stderr, "%s\n", e.msg);
            _exit(1);
        }
        s = read_sets();
        _exit(prctl(PR_GET_KEEPCAPS) != 0 || write(p[1], &s, sizeof(s)) != sizeof(s));
    }
    int status = 0;
    close(p[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(p[0], &s, sizeof(s)), sizeof(s));
    close(p[0]);
    return s;
}

/* An ordinary user becomes root of a user namespace with that one id in it. */
static void become_root(void)
{
    uid_t uid = getuid();
    if (uid == 0 || unshare(CLONE_NEWUSER) < 0)
        return;
    scoped_file FILE *f = fopen("/proc/self/uid_map", "we");
    if (f)
        fprintf(f, "0 %u 1\n", uid);
}

static void need_setpcap(void)
{
    struct sets s = read_sets();
    if (!(s.effective & CAP(CAP_SETPCAP)) || !(s.effective & CAP(CAP_SETUID)) ||
        (s.bounding & 0x421) != 0x421)
        skip();
}

static void test_apply_root(void **state)
{
    (void)state;
    need_setpcap();
    struct spec_caps *c = NULL;
    cap_mask_to_spec(0x421, &c);
    struct sets s = apply(c, getuid());
    assert_int_equal(s.bounding, 0x421);
    assert_int_equal(s.effective, 0x421);
    assert_int_equal(s.permitted, 0x421);
    assert_int_equal(s.inheritable, 0);
    assert_int_equal(s.ambient, 0);
    free_caps(c);
}

/* The sets survive the change of uid, and ambient ones are raised. */
static void test_apply_user(void **state)
{
    (void)state;
    need_setpcap();
    if (setresuid((uid_t)-1, 12345, (uid_t)-1) < 0)
        skip(); /* the namespace has no second user */
    assert_int_equal(seteuid(0), 0);
    struct spec_caps *c = NULL;
    cap_mask_to_spec(0x421, &c);
    strv_add(&c->inheritable, "CAP_NET_BIND_SERVICE");
    strv_add(&c->ambient, "CAP_NET_BIND_SERVICE");
    struct sets s = apply(c, 12345);
    assert_int_equal(s.bounding, 0x421);
    assert_int_equal(s.effective, 0x421);
    assert_int_equal(s.permitted, 0x421);
    assert_int_equal(s.inheritable, CAP(CAP_NET_BIND_SERVICE));
    assert_int_equal(s.ambient, CAP(CAP_NET_BIND_SERVICE));
    free_caps(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),      cmocka_unit_test(test_last),
        cmocka_unit_test(test_profiles),   cmocka_unit_test(test_adjust),
        cmocka_unit_test(test_spec),       cmocka_unit_test(test_apply_root),
        cmocka_unit_test(test_apply_user),
    };
    become_root();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
