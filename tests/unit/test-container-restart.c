/* restart: docker's policies, the times between two starts, and who comes back after a boot. */
#include "unit.h"

#include "container/restart.h"

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *text, *policy;
        int32_t retries;
    } good[] = {{"no", "no", 0},
                {"on-failure", "on-failure", 0},
                {"on-failure:5", "on-failure", 5},
                {"always", "always", 0},
                {"unless-stopped", "unless-stopped", 0}};
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        char *policy = NULL;
        int32_t retries = -1;
        struct err e = ERR_INIT;
        assert_int_equal(container_restart_parse(good[i].text, &policy, &retries, &e), 0);
        assert_string_equal(policy, good[i].policy);
        assert_int_equal(retries, good[i].retries);
        free(policy);
    }
    static const char *const bad[] = {
        "",   "sometimes",     "always:3",      "on-failure:",
        "No", "on-failure:-1", "on-failure:1x", "on-failure:99999999999"};
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        char *policy = NULL;
        int32_t retries = 0;
        struct err e = ERR_INIT;
        assert_int_equal(container_restart_parse(bad[i], &policy, &retries, &e), -EINVAL);
        assert_null(policy);
        assert_non_null(strstr(e.msg, "--restart"));
    }
}

static void test_policy(void **state)
{
    (void)state;
    assert_false(restart_by_policy(NULL, 0, 0, 1));
    assert_false(restart_by_policy("no", 0, 0, 1));
    assert_true(restart_by_policy("always", 0, 1000, 0));
    assert_true(restart_by_policy("unless-stopped", 0, 0, 0));
    assert_false(restart_by_policy("on-failure", 0, 0, 0));
    assert_true(restart_by_policy("on-failure", 0, 1000, 1));
    assert_true(restart_by_policy("on-failure", 3, 2, 127));
    assert_false(restart_by_policy("on-failure", 3, 3, 127));
}

static void test_delay(void **state)
{
    (void)state;
    static const uint32_t want[] = {100,  200,   400,   800,   1600,  3200,
                                    6400, 12800, 25600, 51200, 60000, 60000};
    uint32_t ms = 0;
    for (size_t i = 0; i < N_ELEMENTS(want); i++) {
        ms = restart_delay(ms, INT64_C(9999999999));
        assert_int_equal(ms, want[i]);
    }
    assert_int_equal(restart_delay(ms, INT64_C(10000000000)), 100);
}

static bool at_boot(const char *policy, enum ctr_status status, bool user_stopped, const char *boot)
{
    char id[] = "now", *was = strdup(boot);
    struct ctr_state s = {.status = status, .user_stopped = user_stopped, .boot_id = was};
    bool yes = restart_at_boot(policy, &s, id);
    free(was);
    return yes;
}

static void test_boot(void **state)
{
    (void)state;
    assert_true(at_boot("always", CTR_EXITED, false, "before"));
    assert_true(at_boot("unless-stopped", CTR_EXITED, false, "before"));
    assert_true(at_boot("always", CTR_STOPPED, false, "now")); /* the session has ended and begun */
    /* What the user has stopped: docker starts "always" all the same, but once per boot. */
    assert_true(at_boot("always", CTR_STOPPED, true, "before"));
    assert_false(at_boot("always", CTR_STOPPED, true, "now"));
    assert_false(at_boot("unless-stopped", CTR_STOPPED, true, "before"));
    assert_false(at_boot("always", CTR_CREATED, false, ""));
    assert_false(at_boot("always", CTR_DEAD, false, "before"));
    assert_false(at_boot("always", CTR_RUNNING, false, "now"));
    assert_false(at_boot("always", CTR_RESTARTING, false, "now"));
    assert_false(at_boot("on-failure", CTR_EXITED, false, "before"));
    assert_false(at_boot("no", CTR_EXITED, false, "before"));
    assert_false(at_boot(NULL, CTR_EXITED, false, "before"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_boot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
