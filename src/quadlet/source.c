/* source - what a unit takes from elsewhere: paths, volumes, networks, ids, other units. */
#include "quadlet/keys.h"
#include "quadlet/words.h"

char *job_reference(struct job *j, const struct unit_line *at, const char *name)
{
    const struct quadlet_file *f = quadlet_find(j->set, name);
    scoped_free char *resource = f ? quadlet_resource_name(f) : NULL;
    if (!f) {
        quadlet_problem(j->file, QUADLET_ERROR, at, "there is no file %s", name);
        quadlet_hint(j->file, "put it beside %s", j->file->path);
        return NULL;
    }
    if (!resource || !*resource) {
        quadlet_problem(j->file, QUADLET_ERROR, at, "%s does not say what it makes", name);
        return NULL;
    }
    scoped_free char *service = quadlet_service_name(f);
    if (!quadlet_is_unit_name(service)) {
        quadlet_problem(j->file, QUADLET_ERROR, at, "%s has no name for its service", name);
        return NULL;
    }
    if (f->kind == QUADLET_CONTAINER) {
        /* Specifiers there mean that unit, not this one. */
        char *N = strstr(resource, "%N");
        if (N) {
            char *named = xasprintf("%.*s%.*s%s", (int)(N - resource), resource,
                                    (int)(strlen(service) - strlen(".service")), service, N + 2);
            free(resource);
            resource = named;
        }
        if (strchr(resource, '%')) {
            quadlet_problem(j->file, QUADLET_ERROR, at, "the name of %s depends on its instance",
                            name);
            return NULL;
        }
    }
    str_addf(&j->unit, "Requires=%s\nAfter=%s\n", service, service);
    return take_ptr(resource);
}

char *job_path(const struct job *j, const char *path, bool exec)
{
    const char *slash = strrchr(j->file->path, '/');
    /* A specifier may be an absolute path; %% is a letter. */
    if (*path == '/' || (*path == '%' && path[1] != '%') || !slash)
        return xstrdup(path);
    while (str_after(path, "./"))
        path += 2 + strspn(path + 2, "/");
    scoped_free char *dir = xstrndup(j->file->path, (size_t)(slash - j->file->path));
    scoped_free char *literal = words_literal(dir, exec);
    bool here = !*path || streq(path, ".");
    return xasprintf("%s%s%s", literal, here ? "" : "/", here ? "" : path);
}

char *job_source(struct job *j, const struct unit_line *at, const char *source, bool images)
{
    if (!*source) {
        quadlet_problem(j->file, QUADLET_ERROR, at, "a source is empty");
        return NULL;
    }
    if (*source == '/' || *source == '.') {
        scoped_free char *plain = job_path(j, source, false);
        job_unit_word(j, "RequiresMountsFor", plain);
        return job_path(j, source, true);
    }
    if (str_ends(source, ".artifact")) {
        quadlet_problem(j->file, QUADLET_ERROR, at, "there are no artifacts in rootlet");
        return NULL;
    }
    if (str_ends(source, ".volume") || (images && str_ends(source, ".image")))
        return job_reference(j, at, source);
    return xstrdup(source);
}

void command_volumes(struct command *c)
{
    scoped_free const struct unit_line **all = unit_all(c->job->own, "Volume");
    for (size_t i = 0; all[i]; i++) {
        const char *colon = strchr(all[i]->value, ':');
        if (!colon) {
            command_add(c, "--volume=%s", all[i]->value);
            continue;
        }
        scoped_free char *name = xstrndup(all[i]->value, (size_t)(colon - all[i]->value));
        scoped_free char *source = job_source(c->job, all[i], name, false);
        if (source)
            command_add(c, "--volume=%s%s", source, colon);
    }
}

/* One --mount: its source is looked up as a volume's is. */
static void add_mount(struct command *c, const struct unit_line *at, const char *text)
{
    static const char *const known[] = {"bind",   "volume", "tmpfs",    "image", "glob",
                                        "devpts", "ramfs",  "artifact", NULL};
    scoped_strv char **parts = strv_split(text, ",", false), **out = NULL;
    const char *type = "volume";
    for (char **p = parts; p && *p; p++)
        if (str_after(*p, "type="))
            type = str_after(*p, "type=");
    if (!strv_has((char *const *)(uintptr_t)known, type)) {
        quadlet_problem(c->job->file, QUADLET_ERROR, at, "there is no mount of type %s", type);
        return;
    }
    strv_addf(&out, "type=%s", type);
    for (char **p = parts; p && *p; p++) {
        const char *v = str_after(*p, "source=");
        v = v ? v : str_after(*p, "src=");
        bool named = v && (streq(type, "bind") || streq(type, "volume") || streq(type, "image"));
        scoped_free char *source = named ? job_source(c->job, at, v, true) : xstrdup(v);
        if (source)
            strv_addf(&out, "source=%s", source);
        else if (!v && !str_after(*p, "type="))
            strv_add(&out, *p);
    }
    scoped_free char *joined = strv_join(out, ",");
    command_add(c, "--mount=%s", joined);
}

