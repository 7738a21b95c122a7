/* fuzz-seccomp - profiles from JSON to BPF: no crash, every program valid, and the rewritten
 * program answers as libseccomp's for 1,024 numbers and a few arguments. */
#include <linux/audit.h>
#include <stdlib.h>

#include "base/strv.h"
#include "security/bpf.h"
#include "security/profile.h"
#include "security/seccomp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const struct seccomp_prog *a, const struct seccomp_prog *b)
{
    static const uint64_t args[] = {0, 1, 38, 0x5412, 0x100005412, 0x7e020000, UINT64_MAX};
    static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386};
    for (int nr = 0; nr < 1024; nr++) {
        for (size_t i = 0; i < N_ELEMENTS(args) * N_ELEMENTS(arches); i++) {
            uint64_t v = args[i % N_ELEMENTS(args)];
            struct seccomp_data d = {
                .nr = nr, .arch = arches[i / N_ELEMENTS(args)], .args = {v, v, v, v, v, v}};
            if (bpf_eval(a->insns, a->n, &d, NULL) != bpf_eval(b->insns, b->n, &d, NULL))
                abort();
        }
    }
}

static void compile(const struct profile *p)
{
    struct seccomp_prog plain = {0}, ours = {0};
    struct profile_target t = {.caps = 0x421, .kernel = "5.13", .plain = true};
    if (profile_compile(p, &t, &plain, NULL) < 0)
        return;
    t.plain = false;
    if (profile_compile(p, &t, &ours, NULL) < 0 || !bpf_valid(plain.insns, plain.n) ||
        !bpf_valid(ours.insns, ours.n))
        abort();
    compare(&plain, &ours);
    seccomp_prog_release(&plain);
    seccomp_prog_release(&ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    scoped_strv char **warnings = NULL;
    scoped_profile struct profile p = {0};
    scoped_json json_t *doc = json_parse((const char *)data, size, PROFILE_MAX_BYTES, "fuzz", &e);
    if (doc && profile_parse(doc, &p, &warnings, &e) == 0)
        compile(&p);
    return 0;
}
