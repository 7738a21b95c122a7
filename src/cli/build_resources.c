/* build_resources - the options that limit memory, CPU and processes as linux.resources of the OCI
 * configuration (runtime-spec config-linux.md, "Control groups"). Their words, units and refusals
 * are docker's where it has them. cgroup-v2.rst says what the files do. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/str.h"
#include "base/strv.h"
#include "cli/build_limits.h"

#define MEMORY_MIN (6u << 20) /* docker's: below it not even the container's start fits */
#define CPU_PERIOD 100000     /* the kernel's default, microseconds */
#define PIDS_LIMIT "2048"     /* podman's and docker's default */

json_t *limits_section(json_t *to, const char *name)
{
    json_t *section = json_object_get(to, name);
    if (!json_is_object(section)) {
        section = json_object();
        json_object_set_new(to, name, section);
    }
    return section;
}

static void set_number(json_t *to, const char *section, const char *member, int64_t value)
{
    json_object_set_new(limits_section(to, section), member, json_integer((json_int_t)value));
}

/* 0 when there is none. */
static int64_t get_number(const json_t *resources, const char *section, const char *member)
{
    return json_integer_value(json_object_get(json_object_get(resources, section), member));
}

int limits_number(const char *option, const char *text, int64_t *ret, struct err *e)
{
    if (parse_i64(text, ret) == 0 && *ret >= -1)
        return 0;
    return err_msg(e, EINVAL, "%s %s: want a number, or -1 for no limit", option, text);
}

int limits_size(const char *option, const char *text, int64_t *ret, struct err *e)
{
    uint64_t bytes;
    if (streq(text, "-1") || (parse_size(text, &bytes) == 0 && bytes == 0)) {
        *ret = -1;
        return 0;
    }
    if (parse_size(text, &bytes) < 0 || bytes > INT64_MAX)
        return err_msg(e, EINVAL, "%s %s: want a size such as 64m or 1.5g, or -1 for no limit",
                       option, text);
    *ret = (int64_t)bytes;
    return 0;
}

static int memory_size(const char *option, const char *text, int64_t *ret, struct err *e)
{
    int r = limits_size(option, text, ret, e);
    if (r == 0 && *ret >= 0 && *ret < MEMORY_MIN)
        return err_msg(e, EINVAL, "%s %s: the least is 6m", option, text);
    return r;
}

/* What stands in no member of linux.resources.memory. */
static void set_unified(json_t *to, const char *file, int64_t value, const char *none)
{
    json_object_set_new(limits_section(to, "unified"), file,
                        value < 0 ? json_string(none) : json_sprintf("%lld", (long long)value));
}

static int refuse_memory(const struct limit_opts *o, struct err *e)
{
    if (o->memory_swappiness && !streq(o->memory_swappiness, "-1"))
        return err_hint(e,
                        err_msg(e, ENOTSUP,
                                "--memory-swappiness %s: control groups v2 have no swappiness of "
                                "their own",
                                o->memory_swappiness),
                        "--memory-swap bounds how much is swapped; vm.swappiness is the host's");
    if (o->oom_kill_disable)
        return err_hint(e,
                        err_msg(e, ENOTSUP,
                                "--oom-kill-disable: control groups v2 always kill when the memory "
                                "limit cannot be held"),
                        "--memory-high slows the container down instead; --oom-score-adj says how "
                        "soon the host kills it");
    return 0;
}

/* docker's --memory-swap is memory and swap together, and so is the member. Without it a container
 * with a memory limit has no swap; an update keeps what was asked for. */
static int add_swap(const struct limit_opts *o, const json_t *was, int64_t limit, json_t *to,
                    struct err *e)
{
    int64_t total = 0, was_limit = get_number(was, "memory", "limit");
    int64_t was_total = get_number(was, "memory", "swap");
    bool given = o->memory_swap && !streq(o->memory_swap, "0");
    if (given) {
        int r = limits_size("--memory-swap", o->memory_swap, &total, e);
        if (r < 0)
            return r;
    } else if (!o->memory || (limit > 0 && was_total < 0)) {
        return 0;
    } else if (limit < 0) {
        total = -1;
    } else {
        total = was_limit > 0 && was_total > was_limit ? was_total : limit;
    }
    if (total > 0 && limit <= 0)
        return err_hint(e, err_msg(e, EINVAL, "--memory-swap %s: needs --memory", o->memory_swap),
                        "it is memory and swap together: -m 64m --memory-swap 96m allows 32m of "
                        "swap");
    if (total > 0 && total < limit)
        return err_hint(e,
                        err_msg(e, EINVAL,
                                "--memory-swap: memory and swap together, %lld bytes, are less "
                                "than the memory limit, %lld",
                                (long long)total, (long long)limit),
                        "give --memory-swap as large as --memory, or larger");
    set_number(to, "memory", "swap", total);
    return 0;
}

