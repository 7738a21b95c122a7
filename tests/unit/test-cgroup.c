/* test-cgroup - groups made, limited, frozen, killed and removed on a real cgroup2 hierarchy (A38,
 * A42, A45, A46). Only the controllers that cgroup v1 has left over are there: hugetlb, often. */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include "base/proc.h"
#include "base/strv.h"
#include "cgroup-mount.h"
#include "cgroup/driver.h"

struct sleeper {
    pid_t pid;
    int pidfd;
};

static struct sleeper start_sleeper(void)
{
    struct sleeper s;
    s.pid = fork_pidfd(&s.pidfd);
    assert_true(s.pid >= 0);
    if (s.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return s;
}

static int end_sleeper(struct sleeper *s) /* the signal that ended it */
{
    int status;
    pidfd_signal(s->pidfd, SIGKILL);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    close(s->pidfd);
    return WTERMSIG(status);
}

static json_t *json_of(const char *text)
{
    struct err e = ERR_INIT;
    json_t *j = text ? json_parse(text, strlen(text), 1u << 20, "test", &e) : NULL;
    if (text && !j)
        fail_msg("%s", e.msg);
    return j;
}

/* Makes the group unit_group/name; the caller closes it. NULL: it failed with e. */
static struct cgroup *make(const char *name, const char *resources, struct err *e)
{
    struct cgroup *c = NULL;
    scoped_free char *path = xasprintf("%s/%s", unit_group, name);
    scoped_json json_t *j = json_of(resources);
    struct cgroup_request r = {.driver = "cgroupfs", .id = "unit", .path = path, .resources = j};
    int rc = cgroup_create(&r, &c, e);
    assert_true((rc == 0) == (c != NULL));
    assert_true(rc == 0 || rc == -e->errnum);
    return c;
}

static struct cgroup *must_make(const char *name, const char *resources)
{
    struct err e = ERR_INIT;
    struct cgroup *c = make(name, resources, &e);
    if (!c)
        fail_msg("%s", e.msg);
    return c;
}

static void must_destroy(struct cgroup *c)
{
    struct err e = ERR_INIT;
    scoped_free char *path = xstrdup(cgroup_path(c));
    if (cgroup_destroy(c, &e) < 0)
        fail_msg("%s", e.msg);
    assert_false(unit_group_exists(path));
    cgroup_close(c);
}

static struct err why; /* of the call in must() */

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s", why.msg);                                                               \
    } while (0)

static void test_life(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct cgroup *c = must_make("a/b/c", NULL);
    scoped_free char *want = xasprintf("%s/a/b/c", unit_group);
    assert_string_equal(cgroup_path(c), want);
    assert_true(cgroup_clone_fd(c) >= 0);
    struct sleeper s = start_sleeper();
    must(cgroup_enter(c, s.pid, &why));
    scoped_free char *in = NULL;
    must(cgroup_of_process(s.pid, &in, &why));
    assert_string_equal(in, want);
    scoped_free pid_t *pids = NULL;
    size_t n = 0;
    must(cgroup_pids(c, &pids, &n, &why));
    assert_int_equal(n, 1);
    assert_int_equal(pids[0], s.pid);
    must_destroy(c);
    assert_int_equal(end_sleeper(&s), SIGKILL);
    scoped_free char *parent = xasprintf("%s/a/b", unit_group);
    assert_true(unit_group_exists(parent)); /* may be others' by now */
}

/* A45: whatever the container has made inside goes, with who is there. */
static void test_nested(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct cgroup *c = must_make("nested", NULL);
    scoped_free char *sub = xasprintf("%s/nested/x", unit_group);
    scoped_free char *deep = xasprintf("%s/nested/x/y", unit_group);
    unit_group_make(sub);
    unit_group_make(deep);
    struct sleeper s[3] = {start_sleeper(), start_sleeper(), start_sleeper()};
    struct cgroup *child = NULL;
    must(cgroup_open_child(c, "/x/y", 0, &child, &why));
    assert_string_equal(cgroup_path(child), deep);
    must(cgroup_enter(c, s[0].pid, &why));
    must(cgroup_enter(child, s[1].pid, &why));
    must(cgroup_enter(child, s[2].pid, &why));
    cgroup_close(child);
    scoped_free pid_t *pids = NULL;
    size_t n = 0;
    must(cgroup_pids(c, &pids, &n, &why));
    assert_int_equal(n, 3);
    assert_true(pids[0] < pids[1] && pids[1] < pids[2]);
    must_destroy(c);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(end_sleeper(&s[i]), SIGKILL);
}

static void test_record(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct err e = ERR_INIT;
    struct cgroup *c = must_make("record", NULL), *again = NULL;
    scoped_json json_t *record = cgroup_emit(c);
    scoped_free char *path = xstrdup(cgroup_path(c));
    cgroup_close(c);
    must(cgroup_load(record, &again, &why));
    assert_string_equal(cgroup_path(again), path);
    must_destroy(again);
    again = NULL;
    assert_int_equal(cgroup_load(record, &again, &e), -ENOENT);
    assert_null(again);
    must(cgroup_load(NULL, &again, &why));
    assert_string_equal(cgroup_path(again), "");
    must(cgroup_destroy(again, &why));
    cgroup_close(again);
    json_object_set_new(record, "path", json_string("/../../etc"));
    assert_int_equal(cgroup_load(record, &again, &e), -EINVAL);
}

/* One that is not ours stays; one that is in use is refused. */
static void test_existing(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct err e = ERR_INIT;
    scoped_free char *path = xasprintf("%s/there", unit_group);
    unit_group_make(path);
    struct cgroup *c = must_make("there", NULL);
    struct sleeper s = start_sleeper();
    must(cgroup_enter(c, s.pid, &why));
    assert_null(make("there", NULL, &e));
    assert_int_equal(e.errnum, EBUSY);
    assert_has(e.msg, "holds processes already");
    assert_has(e.msg, path);
    must(cgroup_destroy(c, &why));
    cgroup_close(c);
    assert_true(unit_group_exists(path));
    end_sleeper(&s);
}

static void test_frozen_above(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct err e = ERR_INIT;
    struct cgroup *outer = must_make("frozen", NULL);
    must(cgroup_freeze(outer, true, &why));
    assert_null(make("frozen/deep/inner", NULL, &e));
    assert_int_equal(e.errnum, EBUSY);
    assert_has(e.msg, "is frozen");
    scoped_free char *deep = xasprintf("%s/frozen/deep", unit_group);
    assert_false(unit_group_exists(deep));
    must_destroy(outer);
}

static const struct {
    const char *path, *want;
} bad_paths[] = {
    {"/a/../b", "\"..\" is not allowed"}, {"../b", "\"..\" is not allowed"},
    {"/./b", "\".\" is not allowed"},     {"/a\nb", "control characters"},
    {"/a/cgroup.procs", "the kernel's"},  {"/", "is no group of its own"},
    {"///", "is no group of its own"},
};

static void test_bad_paths(void **state)
{
    (void)state;
    unit_cgroup_needed();
    for (size_t i = 0; i < N_ELEMENTS(bad_paths); i++) {
        struct err e = ERR_INIT;
        struct cgroup *c = NULL;
        struct cgroup_request r = {.driver = "cgroupfs", .id = "x", .path = bad_paths[i].path};
        assert_int_equal(cgroup_create(&r, &c, &e), -EINVAL);
        assert_has(e.msg, bad_paths[i].want);
    }
    struct err e = ERR_INIT;
    struct cgroup *c = must_make("child", NULL), *child = NULL;
    static const char *const outside[] = {"..", "../../x", "a/../..", "/.."};
    for (size_t i = 0; i < N_ELEMENTS(outside); i++)
        assert_int_equal(cgroup_open_child(c, outside[i], 0, &child, &e), -EINVAL);
    assert_int_equal(cgroup_open_child(c, "missing", 0, &child, &e), -ENOENT);
    must_destroy(c);
}

/* Annotations are data: those that name groups must not lead out either. */
static void test_annotations(void **state)
{
    (void)state;
    unit_cgroup_needed();
    static const char *const names[] = {"run.oci.delegate-cgroup=../../x",
                                        "run.oci.systemd.subgroup=a/../../x"};
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        struct err e = ERR_INIT;
        struct cgroup *c = NULL;
        scoped_free char *path = xasprintf("%s/annotated", unit_group);
        struct cgroup_request r = {
            .driver = "cgroupfs", .id = "x", .path = path, .annotations = ARGV("a=b", names[i])};
        assert_int_equal(cgroup_create(&r, &c, &e), -EINVAL);
        assert_has(e.msg, "\"..\" is not allowed");
        assert_false(unit_group_exists(path));
    }
}

