/* The journal of events: what is written is read again, over rotations and cut lines; rules of
 * pressure and the kernel's account of it. */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/strv.h"
#include "cgroup/pressure.h"
#include "events/events.h"

static struct unit_dir run;
static struct conf conf;

static int setup(void **state)
{
    (void)state;
    run = unit_dir_make();
    conf = (struct conf){.run_root = run.path};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unit_dir_remove(&run);
    return 0;
}

/* Collects "STATUS NAME". */
static int collect(const json_t *ev, void *data, struct err *e)
{
    char ***seen = data;
    (void)e;
    strv_addf(seen, "%s %s", event_text(ev, "Status"), event_text(ev, "Name"));
    return 0;
}

static char **read_all(char *const *filter, int64_t since_ns, int64_t until_ns)
{
    struct err e = ERR_INIT;
    char **seen = NULL;
    struct event_query q = {
        .filter = filter, .since_ns = since_ns, .until_ns = until_ns, .past = true, .out_fd = -1};
    if (event_read(&conf, &q, collect, &seen, &e) < 0)
        fail_msg("%s", e.msg);
    return seen;
}

static void assert_seen(char *const *filter, const char *want)
{
    scoped_strv char **seen = read_all(filter, 0, 0);
    scoped_free char *got = strv_join(seen, ", ");
    assert_string_equal(got ? got : "", want);
}

static void test_write_and_read(void **state)
{
    (void)state;
    char *labels[] = {(char[]){"k=image"}, (char[]){"exitCode=0"}, NULL};
    char *attributes[] = {(char[]){"exitCode=9"}, NULL};
    struct event_entry ev = {.time_ns = 5,
                             .type = "container",
                             .action = "died",
                             .id = "abc",
                             .name = "one",
                             .image = "localhost/a/box:1",
                             .attributes = attributes,
                             .labels = labels};
    event_write(&conf, &ev);
    event_container(&conf, "start", "abd", "two", NULL, NULL);
    event_named(&conf, "image", "tag", "abe", "localhost/a/box:1");
    assert_seen(NULL, "died one, start two, tag localhost/a/box:1");
    assert_seen(ARGV("container=one"), "died one");
    assert_seen(ARGV("container=ab"), "died one, start two");
    assert_seen(ARGV("event=die", "event=start", "container=two"), "start two");
    assert_seen(ARGV("image=box"), "died one, tag localhost/a/box:1");
    assert_seen(ARGV("image=a/box:1", "type=image"), "tag localhost/a/box:1");
    assert_seen(ARGV("image=x/box"), "");
    assert_seen(ARGV("label=k=image"), "died one");
    /* What we say is not overwritten by what the image says. */
    assert_seen(ARGV("label=exitCode=9"), "died one");
    scoped_strv char **old = read_all(NULL, 0, 5);
    assert_int_equal(strv_len(old), 1);
    scoped_strv char **later = read_all(NULL, 6, 0);
    assert_int_equal(strv_len(later), 2);
}

static void test_filter_is_checked(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    assert_int_equal(event_filter_check(ARGV("type=image", "label=a=b"), &e), 0);
    assert_int_equal(event_filter_check(ARGV("types=image"), &e), -EINVAL);
    assert_int_equal(event_filter_check(ARGV("type"), &e), -EINVAL);
    assert_has(e.msg, "--filter type");
}

/* No label hides what happens to a container. */
static void test_label_like_a_begin(void **state)
{
    (void)state;
    char *labels[] = {(char[]){"timeNano=1"}, (char[]){"x={\"timeNano\":1}"}, NULL};
    struct event_entry ev = {
        .type = "container", .action = "died", .id = "abc", .name = "sly", .labels = labels};
    event_write(&conf, &ev);
    assert_seen(NULL, "died sly");
}

