/* test-cgroup-plan - linux.resources to the files of cgroup v2 (B5, A46): each case is what is
 * asked for and the writes that must come of it, in their order. */
#include <math.h>

#include "base/strv.h"
#include "cgroup/resources.h"
#include "unit.h"

static int plan_text(const char *json, bool update, char **ret, struct err *e)
{
    struct plan p;
    scoped_json json_t *j = json_parse(json, strlen(json), 1u << 20, "case", e);
    assert_non_null(j);
    int r = resources_plan(j, update, &p, e);
    if (r < 0)
        return r;
    struct str s = STR_INIT;
    for (size_t i = 0; i < p.n; i++) {
        const struct plan_write *w = &p.writes[i];
        str_addf(&s, "%s%s=%s", i ? "\n" : "", w->file, w->value);
        if (w->alt_file)
            str_addf(&s, "|%s=%s", w->alt_file, w->alt_value);
        str_addf(&s, "%s%s%s%s", w->flags & PLAN_OPTIONAL ? " optional" : "",
                 w->flags & PLAN_RETRY ? " retry" : "", w->flags & PLAN_KEEP ? " keep" : "",
                 w->flags & PLAN_LESS_MEMORY ? " less" : "");
    }
    if (p.check_usage >= 0)
        str_addf(&s, "\ncheck=%lld", (long long)p.check_usage);
    *ret = str_detach(&s);
    plan_release(&p);
    return 0;
}

