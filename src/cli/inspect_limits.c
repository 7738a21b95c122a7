/* inspect_limits - the limits of a container in docker's words. They are read from its
 * configuration, which update changes too. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/inspect.h"

static json_int_t number(const json_t *section, const char *member)
{
    return json_integer_value(json_object_get(section, member));
}

static void put_number(json_t *j, const char *key, json_int_t value)
{
    json_object_set_new(j, key, json_integer(value));
}

/* "No limit" is 0, as docker has it. */
static void put_limit(json_t *j, const char *key, const json_t *section, const char *member)
{
    json_int_t value = number(section, member);
    put_number(j, key, value > 0 ? value : 0);
}

static void put_text(json_t *j, const char *key, const json_t *section, const char *member)
{
    const char *text = json_string_value(json_object_get(section, member));
    json_object_set_new(j, key, json_string(text ? text : ""));
}

static void add_cpu(const json_t *cpu, json_t *j)
{
    json_int_t quota = number(cpu, "quota"), period = number(cpu, "period");
    put_limit(j, "CpuShares", cpu, "shares");
    put_limit(j, "CpuQuota", cpu, "quota");
    put_limit(j, "CpuPeriod", cpu, "period");
    bool both = quota > 0 && period > 0 && quota < INT64_MAX / 1000000;
    put_number(j, "NanoCpus", both ? quota * 1000000 / period * 1000 : 0);
    put_text(j, "CpusetCpus", cpu, "cpus");
    put_text(j, "CpusetMems", cpu, "mems");
}

/* The name of the device in /dev now; its number when it has none. */
static json_t *device_path(const json_t *entry)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof(path), "/sys/dev/block/%lld:%lld", (long long)number(entry, "major"),
             (long long)number(entry, "minor"));
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    target[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(target, '/');
    return slash ? json_sprintf("/dev/%s", slash + 1)
                 : json_string(path + strlen("/sys/dev/block/"));
}

static void add_devices(json_t *j, const char *key, const json_t *list, const char *member,
                        const char *name)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        json_t *one = json_pack("{s:o}", "Path", device_path(entry));
        put_number(one, name, number(entry, member));
        json_array_append_new(out, one);
    }
    json_object_set_new(j, key, out);
}

static void add_block_io(const json_t *io, json_t *j)
{
    static const struct {
        const char *key, *list, *member, *name;
    } lists[] = {
        {"BlkioWeightDevice", "weightDevice", "weight", "Weight"},
        {"BlkioDeviceReadBps", "throttleReadBpsDevice", "rate", "Rate"},
        {"BlkioDeviceWriteBps", "throttleWriteBpsDevice", "rate", "Rate"},
        {"BlkioDeviceReadIOps", "throttleReadIOPSDevice", "rate", "Rate"},
        {"BlkioDeviceWriteIOps", "throttleWriteIOPSDevice", "rate", "Rate"},
    };
    put_limit(j, "BlkioWeight", io, "weight");
    for (size_t i = 0; i < N_ELEMENTS(lists); i++)
        add_devices(j, lists[i].key, json_object_get(io, lists[i].list), lists[i].member,
                    lists[i].name);
}

void inspect_limits(const struct ctr_record *rec, const struct spec *spec, json_t *j)
{
    const json_t *all = spec->linux_ ? spec->linux_->resources : NULL;
    const json_t *memory = json_object_get(all, "memory");
    put_limit(j, "Memory", memory, "limit");
    put_limit(j, "MemoryReservation", memory, "reservation");
    put_number(j, "MemorySwap", number(memory, "swap"));
    add_cpu(json_object_get(all, "cpu"), j);
    put_limit(j, "PidsLimit", json_object_get(all, "pids"), "limit");
    add_block_io(json_object_get(all, "blockIO"), j);
    json_t *conf = json_object_get(all, "unified");
    json_object_set_new(j, "CgroupConf", conf ? json_deep_copy(conf) : json_object());
    json_t *huge = json_object_get(all, "hugepageLimits");
    json_object_set_new(j, "HugepageLimits", huge ? json_deep_copy(huge) : json_array());
    json_object_set_new(j, "CgroupParent",
                        json_string(rec->cgroup_parent ? rec->cgroup_parent : ""));
    json_object_set_new(j, "OomKillDisable", json_false());
}
