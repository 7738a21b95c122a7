/* inspect - everything about a container (or an image) as JSON, in the keys that podman and docker
 * document. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/timefmt.h"
#include "cli/cli.h"
#include "cli/inspect.h"
#include "cli/sizes.h"
#include "format/format.h"
#include "image/store.h"
#include "network/store.h"
#include "volume/volume.h"

struct inspect_opts {
    char *format, *type;
    bool latest, size;
};

#define O(m) offsetof(struct inspect_opts, m)
static const struct opt inspect_table[] = {
    {"format", 'f', OPT_STRING, O(format), "TEMPLATE", "Go template, or json"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"size", 's', OPT_FLAG, O(size), NULL, "Add SizeRw, what the container has written"},
    {"type", 't', OPT_STRING, O(type), "TYPE", "container, image or all (default)"},
    {NULL},
};

static json_t *text(const char *s)
{
    return json_string(s ? s : "");
}

static json_t *when(int64_t ns)
{
    char buf[64];
    return json_string(time_rfc3339(ns, buf, sizeof(buf)));
}

/* What the supervisor has noted, with the status of the state: the run of the notes may have been
 * killed. */
static json_t *health_json(const struct container *c)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(c->dir_fd, "health.json", 1u << 20, &text, NULL);
    json_t *j = n > 0 && c->state.health && *c->state.health
                    ? json_parse(text, (size_t)n, 1u << 20, "health.json", NULL)
                    : NULL;
    if (!j)
        j = json_pack("{s:s, s:i, s:[]}", "Status", "", "FailingStreak", 0, "Log");
    json_object_set_new(j, "Status", json_string(c->state.health ? c->state.health : ""));
    return j;
}

/* docker's Healthcheck, null without one. */
static json_t *healthcheck_json(const struct ctr_health *h)
{
    if (!h->test)
        return json_null();
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:i}", "Test", json_from_strv(h->test), "Interval",
                     (json_int_t)h->interval_ns, "Timeout", (json_int_t)h->timeout_ns,
                     "StartPeriod", (json_int_t)h->start_period_ns, "StartInterval",
                     (json_int_t)h->start_interval_ns, "Retries", (int)h->retries);
}

static json_t *state_json(const struct container *c)
{
    const struct ctr_state *s = &c->state;
    /* docker's: between two runs it counts as running. */
    bool again = s->status == CTR_RESTARTING;
    bool alive = s->status == CTR_RUNNING || s->status == CTR_PAUSED || again;
    json_t *j = json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:i, s:i, s:i, s:s, s:o, s:o, s:s, s:s}",
                          "Status", ctr_status_names[s->status], "Running", alive, "Paused",
                          s->status == CTR_PAUSED, "Restarting", again, "OOMKilled", s->oom_killed,
                          "Dead", s->status == CTR_DEAD, "Pid", alive ? s->pid : 0, "ConmonPid",
                          alive ? s->supervisor_pid : 0, "ExitCode", s->exit_code, "Error",
                          s->reason ? s->reason : "", "StartedAt", when(s->started_ns),
                          "FinishedAt", when(s->finished_ns), "CgroupPath",
                          s->cgroup_path ? s->cgroup_path : "", "OciVersion", SPEC_OCI_VERSION);
    json_object_set_new(j, "Health", health_json(c));
    return j;
}

static json_t *config_json(const struct container *c, const struct spec *spec)
{
    const struct ctr_record *r = &c->rec;
    json_t *j = json_object();
    json_object_set_new(j, "Hostname", text(spec->hostname));
    json_object_set_new(j, "Domainname", text(spec->domainname));
    json_object_set_new(j, "User", text(r->user));
    json_object_set_new(j, "Env", json_from_strv(spec->process->env));
    json_object_set_new(j, "Cmd", json_from_strv(r->cmd));
    json_object_set_new(j, "Entrypoint", json_from_strv(r->entrypoint));
    json_object_set_new(j, "Image", text(r->image));
    json_object_set_new(j, "WorkingDir", text(spec->process->cwd));
    json_object_set_new(j, "ExposedPorts", inspect_exposed(&r->network));
    json_object_set_new(j, "Labels", json_from_pairs(r->labels));
    json_object_set_new(j, "Annotations", json_from_pairs(spec->annotations));
    json_object_set_new(j, "Healthcheck", healthcheck_json(&r->health));
    json_object_set_new(j, "HealthcheckOnFailureAction",
                        text(r->health.on_failure ? r->health.on_failure : "none"));
    json_object_set_new(j, "StopSignal", text(r->stop_signal));
    json_object_set_new(j, "sdNotifyMode", json_string(r->sdnotify ? r->sdnotify : "ignore"));
    json_object_set_new(j, "StopTimeout", json_integer(r->stop_timeout_s));
    json_object_set_new(j, "Timeout", json_integer(r->timeout_s));
    json_object_set_new(j, "Tty", json_boolean(r->tty));
    json_object_set_new(j, "OpenStdin", json_boolean(r->open_stdin));
    json_object_set_new(j, "AttachStdin", json_boolean(r->open_stdin));
    json_object_set_new(j, "CreateCommand", json_from_strv(r->create_command));
    json_object_set_new(
        j, "Umask",
        json_sprintf("%04o", spec->process->user.has_umask ? spec->process->user.umask : 022u));
    return j;
}

