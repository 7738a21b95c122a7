/* validate-raw - the types inside the parts of "linux" that stay JSON in struct spec: each is read
 * into a struct that is thrown away, so that a mistake is named when the configuration is read
 * and not when a limit is set. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "spec/tables.h"

/* Storage for any field of a table here: the values are of no interest, only their types. Every
 * row gets a place of its own, as owned ones are freed again. */
struct scratch {
    void *p[16];
    size_t n[16];
};

#define ROW(json, type, i, flags)                                                                  \
    {                                                                                              \
        json, type, offsetof(struct scratch, p[i]), flags                                          \
    }
#define SUB(json, i, table)                                                                        \
    {                                                                                              \
        json, J_POINTER, offsetof(struct scratch, p[i]), .sub = (table),                           \
                                                         .sub_size = sizeof(struct scratch)        \
    }
#define SUBS(json, i, table)                                                                       \
    {                                                                                              \
        json, J_ARRAY, offsetof(struct scratch, p[i]),                                             \
            .sub = (table), .sub_size = sizeof(struct scratch),                                    \
            .count_offset = offsetof(struct scratch, n[i])                                         \
    }

static const struct jfield device_rule_fields[] = {
    ROW("allow", J_BOOL, 0, JF_REQUIRED), ROW("type", J_STRING, 1, 0),
    ROW("major", J_INT64, 2, 0),          ROW("minor", J_INT64, 3, 0),
    ROW("access", J_STRING, 4, 0),        {0},
};

static const struct jfield memory_fields[] = {
    ROW("limit", J_INT64, 0, 0),
    ROW("reservation", J_INT64, 1, 0),
    ROW("swap", J_INT64, 2, 0),
    ROW("kernel", J_INT64, 3, 0),
    ROW("kernelTCP", J_INT64, 4, 0),
    ROW("swappiness", J_UINT64, 5, 0),
    ROW("disableOOMKiller", J_BOOL, 6, 0),
    ROW("useHierarchy", J_BOOL, 7, 0),
    ROW("checkBeforeUpdate", J_BOOL, 8, 0),
    {0},
};

static const struct jfield cpu_fields[] = {
    ROW("shares", J_UINT64, 0, 0),
    ROW("quota", J_INT64, 1, 0),
    ROW("burst", J_UINT64, 2, 0),
    ROW("period", J_UINT64, 3, 0),
    ROW("realtimeRuntime", J_INT64, 4, 0),
    ROW("realtimePeriod", J_UINT64, 5, 0),
    ROW("cpus", J_STRING, 6, 0),
    ROW("mems", J_STRING, 7, 0),
    ROW("idle", J_INT64, 8, 0),
    {0},
};

static const struct jfield pids_fields[] = {ROW("limit", J_INT64, 0, 0), {0}};

static const struct jfield weight_fields[] = {
    ROW("major", J_INT64, 0, JF_REQUIRED),
    ROW("minor", J_INT64, 1, JF_REQUIRED),
    ROW("weight", J_UINT32, 2, 0),
    ROW("leafWeight", J_UINT32, 3, 0),
    {0},
};

static const struct jfield throttle_fields[] = {
    ROW("major", J_INT64, 0, JF_REQUIRED),
    ROW("minor", J_INT64, 1, JF_REQUIRED),
    ROW("rate", J_UINT64, 2, JF_REQUIRED),
    {0},
};

static const struct jfield block_io_fields[] = {
    ROW("weight", J_UINT32, 0, 0),
    ROW("leafWeight", J_UINT32, 1, 0),
    SUBS("weightDevice", 2, weight_fields),
    SUBS("throttleReadBpsDevice", 3, throttle_fields),
    SUBS("throttleWriteBpsDevice", 4, throttle_fields),
    SUBS("throttleReadIOPSDevice", 5, throttle_fields),
    SUBS("throttleWriteIOPSDevice", 6, throttle_fields),
    {0},
};

static const struct jfield hugepage_fields[] = {
    ROW("pageSize", J_STRING, 0, JF_REQUIRED),
    ROW("limit", J_UINT64, 1, JF_REQUIRED),
    {0},
};