static int add_memory(const struct limit_opts *o, const json_t *was, json_t *to, struct err *e)
{
    int64_t limit = get_number(was, "memory", "limit"), value = 0;
    int r = refuse_memory(o, e);
    if (r == 0 && o->memory) {
        r = memory_size("--memory", o->memory, &limit, e);
        if (r == 0)
            set_number(to, "memory", "limit", limit);
    }
    if (r == 0 && o->memory_reservation) {
        r = memory_size("--memory-reservation", o->memory_reservation, &value, e);
        if (r == 0 && value > 0 && limit > 0 && value > limit)
            r = err_msg(e, EINVAL, "--memory-reservation %s: more than the memory limit, %lld",
                        o->memory_reservation, (long long)limit);
        /* memory.low: nothing protected is 0, not "max". */
        if (r == 0 && value > 0)
            set_number(to, "memory", "reservation", value);
        else if (r == 0 && was)
            set_unified(to, "memory.low", 0, "0");
    }
    if (r == 0 && o->memory_high) {
        r = memory_size("--memory-high", o->memory_high, &value, e);
        if (r == 0)
            set_unified(to, "memory.high", value, "max");
    }
    return r == 0 ? add_swap(o, was, limit, to, e) : r;
}

/* "1.5" in millionths. */
static int parse_millionths(const char *text, int64_t *ret)
{
    uint64_t whole, part = 0;
    size_t digits = strcspn(text, ".");
    scoped_free char *head = xstrndup(text, digits);
    const char *tail = text[digits] ? text + digits + 1 : "0";
    size_t n = strlen(tail);
    if ((*head && parse_u64(head, &whole) < 0) || n == 0 || n > 9 || parse_u64(tail, &part) < 0)
        return -EINVAL;
    if (!*head)
        whole = 0;
    if (whole > 1000000 || (!*head && !text[digits]))
        return -ERANGE;
    for (; n < 6; n++)
        part *= 10;
    for (; n > 6; n--)
        part /= 10;
    *ret = (int64_t)(whole * 1000000 + part);
    return 0;
}

/* 0 and below, and "max": no limit. The kernel refuses less than a millisecond. */
static int parse_quota(const char *option, const char *text, int64_t *ret, struct err *e)
{
    int64_t value;
    if (streq(text, "max"))
        value = -1;
    else if (parse_i64(text, &value) < 0 || (value > 0 && value < 1000))
        return err_msg(e, EINVAL, "%s %s: want microseconds, 1000 or more, or 0 or -1 for no limit",
                       option, text);
    *ret = value > 0 ? value : -1;
    return 0;
}

static int parse_period(const char *option, const char *text, int64_t *ret, struct err *e)
{
    if (parse_i64(text, ret) == 0 && *ret >= 1000 && *ret <= 1000000)
        return 0;
    return err_msg(e, EINVAL, "%s %s: want microseconds from 1000 to 1000000", option, text);
}

/* --cpus N, or "QUOTA PERIOD" as in the file cpu.max. */
static int add_cpus(const char *text, json_t *to, struct err *e)
{
    int64_t quota = 0, period = CPU_PERIOD;
    const char *space = strchr(text, ' ');
    if (space) {
        scoped_free char *first = xstrndup(text, (size_t)(space - text));
        int r = parse_quota("--cpus", first, &quota, e);
        if (r == 0)
            r = parse_period("--cpus", space + 1, &period, e);
        if (r < 0)
            return r;
    } else {
        if (parse_millionths(text, &quota) < 0)
            return err_msg(e, EINVAL,
                           "--cpus %s: want a number of CPUs such as 1.5, or \"QUOTA PERIOD\"",
                           text);
        quota = quota == 0 ? -1 : quota / (1000000 / CPU_PERIOD);
        if (quota > 0 && quota < 1000)
            return err_msg(e, EINVAL, "--cpus %s: the least is 0.01", text);
    }
    set_number(to, "cpu", "quota", quota);
    if (quota > 0 || space)
        set_number(to, "cpu", "period", period);
    return 0;
}

