/* test-build-resources - the options for limits to linux.resources (A39-A41, A46, B5): each case is
 * a command line and the JSON that must come of it, or what the error must say. */
#include "base/strv.h"
#include "cgroup/resources.h"
#include "cli/build_limits.h"
#include "cli/runopts_lines.h"
#include "unit.h"

/* clang-format off */
static const struct opt table[] = {
    LIMIT_OPTIONS,
    {NULL},
};
/* clang-format on */

static const struct cmd command = {
    .name = "test", .opts = table, .opts_size = sizeof(struct run_opts), .max_args = -1};

/* Words are separated by '|', as some hold blanks. The result as text, or the error and its hint.
 */
static int build(const char *line, const char *was, char **ret, struct err *e)
{
    struct run_opts o = {0};
    scoped_strv char **words = strv_split(line, "|", true);
    scoped_free char **args = NULL;
    scoped_json json_t *old = was ? json_parse(was, strlen(was), 1u << 16, "was", e) : NULL;
    scoped_json json_t *made = NULL;
    bool help = false;
    struct limit_source source = {.o = &o.limit};
    int r = opt_parse(&command, words, &o, &args, &help, e);
    if (r == 0)
        r = build_resources(&o.limit, old, &made, e);
    if (r == 0)
        *ret = json_text(made, false);
    /* What is built must be what the plan takes. */
    struct plan p;
    if (r == 0) {
        assert_int_equal(resources_plan(made, was != NULL, &p, e), 0);
        for (size_t i = 0; p.controllers && p.controllers[i]; i++) {
            const char *member = str_after(p.reasons[i], "linux.resources.");
            assert_non_null(member);
            assert_non_null(build_limit_option(member, &source));
        }
        plan_release(&p);
    }
    opt_release(table, &o);
    return r;
}

static const struct {
    const char *line, *want;
} good[] = {
    {"--oom-kill-disable=false", "{}"},
    /* Memory: no swap unless asked for, docker's sum with it. */
    {"-m|64m", "{\"memory\":{\"limit\":67108864,\"swap\":67108864}}"},
    {"--memory=1.5g", "{\"memory\":{\"limit\":1610612736,\"swap\":1610612736}}"},
    {"-m|64m|--memory-swap|96m", "{\"memory\":{\"limit\":67108864,\"swap\":100663296}}"},
    {"-m|64m|--memory-swap=-1", "{\"memory\":{\"limit\":67108864,\"swap\":-1}}"},
    {"-m|64m|--memory-swap=0", "{\"memory\":{\"limit\":67108864,\"swap\":67108864}}"},
    {"--memory-swap=-1", "{\"memory\":{\"swap\":-1}}"},
    {"-m|0", "{\"memory\":{\"limit\":-1,\"swap\":-1}}"},
    {"--memory=-1", "{\"memory\":{\"limit\":-1,\"swap\":-1}}"},
    {"--memory-reservation|32m", "{\"memory\":{\"reservation\":33554432}}"},
    {"--memory-reservation|0", "{}"},
    {"--memory-high|48m", "{\"unified\":{\"memory.high\":\"50331648\"}}"},
    {"--memory-high=-1", "{\"unified\":{\"memory.high\":\"max\"}}"},
    {"--memory-swappiness=-1", "{}"},
    /* CPU time: 0 and -1 are no limit (A46). */
    {"--cpus|.5", "{\"cpu\":{\"quota\":50000,\"period\":100000}}"},
    {"--cpus|1.5", "{\"cpu\":{\"quota\":150000,\"period\":100000}}"},
    {"--cpu|2", "{\"cpu\":{\"quota\":200000,\"period\":100000}}"},
    {"--cpus|0.015", "{\"cpu\":{\"quota\":1500,\"period\":100000}}"},
    {"--cpus|0.123456789", "{\"cpu\":{\"quota\":12345,\"period\":100000}}"},
    {"--cpus|50000 200000", "{\"cpu\":{\"quota\":50000,\"period\":200000}}"},
    {"--cpus|max 50000", "{\"cpu\":{\"quota\":-1,\"period\":50000}}"},
    {"--cpus|0", "{\"cpu\":{\"quota\":-1}}"},
    {"--cpu-quota|0", "{\"cpu\":{\"quota\":-1}}"},
    {"--cpu-quota=-1", "{\"cpu\":{\"quota\":-1}}"},
    {"--cpu-quota=20000", "{\"cpu\":{\"quota\":20000}}"},
    {"--cpu-quota|20000|--cpu-period|40000", "{\"cpu\":{\"quota\":20000,\"period\":40000}}"},
    {"--cpu-period|40000", "{\"cpu\":{\"period\":40000}}"},
    {"--cpu-period|0", "{}"},
    {"-c|512", "{\"cpu\":{\"shares\":512}}"},
    {"-c|0", "{}"},
    {"--cpuset-cpus|0", "{\"cpu\":{\"cpus\":\"0\"}}"},
    {"--cpuset-cpus|0-0,0", "{\"cpu\":{\"cpus\":\"0-0,0\"}}"},
    /* The rest. */
    {"--pids-limit|20", "{\"pids\":{\"limit\":20}}"},
    {"--pids-limit|0", "{\"pids\":{\"limit\":-1}}"},
    {"--pids-limit=-1", "{\"pids\":{\"limit\":-1}}"},
    {"--blkio-weight|300", "{\"blockIO\":{\"weight\":300}}"},
    {"--blkio-weight|0", "{}"},
    {"--cgroup-conf|memory.oom.group=1", "{\"unified\":{\"memory.oom.group\":\"1\"}}"},
    {"--cgroup-conf|io.max=8:0 rbps=1|--cgroup-conf|io.max=8:16 rbps=2",
     "{\"unified\":{\"io.max\":\"8:0 rbps=1\\n8:16 rbps=2\"}}"},
    {"--cgroup-conf|cgroup.max.depth=3", "{\"unified\":{\"cgroup.max.depth\":\"3\"}}"},
};

