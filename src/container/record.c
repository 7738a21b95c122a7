/* record - container.json and state.json as tables, and writing them. */
#include "container/container-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"

const char *const ctr_status_names[] = {
    "created", "starting", "running", "paused", "stopped", "exited", "dead", "restarting", NULL,
};

#define F_VOLUME(member, type) #member, type, offsetof(struct ctr_volume, member)
static const struct jfield volume_fields[] = {
    {F_VOLUME(name, J_STRING)},
    {F_VOLUME(type, J_STRING)},
    {F_VOLUME(source, J_STRING)},
    {F_VOLUME(destination, J_STRING)},
    {F_VOLUME(mode, J_STRING)},
    {F_VOLUME(anonymous, J_BOOL)},
    {"", J_EXTRA, offsetof(struct ctr_volume, extra)},
    {NULL},
};

#define F_HEALTH(member, type) #member, type, offsetof(struct ctr_health, member)
static const struct jfield health_fields[] = {
    {F_HEALTH(test, J_STRV)},
    {F_HEALTH(interval_ns, J_INT64)},
    {F_HEALTH(timeout_ns, J_INT64)},
    {F_HEALTH(start_period_ns, J_INT64)},
    {F_HEALTH(start_interval_ns, J_INT64)},
    {F_HEALTH(retries, J_INT32)},
    {F_HEALTH(on_failure, J_STRING)},
    {"", J_EXTRA, offsetof(struct ctr_health, extra)},
    {NULL},
};

#define F_RECORD(member, type) #member, type, offsetof(struct ctr_record, member)
const struct jfield ctr_record_fields[] = {
    {F_RECORD(version, J_INT32), JF_REQUIRED},
    {F_RECORD(id, J_STRING), JF_REQUIRED},
    {F_RECORD(name, J_STRING), JF_REQUIRED},
    {F_RECORD(image, J_STRING)},
    {F_RECORD(image_id, J_STRING)},
    {F_RECORD(image_digest, J_STRING)},
    {F_RECORD(image_layers, J_STRV)},
    {F_RECORD(command, J_STRV)},
    {F_RECORD(entrypoint, J_STRV)},
    {F_RECORD(cmd, J_STRV)},
    {F_RECORD(created_ns, J_INT64)},
    {F_RECORD(labels, J_MAP)},
    {F_RECORD(user, J_STRING)},
    {F_RECORD(login, J_STRING)},
    {F_RECORD(groups, J_STRV)},
    {F_RECORD(tty, J_BOOL)},
    {F_RECORD(open_stdin, J_BOOL)},
    {F_RECORD(auto_remove, J_BOOL)},
    {F_RECORD(init, J_BOOL)},
    {F_RECORD(privileged, J_BOOL)},
    {F_RECORD(publish_all, J_BOOL)},
    {F_RECORD(stop_signal, J_STRING)},
    /* 0 means "at once", so it must not vanish. */
    {F_RECORD(stop_timeout_s, J_INT64), JF_KEEP_EMPTY},
    {F_RECORD(timeout_s, J_INT64)},
    {F_RECORD(restart_policy, J_STRING)},
    {F_RECORD(restart_retries, J_INT32)},
    {F_RECORD(log_driver, J_STRING)},
    {F_RECORD(log_opts, J_STRV)},
    {F_RECORD(userns, J_STRING)},
    {F_RECORD(cgroups, J_STRING)},
    {F_RECORD(cgroup_parent, J_STRING)},
    {F_RECORD(pids_default, J_BOOL)},
    {F_RECORD(sdnotify, J_STRING)},
    {F_RECORD(on_pressure, J_STRV)},
    {F_RECORD(oomd, J_STRING)},
    {F_RECORD(pod, J_STRING)},
    {F_RECORD(pod_infra, J_BOOL)},
    {F_RECORD(pod_share, J_STRV)},
    {F_RECORD(pod_exit, J_STRING)},
    {F_RECORD(pod_id, J_STRING)},
    {F_RECORD(joins, J_MAP)},
    {F_RECORD(requires, J_STRV)},
    {F_RECORD(auto_update, J_STRING)},
    {F_RECORD(health, J_STRUCT), .sub = health_fields},
    {F_RECORD(seccomp, J_STRING)},
    {F_RECORD(security_profile, J_STRING)},
    {F_RECORD(pidfile, J_STRING)},
    {F_RECORD(cidfile, J_STRING)},
    {F_RECORD(secopts, J_STRV)},
    {F_RECORD(cap_add, J_STRV)},
    {F_RECORD(cap_drop, J_STRV)},
    {F_RECORD(network, J_STRUCT), .sub = network_plan_fields},
    {F_RECORD(storage, J_STRUCT), .sub = storage_root_fields},
    {F_RECORD(volumes, J_ARRAY), .sub = volume_fields, .sub_size = sizeof(struct ctr_volume),
     .count_offset = offsetof(struct ctr_record, n_volumes)},
    {F_RECORD(create_command, J_STRV)},
    {F_RECORD(host_config, J_RAW)},
    {"", J_EXTRA, offsetof(struct ctr_record, extra)},
    {NULL},
};