static const struct {
    const char *json, *want;
} cases[] = {
    {"{}", ""},
    {"{\"memory\": {}, \"cpu\": {}, \"pids\": {}, \"blockIO\": {}, \"network\": {}}", ""},
    /* memory: 0 is unset, -1 no limit; swap is the sum */
    {"{\"memory\": {\"limit\": 1048576}}", "memory.max=1048576"},
    {"{\"memory\": {\"limit\": 0, \"swap\": 0, \"reservation\": 0}}", ""},
    {"{\"memory\": {\"limit\": -1}}", "memory.swap.max=max optional\nmemory.max=max optional"},
    {"{\"memory\": {\"limit\": 1000, \"swap\": 1000}}",
     "memory.swap.max=0 optional\nmemory.max=1000"},
    {"{\"memory\": {\"limit\": 1000, \"swap\": 3000, \"reservation\": 500}}",
     "memory.swap.max=2000 optional\nmemory.max=1000\nmemory.low=500"},
    {"{\"memory\": {\"limit\": 1000, \"swap\": -1}}",
     "memory.swap.max=max optional\nmemory.max=1000"},
    {"{\"memory\": {\"limit\": -1, \"swap\": 5000}}",
     "memory.swap.max=5000 optional\nmemory.max=max optional"},
    {"{\"memory\": {\"reservation\": -1}}", "memory.low=max optional"},
    {"{\"memory\": {\"limit\": 7, \"checkBeforeUpdate\": true}}", "memory.max=7\ncheck=7"},
    {"{\"memory\": {\"kernel\": 5, \"kernelTCP\": 6, \"useHierarchy\": true}}", ""},
    {"{\"memory\": {\"swappiness\": 60, \"disableOOMKiller\": false}}", ""},
    /* cpu */
    {"{\"cpu\": {\"shares\": 1024}}", "cpu.weight=100"},
    {"{\"cpu\": {\"shares\": 0}}", ""},
    {"{\"cpu\": {\"quota\": 50000}}", "cpu.max=50000 retry"},
    {"{\"cpu\": {\"quota\": 50000, \"period\": 200000}}", "cpu.max=50000 200000 retry"},
    {"{\"cpu\": {\"quota\": 0}}", "cpu.max=max optional retry"},
    {"{\"cpu\": {\"quota\": -1, \"period\": 100000}}", "cpu.max=max 100000 retry"},
    {"{\"cpu\": {\"period\": 50000}}", "cpu.max=50000 retry keep"},
    {"{\"cpu\": {\"quota\": 5000, \"burst\": 1000}}",
     "cpu.max.burst=1000 retry\ncpu.max=5000 retry"},
    {"{\"cpu\": {\"shares\": 2, \"idle\": 0}}", "cpu.idle=0\ncpu.weight=1"},
    {"{\"cpu\": {\"shares\": 2, \"idle\": 1}}", "cpu.weight=1\ncpu.idle=1"},
    {"{\"cpu\": {\"cpus\": \"0-1,3\", \"mems\": \"0\"}}", "cpuset.cpus=0-1,3\ncpuset.mems=0"},
    {"{\"cpu\": {\"cpus\": \"\", \"realtimeRuntime\": 0, \"realtimePeriod\": 0}}", ""},
    /* pids: none of 0 and -1 is a limit */
    {"{\"pids\": {\"limit\": 20}}", "pids.max=20"},
    {"{\"pids\": {\"limit\": 0}}", "pids.max=max optional"},
    {"{\"pids\": {\"limit\": -1}}", "pids.max=max optional"},
    /* blockIO */
    {"{\"blockIO\": {\"weight\": 10}}", "io.bfq.weight=10|io.weight=1"},
    {"{\"blockIO\": {\"weight\": 1000}}", "io.bfq.weight=1000|io.weight=10000"},
    {"{\"blockIO\": {\"weight\": 500}}", "io.bfq.weight=500|io.weight=4950"},
    {"{\"blockIO\": {\"weightDevice\": [{\"major\": 8, \"minor\": 0, \"weight\": 100},"
     "{\"major\": 8, \"minor\": 16}]}}",
     "io.bfq.weight=8:0 100|io.weight=8:0 910\n"
     "io.bfq.weight=8:16 default|io.weight=8:16 default"},
    {"{\"blockIO\": {\"throttleReadBpsDevice\": [{\"major\": 8, \"minor\": 0, \"rate\": 600}],"
     "\"throttleWriteBpsDevice\": [{\"major\": 8, \"minor\": 16, \"rate\": 300}],"
     "\"throttleReadIOPSDevice\": [{\"major\": 8, \"minor\": 0, \"rate\": 30}],"
     "\"throttleWriteIOPSDevice\": [{\"major\": 8, \"minor\": 0, \"rate\": 0}]}}",
     "io.max=8:0 rbps=600\nio.max=8:16 wbps=300\nio.max=8:0 riops=30\nio.max=8:0 wiops=max"},
    /* hugepages: what is reserved counts, where the kernel knows it */
    {"{\"hugepageLimits\": [{\"pageSize\": \"2MB\", \"limit\": 4194304},"
     "{\"pageSize\": \"1GB\", \"limit\": 18446744073709551615}]}",
     "hugetlb.2MB.max=4194304\nhugetlb.2MB.rsvd.max=4194304 optional\n"
     "hugetlb.1GB.max=max optional\nhugetlb.1GB.rsvd.max=max optional"},
    /* rdma */
    {"{\"rdma\": {\"mlx5_1\": {\"hcaHandles\": 3, \"hcaObjects\": 10000},"
     "\"mlx4_0\": {\"hcaObjects\": 0}, \"rxe3\": {}}}",
     "rdma.max=mlx5_1 hca_handle=3 hca_object=10000\nrdma.max=mlx4_0 hca_object=0"},
    /* unified comes last and wins; line by line */
    {"{\"unified\": {\"memory.high\": \"5000\", \"io.max\": \"8:0 rbps=1\\n8:16 wbps=2\\n\","
     "\"cgroup.max.depth\": \"3\", \"hugetlb.1GB.max\": \"\"}, \"memory\": {\"limit\": 7000}}",
     "memory.max=7000\nmemory.high=5000\nio.max=8:0 rbps=1\nio.max=8:16 wbps=2\n"
     "cgroup.max.depth=3"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        scoped_free char *text = NULL;
        if (plan_text(cases[i].json, false, &text, &e) < 0)
            fail_msg("%s: %s", cases[i].json, e.msg);
        if (!streq(text, cases[i].want))
            fail_msg("%s:\nwant %s\ngot  %s", cases[i].json, cases[i].want, text);
    }
}