static bool have_controller(const char *name)
{
    scoped_fd int root = cgroup_root_open(NULL);
    scoped_strv char **all = cgroup_controllers(root, "cgroup.controllers");
    return strv_has(all, name);
}

/* Named before anything is made. rdma is in no kernel of ours; a made-up one in none at all. */
static void test_missing_controller(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct err e = ERR_INIT;
    scoped_free char *path = xasprintf("%s/refused", unit_group);
    assert_null(make("refused/deep", "{\"unified\": {\"nonesuch.max\": \"1\"}}", &e));
    assert_int_equal(e.errnum, ENOTSUP);
    assert_has(e.msg, "linux.resources.unified[\"nonesuch.max\"]: the controller nonesuch is not "
                      "available in cgroup ");
    assert_has(e.hint, "cgroup.subtree_control");
    assert_false(unit_group_exists(path));
    struct cgroup *c = must_make("refused", NULL);
    scoped_json json_t *j = json_of("{\"unified\": {\"nonesuch.max\": \"1\"}}");
    assert_int_equal(cgroup_update(c, j, &e), -ENOTSUP);
    must_destroy(c);
}

/* With a real controller: switched on down the path, written, changed. */
static void test_limits(void **state)
{
    (void)state;
    unit_cgroup_needed();
    if (!have_controller("hugetlb"))
        skip();
    struct err e = ERR_INIT;
    struct cgroup *c = must_make(
        "limits/deep", "{\"hugepageLimits\": [{\"pageSize\": \"2MB\", \"limit\": 4194304}],"
                       "\"unified\": {\"cgroup.max.depth\": \"3\"}}");
    scoped_free char *max = unit_group_read(cgroup_path(c), "hugetlb.2MB.max");
    scoped_free char *reserved = unit_group_read(cgroup_path(c), "hugetlb.2MB.rsvd.max");
    scoped_free char *depth = unit_group_read(cgroup_path(c), "cgroup.max.depth");
    assert_string_equal(max, "4194304");
    assert_string_equal(reserved, "4194304");
    assert_string_equal(depth, "3");
    scoped_json json_t *more = json_of("{\"unified\": {\"hugetlb.2MB.max\": \"8388608\"}}");
    must(cgroup_update(c, more, &why));
    scoped_free char *now = unit_group_read(cgroup_path(c), "hugetlb.2MB.max");
    assert_string_equal(now, "8388608");
    /* A value that the kernel refuses: said, and nothing stays of a creation. */
    assert_null(make("limits/bad", "{\"unified\": {\"hugetlb.2MB.max\": \"x\"}}", &e));
    assert_int_equal(e.errnum, EINVAL);
    assert_has(e.msg, "linux.resources.unified[\"hugetlb.2MB.max\"]: write \"x\" to "
                      "hugetlb.2MB.max");
    scoped_free char *bad = xasprintf("%s/limits/bad", unit_group);
    assert_false(unit_group_exists(bad));
    assert_null(make("limits/none", "{\"unified\": {\"hugetlb.2MB.nofile\": \"1\"}}", &e));
    assert_has(e.msg, "this kernel has no hugetlb.2MB.nofile");
    must_destroy(c);
}

