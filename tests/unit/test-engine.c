/* The engine's parts that need no container: what a command is, hooks, refusals before the clone,
 * and messages. Starts are tested by tests/cli/test_engine.py. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "engine/engine-priv.h"

static char dir[] = "/tmp/rootlet-test-engine-XXXXXX";

static void put(const char *name, const char *text, mode_t mode)
{
    scoped_free char *path = xasprintf("%s/%s", dir, name);
    unlink(path);
    assert_int_equal(fs_write_atomic(AT_FDCWD, path, text, strlen(text), mode, FS_NO_SYNC, NULL),
                     0);
    assert_int_equal(chmod(path, mode), 0);
}

static char *get(const char *name)
{
    scoped_free char *path = xasprintf("%s/%s", dir, name);
    char *text = NULL;
    return fs_read(AT_FDCWD, path, 65536, &text, NULL) >= 0 ? text : NULL;
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
        return -1;
    scoped_free char *sub = xasprintf("%s/sub", dir);
    put("tool", "#!/bin/sh\nexit 0\n", 0755);
    put("data", "text\n", 0644);
    return mkdir(sub, 0755);
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove_tree(AT_FDCWD, dir, NULL);
}

static void test_command(void **state)
{
    (void)state;
    scoped_free char *path = xasprintf("PATH=/nonexistent:%s:/usr/bin", dir);
    scoped_free char *tool = xasprintf("%s/tool", dir), *data = xasprintf("%s/data", dir);
    scoped_free char *sub = xasprintf("%s/sub", dir), *below = xasprintf("%s/data/x", dir);
    char *env[] = {path, NULL};
    scoped_free char *got = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(command_find("tool", env, &got, &e), 0);
    assert_string_equal(got, tool);

    const struct {
        const char *name, *message;
        int status;
    } bad[] = {
        {"nosuch", "exec: \"nosuch\": executable file not found in $PATH", 127},
        {"", "exec: \"\": executable file not found in $PATH", 127},
        {"/nosuch", "exec: \"/nosuch\": no such file or directory", 127},
        {below, "not a directory", 127},
        {"data", "exec: \"data\": permission denied", 126},
        {"sub", "exec: \"sub\": is a directory", 126},
        {data, "permission denied", 126},
        {sub, "is a directory", 126},
    };
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        char *none = NULL;
        err_clear(&e);
        assert_true(command_find(bad[i].name, env, &none, &e) < 0);
        assert_null(none);
        assert_int_equal(e.exit_status, bad[i].status);
        if (!strstr(e.msg, bad[i].message))
            fail_msg("%s: %s", bad[i].name, e.msg);
    }
    err_clear(&e);
    command_explain("tool", tool, ENOENT, &e);
    assert_non_null(strstr(e.msg, "its interpreter was not found"));
    assert_int_equal(e.exit_status, 127);
    err_clear(&e);
    command_explain("tool", tool, ENOEXEC, &e);
    assert_int_equal(e.exit_status, 126);
}

/* One hook that runs a shell script with $1 = dir. */
static struct spec_hook script(char **args)
{
    return (struct spec_hook){.path = args[0], .args = args + 1};
}

static void test_hooks(void **state)
{
    (void)state;
    char sh[] = "/bin/sh", other[] = "other-name", c[] = "-c", key[] = "a.b=c=d";
    scoped_free char *save = xasprintf("cat >%s/state; echo $0 >%s/name", dir, dir);
    char *args[] = {sh, other, c, save, NULL}, *annotations[] = {key, NULL};
    struct spec_hook h = script(args);
    struct spec_hooks hooks = {.poststart = {&h, 1}};
    struct spec spec = {.hooks = &hooks, .annotations = annotations};
    struct engine_params p = {.spec = &spec, .id = "web", .bundle = "/b"};
    struct err e = ERR_INIT;
    assert_true(hooks_any(&spec, HOOK_POSTSTART));
    assert_false(hooks_any(&spec, HOOK_POSTSTOP));

    assert_int_equal(hooks_run(&p, HOOK_POSTSTART, 42, &e), 0);
    scoped_free char *text = get("state"), *name = get("name");
    assert_non_null(text);
    assert_string_equal(name, "other-name\n"); /* args[0] is the hook's, path what is executed */
    scoped_json json_t *j = json_parse(text, strlen(text), 65536, "state", &e);
    assert_string_equal(json_string_value(json_object_get(j, "id")), "web");
    assert_string_equal(json_string_value(json_object_get(j, "status")), "running");
    assert_string_equal(json_string_value(json_object_get(j, "bundle")), "/b");
    assert_int_equal(json_integer_value(json_object_get(j, "pid")), 42);
    json_t *a = json_object_get(j, "annotations");
    assert_string_equal(json_string_value(json_object_get(a, "a.b")), "c=d");
}