static int add_cpu_time(const struct limit_opts *o, json_t *to, struct err *e)
{
    int64_t value = 0;
    if (o->cpus && (o->cpu_quota || o->cpu_period))
        return err_hint(e,
                        err_msg(e, EINVAL, "--cpus and %s exclude each other",
                                o->cpu_quota ? "--cpu-quota" : "--cpu-period"),
                        "--cpus N is a quota of N periods");
    if (o->cpus)
        return add_cpus(o->cpus, to, e);
    if (o->cpu_quota) {
        int r = parse_quota("--cpu-quota", o->cpu_quota, &value, e);
        if (r < 0)
            return r;
        set_number(to, "cpu", "quota", value);
    }
    if (o->cpu_period && !streq(o->cpu_period, "0")) {
        int r = parse_period("--cpu-period", o->cpu_period, &value, e);
        if (r < 0)
            return r;
        set_number(to, "cpu", "period", value);
    }
    return 0;
}

/* docker's 0 is the default. */
static int add_shares(const char *text, bool update, json_t *to, struct err *e)
{
    uint64_t shares;
    if (!text)
        return 0;
    if (parse_u64(text, &shares) < 0 || shares == 1 || shares > 262144)
        return err_msg(e, EINVAL, "--cpu-shares %s: want a number from 2 to 262144", text);
    if (shares > 0 || update)
        set_number(to, "cpu", "shares", shares ? (int64_t)shares : 1024);
    return 0;
}

static int add_pids(const char *option, const char *text, json_t *to, struct err *e)
{
    int64_t value;
    int r = limits_number(option, text, &value, e);
    if (r == 0)
        set_number(to, "pids", "limit", value > 0 ? value : -1);
    return r;
}

/* FILE=VALUE of any file that sets something; what is no limit the plan of the group refuses, as it
 * does for such a member of a specification. */
static int add_conf(char *const *list, json_t *to, struct err *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "_.-";
    for (; list && *list; list++) {
        const char *eq = strchr(*list, '=');
        scoped_free char *file = xstrndup(*list, eq ? (size_t)(eq - *list) : 0);
        const char *dot = strchr(file, '.');
        if (!eq || !dot || dot == file || !dot[1] || file[strspn(file, letters)] ||
            strstr(file, ".."))
            return err_hint(
                e, err_msg(e, EINVAL, "--cgroup-conf %s: not CONTROLLER.FILE=VALUE", *list),
                "for example --cgroup-conf memory.oom.group=1");
        if (str_after(file, "cgroup.") && !str_after(file, "cgroup.max."))
            return err_msg(e, EINVAL, "--cgroup-conf %s: %s is no limit", *list, file);
        if (!eq[1] || strpbrk(eq + 1, "\n\r"))
            return err_msg(e, EINVAL, "--cgroup-conf %s: want one line as the value", *list);
        /* Some files take a line per device: one use of the option for each. */
        json_t *unified = limits_section(to, "unified");
        const char *before = json_string_value(json_object_get(unified, file));
        json_object_set_new(unified, file,
                            before ? json_sprintf("%s\n%s", before, eq + 1) : json_string(eq + 1));
    }
    return 0;
}

int build_resources(const struct limit_opts *o, const json_t *was, json_t **ret, struct err *e)
{
    scoped_json json_t *to = json_object();
    int r = add_memory(o, was, to, e);
    if (r == 0)
        r = add_cpu_time(o, to, e);
    if (r == 0)
        r = add_shares(o->cpu_shares, was, to, e);
    if (r == 0)
        r = limits_cpuset(o, to, e);
    if (r == 0 && o->pids_limit)
        r = add_pids("--pids-limit", o->pids_limit, to, e);
    if (r == 0)
        r = limits_block_io(o, to, e);
    if (r == 0)
        r = limits_huge_pages(o->hugetlb, to, e);
    if (r == 0)
        r = add_conf(o->cgroup_conf, to, e);
    if (r == 0)
        *ret = json_incref(to);
    return r;
}

