/* Which processors and which memory: execCPUAffinity, memoryPolicy. sched_setaffinity(2),
 * set_mempolicy(2) */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "base/str.h"
#include "engine/engine-priv.h"

#define WORD_BITS (8 * sizeof(unsigned long))

/* A number at *s, which then points behind it. -EINVAL when there is none or it is too high. */
static int number(const char **s, unsigned *ret)
{
    unsigned long n = 0;
    const char *from = *s;
    for (; **s >= '0' && **s <= '9' && n < NUMA_MAX; (*s)++)
        n = n * 10 + (unsigned long)(**s - '0');
    if (*s == from || n >= NUMA_MAX)
        return -EINVAL;
    *ret = (unsigned)n;
    return 0;
}

int numa_parse(const char *text, struct numa_set *ret)
{
    struct numa_set set = {.bits = {0}};
    const char *s = text;
    if (!*s)
        return -EINVAL;
    while (*s) {
        unsigned from, to;
        if (number(&s, &from) < 0)
            return -EINVAL;
        to = from;
        if (*s == '-' && (s++, number(&s, &to) < 0 || to < from))
            return -EINVAL;
        for (unsigned i = from; i <= to; i++)
            set.bits[i / WORD_BITS] |= 1UL << (i % WORD_BITS);
        if (*s && (*s != ',' || !*++s))
            return -EINVAL;
    }
    *ret = set;
    return 0;
}

int numa_run_on(const char *cpus, const char *member, struct err *e)
{
    struct numa_set set;
    if (!cpus || !*cpus)
        return 0;
    if (numa_parse(cpus, &set) < 0)
        return err_msg(e, EINVAL, "process.execCPUAffinity.%s: \"%s\" is no list of processors",
                       member, cpus);
    /* The raw call: libc's set has a fixed size. */
    if (syscall(SYS_sched_setaffinity, 0, sizeof(set.bits), set.bits) < 0)
        return err_set(e, errno, "process.execCPUAffinity.%s: run on \"%s\"", member, cpus);
    return 0;
}

struct word {
    const char *name;
    unsigned value;
};

static int find(const struct word *v, size_t n, const char *name, unsigned *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (streq(v[i].name, name)) {
            *ret |= v[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

int numa_memory_policy(const json_t *j, struct err *e)
{
    /* <linux/mempolicy.h> */
    static const struct word modes[] = {
        {"MPOL_DEFAULT", 0},
        {"MPOL_PREFERRED", 1},
        {"MPOL_BIND", 2},
        {"MPOL_INTERLEAVE", 3},
        {"MPOL_LOCAL", 4},
        {"MPOL_PREFERRED_MANY", 5},
        {"MPOL_WEIGHTED_INTERLEAVE", 6},
    };
    static const struct word flags[] = {
        {"MPOL_F_NUMA_BALANCING", 1U << 13},
        {"MPOL_F_RELATIVE_NODES", 1U << 14},
        {"MPOL_F_STATIC_NODES", 1U << 15},
    };
    const char *name = json_string_value(json_object_get(j, "mode"));
    const char *nodes = json_string_value(json_object_get(j, "nodes"));
    unsigned mode = 0;
    struct numa_set set = {.bits = {0}};
    size_t i;
    json_t *flag;
    if (!name || find(modes, N_ELEMENTS(modes), name, &mode) < 0)
        return err_msg(e, EINVAL, "linux.memoryPolicy.mode: unknown \"%s\"", name ? name : "");
    json_array_foreach(json_object_get(j, "flags"), i, flag)
    {
        const char *word = json_string_value(flag);
        if (!word || find(flags, N_ELEMENTS(flags), word, &mode) < 0)
            return err_msg(e, EINVAL, "linux.memoryPolicy.flags: unknown \"%s\"", word ? word : "");
    }
    bool any = nodes && *nodes;
    if (any && numa_parse(nodes, &set) < 0)
        return err_msg(e, EINVAL, "linux.memoryPolicy.nodes: \"%s\" is no list of nodes", nodes);
    /* The kernel counts one bit less than it is told. */
    if (syscall(SYS_set_mempolicy, mode, any ? set.bits : NULL, any ? NUMA_MAX + 1UL : 0) < 0)
        return err_hint(
            e,
            err_set(e, errno, "linux.memoryPolicy: %s of nodes \"%s\"", name, nodes ? nodes : ""),
            "/sys/devices/system/node/has_memory lists the nodes of this host");
    return 0;
}
