/* pressure - see pressure.h. */
#include "cgroup/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"

/* Users may only ask for windows of this and its multiples, and nobody for longer ones than that;
 * kernel: kernel/sched/psi.c */
#define WINDOW_MS 2000
#define WINDOW_MAX_MS 10000
#define STALL_MS 150

const char *const pressure_action_names[] = {"notify", "freeze", "restart", NULL};

static int bad(const char *text, const char *what, struct err *e)
{
    int r = err_msg(e, EINVAL, "--on-pressure %s: %s", text, what);
    return err_hint(e, r,
                    "ACTION[:RESOURCE[=KIND[:STALL/WINDOW]]], for example "
                    "notify:memory=some:150ms/2s");
}

static int find(const char *word, size_t n, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == n && memcmp(names[i], word, n) == 0)
            return (int)i;
    return -1;
}

/* "150ms/2s" */
static int parse_times(const char *text, const char *p, struct pressure_rule *r, struct err *e)
{
    const char *slash = strchr(p, '/');
    uint64_t stall, window;
    scoped_free char *first = slash ? xstrndup(p, (size_t)(slash - p)) : NULL;
    if (!slash || parse_duration_ms(first, &stall) < 0 || parse_duration_ms(slash + 1, &window) < 0)
        return bad(text, "the times are not STALL/WINDOW", e);
    if (window == 0 || window % WINDOW_MS != 0 || window > WINDOW_MAX_MS)
        return bad(text, "the window is not 2s, 4s, 6s, 8s or 10s", e);
    if (stall == 0 || stall > window)
        return bad(text, "the stall is not within the window", e);
    r->stall_us = (uint32_t)stall * 1000;
    r->window_us = (uint32_t)window * 1000;
    return 0;
}

int pressure_parse(const char *text, struct pressure_rule *ret, struct err *e)
{
    static const char *const kinds[] = {"some", "full"};
    struct pressure_rule r = {
        .resource = CGROUP_MEMORY, .stall_us = STALL_MS * 1000, .window_us = WINDOW_MS * 1000};
    const char *p = text;
    size_t n = strcspn(p, ":");
    int found = find(p, n, pressure_action_names, 3), times = 0;
    if (found < 0)
        return bad(text, "the action is not notify, freeze or restart", e);
    r.action = (enum pressure_action)found;
    p += n + (p[n] == ':');
    if (n < strlen(text)) {
        n = strcspn(p, "=:");
        found = find(p, n, cgroup_resource_names, CGROUP_RESOURCES);
        if (found < 0)
            return bad(text, "the resource is not cpu, memory or io", e);
        r.resource = (enum cgroup_resource)found;
        p += n;
    }
    if (*p == '=') {
        n = strcspn(++p, ":");
        found = find(p, n, kinds, N_ELEMENTS(kinds));
        if (found < 0)
            return bad(text, "the kind is not some or full", e);
        r.full = found == 1;
        p += n;
    }
    if (*p == ':')
        times = parse_times(text, p + 1, &r, e);
    if (times == 0)
        *ret = r;
    return times;
}

void pressure_describe(const struct pressure_rule *r, char *buf, size_t size)
{
    snprintf(buf, size, "%s %ums/%us", r->full ? "full" : "some", r->stall_us / 1000,
             r->window_us / 1000000);
}

int pressure_open(const struct cgroup *c, const struct pressure_rule *r, bool *ret_trigger,
                  struct err *e)
{
    char file[32], text[64];
    int rc = cgroup_need(c, "--on-pressure", e);
    if (rc < 0)
        return rc;
    snprintf(file, sizeof(file), "%s.pressure", cgroup_resource_names[r->resource]);
    int n = snprintf(text, sizeof(text), "%s %u %u", r->full ? "full" : "some", r->stall_us,
                     r->window_us);
    scoped_fd int fd = cgroup_file_open(c->fd, file, O_RDWR);
    *ret_trigger = fd >= 0 && write(fd, text, (size_t)n + 1) > 0;
    if (*ret_trigger)
        return take_fd(&fd);
    fd_close(&fd);
    fd = cgroup_file_open(c->fd, file, O_RDONLY);
    if (fd >= 0)
        return take_fd(&fd);
    rc = err_set(e, -fd, "--on-pressure: open %s of cgroup %s", file, c->path);
    return err_hint(e, rc, "the kernel keeps no account of pressure: boot with psi=1");
}

int pressure_read(int fd, struct cgroup_pressure *ret)
{
    char text[256];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return n < 0 ? -errno : -EIO;
    text[n] = '\0';
    return cgroup_pressure_parse(text, ret) ? 0 : -EIO;
}

int oomd_properties(const char *mode, char ***ret, struct err *e)
{
    char **v = NULL;
    if (streq(mode, "kill")) {
        strv_add(&v, "ManagedOOMMemoryPressure='kill'");
        strv_add(&v, "ManagedOOMSwap='kill'");
    } else if (streq(mode, "avoid") || streq(mode, "omit")) {
        strv_addf(&v, "ManagedOOMPreference='%s'", mode);
    } else if (mode && !streq(mode, "auto")) {
        return err_msg(e, EINVAL, "--oomd %s: not kill, avoid, omit or auto", mode);
    }
    *ret = v;
    return 0;
}
