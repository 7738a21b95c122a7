/* meter - see meter.h. */
#include "cgroup/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "base/timefmt.h"
#include "cgroup/cgroup-priv.h"

/* io.stat has a line for each device; more than this is not read. */
#define TEXT_MAX (16u << 10)

const char *const cgroup_resource_names[CGROUP_RESOURCES] = {"cpu", "memory", "io"};

enum {
    F_CPU_STAT,
    F_MEMORY,
    F_MEMORY_MAX,
    F_SWAP,
    F_SWAP_MAX,
    F_PIDS,
    F_PIDS_MAX,
    F_IO,
    F_PRESSURE, /* as many as there are resources */
    F_COUNT = F_PRESSURE + CGROUP_RESOURCES,
};

static const char *const files[F_COUNT] = {
    "cpu.stat",        "memory.current",  "memory.max",  "memory.swap.current",
    "memory.swap.max", "pids.current",    "pids.max",    "io.stat",
    "cpu.pressure",    "memory.pressure", "io.pressure",
};

struct cgroup_meter {
    int dir_fd;
    int fd[F_COUNT]; /* -1: the file is not there */
};

int cgroup_meter_open(const struct cgroup *c, struct cgroup_meter **ret, struct err *e)
{
    int r = cgroup_need(c, "stats", e);
    if (r < 0)
        return r;
    struct cgroup_meter *m = xcalloc(1, sizeof(*m));
    m->dir_fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);
    for (int i = 0; i < F_COUNT; i++) {
        m->fd[i] = cgroup_file_open(c->fd, files[i], O_RDONLY);
        if (m->fd[i] == -EMFILE || m->dir_fd < 0) {
            cgroup_meter_close(m);
            return err_set(e, EMFILE, "watch cgroup %s", c->path);
        }
    }
    *ret = m;
    return 0;
}

void cgroup_meter_close(struct cgroup_meter *m)
{
    if (!m)
        return;
    for (int i = 0; i < F_COUNT; i++)
        if (m->fd[i] > 0)
            close(m->fd[i]);
    fd_close(&m->dir_fd);
    free(m);
}

/* The text of a file; < 0: it is not there. */
static ssize_t get_text(const struct cgroup_meter *m, int file, char *buf, size_t size)
{
    ssize_t n = m->fd[file] < 0 ? -1 : pread(m->fd[file], buf, size - 1, 0);
    buf[n > 0 ? n : 0] = '\0';
    return n;
}

static bool get_number(const struct cgroup_meter *m, int file, uint64_t *ret)
{
    char text[32];
    if (get_text(m, file, text, sizeof(text)) <= 0)
        return false;
    text[strcspn(text, "\n")] = '\0';
    if (streq(text, "max"))
        *ret = CGROUP_NO_LIMIT;
    else
        return parse_u64(text, ret) == 0;
    return true;
}

/* The number behind "KEY " at the begin of a line. */
static uint64_t flat_value(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (strncmp(p, key, n) == 0 && p[n] == ' ')
            return strtoull(p + n + 1, NULL, 10);
    return 0;
}

/* The sum over all devices of what stands behind "KEY=". */
static uint64_t nested_sum(const char *text, const char *key)
{
    uint64_t sum = 0;
    size_t n = strlen(key);
    for (const char *p = text; (p = strstr(p, key)); p += n)
        if (p > text && p[-1] == ' ')
            sum += strtoull(p + n, NULL, 10);
    return sum;
}

bool cgroup_pressure_parse(const char *text, struct cgroup_pressure *ret)
{
    const char *full = strstr(text, "full ");
    unsigned long long some_us, full_us = 0;
    double avg60, avg300;
    struct cgroup_pressure p = {.there = true};
    if (sscanf(text, "some avg10=%lf avg60=%lf avg300=%lf total=%llu", &p.some_avg10, &avg60,
               &avg300, &some_us) != 4)
        return false;
    if (full)
        (void)!sscanf(full, "full avg10=%lf avg60=%lf avg300=%lf total=%llu", &p.full_avg10, &avg60,
                      &avg300, &full_us);
    p.some_us = some_us;
    p.full_us = full_us;
    *ret = p;
    return true;
}

/* Processes of the group itself; those of groups below are seen where the controller is. */
static uint64_t count_processes(const struct cgroup_meter *m)
{
    scoped_free char *text = NULL;
    uint64_t n = 0;
    if (cgroup_file_read(m->dir_fd, "cgroup.procs", &text) <= 0)
        return 0;
    for (const char *p = text; p; p = strchr(p + 1, '\n'))
        n++;
    return n;
}

int cgroup_meter_read(const struct cgroup_meter *m, struct cgroup_sample *ret)
{
    scoped_free char *text = xmalloc(TEXT_MAX);
    struct cgroup_sample s = {.memory_limit = CGROUP_NO_LIMIT,
                              .swap_limit = CGROUP_NO_LIMIT,
                              .pids_limit = CGROUP_NO_LIMIT,
                              .time_ns = time_monotonic_ns()};
    if (get_text(m, F_CPU_STAT, text, TEXT_MAX) <= 0)
        return -ENODEV;
    s.cpu_ns = flat_value(text, "usage_usec") * 1000;
    s.user_ns = flat_value(text, "user_usec") * 1000;
    s.system_ns = flat_value(text, "system_usec") * 1000;
    s.has_memory = get_number(m, F_MEMORY, &s.memory);
    get_number(m, F_MEMORY_MAX, &s.memory_limit);
    s.has_swap = get_number(m, F_SWAP, &s.swap);
    get_number(m, F_SWAP_MAX, &s.swap_limit);
    s.has_pids = get_number(m, F_PIDS, &s.pids);
    get_number(m, F_PIDS_MAX, &s.pids_limit);
    if (!s.has_pids)
        s.pids = count_processes(m);
    /* An empty file is a group that has not used any device. */
    s.has_io = get_text(m, F_IO, text, TEXT_MAX) >= 0;
    if (s.has_io) {
        s.read_bytes = nested_sum(text, "rbytes=");
        s.write_bytes = nested_sum(text, "wbytes=");
    }
    for (int i = 0; i < CGROUP_RESOURCES; i++)
        if (get_text(m, F_PRESSURE + i, text, TEXT_MAX) > 0)
            cgroup_pressure_parse(text, &s.pressure[i]);
    *ret = s;
    return 0;
}
