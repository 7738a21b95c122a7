/* manager - systemd's D-Bus interface, as far as scopes need it. org.freedesktop.systemd1(5) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "helpers/scope/scope.h"

#define SERVICE "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define INTERFACE "org.freedesktop.systemd1.Manager"
#define NO_UNIT "org.freedesktop.systemd1.NoSuchUnit"

/* uoss: number, path, unit and result of a job that has ended. */
static int job_removed(sd_bus_message *m, void *data, sd_bus_error *error)
{
    (void)error;
    struct manager *mgr = data;
    const char *path, *unit, *result;
    uint32_t number;
    if (sd_bus_message_read(m, "uoss", &number, &path, &unit, &result) < 0)
        return 0;
    if (mgr->job[0] && streq(path, mgr->job))
        snprintf(mgr->result, sizeof(mgr->result), "%s", result);
    return 0;
}

static int new_call(struct manager *m, const char *method, sd_bus_message **ret)
{
    return sd_bus_message_new_method_call(m->bus, ret, m->peer ? NULL : SERVICE, OBJECT, INTERFACE,
                                          method);
}

static int ignore(sd_bus_message *m, void *data, sd_bus_error *error)
{
    (void)m, (void)data, (void)error;
    return 0;
}

/* Signals for us. On a bus it is the first round trip too: whether there is a manager. */
static int subscribe(struct manager *m)
{
    scoped_message sd_bus_message *call = NULL;
    int r = sd_bus_match_signal_async(m->bus, NULL, m->peer ? NULL : SERVICE, OBJECT, INTERFACE,
                                      "JobRemoved", job_removed, NULL, m);
    if (r >= 0)
        r = new_call(m, "Subscribe", &call);
    if (r < 0)
        return r;
    /* Who has accepted our connection is the manager: its answer need not be waited for. */
    return m->peer ? sd_bus_call_async(m->bus, NULL, call, ignore, m, CALL_USEC)
                   : sd_bus_call(m->bus, call, CALL_USEC, NULL, NULL);
}

/* The manager's own socket, which systemctl takes too: without a bus between it is faster, and a
 * bus that is missing (containers, shells of su) or just restarted does not matter. */
static int open_peer(struct manager *m)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char address[512];
    if (m->user && (!runtime || runtime[0] != '/'))
        return -ENXIO;
    scoped_free char *path =
        m->user ? xasprintf("%s/systemd/private", runtime) : xstrdup("/run/systemd/private");
    if (snprintf(address, sizeof(address), "unix:path=%s", path) >= (int)sizeof(address))
        return -ENAMETOOLONG;
    /* Else a characters of the path could be taken for more of the address. */
    if (path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/.")])
        return -EINVAL;
    int r = sd_bus_new(&m->bus);
    if (r >= 0)
        r = sd_bus_set_address(m->bus, address);
    if (r >= 0)
        r = sd_bus_negotiate_fds(m->bus, true);
    return r < 0 ? r : sd_bus_start(m->bus);
}

static int try_open(struct manager *m, bool peer)
{
    m->peer = peer;
    int r = peer ? open_peer(m) : m->user ? sd_bus_open_user(&m->bus) : sd_bus_open_system(&m->bus);
    if (r >= 0)
        r = subscribe(m);
    if (r < 0)
        manager_close(m);
    return r < 0 ? r : 0;
}

/* Rootless engines clean their environment, and shells of su and sudo keep that of another user:
 * the directory where a login would have put it. */
static bool take_usual_dir(void)
{
    char path[64];
    struct stat st;
    const char *set = getenv("XDG_RUNTIME_DIR");
    snprintf(path, sizeof(path), "/run/user/%u", (unsigned)geteuid());
    if (streq(set, path) || stat(path, &st) < 0 || st.st_uid != geteuid())
        return false;
    unsetenv("DBUS_SESSION_BUS_ADDRESS");
    return setenv("XDG_RUNTIME_DIR", path, 1) == 0;
}

static int connect_manager(struct manager *m)
{
    return try_open(m, true) < 0 ? try_open(m, false) : 0;
}

