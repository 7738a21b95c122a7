/* supervise: every phase and every event have an answer, and docs/architecture.md has the same.
 * B39-B45 */
#include "supervise/table.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "unit.h"

static void test_nothing_is_missing(void **state)
{
    (void)state;
    for (enum phase p = 0; p < PH_MAX; p++)
        for (enum event ev = 0; ev < EV_MAX; ev++) {
            enum action a = table_action(p, ev);
            if (a < ACT_NEVER || a >= ACT_MAX || !action_name(a))
                fail_msg("%s x %s has no action", phase_name(p), event_name(ev));
        }
    for (enum action a = ACT_NEVER; a < ACT_MAX; a++)
        assert_non_null(action_name(a));
}

static bool used(enum action a)
{
    for (enum phase p = 0; p < PH_MAX; p++)
        for (enum event ev = 0; ev < EV_MAX; ev++)
            if (table_action(p, ev) == a)
                return true;
    return false;
}

static void test_nothing_is_left_over(void **state)
{
    (void)state;
    for (enum action a = ACT_NEVER; a < ACT_MAX; a++)
        if (!used(a))
            fail_msg("\"%s\" is nowhere in the table", action_name(a));
}

/* The container's end is seen wherever its init can end, and once more nowhere. */
static void test_end_is_seen(void **state)
{
    (void)state;
    for (enum phase p = 0; p < PH_MAX; p++) {
        enum action a = table_action(p, EV_INIT_ENDED);
        assert_int_equal(a == ACT_NEVER, p > PH_STOPPING);
    }
}

/* A line of the document for one event. */
static char *line(enum event ev)
{
    char *text = xasprintf("| %s |", event_name(ev));
    for (enum phase p = 0; p < PH_MAX; p++) {
        char *longer = xasprintf("%s %s |", text, action_name(table_action(p, ev)));
        free(text);
        text = longer;
    }
    return text;
}

static void test_document(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_free char *path = xasprintf("%s/docs/architecture.md", SRCDIR), *text = NULL;
    assert_true(fs_read(AT_FDCWD, path, 1 << 20, &text, &e) > 0);
    int missing = 0;
    for (enum event ev = 0; ev < EV_MAX; ev++) {
        scoped_free char *want = line(ev);
        if (!strstr(text, want)) {
            print_message("docs/architecture.md lacks:\n%s\n", want);
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_missing),
        cmocka_unit_test(test_nothing_is_left_over),
        cmocka_unit_test(test_end_is_seen),
        cmocka_unit_test(test_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