static void test_hook_failures(void **state)
{
    (void)state;
    char sh[] = "/bin/sh", c[] = "-c", bad[] = "echo it broke >&2; exit 3";
    scoped_free char *slow = xasprintf("sleep 60 & echo $! >%s/child; wait", dir);
    scoped_free char *mark = xasprintf("echo >>%s/mark", dir);
    char *fails[] = {sh, sh, c, bad, NULL}, *marks[] = {sh, sh, c, mark, NULL};
    char *sleeps[] = {sh, sh, c, slow, NULL};
    struct spec_hook v[] = {script(fails), script(marks)};
    struct spec_hook late = script(sleeps);
    late.has_timeout = true;
    late.timeout = 1;
    struct spec_hooks hooks = {
        .create_runtime = {v, 2}, .poststop = {v, 2}, .start_container = {&late, 1}};
    struct spec spec = {.hooks = &hooks};
    struct engine_params p = {.spec = &spec, .id = "web"};
    struct err e = ERR_INIT;

    /* Before the start the first failure ends it; afterwards all are run. */
    assert_true(hooks_run(&p, HOOK_CREATE_RUNTIME, 1, &e) < 0);
    assert_non_null(strstr(e.msg, "createRuntime hook /bin/sh"));
    assert_non_null(strstr(e.msg, "exit status 3: it broke"));
    scoped_free char *none = get("mark");
    assert_null(none);
    assert_int_equal(hooks_run(&p, HOOK_POSTSTOP, 0, &e), 0);
    scoped_free char *one = get("mark");
    assert_non_null(one);

    err_clear(&e);
    int64_t begin = clock_ns();
    assert_int_equal(hooks_run(&p, HOOK_START_CONTAINER, 1, &e), -ETIMEDOUT);
    assert_true(clock_ns() - begin < 5000000000);

    /* And what it has started. Whoever inherits the dead may be slow to bury it. */
    scoped_free char *child = get("child");
    assert_non_null(child);
    scoped_free char *stat = xasprintf("/proc/%d/stat", atoi(child));
    for (int tries = 0; tries < 500; tries++) {
        scoped_free char *text = NULL;
        if (fs_read(AT_FDCWD, stat, 4096, &text, NULL) < 0 || strstr(text, ") Z"))
            return;
        poll(NULL, 0, 10);
    }
    fail_msg("%s is still there", stat);
}

static int try_create(struct spec *s, const struct engine_params *with, struct err *e)
{
    struct engine_params p = *with;
    struct engine *en = NULL;
    p.spec = s;
    err_clear(e);
    int r = engine_create(&p, &en, e);
    engine_free(en);
    return r;
}

static void test_refusals(void **state)
{
    (void)state;
    scoped_spec struct spec s = {.oci_version = NULL};
    spec_default(&s);
    struct err e = ERR_INIT;
    struct engine_params p = {.id = "x", .stdio = {0, 1, 2}, .userns_fd = -1};

    p.preserve_fds = 900;
    assert_int_equal(try_create(&s, &p, &e), -EBADF);
    p.preserve_fds = 0;

    spec_namespace_set(&s, "network", "/proc/self/ns/uts");
    assert_int_equal(try_create(&s, &p, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "is not a namespace of type network"));
    spec_namespace_set(&s, "network", "/dev/null");
    assert_int_equal(try_create(&s, &p, &e), -EINVAL);
    spec_namespace_set(&s, "network", "/nonexistent");
    assert_int_equal(try_create(&s, &p, &e), -ENOENT);
    spec_namespace_set(&s, "network", NULL);

    spec_namespace_remove(&s, "mount");
    assert_int_equal(try_create(&s, &p, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "would change the mounts of the host"));
    spec_namespace_set(&s, "mount", NULL);

    scoped_json json_t *rdt = json_object();
    s.linux_->intel_rdt = rdt;
    assert_int_equal(try_create(&s, &p, &e), -ENOTSUP);
    assert_non_null(strstr(e.msg, "linux.intelRdt"));
    s.linux_->intel_rdt = NULL;

    spec_namespace_remove(&s, "user");
    assert_int_equal(try_create(&s, &p, &e), -EPERM); /* never as root of the host */
    spec_namespace_set(&s, "user", NULL);

    strv_free(s.process->args);
    s.process->args = NULL;
    assert_int_equal(try_create(&s, &p, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "no command"));
}

/* What an init answers to START on one end of a pair; engine_start_at on the other. */
static int start_at(const struct msg *first, const struct msg *second, struct err *e)
{
    const struct spec spec = {.oci_version = NULL};
    const struct engine_params p = {.spec = &spec, .id = "web"};
    int pair[2];
    struct msg m;
    err_clear(e);
    assert_int_equal(sock_pair(pair, NULL), 0);
    /* An answer may be there before the question: the order in the queue is what counts. */
    if (first)
        sock_send(pair[1], first, sizeof(*first), NULL, 0);
    if (second)
        sock_send(pair[1], second, sizeof(*second), NULL, 0);
    shutdown(pair[1], SHUT_WR);
    int r = engine_start_at(pair[0], &p, getpid(), e);
    assert_int_equal(msg_recv(pair[1], &m, NULL), 1);
    assert_int_equal(m.type, MSG_START);
    close(pair[0]);
    close(pair[1]);
    return r;
}