/* A group that hands controllers down holds no processes: exec goes to where init is. */
static void test_exec_group(void **state)
{
    (void)state;
    unit_cgroup_needed();
    if (!have_controller("hugetlb"))
        skip();
    struct err e = ERR_INIT;
    struct cgroup *c =
        must_make("exec", "{\"hugepageLimits\": [{\"pageSize\": \"2MB\", \"limit\": 0}]}");
    scoped_free char *sub = xasprintf("%s/init", cgroup_path(c));
    struct sleeper s = start_sleeper();
    struct cgroup *child = NULL;
    must(cgroup_enter(c, s.pid, &why));
    must(cgroup_open_child(c, NULL, s.pid, &child, &why));
    assert_string_equal(cgroup_path(child), cgroup_path(c));
    cgroup_close(child);
    unit_group_make(sub);
    must(cgroup_open_child(c, "init", 0, &child, &why));
    must(cgroup_enter(child, s.pid, &why));
    cgroup_close(child);
    assert_int_equal(cgroup_file_write(cgroup_clone_fd(c), "cgroup.subtree_control", "+hugetlb"),
                     0);
    must(cgroup_open_child(c, NULL, s.pid, &child, &why));
    assert_string_equal(cgroup_path(child), sub);
    cgroup_close(child);
    struct sleeper other = start_sleeper();
    assert_int_equal(cgroup_enter(c, other.pid, &e), -EBUSY);
    must_destroy(c);
    end_sleeper(&other);
    end_sleeper(&s);
}

