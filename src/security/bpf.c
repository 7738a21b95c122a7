#include "security/bpf.h"

#include <linux/bpf_common.h>
#include <string.h>

#include "base/str.h"

#define NR_AT ((uint32_t)offsetof(struct seccomp_data, nr))
#define ARCH_AT ((uint32_t)offsetof(struct seccomp_data, arch))
#define INSN_MAX 4096 /* BPF_MAXINSNS */

enum { LD_ABS = BPF_LD | BPF_W | BPF_ABS, AND_K = BPF_ALU | BPF_AND | BPF_K };
enum { RET_K = BPF_RET | BPF_K, JA = BPF_JMP | BPF_JA, JGE_K = BPF_JMP | BPF_JGE | BPF_K };

static bool is_branch(uint16_t code)
{
    return code == JGE_K || code == (BPF_JMP | BPF_JEQ | BPF_K) ||
           code == (BPF_JMP | BPF_JGT | BPF_K) || code == (BPF_JMP | BPF_JSET | BPF_K);
}

bool bpf_valid(const struct sock_filter *f, size_t n)
{
    if (n == 0 || n > INSN_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t left = n - i - 1; /* instructions behind this one */
        if (f[i].code == RET_K)
            continue;
        if (f[i].code == JA ? f[i].k >= left : left == 0)
            return false;
        if (is_branch(f[i].code) && (f[i].jt >= left || f[i].jf >= left))
            return false;
        if (f[i].code == LD_ABS && (f[i].k % 4 || f[i].k >= sizeof(struct seccomp_data)))
            return false;
        if (f[i].code != JA && f[i].code != LD_ABS && f[i].code != AND_K && !is_branch(f[i].code))
            return false;
    }
    return true;
}

static bool taken(const struct sock_filter *f, uint32_t a)
{
    switch (BPF_OP(f->code)) {
    case BPF_JEQ:
        return a == f->k;
    case BPF_JGT:
        return a > f->k;
    case BPF_JGE:
        return a >= f->k;
    default:
        return (a & f->k) != 0;
    }
}

/* One run: until a return, or, when stop_at_args, until an argument would be loaded. */
struct run {
    size_t pc;       /* where it ended */
    bool args;       /* an argument (or the instruction pointer) was or would be loaded */
    bool used_nr;    /* the number was loaded */
    bool changed_nr; /* the number went through more than comparisons with constants */
    bool odd_arch;   /* more was asked of the architecture than "is it `native`?" */
};

static struct run run(const struct sock_filter *f, const struct seccomp_data *data, uint32_t native,
                      bool stop_at_args)
{
    struct run r = {0};
    bool a_is_nr = false, a_is_arch = false;
    uint32_t a = 0;

    for (;; r.pc++) {
        const struct sock_filter *i = &f[r.pc];
        if (i->code == RET_K)
            return r;
        if (i->code == LD_ABS) {
            a_is_nr = i->k == NR_AT;
            a_is_arch = i->k == ARCH_AT;
            r.used_nr |= a_is_nr;
            r.args |= !a_is_nr && !a_is_arch;
            if (r.args && stop_at_args)
                return r;
            memcpy(&a, (const char *)data + i->k, sizeof(a));
        } else if (i->code == AND_K) {
            r.changed_nr |= a_is_nr;
            r.odd_arch |= a_is_arch;
            a &= i->k;
        } else if (i->code == JA) {
            r.pc += i->k;
        } else {
            r.changed_nr |= a_is_nr && BPF_OP(i->code) == BPF_JSET;
            r.odd_arch |= a_is_arch && (BPF_OP(i->code) != BPF_JEQ || i->k != native);
            r.pc += taken(i, a) ? i->jt : i->jf;
        }
    }
}

