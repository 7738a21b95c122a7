/* devices - see devices.h for what the program means.
 *
 * It walks the rules from the last to the first. One register holds the kinds of access that no
 * rule has decided yet: a rule that matches takes its kinds out of it, and a denying one notes
 * those that it found there. So O_RDWR is refused when only writing is, which a comparison of the
 * whole access with a rule's would let through. A rule is arithmetic without jumps: the kernel's
 * verifier follows every way through a program, and their number would grow with the rules (40
 * rules: 4 ms with jumps, 0.2 ms without). */
#include "cgroup/devices.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"

#define PROG_NAME "rootlet_dev" /* how we know ours again; at most 15 bytes */
#define ALL (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)

/* Registers. DENIED is the one that is returned in. */
enum { DENIED, CTX, TYPE, LEFT, MAJOR, MINOR, MATCH, SCRATCH };

struct rule {
    int type; /* BPF_DEVCG_DEV_*, 0: both */
    int64_t major, minor;
    int access;
    bool allow;
};

static const struct rule defaults[] = {
    {0, -1, -1, BPF_DEVCG_ACC_MKNOD, true},   {BPF_DEVCG_DEV_CHAR, 1, 3, ALL, true}, /* null */
    {BPF_DEVCG_DEV_CHAR, 1, 5, ALL, true},                                           /* zero */
    {BPF_DEVCG_DEV_CHAR, 1, 7, ALL, true},                                           /* full */
    {BPF_DEVCG_DEV_CHAR, 1, 8, ALL, true},                                           /* random */
    {BPF_DEVCG_DEV_CHAR, 1, 9, ALL, true},                                           /* urandom */
    {BPF_DEVCG_DEV_CHAR, 5, 0, ALL, true},                                           /* tty */
    {BPF_DEVCG_DEV_CHAR, 5, 1, ALL, true},                                           /* console */
    {BPF_DEVCG_DEV_CHAR, 5, 2, ALL, true},                                           /* ptmx */
    {BPF_DEVCG_DEV_CHAR, 136, -1, ALL, true},                                        /* pts */
    {BPF_DEVCG_DEV_CHAR, 10, 200, ALL, true}, /* net/tun, as other runtimes do */
};

struct writer {
    struct bpf_insn *v;
    size_t n, alloc;
};

static void emit(struct writer *w, struct bpf_insn insn)
{
    if (w->n == w->alloc) {
        w->alloc = w->alloc ? w->alloc * 2 : 128;
        w->v = xrealloc(w->v, w->alloc * sizeof(*w->v));
    }
    w->v[w->n++] = insn;
}

static struct bpf_insn load_ctx(int dst, size_t offset)
{
    return (struct bpf_insn){.code = BPF_LDX | BPF_MEM | BPF_W,
                             .dst_reg = (uint8_t)(dst & 15),
                             .src_reg = CTX,
                             .off = (int16_t)offset};
}

/* dst = dst OP imm; class BPF_ALU: 32 bits, BPF_ALU64. */
static struct bpf_insn alu_imm(int class, int op, int dst, uint32_t imm)
{
    return (struct bpf_insn){
        .code = (uint8_t)(class | BPF_K | op), .dst_reg = (uint8_t)(dst & 15), .imm = (int32_t)imm};
}

static struct bpf_insn alu(int op, int dst, int src)
{
    return (struct bpf_insn){.code = (uint8_t)(BPF_ALU | BPF_X | op),
                             .dst_reg = (uint8_t)(dst & 15),
                             .src_reg = (uint8_t)(src & 15)};
}

/* Ends with yes if reg is 0, else goes on. */
static void emit_yes_if_zero(struct writer *w, int reg)
{
    emit(w, (struct bpf_insn){
                .code = BPF_JMP32 | BPF_K | BPF_JNE, .dst_reg = (uint8_t)(reg & 15), .off = 2});
    emit(w, alu_imm(BPF_ALU, BPF_MOV, DENIED, 1));
    emit(w, (struct bpf_insn){.code = BPF_JMP | BPF_EXIT});
}

static void emit_head(struct writer *w)
{
    emit(w, load_ctx(TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type)));
    emit(w, alu(BPF_MOV, LEFT, TYPE));
    emit(w, alu_imm(BPF_ALU, BPF_AND, TYPE, 0xffff));
    emit(w, alu_imm(BPF_ALU, BPF_RSH, LEFT, 16));
    emit(w, load_ctx(MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major)));
    emit(w, load_ctx(MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor)));
    emit(w, alu_imm(BPF_ALU, BPF_MOV, DENIED, 0));
}

/* MATCH |= reg ^ want, or = for the first. */
static void emit_compare(struct writer *w, int reg, uint32_t want, bool *first)
{
    int to = *first ? MATCH : SCRATCH;
    emit(w, alu(BPF_MOV, to, reg));
    emit(w, alu_imm(BPF_ALU, BPF_XOR, to, want));
    if (!*first)
        emit(w, alu(BPF_OR, MATCH, SCRATCH));
    *first = false;
}