/* A group with processes cannot hand hugetlb down to ours. */
static void test_internal_processes(void **state)
{
    (void)state;
    unit_cgroup_needed();
    if (!have_controller("hugetlb"))
        skip();
    struct err e = ERR_INIT;
    struct cgroup *outer = must_make("busy", NULL);
    /* It has the controller, and a process. */
    scoped_fd int fd = -1;
    scoped_fd int root = cgroup_root_open(&e);
    fd = cgroup_dir_open(root, "", &e);
    cgroup_enable(fd, ARGV("hugetlb"), NULL);
    fd_close(&fd);
    fd = cgroup_dir_open(root, unit_group, &e);
    cgroup_enable(fd, ARGV("hugetlb"), NULL);
    struct sleeper s = start_sleeper();
    must(cgroup_enter(outer, s.pid, &why));
    assert_null(
        make("busy/inner", "{\"hugepageLimits\": [{\"pageSize\": \"2MB\", \"limit\": 0}]}", &e));
    assert_int_equal(e.errnum, EBUSY);
    assert_has(e.msg, "hand its controller down");
    assert_has(e.hint, "holds processes itself");
    scoped_free char *type = unit_group_read(cgroup_path(outer), "cgroup.type");
    assert_string_equal(type, "domain"); /* not made a threaded one either */
    scoped_free char *inner = xasprintf("%s/busy/inner", unit_group);
    assert_false(unit_group_exists(inner));
    must_destroy(outer);
    end_sleeper(&s);
}

static void test_freeze(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct cgroup *c = must_make("freeze", NULL);
    int counter[2];
    assert_int_equal(pipe2(counter, O_CLOEXEC | O_NONBLOCK), 0);
    int pidfd;
    pid_t pid = fork_pidfd(&pidfd);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            if (write(counter[1], "x", 1) < 0)
                usleep(1000);
            usleep(100);
        }
    }
    struct sleeper s = {pid, pidfd};
    must(cgroup_enter(c, pid, &why));
    assert_false(cgroup_frozen(c));
    must(cgroup_freeze(c, true, &why));
    assert_true(cgroup_frozen(c));
    char buf[65536];
    while (read(counter[0], buf, sizeof(buf)) > 0)
        ;
    struct pollfd p = {.fd = counter[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 30), 0);
    must(cgroup_freeze(c, false, &why));
    assert_false(cgroup_frozen(c));
    assert_int_equal(poll(&p, 1, 10000), 1);
    /* A frozen one can be removed. */
    must(cgroup_freeze(c, true, &why));
    must_destroy(c);
    assert_int_equal(end_sleeper(&s), SIGKILL);
    close(counter[0]);
    close(counter[1]);
}