int manager_open(struct manager *m, struct err *e)
{
    int r = connect_manager(m);
    if (r < 0 && m->user && take_usual_dir())
        r = connect_manager(m);
    if (r == 0)
        return 0;
    const char *dir = getenv("XDG_RUNTIME_DIR");
    err_set(e, -r, "connect to %s",
            m->user ? "the user's systemd (its socket, and the D-Bus session bus)" : "systemd");
    if (!m->user)
        return err_hint(e, r, "where no systemd runs, the cgroupfs driver does without");
    return err_hint(e, r,
                    "there is no user session: log in anew, or \"loginctl enable-linger\" "
                    "(XDG_RUNTIME_DIR is %s)",
                    dir ? dir : "not set");
}

int manager_await(struct manager *m, struct err *e)
{
    const char *runtime = m->user ? getenv("XDG_RUNTIME_DIR") : "/run";
    scoped_free char *dir = xasprintf("%s/systemd", runtime ? runtime : "");
    int r = -ENXIO;
    for (int i = 0; i < 60 && r < 0 && access(dir, F_OK) == 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        r = manager_open(m, e);
    }
    return r;
}

void manager_close(struct manager *m)
{
    m->bus = sd_bus_flush_close_unref(m->bus);
}

static int explain(int r, const sd_bus_error *error, const char *what, struct err *e)
{
    if (!sd_bus_error_is_set(error))
        return err_set(e, -r, "systemd: %s", what);
    return err_msg(e, r < 0 ? -r : EIO, "systemd: %s: %s", what, error->message);
}

static uint64_t now_usec(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Until the job that reply names has ended. */
static int wait_job(struct manager *m, sd_bus_message *reply, const char *unit, struct err *e)
{
    const char *path;
    int r = sd_bus_message_read(reply, "o", &path);
    if (r < 0)
        return err_set(e, -r, "systemd: read its answer");
    snprintf(m->job, sizeof(m->job), "%s", path);
    m->result[0] = '\0';
    uint64_t end = now_usec() + CALL_USEC;
    while (!m->result[0]) {
        r = sd_bus_process(m->bus, NULL);
        if (r < 0)
            return err_set(e, -r, "systemd: wait for its job");
        if (r > 0)
            continue;
        uint64_t now = now_usec();
        if (now >= end)
            return err_msg(e, ETIMEDOUT, "systemd: the job of %s does not end", unit);
        sd_bus_wait(m->bus, end - now);
    }
    m->job[0] = '\0';
    if (streq(m->result, "done"))
        return 0;
    return err_hint(e, err_msg(e, EIO, "systemd: the job ended with \"%s\"", m->result),
                    "systemctl %sstatus %s", m->user ? "--user " : "", unit);
}

/* A method whose one argument is the unit, and whose error does not matter. */
static void tell(struct manager *m, const char *method, const char *unit)
{
    scoped_message sd_bus_message *call = NULL;
    if (new_call(m, method, &call) >= 0 && sd_bus_message_append(call, "s", unit) >= 0)
        sd_bus_call(m->bus, call, CALL_USEC, NULL, NULL);
}

int manager_start_once(struct manager *m, const struct scope_request *q, sd_bus_error *error,
                       struct err *e)
{
    scoped_message sd_bus_message *call = NULL, *reply = NULL;
    int r = new_call(m, "StartTransientUnit", &call);
    if (r >= 0)
        r = sd_bus_message_append(call, "ss", q->unit, "fail");
    if (r >= 0)
        r = sd_bus_message_open_container(call, 'a', "(sv)");
    if (r >= 0)
        r = q->pidfd >= 0 ? sd_bus_message_append(call, "(sv)", "PIDFDs", "ah", 1, q->pidfd)
                          : sd_bus_message_append(call, "(sv)", "PIDs", "au", 1, (uint32_t)q->pid);
    if (r >= 0) {
        r = properties_append(call, q->properties, e);
        if (r < 0)
            return r;
    }
    if (r >= 0)
        r = sd_bus_message_close_container(call);
    if (r >= 0)
        r = sd_bus_message_append(call, "a(sa(sv))", 0);
    if (r >= 0)
        r = sd_bus_call(m->bus, call, CALL_USEC, error, &reply);
    return r < 0 ? explain(r, error, "start it", e) : wait_job(m, reply, q->unit, e);
}

void manager_reset_failed(struct manager *m, const char *unit)
{
    tell(m, "ResetFailedUnit", unit);
}

int manager_start(struct manager *m, const struct scope_request *request, struct err *e)
{
    struct scope_request q = *request;
    bool reset = false;
    for (;;) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = manager_start_once(m, &q, &error, e);
        bool exists = sd_bus_error_has_name(&error, UNIT_EXISTS);
        bool no_pidfds = q.pidfd >= 0 && error.message && strstr(error.message, "PIDFDs");
        sd_bus_error_free(&error);
        if (no_pidfds) {
            q.pidfd = -1; /* systemd 252 and others know process numbers only */
        } else if (exists && !reset) {
            reset = true; /* one that has failed is only in the way */
            manager_reset_failed(m, q.unit);
        } else {
            if (exists)
                err_hint(e, r, "a container of that name runs, or was left: systemctl %sstop %s",
                         m->user ? "--user " : "", q.unit);
            return r;
        }
    }
}