static const struct {
    const char *line, *message;
} bad[] = {
    {"-m|64q", "--memory 64q: want a size"},
    {"-m|", "--memory : want a size"},
    {"-m|-5", "--memory -5: want a size"},
    {"-m|99999999t", "--memory 99999999t: want a size"},
    {"-m|5m", "--memory 5m: the least is 6m"},
    {"--memory-high|1m", "the least is 6m"},
    {"--memory-reservation|1m", "the least is 6m"},
    {"-m|64m|--memory-reservation|65m", "--memory-reservation 65m: more than the memory limit"},
    {"-m|64m|--memory-swap|32m", "are less than the memory limit"},
    {"--memory-swap|32m", "needs --memory"},
    {"-m|0|--memory-swap|32m", "needs --memory"},
    {"--memory-swappiness|60", "have no swappiness"},
    {"--oom-kill-disable", "always kill"},
    {"--cpus|abc", "--cpus abc: want a number of CPUs"},
    {"--cpus|", "want a number of CPUs"},
    {"--cpus|.", "want a number of CPUs"},
    {"--cpus|1.", "want a number of CPUs"},
    {"--cpus|-1", "want a number of CPUs"},
    {"--cpus|1e3", "want a number of CPUs"},
    {"--cpus|99999999", "want a number of CPUs"},
    {"--cpus|0.001", "the least is 0.01"},
    {"--cpus|500 100000", "--cpus 500: want microseconds, 1000 or more"},
    {"--cpus|50000 100", "--cpus 100: want microseconds from 1000"},
    {"--cpus|50000 100000 3", "want microseconds from 1000"},
    {"--cpus|1|--cpu-quota|5000", "--cpus and --cpu-quota exclude each other"},
    {"--cpus|1|--cpu-period|5000", "--cpus and --cpu-period exclude each other"},
    {"--cpu-quota|999", "want microseconds, 1000 or more"},
    {"--cpu-quota|5ms", "want microseconds"},
    {"--cpu-period|2000000", "want microseconds from 1000 to 1000000"},
    {"-c|1", "want a number from 2 to 262144"},
    {"-c|262145", "want a number from 2 to 262144"},
    {"--cpuset-cpus|", "want numbers like 0-3,5"},
    {"--cpuset-cpus|a", "want numbers like 0-3,5"},
    {"--cpuset-cpus|3-1", "want numbers like 0-3,5"},
    {"--cpuset-cpus|0,,1", "want numbers like 0-3,5"},
    {"--cpuset-cpus|0-99999", "this machine has 0"},
    {"--cpuset-mems|0-9999", "this machine has 0"},
    {"--pids-limit|many", "--pids-limit many: want a number"},
    {"--pids-limit|-2", "want a number"},
    {"--blkio-weight|5", "want a weight from 10 to 1000"},
    {"--blkio-weight-device|/dev/null:5", "want a weight from 10 to 1000"},
    {"--blkio-weight-device|/dev/null", "not DEVICE:VALUE"},
    {"--device-read-bps|/dev/null:1mb", "/dev/null is not a block device"},
    {"--device-write-bps|/no/such:1mb", "--device-write-bps /no/such: "},
    {"--device-write-bps|/dev/null:fast", "want a size such as 10mb a second"},
    {"--device-read-iops|/dev/null:1mb", "want a number of operations a second"},
    {"--device-write-iops|:5", "not DEVICE:VALUE"},
    {"--hugetlb|2MB", "not PAGE=SIZE"},
    {"--hugetlb|x=1g", "not PAGE=SIZE"},
    {"--hugetlb|3MB=1g", "--hugetlb 3MB=1g: this "},
    {"--cgroup-conf|memory.max", "not CONTROLLER.FILE=VALUE"},
    {"--cgroup-conf|memory=1", "not CONTROLLER.FILE=VALUE"},
    {"--cgroup-conf|../cgroup.procs=1", "not CONTROLLER.FILE=VALUE"},
    {"--cgroup-conf|a/memory.max=1", "not CONTROLLER.FILE=VALUE"},
    {"--cgroup-conf|memory..max=1", "not CONTROLLER.FILE=VALUE"},
    {"--cgroup-conf|cgroup.procs=1", "cgroup.procs is no limit"},
    {"--cgroup-conf|cgroup.subtree_control=+memory", "is no limit"},
    {"--cgroup-conf|memory.max=", "want one line as the value"},
    {"--cgroup-conf|memory.max=1\n2", "want one line as the value"},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        struct err e = ERR_INIT;
        scoped_free char *text = NULL;
        if (build(good[i].line, NULL, &text, &e) < 0)
            fail_msg("%s: %s", good[i].line, e.msg);
        if (strcmp(text, good[i].want) != 0)
            fail_msg("%s: %s, want %s", good[i].line, text, good[i].want);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct err e = ERR_INIT;
        scoped_free char *text = NULL;
        if (build(bad[i].line, NULL, &text, &e) == 0)
            fail_msg("%s: taken, %s", bad[i].line, text);
        if (!strstr(e.msg, bad[i].message))
            fail_msg("%s: \"%s\", want \"%s\"", bad[i].line, e.msg, bad[i].message);
    }
}