static const struct {
    const char *json;
    int errnum;
    const char *want;
} wrong[] = {
    {"{\"memory\": {\"swap\": 5}}", EINVAL, "linux.resources.memory.swap: needs memory.limit"},
    {"{\"memory\": {\"limit\": 9, \"swap\": 5}}", EINVAL, "less than memory.limit 9"},
    {"{\"memory\": {\"limit\": \"9\"}}", EINVAL, "linux.resources.memory.limit: want an integer"},
    {"{\"memory\": {\"disableOOMKiller\": true}}", ENOTSUP, "cgroup v2 cannot disable it"},
    {"{\"memory\": {\"useHierarchy\": false}}", ENOTSUP, "memory.useHierarchy"},
    {"{\"cpu\": {\"realtimeRuntime\": 9}}", ENOTSUP, "cpu.realtimeRuntime"},
    {"{\"cpu\": {\"realtimePeriod\": 9}}", ENOTSUP, "cpu.realtimePeriod"},
    {"{\"cpu\": {\"idle\": 2}}", EINVAL, "cpu.idle: want 0 or 1"},
    {"{\"cpu\": {\"cpus\": \"0\\n1\"}}", EINVAL, "cpu.cpus: want numbers like 0-3,7"},
    {"{\"cpu\": {\"mems\": \"all\"}}", EINVAL, "cpu.mems: want numbers like 0-3,7"},
    {"{\"blockIO\": {\"weight\": 9}}", EINVAL, "blockIO.weight: want a weight from 10 to 1000"},
    {"{\"blockIO\": {\"weight\": 1001}}", EINVAL, "blockIO.weight"},
    {"{\"blockIO\": {\"leafWeight\": 10}}", ENOTSUP, "no leafWeight"},
    {"{\"blockIO\": {\"weightDevice\": [{\"major\": -1, \"minor\": 0, \"weight\": 10}]}}", EINVAL,
     "blockIO.weightDevice[0]: no device number -1:0"},
    {"{\"blockIO\": {\"throttleReadBpsDevice\": [{\"major\": 1, \"minor\": 4294967296, \"rate\": "
     "1}]}}",
     EINVAL, "blockIO.throttleReadBpsDevice[0]: no device number"},
    {"{\"blockIO\": {\"throttleReadBpsDevice\": [{\"major\": 1, \"minor\": 1}]}}", EINVAL,
     "throttleReadBpsDevice[0].rate: missing"},
    {"{\"hugepageLimits\": [{\"pageSize\": \"2M\", \"limit\": 1}]}", EINVAL, "want one like 2MB"},
    {"{\"hugepageLimits\": [{\"pageSize\": \"../2MB\", \"limit\": 1}]}", EINVAL, "pageSize"},
    {"{\"hugepageLimits\": [{\"pageSize\": \"02MB\", \"limit\": 1}]}", EINVAL, "pageSize"},
    {"{\"network\": {\"classID\": 7}}", ENOTSUP, "network.classID"},
    {"{\"network\": {\"priorities\": [{\"name\": \"lo\", \"priority\": 1}]}}", ENOTSUP,
     "network.priorities"},
    {"{\"rdma\": {\"a b\": {\"hcaHandles\": 1}}}", EINVAL, "\"a b\" is no name"},
    {"{\"rdma\": []}", EINVAL, "linux.resources.rdma: want an object"},
    /* unified: only limits, only in this group */
    {"{\"unified\": {\"../memory.max\": \"1\"}}", EINVAL, "is no name of a file"},
    {"{\"unified\": {\"a/memory.max\": \"1\"}}", EINVAL, "is no name of a file"},
    {"{\"unified\": {\"memory..max\": \"1\"}}", EINVAL, "is no name of a file"},
    {"{\"unified\": {\"memory max\": \"1\"}}", EINVAL, "is no name of a file"},
    {"{\"unified\": {\"memory\": \"1\"}}", EINVAL, "CONTROLLER.FILE"},
    {"{\"unified\": {\".max\": \"1\"}}", EINVAL, "CONTROLLER.FILE"},
    {"{\"unified\": {\"memory.\": \"1\"}}", EINVAL, "CONTROLLER.FILE"},
    {"{\"unified\": {\"cgroup.procs\": \"1\"}}", EINVAL, "is no limit"},
    {"{\"unified\": {\"cgroup.kill\": \"1\"}}", EINVAL, "is no limit"},
    {"{\"unified\": {\"cgroup.freeze\": \"1\"}}", EINVAL, "is no limit"},
    {"{\"unified\": {\"cgroup.subtree_control\": \"+cpu\"}}", EINVAL, "is no limit"},
    {"{\"unified\": {\"memory.max\": 1}}", EINVAL, "linux.resources.unified"},
};

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
        struct err e = ERR_INIT;
        scoped_free char *text = NULL;
        int r = plan_text(wrong[i].json, false, &text, &e);
        if (r != -wrong[i].errnum)
            fail_msg("%s: got %d %s", wrong[i].json, r, text ? text : e.msg);
        assert_has(e.msg, wrong[i].want);
    }
}