int manager_attach(struct manager *m, const char *unit, const char *below, unsigned pid,
                   struct err *e)
{
    scoped_message sd_bus_message *call = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = new_call(m, "AttachProcessesToUnit", &call);
    if (r >= 0)
        r = sd_bus_message_append(call, "ssau", unit, below, 1, (uint32_t)pid);
    if (r >= 0)
        r = sd_bus_call(m->bus, call, CALL_USEC, &error, NULL);
    if (r < 0)
        r = explain(r, &error, "put a process into it", e);
    sd_bus_error_free(&error);
    return r < 0 ? r : 0;
}

int manager_set(struct manager *m, const char *unit, const json_t *properties, struct err *e)
{
    scoped_message sd_bus_message *call = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = new_call(m, "SetUnitProperties", &call);
    if (r >= 0)
        r = sd_bus_message_append(call, "sb", unit, 1); /* until it ends */
    if (r >= 0)
        r = sd_bus_message_open_container(call, 'a', "(sv)");
    if (r >= 0) {
        r = properties_append(call, properties, e);
        if (r < 0)
            return r;
    }
    if (r >= 0)
        r = sd_bus_message_close_container(call);
    if (r >= 0)
        r = sd_bus_call(m->bus, call, CALL_USEC, &error, NULL);
    if (r < 0)
        r = explain(r, &error, "set its properties", e);
    sd_bus_error_free(&error);
    return r < 0 ? r : 0;
}

/* By SIGKILL first: the init of a container ignores SIGTERM, and the job would wait for it. */
static int kill_and_stop(struct manager *m, const char *unit, sd_bus_error *error,
                         sd_bus_message **reply)
{
    scoped_message sd_bus_message *kill = NULL, *call = NULL;
    int r = new_call(m, "KillUnit", &kill);
    if (r >= 0)
        r = sd_bus_message_append(kill, "ssi", unit, "all", 9);
    if (r >= 0)
        sd_bus_call(m->bus, kill, CALL_USEC, NULL, NULL);
    r = new_call(m, "StopUnit", &call);
    if (r >= 0)
        r = sd_bus_message_append(call, "ss", unit, "replace");
    return r < 0 ? r : sd_bus_call(m->bus, call, CALL_USEC, error, reply);
}

int manager_stop(struct manager *m, const char *unit, struct err *e)
{
    scoped_message sd_bus_message *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = kill_and_stop(m, unit, &error, &reply);
    bool gone = sd_bus_error_has_name(&error, NO_UNIT);
    if (r < 0 && !gone)
        r = explain(r, &error, "stop it", e);
    else
        r = gone ? 0 : wait_job(m, reply, unit, e);
    sd_bus_error_free(&error);
    if (!gone)
        tell(m, "ResetFailedUnit", unit);
    return r;
}