void command_mounts(struct command *c)
{
    scoped_free const struct unit_line **all = unit_all(c->job->own, "Mount");
    for (size_t i = 0; all[i]; i++) {
        struct err e = ERR_INIT;
        scoped_strv char **words = NULL;
        if (words_split(all[i]->value, WORDS_EXEC, &words, &e) < 0)
            quadlet_problem(c->job->file, QUADLET_ERROR, all[i], "%s", e.msg);
        for (char **w = words; w && *w; w++)
            add_mount(c, all[i], *w);
    }
}

static void add_network(struct command *c, const struct unit_line *at)
{
    const char *value = at->value;
    size_t n = strcspn(value, ":");
    scoped_free char *name = xstrndup(value, n);
    if (str_ends(name, ".container")) {
        if (value[n]) {
            quadlet_problem(c->job->file, QUADLET_ERROR, at,
                            "another container's network takes no options");
            return;
        }
        scoped_free char *ctr = job_reference(c->job, at, name);
        if (ctr)
            command_add(c, "--network=container:%s", ctr);
        return;
    }
    if (str_ends(name, ".network")) {
        scoped_free char *net = job_reference(c->job, at, name);
        if (net)
            command_add(c, "--network=%s%s", net, value + n);
    } else {
        command_add(c, "--network=%s", value);
    }
}

void command_networks(struct command *c)
{
    scoped_free const struct unit_line **all = unit_all(c->job->own, "Network");
    for (size_t i = 0; all[i]; i++)
        add_network(c, all[i]);
}

static size_t add_maps(struct command *c, const char *key, const char *option)
{
    size_t n = 0;
    scoped_free const struct unit_line **all = unit_all(c->job->own, key);
    for (size_t i = 0; all[i]; i++) {
        scoped_strv char **words = NULL;
        words_split(all[i]->value, WORDS_PLAIN, &words, NULL);
        for (char **w = words; w && *w; w++, n++)
            command_add(c, "%s=%s", option, *w);
    }
    return n;
}

/* RemapUsers=keep-id: at most one id each. */
static void add_keep_id(struct command *c)
{
    scoped_free char *uid = quadlet_own_value(c->job->file, "RemapUid");
    scoped_free char *gid = quadlet_own_value(c->job->file, "RemapGid");
    bool has_uid = uid && *uid, has_gid = gid && *gid;
    command_add(c, "--userns=keep-id%s%s%s%s%s", has_uid || has_gid ? ":" : "",
                has_uid ? "uid=" : "", has_uid ? uid : "",
                has_gid ? (has_uid ? ",gid=" : "gid=") : "", has_gid ? gid : "");
}

static void add_remap(struct command *c)
{
    struct job *j = c->job;
    scoped_free char *how = quadlet_own_value(j->file, "RemapUsers");
    bool maps = job_line(j, "RemapUid") || job_line(j, "RemapGid");
    if (!how || !*how) {
        if (maps)
            job_fail(j, job_line(j, "RemapUid") ? "RemapUid" : "RemapGid",
                     "RemapUsers= does not say how");
    } else if (streq(how, "manual")) {
        add_maps(c, "RemapUid", "--uidmap");
        add_maps(c, "RemapGid", "--gidmap");
    } else if (streq(how, "keep-id")) {
        add_keep_id(c);
    } else if (streq(how, "auto") && !maps) {
        command_add(c, "--userns=auto");
    } else {
        job_fail(j, "RemapUsers", "rootlet cannot remap users like this (%s)", how);
        quadlet_hint(j->file, "use UserNS=, or UIDMap= and GIDMap=");
    }
}

void command_ids(struct command *c)
{
    scoped_free char *mode = quadlet_own_value(c->job->file, "UserNS");
    size_t n = 0;
    if (mode && *mode) {
        command_add(c, "--userns=%s", mode);
        n++;
    }
    n += add_maps(c, "UIDMap", "--uidmap") + add_maps(c, "GIDMap", "--gidmap");
    if (n == 0)
        add_remap(c);
    else if (job_line(c->job, "RemapUsers"))
        job_fail(c->job, "RemapUsers", "UserNS=, UIDMap= or GIDMap= say it already");
}
