/* test-cgroup-devices - the device program: its meaning by an interpreter of the instructions it
 * uses against a plain reading of the rules, and the kernel's own by opening real nodes. */
#include <fcntl.h>
#include <linux/filter.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>

#include "cgroup-mount.h"
#include "cgroup/devices.h"

/* ---- the program without a kernel ---- */

struct query {
    uint32_t type, access, major, minor;
};

static uint64_t alu(const struct bpf_insn *i, uint64_t a, uint64_t b)
{
    switch (BPF_OP(i->code)) {
    case BPF_MOV:
        return b;
    case BPF_AND:
        return a & b;
    case BPF_OR:
        return a | b;
    case BPF_XOR:
        return a ^ b;
    case BPF_SUB:
        return a - b;
    case BPF_RSH:
        return a >> b;
    case BPF_MUL:
        return a * b;
    default:
        fail_msg("operation %#x", i->code);
        return 0;
    }
}

static int run(const struct device_prog *p, const struct query *q)
{
    uint32_t ctx[3] = {q->access << 16 | q->type, q->major, q->minor};
    uint64_t r[11] = {0};
    for (size_t pc = 0, steps = 0; pc < p->n; pc++, steps++) {
        const struct bpf_insn *i = &p->insns[pc];
        assert_true(steps < p->n && i->dst_reg < 10 && i->off >= 0);
        uint64_t imm = (uint64_t)(int64_t)i->imm; /* is sign-extended for 64 bits */
        uint64_t other = BPF_SRC(i->code) == BPF_X ? r[i->src_reg] : imm;
        switch (BPF_CLASS(i->code)) {
        case BPF_LDX:
            assert_true(i->src_reg == 1 && i->off % 4 == 0 && i->off < 12);
            r[i->dst_reg] = ctx[i->off / 4];
            break;
        case BPF_ALU:
            r[i->dst_reg] = (uint32_t)alu(i, (uint32_t)r[i->dst_reg], (uint32_t)other);
            break;
        case BPF_ALU64:
            r[i->dst_reg] = alu(i, r[i->dst_reg], other);
            break;
        case BPF_JMP32:
            assert_int_equal(BPF_OP(i->code), BPF_JNE);
            if ((uint32_t)r[i->dst_reg] != (uint32_t)imm)
                pc += (size_t)i->off;
            break;
        case BPF_JMP:
            assert_int_equal(i->code, BPF_JMP | BPF_EXIT);
            return (int)r[0];
        default:
            fail_msg("class %#x", i->code);
        }
    }
    fail_msg("the program ends without an answer");
    return -1;
}

/* ---- what it must mean ---- */

static bool is_default(const struct query *q, uint32_t bit)
{
    static const uint32_t nodes[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},   {1, 9},
                                        {5, 0}, {5, 1}, {5, 2}, {10, 200}};
    if (bit == BPF_DEVCG_ACC_MKNOD)
        return true;
    if (q->type != BPF_DEVCG_DEV_CHAR)
        return false;
    for (size_t i = 0; i < N_ELEMENTS(nodes); i++)
        if (q->major == nodes[i][0] && q->minor == nodes[i][1])
            return true;
    return q->major == 136;
}

static bool matches(const struct res_device *d, const struct query *q, uint32_t bit)
{
    char type = d->type ? d->type[0] : 'a';
    const char *access = d->access ? d->access : "rwm";
    char letter = bit == BPF_DEVCG_ACC_MKNOD ? 'm' : bit == BPF_DEVCG_ACC_READ ? 'r' : 'w';
    return (type == 'a' || (type == 'b') == (q->type == BPF_DEVCG_DEV_BLOCK)) &&
           (d->major < 0 || d->major == q->major) && (d->minor < 0 || d->minor == q->minor) &&
           strchr(access, letter);
}

static bool model(const struct res_device *rules, size_t n, const struct query *q)
{
    for (uint32_t bit = 1; bit <= 4; bit <<= 1) {
        bool allow = is_default(q, bit);
        if (!(q->access & bit) || allow)
            continue;
        for (size_t i = 0; i < n; i++)
            if (matches(&rules[i], q, bit))
                allow = rules[i].allow;
        if (!allow)
            return false;
    }
    return true;
}

static uint32_t random_state = 1;

