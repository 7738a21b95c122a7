#include "cgroup/systemd-unit.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"
#include "cgroup/gvariant.h"
#include "cgroup/resources.h"

#define UNIT_NAME_MAX 255
#define SLICE ".slice"
#define SCOPE ".scope"

static const char letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\";

static int check_slice(const char *slice, const char *path, struct err *e)
{
    size_t n = strlen(slice);
    bool fine = str_ends(slice, SLICE) && n > strlen(SLICE) && n <= UNIT_NAME_MAX &&
                !slice[strspn(slice, letters)];
    /* "-.slice" is the root; else "-" stands between names. */
    bool parts = streq(slice, "-" SLICE) ||
                 (slice[0] != '-' && !strstr(slice, "--") && !str_ends(slice, "-" SLICE));
    if (fine && parts)
        return 0;
    return err_msg(e, EINVAL, "linux.cgroupsPath: \"%s\": \"%s\" is no name of a slice", path,
                   slice);
}

/* What a unit's name cannot hold (the "+" of an id) as \xNN. systemd.unit(5) */
static char *escaped(const char *name)
{
    struct str s = STR_INIT;
    for (; *name; name++) {
        if (strchr(letters, *name) && *name != '\\')
            str_addc(&s, *name);
        else
            str_addf(&s, "\\x%02x", (unsigned char)*name);
    }
    return s.len ? str_detach(&s) : xstrdup("");
}

static int make_names(const char *slice, const char *prefix, const char *name, char **ret_slice,
                      char **ret_unit)
{
    scoped_free char *p = escaped(prefix), *n = escaped(name);
    *ret_slice = xstrdup(slice);
    *ret_unit = xasprintf("%s%s%s" SCOPE, p, *p ? "-" : "", n);
    return 0;
}

int unit_of_path(const char *path, const char *id, bool user, char **ret_slice, char **ret_unit,
                 struct err *e)
{
    if (!path || !*path)
        return make_names("rootlet" SLICE, "rootlet", id, ret_slice, ret_unit);
    scoped_strv char **parts = strv_split(path, ":", true);
    if (strv_len(parts) != 3)
        return err_hint(e,
                        err_msg(e, EINVAL,
                                "linux.cgroupsPath: \"%s\": the systemd cgroup manager wants "
                                "SLICE:PREFIX:NAME",
                                path),
                        "for example user.slice:rootlet:web; a plain path is for "
                        "--cgroup-manager cgroupfs");
    const char *slice = *parts[0] ? parts[0] : user ? "user" SLICE : "system" SLICE;
    int r = check_slice(slice, path, e);
    if (r < 0)
        return r;
    if (!*parts[2])
        return err_msg(e, EINVAL, "linux.cgroupsPath: \"%s\": the name is empty", path);
    if (str_ends(parts[2], SLICE))
        return err_msg(e, EINVAL,
                       "linux.cgroupsPath: \"%s\": a slice holds no processes, a container is a "
                       "scope",
                       path);
    make_names(slice, parts[1], parts[2], ret_slice, ret_unit);
    if (strlen(*ret_unit) <= UNIT_NAME_MAX)
        return 0;
    free(take_ptr(*ret_slice));
    free(take_ptr(*ret_unit));
    return err_msg(e, EINVAL, "linux.cgroupsPath: the name of the unit is longer than %d bytes",
                   UNIT_NAME_MAX);
}

void unit_set(json_t *properties, const char *name, const char *sig, json_t *value)
{
    json_t *one = json_array(), *old;
    size_t i;
    json_array_append_new(one, json_string(name));
    json_array_append_new(one, json_string(sig));
    json_array_append_new(one, value);
    json_array_foreach(properties, i, old)
    {
        if (streq(json_string_value(json_array_get(old, 0)), name)) {
            json_array_set_new(properties, i, one);
            return;
        }
    }
    json_array_append_new(properties, one);
}

static void set_u64(json_t *properties, const char *name, uint64_t v)
{
    unit_set(properties, name, "t", json_from_u64(v));
}