/* Scripts read this file: every member of it is always there. */
#define F_STATE(name, member, type) name, type, offsetof(struct ctr_state, member), JF_KEEP_EMPTY
const struct jfield ctr_state_fields[] = {
    {F_STATE("id", id, J_STRING)},
    {F_STATE("uuid", uuid, J_STRING)},
    {F_STATE("name", name, J_STRING)},
    {F_STATE("image", image, J_STRING)},
    {F_STATE("command", command, J_STRING)},
    {F_STATE("status", status, J_ENUM), .names = ctr_status_names},
    {F_STATE("pid", pid, J_INT32)},
    {F_STATE("pid_start", pid_start, J_UINT64)},
    {F_STATE("supervisor_pid", supervisor_pid, J_INT32)},
    {F_STATE("supervisor_start", supervisor_start, J_UINT64)},
    {F_STATE("boot_id", boot_id, J_STRING)},
    {F_STATE("exit_code", exit_code, J_INT32)},
    {F_STATE("signal", signal, J_INT32)},
    {F_STATE("oom_killed", oom_killed, J_BOOL)},
    {F_STATE("stop_requested", stop_requested, J_BOOL)},
    {F_STATE("reason", reason, J_STRING)},
    {F_STATE("created_at", created_ns, J_INT64)},
    {F_STATE("started_at", started_ns, J_INT64)},
    {F_STATE("finished_at", finished_ns, J_INT64)},
    {F_STATE("restart_count", restart_count, J_INT32)},
    {F_STATE("cgroup_path", cgroup_path, J_STRING)},
    {F_STATE("cgroup", cgroup, J_RAW)},
    {F_STATE("health", health, J_STRING)},
    {F_STATE("rootfs", rootfs, J_STRING)},
    {F_STATE("namespaces", namespaces, J_MAP)},
    {F_STATE("ports", ports, J_STRV)},
    {F_STATE("networks", networks, J_STRV)},
    {F_STATE("network", network, J_RAW)},
    {F_STATE("labels", labels, J_MAP)},
    {F_STATE("pod", pod, J_STRING)},
    {F_STATE("pod_id", pod_id, J_STRING)},
    {F_STATE("user_stopped", user_stopped, J_BOOL)},
    {F_STATE("memory_limit", memory_limit, J_UINT64)},
    {F_STATE("memory_peak", memory_peak, J_UINT64)},
    {F_STATE("stdin_pipe", stdin_pipe, J_UINT64)},
    {F_STATE("stdout_pipe", stdout_pipe, J_UINT64)},
    {F_STATE("stderr_pipe", stderr_pipe, J_UINT64)},
    {F_STATE("directory", directory, J_UINT64)},
    {"", J_EXTRA, offsetof(struct ctr_state, extra)},
    {NULL},
};

void ctr_record_release(struct ctr_record *r)
{
    jfield_release(ctr_record_fields, r);
}

void ctr_state_release(struct ctr_state *s)
{
    jfield_release(ctr_state_fields, s);
}

bool ctr_state_alive(const struct ctr_state *s)
{
    return s->status == CTR_STARTING || s->status == CTR_RUNNING || s->status == CTR_PAUSED ||
           s->status == CTR_RESTARTING;
}

bool ctr_state_unsupervised(const struct ctr_state *s)
{
    return ctr_state_alive(s) && s->supervisor_pid == 0 && s->pid > 0;
}

void container_release(struct container *c)
{
    fd_close(&c->dir_fd);
    ctr_record_release(&c->rec);
    ctr_state_release(&c->state);
}

/* The text that a table makes of data; owned. */
static char *emit_text(const struct jfield *table, const void *data)
{
    scoped_json json_t *j = jfield_emit(table, data);
    return json_text(j, false);
}

char *record_text(const struct ctr_record *rec)
{
    return emit_text(ctr_record_fields, rec);
}

char *state_text(const struct ctr_state *s)
{
    return emit_text(ctr_state_fields, s);
}

int container_write_record(int dir_fd, const struct ctr_record *rec, struct err *e)
{
    scoped_free char *text = record_text(rec);
    return fs_write_atomic(dir_fd, "container.json", text, strlen(text), 0600, FS_NO_SYNC, e);
}

int container_write_spec(int dir_fd, const struct spec *spec, struct err *e)
{
    scoped_json json_t *j = spec_emit(spec);
    scoped_free char *text = json_text(j, false);
    return fs_write_atomic(dir_fd, "config.json", text, strlen(text), 0600, FS_NO_SYNC, e);
}

/* No room for a new file: the old one is overwritten, as its block is there already. One write of a
 * few hundred bytes; blanks cover what was longer. */
