/* build_hardware - the limits that name a part of the machine: CPUs and memory nodes, disks, sizes
 * of huge pages. What is not there is told here, as the kernel's "Invalid argument" tells nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "cli/build_limits.h"

/* "3" or "0-3"; at most a million, which no machine has. */
static int parse_range(const char *text, uint32_t *ret_first, uint32_t *ret_last)
{
    const char *dash = strchr(text, '-');
    scoped_free char *first = xstrndup(text, dash ? (size_t)(dash - text) : strlen(text));
    if (parse_u32(first, ret_first) < 0 || parse_u32(dash ? dash + 1 : text, ret_last) < 0 ||
        *ret_last < *ret_first || *ret_last > 1000000)
        return -EINVAL;
    return 0;
}

/* Is all of first-last in the kernel's list ("0-3,5")? */
static bool list_has(const char *list, uint32_t first, uint32_t last)
{
    scoped_strv char **ranges = strv_split(list, ",", false);
    for (char **p = ranges; p && *p; p++) {
        uint32_t from, to;
        if (parse_range(*p, &from, &to) == 0 && first >= from && first <= to) {
            if (last <= to)
                return true;
            first = to + 1;
        }
    }
    return false;
}

/* online: the kernel's file of what is there; where it is missing nothing is checked. */
static int check_list(const char *option, const char *text, const char *online, struct err *e)
{
    scoped_free char *there = NULL;
    scoped_strv char **ranges = strv_split(text, ",", true);
    if (fs_read(AT_FDCWD, online, 4096, &there, NULL) >= 0)
        there[strcspn(there, "\n")] = '\0';
    if (!ranges || !*text)
        return err_msg(e, EINVAL, "%s \"%s\": want numbers like 0-3,5", option, text);
    for (char **p = ranges; *p; p++) {
        uint32_t first, last;
        if (parse_range(*p, &first, &last) < 0)
            return err_msg(e, EINVAL, "%s %s: want numbers like 0-3,5", option, text);
        if (there && !list_has(there, first, last))
            return err_msg(e, EINVAL, "%s %s: this machine has %s", option, text, there);
    }
    return 0;
}

int limits_cpuset(const struct limit_opts *o, json_t *to, struct err *e)
{
    int r = 0;
    if (o->cpuset_cpus) {
        r = check_list("--cpuset-cpus", o->cpuset_cpus, "/sys/devices/system/cpu/online", e);
        if (r == 0)
            json_object_set_new(limits_section(to, "cpu"), "cpus", json_string(o->cpuset_cpus));
    }
    if (r == 0 && o->cpuset_mems) {
        r = check_list("--cpuset-mems", o->cpuset_mems, "/sys/devices/system/node/online", e);
        if (r == 0)
            json_object_set_new(limits_section(to, "cpu"), "mems", json_string(o->cpuset_mems));
    }
    return r;
}

/* The disk that a partition is of: the folder above it in sysfs ("../../devices/.../vda/vda1"). */
static char *whole_disk(dev_t dev)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(dev), minor(dev));
    if (access(path, F_OK) < 0)
        return NULL;
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev), minor(dev));
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    target[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(target, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    const char *above = strrchr(target, '/');
    return xasprintf("/dev/%s", above ? above + 1 : target);
}

static int find_device(const char *option, const char *path, dev_t *ret, struct err *e)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return err_set(e, errno, "%s %s", option, path);
    if (!S_ISBLK(st.st_mode))
        return err_hint(e, err_msg(e, ENOTBLK, "%s: %s is not a block device", option, path),
                        "findmnt -no SOURCE -T %s, or lsblk, names the device", path);
    scoped_free char *disk = whole_disk(st.st_rdev);
    if (disk)
        return err_hint(e,
                        err_msg(e, EINVAL,
                                "%s: %s is a partition, and the kernel limits whole disks only",
                                option, path),
                        "%s %s:... is the disk it is on", option, disk);
    *ret = st.st_rdev;
    return 0;
}

/* DEVICE:VALUE; the name of a device may hold colons (/dev/disk/by-path). */
static int split_device(const char *option, const char *text, char **ret_path,
                        const char **ret_value, struct err *e)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !colon[1])
        return err_hint(e, err_msg(e, EINVAL, "%s %s: not DEVICE:VALUE", option, text),
                        "for example %s /dev/sda:%s", option,
                        str_ends(option, "bps") ? "10mb" : "100");
    *ret_path = xstrndup(text, (size_t)(colon - text));
    *ret_value = colon + 1;
    return 0;
}

static void add_entry(json_t *to, const char *list, dev_t dev, const char *member, uint64_t value)
{
    json_t *block_io = limits_section(to, "blockIO");
    json_t *entries = json_object_get(block_io, list);
    if (!entries) {
        entries = json_array();
        json_object_set_new(block_io, list, entries);
    }
    json_t *entry =
        json_pack("{s:I, s:I}", "major", (json_int_t)major(dev), "minor", (json_int_t)minor(dev));
    json_object_set_new(entry, member, json_integer((json_int_t)value));
    json_array_append_new(entries, entry);
}

