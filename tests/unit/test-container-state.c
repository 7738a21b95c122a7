/* container: the text of states, its fast reader, and writers that are killed. B39 A66 */
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/strv.h"
#include "container/container-priv.h"

/* B39 and the fast reader: all states and odd texts come back as they were written. */
static void test_state_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "plain",        "",         "quote \" back \\ slash / tab \t line \n", "\xc3\xa9t\xc3\xa9",
        "\x01 control", "a=b,{}[]:"};
    for (int status = 0; ctr_status_names[status]; status++)
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
            struct err e = ERR_INIT;
            struct ctr_state s = {.status = status, .pid = -7, .pid_start = UINT64_MAX >> 1};
            struct ctr_state back;
            s.id = xmalloc(ID_LEN + 1);
            id_random(s.id);
            s.command = xstrdup(texts[i]);
            s.exit_code = 137;
            s.created_ns = INT64_MAX;
            s.oom_killed = true;
            strv_addf(&s.labels, "k=%s", texts[i]);
            strv_add(&s.ports, texts[i]);
            scoped_free char *text = state_text(&s);
            if (state_parse(text, strlen(text), &back, &e) < 0)
                fail_msg("%s: %s", e.msg, text);
            scoped_free char *again = state_text(&back);
            assert_string_equal(text, again);
            assert_int_equal(back.status, status);
            assert_true(back.created_ns == INT64_MAX);
            ctr_state_release(&s);
            ctr_state_release(&back);
        }
    assert_int_equal(CTR_DEAD, 6);
}

static void test_scan_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "{}",
        "[]",
        "{\"id\":1}",
        "{\"pid\":1.5}",
        "{\"pid\":01}",
        "{\"pid\":99999999999}",
        "{\"pid\":1,\"pid\":2}",
        "{\"unknown\":1}",
        "{\"id\":\"a\\u0041\"}",
        "{\"id\":\"a\"} x",
        "{\"id\":\"a\",}",
        "{\"labels\":{\"a\":1}}",
        "{\"ports\":[\"a\",]}",
        "{\"status\":\"flying\"}",
        "{\"oom_killed\":maybe}",
    };
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct ctr_state s = {.status = -1};
        if (scan_object(bad[i], strlen(bad[i]), ctr_state_fields, &s))
            fail_msg("accepted: %s", bad[i]);
        ctr_state_release(&s);
    }
}

/* A66: kill -9 during 1000 writes of a state never leaves one that cannot be read. */
static void test_kill_writer(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct unit_dir dir = unit_dir_make();
    scoped_fd int fd = fs_open_dir(dir.path, false, 0700, &e);
    struct ctr_state first = {.status = CTR_RUNNING, .id = xmalloc(ID_LEN + 1)};
    id_random(first.id);
    assert_int_equal(container_write_state(fd, &first, &e), 0);
    ctr_state_release(&first);
    int changed = 0, last = 0, status = 0;
    for (int i = 0; i < 1000; i++) {
        struct ctr_state s;
        int going[2];
        assert_int_equal(pipe2(going, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0) {
            if (container_read_state(fd, &s, &e) < 0)
                _exit(1);
            for (;;) {
                s.exit_code++;
                free(s.reason);
                s.reason = xasprintf("%0*d", 1 + s.exit_code % 3000, 0);
                if (container_write_state(fd, &s, &e) < 0)
                    _exit(1);
                fd_close(&going[1]); /* the first is written */
            }
        }
        close(going[1]);
        assert_int_equal(read(going[0], &status, 1), 0);
        close(going[0]);
        nanosleep(&(struct timespec){.tv_nsec = 50000 + i % 17 * 20000}, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        if (container_read_state(fd, &s, &e) < 0)
            fail_msg("after %d kills: %s", i, e.msg);
        changed += s.exit_code != last;
        last = s.exit_code;
        ctr_state_release(&s);
    }
    assert_int_equal(changed, 1000); /* each kill came after a write at least */
    unit_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_texts),
        cmocka_unit_test(test_scan_refuses),
        cmocka_unit_test(test_kill_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