uint32_t bpf_eval(const struct sock_filter *f, size_t n, const struct seccomp_data *data,
                  bool *ret_args)
{
    if (ret_args)
        *ret_args = false;
    if (!bpf_valid(f, n))
        return SECCOMP_RET_KILL_PROCESS;
    struct run r = run(f, data, 0, false);
    if (ret_args)
        *ret_args = r.args;
    return f[r.pc].k;
}

/* ---- bisection ------------------------------------------------------------------------------ */

/* From number `from` on (to the next leaf's), the program answers `answer`, or goes on at `block`,
 * an instruction of the old program that loads an argument. */
struct leaf {
    uint32_t from, answer;
    bool is_block;
    size_t block;
};

/* The new program grows from its end, because cBPF jumps forward only: insns[0] is its last
 * instruction. A position is the number of instructions from there to the program's end. */
struct builder {
    const struct sock_filter *old;
    size_t old_n;
    struct leaf *leaves;
    size_t n_leaves;
    struct sock_filter *insns;
    size_t n;
    size_t *block_at; /* position of a copied block by its old address; 0: none */
    bool too_long;
};

static size_t push(struct builder *b, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (b->n >= INSN_MAX)
        b->too_long = true;
    else
        b->insns[b->n++] = (struct sock_filter){.code = code, .jt = jt, .jf = jf, .k = k};
    return b->n;
}

static int compare_u32(const void *pa, const void *pb)
{
    const uint32_t *a = pa, *b = pb;
    return (*a > *b) - (*a < *b);
}

/* Every number at which a comparison of the program can change its outcome: between two of them
 * the way through the program is the same. */
static uint32_t *edges(const struct sock_filter *f, size_t n, size_t *ret_n)
{
    uint32_t *v = xcalloc(2 * n + 1, sizeof(*v));
    size_t count = 1; /* v[0] = 0 */
    for (size_t i = 0; i < n; i++) {
        if (!is_branch(f[i].code))
            continue;
        v[count++] = f[i].k;
        if (f[i].k < UINT32_MAX)
            v[count++] = f[i].k + 1;
    }
    qsort(v, count, sizeof(*v), compare_u32);
    *ret_n = count;
    return v;
}

static bool find_leaves(struct builder *b, uint32_t arch)
{
    size_t n = 0;
    scoped_free uint32_t *v = edges(b->old, b->old_n, &n);
    b->leaves = xcalloc(n, sizeof(*b->leaves));

    for (size_t i = 0; i < n; i++) {
        if (i > 0 && v[i] == v[i - 1])
            continue;
        struct seccomp_data data = {.nr = (int)v[i], .arch = arch};
        struct run r = run(b->old, &data, arch, true);
        if (r.changed_nr || r.odd_arch)
            return false; /* the edges would not be the only places where answers change */
        struct leaf l = {.from = v[i], .is_block = r.args};
        if (r.args)
            l.block = r.pc;
        else
            l.answer = b->old[r.pc].k;
        struct leaf *last = b->n_leaves ? &b->leaves[b->n_leaves - 1] : NULL;
        if (last && last->is_block == l.is_block && last->block == l.block &&
            last->answer == l.answer)
            continue;
        b->leaves[b->n_leaves++] = l;
    }
    return true;
}

/* Copies what can be reached from old address `start`, in order: gaps close, so jumps only get
 * shorter. A register holds nothing yet there, because the first instruction loads it. */
static void copy_block(struct builder *b, size_t start)
{
    scoped_free size_t *at = xcalloc(b->old_n, sizeof(*at)); /* new position; 1: reachable */
    at[start] = 1;
    for (size_t i = start; i < b->old_n; i++) {
        const struct sock_filter *f = &b->old[i];
        if (!at[i] || f->code == RET_K)
            continue;
        if (is_branch(f->code)) {
            at[i + 1 + f->jt] = 1;
            at[i + 1 + f->jf] = 1;
        } else {
            at[i + 1 + (f->code == JA ? f->k : 0)] = 1;
        }
    }
    for (size_t i = b->old_n; i-- > start;) {
        struct sock_filter f = b->old[i];
        if (!at[i])
            continue;
        if (is_branch(f.code)) {
            f.jt = (uint8_t)(b->n - at[i + 1 + f.jt]);
            f.jf = (uint8_t)(b->n - at[i + 1 + f.jf]);
        } else if (f.code == JA) {
            f.k = (uint32_t)(b->n - at[i + 1 + f.k]);
        }
        at[i] = push(b, f.code, f.jt, f.jf, f.k);
    }
    b->block_at[start] = at[start];
}

