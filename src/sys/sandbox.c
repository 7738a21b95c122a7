/* sandbox - see sandbox.h. */
#include "sys/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/scoped.h"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1 /* its runtime needs calls, files and address space of its own */
#else
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OUR_ARCH AUDIT_ARCH_PPC64LE
#elif defined(__s390x__)
#define OUR_ARCH AUDIT_ARCH_S390X
#elif defined(__i386__)
#define OUR_ARCH AUDIT_ARCH_I386
#elif defined(__arm__)
#define OUR_ARCH AUDIT_ARCH_ARM
#else
#error "name the AUDIT_ARCH_ of this architecture"
#endif
#define X32_BIT 0x40000000U

enum { MAX_CALLS = 150, MAX_CHECKS = 32, FILTER_MAX = 8 + 2 * MAX_CALLS + 6 * MAX_CHECKS };

static int set_limits(const struct sandbox *s, struct err *e)
{
    const struct {
        __rlimit_resource_t what;
        uint64_t value;
        bool wanted;
    } limits[] = {
        {RLIMIT_CORE, 0, true},
        {RLIMIT_NOFILE, s->max_files, s->max_files > 0},
        {RLIMIT_AS, s->max_memory, s->max_memory > 0 && !SANITIZED},
    };
    for (size_t i = 0; i < N_ELEMENTS(limits); i++) {
        struct rlimit v;
        if (!limits[i].wanted)
            continue;
        if (getrlimit(limits[i].what, &v) < 0)
            return err_set(e, errno, "limit %s", s->what);
        if (limits[i].value < v.rlim_max)
            v.rlim_max = limits[i].value;
        v.rlim_cur = v.rlim_max;
        if (setrlimit(limits[i].what, &v) < 0)
            return err_set(e, errno, "limit %s", s->what);
    }
    return 0;
}

static int drop_capabilities(const struct sandbox *s, struct err *e)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned cap = 0; cap < 64; cap++) {
        if (s->capabilities >> cap & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            break; /* EPERM: not ours to change, and without meaning under no_new_privs; EINVAL */
    }
    data[0].permitted = data[0].effective = (uint32_t)s->capabilities;
    data[1].permitted = data[1].effective = (uint32_t)(s->capabilities >> 32);
    if (syscall(SYS_capset, &head, data) < 0)
        return err_set(e, errno, "drop the capabilities of %s", s->what);
    return 0;
}

/* landlock(7); the numbers are spelt out since older headers lack the later ones. */
struct landlock_rules {
    uint64_t fs, net, scoped;
};
struct __attribute__((packed)) landlock_beneath {
    uint64_t allowed;
    int32_t fd;
};
#define LL_READ_FILE (1U << 2)
#define LL_ALL_ABI1 ((1U << 13) - 1)
#define LL_REFER (1U << 13)     /* ABI 2 */
#define LL_TRUNCATE (1U << 14)  /* ABI 3 */
#define LL_IOCTL_DEV (1U << 15) /* ABI 5 */

static int allow_reading(int set, const char *path, const char *what, struct err *e)
{
    scoped_fd int fd = open(path, O_PATH | O_CLOEXEC);
    struct landlock_beneath rule = {.allowed = LL_READ_FILE, .fd = fd};
    if (fd < 0)
        return 0; /* not on this host */
    if (syscall(SYS_landlock_add_rule, set, 1 /* PATH_BENEATH */, &rule, 0) < 0)
        return err_set(e, errno, "let %s read %s", what, path);
    return 0;
}

/* Where resolv.conf leads to (/run on hosts with a resolver of their own, /mnt/wsl...): the folder,
 * as the file is replaced by others. Not all of /run, where the secrets of the user's session are,
 * and never the root directory. */
static int allow_resolver(int set, const char *what, struct err *e)
{
    static const char *const known[] = {"/run/systemd/resolve", "/run/NetworkManager",
                                        "/run/resolvconf", "/run/connman", "/run/netconfig"};
    char path[PATH_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < N_ELEMENTS(known); i++)
        r = allow_reading(set, known[i], what, e);
    if (r < 0 || !realpath("/etc/resolv.conf", path))
        return r;
    char *slash = strrchr(path, '/');
    if (slash != path && !(slash == path + 4 && strncmp(path, "/run", 4) == 0))
        *slash = '\0';
    return allow_reading(set, path, what, e);
}