static const struct jfield priority_fields[] = {
    ROW("name", J_STRING, 0, JF_REQUIRED),
    ROW("priority", J_UINT32, 1, JF_REQUIRED),
    {0},
};

static const struct jfield network_fields[] = {
    ROW("classID", J_UINT32, 0, 0),
    SUBS("priorities", 1, priority_fields),
    {0},
};

static const struct jfield resources_fields[] = {
    SUBS("devices", 0, device_rule_fields),
    SUB("memory", 1, memory_fields),
    SUB("cpu", 2, cpu_fields),
    SUB("pids", 3, pids_fields),
    SUB("blockIO", 4, block_io_fields),
    SUBS("hugepageLimits", 5, hugepage_fields),
    SUB("network", 6, network_fields),
    ROW("rdma", J_RAW, 7, 0),
    ROW("unified", J_MAP, 8, 0),
    {0},
};

static const struct jfield rdma_fields[] = {
    ROW("hcaHandles", J_UINT32, 0, 0),
    ROW("hcaObjects", J_UINT32, 1, 0),
    {0},
};

static const struct jfield personality_fields[] = {
    ROW("domain", J_STRING, 0, JF_REQUIRED),
    ROW("flags", J_STRV, 1, 0),
    {0},
};

static const struct jfield offset_fields[] = {
    ROW("secs", J_INT64, 0, 0),
    ROW("nanosecs", J_UINT32, 1, 0),
    {0},
};

static const struct jfield rdt_fields[] = {
    ROW("closID", J_STRING, 0, 0),         ROW("schemata", J_STRV, 1, 0),
    ROW("l3CacheSchema", J_STRING, 2, 0),  ROW("memBwSchema", J_STRING, 3, 0),
    ROW("enableMonitoring", J_BOOL, 4, 0), {0},
};

static const struct jfield net_device_fields[] = {ROW("name", J_STRING, 0, 0), {0}};

static const struct jfield memory_policy_fields[] = {
    ROW("mode", J_STRING, 0, JF_REQUIRED),
    ROW("nodes", J_STRING, 1, 0),
    ROW("flags", J_STRV, 2, 0),
    {0},
};

static int check_types(const json_t *j, const struct jfield *table, const char *path, struct err *e)
{
    struct scratch s = {0};
    if (json_is_null(j) || !j)
        return 0;
    int r = jfield_parse(j, table, path, &s, e);
    if (r == 0)
        jfield_release(table, &s);
    return r;
}

