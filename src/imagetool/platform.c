/* Which entry of an index runs on this machine. */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "imagetool/manifest.h"

#if defined(__x86_64__)
/* The x86-64 psABI's levels. */
static int cpu_level(void)
{
    __builtin_cpu_init();
    bool v2 = __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("sse4.2") &&
              __builtin_cpu_supports("ssse3");
    bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
              __builtin_cpu_supports("fma");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
    return v4 ? 4 : v3 ? 3 : v2 ? 2 : 1;
}
#endif

void platform_host(struct platform *ret)
{
    ret->os = "linux";
#if defined(__x86_64__)
    ret->architecture = "amd64";
    ret->variant = cpu_level();
#elif defined(__aarch64__)
    ret->architecture = "arm64";
    ret->variant = 8;
#elif defined(__arm__)
    struct utsname u;
    ret->architecture = "arm";
    ret->variant = uname(&u) == 0 && str_after(u.machine, "armv6") ? 6 : 7;
#elif defined(__i386__)
    ret->architecture = "386";
#elif defined(__riscv)
    ret->architecture = "riscv64";
#elif defined(__s390x__)
    ret->architecture = "s390x";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
    ret->architecture = "ppc64le";
#elif defined(__loongarch64)
    ret->architecture = "loong64";
#else
    ret->architecture = "unknown";
#endif
}

/* "v3" is 3, nothing is the architecture's base. -1: not understood. */
static int variant_level(const char *variant, const char *architecture)
{
    if (!variant || !variant[0])
        return streq(architecture, "amd64")   ? 1
               : streq(architecture, "arm64") ? 8
               : streq(architecture, "arm")   ? 7
                                              : 0;
    uint32_t level;
    const char *digits = str_after(variant, "v");
    return digits && parse_u32(digits, &level) == 0 && level < 100 ? (int)level : -1;
}

int platform_score(const struct descriptor *d, const struct platform *p)
{
    if (d->artifact_type || d->attestation)
        return 0;
    if (!d->os)
        return 1;
    if (!streq(d->os, p->os) || !streq(d->architecture, p->architecture))
        return 0;
    int level = variant_level(d->variant, d->architecture);
    if (level < 0 || level > p->variant)
        return 0;
    return 2 + level;
}

const struct descriptor *platform_choose(const struct descriptor *const *v, size_t n,
                                         const struct platform *p, struct err *e)
{
    const struct descriptor *best = NULL;
    int best_score = 0;
    scoped_str struct str there = STR_INIT;
    for (size_t i = 0; i < n; i++) {
        if (!v[i])
            continue;
        int score = platform_score(v[i], p);
        if (score > best_score) {
            best = v[i];
            best_score = score;
        }
        if (v[i]->os && !streq(v[i]->os, "unknown") && there.len < 300)
            str_addf(&there, "%s%s/%s%s%s", there.len ? ", " : "", v[i]->os, v[i]->architecture,
                     v[i]->variant ? "/" : "", v[i]->variant ? v[i]->variant : "");
    }
    if (!best)
        err_msg(e, ENOENT, "no image for %s/%s in it; there is: %s", p->os, p->architecture,
                there.len ? there.s : "none");
    return best;
}