static int restrict_files(const struct sandbox *s, struct err *e)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* VERSION */);
    struct landlock_rules rules = {.fs = LL_ALL_ABI1};
    size_t size = 8;
    int r = 0;

    if (abi < 1)
        return 0; /* not in this kernel, or switched off */
    if (abi >= 2)
        rules.fs |= LL_REFER;
    if (abi >= 3)
        rules.fs |= LL_TRUNCATE;
    if (abi >= 4) {
        rules.net = s->tcp ? 0 : 3; /* bind and connect of TCP */
        size = 16;
    }
    if (abi >= 5)
        rules.fs |= LL_IOCTL_DEV;
    if (abi >= 6) {
        rules.scoped = 3; /* abstract sockets and signals of others */
        size = 24;
    }
    scoped_fd int set = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (set < 0)
        return err_set(e, errno, "make the Landlock rules of %s", s->what);
    for (const char *const *p = s->read_paths; r == 0 && p && *p; p++)
        r = allow_reading(set, *p, s->what, e);
    if (r == 0 && s->resolver)
        r = allow_resolver(set, s->what, e);
    if (r == 0 && syscall(SYS_landlock_restrict_self, set, 0) < 0)
        r = err_set(e, errno, "restrict %s by Landlock", s->what);
    return r;
}

struct filter {
    struct sock_filter code[FILTER_MAX];
    unsigned short n;
};

static void emit(struct filter *f, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    f->code[f->n++] = (struct sock_filter){code, jt, jf, k};
}

static void emit_verdict(struct filter *f, uint32_t verdict)
{
    emit(f, BPF_RET | BPF_K, verdict, 0, 0);
}

static void emit_load(struct filter *f, size_t offset)
{
    emit(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static size_t low_half_of(unsigned arg)
{
    size_t half = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4;
    return offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t) + half;
}

/* Jumps of BPF are short (255): each call has its own return, after a skip of one. */
static void build_filter(const struct sandbox *s, struct filter *f)
{
    emit_load(f, offsetof(struct seccomp_data, arch));
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
    emit_verdict(f, SECCOMP_RET_KILL_PROCESS);
    emit_load(f, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    emit(f, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    emit_verdict(f, SECCOMP_RET_KILL_PROCESS);
#endif
    for (size_t i = 0; i < s->n_calls; i++) {
        emit(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)s->calls[i], 0, 1);
        emit_verdict(f, SECCOMP_RET_ALLOW);
    }
    for (size_t i = 0; i < s->n_checks; i++) {
        const struct sandbox_check *c = &s->checks[i];
        emit(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->call, 0, 5);
        emit_load(f, low_half_of(c->arg));
        emit(f, BPF_ALU | BPF_AND | BPF_K, c->mask, 0, 0);
        emit(f, BPF_JMP | BPF_JEQ | BPF_K, c->value, 0, 1);
        emit_verdict(f, SECCOMP_RET_ALLOW);
        emit_load(f, offsetof(struct seccomp_data, nr));
    }
    emit_verdict(f, SECCOMP_RET_KILL_PROCESS);
}

static int filter_calls(const struct sandbox *s, struct err *e)
{
    struct filter f = {.n = 0};
    if (s->n_calls > MAX_CALLS || s->n_checks > MAX_CHECKS)
        return err_set(e, E2BIG, "the system call filter of %s", s->what);
    build_filter(s, &f);
    struct sock_fprog prog = {.len = f.n, .filter = f.code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        return err_set(e, errno, "load the system call filter of %s", s->what);
    return 0;
}

int sandbox_enter(const struct sandbox *s, struct err *e)
{
    int r = set_limits(s, e);
    if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = err_set(e, errno, "set no_new_privs for %s", s->what);
    if (r == 0)
        r = drop_capabilities(s, e);
    if (r < 0 || SANITIZED)
        return r;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (!s->any_path)
        r = restrict_files(s, e);
    if (r == 0 && s->n_calls > 0)
        r = filter_calls(s, e);
    return r;
}