/* We would not come back. */
static void test_not_ourselves(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct cgroup *c = must_make("self", NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e = ERR_INIT;
        int bad = cgroup_enter(c, getpid(), &e) < 0;
        bad |= cgroup_freeze(c, true, &e) != -EDEADLK;
        bad |= cgroup_kill(c, SIGKILL, &e) != -EDEADLK;
        _exit(bad);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    must_destroy(c);
}

/* Signals other than KILL reach everyone, those below and those that are born meanwhile. */
static void test_signal(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct cgroup *c = must_make("signal", NULL), *child = NULL;
    scoped_free char *sub = xasprintf("%s/sub", cgroup_path(c));
    unit_group_make(sub);
    must(cgroup_open_child(c, "sub", 0, &child, &why));
    struct sleeper in = start_sleeper(), below = start_sleeper(), outside = start_sleeper();
    must(cgroup_enter(c, in.pid, &why));
    must(cgroup_enter(child, below.pid, &why));
    cgroup_close(child);
    must(cgroup_kill(c, SIGTERM, &why));
    int status;
    assert_int_equal(waitpid(in.pid, &status, 0), in.pid);
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_int_equal(waitpid(below.pid, &status, 0), below.pid);
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_int_equal(waitpid(outside.pid, &status, WNOHANG), 0); /* it lives */
    close(in.pidfd);
    close(below.pidfd);
    must_destroy(c);
    assert_int_equal(end_sleeper(&outside), SIGKILL);
}

static void test_stats(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct cgroup *c = must_make("stats", NULL);
    int pidfd;
    pid_t pid = fork_pidfd(&pidfd);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            ;
    }
    struct sleeper s = {pid, pidfd};
    must(cgroup_enter(c, pid, &why));
    uint64_t total = 0;
    for (int i = 0; i < 1000 && total < 5000000; i++) { /* 5 ms of CPU time */
        scoped_json json_t *stats = NULL;
        usleep(2000);
        must(cgroup_stats(c, &stats, &why));
        const json_t *usage = json_object_get(json_object_get(stats, "cpu"), "usage");
        assert_true(json_to_u64(json_object_get(usage, "total"), &total));
        const json_t *pids = json_object_get(stats, "pids");
        assert_int_equal(json_integer_value(json_object_get(pids, "current")), 1);
        static const char *const keys[] = {"cpu",   "cpuset",  "memory",    "pids",
                                           "blkio", "hugetlb", "intel_rdt", "network_interfaces"};
        for (size_t k = 0; k < N_ELEMENTS(keys); k++)
            assert_non_null(json_object_get(stats, keys[k]));
    }
    assert_true(total >= 5000000);
    must_destroy(c);
    end_sleeper(&s);
}

static void test_disabled(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct cgroup *c = NULL;
    scoped_json json_t *devices = json_of("{\"devices\": [{\"allow\": false}]}");
    struct cgroup_request r = {.driver = "disabled", .id = "x", .resources = devices};
    must(cgroup_create(&r, &c, &why));
    assert_int_equal(cgroup_clone_fd(c), -1);
    must(cgroup_enter(c, getpid(), &why));
    assert_int_equal(cgroup_freeze(c, true, &e), -ENOTSUP);
    assert_has(e.msg, "pause needs a cgroup, and the container has none");
    assert_int_equal(cgroup_kill(c, SIGTERM, &e), -ENOTSUP);
    assert_false(cgroup_frozen(c));
    must(cgroup_destroy(c, &why));
    scoped_json json_t *record = cgroup_emit(c);
    cgroup_close(c);
    must(cgroup_load(record, &c, &why));
    cgroup_close(c);
    scoped_json json_t *limits = json_of("{\"pids\": {\"limit\": 5}}");
    r.resources = limits;
    c = NULL;
    assert_int_equal(cgroup_create(&r, &c, &e), -ENOTSUP);
    assert_has(e.msg, "linux.resources.pids.limit needs a cgroup, and cgroups are disabled");
    r.driver = "nonesuch";
    assert_int_equal(cgroup_create(&r, &c, &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_existing),
        cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_frozen_above),
        cmocka_unit_test(test_annotations),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_missing_controller),
        cmocka_unit_test(test_exec_group),
        cmocka_unit_test(test_internal_processes),
        cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_not_ourselves),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_disabled),
    };
    return cmocka_run_group_tests(tests, unit_cgroup_setup, unit_cgroup_teardown);
}
