/* container - a .container file: its main process is rootlet's supervisor. */
#include <strings.h>

#include "quadlet/keys.h"
#include "quadlet/words.h"

/* Longest time that systemd's own limit (90 s) leaves to a stop. */
#define STOP_SECONDS_MAX 75

/* Type= and what --sdnotify follows from it. */
static void add_type(struct command *c)
{
    static const char *const types[] = {"notify", "oneshot", "exec", "simple", "idle", NULL};
    struct job *j = c->job;
    const char *type = unit_value(j->service_in, "Type");
    scoped_free char *notify = quadlet_own_value(j->file, "Notify");
    if (type && !strv_has((char *const *)(uintptr_t)types, type)) {
        quadlet_problem(j->file, QUADLET_ERROR, unit_last(j->service_in, "Type"),
                        "a container's service cannot be of type %s", type);
        quadlet_hint(j->file, "notify (the default), exec, simple and oneshot are there");
    }
    if (type && !streq(type, "notify")) {
        command_add(c, "--sdnotify=ignore");
        return;
    }
    job_default(j, "Type", "notify");
    job_default(j, "NotifyAccess", "main");
    if (notify && strcasecmp(notify, "healthy") == 0)
        command_add(c, "--sdnotify=healthy");
    else
        command_add(c, "--sdnotify=%s", job_bool(j, "Notify", false) ? "container" : "monitor");
}

static void add_kill_mode(struct job *j)
{
    const char *mode = unit_value(j->service_in, "KillMode");
    if (mode && !streq(mode, "mixed") && !streq(mode, "control-group")) {
        quadlet_problem(j->file, QUADLET_ERROR, unit_last(j->service_in, "KillMode"),
                        "a container's service cannot have KillMode=%s", mode);
        quadlet_hint(j->file, "mixed (the default) lets the supervisor stop the container");
    }
    job_default(j, "KillMode", "mixed");
}

static void add_user(struct command *c)
{
    scoped_free char *user = quadlet_own_value(c->job->file, "User");
    scoped_free char *group = quadlet_own_value(c->job->file, "Group");
    bool has_user = user && *user, has_group = group && *group;
    if (has_group && !has_user)
        job_fail(c->job, "Group", "a group without User=");
    else if (has_user)
        command_add(c, "--user=%s%s%s", user, has_group ? ":" : "", has_group ? group : "");
}

/* A device with '-' in front may be missing. */
static void add_devices(struct command *c)
{
    scoped_free const struct unit_line **all = unit_all(c->job->own, "AddDevice");
    for (size_t i = 0; all[i]; i++) {
        scoped_strv char **words = NULL;
        words_split(all[i]->value, WORDS_PLAIN, &words, NULL);
        for (char **w = words; w && *w; w++) {
            const char *device = **w == '-' ? *w + 1 : *w;
            scoped_free char *path = xstrndup(device, strcspn(device, ":"));
            if (**w != '-' || !c->job->set->exists || c->job->set->exists(path))
                command_add(c, "--device=%s", device);
        }
    }
}

static void add_env_files(struct command *c)
{
    scoped_free const struct unit_line **all = unit_all(c->job->own, "EnvironmentFile");
    for (size_t i = 0; all[i]; i++) {
        struct err e = ERR_INIT;
        scoped_strv char **words = NULL;
        if (words_split(all[i]->value, WORDS_EXEC, &words, &e) < 0)
            quadlet_problem(c->job->file, QUADLET_ERROR, all[i], "%s", e.msg);
        for (char **w = words; w && *w; w++) {
            if (str_after(*w, "-/")) {
                quadlet_problem(c->job->file, QUADLET_ERROR, all[i], "the file has to be there");
                quadlet_hint(c->job->file, "[Service] has EnvironmentFile=-FILE; Environment=NAME "
                                           "hands a variable on");
            }
            scoped_free char *path = job_path(c->job, *w, true);
            command_add(c, "--env-file=%s", path);
        }
    }
}

static void add_pull(struct command *c)
{
    scoped_free char *pull = quadlet_own_value(c->job->file, "Pull");
    if (!pull || !*pull)
        return;
    command_add(c, "--pull=%s", pull);
}

static void add_stop(struct command *c)
{
    struct job *j = c->job;
    scoped_free char *timeout = quadlet_own_value(j->file, "StopTimeout");
    uint64_t ms = 0;
    if (!timeout || !*timeout)
        return;
    command_add(c, "--stop-timeout=%s", timeout);
    if (strchr(timeout, '%') || strchr(timeout, '$'))
        return;
    if (parse_duration_ms(timeout, &ms) < 0)
        job_fail(j, "StopTimeout", "\"%s\" is no number of seconds", timeout);
    else if (ms / 1000 > STOP_SECONDS_MAX && !unit_last(j->service_in, "TimeoutStopSec") &&
             !unit_last(j->service_in, "TimeoutSec"))
        str_addf(&j->service, "TimeoutStopSec=%llu\n", (unsigned long long)ms / 1000 + 15);
}