/* What is no plain number (the kernel reads "64M" too) is left to the file. */
static bool limit_value(const char *text, uint64_t *ret)
{
    if (streq(text, "max")) {
        *ret = UINT64_MAX;
        return true;
    }
    return parse_u64(text, ret) == 0;
}

/* cpu.max "QUOTA PERIOD" in microseconds; either may be missing, then the group has it. */
static void set_cpu_max(json_t *properties, const char *value, int dir_fd)
{
    scoped_strv char **words = strv_split(value, " ", false);
    scoped_free char *now = NULL;
    uint64_t quota, period = 100000;
    if (strv_len(words) == 0 || !limit_value(words[0], &quota))
        return;
    if (words[1] && parse_u64(words[1], &period) < 0)
        return;
    if (!words[1] && dir_fd >= 0 && cgroup_file_read(dir_fd, "cpu.max", &now) > 0) {
        const char *space = strchr(now, ' ');
        if (!space || parse_u64(space + 1, &period) < 0)
            return;
    }
    if (period == 0 || (quota != UINT64_MAX && quota > UINT64_MAX / 1000000))
        return;
    if (words[1])
        set_u64(properties, "CPUQuotaPeriodUSec", period);
    /* The manager counts in hundredths of a processor, and must not count less than is asked for.
     */
    if (quota != UINT64_MAX)
        quota = (quota * 1000000 / period + 9999) / 10000 * 10000;
    set_u64(properties, "CPUQuotaPerSecUSec", quota);
}

/* "0-3,8" as bits, the first byte holding 0 to 7. NULL: malformed. */
static json_t *cpu_bits(const char *list)
{
    enum { CPUS = 8192 };
    unsigned char bits[CPUS / 8] = {0};
    scoped_strv char **ranges = strv_split(list, ",", false);
    size_t n = 0;
    for (char **range = ranges; range && *range; range++) {
        uint64_t first, last;
        char *dash = strchr(*range, '-');
        if (dash)
            *dash++ = '\0';
        if (parse_u64(*range, &first) < 0 || parse_u64(dash ? dash : *range, &last) < 0 ||
            first > last || last >= CPUS)
            return NULL;
        for (uint64_t i = first; i <= last; i++)
            bits[i / 8] |= (unsigned char)(1u << (i % 8));
        n = last / 8 + 1 > n ? last / 8 + 1 : n;
    }
    json_t *bytes = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(bytes, json_integer(bits[i]));
    return bytes;
}

static void set_io_weight(json_t *properties, const char *value)
{
    uint64_t weight;
    const char *all = str_after(value, "default ");
    if (parse_u64(all ? all : value, &weight) == 0)
        set_u64(properties, "IOWeight", weight);
}

static void set_limit(json_t *properties, const char *file, const char *value, int dir_fd)
{
    static const struct {
        const char *file, *property;
    } plain[] = {
        {"memory.max", "MemoryMax"}, {"memory.high", "MemoryHigh"},
        {"memory.low", "MemoryLow"}, {"memory.min", "MemoryMin"},
        {"pids.max", "TasksMax"},    {"memory.swap.max", "MemorySwapMax"},
        {"cpu.weight", "CPUWeight"},
    };
    uint64_t v;
    for (size_t i = 0; i < N_ELEMENTS(plain); i++)
        if (streq(file, plain[i].file) && limit_value(value, &v))
            set_u64(properties, plain[i].property, v);
    if (streq(file, "cpu.max"))
        set_cpu_max(properties, value, dir_fd);
    else if (streq(file, "cpu.idle") && streq(value, "1"))
        set_u64(properties, "CPUWeight", 0); /* "idle" of CPUWeight= */
    else if (streq(file, "io.weight"))
        set_io_weight(properties, value);
    if (!streq(file, "cpuset.cpus") && !streq(file, "cpuset.mems"))
        return;
    json_t *bits = cpu_bits(value);
    if (bits)
        unit_set(properties, streq(file, "cpuset.cpus") ? "AllowedCPUs" : "AllowedMemoryNodes",
                 "ay", bits);
}