static void test_start_at(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct msg starting = {.type = MSG_STARTING}, failed = {.type = MSG_ERROR};
    struct msg other = {.type = MSG_CREATED};
    err_exit(&failed.err, err_msg(&failed.err, ENOENT, "exec: no such program"), 127);
    assert_int_equal(start_at(&starting, NULL, &e), 0);
    assert_int_equal(start_at(&starting, &failed, &e), -ENOENT);
    assert_int_equal(e.exit_status, 127);
    assert_string_equal(e.msg, "exec: no such program");
    assert_int_equal(start_at(NULL, NULL, &e), -ECONNRESET); /* was started by somebody else */
    assert_non_null(strstr(e.msg, "does not wait to be started"));
    assert_int_equal(start_at(&other, NULL, &e), -EPROTO);
}

static void test_lists_of_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned long first, second; /* of the set */
        int r;
    } cases[] = {
        {"0", 1, 0, 0},
        {"0-3,7", 0x8f, 0, 0},
        {"3,1", 0xa, 0, 0},
        {"63-64", 1UL << 63, 1, 0},
        {"5-5", 1UL << 5, 0, 0},
        {"", 0, 0, -EINVAL},
        {",", 0, 0, -EINVAL},
        {"1,", 0, 0, -EINVAL},
        {"1,,2", 0, 0, -EINVAL},
        {"1-", 0, 0, -EINVAL},
        {"-1", 0, 0, -EINVAL},
        {"3-1", 0, 0, -EINVAL},
        {"1-2-3", 0, 0, -EINVAL},
        {"a", 0, 0, -EINVAL},
        {"1 ", 0, 0, -EINVAL},
        {"8192", 0, 0, -EINVAL},
        {"99999999999999999999", 0, 0, -EINVAL},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct numa_set set = {.bits = {0}};
        int r = numa_parse(cases[i].text, &set);
        if (r != cases[i].r ||
            (r == 0 && (set.bits[0] != cases[i].first || set.bits[1] != cases[i].second)))
            fail_msg("\"%s\": %d, %lx %lx", cases[i].text, r, set.bits[0], set.bits[1]);
    }
    struct numa_set all = {.bits = {0}};
    assert_int_equal(numa_parse("0-8191", &all), 0);
    assert_true(all.bits[N_ELEMENTS(all.bits) - 1] == ~0UL);
}

static void test_messages(void **state)
{
    (void)state;
    int pair[2];
    struct msg m;
    struct err e = ERR_INIT, got = ERR_INIT;
    int fds[SOCK_MAX_FDS];
    assert_int_equal(sock_pair(pair, NULL), 0);

    assert_int_equal(msg_send(pair[0], MSG_PID, 77, &pair[0], 1), 0);
    assert_int_equal(msg_expect(pair[1], MSG_PID, &m, fds, &got), 0);
    assert_int_equal(m.value, 77);
    assert_true(fds[0] >= 0);
    close(fds[0]);

    err_exit(&e, err_msg(&e, ENOEXEC, "not for this machine"), 126);
    msg_send_err(pair[0], &e);
    assert_int_equal(msg_expect(pair[1], MSG_CREATED, &m, NULL, &got), -ENOEXEC);
    assert_string_equal(got.msg, "not for this machine");
    assert_int_equal(got.exit_status, 126);

    /* What comes from the inside is not trusted: no terminator, a wrong type, too short. */
    memset(&m, 'x', sizeof(m));
    m.type = MSG_ERROR;
    assert_int_equal(sock_send(pair[0], &m, sizeof(m), NULL, 0), 0);
    assert_int_equal(msg_recv(pair[1], &m, NULL), 1);
    assert_int_equal(strlen(m.err.msg), sizeof(m.err.msg) - 1);
    assert_int_equal(msg_send(pair[0], MSG_GO, 0, NULL, 0), 0);
    assert_int_equal(msg_expect(pair[1], MSG_CREATED, &m, NULL, &got), -EPROTO);
    assert_int_equal(sock_send(pair[0], "x", 1, NULL, 0), 0);
    assert_int_equal(msg_recv(pair[1], &m, NULL), -EPROTO);

    close(pair[0]);
    assert_int_equal(msg_expect(pair[1], MSG_CREATED, &m, NULL, &got), -ECONNRESET);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command),          cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_hook_failures),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_messages),         cmocka_unit_test(test_start_at),
        cmocka_unit_test(test_lists_of_numbers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
