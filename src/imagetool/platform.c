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

static struct platform wanted; /* os NULL: the host's */

void platform_want(const struct platform *p)
{
    wanted = *p;
}

void platform_wanted(struct platform *ret)
{
    if (wanted.os)
        *ret = wanted;
    else
        platform_host(ret);
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

/* Go's name of an architecture, from others in use; *variant if that says one. */
static const char *arch_name(const char *text, const char **variant)
{
    static const char *const names[][3] = {
        {"x86_64", "amd64", NULL},
        {"x86-64", "amd64", NULL},
        {"aarch64", "arm64", NULL},
        {"armhf", "arm", "v7"},
        {"armv7l", "arm", "v7"},
        {"armel", "arm", "v6"},
        {"armv6l", "arm", "v6"},
        {"i386", "386", NULL},
        {"i686", "386", NULL},
        {"ppc64el", "ppc64le", NULL},
        {"loongarch64", "loong64", NULL},
    };

    for (size_t i = 0; text && i < N_ELEMENTS(names); i++) {
        if (!streq(text, names[i][0]))
            continue;
        if (!*variant)
            *variant = names[i][2];
        return names[i][1];
    }
    return text;
}

/* OS/ARCH[/VARIANT] in static memory: a program is asked for one platform. */
static int split(const char *text, char *ret[3], struct err *e)
{
    static char copy[128];
    size_t n = 0;

    if (strlen(text) < sizeof(copy)) {
        memcpy(copy, text, strlen(text) + 1);
        for (char *at = copy; at && n < 3; n++) {
            char *slash = strchr(at, '/');
            if (slash)
                *slash++ = '\0';
            ret[n] = at;
            at = slash;
            if (!ret[n][0] || (n == 2 && at))
                n = 3; /* one more than can be */
        }
    }
    if (n < 2 || n > 3)
        return err_hint(e, err_msg(e, EINVAL, "--platform %s: want OS/ARCH[/VARIANT]", text),
                        "for instance linux/arm64");
    return 0;
}

int platform_parse(const struct platform_words *w, struct platform *ret, struct err *e)
{
    struct platform host;
    char *part[3] = {NULL, NULL, NULL};
    const char *variant;
    int r = w->platform ? split(w->platform, part, e) : 0;

    if (r < 0)
        return r;
    platform_host(&host);
    *ret = host;
    variant = w->variant ? w->variant : part[2];
    ret->os = w->os ? w->os : part[0] ? part[0] : host.os;
    ret->architecture = arch_name(w->arch   ? w->arch
                                  : part[1] ? part[1]
                                            : host.architecture,
                                  &variant);
    if (!streq(ret->architecture, host.architecture) || variant)
        ret->variant = variant_level(variant, ret->architecture);
    if (ret->variant < 0)
        return err_msg(e, EINVAL, "variant %s is not known of %s", variant, ret->architecture);
    return 0;
}