static uint32_t any(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

static const uint32_t numbers[] = {0, 1, 3, 5, 8, 10, 136, 200, 0x80000000u, UINT32_MAX};

static struct res_device random_rule(void)
{
    static const char *const types[] = {NULL, "a", "b", "c"};
    static const char *const accesses[] = {NULL, "r", "w", "m", "rw", "wm", "rm", "rwm"};
    struct res_device d = {.allow = any(2)};
    d.type = (char *)(uintptr_t)types[any(N_ELEMENTS(types))];
    d.access = (char *)(uintptr_t)accesses[any(N_ELEMENTS(accesses))];
    d.major = any(3) ? (int64_t)numbers[any(N_ELEMENTS(numbers))] : -1;
    d.minor = any(3) ? (int64_t)numbers[any(N_ELEMENTS(numbers))] : -1;
    return d;
}

static void test_model(void **state)
{
    (void)state;
    unsigned yes = 0, no = 0;
    for (unsigned round = 0; round < 4000; round++) {
        struct res_device rules[6];
        size_t n = any(N_ELEMENTS(rules) + 1);
        struct device_prog p;
        struct err e = ERR_INIT;
        for (size_t i = 0; i < n; i++)
            rules[i] = random_rule();
        assert_int_equal(device_prog_build(rules, n, &p, &e), 0);
        for (unsigned k = 0; k < 50; k++) {
            struct query q = {1 + any(2), any(8), numbers[any(N_ELEMENTS(numbers))],
                              numbers[any(N_ELEMENTS(numbers))]};
            bool want = model(rules, n, &q);
            if (run(&p, &q) != want)
                fail_msg("round %u: type %u access %u of %u:%u: want %d", round, q.type, q.access,
                         q.major, q.minor, want);
            assert_true(want || !p.allows_all);
            yes += want;
            no += !want;
        }
        device_prog_release(&p);
    }
    assert_true(yes > 10000 && no > 10000);
}

/* A member that would own its string. */
#define S(text) ((char *)(uintptr_t)(text))

static const struct {
    struct res_device rules[3];
    size_t n;
    struct query q;
    int want;
} cases[] = {
    /* opening for both needs both */
    {{{true, S("c"), S("r"), 10, 1}}, 1, {BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_READ, 10, 1}, 1},
    {{{true, S("c"), S("r"), 10, 1}}, 1, {BPF_DEVCG_DEV_CHAR, 6, 10, 1}, 0},
    {{{true, S("c"), S("r"), 10, 1}, {true, S("c"), S("w"), 10, -1}},
     2,
     {BPF_DEVCG_DEV_CHAR, 6, 10, 1},
     1},
    /* denied writing denies reading and writing together */
    {{{true, NULL, NULL, -1, -1}, {false, S("b"), S("w"), 8, -1}},
     2,
     {BPF_DEVCG_DEV_BLOCK, 6, 8, 1},
     0},
    {{{true, NULL, NULL, -1, -1}, {false, S("b"), S("w"), 8, -1}},
     2,
     {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_READ, 8, 1},
     1},
    /* the last one wins */
    {{{true, S("a"), S("rwm"), -1, -1}, {false, NULL, NULL, -1, -1}},
     2,
     {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_READ, 8, 1},
     0},
    {{{false, NULL, NULL, -1, -1}, {true, S("a"), S("rwm"), -1, -1}},
     2,
     {BPF_DEVCG_DEV_BLOCK, 7, 8, 1},
     1},
    /* nothing is allowed by itself but the usual nodes */
    {{{0}}, 0, {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_READ, 8, 1}, 0},
    {{{0}}, 0, {BPF_DEVCG_DEV_CHAR, 7, 1, 3}, 1},
    {{{0}}, 0, {BPF_DEVCG_DEV_BLOCK, 7, 1, 3}, 0},
    {{{false, NULL, NULL, -1, -1}}, 1, {BPF_DEVCG_DEV_CHAR, 7, 5, 2}, 1},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct device_prog p;
        struct err e = ERR_INIT;
        assert_int_equal(device_prog_build(cases[i].rules, cases[i].n, &p, &e), 0);
        if (run(&p, &cases[i].q) != cases[i].want)
            fail_msg("case %zu: want %d", i, cases[i].want);
        device_prog_release(&p);
    }
}

static void test_wrong(void **state)
{
    (void)state;
    static const struct {
        struct res_device rule;
        const char *want;
    } wrong[] = {
        {{true, S("x"), NULL, -1, -1}, "devices[0].type"},
        {{true, S("cc"), NULL, -1, -1}, "devices[0].type"},
        {{true, S("c"), S("rx"), -1, -1}, "devices[0].access"},
        {{true, S("c"), S("r"), 4294967296, -1}, "no device number 4294967296:-1"},
    };
    for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
        struct device_prog p;
        struct err e = ERR_INIT;
        assert_int_equal(device_prog_build(&wrong[i].rule, 1, &p, &e), -EINVAL);
        assert_has(e.msg, wrong[i].want);
    }
}

/* ---- the kernel ---- */

static int group = -1;
static char nodes[64]; /* a directory of a file system that allows device nodes */

static json_t *json_of(const char *text)
{
    struct err e = ERR_INIT;
    json_t *j = json_parse(text, strlen(text), 1u << 20, "test", &e);
    if (!j)
        fail_msg("%s", e.msg);
    return j;
}