static void add_pod(struct command *c)
{
    struct job *j = c->job;
    scoped_free char *pod = quadlet_own_value(j->file, "Pod");
    if (!pod || !*pod)
        return;
    const struct quadlet_file *f = quadlet_find(j->set, pod);
    if (!f || f->kind != QUADLET_POD) {
        job_fail(j, "Pod",
                 f || !str_ends(pod, ".pod") ? "%s is no .pod file" : "there is no file %s", pod);
        return;
    }
    scoped_free char *name = quadlet_resource_name(f), *service = quadlet_service_name(f);
    if (!quadlet_is_unit_name(service)) {
        job_fail(j, "Pod", "%s has no name for its service", pod);
        return;
    }
    command_add(c, "--pod=%s", name);
    str_addf(&j->unit, "BindsTo=%s\nAfter=%s\n", service, service);
}

/* What has a key of its own, and no option of the same meaning. */
static void add_special(struct command *c)
{
    struct job *j = c->job;
    scoped_free char *entrypoint = quadlet_own_value(j->file, "Entrypoint");
    scoped_free char *update = quadlet_own_value(j->file, "AutoUpdate");
    if (entrypoint)
        command_add(c, "--entrypoint=%s", entrypoint);
    if (job_bool(j, "VolatileTmp", false) && !job_bool(j, "ReadOnly", false))
        command_add(c, "--tmpfs=/tmp:rw,size=512M,mode=1777");
    if (job_bool(j, "HttpProxy", false)) {
        job_fail(j, "HttpProxy", "the proxies of the host are not handed on");
        quadlet_hint(j->file, "Environment=http_proxy=ADDRESS hands one on");
    }
    if (!update || !*update)
        return;
    command_add(c, "--auto-update=%s", update);
    if (streq(update, "registry")) {
        quadlet_problem(j->file, QUADLET_NOTE, job_line(j, "AutoUpdate"),
                        "registries come with a later version");
        quadlet_hint(j->file, "AutoUpdate=local takes an image that was loaded anew");
    } else if (!streq(update, "local")) {
        job_fail(j, "AutoUpdate", "\"%s\" is neither registry nor local", update);
    }
}

static void add_image(struct command *c)
{
    struct job *j = c->job;
    scoped_free char *image = quadlet_own_value(j->file, "Image");
    scoped_free char *rootfs = quadlet_own_value(j->file, "Rootfs");
    bool has_image = image && *image, has_rootfs = rootfs && *rootfs;
    if (has_image == has_rootfs) {
        quadlet_problem(j->file, QUADLET_ERROR, job_line(j, "Rootfs"), "%s%s",
                        has_image ? "" : j->file->path,
                        has_image ? "Image= says what to run already" : ": Image= is missing");
    } else if (has_rootfs) {
        command_add(c, "--rootfs");
        command_add(c, "%s", rootfs);
    } else if (str_ends(image, ".image") || str_ends(image, ".build")) {
        scoped_free char *name = job_reference(j, job_line(j, "Image"), image);
        command_add(c, "%s", name ? name : "");
    } else {
        command_add(c, "%s", image);
    }
}

/* The words of the last line of a key. */
static char **last_words(struct job *j, const char *key)
{
    const struct unit_line *at = job_line(j, key);
    struct err e = ERR_INIT;
    char **words = NULL;
    if (at && words_split(at->value, WORDS_EXEC, &words, &e) < 0) {
        quadlet_problem(j->file, QUADLET_ERROR, at, "%s", e.msg);
        quadlet_hint(j->file, "%s", e.hint);
    }
    return words;
}

static void add_reload(struct job *j, const char *name)
{
    scoped_strv char **words = last_words(j, "ReloadCmd");
    scoped_free char *signal = quadlet_own_value(j->file, "ReloadSignal");
    bool has_signal = signal && *signal;
    if (!words && !has_signal)
        return;
    if (words && has_signal)
        job_fail(j, "ReloadSignal", "ReloadCmd= says how to reload already");
    scoped_command struct command c = command_of(j, words ? "exec" : "kill");
    if (!words)
        command_add(&c, "--signal=%s", signal);
    command_add(&c, "%s", name);
    strv_extend(&c.words, words);
    job_exec(j, "ExecReload", "", &c);
}

void translate_container(struct job *j)
{
    scoped_free char *name = quadlet_resource_name(j->file);
    scoped_command struct command run = command_of(j, "run --unit --rm --replace");
    scoped_command struct command rm = command_of(j, "rm --force --ignore --volumes");
    scoped_strv char **exec = last_words(j, "Exec");
    size_t verb = strv_len(run.words) - 3; /* --unit --rm --replace */
    command_add(&run, "--name=%s", name);
    add_type(&run);
    command_keys(&run);
    add_user(&run);
    command_ids(&run);
    add_devices(&run);
    command_networks(&run);
    command_volumes(&run);
    command_mounts(&run);
    add_env_files(&run);
    add_pull(&run);
    add_stop(&run);
    add_special(&run);
    add_pod(&run);
    command_own_args(&run);
    add_image(&run);
    strv_extend(&run.words, exec);
    add_kill_mode(j);
    job_default(j, "Delegate", "yes");
    job_default(j, "SyslogIdentifier", "%N");
    job_exec(j, "ExecStart", "", &run);
    strv_free(j->file->run);
    j->file->run = strv_dup(run.words + verb);
    command_add(&rm, "%s", name);
    job_exec(j, "ExecStopPost", "-", &rm);
    add_reload(j, name);
}