static int overwrite_state(int dir_fd, const char *text)
{
    struct stat st;
    scoped_fd int fd = openat(dir_fd, "state.json", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    size_t len = strlen(text), n = st.st_size > (off_t)len ? (size_t)st.st_size : len;
    if (n > RECORD_MAX_BYTES)
        return -EFBIG;
    scoped_free char *padded = xmalloc(n);
    memset(padded, ' ', n);
    memcpy(padded, text, len);
    ssize_t written = pwrite(fd, padded, n, 0);
    return written == (ssize_t)n ? 0 : written < 0 ? -errno : -EIO;
}

int container_write_state(int dir_fd, const struct ctr_state *s, struct err *e)
{
    struct ctr_state here = *s; /* borrows all that it points to */
    struct stat st;
    here.directory = fstat(dir_fd, &st) == 0 ? st.st_ino : 0;
    scoped_free char *text = state_text(&here);
    int r = fs_write_atomic(dir_fd, "state.json", text, strlen(text), 0600, FS_NO_SYNC, e);
    if ((r == -ENOSPC || r == -EDQUOT) && overwrite_state(dir_fd, text) == 0) {
        err_clear(e);
        r = 0;
    }
    return r;
}

int container_read_spec(int dir_fd, struct spec *ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(dir_fd, "config.json", SPEC_MAX_BYTES, &text, e);
    if (n < 0)
        return (int)n;
    return spec_parse(text, (size_t)n, "config.json", ret, e);
}

/* Text to a struct by its table. */
static int parse_text(const char *text, size_t len, const char *what, const struct jfield *table,
                      void *ret, struct err *e)
{
    scoped_json json_t *j = json_parse(text, len, RECORD_MAX_BYTES, what, e);
    if (!j)
        return -EINVAL;
    int r = jfield_parse(j, table, "", ret, e);
    return r < 0 ? err_add(e, r, "%s", what) : 0;
}

int container_read_record(int dir_fd, struct ctr_record *ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(dir_fd, "container.json", RECORD_MAX_BYTES, &text, e);
    if (n < 0)
        return (int)n;
    struct ctr_record rec = {0};
    int r = parse_text(text, (size_t)n, "container.json", ctr_record_fields, &rec, e);
    if (r < 0)
        return r;
    if (rec.version > RECORD_VERSION) {
        r = err_msg(e, EPROTO, "container.json: version %d is newer than this program",
                    rec.version);
        ctr_record_release(&rec);
        return r;
    }
    *ret = rec;
    return 0;
}

int state_parse(const char *text, size_t len, struct ctr_state *ret, struct err *e)
{
    /* An absent status would read as "created". */
    struct ctr_state s = {.status = -1};
    if (!scan_object(text, len, ctr_state_fields, &s)) {
        ctr_state_release(&s);
        s = (struct ctr_state){.status = -1};
        int r = parse_text(text, len, "state.json", ctr_state_fields, &s, e);
        if (r < 0)
            return r;
    }
    if (s.status < 0 || !s.id || !id_is_hex(s.id) || strlen(s.id) != ID_LEN) {
        ctr_state_release(&s);
        return err_msg(e, EINVAL, "state.json: no valid id or status");
    }
    *ret = s;
    return 0;
}

int container_read_state(int dir_fd, struct ctr_state *ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(dir_fd, "state.json", RECORD_MAX_BYTES, &text, e);
    int r = n < 0 ? (int)n : state_parse(text, (size_t)n, ret, e);
    struct stat st;
    /* In a copy of a store: the processes that it names are the other one's. As long as a
     * supervisor has the directory open its number stays the same on every file system. */
    if (r == 0 && ret->directory && fstat(dir_fd, &st) == 0 && st.st_ino != ret->directory &&
        ctr_process_alive(ret->supervisor_pid, ret->supervisor_start)) {
        free(ret->boot_id);
        ret->boot_id = xstrdup(BOOT_OF_A_COPY);
    }
    return r;
}

void state_set_dead(struct ctr_state *s, const char *reason)
{
    s->status = CTR_DEAD;
    free(s->reason);
    s->reason = xstrdup(reason);
}

char **container_networks(const struct ctr_record *rec)
{
    const struct network_plan *p = &rec->network;
    char **names = NULL;
    for (size_t i = 0; i < p->n_joins; i++)
        strv_add(&names, p->joins[i].network);
    if (!names && p->mode && !streq(p->mode, "networks"))
        strv_add(&names, p->mode);
    return names;
}

void container_state_init(const struct ctr_record *rec, struct ctr_state *ret)
{
    char uuid[37];
    id_uuid(rec->id, uuid);
    *ret = (struct ctr_state){
        .id = xstrdup(rec->id),
        .uuid = xstrdup(uuid),
        .name = xstrdup(rec->name),
        .image = xstrdup(rec->image),
        .command = strv_join(rec->command, " "),
        .status = CTR_CREATED,
        .created_ns = rec->created_ns,
        .labels = strv_dup(rec->labels),
        .pod = xstrdup(rec->pod),
        .pod_id = xstrdup(rec->pod_infra ? rec->id : rec->pod_id),
    };
    const struct storage_root *root = &rec->storage;
    ret->rootfs = xstrdup(root->dir ? root->dir : root->upper ? root->upper : "");
    ret->networks = container_networks(rec);
}