static int setup(void **state)
{
    int r = unit_cgroup_setup(state);
    snprintf(nodes, sizeof(nodes), "/tmp/rootlet-unit-dev-%d", (int)getpid());
    if (!unit_cgroup2)
        return r;
    if (mkdir(nodes, 0700) < 0 || mount("none", nodes, "tmpfs", 0, NULL) < 0)
        return -1;
    scoped_fd int root = cgroup_root_open(NULL);
    group = cgroup_dir_open(root, unit_group, NULL);
    return group < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    if (unit_cgroup2) {
        umount2(nodes, MNT_DETACH);
        rmdir(nodes);
    }
    fd_close(&group);
    return unit_cgroup_teardown(state);
}

/* In the group: makes (unless it is there) and opens a node. 0, or the errno, or 1000 + that of
 * mknod. ENXIO: allowed, but no driver. */
static int try_node(const char *name, mode_t mode, dev_t dev, int flags)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        scoped_free char *path = xasprintf("%s/%s", nodes, name);
        if (cgroup_file_write(group, "cgroup.procs", "0") < 0)
            _exit(255);
        if (mknod(path, mode | 0600, dev) < 0 && errno != EEXIST)
            _exit(100 + errno);
        _exit(open(path, flags | O_CLOEXEC | O_NONBLOCK) < 0 ? errno : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
    return WEXITSTATUS(status);
}

static void apply(const char *json, bool update)
{
    struct err e = ERR_INIT;
    scoped_json json_t *j = json_of(json);
    if (devices_apply(j, group, update, &e) < 0)
        fail_msg("%s", e.msg);
}

static void test_kernel(void **state)
{
    (void)state;
    unit_cgroup_needed();
    dev_t null = makedev(1, 3), kmsg = makedev(1, 11), tun = makedev(10, 200);
    assert_int_equal(try_node("kmsg", S_IFCHR, kmsg, O_RDONLY), 0); /* not yet restricted */
    /* Without rules: the usual nodes alone. mknod is always possible, opening is not. */
    apply("{}", false);
    if (devices_attached(group) == 0)
        skip(); /* a kernel without, or we may not */
    assert_int_equal(devices_attached(group), 1);
    assert_int_equal(try_node("kmsg", S_IFCHR, kmsg, O_RDONLY), EPERM);
    assert_int_equal(try_node("null", S_IFCHR, null, O_RDWR), 0);
    assert_int_not_equal(try_node("tun", S_IFCHR, tun, O_RDWR), EPERM);
    assert_int_equal(try_node("block", S_IFBLK, makedev(7, 200), O_RDONLY), EPERM);

    /* An update replaces, so that one remains; reading only. */
    apply("{\"devices\": [{\"allow\": false, \"access\": \"rwm\"},"
          "{\"allow\": true, \"type\": \"c\", \"major\": 1, \"minor\": 11, \"access\": \"r\"}]}",
          true);
    assert_int_equal(devices_attached(group), 1);
    assert_int_equal(try_node("kmsg", S_IFCHR, kmsg, O_RDONLY), 0);
    assert_int_equal(try_node("kmsg", S_IFCHR, kmsg, O_WRONLY), EPERM);
    assert_int_equal(try_node("kmsg", S_IFCHR, kmsg, O_RDWR), EPERM);

    apply("{\"devices\": [{\"allow\": true}, {\"allow\": false, \"type\": \"c\", \"major\": 1,"
          "\"minor\": 11, \"access\": \"w\"}]}",
          true);
    assert_int_equal(try_node("kmsg", S_IFCHR, kmsg, O_RDONLY), 0);
    assert_int_equal(try_node("kmsg", S_IFCHR, kmsg, O_RDWR), EPERM);
    assert_int_not_equal(try_node("block", S_IFBLK, makedev(7, 200), O_RDONLY), EPERM);

    /* No rules in an update: as it was. All allowed: no program at all. */
    apply("{\"memory\": {}}", true);
    assert_int_equal(try_node("kmsg", S_IFCHR, kmsg, O_WRONLY), EPERM);
    apply("{\"devices\": [{\"allow\": false}, {\"allow\": true, \"access\": \"rwm\"}]}", true);
    assert_int_equal(devices_attached(group), 0);
    assert_int_equal(try_node("kmsg", S_IFCHR, kmsg, O_WRONLY), 0);
}

/* As large as they come: the verifier takes it. */
static void test_many_rules(void **state)
{
    (void)state;
    unit_cgroup_needed();
    struct res_device rules[400];
    struct device_prog p;
    struct err e = ERR_INIT;
    for (size_t i = 0; i < N_ELEMENTS(rules); i++)
        rules[i] = (struct res_device){i % 2, S("b"), S("rw"), (int64_t)i, UINT32_MAX};
    assert_int_equal(device_prog_build(rules, N_ELEMENTS(rules), &p, &e), 0);
    scoped_fd int fd = device_prog_load(&p, &e);
    device_prog_release(&p);
    if (fd == -ENOSYS || fd == -EPERM)
        skip();
    if (fd < 0)
        fail_msg("%s", e.msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),      cmocka_unit_test(test_cases),
        cmocka_unit_test(test_wrong),      cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_many_rules),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