static json_t *binds_json(const struct ctr_record *r)
{
    json_t *a = json_array();
    for (size_t i = 0; i < r->n_volumes; i++) {
        const struct ctr_volume *v = &r->volumes[i];
        json_array_append_new(a, json_sprintf("%s:%s%s%s", v->name ? v->name : v->source,
                                              v->destination, v->mode && *v->mode ? ":" : "",
                                              v->mode ? v->mode : ""));
    }
    return a;
}

static json_t *ulimits_json(const struct spec_process *p)
{
    json_t *a = json_array();
    for (size_t i = 0; i < p->n_rlimits; i++)
        json_array_append_new(a, json_pack("{s:s, s:I, s:I}", "Name", p->rlimits[i].type, "Soft",
                                           (json_int_t)p->rlimits[i].soft, "Hard",
                                           (json_int_t)p->rlimits[i].hard));
    return a;
}

/* "private" or "host", or whose namespace it is. */
static const char *ns_mode(const struct spec *spec, const char *type)
{
    const struct spec_namespace *ns = spec_namespace_get(spec, type);
    return !ns ? "host" : ns->path ? ns->path : "private";
}

static void add_modes(const struct spec *spec, json_t *j)
{
    const struct spec_process *p = spec->process;
    json_object_set_new(j, "PidMode", text(ns_mode(spec, "pid")));
    json_object_set_new(j, "IpcMode", text(ns_mode(spec, "ipc")));
    json_object_set_new(j, "UTSMode", text(ns_mode(spec, "uts")));
    json_object_set_new(j, "CgroupMode", text(ns_mode(spec, "cgroup")));
    json_object_set_new(j, "OomScoreAdj",
                        json_integer(p->has_oom_score_adj ? p->oom_score_adj : 0));
}

static json_t *host_config(const struct container *c, const struct spec *spec)
{
    const struct ctr_record *r = &c->rec;
    json_t *j = r->host_config ? json_deep_copy(r->host_config) : json_object();
    json_object_set_new(j, "Binds", binds_json(r));
    json_object_set_new(j, "NetworkMode", inspect_network_mode(&r->network));
    json_object_set_new(j, "PortBindings", inspect_port_bindings(&r->network));
    json_object_set_new(j, "RestartPolicy",
                        json_pack("{s:s, s:i}", "Name",
                                  r->restart_policy ? r->restart_policy : "no", "MaximumRetryCount",
                                  (int)r->restart_retries));
    json_object_set_new(j, "AutoRemove", json_boolean(r->auto_remove));
    json_object_set_new(j, "CapAdd", json_from_strv(r->cap_add));
    json_object_set_new(j, "CapDrop", json_from_strv(r->cap_drop));
    json_object_set_new(j, "ReadonlyRootfs", json_boolean(spec->root && spec->root->readonly));
    json_object_set_new(j, "SecurityOpt", json_from_strv(r->secopts));
    json_object_set_new(j, "Privileged", json_boolean(r->privileged));
    json_object_set_new(j, "Init", json_boolean(r->init));
    json_object_set_new(j, "UsernsMode", text(r->userns));
    json_object_set_new(j, "Cgroups", text(r->cgroups));
    json_object_set_new(j, "OnPressure", json_from_strv(r->on_pressure));
    json_object_set_new(j, "Oomd", text(r->oomd ? r->oomd : "auto"));
    json_object_set_new(j, "LogConfig",
                        json_pack("{s:s, s:o}", "Type", r->log_driver ? r->log_driver : "",
                                  "Config", json_from_pairs(r->log_opts)));
    json_object_set_new(j, "GroupAdd", json_from_strv(r->groups));
    json_object_set_new(j, "Ulimits", ulimits_json(spec->process));
    add_modes(spec, j);
    inspect_limits(r, spec, j);
    return j;
}

