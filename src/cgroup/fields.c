/* fields - the members of linux.resources. */
#include "cgroup/fields.h"

#include "base/str.h"

#define FIELD(T, json, type, member, flags)                                                        \
    {                                                                                              \
        json, type, offsetof(struct T, member), flags                                              \
    }
/* A member whose absence differs from 0. */
#define OPTIONAL(T, json, type, member)                                                            \
    {                                                                                              \
        json, type, offsetof(struct T, member), .set_offset = offsetof(struct T, has_##member)     \
    }
#define OBJECT(json, member, table)                                                                \
    {                                                                                              \
        json, J_POINTER, offsetof(struct resources, member),                                       \
            .sub = (table), .sub_size = sizeof(*((struct resources *)0)->member)                   \
    }
#define LIST(T, json, member, table)                                                               \
    {                                                                                              \
        json, J_ARRAY, offsetof(struct T, member), .sub = (table),                                 \
                                                   .sub_size = sizeof(*((struct T *)0)->member),   \
                                                   .count_offset = offsetof(struct T, n_##member)  \
    }

static const struct jfield memory_fields[] = {
    FIELD(res_memory, "limit", J_INT64, limit, 0),
    FIELD(res_memory, "reservation", J_INT64, reservation, 0),
    FIELD(res_memory, "swap", J_INT64, swap, 0),
    FIELD(res_memory, "kernel", J_INT64, kernel, 0),
    FIELD(res_memory, "kernelTCP", J_INT64, kernel_tcp, 0),
    OPTIONAL(res_memory, "swappiness", J_UINT64, swappiness),
    FIELD(res_memory, "disableOOMKiller", J_BOOL, disable_oom_killer, 0),
    OPTIONAL(res_memory, "useHierarchy", J_BOOL, use_hierarchy),
    FIELD(res_memory, "checkBeforeUpdate", J_BOOL, check, 0),
    {0},
};

static const struct jfield cpu_fields[] = {
    FIELD(res_cpu, "shares", J_UINT64, shares, 0),
    OPTIONAL(res_cpu, "quota", J_INT64, quota),
    OPTIONAL(res_cpu, "burst", J_UINT64, burst),
    FIELD(res_cpu, "period", J_UINT64, period, 0),
    FIELD(res_cpu, "realtimeRuntime", J_INT64, rt_runtime, 0),
    FIELD(res_cpu, "realtimePeriod", J_UINT64, rt_period, 0),
    FIELD(res_cpu, "cpus", J_STRING, cpus, 0),
    FIELD(res_cpu, "mems", J_STRING, mems, 0),
    OPTIONAL(res_cpu, "idle", J_INT64, idle),
    {0},
};

static const struct jfield pids_fields[] = {OPTIONAL(res_pids, "limit", J_INT64, limit), {0}};

static const struct jfield weight_fields[] = {
    FIELD(res_weight, "major", J_INT64, major, JF_REQUIRED),
    FIELD(res_weight, "minor", J_INT64, minor, JF_REQUIRED),
    FIELD(res_weight, "weight", J_UINT32, weight, 0),
    FIELD(res_weight, "leafWeight", J_UINT32, leaf_weight, 0),
    {0},
};

static const struct jfield throttle_fields[] = {
    FIELD(res_throttle, "major", J_INT64, major, JF_REQUIRED),
    FIELD(res_throttle, "minor", J_INT64, minor, JF_REQUIRED),
    FIELD(res_throttle, "rate", J_UINT64, rate, JF_REQUIRED),
    {0},
};

static const struct jfield block_io_fields[] = {
    FIELD(res_block_io, "weight", J_UINT32, weight, 0),
    FIELD(res_block_io, "leafWeight", J_UINT32, leaf_weight, 0),
    LIST(res_block_io, "weightDevice", weights, weight_fields),
    LIST(res_block_io, "throttleReadBpsDevice", read_bps, throttle_fields),
    LIST(res_block_io, "throttleWriteBpsDevice", write_bps, throttle_fields),
    LIST(res_block_io, "throttleReadIOPSDevice", read_iops, throttle_fields),
    LIST(res_block_io, "throttleWriteIOPSDevice", write_iops, throttle_fields),
    {0},
};

static const struct jfield hugepage_fields[] = {
    FIELD(res_hugepage, "pageSize", J_STRING, size, JF_REQUIRED),
    FIELD(res_hugepage, "limit", J_UINT64, limit, JF_REQUIRED),
    {0},
};

static const struct jfield priority_fields[] = {
    FIELD(res_priority, "name", J_STRING, name, JF_REQUIRED),
    FIELD(res_priority, "priority", J_UINT32, priority, JF_REQUIRED),
    {0},
};

static const struct jfield network_fields[] = {
    FIELD(res_network, "classID", J_UINT32, class_id, 0),
    LIST(res_network, "priorities", priorities, priority_fields),
    {0},
};

static const struct jfield rdma_fields[] = {
    OPTIONAL(res_rdma, "hcaHandles", J_UINT32, handles),
    OPTIONAL(res_rdma, "hcaObjects", J_UINT32, objects),
    {0},
};

static const struct jfield device_fields[] = {
    FIELD(res_device, "allow", J_BOOL, allow, 0),     FIELD(res_device, "type", J_STRING, type, 0),
    FIELD(res_device, "major", J_INT64, major, 0),    FIELD(res_device, "minor", J_INT64, minor, 0),
    FIELD(res_device, "access", J_STRING, access, 0), {0},
};

static const struct jfield resources_fields[] = {
    LIST(resources, "devices", devices, device_fields),
    OBJECT("memory", memory, memory_fields),
    OBJECT("cpu", cpu, cpu_fields),
    OBJECT("pids", pids, pids_fields),
    OBJECT("blockIO", block_io, block_io_fields),
    LIST(resources, "hugepageLimits", hugepages, hugepage_fields),
    OBJECT("network", network, network_fields),
    FIELD(resources, "rdma", J_RAW, rdma, 0),
    FIELD(resources, "unified", J_MAP, unified, 0),
    {0},
};

int resources_parse(const json_t *j, struct resources *ret, struct err *e)
{
    struct resources r = {0};
    int rc =
        j && !json_is_null(j) ? jfield_parse(j, resources_fields, "linux.resources", &r, e) : 0;
    if (rc < 0)
        return rc;
    /* The tables know no default but 0, which is a device number. */
    size_t i;
    json_t *rule;
    json_array_foreach(json_object_get(j, "devices"), i, rule)
    {
        if (i >= r.n_devices)
            break;
        if (!json_is_integer(json_object_get(rule, "major")))
            r.devices[i].major = -1;
        if (!json_is_integer(json_object_get(rule, "minor")))
            r.devices[i].minor = -1;
    }
    *ret = r;
    return 0;
}

void resources_release(struct resources *r)
{
    jfield_release(resources_fields, r);
}

int rdma_parse(const json_t *j, const char *name, struct res_rdma *ret, struct err *e)
{
    scoped_free char *path = xasprintf("linux.resources.rdma[\"%.64s\"]", name);
    *ret = (struct res_rdma){0};
    return jfield_parse(j, rdma_fields, path, ret, e);
}