static void emit_rule(struct writer *w, const struct rule *r)
{
    bool every = true;
    if (r->type)
        emit_compare(w, TYPE, (uint32_t)r->type, &every);
    if (r->major >= 0)
        emit_compare(w, MAJOR, (uint32_t)r->major, &every);
    if (r->minor >= 0)
        emit_compare(w, MINOR, (uint32_t)r->minor, &every);
    if (every) {
        emit(w, alu_imm(BPF_ALU, BPF_MOV, MATCH, (uint32_t)r->access));
    } else {
        /* 0 becomes 1, what is above becomes 0; then the kinds of access or none. (A shift that
         * keeps the sign and a mask would do, but newer verifiers follow two ways from there.) */
        emit(w, alu_imm(BPF_ALU64, BPF_SUB, MATCH, 1));
        emit(w, alu_imm(BPF_ALU64, BPF_RSH, MATCH, 63));
        emit(w, alu_imm(BPF_ALU, BPF_MUL, MATCH, (uint32_t)r->access));
    }
    emit(w, alu(BPF_AND, MATCH, LEFT));
    emit(w, alu(BPF_XOR, LEFT, MATCH));
    if (!r->allow)
        emit(w, alu(BPF_OR, DENIED, MATCH));
}

/* What no rule has decided is denied. */
static void emit_tail(struct writer *w)
{
    emit(w, alu(BPF_OR, DENIED, LEFT));
    emit_yes_if_zero(w, DENIED);
    emit(w, alu_imm(BPF_ALU, BPF_MOV, DENIED, 0));
    emit(w, (struct bpf_insn){.code = BPF_JMP | BPF_EXIT});
}

static int read_rule(const struct res_device *d, size_t i, struct rule *ret, struct err *e)
{
    const char *type = d->type && *d->type ? d->type : "a";
    const char *access = d->access && *d->access ? d->access : "rwm";
    struct rule r = {.major = d->major, .minor = d->minor, .allow = d->allow};
    if (streq(type, "b"))
        r.type = BPF_DEVCG_DEV_BLOCK;
    else if (streq(type, "c") || streq(type, "u"))
        r.type = BPF_DEVCG_DEV_CHAR;
    else if (!streq(type, "a"))
        return err_msg(e, EINVAL, "linux.resources.devices[%zu].type: \"%s\" is none of a, b and c",
                       i, type);
    for (const char *c = access; *c; c++) {
        if (!strchr("rwm", *c))
            return err_msg(e, EINVAL,
                           "linux.resources.devices[%zu].access: want letters of \"rwm\"", i);
        r.access |= *c == 'r'   ? BPF_DEVCG_ACC_READ
                    : *c == 'w' ? BPF_DEVCG_ACC_WRITE
                                : BPF_DEVCG_ACC_MKNOD;
    }
    if (r.major > UINT32_MAX || r.minor > UINT32_MAX)
        return err_msg(e, EINVAL,
                       "linux.resources.devices[%zu]: no device number %" PRId64 ":%" PRId64, i,
                       r.major, r.minor);
    *ret = r;
    return 0;
}

static bool is_final(const struct rule *r)
{
    return r->type == 0 && r->major < 0 && r->minor < 0 && r->access == ALL;
}

int device_prog_build(const struct res_device *rules, size_t n, struct device_prog *ret,
                      struct err *e)
{
    struct writer w = {0};
    bool deny = n == 0, final = false;
    emit_head(&w);
    for (size_t i = N_ELEMENTS(defaults); i-- > 0;)
        emit_rule(&w, &defaults[i]);
    emit_yes_if_zero(&w, LEFT); /* nearly always */
    for (size_t i = n; i-- > 0;) {
        struct rule r;
        int rc = read_rule(&rules[i], i, &r, e);
        if (rc < 0) {
            free(w.v);
            return rc;
        }
        if (final)
            continue; /* only read for its mistakes: nothing comes this far */
        emit_rule(&w, &r);
        deny |= !r.allow;
        final = is_final(&r);
    }
    emit_tail(&w);
    *ret = (struct device_prog){.insns = w.v, .n = w.n, .allows_all = final && !deny};
    return 0;
}

void device_prog_release(struct device_prog *p)
{
    free(p->insns);
    *p = (struct device_prog){0};
}

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
    long r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));
    return r < 0 ? -errno : (int)r;
}

static uint64_t address(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

/* The kernel wants every byte of it 0 that is not set: an initializer does not promise that. */
static union bpf_attr zeroed(void)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    return attr;
}