/* Which of two entries of a list speak of the same: a device, a size of pages. */
static bool same_subject(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"major", "minor", "pageSize"};
    for (size_t i = 0; i < N_ELEMENTS(keys); i++) {
        const json_t *x = json_object_get(a, keys[i]), *y = json_object_get(b, keys[i]);
        if ((x || y) && !json_equal(x, y))
            return false;
    }
    return true;
}

static void merge_lists(json_t *into, const json_t *from)
{
    for (size_t i = 0; i < json_array_size(from); i++) {
        json_t *entry = json_array_get(from, i);
        for (size_t k = json_array_size(into); k-- > 0;)
            if (same_subject(json_array_get(into, k), entry))
                json_array_remove(into, k);
        json_array_append_new(into, json_deep_copy(entry));
    }
}

void build_merge_resources(json_t *into, const json_t *from)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)from, key, value)
    {
        json_t *old = json_object_get(into, key);
        if (json_is_object(old) && json_is_object(value))
            build_merge_resources(old, value);
        else if (json_is_array(old) && json_is_array(value))
            merge_lists(old, value);
        else
            json_object_set_new(into, key, json_deep_copy(value));
    }
}

json_t *build_merged_limits(const json_t *was, const json_t *change)
{
    json_t *all = json_is_object(was) ? json_deep_copy(was) : json_object();
    build_merge_resources(all, change);
    /* Two words for one file: the newer one counts. */
    if (json_object_get(json_object_get(change, "memory"), "reservation"))
        json_object_del(json_object_get(all, "unified"), "memory.low");
    else if (json_object_get(json_object_get(change, "unified"), "memory.low"))
        json_object_del(json_object_get(all, "memory"), "reservation");
    return all;
}

int build_limits(const struct limit_opts *o, const json_t *given, json_t **ret, struct err *e)
{
    scoped_json json_t *change = NULL;
    int r = build_resources(o, given, &change, e);
    if (r < 0)
        return r;
    *ret = build_merged_limits(given, change);
    return 0;
}

int build_default_limits(char *const *settings, json_t *to, struct err *e)
{
    const char *text = strv_env_get(settings, "pids_limit");
    return add_pids("setting pids_limit", text ? text : PIDS_LIMIT, to, e);
}

const char *build_limit_option(const char *member, void *data)
{
    struct limit_source *source = data;
    const struct limit_opts *o = source->o;
    const struct {
        const char *member, *option;
        const void *given;
    } options[] = {
        {"memory.limit", "--memory", o->memory},
        {"memory.swap", "--memory-swap", o->memory_swap},
        {"memory.swap", "--memory", o->memory},
        {"memory.reservation", "--memory-reservation", o->memory_reservation},
        {"unified[\"memory.low\"]", "--memory-reservation", o->memory_reservation},
        {"unified[\"memory.high\"]", "--memory-high", o->memory_high},
        {"cpu.quota", "--cpus", o->cpus},
        {"cpu.quota", "--cpu-quota", o->cpu_quota},
        {"cpu.period", "--cpu-period", o->cpu_period},
        {"cpu.shares", "--cpu-shares", o->cpu_shares},
        {"cpu.cpus", "--cpuset-cpus", o->cpuset_cpus},
        {"cpu.mems", "--cpuset-mems", o->cpuset_mems},
        {"pids.limit", "--pids-limit", o->pids_limit},
        {"blockIO.weightDevice", "--blkio-weight-device", o->blkio_weight_device},
        {"blockIO.weight", "--blkio-weight", o->blkio_weight},
        {"blockIO.throttleReadBpsDevice", "--device-read-bps", o->device_read_bps},
        {"blockIO.throttleWriteBpsDevice", "--device-write-bps", o->device_write_bps},
        {"blockIO.throttleReadIOPSDevice", "--device-read-iops", o->device_read_iops},
        {"blockIO.throttleWriteIOPSDevice", "--device-write-iops", o->device_write_iops},
        {"hugepageLimits", "--hugetlb", o->hugetlb},
        {"unified", "--cgroup-conf", o->cgroup_conf},
    };
    for (size_t i = 0; i < N_ELEMENTS(options); i++)
        if (options[i].given && str_after(member, options[i].member))
            return options[i].option;
    if (!source->spec)
        return NULL;
    snprintf(source->text, sizeof(source->text), "linux.resources.%s of --spec", member);
    return source->text;
}