/* An object whose members are all of one kind. */
static int check_members(const json_t *j, const struct jfield *table, const char *path,
                         struct err *e)
{
    const char *key;
    json_t *value;
    if (j && !json_is_null(j) && !json_is_object(j))
        return err_msg(e, EINVAL, "%s: want an object", path);
    json_object_foreach((json_t *)j, key, value)
    {
        scoped_free char *at = xasprintf("%s[\"%.64s\"]", path, key);
        int r = check_types(value, table, at, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static const char *text_of(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

static int check_resources(const json_t *j, struct err *e)
{
    int r = check_types(j, resources_fields, "linux.resources", e);
    if (r == 0)
        r = check_members(json_object_get(j, "rdma"), rdma_fields, "linux.resources.rdma", e);
    if (r < 0)
        return r;
    const json_t *cpu = json_object_get(j, "cpu");
    for (const char *const *key = (const char *const[]){"cpus", "mems", NULL}; *key; key++) {
        const char *list = text_of(cpu, *key);
        if (*list && !spec_is_cpu_list(list))
            return err_msg(e, EINVAL, "linux.resources.cpu.%s: want numbers like 0-3,7", *key);
    }
    size_t i;
    json_t *rule;
    json_array_foreach(json_object_get(j, "devices"), i, rule)
    {
        const char *type = text_of(rule, "type"), *access = text_of(rule, "access");
        if (strlen(type) > 1 || !strchr("abcup", *type))
            return err_msg(e, EINVAL,
                           "linux.resources.devices[%zu].type: want \"a\", \"b\" or \"c\"", i);
        if (access[strspn(access, "rwm")])
            return err_msg(e, EINVAL,
                           "linux.resources.devices[%zu].access: want letters of \"rwm\"", i);
    }
    return 0;
}

static int check_clocks(const json_t *j, struct err *e)
{
    int r = check_members(j, offset_fields, "linux.timeOffsets", e);
    if (r < 0)
        return r;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)j, key, value)
    {
        if (!streq(key, "boottime") && !streq(key, "monotonic"))
            return err_msg(e, EINVAL,
                           "linux.timeOffsets[\"%.64s\"]: want \"boottime\" or \"monotonic\"", key);
        if (json_integer_value(json_object_get(value, "nanosecs")) > 999999999)
            return err_msg(e, EINVAL, "linux.timeOffsets.%s.nanosecs: want less than 1000000000",
                           key);
    }
    return 0;
}

static int check_personality(const json_t *j, struct err *e)
{
    int r = check_types(j, personality_fields, "linux.personality", e);
    if (r < 0 || !json_is_object(j))
        return r;
    const char *domain = text_of(j, "domain");
    if (!streq(domain, "LINUX") && !streq(domain, "LINUX32"))
        return err_msg(e, EINVAL, "linux.personality.domain: want \"LINUX\" or \"LINUX32\"");
    if (json_array_size(json_object_get(j, "flags")))
        return err_msg(e, EINVAL, "linux.personality.flags: none is defined");
    return 0;
}

static int check_memory_policy(const json_t *j, struct err *e)
{
    static const char *const modes[] = {
        "MPOL_DEFAULT",   "MPOL_BIND",           "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
        "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL",      NULL,
    };
    static const char *const flags[] = {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
                                        "MPOL_F_STATIC_NODES", NULL};
    int r = check_types(j, memory_policy_fields, "linux.memoryPolicy", e);
    if (r < 0 || !json_is_object(j))
        return r;
    if (!spec_known(modes, text_of(j, "mode")))
        return err_msg(e, EINVAL, "linux.memoryPolicy.mode: \"%s\" is no mode", text_of(j, "mode"));
    const char *nodes = text_of(j, "nodes");
    if (*nodes && !spec_is_cpu_list(nodes))
        return err_msg(e, EINVAL, "linux.memoryPolicy.nodes: want numbers like 0-3,7");
    size_t i;
    json_t *flag;
    json_array_foreach(json_object_get(j, "flags"), i, flag)
    {
        if (!spec_known(flags, json_string_value(flag)))
            return err_msg(e, EINVAL, "linux.memoryPolicy.flags[%zu]: is no flag", i);
    }
    return 0;
}

static int check_rdt(const json_t *j, struct err *e)
{
    int r = check_types(j, rdt_fields, "linux.intelRdt", e);
    if (r < 0 || !json_is_object(j))
        return r;
    const char *bandwidth = text_of(j, "memBwSchema");
    if (*bandwidth && (!str_after(bandwidth, "MB:") || strchr(bandwidth, '\n')))
        return err_msg(e, EINVAL, "linux.intelRdt.memBwSchema: want one line that begins with MB:");
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(j, "schemata"), i, line)
    {
        if (strchr(json_string_value(line), '\n'))
            return err_msg(e, EINVAL, "linux.intelRdt.schemata[%zu]: want one line", i);
    }
    return 0;
}

static int check_net_devices(const json_t *j, struct err *e)
{
    int r = check_members(j, net_device_fields, "linux.netDevices", e);
    if (r < 0)
        return r;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)j, key, value)
    {
        const char *name = text_of(value, "name");
        /* IFNAMSIZ with its terminator */
        if (!*key || strlen(key) > 15 || strlen(name) > 15 || strchr(name, '/'))
            return err_msg(e, EINVAL, "linux.netDevices[\"%.64s\"]: want interface names", key);
    }
    return 0;
}

int spec_check_raw(const struct spec_linux *l, struct err *e)
{
    int r = check_resources(l->resources, e);
    if (r == 0)
        r = check_personality(l->personality, e);
    if (r == 0)
        r = check_clocks(l->time_offsets, e);
    if (r == 0)
        r = check_net_devices(l->net_devices, e);
    if (r == 0)
        r = check_memory_policy(l->memory_policy, e);
    return r < 0 ? r : check_rdt(l->intel_rdt, e);
}