void unit_set_limits(json_t *properties, const struct plan *p, int dir_fd)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct plan_write *w = &p->writes[i];
        uint64_t period;
        bool io = streq(w->file, "io.bfq.weight") && w->alt_file;
        if (w->flags & PLAN_KEEP && dir_fd < 0) {
            if (streq(w->file, "cpu.max") && parse_u64(w->value, &period) == 0)
                set_u64(properties, "CPUQuotaPeriodUSec", period);
            continue;
        }
        scoped_free char *value = plan_value(w, dir_fd);
        if (value)
            set_limit(properties, io ? w->alt_file : w->file, io ? w->alt_value : value, dir_fd);
    }
}

static int check_property(const char *name, struct err *e)
{
    static const char *const ours[] = {"PIDs",
                                       "PIDFDs",
                                       "Slice",
                                       "Delegate",
                                       "Controller",
                                       "DelegateControllers",
                                       "DelegateSubgroup"};
    size_t n = strlen(name);
    if (n < 3 || n > 64 || strspn(name, letters) != n || strpbrk(name, ":-_.\\"))
        return err_msg(e, EINVAL, "annotations: org.systemd.property.%.64s: no name of a property",
                       name);
    for (size_t i = 0; i < N_ELEMENTS(ours); i++)
        if (streq(ours[i], name))
            return err_msg(e, EINVAL,
                           "annotations: org.systemd.property.%s: set by the runtime itself", name);
    return 0;
}

/* Seconds of any number's type as microseconds. */
static int to_microseconds(const char *sig, const json_t *value, uint64_t *ret)
{
    uint64_t seconds;
    if (streq(sig, "d")) {
        double v = json_real_value(value) * 1e6;
        if (v < 0 || v >= 1e19)
            return -ERANGE;
        *ret = (uint64_t)v;
        return 0;
    }
    if (sig[0] == 'a' || !strchr("ynqiuxt", sig[0]))
        return -EINVAL;
    if (!json_to_u64(value, &seconds) || seconds > UINT64_MAX / 1000000)
        return -ERANGE;
    *ret = seconds * 1000000;
    return 0;
}

static int set_annotation(json_t *properties, const char *name, const char *text, struct err *e)
{
    char sig[GVARIANT_SIGNATURE];
    scoped_json json_t *value = NULL;
    int r = check_property(name, e);
    if (r < 0)
        return r;
    r = gvariant_parse(text, sig, &value, e);
    if (r < 0)
        return err_add(e, r, "annotations: org.systemd.property.%s", name);
    if (!str_ends(name, "Sec") || str_ends(name, "USec")) {
        unit_set(properties, name, sig, json_incref(value));
        return 0;
    }
    uint64_t microseconds;
    r = to_microseconds(sig, value, &microseconds);
    if (r < 0)
        return err_msg(e, EINVAL,
                       "annotations: org.systemd.property.%s: \"%s\" is no time in seconds", name,
                       text);
    scoped_free char *in_micro = xasprintf("%.*sUSec", (int)(strlen(name) - 3), name);
    set_u64(properties, in_micro, microseconds);
    return 0;
}

int unit_set_property(json_t *properties, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    if (!equals)
        return err_msg(e, EINVAL, "\"%s\": not NAME=VALUE", text);
    scoped_free char *key = xstrndup(text, (size_t)(equals - text));
    return set_annotation(properties, key, equals + 1, e);
}

int unit_set_annotations(json_t *properties, char *const *annotations, struct err *e)
{
    int r = 0;
    for (; annotations && *annotations && r == 0; annotations++) {
        const char *name = str_after(*annotations, "org.systemd.property.");
        const char *equals = name ? strchr(name, '=') : NULL;
        if (!equals)
            continue;
        scoped_free char *key = xstrndup(name, (size_t)(equals - name));
        r = set_annotation(properties, key, equals + 1, e);
    }
    return r;
}
