/* oneshot - .volume, .network, .image and .build files: a command makes the thing, and the service
 * stays active after it. .pod files beside them. */
#include "quadlet/keys.h"
#include "quadlet/words.h"

#define IMAGE_SCRIPT "\"$$0\" image exists \"$$1\" || { shift; exec \"$$0\" \"$$@\"; }"

static void add_service(struct job *j, const struct command *c, bool remain)
{
    job_default(j, "SyslogIdentifier", "%N");
    job_default(j, "Type", "oneshot");
    if (remain)
        job_default(j, "RemainAfterExit", "yes");
    job_exec(j, "ExecStart", "", c);
}

/* The value of a key, "" without one; owned. */
static char *value_of(const struct job *j, const char *key)
{
    char *v = quadlet_own_value(j->file, key);
    return v ? v : xstrdup("");
}

/* o=uid=1,gid=2,OPTIONS */
static void add_mount_options(struct job *j, struct command *c)
{
    scoped_free char *user = value_of(j, "User"), *group = value_of(j, "Group");
    scoped_free char *options = value_of(j, "Options");
    scoped_strv char **list = NULL;
    if (*user)
        strv_addf(&list, "uid=%s", user);
    if (*group)
        strv_addf(&list, "gid=%s", group);
    if (*options)
        strv_add(&list, options);
    scoped_free char *joined = strv_join(list, ",");
    if (list)
        command_add(c, "--opt=o=%s", joined);
}

static void add_volume_options(struct job *j, struct command *c)
{
    scoped_free char *device = value_of(j, "Device"), *type = value_of(j, "Type");
    if (!job_bool(j, "Copy", true)) {
        job_fail(j, "Copy", "a volume cannot say that the image's files are not copied");
        quadlet_hint(j->file, "Volume=%s:/DIR:nocopy does", j->file->name);
    }
    if (*device)
        command_add(c, "--opt=device=%s", device);
    if (*type && !*device)
        job_fail(j, "Type", "Type= wants Device=");
    else if (*type)
        command_add(c, "--opt=type=%s", type);
    if (streq(type, "bind") && *device == '/')
        job_unit_word(j, "RequiresMountsFor", device);
    add_mount_options(j, c);
}

void translate_volume(struct job *j)
{
    scoped_free char *name = quadlet_resource_name(j->file), *driver = value_of(j, "Driver");
    scoped_command struct command c = command_of(j, "volume create --ignore");
    command_keys(&c);
    if (*driver && !streq(driver, "local"))
        job_fail(j, "Driver", "there is no driver %s, local is the only one", driver);
    if (*driver)
        command_add(&c, "--driver=%s", driver);
    add_volume_options(j, &c);
    command_own_args(&c);
    command_add(&c, "%s", name);
    add_service(j, &c, true);
}

/* The nth gateway and range belong to the nth subnet. */
static void add_subnets(struct job *j, struct command *c)
{
    static const struct {
        const char *key, *option;
    } parts[] = {{"Subnet", "--subnet"}, {"Gateway", "--gateway"}, {"IPRange", "--ip-range"}};
    const struct unit_line **all[N_ELEMENTS(parts)];
    size_t n[N_ELEMENTS(parts)] = {0};
    for (size_t p = 0; p < N_ELEMENTS(parts); p++) {
        all[p] = unit_all(j->own, parts[p].key);
        while (all[p][n[p]])
            n[p]++;
        if (n[p] > n[0])
            job_fail(j, parts[p].key, "more of them than of Subnet=");
    }
    for (size_t i = 0; i < n[0]; i++)
        for (size_t p = 0; p < N_ELEMENTS(parts); p++)
            if (i < n[p])
                command_add(c, "%s=%s", parts[p].option, all[p][i]->value);
    for (size_t p = 0; p < N_ELEMENTS(parts); p++)
        free(all[p]);
}

void translate_network(struct job *j)
{
    scoped_free char *name = quadlet_resource_name(j->file);
    scoped_command struct command c = command_of(j, "network create --ignore");
    scoped_command struct command rm = command_of(j, "network rm");
    scoped_free char *driver = value_of(j, "Driver");
    if (streq(driver, "bridge"))
        quadlet_problem(j->file, QUADLET_NOTE, job_line(j, "Driver"),
                        "a bridge of the host where rootlet-net-helper is set up; else, and "
                        "without the key, a network as podman's are, without a privilege");
    command_keys(&c);
    add_subnets(j, &c);
    command_own_args(&c);
    command_add(&c, "%s", name);
    add_service(j, &c, true);
    command_add(&rm, "%s", name);
    if (job_bool(j, "NetworkDeleteOnStop", false))
        job_exec(j, "ExecStopPost", "", &rm);
}

void translate_image(struct job *j)
{
    scoped_free char *image = value_of(j, "Image"), *policy = value_of(j, "Policy");
    scoped_free char *tag = value_of(j, "ImageTag");
    scoped_command struct command pull = command_of(j, "pull"), c = {.job = j};
    bool always = streq(policy, "always") || streq(policy, "newer");
    if (!*image)
        quadlet_problem(j->file, QUADLET_ERROR, job_line(j, "Image"), "%s: Image= is missing",
                        j->file->path);
    if (always)
        command_add(&pull, "--policy=%s", policy);
    command_keys(&pull);
    command_own_args(&pull);
    command_add(&pull, "%s", image);
    if (streq(policy, "never")) {
        strv_add(&c.words, pull.words[0]);
        command_add(&c, "image");
        command_add(&c, "exists");
        command_add(&c, "%s", *tag ? tag : image);
    } else if (!always) {
        /* What is here is enough: one check, no registry. */
        command_add(&c, "/bin/sh");
        command_add(&c, "-c");
        command_add(&c, "%s", IMAGE_SCRIPT);
        strv_add(&c.words, pull.words[0]);
        command_add(&c, "%s", *tag ? tag : image);
        strv_extend(&c.words, pull.words + 1);
    }
    add_service(j, c.words ? &c : &pull, true);
}

