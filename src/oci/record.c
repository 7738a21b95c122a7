/* record - state.json, and the status that is derived from it and the kernel. */
#include "oci/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "oci/oci.h"
#include "userns/userns.h"

#define RECORD_MAX_BYTES (SPEC_MAX_BYTES + 65536) /* annotations are copied into it */

const char *const oci_status_names[] = {"creating", "created", "running",
                                        "paused",   "stopped", NULL};

#define F(name, member, type) name, type, offsetof(struct oci_record, member)
static const struct jfield fields[] = {
    {F("ociVersion", version, J_STRING)},
    {F("id", id, J_STRING), JF_REQUIRED},
    {F("bundle", bundle, J_STRING)},
    {F("rootfs", rootfs, J_STRING)},
    {F("annotations", annotations, J_MAP)},
    {F("created", created_ns, J_INT64)},
    {F("owner", owner, J_UINT32)},
    {F("pid", pid, J_INT32)},
    {F("pidStart", pid_start, J_UINT64)},
    {F("bootId", boot_id, J_STRING)},
    {F("cgroup", cgroup, J_RAW)},
    {F("systemdCgroup", systemd_cgroup, J_BOOL)},
    {F("keepKeyring", keep_keyring, J_BOOL)},
    {F("noPivot", no_pivot, J_BOOL)},
    {"", J_EXTRA, offsetof(struct oci_record, extra)},
    {NULL},
};

void oci_container_release(struct oci_container *c)
{
    fd_close(&c->pidfd);
    fd_close(&c->dir_fd);
    jfield_release(fields, &c->rec);
    free(take_ptr(c->id));
}

int oci_write_record(const struct oci_container *c, struct err *e)
{
    scoped_json json_t *j = jfield_emit(fields, &c->rec);
    scoped_free char *text = json_text(j, false);
    return fs_write_atomic(c->dir_fd, "state.json", text, strlen(text), 0600, FS_NO_SYNC, e);
}

static int read_record(struct oci_container *c, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(c->dir_fd, "state.json", RECORD_MAX_BYTES, &text, e);
    if (n < 0)
        return (int)n;
    scoped_json json_t *j = json_parse(text, (size_t)n, RECORD_MAX_BYTES, "state.json", e);
    if (!j)
        return -EINVAL;
    struct oci_record rec = {0};
    int r = jfield_parse(j, fields, "", &rec, e);
    if (r < 0)
        return err_add(e, r, "state.json");
    jfield_release(fields, &c->rec);
    c->rec = rec;
    return 0;
}

/* A process whose status has not been fetched yet is gone for all purposes. proc_pid_stat(5) */
static bool is_zombie(pid_t pid)
{
    char path[40];
    scoped_free char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (fs_read(AT_FDCWD, path, 8192, &text, NULL) < 0)
        return true;
    const char *p = strrchr(text, ')');
    return !p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X';
}

/* A pidfd of the init, or -1 when it is not there any more. */
static int open_init(const struct oci_record *rec)
{
    char boot_id[40] = "";
    uint64_t start = 0;
    if (rec->pid <= 0 || proc_boot_id(boot_id) < 0 || !streq(boot_id, rec->boot_id))
        return -1;
    scoped_fd int fd = pidfd_open_pid(rec->pid);
    /* What is read after the pidfd was opened is of that process, or it is gone. */
    if (fd < 0 || proc_start_time(rec->pid, &start) < 0 || start != rec->pid_start ||
        is_zombie(rec->pid))
        return -1;
    return take_fd(&fd);
}

/* Does the init still listen for its start? Only then can the socket be connected to. */
static bool awaits_start(int dir_fd)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/start", dir_fd);
    scoped_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* EAGAIN: there are more who ask than it has had the time to hear. */
    return fd >= 0 && (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == EAGAIN);
}

static bool is_frozen(const struct oci_container *c)
{
    scoped_cgroup struct cgroup *cgroup = NULL;
    return c->rec.cgroup && cgroup_load(c->rec.cgroup, &cgroup, NULL) == 0 && cgroup_frozen(cgroup);
}

/* Somebody makes it, or it was left half made. */
static enum oci_status status_without_init(const struct oci_container *c)
{
    if (c->rec.boot_id || c->locked)
        return OCI_STOPPED;
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", c->dir_fd);
    scoped_fd int again = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool locked = again >= 0 && flock(again, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    return locked ? OCI_CREATING : OCI_STOPPED;
}

int oci_refresh(struct oci_container *c, struct err *e)
{
    int r = read_record(c, e);
    if (r == -ENOENT) { /* its making has not come so far */
        err_clear(e);
        r = 0;
    }
    if (r < 0)
        return r;
    fd_close(&c->pidfd);
    c->pidfd = open_init(&c->rec);
    if (c->pidfd < 0)
        c->status = status_without_init(c);
    else if (awaits_start(c->dir_fd))
        c->status = OCI_CREATED;
    else
        c->status = is_frozen(c) ? OCI_PAUSED : OCI_RUNNING;
    return 0;
}

int oci_want_running(const struct oci_container *c, bool created_too, struct err *e)
{
    if (c->status == OCI_RUNNING || c->status == OCI_PAUSED ||
        (created_too && c->status == OCI_CREATED))
        return 0;
    /* containerd looks for these words. */
    return err_msg(e, ESRCH, "container not running (%s is %s)", c->id,
                   oci_status_names[c->status]);
}

int oci_write_spec(const struct oci_container *c, const struct spec *spec, struct err *e)
{
    scoped_json json_t *j = spec_emit(spec);
    scoped_free char *text = json_text(j, false);
    return fs_write_atomic(c->dir_fd, "config.json", text, strlen(text), 0600, FS_NO_SYNC, e);
}

int oci_read_spec(const struct oci_container *c, struct spec *ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(c->dir_fd, "config.json", SPEC_MAX_BYTES, &text, e);
    if (n < 0)
        return (int)n;
    return spec_parse(text, (size_t)n, "config.json", ret, e);
}

int oci_open_cgroup(const struct oci_container *c, struct cgroup **ret, struct err *e)
{
    int r = cgroup_load(c->rec.cgroup, ret, e);
    return r < 0 ? err_add(e, r, "cgroup of container %s", c->id) : 0;
}

json_t *oci_state_json(const struct oci_container *c, bool more)
{
    const struct oci_record *rec = &c->rec;
    char created[40];
    json_t *j = json_object();
    json_object_set_new(j, "ociVersion",
                        json_string(rec->version ? rec->version : SPEC_OCI_VERSION));
    json_object_set_new(j, "id", json_string(c->id));
    if (c->pidfd >= 0 || more)
        json_object_set_new(j, "pid", json_integer(c->pidfd >= 0 ? rec->pid : 0));
    json_object_set_new(j, "status", json_string(oci_status_names[c->status]));
    json_object_set_new(j, "bundle", json_from_bytes(rec->bundle ? rec->bundle : ""));
    if (more) {
        scoped_free char *owner = userns_user_name(rec->owner);
        json_object_set_new(j, "rootfs", json_from_bytes(rec->rootfs ? rec->rootfs : ""));
        json_object_set_new(j, "created",
                            json_string(time_rfc3339(rec->created_ns, created, sizeof(created))));
        json_object_set_new(j, "owner", json_from_bytes(owner ? owner : ""));
    }
    if (rec->annotations)
        json_object_set_new(j, "annotations", json_from_pairs(rec->annotations));
    return j;
}
