/* test-cgroup-session - the groups of a supervisor where no manager makes them, on a real cgroup2
 * hierarchy (A38, A42, A45, A47); and the choice of a driver. */
#include <signal.h>
#include <sys/prctl.h>

#include "base/proc.h"
#include "base/strv.h"
#include "cgroup-mount.h"
#include "cgroup/cgroup.h"
#include "cgroup/session.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct err why;
#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s", why.msg);                                                               \
    } while (0)

/* Runs a check in a process of its own, which starts in the group unit_group/NAME. */
static void in_group(const char *name, void (*check)(const char *base))
{
    scoped_free char *base = xasprintf("%s/%s", unit_group, name);
    scoped_free char *dir = xasprintf(CGROUP_MOUNT "%s", base);
    int status;
    unit_group_make(base);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        scoped_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (cgroup_add_process(fd, base, getpid(), &why) < 0)
            _exit(98);
        check(base);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static char *own_group(void)
{
    char *path = NULL;
    return cgroup_of_process(0, &path, NULL) == 0 ? path : xstrdup("");
}

#define check(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%d: %s (%s)\n", __LINE__, #x, why.msg);                               \
            _exit(99);                                                                             \
        }                                                                                          \
    } while (0)

static pid_t sleeper_in(const struct cgroup *c)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    check(cgroup_enter((struct cgroup *)c, pid, &why) == 0);
    return pid;
}

static void life(const char *base)
{
    struct cgroup_session *s = NULL;
    struct cgroup *c = NULL;
    const struct cgroup_session_request r = {.driver = "cgroupfs", .id = ID, .parent = base};
    check(cgroup_session_begin(&r, &s, &why) == 0);
    check(!cgroup_session_late(s));
    check(cgroup_session_container(s, NULL, 0, &c, &why) == 0);
    scoped_free char *whole = xasprintf("%s/rootlet-" ID ".scope", base);
    scoped_free char *supervisor = xasprintf("%s/supervisor", whole);
    scoped_free char *container = xasprintf("%s/container", whole);
    scoped_free char *own = own_group();
    check(streq(cgroup_session_path(s), whole) && streq(own, supervisor));
    check(streq(cgroup_path(c), container) && cgroup_clone_fd(c) >= 0);

    /* What a record keeps leads back to it. */
    scoped_json json_t *record = cgroup_emit(c);
    scoped_cgroup struct cgroup *again = NULL;
    check(cgroup_load(record, &again, &why) == 0 && streq(cgroup_path(again), container));

    /* A further run gets it anew: what was left in it is ended. */
    pid_t pid = sleeper_in(c);
    cgroup_close(c);
    check(cgroup_session_container(s, NULL, 0, &c, &why) == 0);
    int status;
    check(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
    scoped_free char *procs = unit_group_read(container, "cgroup.procs");
    check(streq(procs, ""));

    pid = sleeper_in(c);
    cgroup_close(c);
    cgroup_session_end(s);
    check(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
    check(!unit_group_exists(whole));
    scoped_free char *back = own_group();
    scoped_free char *leaf = xasprintf("%s/main", base);
    check(streq(back, base) || streq(back, leaf));
}

static void test_life(void **state)
{
    (void)state;
    unit_cgroup_needed();
    in_group("life", life);
}

/* Whose process was killed: what it has left goes with the next command. */
static void killed(const char *base)
{
    struct cgroup_session *s = NULL;
    struct cgroup *c = NULL;
    const struct cgroup_session_request r = {.driver = "cgroupfs", .id = ID, .parent = base};
    pid_t pid = fork();
    if (pid == 0) {
        check(cgroup_session_begin(&r, &s, &why) == 0);
        check(cgroup_session_container(s, NULL, 0, &c, &why) == 0);
        _exit(0);
    }
    int status;
    check(waitpid(pid, &status, 0) == pid && status == 0);
    scoped_free char *whole = xasprintf("%s/rootlet-" ID ".scope", base);
    scoped_free char *container = xasprintf("%s/container", whole);
    check(unit_group_exists(container));
    cgroup_remove_session(base); /* not one of ours */
    check(unit_group_exists(container));
    cgroup_remove_session(container);
    check(!unit_group_exists(whole));
    /* And the next session of the same container does not mind. */
    for (int i = 0; i < 2; i++) {
        check(cgroup_session_begin(&r, &s, &why) == 0);
        check(cgroup_session_container(s, NULL, 0, &c, &why) == 0);
        cgroup_close(c);
        cgroup_session_end(s);
    }
    check(!unit_group_exists(whole));
}

static void test_killed(void **state)
{
    (void)state;
    unit_cgroup_needed();
    in_group("killed", killed);
}

static const char *memory_option(const char *member, void *data)
{
    (void)data;
    return str_after(member, "memory.limit") ? "--memory" : NULL;
}

static int choose(const char *setting, const char *limits, struct cgroup_choice *ret)
{
    scoped_json json_t *j = limits ? json_parse(limits, strlen(limits), 1000, "test", &why) : NULL;
    const struct cgroup_wish w = {.setting = setting, .resources = j, .option = memory_option};
    return cgroup_choose(&w, ret, &why);
}

/* A46: what was asked for is refused by its option, a default is not. */
static void test_disabled(void **state)
{
    struct cgroup_choice c SCOPED(cgroup_choice_release) = {0};
    (void)state;
    assert_int_equal(choose("disabled", "{\"memory\": {\"limit\": 1048576}}", &c), -EINVAL);
    assert_non_null(strstr(why.msg, "--memory needs a cgroup"));
    must(choose("disabled", "{\"pids\": {\"limit\": 10}}", &c));
    assert_string_equal(c.driver, "disabled");
    assert_null(c.notice);
    cgroup_choice_release(&c);
    must(choose("disabled", "{\"memory\": {\"limit\": -1}}", &c));
    cgroup_choice_release(&c);
    assert_int_equal(choose("sometimes", NULL, &c), -EINVAL);
    assert_non_null(strstr(why.msg, "--cgroups sometimes: unknown"));
    struct cgroup_session *s = (void *)1;
    struct cgroup *g = (void *)1;
    const struct cgroup_session_request r = {.driver = "disabled", .id = ID};
    must(cgroup_session_begin(&r, &s, &why));
    assert_null(s);
    must(cgroup_session_container(s, NULL, 0, &g, &why));
    assert_null(g);
    assert_string_equal(cgroup_session_path(s), "");
    cgroup_session_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_disabled),
    };
    return cmocka_run_group_tests(tests, unit_cgroup_setup, unit_cgroup_teardown);
}
