#include "security/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "base/str.h"
#include "security/bpf.h"
#include "security/builtin.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1U << 5) /* Linux 5.19 */
#endif

/* The file: this head, then n instructions of 8 bytes, nothing else; native byte order, since it
 * holds a program for this machine. The digest is no protection, only a find of torn writes. */
struct file_head {
    char magic[8];
    uint32_t arch, flags, n, sum;
};
static const char file_magic[8] = "RLBPF1\n";

#define BIT(c) (UINT64_C(1) << (c))

int seccomp_builtin(const char *profile, uint64_t caps, struct seccomp_prog *ret)
{
    if (streq(profile, "nested")) {
        /* Namespaces inside the container give their maker all capabilities there. */
        profile = "default";
        caps |= BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_CHROOT);
    }
    for (const struct seccomp_builtin *b = seccomp_builtins; b->profile; b++) {
        if (!streq(b->profile, profile) || (caps & b->mentioned) != b->caps)
            continue;
        *ret =
            (struct seccomp_prog){.insns = (void *)(uintptr_t)b->insns, .n = b->n, .is_static = 1};
        return 0;
    }
    return -ENOENT;
}

/* FNV-1a */
static uint32_t checksum(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 16777619u;
    return sum;
}

int seccomp_read(int dirfd, const char *name, struct seccomp_prog *ret, struct err *e)
{
    struct file_head head;
    scoped_free char *text = NULL;
    size_t max = sizeof(head) + BPF_MAXINSNS * sizeof(struct sock_filter);
    ssize_t len = fs_read(dirfd, name, max, &text, e);
    if (len < 0)
        return err_add(e, (int)len, "seccomp program");

    if ((size_t)len < sizeof(head) || memcmp(text, file_magic, sizeof(file_magic)) != 0)
        return err_msg(e, EINVAL, "seccomp program %s: not a compiled profile", name);
    memcpy(&head, text, sizeof(head));
    size_t bytes = (size_t)len - sizeof(head);
    if (bytes % sizeof(struct sock_filter) || head.n != bytes / sizeof(struct sock_filter) ||
        head.sum != checksum(text + sizeof(head), bytes))
        return err_msg(e, EINVAL, "seccomp program %s: damaged", name);
    if (head.arch != seccomp_builtin_arch)
        return err_msg(e, EINVAL, "seccomp program %s: is for another architecture", name);

    struct sock_filter *insns = xmalloc(bytes ? bytes : 1);
    memcpy(insns, text + sizeof(head), bytes);
    if (!bpf_valid(insns, head.n)) {
        free(insns);
        return err_msg(e, EINVAL, "seccomp program %s: not a valid filter", name);
    }
    *ret = (struct seccomp_prog){.insns = insns, .n = head.n, .flags = head.flags};
    return 0;
}

int seccomp_write(int dirfd, const char *name, const struct seccomp_prog *p, struct err *e)
{
    size_t bytes = p->n * sizeof(struct sock_filter);
    struct file_head head = {
        .arch = seccomp_builtin_arch,
        .flags = p->flags,
        .n = (uint32_t)p->n,
        .sum = checksum(p->insns, bytes),
    };
    memcpy(head.magic, file_magic, sizeof(file_magic));

    scoped_str struct str out = STR_INIT;
    str_addn(&out, &head, sizeof(head));
    str_addn(&out, p->insns, bytes);
    return fs_write_atomic(dirfd, name, out.s, out.len, 0600, FS_NO_SYNC, e);
}

static int load(const struct seccomp_prog *p, uint32_t flags, struct err *e)
{
    struct sock_fprog prog = {.len = (unsigned short)p->n, .filter = p->insns};

    if (p->n == 0 || p->n > BPF_MAXINSNS)
        return err_msg(e, EINVAL, "load seccomp filter: %zu instructions", p->n);
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    if (r < 0)
        return err_set(e, errno, "load seccomp filter of %zu instructions", p->n);
    return (int)r;
}

int seccomp_prog_load(const struct seccomp_prog *p, struct err *e)
{
    /* Of listeners only; the kernel wants it with one. */
    return load(p, p->flags & ~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, e);
}

int seccomp_prog_load_listener(const struct seccomp_prog *p, struct err *e)
{
    /* The kernel refuses both together; we have no other threads. */
    uint32_t flags = p->flags & ~(uint32_t)SECCOMP_FILTER_FLAG_TSYNC;
    return load(p, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER, e);
}

int seccomp_wants_listener(const struct seccomp_prog *p)
{
    const struct sock_filter *f = p->insns;
    for (size_t i = 0; i < p->n; i++) {
        if (f[i].code == (BPF_RET | BPF_K) &&
            (f[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
            return 1;
    }
    return 0;
}

void seccomp_prog_release(struct seccomp_prog *p)
{
    if (!p->is_static)
        free(p->insns);
    *p = (struct seccomp_prog){0};
}

const char *seccomp_syscall_name(int nr)
{
    return nr >= 0 && (size_t)nr < seccomp_n_names ? seccomp_names[nr] : NULL;
}

int seccomp_syscall_nr(const char *name)
{
    for (size_t i = 0; i < seccomp_n_names; i++) {
        if (seccomp_names[i] && streq(seccomp_names[i], name))
            return (int)i;
    }
    return -ENOENT;
}

uint32_t seccomp_answer(const struct seccomp_prog *p, int nr, int *ret_args)
{
    struct seccomp_data data = {.nr = nr, .arch = seccomp_builtin_arch};
    bool args = false;
    uint32_t answer = bpf_eval(p->insns, p->n, &data, &args);
    if (ret_args)
        *ret_args = args;
    return answer;
}
