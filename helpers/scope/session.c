/* session - a scope for a supervisor, whatever an earlier one of the same name has left.
 *
 * The supervisor awaits one answer for all of it. A process that changes its group waits for all
 * processors to take note, but a second change right after the first does not wait again: so what
 * follows the manager's change is done here and at once. cgroups(7) */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "helpers/scope/scope.h"

#define CGROUP_MOUNT "/sys/fs/cgroup"
/* A scope whose last process has just ended is collected within this; likewise a manager that
 * executes itself anew is back. */
#define PATIENCE 60
#define STEP_NSEC 20000000L

/* What is tried against a unit of that name, mildest first. */
enum remedy { RESET, WAIT, STOP, RENAME, NONE };

struct making {
    struct manager *m;
    struct scope_request q;
    json_t *properties; /* those the manager knows; owned */
    char unit[256];
    enum remedy next;
    int patience;
};

static void pause_a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = STEP_NSEC}, NULL);
}

/* --- the groups in it --- */

/* The group that the process is in, if it is the unit's; owned. */
static char *group_of(const struct making *k)
{
    char path[40];
    scoped_free char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%u/cgroup", k->q.pid);
    if (fs_read(AT_FDCWD, path, 65536, &text, NULL) < 0)
        return NULL;
    char *group = strstr(text, "0::/");
    if (!group)
        return NULL;
    group += strlen("0::");
    group[strcspn(group, "\n")] = '\0';
    const char *last = strrchr(group, '/');
    return last && streq(last + 1, k->unit) ? xstrdup(group) : NULL;
}

static int write_file(int dir_fd, const char *name, const char *text)
{
    scoped_fd int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* What a container gets whether it has limits or not; the supervisor hands down what else it asks
 * for. A controller that is not there is told of when a limit needs it. */
static void hand_down(int dir_fd)
{
    static const char *const usual[] = {"cpu", "cpuset", "io", "memory", "pids"};
    scoped_free char *text = NULL;
    scoped_str struct str all = STR_INIT;
    if (fs_read(dir_fd, "cgroup.controllers", 4096, &text, NULL) < 0)
        return;
    scoped_strv char **here = strv_split(text, " \n", false);
    for (size_t i = 0; i < N_ELEMENTS(usual); i++)
        if (strv_has(here, usual[i]))
            str_addf(&all, "%s+%s", all.len ? " " : "", usual[i]);
    if (all.len)
        (void)!write_file(dir_fd, "cgroup.subtree_control", all.s);
}

static int arrange(const struct making *k, const char *group, struct err *e)
{
    char pid[16];
    scoped_free char *path = xasprintf(CGROUP_MOUNT "%s", group);
    scoped_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return err_set(e, errno, "open %s", path);
    if (mkdirat(dir, "supervisor", 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make a cgroup in %s", path);
    snprintf(pid, sizeof(pid), "%u", k->q.pid);
    int r = write_file(dir, "supervisor/cgroup.procs", pid);
    if (r < 0)
        return err_set(e, -r, "move the supervisor in %s", path);
    hand_down(dir);
    if (mkdirat(dir, "container", 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make a cgroup in %s", path);
    return 0;
}

/* --- the scope --- */

/* "Cannot set property NAME, or unknown property.": without it then. PIDFDs and OOMPolicy of scopes
 * are of the same age. */
static bool drop_property(struct making *k, const char *message)
{
    const char *name = message ? strstr(message, "Cannot set property ") : NULL;
    if (!name)
        return false;
    name += strlen("Cannot set property ");
    size_t n = strcspn(name, ", "), i;
    bool pidfds = n == 6 && strncmp(name, "PIDFDs", n) == 0 && k->q.pidfd >= 0, dropped = pidfds;
    if (pidfds)
        k->q.pidfd = -1;
    for (i = json_array_size(k->properties); i-- > 0;) {
        const char *has = json_string_value(json_array_get(json_array_get(k->properties, i), 0));
        if ((strlen(has) == n && strncmp(has, name, n) == 0) ||
            (pidfds && streq(has, "OOMPolicy"))) {
            json_array_remove(k->properties, i);
            dropped = true;
        }
    }
    return dropped;
}

static void rename_unit(struct making *k)
{
    unsigned random = 0;
    (void)!getrandom(&random, sizeof(random), 0);
    size_t n = strlen(k->q.unit) - strlen(".scope");
    snprintf(k->unit, sizeof(k->unit), "%.*s-%04x.scope", (int)n, k->q.unit, random & 0xffff);
}

/* False: nothing helps. */
static bool mend(struct making *k)
{
    switch (k->next) {
    case RESET:
        manager_reset_failed(k->m, k->unit);
        k->next = WAIT;
        return true;
    case WAIT: /* its last process has ended a moment ago */
        pause_a_moment();
        if (++k->patience == PATIENCE || (k->q.replace && k->patience > PATIENCE / 4))
            k->next = k->q.replace ? STOP : RENAME;
        return true;
    case STOP: /* whatever a supervisor that was killed has left in it */
        manager_stop(k->m, k->unit, NULL);
        k->next = RENAME;
        return true;
    case RENAME:
        rename_unit(k);
        k->next = NONE;
        return true;
    default:
        return false;
    }
}

/* A manager that executes itself anew drops its connections; what it was asked for it may have done
 * all the same. */
static bool reconnect(struct making *k)
{
    manager_close(k->m);
    return manager_open(k->m, NULL) == 0 || manager_await(k->m, NULL) == 0;
}

static bool lost(int r)
{
    return r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE || r == -ESHUTDOWN;
}

/* 1: once more, 0: it is there, -errno. */
static int try(struct making *k, struct err *e)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    const struct scope_request q = {
        .unit = k->unit, .properties = k->properties, .pid = k->q.pid, .pidfd = k->q.pidfd};
    int r = manager_start_once(k->m, &q, &error, e);
    bool exists = sd_bus_error_has_name(&error, UNIT_EXISTS);
    bool again = r < 0 && drop_property(k, error.message);
    sd_bus_error_free(&error);
    if (r == 0 || again)
        return again;
    scoped_free char *group = group_of(k);
    if (group)
        return 0; /* it was made by a call whose answer was lost */
    if (exists && mend(k))
        return 1;
    if (lost(r) && k->patience++ < PATIENCE && reconnect(k))
        return 1;
    return exists ? err_hint(e, r, "systemctl %sstop %s", k->m->user ? "--user " : "", k->unit) : r;
}

int session_make(struct manager *m, const struct scope_request *q, struct err *e)
{
    struct making k = {.m = m, .q = *q, .properties = json_deep_copy(q->properties)};
    snprintf(k.unit, sizeof(k.unit), "%s", q->unit);
    int r = 1;
    while (r == 1) {
        err_clear(e);
        r = try(&k, e);
    }
    json_decref(k.properties);
    if (r < 0)
        return r;
    scoped_free char *group = group_of(&k);
    r = group
            ? arrange(&k, group, e)
            : err_msg(e, ESRCH, "systemd has made %s, but process %u is not in it", k.unit, q->pid);
    /* Of a process that ended meanwhile an empty scope would stay: nothing in it can end. */
    if (r < 0)
        manager_stop(m, k.unit, NULL);
    return r;
}