/* An update says what changes; memory and swap stay in the relation that was asked for. */
static const struct {
    const char *was, *line, *want, *merged;
} updates[] = {
    {"{\"memory\":{\"limit\":67108864,\"swap\":67108864}}", "-m|128m",
     "{\"memory\":{\"limit\":134217728,\"swap\":134217728}}",
     "{\"memory\":{\"limit\":134217728,\"swap\":134217728}}"},
    {"{\"memory\":{\"limit\":67108864,\"swap\":134217728}}", "-m|96m",
     "{\"memory\":{\"limit\":100663296,\"swap\":134217728}}",
     "{\"memory\":{\"limit\":100663296,\"swap\":134217728}}"},
    {"{\"memory\":{\"limit\":67108864,\"swap\":-1}}", "-m|96m",
     "{\"memory\":{\"limit\":100663296}}", "{\"memory\":{\"limit\":100663296,\"swap\":-1}}"},
    {"{\"memory\":{\"limit\":67108864,\"swap\":67108864}}", "--memory-swap|96m",
     "{\"memory\":{\"swap\":100663296}}", "{\"memory\":{\"limit\":67108864,\"swap\":100663296}}"},
    {"{\"memory\":{\"limit\":67108864,\"swap\":67108864}}", "-m|0",
     "{\"memory\":{\"limit\":-1,\"swap\":-1}}", "{\"memory\":{\"limit\":-1,\"swap\":-1}}"},
    {"{}", "--memory-reservation|0", "{\"unified\":{\"memory.low\":\"0\"}}",
     "{\"unified\":{\"memory.low\":\"0\"}}"},
    {"{\"memory\":{\"reservation\":7}}", "--memory-reservation|0",
     "{\"unified\":{\"memory.low\":\"0\"}}", "{\"memory\":{},\"unified\":{\"memory.low\":\"0\"}}"},
    {"{\"unified\":{\"memory.low\":\"0\"}}", "--memory-reservation|8m",
     "{\"memory\":{\"reservation\":8388608}}",
     "{\"unified\":{},\"memory\":{\"reservation\":8388608}}"},
    {"{\"cpu\":{\"shares\":512,\"cpus\":\"0\"}}", "-c|0", "{\"cpu\":{\"shares\":1024}}",
     "{\"cpu\":{\"shares\":1024,\"cpus\":\"0\"}}"},
    {"{\"pids\":{\"limit\":5}}", "--cpus|1", "{\"cpu\":{\"quota\":100000,\"period\":100000}}",
     "{\"pids\":{\"limit\":5},\"cpu\":{\"quota\":100000,\"period\":100000}}"},
    {"{\"unified\":{\"memory.high\":\"9\"}}", "--cgroup-conf|cpu.idle=1",
     "{\"unified\":{\"cpu.idle\":\"1\"}}",
     "{\"unified\":{\"memory.high\":\"9\",\"cpu.idle\":\"1\"}}"},
};

