/* fields - linux.resources as structs. runtime-spec 1.2: config-linux.md, "Control groups" */
#pragma once

#include "base/err.h"
#include "base/jfield.h"

struct res_memory {
    int64_t limit, reservation, swap, kernel, kernel_tcp;
    uint64_t swappiness;
    bool has_swappiness, disable_oom_killer, has_use_hierarchy, use_hierarchy, check;
};
struct res_cpu {
    uint64_t shares, burst, period, rt_period;
    int64_t quota, rt_runtime, idle;
    char *cpus, *mems;
    bool has_burst, has_quota, has_idle;
};
struct res_pids {
    int64_t limit;
    bool has_limit;
};
struct res_weight { /* of one block device */
    int64_t major, minor;
    uint32_t weight, leaf_weight;
};
struct res_throttle {
    int64_t major, minor;
    uint64_t rate; /* bytes or operations per second; 0: none */
};
struct res_block_io {
    uint32_t weight, leaf_weight;
    struct res_weight *weights;
    struct res_throttle *read_bps, *write_bps, *read_iops, *write_iops;
    size_t n_weights, n_read_bps, n_write_bps, n_read_iops, n_write_iops;
};
struct res_hugepage {
    char *size;
    uint64_t limit;
};
struct res_priority {
    char *name;
    uint32_t priority;
};
struct res_network {
    uint32_t class_id;
    struct res_priority *priorities;
    size_t n_priorities;
};
struct res_rdma { /* of one interface */
    uint32_t handles, objects;
    bool has_handles, has_objects;
};
struct res_device { /* a rule */
    bool allow;
    char *type, *access;  /* NULL: every */
    int64_t major, minor; /* -1: every */
};

struct resources {
    struct res_memory *memory;
    struct res_cpu *cpu;
    struct res_pids *pids;
    struct res_block_io *block_io;
    struct res_hugepage *hugepages;
    struct res_network *network;
    struct res_device *devices;
    size_t n_hugepages, n_devices;
    json_t *rdma; /* an object of struct res_rdma */
    char **unified;
};

/* NULL and null: nothing is set. */
int resources_parse(const json_t *j, struct resources *ret, struct err *e);
void resources_release(struct resources *r);
int rdma_parse(const json_t *j, const char *name, struct res_rdma *ret, struct err *e);