/* A position that a branch pushed next (after at most one more instruction) reaches, and from
 * which `leaf` is answered. */
static size_t leaf_position(struct builder *b, const struct leaf *l)
{
    if (l->is_block) {
        size_t at = b->block_at[l->block];
        return b->n - at <= 250 ? at : push(b, JA, 0, 0, (uint32_t)(b->n - at));
    }
    for (size_t back = 0; back < 250 && back < b->n; back++) {
        if (b->insns[b->n - 1 - back].code == RET_K && b->insns[b->n - 1 - back].k == l->answer)
            return b->n - back;
    }
    return push(b, RET_K, 0, 0, l->answer);
}

/* The search over leaves [lo, hi): position of its first instruction. */
static size_t tree(struct builder *b, size_t lo, size_t hi)
{
    if (hi - lo == 1)
        return leaf_position(b, &b->leaves[lo]);
    size_t mid = lo + (hi - lo) / 2;
    size_t right = tree(b, mid, hi);
    size_t left = tree(b, lo, mid);
    if (b->n - right > 254)
        right = push(b, JA, 0, 0, (uint32_t)(b->n - right));
    if (b->n - left > 255)
        left = push(b, JA, 0, 0, (uint32_t)(b->n - left));
    return push(b, JGE_K, (uint8_t)(b->n - right), (uint8_t)(b->n - left), b->leaves[mid].from);
}

/* What calls of other architectures get, if that is one answer for all of them. */
static bool other_arch(const struct builder *b, uint32_t arch, uint32_t *ret)
{
    struct seccomp_data data = {.arch = ~arch};
    struct run r = run(b->old, &data, arch, true);
    *ret = b->old[r.pc].k;
    return !r.args && !r.used_nr && !r.odd_arch;
}

static bool build(struct builder *b, uint32_t arch)
{
    uint32_t other = 0;
    if (!other_arch(b, arch, &other) || !find_leaves(b, arch))
        return false;
    for (size_t i = 0; i < b->n_leaves; i++) {
        const struct leaf *l = &b->leaves[i];
        if (l->is_block && !b->block_at[l->block])
            copy_block(b, l->block);
    }
    size_t top = tree(b, 0, b->n_leaves);
    if (top != b->n) /* the whole is one leaf that stands further back */
        push(b, JA, 0, 0, (uint32_t)(b->n - top));
    push(b, LD_ABS, 0, 0, NR_AT);
    push(b, RET_K, 0, 0, other);
    push(b, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, arch);
    push(b, LD_ABS, 0, 0, ARCH_AT);
    return !b->too_long;
}

struct sock_filter *bpf_bisect(const struct sock_filter *insns, size_t n, uint32_t arch,
                               size_t *ret_n)
{
    if (!bpf_valid(insns, n))
        return NULL;
    struct builder b = {.old = insns, .old_n = n};
    b.insns = xcalloc(INSN_MAX, sizeof(*b.insns));
    b.block_at = xcalloc(n, sizeof(*b.block_at));
    struct sock_filter *ret = NULL;

    if (build(&b, arch)) {
        ret = xcalloc(b.n, sizeof(*ret));
        for (size_t i = 0; i < b.n; i++)
            ret[i] = b.insns[b.n - 1 - i];
        *ret_n = b.n;
    }
    free(b.insns);
    free(b.leaves);
    free(b.block_at);
    return ret;
}
