/* update - other limits for a container. The accepted ones are those of linux.resources. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "oci/oci.h"

struct update_opts {
    char *resources, *blkio_weight, *cpu_burst, *cpu_idle, *cpu_period, *cpu_quota, *cpu_rt_period;
    char *cpu_rt_runtime, *cpu_share, *cpuset_cpus, *cpuset_mems, *memory, *memory_reservation;
    char *memory_swap, *pids_limit, *kernel_memory, *kernel_memory_tcp, *l3_cache, *mem_bw;
};

#define O(m) offsetof(struct update_opts, m)
static const struct opt table[] = {
    {"blkio-weight", 0, OPT_STRING, O(blkio_weight), "WEIGHT", "I/O weight, 10 to 1000"},
    {"cpu-burst", 0, OPT_STRING, O(cpu_burst), "USEC", "CPU time that may be saved up"},
    {"cpu-idle", 0, OPT_STRING, O(cpu_idle), "0|1", "1: run only when nobody else wants to"},
    {"cpu-period", 0, OPT_STRING, O(cpu_period), "USEC", "Period of the CPU quota"},
    {"cpu-quota", 0, OPT_STRING, O(cpu_quota), "USEC", "CPU time in a period, -1: no limit"},
    {"cpu-rt-period", 0, OPT_STRING, O(cpu_rt_period), "USEC", "Refused: cgroup v2 has none",
     OPT_HIDDEN},
    {"cpu-rt-runtime", 0, OPT_STRING, O(cpu_rt_runtime), "USEC", "Refused: cgroup v2 has none",
     OPT_HIDDEN},
    {"cpu-share", 0, OPT_STRING, O(cpu_share), "SHARES", "CPU weight, 2 to 262144"},
    {"cpu-shares", 0, OPT_STRING, O(cpu_share), "SHARES", NULL, 0, "cpu-share"},
    {"cpuset-cpus", 0, OPT_STRING, O(cpuset_cpus), "LIST", "CPUs it may use: 0-3,7"},
    {"cpuset-mems", 0, OPT_STRING, O(cpuset_mems), "LIST", "Memory nodes it may use"},
    {"kernel-memory", 0, OPT_STRING, O(kernel_memory), "SIZE", "Part of --memory", OPT_IGNORED},
    {"kernel-memory-tcp", 0, OPT_STRING, O(kernel_memory_tcp), "SIZE", "Part of --memory",
     OPT_IGNORED},
    {"l3-cache-schema", 0, OPT_STRING, O(l3_cache), "SCHEMA", "Refused: no Intel RDT", OPT_HIDDEN},
    {"mem-bw-schema", 0, OPT_STRING, O(mem_bw), "SCHEMA", "Refused: no Intel RDT", OPT_HIDDEN},
    {"memory", 0, OPT_STRING, O(memory), "SIZE", "Memory limit, -1: none"},
    {"memory-reservation", 0, OPT_STRING, O(memory_reservation), "SIZE",
     "Memory that is taken from others first"},
    {"memory-swap", 0, OPT_STRING, O(memory_swap), "SIZE",
     "Memory and swap together, -1: no limit"},
    {"pids-limit", 0, OPT_STRING, O(pids_limit), "N", "Number of processes, -1: no limit"},
    {"resources", 'r', OPT_STRING, O(resources), "FILE",
     "linux.resources as JSON; - is standard input"},
    {NULL},
};

enum kind { TEXT, NUMBER, BYTES };

/* An option and the member it stands for. */
static const struct {
    const char *option;
    size_t value; /* in struct update_opts */
    enum kind kind;
    const char *section, *member;
} members[] = {
    {"blkio-weight", O(blkio_weight), NUMBER, "blockIO", "weight"},
    {"cpu-burst", O(cpu_burst), NUMBER, "cpu", "burst"},
    {"cpu-idle", O(cpu_idle), NUMBER, "cpu", "idle"},
    {"cpu-period", O(cpu_period), NUMBER, "cpu", "period"},
    {"cpu-quota", O(cpu_quota), NUMBER, "cpu", "quota"},
    {"cpu-rt-period", O(cpu_rt_period), NUMBER, "cpu", "realtimePeriod"},
    {"cpu-rt-runtime", O(cpu_rt_runtime), NUMBER, "cpu", "realtimeRuntime"},
    {"cpu-share", O(cpu_share), NUMBER, "cpu", "shares"},
    {"cpuset-cpus", O(cpuset_cpus), TEXT, "cpu", "cpus"},
    {"cpuset-mems", O(cpuset_mems), TEXT, "cpu", "mems"},
    {"memory", O(memory), BYTES, "memory", "limit"},
    {"memory-reservation", O(memory_reservation), BYTES, "memory", "reservation"},
    {"memory-swap", O(memory_swap), BYTES, "memory", "swap"},
    {"pids-limit", O(pids_limit), NUMBER, "pids", "limit"},
};

