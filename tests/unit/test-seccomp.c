/* Rows A5, B32, B33, B34: the built-in profiles, by evaluation for all calls and by probes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "security/bpf.h"
#include "security/caps.h"
#include "security/profile.h"
#include "security/seccomp.h"

#define ALLOW SECCOMP_RET_ALLOW
#define ERRNO(n) (SECCOMP_RET_ERRNO | (n))
#define KILL SECCOMP_RET_KILL_PROCESS
#define CAP(c) (UINT64_C(1) << (c))
#define TIOCSTI_NR 0x5412u
#define TIOCLINUX_NR 0x541cu
#define AF_ALG_NR 38u
#define AF_VSOCK_NR 40u

static uint64_t default_caps(void)
{
    uint64_t mask = 0;
    assert_int_equal(cap_profile("default", &mask, NULL), 0);
    return mask;
}

static struct seccomp_prog builtin(const char *profile, uint64_t caps)
{
    struct seccomp_prog p;
    assert_int_equal(seccomp_builtin(profile, caps, &p), 0);
    return p;
}

static uint32_t answer(const struct seccomp_prog *p, int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1, a2}};
    return bpf_eval(p->insns, p->n, &d, NULL);
}

/* ---- evaluation ----------------------------------------------------------------------------- */

static const struct {
    int nr;
    uint64_t a0, a1, a2;
    uint32_t plain, nested, minimal; /* default profile: default capabilities, nested; minimal */
} table[] = {
    {SYS_read, 0, 0, 0, ALLOW, ALLOW, ALLOW},
    {SYS_write, 0, 0, 0, ALLOW, ALLOW, ALLOW},
    {SYS_futex, 0, 0, 0, ALLOW, ALLOW, ALLOW},
    {SYS_exit_group, 0, 0, 0, ALLOW, ALLOW, ALLOW},
    {SYS_execve, 0, 0, 0, ALLOW, ALLOW, ALLOW},
    {SYS_rseq, 0, 0, 0, ALLOW, ALLOW, ALLOW},
    {SYS_openat2, 0, 0, 0, ALLOW, ALLOW, ALLOW},
    {452 /* fchmodat2 */, 0, 0, 0, ALLOW, ALLOW, ALLOW},
    {SYS_ptrace, 0, 0, 0, ALLOW, ALLOW, KILL},
    {SYS_chroot, 0, 0, 0, ALLOW, ALLOW, KILL},
    {600, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {-1, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {0x40000000 + SYS_read, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL}, /* x32 */
    {SYS_mount, 0, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {SYS_fsopen, 0, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {SYS_open_tree, 0, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {467 /* open_tree_attr */, 0, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {SYS_pivot_root, 0, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {SYS_setns, 0, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {SYS_kexec_load, 0, 0, 0, ERRNO(EPERM), ERRNO(EPERM), KILL},
    {SYS_reboot, 0, 0, 0, ERRNO(EPERM), ERRNO(EPERM), KILL},
    {SYS_init_module, 0, 0, 0, ERRNO(EPERM), ERRNO(EPERM), KILL},
    {SYS_open_by_handle_at, 0, 0, 0, ERRNO(EPERM), ERRNO(EPERM), KILL},
    {SYS_syslog, 0, 0, 0, ERRNO(EPERM), ERRNO(EPERM), KILL},
    {SYS_bpf, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {SYS_perf_event_open, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {SYS_userfaultfd, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {SYS_io_uring_setup, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {SYS_keyctl, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {SYS_add_key, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {SYS_request_key, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {SYS_modify_ldt, 0, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {SYS_clone3, 0, 0, 0, ERRNO(ENOSYS), ALLOW, ERRNO(ENOSYS)},
    {SYS_clone, SIGCHLD, 0, 0, ALLOW, ALLOW, ALLOW},
    {SYS_clone, 0x3d0f00 /* a thread */, 0, 0, ALLOW, ALLOW, ALLOW},
    {SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {SYS_clone, CLONE_NEWNS | CLONE_VM, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {SYS_unshare, CLONE_FS, 0, 0, ALLOW, ALLOW, KILL},
    {SYS_unshare, CLONE_NEWUSER, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {SYS_unshare, 0x80 /* CLONE_NEWTIME */, 0, 0, ERRNO(EPERM), ALLOW, KILL},
    {SYS_personality, 0xffffffff, 0, 0, ALLOW, ALLOW, KILL},
    {SYS_personality, 0x40000, 0, 0, ALLOW, ALLOW, KILL},
    {SYS_personality, 0x400000, 0, 0, ERRNO(ENOSYS), ERRNO(ENOSYS), KILL},
    {SYS_socket, AF_INET, SOCK_STREAM, 0, ALLOW, ALLOW, ALLOW},
    {SYS_socket, AF_PACKET, SOCK_RAW, 0, ALLOW, ALLOW, KILL},
    {SYS_socket, AF_NETLINK, SOCK_RAW, 0, ALLOW, ALLOW, ALLOW},
    {SYS_socket, AF_NETLINK, SOCK_RAW, 9, ERRNO(EINVAL), ERRNO(EINVAL), ALLOW},
    {SYS_socket, AF_ALG_NR, 5, 0, ERRNO(EAFNOSUPPORT), ERRNO(EAFNOSUPPORT), KILL},
    {SYS_socket, AF_VSOCK_NR, 1, 0, ERRNO(EAFNOSUPPORT), ERRNO(EAFNOSUPPORT), KILL},
    {SYS_socket, 45, 1, 0, ALLOW, ALLOW, KILL},
    {SYS_socket, 48, 1, 0, ERRNO(EAFNOSUPPORT), ERRNO(EAFNOSUPPORT), KILL},
    {SYS_ioctl, 0, 0x5401, 0, ALLOW, ALLOW, ALLOW},
    {SYS_ioctl, 0, 0x5413, 0, ALLOW, ALLOW, ALLOW},
    {SYS_ioctl, 0, 0xffffffff80045430, 0, ALLOW, ALLOW, ALLOW}, /* as musl extends the sign */
    {SYS_ioctl, 0, TIOCSTI_NR, 0, ERRNO(EPERM), ERRNO(EPERM), KILL},
    {SYS_ioctl, 0, TIOCLINUX_NR, 0, ERRNO(EPERM), ERRNO(EPERM), KILL},
};

static void test_answers(void **state)
{
    (void)state;
    struct seccomp_prog plain = builtin("default", default_caps());
    struct seccomp_prog nested = builtin("nested", default_caps());
    struct seccomp_prog minimal = builtin("minimal", 0);

    for (size_t i = 0; i < N_ELEMENTS(table); i++) {
        const struct seccomp_prog *progs[] = {&plain, &nested, &minimal};
        const uint32_t want[] = {table[i].plain, table[i].nested, table[i].minimal};
        for (size_t k = 0; k < N_ELEMENTS(progs); k++) {
            uint32_t got = answer(progs[k], table[i].nr, table[i].a0, table[i].a1, table[i].a2);
            if (got != want[k])
                fail_msg("row %zu (call %d) profile %zu: %#x instead of %#x", i, table[i].nr, k,
                         got, want[k]);
        }
    }
}

/* The kernel looks at 32 bits of these arguments; whatever stands above must change nothing that
 * is refused into something that is let through. */
static void test_high_bits(void **state)
{
    (void)state;
    const char *const profiles[] = {"default", "nested", "minimal"};
    for (size_t p = 0; p < N_ELEMENTS(profiles); p++) {
        struct seccomp_prog prog = builtin(profiles[p], default_caps());
        for (int bit = 32; bit < 64; bit++) {
            uint64_t high = UINT64_C(1) << bit;
            assert_int_not_equal(answer(&prog, SYS_ioctl, 0, high | TIOCSTI_NR, 0), ALLOW);
            assert_int_not_equal(answer(&prog, SYS_ioctl, 0, high | TIOCLINUX_NR, 0), ALLOW);
            assert_int_not_equal(answer(&prog, SYS_socket, high | AF_ALG_NR, 5, 0), ALLOW);
            assert_int_not_equal(answer(&prog, SYS_socket, high | AF_VSOCK_NR, 1, 0), ALLOW);
        }
        /* and of the low 32, one bit away is another request */
        for (int bit = 0; bit < 32; bit++) {
            uint64_t near = TIOCSTI_NR ^ (UINT64_C(1) << bit);
            assert_int_equal(answer(&prog, SYS_ioctl, 0, near, 0), ALLOW);
        }
    }
}

static void test_other_architectures(void **state)
{
    (void)state;
    struct seccomp_prog plain = builtin("default", default_caps());
    struct seccomp_prog minimal = builtin("minimal", 0);
    struct seccomp_data d = {.nr = 3, .arch = AUDIT_ARCH_I386};
    assert_int_equal(bpf_eval(plain.insns, plain.n, &d, NULL), ERRNO(ENOSYS));
    assert_int_equal(bpf_eval(minimal.insns, minimal.n, &d, NULL), KILL);
}

static void test_capabilities_choose(void **state)
{
    (void)state;
    struct seccomp_prog p = builtin("default", CAP(CAP_SYS_CHROOT) | CAP(CAP_SYS_TIME));
    assert_int_equal(answer(&p, SYS_settimeofday, 0, 0, 0), ALLOW);
    p = builtin("default", 0);
    assert_int_equal(answer(&p, SYS_chroot, 0, 0, 0), ERRNO(EPERM));
    p = builtin("default", ~UINT64_C(0));
    assert_int_equal(answer(&p, SYS_bpf, 0, 0, 0), ALLOW);
    assert_int_equal(answer(&p, SYS_mount, 0, 0, 0), ALLOW);
    assert_int_equal(answer(&p, SYS_ioctl, 0, TIOCSTI_NR, 0), ERRNO(EPERM));

    /* Capabilities that no rule looks at do not matter; two unusual ones are not precompiled. */
    p = builtin("default", default_caps() | CAP(CAP_NET_ADMIN) | CAP(CAP_NET_RAW));
    assert_ptr_equal(p.insns, builtin("default", default_caps()).insns);
    assert_int_equal(seccomp_builtin("default", CAP(CAP_BPF) | CAP(CAP_SYSLOG), &p), -ENOENT);
    assert_int_equal(seccomp_builtin("nonsense", 0, &p), -ENOENT);
}

/* ---- libseccomp's program and ours answer alike --------------------------------------------- */

static uint64_t rng_state = 1;
static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    return rng_state ^= rng_state << 17;
}

static uint64_t odd_arg(void)
{
    static const uint64_t values[] = {0,  1,      2,      9,          16,         17,        38,
                                      40, 0x5412, 0x541c, 0x10000000, 0x7e020000, 0xffffffff};
    uint64_t v = values[rng() % N_ELEMENTS(values)];
    if (rng() % 4 == 0)
        v |= rng() << 32;
    return rng() % 8 ? v : rng();
}

static json_t *load_profile(const char *name)
{
    struct err e = ERR_INIT;
    scoped_free char *path = xasprintf("%s/data/seccomp/%s.json", SRCDIR, name), *text = NULL;
    ssize_t len = fs_read(AT_FDCWD, path, PROFILE_MAX_BYTES, &text, &e);
    assert_true(len > 0);
    json_t *doc = json_parse(text, (size_t)len, PROFILE_MAX_BYTES, path, &e);
    assert_non_null(doc);
    return doc;
}

static void compare(const struct seccomp_prog *a, const struct seccomp_prog *b)
{
    static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0};
    for (size_t k = 0; k < N_ELEMENTS(arches); k++) {
        for (int i = -3; i < 1100; i++) {
            for (int tries = 0; tries < 24; tries++) {
                struct seccomp_data d = {
                    .arch = arches[k], .nr = i, .args = {odd_arg(), odd_arg(), odd_arg()}};
                if (tries == 23)
                    d.nr = (int)rng();
                else if (tries == 22)
                    d.nr |= 0x40000000;
                uint32_t one = bpf_eval(a->insns, a->n, &d, NULL);
                uint32_t two = bpf_eval(b->insns, b->n, &d, NULL);
                if (one != two)
                    fail_msg("arch %#x call %d (%#llx, %#llx, %#llx): %#x and %#x", d.arch, d.nr,
                             (unsigned long long)d.args[0], (unsigned long long)d.args[1],
                             (unsigned long long)d.args[2], one, two);
            }
        }
    }
}

static void test_bisect_equals_plain(void **state)
{
    (void)state;
    const char *const names[] = {"default", "minimal"};
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        struct err e = ERR_INIT;
        scoped_json json_t *doc = load_profile(names[i]);
        scoped_profile struct profile p = {0};
        scoped_strv char **warnings = NULL;
        assert_int_equal(profile_parse(doc, &p, &warnings, &e), 0);
        assert_null(warnings);
        const uint64_t masks[] = {0, default_caps(), CAP(CAP_SYS_ADMIN), ~UINT64_C(0)};
        for (size_t m = 0; m < N_ELEMENTS(masks); m++) {
            struct seccomp_prog plain = {0}, ours = {0}, built;
            struct profile_target t = {.caps = masks[m], .plain = true};
            assert_int_equal(profile_compile(&p, &t, &plain, &e), 0);
            t.plain = false;
            assert_int_equal(profile_compile(&p, &t, &ours, &e), 0);
            assert_true(ours.n < plain.n);
            compare(&plain, &ours);
            /* and what was compiled at build time is the same again */
            assert_int_equal(seccomp_builtin(names[i], masks[m], &built), 0);
            assert_int_equal(built.n, ours.n);
            assert_memory_equal(built.insns, ours.insns, ours.n * sizeof(struct sock_filter));
            seccomp_prog_release(&plain);
            seccomp_prog_release(&ours);
        }
    }
}

/* Every rule list gives what its text says, for each number: names are allowed, others are not. */
static void test_json_means_what_it_says(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    const char *text = "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 38,"
                       " \"syscalls\": [{\"names\": [\"read\", \"write\", \"exit\", \"futex\"],"
                       " \"action\": \"SCMP_ACT_ALLOW\"}, {\"names\": [\"mount\", \"ptrace\","
                       " \"kexec_load\"], \"action\": \"SCMP_ACT_ERRNO\"}]}";
    scoped_json json_t *doc = json_parse(text, strlen(text), PROFILE_MAX_BYTES, "x", &e);
    scoped_profile struct profile p = {0};
    struct seccomp_prog prog = {0};
    struct profile_target t = {0};
    assert_int_equal(profile_parse(doc, &p, NULL, &e), 0);
    assert_int_equal(profile_compile(&p, &t, &prog, &e), 0);
    for (int nr = 0; nr <= 450; nr++) {
        uint32_t want = ERRNO(ENOSYS);
        if (nr == SYS_read || nr == SYS_write || nr == SYS_exit || nr == SYS_futex)
            want = ALLOW;
        if (nr == SYS_mount || nr == SYS_ptrace || nr == SYS_kexec_load)
            want = ERRNO(EPERM);
        assert_int_equal(answer(&prog, nr, rng(), rng(), rng()), want);
    }
    seccomp_prog_release(&prog);
}

static const struct {
    const char *json, *want; /* a part of the message; "" = fine */
    const char *warning;     /* the only warning, or NULL */
} profile_cases[] = {
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\"}", "", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_KILL\", \"syscalls\": null}", "", NULL},
    {"{}", "defaultAction: missing", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_NICE\"}", "defaultAction: unknown action SCMP_ACT_NICE", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"colour\": 1}", "", "colour: unknown key"},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"raed\"],"
     " \"action\": \"SCMP_ACT_LOG\"}]}",
     "", "syscalls[0].names: unknown system call raed"},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"],"
     " \"action\": \"SCMP_ACT_LOG\", \"argz\": []}]}",
     "", "syscalls[0].argz: unknown key"},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"],"
     " \"action\": \"SCMP_ACT_SMILE\"}]}",
     "syscalls[0].action: unknown action", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"],"
     " \"action\": \"SCMP_ACT_LOG\", \"args\": [{\"index\": 0, \"value\": 1, \"op\":"
     " \"SCMP_CMP_ALMOST\"}]}]}",
     "syscalls[0].args[0].op", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"],"
     " \"action\": \"SCMP_ACT_LOG\", \"args\": [{\"index\": 6, \"value\": 1, \"op\":"
     " \"SCMP_CMP_EQ\"}]}]}",
     "syscalls[0].args[0].index: want 0 to 5", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"architectures\": [\"SCMP_ARCH_X86\"],"
     " \"archMap\": [{\"architecture\": \"SCMP_ARCH_X86_64\"}]}",
     "only one of them", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrno\": \"EWHAT\"}", "EWHAT", NULL},
    {"{\"ociVersion\": \"1.2.0\", \"linux\": {\"seccomp\": {\"defaultAction\":"
     " \"SCMP_ACT_ALLOW\"}}}",
     "", NULL},
    {"{\"ociVersion\": \"1.2.0\"}", "linux.seccomp: missing", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"name\": \"read\", \"action\":"
     " \"SCMP_ACT_ERRNO\", \"errno\": \"EPERM\", \"errnoRet\": 1, \"args\": null}]}",
     "", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"flags\": [\"SECCOMP_FILTER_FLAG_MOOD\"]}",
     "unknown flag SECCOMP_FILTER_FLAG_MOOD", NULL},
    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"architectures\": [\"SCMP_ARCH_PDP11\"]}",
     "architecture SCMP_ARCH_PDP11: unknown", NULL},
};

static void test_profile_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(profile_cases); i++) {
        struct err e = ERR_INIT;
        scoped_strv char **warnings = NULL;
        scoped_profile struct profile p = {0};
        struct seccomp_prog prog = {0};
        struct profile_target t = {0};
        const char *text = profile_cases[i].json;
        scoped_json json_t *doc = json_parse(text, strlen(text), PROFILE_MAX_BYTES, "x", &e);
        assert_non_null(doc);
        int r = profile_parse(doc, &p, &warnings, &e);
        if (r == 0)
            r = profile_compile(&p, &t, &prog, &e);
        seccomp_prog_release(&prog);
        if (!strstr(e.msg, profile_cases[i].want) || (r < 0) != (*profile_cases[i].want != '\0'))
            fail_msg("case %zu: %d \"%s\"", i, r, e.msg);
        assert_string_equal(warnings ? warnings[0] : "",
                            profile_cases[i].warning ? profile_cases[i].warning : "");
        assert_true(strv_len(warnings) <= 1);
    }
}

static void test_alternatives_and_more_arches(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    const char *text = "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"architectures\":"
                       " [\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_X86\"], \"syscalls\": ["
                       "{\"names\": [\"close\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": ["
                       "{\"index\": 0, \"value\": 3, \"op\": \"SCMP_CMP_EQ\"},"
                       "{\"index\": 0, \"value\": 5, \"op\": \"SCMP_CMP_EQ\"}]},"
                       "{\"names\": [\"fchmodat2\", \"read\"], \"action\": \"SCMP_ACT_ALLOW\"}]}";
    scoped_json json_t *doc = json_parse(text, strlen(text), PROFILE_MAX_BYTES, "x", &e);
    scoped_profile struct profile p = {0};
    struct seccomp_prog prog = {0};
    struct profile_target t = {0};
    assert_int_equal(profile_parse(doc, &p, NULL, &e), 0);
    assert_int_equal(profile_compile(&p, &t, &prog, &e), 0);
    assert_int_equal(answer(&prog, SYS_close, 3, 0, 0), ALLOW);
    assert_int_equal(answer(&prog, SYS_close, 4, 0, 0), ERRNO(EPERM));
    assert_int_equal(answer(&prog, SYS_close, 5, 0, 0), ALLOW);
    assert_int_equal(answer(&prog, 452, 0, 0, 0), ALLOW);
    struct seccomp_data d = {.arch = AUDIT_ARCH_I386, .nr = 3 /* read there */};
    assert_int_equal(bpf_eval(prog.insns, prog.n, &d, NULL), ALLOW);
    d.nr = 0;
    assert_int_equal(bpf_eval(prog.insns, prog.n, &d, NULL), ERRNO(EPERM));
    seccomp_prog_release(&prog);
}

/* ---- the file ------------------------------------------------------------------------------- */

static void test_file(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char dir[] = "/tmp/rootlet-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    scoped_fd int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct seccomp_prog p = builtin("default", 0), q = {0};
    p.flags = SECCOMP_FILTER_FLAG_LOG;
    assert_int_equal(seccomp_write(dirfd, "seccomp.bpf", &p, &e), 0);
    assert_int_equal(seccomp_read(dirfd, "seccomp.bpf", &q, &e), 0);
    assert_int_equal(q.n, p.n);
    assert_int_equal(q.flags, SECCOMP_FILTER_FLAG_LOG);
    assert_memory_equal(q.insns, p.insns, p.n * sizeof(struct sock_filter));
    seccomp_prog_release(&q);

    /* Any byte changed, or the end missing: refused. */
    scoped_free char *text = NULL;
    ssize_t len = fs_read(dirfd, "seccomp.bpf", 1 << 20, &text, &e);
    for (ssize_t at = 0; at < len; at += at < 24 ? 1 : 97) {
        if (at >= 12 && at < 16)
            continue; /* the flags: any value is one */
        text[at] ^= 0x10;
        assert_int_equal(fs_write_atomic(dirfd, "x", text, (size_t)len, 0600, FS_NO_SYNC, &e), 0);
        assert_int_equal(seccomp_read(dirfd, "x", &q, &e), -EINVAL);
        text[at] ^= 0x10;
    }
    assert_int_equal(fs_write_atomic(dirfd, "x", text, (size_t)len - 8, 0600, FS_NO_SYNC, &e), 0);
    assert_int_equal(seccomp_read(dirfd, "x", &q, &e), -EINVAL);
    assert_int_equal(seccomp_read(dirfd, "absent", &q, &e), -ENOENT);
    assert_int_equal(fs_remove_tree(AT_FDCWD, dir, &e), 0);
}

static void test_valid(void **state)
{
    (void)state;
    const struct sock_filter good[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
                                       {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 1},
                                       {BPF_RET | BPF_K, 0, 0, ALLOW},
                                       {BPF_RET | BPF_K, 0, 0, KILL}};
    assert_true(bpf_valid(good, 4));
    assert_false(bpf_valid(good, 3)); /* the jump leaves */
    assert_false(bpf_valid(good, 1)); /* no return */
    assert_false(bpf_valid(good, 0));
    const struct sock_filter far[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 64}, {BPF_RET | BPF_K}};
    assert_false(bpf_valid(far, 2));
    const struct sock_filter loop[] = {{BPF_JMP | BPF_JA, 0, 0, UINT32_MAX}, {BPF_RET | BPF_K}};
    assert_false(bpf_valid(loop, 2));
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(seccomp_syscall_name(SYS_rseq), "rseq");
    assert_string_equal(seccomp_syscall_name(462), "mseal");
    assert_null(seccomp_syscall_name(-1));
    assert_null(seccomp_syscall_name(100000));
    assert_int_equal(seccomp_syscall_nr("openat2"), SYS_openat2);
    assert_int_equal(seccomp_syscall_nr("opnat2"), -ENOENT);
}

/* ---- the kernel agrees ---------------------------------------------------------------------- */

static const struct {
    const char *name;
    long nr, a0, a1, a2;
    int want; /* errno; 0: the filter lets it through */
} probes[] = {
    {"nr 600", 600, 0, 0, 0, ENOSYS},
    {"AF_ALG", SYS_socket, AF_ALG_NR, SOCK_SEQPACKET, 0, EAFNOSUPPORT},
    {"AF_VSOCK", SYS_socket, AF_VSOCK_NR, SOCK_STREAM, 0, EAFNOSUPPORT},
    {"TIOCSTI", SYS_ioctl, 0, TIOCSTI_NR, 0, EPERM},
    {"TIOCSTI high", SYS_ioctl, 0, (long)(0x7700000000 | TIOCSTI_NR), 0, EPERM},
    {"clone NEWUSER", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, EPERM},
    {"unshare NEWUSER", SYS_unshare, CLONE_NEWUSER, 0, 0, EPERM},
    {"clone3", SYS_clone3, 0, 0, 0, ENOSYS},
    {"keyctl", SYS_keyctl, 0, 0, 0, ENOSYS},
    {"mount", SYS_mount, 0, 0, 0, EPERM},
    {"kexec_load", SYS_kexec_load, 0, 0, 0, EPERM},
    {"bpf", SYS_bpf, 0, 0, 0, ENOSYS},
    {"io_uring_setup", SYS_io_uring_setup, 0, 0, 0, ENOSYS},
    {"write", SYS_write, 1, 0, 0, 0},
    {"futex", SYS_futex, 0, 1 /* wake a null pointer */, 0, EFAULT},
    {"getpid", SYS_getpid, 0, 0, 0, 0},
};

/* Loads the program in a child, makes one call, returns the child's wait status. */
static int probe(const struct seccomp_prog *p, long nr, long a0, long a1, long a2)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_prog_load(p, NULL) < 0)
            _exit(200);
        long r = syscall(nr, a0, a1, a2, 0, 0, 0);
        _exit(r < 0 ? errno : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_kernel_default(void **state)
{
    (void)state;
    struct seccomp_prog p = builtin("default", default_caps());
    for (size_t i = 0; i < N_ELEMENTS(probes); i++) {
        int status = probe(&p, probes[i].nr, probes[i].a0, probes[i].a1, probes[i].a2);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != probes[i].want)
            fail_msg("%s: status %#x instead of errno %d", probes[i].name, status, probes[i].want);
    }
}

static void test_kernel_minimal_kills(void **state)
{
    (void)state;
    struct seccomp_prog p = builtin("minimal", 0);
    int status = probe(&p, SYS_mount, 0, 0, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
    status = probe(&p, SYS_ioctl, 0, (long)(0x100000000 | TIOCSTI_NR), 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = probe(&p, SYS_getpid, 0, 0, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_high_bits),
        cmocka_unit_test(test_other_architectures),
        cmocka_unit_test(test_capabilities_choose),
        cmocka_unit_test(test_bisect_equals_plain),
        cmocka_unit_test(test_json_means_what_it_says),
        cmocka_unit_test(test_profile_messages),
        cmocka_unit_test(test_alternatives_and_more_arches),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_kernel_default),
        cmocka_unit_test(test_kernel_minimal_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