static void test_update(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(updates); i++) {
        struct err e = ERR_INIT;
        scoped_free char *text = NULL;
        if (build(updates[i].line, updates[i].was, &text, &e) < 0)
            fail_msg("%s: %s", updates[i].line, e.msg);
        if (strcmp(text, updates[i].want) != 0)
            fail_msg("%s: %s, want %s", updates[i].line, text, updates[i].want);
        const char *was = updates[i].was;
        scoped_json json_t *old = json_parse(was, strlen(was), 1u << 16, "was", &e);
        scoped_json json_t *from = json_parse(text, strlen(text), 1u << 16, "change", &e);
        scoped_json json_t *all = build_merged_limits(old, from);
        scoped_free char *merged = json_text(all, false);
        assert_string_equal(merged, updates[i].merged);
    }
    struct err e = ERR_INIT;
    scoped_free char *text = NULL;
    assert_int_equal(
        build("-m|96m", "{\"memory\":{\"limit\":67108864,\"swap\":68157440}}", &text, &e), -EINVAL);
    assert_has(e.msg, "are less than the memory limit");
}

/* One entry a device: a new rate replaces the old one, those of other devices stay. */
static void test_merge_lists(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    const char *a = "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":1},"
                    "{\"major\":8,\"minor\":16,\"rate\":2}]},"
                    "\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":1}]}";
    const char *b = "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":9}]"
                    "},\"hugepageLimits\":[{\"pageSize\":\"1GB\",\"limit\":2}]}";
    scoped_json json_t *into = json_parse(a, strlen(a), 1u << 16, "a", &e);
    scoped_json json_t *from = json_parse(b, strlen(b), 1u << 16, "b", &e);
    build_merge_resources(into, from);
    scoped_free char *text = json_text(into, false);
    assert_string_equal(text, "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":16,"
                              "\"rate\":2},{\"major\":8,\"minor\":0,\"rate\":9}]},"
                              "\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":1},"
                              "{\"pageSize\":\"1GB\",\"limit\":2}]}");
}

/* What nobody asks for: the setting, or 2048 processes. */
static void test_default(void **state)
{
    static const struct {
        const char *setting, *want;
    } cases[] = {
        {NULL, "{\"pids\":{\"limit\":2048}}"},
        {"pids_limit=7", "{\"pids\":{\"limit\":7}}"},
        {"pids_limit=0", "{\"pids\":{\"limit\":-1}}"},
        {"pids_limit=lots", NULL},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        scoped_strv char **settings = NULL;
        scoped_json json_t *to = json_object();
        if (cases[i].setting)
            strv_add(&settings, cases[i].setting);
        int r = build_default_limits(settings, to, &e);
        scoped_free char *text = json_text(to, false);
        if (cases[i].want)
            assert_string_equal(text, cases[i].want);
        else
            assert_has(e.msg, "setting pids_limit lots: want a number");
        assert_int_equal(r == 0, cases[i].want != NULL);
    }
}

/* Any text as the value of any option: taken as something that the plan takes, or refused with a
 * message. */
static void test_random(void **state)
{
    static const char letters[] = "0123456789.-+ :=,kmgtbKMGBxe/\"\\";
    (void)state;
    srand(46);
    for (int i = 0; i < 20000; i++) {
        const struct opt *o = &table[(size_t)rand() % (N_ELEMENTS(table) - 1)];
        char value[12];
        size_t n = (size_t)rand() % sizeof(value);
        for (size_t k = 0; k < n; k++)
            value[k] = letters[(size_t)rand() % (sizeof(letters) - 1)];
        value[n] = '\0';
        struct err e = ERR_INIT;
        scoped_free char *line = xasprintf("--%s=%s", o->name, value);
        scoped_free char *text = NULL;
        if (build(line, rand() % 2 ? "{}" : NULL, &text, &e) < 0 && !e.msg[0])
            fail_msg("%s: refused without a message", line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),   cmocka_unit_test(test_bad),
        cmocka_unit_test(test_update), cmocka_unit_test(test_merge_lists),
        cmocka_unit_test(test_random), cmocka_unit_test(test_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