static const char *given(const struct update_opts *o, size_t value)
{
    return *(char *const *)((const char *)o + value);
}

static json_t *parse_value(enum kind kind, const char *text)
{
    int64_t number;
    uint64_t bytes;
    if (kind == TEXT)
        return json_string(text);
    if (parse_i64(text, &number) == 0)
        return json_integer(number);
    if (kind == BYTES && parse_size(text, &bytes) == 0 && bytes <= INT64_MAX)
        return json_integer((json_int_t)bytes);
    return NULL;
}

static int from_options(const struct update_opts *o, json_t *to, struct err *e)
{
    for (size_t i = 0; i < N_ELEMENTS(members); i++) {
        const char *text = given(o, members[i].value);
        if (!text || !*text) /* docker gives empty ones for what does not change */
            continue;
        json_t *value = parse_value(members[i].kind, text);
        if (!value)
            return err_msg(e, EINVAL, "--%s %s: want a %s", members[i].option, text,
                           members[i].kind == BYTES ? "size such as 64m, or -1" : "number");
        json_t *section = json_object_get(to, members[i].section);
        if (!section) {
            section = json_object();
            json_object_set_new(to, members[i].section, section);
        }
        json_object_set_new(section, members[i].member, value);
    }
    if (o->l3_cache || o->mem_bw)
        return err_msg(e, ENOTSUP, "--%s: Intel RDT is not supported",
                       o->l3_cache ? "l3-cache-schema" : "mem-bw-schema");
    return json_object_size(to) ? 0 : err_msg(e, EINVAL, "no limit is given");
}

/* The rules for devices stay as they were made: an update must not widen them. */
static int from_file(const char *file, json_t **ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = streq(file, "-") ? fs_read_fd(STDIN_FILENO, SPEC_MAX_BYTES, &text, e)
                                 : fs_read(AT_FDCWD, file, SPEC_MAX_BYTES, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "--resources");
    scoped_json json_t *j = json_parse(text, (size_t)n, SPEC_MAX_BYTES, file, e);
    if (!j)
        return err_add(e, -EINVAL, "--resources");
    if (!json_is_object(j))
        return err_msg(e, EINVAL, "--resources %s: want an object", file);
    json_object_del(j, "devices");
    *ret = json_incref(j);
    return 0;
}

/* What update changes replaces what the configuration said, member by member. */
static void merge(json_t *into, json_t *from)
{
    const char *key;
    json_t *value;
    json_object_foreach(from, key, value)
    {
        json_t *old = json_object_get(into, key);
        if (json_is_object(old) && json_is_object(value))
            merge(old, value);
        else if (!json_is_null(value))
            json_object_set(into, key, value);
    }
}

/* exec and a later update go by the configuration that is kept. */
static int keep(const struct oci_container *c, json_t *resources, struct err *e)
{
    scoped_spec struct spec spec = {0};
    int r = oci_read_spec(c, &spec, e);
    if (r < 0)
        return r;
    if (!json_is_object(spec.linux_->resources)) {
        json_decref(spec.linux_->resources);
        spec.linux_->resources = json_object();
    }
    merge(spec.linux_->resources, resources);
    return oci_write_spec(c, &spec, e);
}

static int update(const char *id, json_t *resources, struct err *e)
{
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    scoped_cgroup struct cgroup *cgroup = NULL;
    int r = oci_open_locked(id, &c, e);
    if (r == 0)
        r = oci_want_running(&c, true, e);
    if (r == 0)
        r = oci_open_cgroup(&c, &cgroup, e);
    if (r < 0)
        return r;
    r = cgroup_update(cgroup, resources, e);
    return r < 0 ? r : keep(&c, resources, e);
}

static int update_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct update_opts *o = opts;
    scoped_json json_t *resources = NULL;
    int r;
    (void)cmd;
    if (o->resources && *o->resources) {
        r = from_file(o->resources, &resources, e);
    } else {
        resources = json_object();
        r = from_options(o, resources, e);
    }
    if (r == 0)
        r = update(args[0], resources, e);
    return r < 0 ? err_add(e, r, "update %s", args[0]) : 0;
}

const struct cmd oci_cmd_update = {
    .name = "update",
    .args = "ID",
    .summary = "Change the limits of a container",
    .opts = table,
    .opts_size = sizeof(struct update_opts),
    .min_args = 1,
    .max_args = 1,
    .run = update_command,
    .details = "With --resources the other options do not count, and its \"devices\" neither.",
    .examples = "rootlet-oci update --memory 512m --pids-limit 200 web\n"
                "rootlet-oci update -r limits.json web",
};