static json_t *graph_json(const struct storage_root *s)
{
    scoped_free char *lower = strv_join(s->layers, ":");
    return json_pack("{s:s, s:{s:s, s:s, s:s}}", "Name", s->driver ? s->driver : "", "Data",
                     "LowerDir", lower ? lower : "", "UpperDir", s->upper ? s->upper : "",
                     "WorkDir", s->work ? s->work : "");
}

static void add_paths(const struct container *c, json_t *j)
{
    const char *root = cli_conf()->root;
    json_object_set_new(j, "OCIConfigPath",
                        json_sprintf("%s/containers/%s/config.json", root, c->id));
    json_object_set_new(j, "StaticDir", json_sprintf("%s/containers/%s", root, c->id));
    json_object_set_new(j, "LogPath", json_sprintf("%s/containers/%s/log", root, c->id));
    json_object_set_new(j, "ResolvConfPath",
                        json_sprintf("%s/containers/%s/resolv.conf", root, c->id));
    json_object_set_new(j, "HostsPath", json_sprintf("%s/containers/%s/hosts", root, c->id));
    json_object_set_new(j, "HostnamePath", json_sprintf("%s/containers/%s/hostname", root, c->id));
    json_object_set_new(j, "PidFile", text(c->rec.pidfile));
}

static int add_size(const struct container *c, json_t *j, struct err *e)
{
    scoped_ctr_sizes struct ctr_sizes sizes = {0};
    char *const ids[] = {(char *)(uintptr_t)c->id, NULL};
    int r = cli_sizes(ids, NULL, 0, &sizes, e);
    if (r < 0)
        return r;
    json_object_set_new(j, "SizeRw", json_integer((json_int_t)sizes.v[0].rw));
    json_object_set_new(j, "SizeRootFs", json_integer((json_int_t)sizes.v[0].root));
    return 0;
}

static int container_json(const struct container *c, bool size, json_t **ret, struct err *e)
{
    scoped_spec struct spec spec = {0};
    int r = container_read_spec(c->dir_fd, &spec, e);
    if (r < 0 && c->state.status != CTR_DEAD)
        return r;
    err_clear(e);
    if (!spec.process) /* a configuration may do without */
        spec.process = xcalloc(1, sizeof(*spec.process));
    const struct ctr_record *rec = &c->rec;
    const struct spec_caps *caps = spec.process->capabilities;
    json_t *j = json_object();
    json_object_set_new(j, "Id", json_string(c->id));
    json_object_set_new(j, "Uuid", text(c->state.uuid));
    json_object_set_new(j, "Created", when(rec->created_ns));
    json_object_set_new(j, "Path", text(rec->command ? rec->command[0] : NULL));
    json_object_set_new(j, "Args",
                        json_from_strv(rec->command && rec->command[0] ? rec->command + 1 : NULL));
    json_object_set_new(j, "State", state_json(c));
    json_object_set_new(j, "Image", text(rec->image_id));
    json_object_set_new(j, "ImageDigest", text(rec->image_digest));
    json_object_set_new(j, "ImageName", text(rec->image));
    json_object_set_new(j, "Rootfs", text(rec->storage.dir));
    json_object_set_new(j, "Name", text(c->state.name ? c->state.name : rec->name));
    json_object_set_new(j, "RestartCount", json_integer(c->state.restart_count));
    json_object_set_new(j, "Pod", text(rec->pod_infra ? c->id : rec->pod_id));
    json_object_set_new(j, "Driver", text(rec->storage.driver));
    json_object_set_new(j, "MountLabel", text(spec.linux_ ? spec.linux_->mount_label : NULL));
    json_object_set_new(j, "AppArmorProfile", text(spec.process->apparmor_profile));
    json_object_set_new(j, "EffectiveCaps", json_from_strv(caps ? caps->effective : NULL));
    json_object_set_new(j, "BoundingCaps", json_from_strv(caps ? caps->bounding : NULL));
    json_object_set_new(j, "SeccompProfile", text(rec->seccomp));
    json_object_set_new(j, "Namespaces", json_from_pairs(c->state.namespaces));
    json_object_set_new(j, "GraphDriver", graph_json(&rec->storage));
    json_object_set_new(j, "Mounts", inspect_mounts(rec, &spec));
    json_object_set_new(j, "NetworkSettings", inspect_network(c));
    json_object_set_new(j, "Config", config_json(c, &spec));
    json_object_set_new(j, "HostConfig", host_config(c, &spec));
    add_paths(c, j);
    inspect_fill(rec, j);
    r = size ? add_size(c, j, e) : 0;
    if (r < 0)
        json_decref(j);
    else
        *ret = j;
    return r;
}