static bool is_url(const char *s)
{
    return str_after(s, "https://") || str_after(s, "http://") || str_after(s, "git://") ||
           str_after(s, "github.com/");
}

/* WorkingDirectory= of the service for a path of the file's; the context itself when it is one. */
static char *build_context(struct job *j, const char *set, const char *file)
{
    const char *near = strcasecmp(set, "unit") == 0 ? j->file->path : NULL;
    bool by_file = strcasecmp(set, "file") == 0;
    if (!*set)
        return xstrdup("");
    if (by_file && !*file)
        job_fail(j, "SetWorkingDirectory", "there is no File=");
    scoped_free char *path = by_file ? job_path(j, file, false) : NULL;
    if (by_file)
        near = path;
    if (!near && *set != '/' && !is_url(set))
        near = j->file->path;
    const char *slash = near ? strrchr(near, '/') : NULL;
    if (slash && !unit_last(j->service_in, "WorkingDirectory")) {
        scoped_free char *dir = xstrndup(near, (size_t)(slash - near));
        scoped_free char *literal = words_literal(dir, false);
        str_addf(&j->service, "WorkingDirectory=%s\n", by_file ? dir : literal);
    }
    return xstrdup(near && near != j->file->path ? "" : strcasecmp(set, "unit") == 0 ? "." : set);
}

void translate_build(struct job *j)
{
    scoped_free char *file = value_of(j, "File"), *set = value_of(j, "SetWorkingDirectory");
    scoped_free char *tag = quadlet_resource_name(j->file);
    scoped_command struct command c = command_of(j, "build");
    bool has_dir = unit_last(j->service_in, "WorkingDirectory");
    if (!tag)
        quadlet_problem(j->file, QUADLET_ERROR, NULL, "%s: ImageTag= is missing", j->file->path);
    if (!*file && !*set && !has_dir)
        quadlet_problem(j->file, QUADLET_ERROR, NULL,
                        "%s: neither File= nor SetWorkingDirectory= says what to build",
                        j->file->path);
    else if (*file && *file != '/' && *file != '%' && !is_url(file) && !*set && !has_dir)
        job_fail(j, "File", "a relative path wants SetWorkingDirectory=");
    command_keys(&c);
    command_networks(&c);
    command_volumes(&c);
    scoped_free char *context = build_context(j, set, file);
    if (*file)
        command_add(&c, "--file=%s", file);
    command_own_args(&c);
    if (*context)
        command_add(&c, "%s", context);
    else if (*file != '/' && *file != '%' && !is_url(file))
        command_add(&c, ".");
    add_service(j, &c, false);
}

/* Containers that start with the pod: its service wants theirs. */
static void add_members(struct job *j)
{
    for (size_t i = 0; i < j->set->n; i++) {
        const struct quadlet_file *f = j->set->files[i];
        scoped_free char *pod = f->kind == QUADLET_CONTAINER ? quadlet_own_value(f, "Pod") : NULL;
        if (!streq(pod, j->file->name) || quadlet_is_template(f))
            continue;
        struct job member = {
            .set = j->set,
            .file = (struct quadlet_file *)(uintptr_t)f,
            .own = unit_section(&f->unit, quadlet_section(f->kind)),
        };
        scoped_free char *service = quadlet_service_name(f);
        if (job_bool(&member, "StartWithPod", true) && quadlet_is_unit_name(service))
            str_addf(&j->unit, "Wants=%s\nBefore=%s\n", service, service);
    }
}

void translate_pod(struct job *j)
{
    scoped_free char *name = quadlet_resource_name(j->file), *time = value_of(j, "StopTimeout");
    scoped_free char *policy = value_of(j, "ExitPolicy");
    scoped_command struct command create = command_of(j, "pod create --replace");
    scoped_command struct command start = command_of(j, "start --unit");
    scoped_command struct command stop = command_of(j, "pod stop --ignore");
    scoped_command struct command rm = command_of(j, "pod rm --ignore --force");
    add_members(j);
    /* The service stays active after the last container, so the pod stays up too. */
    if (*policy)
        command_add(&create, "--exit-policy=%s", policy);
    command_keys(&create);
    command_ids(&create);
    command_networks(&create);
    command_add(&create, "--name=%s", name);
    command_own_args(&create);
    command_add(&start, "%s-infra", name);
    command_add(&stop, "--time=%s", *time ? time : "10");
    command_add(&stop, "%s", name);
    command_add(&rm, "%s", name);
    job_exec(j, "ExecStartPre", "", &create);
    /* The supervisor of the infra container is the main process: the unit ends with the pod. */
    job_default(j, "Type", "notify");
    job_default(j, "NotifyAccess", "main");
    job_default(j, "Delegate", "yes");
    job_default(j, "KillMode", "mixed");
    job_default(j, "SyslogIdentifier", "%N");
    job_exec(j, "ExecStart", "", &start);
    job_exec(j, "ExecStop", "-", &stop);
    job_exec(j, "ExecStopPost", "-", &rm);
}