int device_prog_load(const struct device_prog *p, struct err *e)
{
    union bpf_attr attr = zeroed();
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insn_cnt = (uint32_t)p->n;
    attr.insns = address(p->insns);
    attr.license = address("GPL");
    memcpy(attr.prog_name, PROG_NAME, sizeof(PROG_NAME));
    int fd = bpf(BPF_PROG_LOAD, &attr);
    return fd < 0 ? err_set(e, -fd, "linux.resources.devices: load the device program") : fd;
}

static bool is_ours(int prog_fd)
{
    struct bpf_prog_info info;
    memset(&info, 0, sizeof(info));
    union bpf_attr attr = zeroed();
    attr.info.bpf_fd = (uint32_t)prog_fd;
    attr.info.info_len = sizeof(info);
    attr.info.info = address(&info);
    return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) >= 0 && streq(info.name, PROG_NAME);
}

/* One that we attached: its descriptor, or -ENOENT. */
static int find_ours(int dir_fd, int *ret_count)
{
    uint32_t ids[64]; /* as many as the kernel lets be attached to one group */
    struct {
        union bpf_attr attr;
        char tail[64]; /* some kernels write members that older headers lack */
    } query = {.attr = zeroed()};
    query.attr.query.target_fd = (uint32_t)dir_fd;
    query.attr.query.attach_type = BPF_CGROUP_DEVICE;
    query.attr.query.prog_ids = address(ids);
    query.attr.query.prog_cnt = N_ELEMENTS(ids);
    int found = -ENOENT, r = bpf(BPF_PROG_QUERY, &query.attr);
    *ret_count = 0;
    for (uint32_t i = 0; r >= 0 && i < query.attr.query.prog_cnt; i++) {
        union bpf_attr by_id = zeroed();
        by_id.prog_id = ids[i];
        scoped_fd int fd = bpf(BPF_PROG_GET_FD_BY_ID, &by_id);
        if (fd < 0 || !is_ours(fd))
            continue; /* or the manager's, which we may not even be let see */
        ++*ret_count;
        if (found < 0)
            found = take_fd(&fd);
    }
    return found;
}

int devices_attached(int dir_fd)
{
    int count = 0;
    int fd = find_ours(dir_fd, &count);
    fd_close(&fd);
    return count;
}

static int attach(int prog_fd, int dir_fd, struct err *e)
{
    int count = 0;
    scoped_fd int old = find_ours(dir_fd, &count);
    union bpf_attr attr = zeroed();
    attr.target_fd = (uint32_t)dir_fd;
    attr.attach_bpf_fd = (uint32_t)prog_fd;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (old >= 0) {
        attr.attach_flags |= BPF_F_REPLACE;
        attr.replace_bpf_fd = (uint32_t)old;
    }
    int r = bpf(BPF_PROG_ATTACH, &attr);
    return r < 0 ? err_set(e, -r, "linux.resources.devices: attach the device program") : 0;
}

static int detach(int dir_fd, struct err *e)
{
    int count = 0;
    scoped_fd int old = find_ours(dir_fd, &count);
    if (old < 0)
        return 0;
    union bpf_attr attr = zeroed();
    attr.target_fd = (uint32_t)dir_fd;
    attr.attach_bpf_fd = (uint32_t)old;
    attr.attach_type = BPF_CGROUP_DEVICE;
    int r = bpf(BPF_PROG_DETACH, &attr);
    return r < 0 ? err_set(e, -r, "linux.resources.devices: detach the device program") : 0;
}

static int apply(const struct device_prog *p, int dir_fd, struct err *e)
{
    if (p->allows_all)
        return detach(dir_fd, e);
    scoped_fd int fd = device_prog_load(p, e);
    return fd < 0 ? fd : attach(fd, dir_fd, e);
}

int devices_check(const json_t *resources, struct err *e)
{
    struct resources res;
    struct device_prog p;
    int r = resources_parse(resources, &res, e);
    if (r < 0)
        return r;
    r = device_prog_build(res.devices, res.n_devices, &p, e);
    if (r == 0)
        device_prog_release(&p);
    resources_release(&res);
    return r;
}

int devices_apply(const json_t *resources, int dir_fd, bool update, struct err *e)
{
    struct resources res;
    struct device_prog p;
    int r = resources_parse(resources, &res, e);
    if (r < 0)
        return r;
    size_t n = res.n_devices;
    r = n == 0 && update ? 1 : device_prog_build(res.devices, n, &p, e);
    resources_release(&res);
    if (r != 0)
        return r < 0 ? r : 0;
    r = apply(&p, dir_fd, e);
    device_prog_release(&p);
    if (r < 0 && n == 0) { /* not asked for */
        log_debug("devices are not restricted: error %d", -r);
        err_clear(e);
        return 0;
    }
    return r < 0 ? err_hint(e, r,
                            "the kernel needs CONFIG_CGROUP_BPF, and we CAP_BPF and CAP_NET_ADMIN "
                            "or CAP_SYS_ADMIN")
                 : 0;
}