/* An image in short: `rootlet image inspect` has the whole. */
static int image_json(const char *ref, json_t **ret, struct err *e)
{
    struct store_image i = {0};
    struct image_config cfg = {0};
    int r = store_find(cli_conf(), ref, &i, e);
    if (r == 0)
        r = store_config(cli_conf(), &i, &cfg, e);
    r = r < 0 ? r : store_names(cli_conf(), &i, e);
    if (r == 0)
        *ret = json_pack(
            "{s:s, s:s, s:o, s:o, s:s, s:s, s:I, s:o}", "Id", i.id, "Digest",
            i.manifest ? i.manifest : "", "RepoTags", json_from_strv(i.names), "RepoDigests",
            json_from_strv(i.digests), "Architecture", i.architecture ? i.architecture : "", "Os",
            i.os ? i.os : "", "Size", (json_int_t)i.size, "Config",
            cfg.raw ? json_deep_copy(json_object_get(cfg.raw, "config")) : json_object());
    store_image_release(&i);
    image_config_release(&cfg);
    return r;
}

static int one(const struct inspect_opts *o, const char *ref, json_t *out, struct err *e)
{
    const char *type = o->type ? o->type : "all";
    json_t *j = NULL;
    struct err none = ERR_INIT;
    int r = -ENOENT;
    if (!streq(type, "image")) {
        scoped_container struct container c = {.dir_fd = -1};
        r = ref ? container_open(cli_conf(), ref, &c, e) : container_open_latest(cli_conf(), &c, e);
        if (r == 0)
            r = container_json(&c, o->size, &j, e);
    }
    if (r == -ENOENT && ref && !streq(type, "container"))
        r = image_json(ref, &j, &none) == 0 ? 0 : -ENOENT;
    if (r == -ENOENT) {
        err_clear(e);
        struct volume v = {0};
        r = err_msg(e, ENOENT, "no such object: \"%s\"", ref ? ref : "");
        if (ref && volume_open(cli_conf(), ref, &v, NULL) == 0)
            err_hint(e, r, "there is a volume of this name: rootlet volume inspect %s", ref);
        volume_release(&v);
        scoped_network_config struct network_config n = {.name = NULL};
        if (ref && network_open(cli_conf(), ref, &n, &none) == 0)
            err_hint(e, r, "there is a network of this name: rootlet network inspect %s", ref);
        return r;
    }
    if (r < 0)
        return r;
    json_array_append_new(out, j);
    return 0;
}

static int inspect(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct inspect_opts *o = opts;
    scoped_json json_t *all = json_array();
    scoped_str struct str out = STR_INIT;
    struct err none = ERR_INIT;
    int worst = 0;
    (void)cmd;
    if (o->type && !streq(o->type, "container") && !streq(o->type, "image") &&
        !streq(o->type, "all"))
        return err_hint(
            e, err_msg(e, EINVAL, "--type %s: not container, image or all", o->type),
            "rootlet network inspect, volume inspect and pod inspect show what is neither");
    if (!o->latest && !*args)
        return err_hint(e, err_msg(e, EINVAL, "inspect: no name given"),
                        "names or ids of containers or images, or --latest");
    if (o->latest)
        worst = one(o, NULL, all, e);
    for (char **a = args; *a; a++) {
        int r = one(o, *a, all, worst < 0 ? &none : e);
        worst = worst < 0 ? worst : r;
    }
    /* As podman: what was found is printed, "[]" when nothing was. */
    int r = format_objects(o->format, all, &out, worst < 0 ? &none : e);
    if (r == 0)
        fputs(out.s, stdout);
    return worst < 0 ? worst : r;
}

static const char *const inspect_aliases[] = {"container inspect", NULL};

const struct cmd cli_inspect_cmds[] = {
    {
        .name = "inspect",
        .args = "NAME [NAME...]",
        .summary = "Show everything about containers or images as JSON",
        .opts = inspect_table,
        .opts_size = sizeof(struct inspect_opts),
        .max_args = -1,
        .run = inspect,
        .aliases = inspect_aliases,
        .examples = "rootlet inspect web\nrootlet inspect -f '{{.State.Pid}}' web",
    },
    {NULL},
};