/* A full disk cuts a line: only that event is lost. */
static void test_cut_line(void **state)
{
    (void)state;
    struct rlimit was, cut;
    struct stat st;
    event_container(&conf, "start", "a", "first", NULL, NULL);
    assert_int_equal(fstatat(run.fd, EVENTS_FILE, &st, 0), 0);
    getrlimit(RLIMIT_FSIZE, &was);
    cut = was;
    cut.rlim_cur = (rlim_t)st.st_size + 50;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &cut);
    event_container(&conf, "start", "a", "torn", NULL, NULL);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(fstatat(run.fd, EVENTS_FILE, &st, 0), 0);
    assert_int_equal(st.st_size, cut.rlim_cur);
    event_container(&conf, "start", "a", "next", NULL, "trap={\"timeNano\":1,\"Type\":\"x\"}");
    assert_seen(NULL, "start first, start next");
}

static void test_rotation(void **state)
{
    (void)state;
    struct stat st, old;
    size_t n = 0;
    while (fstatat(run.fd, EVENTS_OLD, &old, 0) < 0 && n++ < 20000)
        event_container(&conf, "start", "a", "x", "an-image", NULL);
    assert_in_range(old.st_size, EVENTS_MAX, EVENTS_MAX + 4096);
    event_container(&conf, "start", "a", "x", NULL, NULL);
    assert_int_equal(fstatat(run.fd, EVENTS_FILE, &st, 0), 0);
    assert_true(st.st_size < 4096);
    scoped_strv char **seen = read_all(NULL, 0, 0);
    assert_int_equal(strv_len(seen), n + 1);
}

static void test_long_labels(void **state)
{
    (void)state;
    scoped_free char *label = xmalloc(200001);
    memset(label, 'x', 200000);
    label[1] = '=';
    label[200000] = '\0';
    char *labels[] = {label, NULL};
    struct event_entry ev = {.type = "container", .action = "start", .name = "n", .labels = labels};
    struct stat st;
    event_write(&conf, &ev);
    assert_int_equal(fstatat(run.fd, EVENTS_FILE, &st, 0), 0);
    assert_true(st.st_size < 4096);
    assert_seen(NULL, "start n");
}

static void test_pressure_rules(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct pressure_rule r;
    char text[40];
    assert_int_equal(pressure_parse("notify", &r, &e), 0);
    assert_true(r.action == PRESSURE_NOTIFY && r.resource == CGROUP_MEMORY && !r.full);
    pressure_describe(&r, text, sizeof(text));
    assert_string_equal(text, "some 150ms/2s");
    assert_int_equal(pressure_parse("restart:io=full:1s/10s", &r, &e), 0);
    assert_true(r.action == PRESSURE_RESTART && r.resource == CGROUP_IO && r.full);
    assert_int_equal(r.stall_us, 1000000);
    assert_int_equal(r.window_us, 10000000);
    assert_int_equal(pressure_parse("freeze:cpu", &r, &e), 0);
    assert_true(r.action == PRESSURE_FREEZE && r.resource == CGROUP_CPU);
    const char *const bad[] = {"",
                               "notify:",
                               "notify:memory=",
                               "notify:cpu:",
                               "notify:cpu=some:",
                               "notify:cpu=some:1s/2s/3s",
                               "notify:cpu=some:1s/0",
                               "Notify",
                               "notify:memory=some:9999999999/2s"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (pressure_parse(bad[i], &r, &e) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
}

static void test_pressure_file(void **state)
{
    (void)state;
    struct cgroup_pressure p = {.there = false};
    assert_true(cgroup_pressure_parse("some avg10=1.50 avg60=0.10 avg300=0.00 total=1234\n"
                                      "full avg10=0.25 avg60=0.00 avg300=0.00 total=99\n",
                                      &p));
    assert_true(p.there && p.some_avg10 > 1.4 && p.full_avg10 < 0.3);
    assert_int_equal(p.some_us, 1234);
    assert_int_equal(p.full_us, 99);
    assert_false(cgroup_pressure_parse("", &p));
    assert_false(cgroup_pressure_parse("some avg10=x", &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_filter_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_label_like_a_begin, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_labels, setup, teardown),
        cmocka_unit_test(test_pressure_rules),
        cmocka_unit_test(test_pressure_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
