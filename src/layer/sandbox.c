/* sandbox - confines a worker to one directory, the descriptors it holds and a few system calls. */
#include "layer/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/str.h"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1 /* its runtime needs calls and address space that a worker does not get */
#else
#define SANITIZED 0
#endif

struct sandbox_filter {
    struct sock_fprog prog;
};

/* What the pipeline, the tree writer, the packer, malloc and threads use. No socket, no execve, no
 * mount, no process but threads of this one, no signal to others. */
static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(openat),
    SCMP_SYS(openat2),
    SCMP_SYS(mkdirat),
    SCMP_SYS(symlinkat),
    SCMP_SYS(linkat),
    SCMP_SYS(mknodat),
    SCMP_SYS(unlinkat),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(readlinkat),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(fstatfs),
    SCMP_SYS(getdents64),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(utimensat),
    SCMP_SYS(fsetxattr),
    SCMP_SYS(fgetxattr),
    SCMP_SYS(flistxattr),
    SCMP_SYS(fremovexattr),
    SCMP_SYS(fcntl),
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(getrandom),
    SCMP_SYS(sysinfo),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(prlimit64),
};

static int add_rules(scmp_filter_ctx ctx)
{
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

    for (size_t i = 0; r == 0 && i < N_ELEMENTS(allowed); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
    /* clone only for threads; its flags cannot be seen in clone3, and libc falls back. */
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return r;
}

int sandbox_filter_new(struct sandbox_filter **ret, struct err *e)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    scoped_fd int fd = memfd_create("filter", MFD_CLOEXEC);
    struct sandbox_filter *f;
    struct stat st;
    int r = ctx ? add_rules(ctx) : -ENOMEM;

    if (r == 0)
        r = seccomp_export_bpf(ctx, fd);
    seccomp_release(ctx);
    if (r < 0 || fstat(fd, &st) < 0)
        return err_set(e, r < 0 ? -r : errno, "make the system call filter of the unpacker");
    f = xcalloc(1, sizeof(*f));
    f->prog.filter = xmalloc((size_t)st.st_size);
    f->prog.len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
    if (pread(fd, f->prog.filter, (size_t)st.st_size, 0) != st.st_size) {
        sandbox_filter_free(f);
        return err_set(e, EIO, "make the system call filter of the unpacker");
    }
    *ret = f;
    return 0;
}

void sandbox_filter_free(struct sandbox_filter *f)
{
    if (!f)
        return;
    free(f->prog.filter);
    free(f);
}

static int set_limits(uint64_t max_file_bytes, struct err *e)
{
    const struct {
        __rlimit_resource_t what;
        rlim_t value;
    } limits[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_FSIZE, max_file_bytes},
        {RLIMIT_NOFILE, 64},
        {RLIMIT_CPU, 7200},
        {RLIMIT_AS, SANITIZED ? RLIM_INFINITY : (rlim_t)2 << 30},
    };

    signal(SIGXFSZ, SIG_IGN); /* EFBIG is reported instead */
    for (size_t i = 0; i < N_ELEMENTS(limits); i++) {
        struct rlimit v;
        if (getrlimit(limits[i].what, &v) < 0)
            return err_set(e, errno, "limit the unpacker");
        if (limits[i].value < v.rlim_max)
            v.rlim_max = limits[i].value;
        v.rlim_cur = v.rlim_max;
        if (setrlimit(limits[i].what, &v) < 0)
            return err_set(e, errno, "limit the unpacker");
    }
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
#define LL_READ_FILE (1 << 2)
#define LL_READ_DIR (1 << 3)
#define LL_EXECUTE (1 << 0)
#define LL_MAKE_SOCK (1 << 9)
#define LL_MAKE_BLOCK (1 << 11)
#define LL_ALL_ABI2 ((1 << 14) - 1) /* up to REFER */
#define LL_TRUNCATE (1 << 14)       /* ABI 3 */
#define LL_IOCTL_DEV (1 << 15)      /* ABI 5 */

/* Links and renames between directories need REFER: without it (before ABI 2) they always fail, so
 * such kernels go without Landlock. */
static int restrict_files(int dir_fd, struct err *e)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* VERSION */);
    struct landlock_rules rules = {.fs = LL_ALL_ABI2};
    struct landlock_beneath dir = {.fd = dir_fd};
    size_t size = 8;
    int set;

    if (abi < 2)
        return 0;
    if (abi >= 3)
        rules.fs |= LL_TRUNCATE;
    dir.allowed = rules.fs & ~(uint64_t)(LL_EXECUTE | LL_MAKE_SOCK | LL_MAKE_BLOCK);
    if (abi >= 4) {
        rules.net = 3; /* bind and connect of TCP: none allowed */
        size = 16;
    }
    if (abi >= 5)
        rules.fs |= LL_IOCTL_DEV;
    if (abi >= 6) {
        rules.scoped = 3; /* abstract sockets, signals */
        size = 24;
    }
    set = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (set < 0)
        return err_set(e, errno, "make the Landlock rules of the unpacker");
    if (syscall(SYS_landlock_add_rule, set, 1 /* PATH_BENEATH */, &dir, 0) < 0 ||
        syscall(SYS_landlock_restrict_self, set, 0) < 0) {
        err_set(e, errno, "restrict the unpacker by Landlock");
        close(set);
        return -e->errnum;
    }
    close(set);
    return 0;
}

/* Owners, modes and contents of any file of the layer; nothing about the namespace. */
static int drop_capabilities(struct err *e)
{
    static const int keep[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
                               CAP_FOWNER, CAP_FSETID,       CAP_SETFCAP,
                               CAP_MKNOD};
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    for (size_t i = 0; i < N_ELEMENTS(keep); i++)
        data[keep[i] / 32].permitted |= 1U << (keep[i] % 32);
    for (size_t i = 0; i < 2; i++)
        data[i].effective = data[i].permitted;
    if (syscall(SYS_capset, &head, data) < 0)
        return err_set(e, errno, "drop capabilities of the unpacker");
    return 0;
}

int layer_sandbox_enter(int dir_fd, uint64_t max_file_bytes, const struct sandbox_filter *f,
                        struct err *e)
{
    int r;

    umask(0);
    if (fchdir(dir_fd) < 0 || chroot(".") < 0)
        return err_set(e, errno, "change the unpacker's root to the layer");
    r = set_limits(max_file_bytes, e);
    if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = err_set(e, errno, "set no_new_privs");
    if (r == 0)
        r = restrict_files(dir_fd, e);
    if (r == 0)
        r = drop_capabilities(e);
    if (r == 0)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (r == 0 && !SANITIZED && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->prog) < 0)
        r = err_set(e, errno, "load the system call filter of the unpacker");
    return r;
}