/* A running group keeps what is not named. */
static void test_update(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_free char *swap = NULL, *absent = NULL;
    assert_int_equal(plan_text("{\"memory\": {\"swap\": 5000}}", true, &swap, &e), 0);
    assert_string_equal(swap, "memory.swap.max=5000 optional less");
    assert_int_equal(plan_text("{\"memory\": {\"swap\": 0}}", true, &absent, &e), 0);
    assert_string_equal(absent, "");
}

static void test_controllers(void **state)
{
    (void)state;
    static const char json[] = "{\"memory\": {\"limit\": 1}, \"cpu\": {\"cpus\": \"0\"},"
                               "\"unified\": {\"memory.high\": \"2\", \"cgroup.max.depth\": \"1\","
                               "\"hugetlb.2MB.max\": \"0\"}}";
    struct plan p;
    struct err e = ERR_INIT;
    scoped_json json_t *j = json_parse(json, strlen(json), 1u << 20, "case", &e);
    assert_int_equal(resources_plan(j, false, &p, &e), 0);
    scoped_free char *names = strv_join(p.controllers, " ");
    assert_string_equal(names, "memory cpuset hugetlb");
    scoped_strv char **some = strv_split("cpu memory hugetlb", " ", false);
    assert_int_equal(plan_check(&p, some, "/x", &e), -ENOTSUP);
    assert_string_equal(e.msg, "linux.resources.cpu.cpus: the controller cpuset is not available "
                               "in cgroup /x (cpu memory hugetlb)");
    assert_true(*e.hint);
    assert_int_equal(plan_check(&p, p.controllers, "/x", &e), 0);
    plan_release(&p);
}

/* Shares have one conversion in the field since 2025; ours goes without libm. */
static void test_shares(void **state)
{
    (void)state;
    assert_int_equal(cpu_weight_of_shares(2), 1);
    assert_int_equal(cpu_weight_of_shares(512), 59);
    assert_int_equal(cpu_weight_of_shares(1024), 100);
    assert_int_equal(cpu_weight_of_shares(262144), 10000);
    assert_int_equal(cpu_weight_of_shares(UINT64_MAX), 10000);
    uint64_t before = 0;
    for (uint64_t shares = 3; shares < 262144; shares += 1 + shares / 500) {
        double l = log2((double)shares);
        double want = ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
        uint64_t got = cpu_weight_of_shares(shares);
        if (got != (uint64_t)want)
            fail_msg("%llu shares: want %.0f, got %llu", (unsigned long long)shares, want,
                     (unsigned long long)got);
        assert_true(got >= before);
        before = got;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),  cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_update), cmocka_unit_test(test_controllers),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