/* A rate of 0 is no limit, as everywhere. */
static int add_rates(const char *option, char *const *given, const char *list, json_t *to,
                     struct err *e)
{
    bool bytes = str_ends(option, "bps");
    for (; given && *given; given++) {
        scoped_free char *path = NULL;
        const char *text;
        uint64_t rate;
        dev_t dev;
        int r = split_device(option, *given, &path, &text, e);
        if (r == 0 &&
            ((bytes ? parse_size(text, &rate) : parse_u64(text, &rate)) < 0 || rate > INT64_MAX))
            r = err_msg(e, EINVAL, "%s %s: want %s a second", option, *given,
                        bytes ? "a size such as 10mb" : "a number of operations");
        if (r == 0)
            r = find_device(option, path, &dev, e);
        if (r < 0)
            return r;
        add_entry(to, list, dev, "rate", rate);
    }
    return 0;
}

static int parse_weight(const char *option, const char *given, const char *text, uint32_t *ret,
                        struct err *e)
{
    if (parse_u32(text, ret) == 0 && *ret >= 10 && *ret <= 1000)
        return 0;
    return err_msg(e, EINVAL, "%s %s: want a weight from 10 to 1000", option, given);
}

static int add_weights(const struct limit_opts *o, json_t *to, struct err *e)
{
    const char *option = "--blkio-weight-device";
    uint32_t weight;
    /* docker's 0 is none. */
    if (o->blkio_weight && !streq(o->blkio_weight, "0")) {
        int r = parse_weight("--blkio-weight", o->blkio_weight, o->blkio_weight, &weight, e);
        if (r < 0)
            return r;
        json_object_set_new(limits_section(to, "blockIO"), "weight", json_integer(weight));
    }
    for (char **v = o->blkio_weight_device; v && *v; v++) {
        scoped_free char *path = NULL;
        const char *text;
        dev_t dev;
        int r = split_device(option, *v, &path, &text, e);
        if (r == 0)
            r = parse_weight(option, *v, text, &weight, e);
        if (r == 0)
            r = find_device(option, path, &dev, e);
        if (r < 0)
            return r;
        add_entry(to, "weightDevice", dev, "weight", weight);
    }
    return 0;
}

int limits_block_io(const struct limit_opts *o, json_t *to, struct err *e)
{
    const struct {
        const char *option;
        char *const *given;
        const char *list;
    } rates[] = {
        {"--device-read-bps", o->device_read_bps, "throttleReadBpsDevice"},
        {"--device-write-bps", o->device_write_bps, "throttleWriteBpsDevice"},
        {"--device-read-iops", o->device_read_iops, "throttleReadIOPSDevice"},
        {"--device-write-iops", o->device_write_iops, "throttleWriteIOPSDevice"},
    };
    int r = add_weights(o, to, e);
    for (size_t i = 0; r == 0 && i < N_ELEMENTS(rates); i++)
        r = add_rates(rates[i].option, rates[i].given, rates[i].list, to, e);
    return r;
}

/* The kernel's word for it: "2MB", "64KB", "1GB". */
static char *page_name(uint64_t bytes)
{
    static const char *const units[] = {"KB", "MB", "GB"};
    size_t i = 0;
    for (bytes >>= 10; i < 2 && bytes >= 1024; bytes >>= 10)
        i++;
    return xasprintf("%llu%s", (unsigned long long)bytes, units[i]);
}

static int check_page(const char *given, uint64_t bytes, struct err *e)
{
    scoped_free char *dir =
        xasprintf("/sys/kernel/mm/hugepages/hugepages-%llukB", (unsigned long long)(bytes >> 10));
    if (access("/sys/kernel/mm/hugepages", F_OK) < 0)
        return err_msg(e, ENOTSUP, "--hugetlb %s: this kernel has no huge pages", given);
    if (bytes < 1024 || access(dir, F_OK) < 0)
        return err_hint(
            e, err_msg(e, EINVAL, "--hugetlb %s: this machine has no pages of that size", given),
            "ls /sys/kernel/mm/hugepages lists the sizes");
    return 0;
}

int limits_huge_pages(char *const *list, json_t *to, struct err *e)
{
    for (; list && *list; list++) {
        const char *eq = strchr(*list, '=');
        scoped_free char *size = xstrndup(*list, eq ? (size_t)(eq - *list) : 0);
        uint64_t page;
        int64_t limit;
        if (!eq || parse_size(size, &page) < 0)
            return err_hint(e, err_msg(e, EINVAL, "--hugetlb %s: not PAGE=SIZE", *list),
                            "for example --hugetlb 2MB=1g");
        int r = check_page(*list, page, e);
        if (r == 0)
            r = limits_size("--hugetlb", eq + 1, &limit, e);
        if (r < 0)
            return r;
        json_t *entries = json_object_get(to, "hugepageLimits");
        if (!entries) {
            entries = json_array();
            json_object_set_new(to, "hugepageLimits", entries);
        }
        scoped_free char *name = page_name(page);
        json_t *entry = json_pack("{s:s}", "pageSize", name);
        /* 0 is a limit here: no page of this size. */
        uint64_t value = streq(eq + 1, "-1") ? UINT64_MAX : limit < 0 ? 0 : (uint64_t)limit;
        json_object_set_new(entry, "limit", json_from_u64(value));
        json_array_append_new(entries, entry);
    }
    return 0;
}
