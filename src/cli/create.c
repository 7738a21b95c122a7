/* create - see create.h. */
#include "cli/create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "cli/adopt.h"
#include "cli/build.h"
#include "cli/build_limits.h"
#include "cli/cli.h"
#include "cli/pod.h"
#include "cli/pull.h"
#include "cli/requires.h"
#include "image/pin.h"
#include "storage/storage.h"
#include "volume/volume.h"

/* Everything a creation holds until the record is on disk. */
struct creation {
    const struct run_opts *o;
    int store_lock;       /* keeps the image's layers until the record refers to them, */
    struct store_pin pin; /* or this, when that may take long */
    struct store_image image;
    struct image_config config;
    bool has_image;
    struct userns_map map, store_map;
    char **layer_dirs;
    const struct storage_driver *driver;
    struct cli_groups *groups;
    struct pod_member member;
    struct spec spec;
    struct ctr_record rec;
    struct build b;
};

static void creation_release(struct creation *c)
{
    fd_close(&c->store_lock);
    store_pin_close(&c->pin);
    build_release(&c->b);
    pod_member_release(&c->member);
    store_image_release(&c->image);
    image_config_release(&c->config);
    userns_map_release(&c->map);
    userns_map_release(&c->store_map);
    strv_free(c->layer_dirs);
    spec_release(&c->spec);
    ctr_record_release(&c->rec);
}

/* "linux/amd64", "linux/arm/v7" or "amd64": an image is here for one platform. */
static int check_platform(const struct creation *c, struct err *e)
{
    const struct store_image *i = &c->image;
    const struct run_opts *o = c->o;
    const char *want = o->platform;
    if (want && (o->os || o->arch || o->variant))
        return err_msg(e, EINVAL, "--platform excludes --os, --arch and --variant");
    if ((o->os && !streq(o->os, i->os)) || (o->arch && !streq(o->arch, i->architecture)) ||
        (o->variant && !streq(o->variant, i->variant ? i->variant : "")))
        return err_msg(e, EXDEV, "--os, --arch, --variant: the image is for %s/%s", i->os,
                       i->architecture);
    if (!want)
        return 0;
    scoped_free char *pair = xasprintf("%s/%s", i->os, i->architecture);
    scoped_free char *full = xasprintf("%s/%s", pair, i->variant ? i->variant : "");
    if (streq(want, pair) || streq(want, full) || streq(want, i->architecture))
        return 0;
    return err_msg(e, EXDEV, "--platform %s: the image is for %s", want, pair);
}

/* Keeps the store's lock when it is found. With --platform another platform's image is none. */
static int look_up(struct creation *c, const char *name, struct err *e)
{
    c->store_lock = store_use(cli_conf(), e);
    int r = c->store_lock < 0 ? c->store_lock : store_find(cli_conf(), name, &c->image, e);
    if (r == 0)
        r = check_platform(c, e);
    if (r < 0) {
        store_image_release(&c->image);
        c->image = (struct store_image){0};
        fd_close(&c->store_lock);
    }
    return r;
}

/* What only this host has cannot be pulled: "localhost/NAME". */
static bool may_pull(const char *name, int why)
{
    return (why == -ENOENT || why == -EXDEV) && !str_after(name, "localhost/") &&
           !str_after(name, "sha256:");
}

/* pull reads them, under the names that they have inside. */
static int refuse_file(const char *name, struct err *e)
{
    static const char *const transports[] = {"oci:", "oci-archive:", "docker-archive:", "dir:"};
    for (size_t i = 0; i < N_ELEMENTS(transports); i++)
        if (str_after(name, transports[i]))
            return err_hint(e, err_msg(e, EINVAL, "%s is no image of the store", name),
                            "bring it there: rootlet run $(rootlet pull -q %s)", name);
    return 0;
}

static int look_up_or_pull(struct creation *c, const char *name, struct err *e)
{
    static const char *const words[] = {[CLI_PULL_ALWAYS] = "always", [CLI_PULL_NEWER] = "newer"};
    int policy = cli_pull_policy(c->o->pull, e);
    if (policy < 0)
        return policy;
    int r = policy >= CLI_PULL_ALWAYS ? cli_pull(name, words[policy], c->o, e) : 0;
    r = r < 0 ? r : look_up(c, name, e);
    if (policy != CLI_PULL_MISSING || !may_pull(name, r))
        return r;
    err_clear(e);
    r = refuse_file(name, e);
    r = r < 0 ? r : cli_pull(name, NULL, c->o, e);
    return r < 0 ? r : look_up(c, name, e);
}

static int find_image(struct creation *c, const char *text, struct err *e)
{
    const char *plain = str_after(text, "docker://"), *name = plain ? plain : text;
    int r = look_up_or_pull(c, name, e);
    if (r < 0)
        return r;
    c->has_image = true;
    if (cli_adopt_needed(&c->image)) {
        fd_close(&c->store_lock);
        r = cli_adopt(&c->image, e);
        store_image_release(&c->image);
        r = r < 0 ? r : look_up(c, name, e);
    }
    r = r < 0 ? r : store_config(cli_conf(), &c->image, &c->config, e);
    if (r == 0)
        r = store_layer_dirs(cli_conf(), &c->image, &c->layer_dirs, e);
    if (r < 0)
        return err_add(e, r, "image %s", name);
    c->rec.image = xstrdup(c->image.names && c->image.names[0] ? c->image.names[0] : name);
    c->rec.image_id = xstrdup(c->image.id);
    c->rec.image_digest = xstrdup(c->image.manifest);
    c->rec.image_layers = strv_dup(c->image.layers);
    return 0;
}

static int find_rootfs(struct creation *c, const char *path, struct err *e)
{
    struct stat st;
    scoped_free char *real = realpath(path, NULL);
    if (!real || stat(real, &st) < 0)
        return err_set(e, errno, "--rootfs %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_msg(e, ENOTDIR, "--rootfs %s: not a directory", path);
    c->rec.image = xstrdup(real);
    c->rec.storage.driver = xstrdup("dir");
    c->rec.storage.dir = take_ptr(real);
    return 0;
}

static int choose_storage(struct creation *c, struct err *e)
{
    const struct conf *conf = cli_conf();
    scoped_free char *why = NULL;
    int r = store_idmap(conf, &c->store_map, e);
    if (r == -ENOENT) /* all is in an additional store, of the same ids */
        r = userns_map_default(&c->store_map, e);
    if (r < 0)
        return r;
    scoped_fd int run = conf_open_run(conf, "", true, e);
    if (run < 0)
        return run;
    const char *wanted = conf->storage_driver[0] ? conf->storage_driver : NULL;
    r = storage_choose(conf->root, conf->run_root, wanted, &c->store_map, &c->driver, &why, e);
    if (r == -EINVAL) /* the kernel's word for an id that does not exist here */
        err_hint(e, r,
                 "%s may have been made with other ids than there are now; see its idmap.json",
                 conf->root);
    return r;
}

static int fill_volume(const struct creation *c, const struct ctr_volume *v,
                       const struct storage_root *root, struct err *e)
{
    struct volume vol = {0};
    int r = volume_open(cli_conf(), v->name, &vol, e);
    if (r < 0)
        return r;
    if (vol.needs_copy_up && !strstr(v->mode, "nocopy")) {
        scoped_fd int dir = open(vol.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? err_set(e, errno, "open %s", vol.path)
                    : storage_fill_volume(root, &c->map, &c->store_map, v->destination, dir, e);
    }
    if (r == 0 && vol.needs_copy_up) {
        vol.needs_copy_up = false;
        r = volume_write(cli_conf(), &vol, e);
    }
    volume_release(&vol);
    return r < 0 ? err_add(e, r, "volume %s", v->destination) : 0;
}

static int fill_volumes(const struct creation *c, const struct ctr_record *rec, struct err *e)
{
    for (size_t i = 0; i < rec->n_volumes; i++) {
        if (!rec->volumes[i].name)
            continue;
        int r = fill_volume(c, &rec->volumes[i], &rec->storage, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --spec: the section linux.seccomp of the file, as a file of its own for the compiler. */
static int write_seccomp_section(const struct creation *c, const char *dir, char **ret,
                                 struct err *e)
{
    scoped_json json_t *j = spec_seccomp_emit(c->spec.linux_->seccomp);
    scoped_free char *text = json_text(j, true);
    scoped_fd int fd = fs_open_dir(dir, false, 0, e);
    if (fd < 0)
        return fd;
    int r = fs_write_atomic(fd, "seccomp.json", text, strlen(text), 0600, FS_NO_SYNC, e);
    if (r == 0)
        *ret = path_join(dir, "seccomp.json");
    return r;
}

static int compile_seccomp(struct creation *c, const char *dir, struct err *e)
{
    if (!c->b.seccomp_compile)
        return 0;
    if (!c->b.seccomp_profile && c->spec.linux_->seccomp) {
        int r = write_seccomp_section(c, dir, &c->b.seccomp_profile, e);
        if (r < 0)
            return err_add(e, r, "linux.seccomp");
    }
    const char *action = secopt_default_name(c->b.sec.seccomp_default);
    scoped_free char *out = path_join(dir, "seccomp.bpf");
    scoped_free char *program = path_join(cli_conf()->libexec, "rootlet-seccomp");
    scoped_strv char **argv = NULL;
    strv_add(&argv, program);
    strv_add(&argv, "compile");
    strv_addf(&argv, "--caps=%llx", (unsigned long long)c->b.caps);
    if (action)
        strv_addf(&argv, "--default-action=%s", action);
    strv_addf(&argv, "--output=%s", out);
    strv_add(&argv, c->b.seccomp_profile);
    struct proc_cmd cmd = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = STDERR_FILENO, .timeout_ms = 30000};
    int r = proc_run(&cmd, e);
    if (r == 0)
        return 0;
    return err_add(e, r < 0 ? r : -EINVAL, "seccomp profile %s", c->b.seccomp_profile);
}

static void rebase(char **path, const char *from, const char *to)
{
    const char *rest = *path ? str_after(*path, from) : NULL;
    if (!rest)
        return;
    char *moved = xasprintf("%s%s", to, rest);
    free(*path);
    *path = moved;
}

/* The infra container has a root of its own that holds mount points only: under some maps its root
 * could not make them. */
static int make_root(const char *dir, struct ctr_record *rec, struct err *e)
{
    static const char *const points[] = {"", "/dev", "/proc", "/sys", "/etc"};
    static const char *const files[] = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};
    scoped_free char *root = path_join(dir, "rootfs");
    for (size_t i = 0; i < N_ELEMENTS(points); i++) {
        scoped_free char *path = xasprintf("%s%s", root, points[i]);
        if (mkdir(path, 0755) < 0 || chmod(path, 0755) < 0) /* whatever the umask */
            return err_set(e, errno, "make %s", path);
    }
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        scoped_free char *path = xasprintf("%s%s", root, files[i]);
        scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
            return err_set(e, errno, "make %s", path);
    }
    rec->storage.driver = xstrdup("dir");
    rec->storage.dir = take_ptr(root);
    return 0;
}

/* Called with the new directory before it gets its final name. */
static int prepare(const char *dir, struct ctr_record *rec, void *data, struct err *e)
{
    struct creation *c = data;
    int r = c->o->spec ? 0 : build_files(&c->b, dir, e);
    if (r == 0)
        r = compile_seccomp(c, dir, e);
    if (r == 0 && rec->pod_infra)
        r = make_root(dir, rec, e);
    if (r < 0 || !c->has_image)
        return r;
    struct storage_create s = {
        .driver = c->driver,
        .container_dir = dir,
        .store_root = cli_conf()->root,
        .layer_dirs = c->layer_dirs,
        .map = &c->map,
        .store_map = &c->store_map,
        .run_root = cli_conf()->run_root,
        .shift = strv_env_get(cli_conf()->extra, "storage_shift"),
        .quiet = c->o->quiet,
        .is_volatile = c->o->rm,
        .readonly = c->o->read_only,
    };
    r = storage_create(&s, &rec->storage, e);
    if (r == 0)
        r = fill_volumes(c, rec, e);
    if (r < 0)
        return r;
    /* The record speaks of the directory under its final name. */
    rebase(&rec->storage.upper, dir, c->b.dir);
    rebase(&rec->storage.work, dir, c->b.dir);
    rebase(&rec->storage.dir, dir, c->b.dir);
    return 0;
}

void cli_groups_release(struct cli_groups *g)
{
    json_decref(g->limits);
    cgroup_choice_release(&g->choice);
    fd_close(&g->made_fd);
}

/* Where the mode of cgroups comes from when no --cgroups of the command says it. */
static const char *undo_cgroups(const struct run_opts *o)
{
    const char *env = getenv("ROOTLET_CGROUPS");
    if (o->cgroups)
        return NULL;
    return env && streq(env, cli_conf()->cgroups)
               ? "unset ROOTLET_CGROUPS"
               : "the setting \"cgroups\" (rootlet.conf, or --cgroups before the command)";
}

/* A limit that was asked for and cannot be set is told before anything is made; the default one
 * only goes along where it can. */
int cli_choose_groups(const struct run_opts *o, const json_t *given, struct cli_groups *ret,
                      struct err *e)
{
    struct limit_source source = {.o = &o->limit, .spec = o->spec};
    bool defaults = !o->spec && !o->limit.pids_limit;
    int r = build_limits(&o->limit, given, &ret->limits, e);
    if (r == 0 && defaults)
        r = build_default_limits(cli_conf()->extra, ret->limits, e);
    if (r < 0)
        return r;
    const struct cgroup_wish wish = {
        .setting = o->cgroups ? o->cgroups : cli_conf()->cgroups,
        .undo = undo_cgroups(o),
        .parent = o->cgroup_parent,
        .unit = o->unit,
        .resources = ret->limits,
        .option = build_limit_option,
        .data = &source,
        .want_controllers = defaults,
    };
    r = cgroup_choose(&wish, &ret->choice, e);
    if (r < 0)
        return r;
    ret->pids_default = defaults && cgroup_choice_has(&ret->choice, "pids");
    if (defaults && !ret->pids_default)
        json_object_del(ret->limits, "pids");
    ret->chosen = true;
    return 0;
}

static int take_groups(struct creation *c, struct err *e)
{
    struct cli_groups *g = c->groups;
    const json_t *given = c->o->spec ? c->spec.linux_->resources : NULL;
    int r = g->chosen ? 0 : cli_choose_groups(c->o, given, g, e);
    if (r < 0)
        return r;
    if (!c->o->quiet)
        cli_notice(g->choice.notice);
    c->rec.cgroups = xstrdup(g->choice.driver);
    c->rec.pids_default = g->pids_default;
    c->rec.cgroup_parent = xstrdup(c->o->cgroup_parent);
    if (c->rec.pod && !c->o->cgroup_parent && streq(g->choice.driver, "systemd"))
        c->rec.cgroup_parent = pod_slice(c->rec.pod);
    return 0;
}

/* Who shares a namespace of another container is in the user namespace that owns it. 1: *flag says
 * with which option, *ret is the other one's map; 0: nothing is shared. */
static int shared_map(const struct run_opts *o, const char **flag, struct userns_map *ret,
                      struct err *e)
{
    const struct {
        const char *flag, *mode;
    } modes[] = {
        {"--network", o->network ? o->network[0] : cli_conf()->network},
        {"--pid", o->pid},
        {"--ipc", o->ipc},
        {"--uts", o->uts},
        {"--cgroupns", o->cgroupns},
    };
    for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
        scoped_container struct container other = {.dir_fd = -1};
        const char *ref = modes[i].mode ? str_after(modes[i].mode, "container:") : NULL;
        if (!ref)
            continue;
        *flag = modes[i].flag;
        int r = container_open(cli_conf(), ref, &other, e);
        if (r == 0)
            r = container_map(other.dir_fd, ret, e);
        return r < 0 ? err_add(e, r, "%s container:%s", *flag, ref) : 1;
    }
    return 0;
}

static int choose_ids(struct creation *c, struct err *e)
{
    const struct run_opts *o = c->o;
    scoped_free char *notice = NULL;
    scoped_userns_map struct userns_map shared = {0};
    const char *flag = NULL;
    if (c->member.pod) /* as it is, whatever would be chosen today */
        return container_map(c->member.pod->infra.dir_fd, &c->map, e);
    int r = shared_map(o, &flag, &shared, e);
    if (r < 0)
        return r;
    if (flag && !o->userns && !o->uidmap && !o->gidmap) {
        c->map = shared;
        shared = (struct userns_map){0};
        return 0;
    }
    const char *mode = o->userns ? o->userns : o->uidmap || o->gidmap ? "" : cli_conf()->userns;
    r = userns_map_build(mode, o->uidmap, o->gidmap, &c->map, &notice, e);
    if (r == 0 && flag && !userns_map_equal(&c->map, &shared))
        r = err_hint(e,
                     err_msg(e, EINVAL, "%s: the other container has other ids than %s asks for",
                             flag, o->userns ? "--userns" : "--uidmap"),
                     "without it, the container has the ids of the one that it joins");
    if (r == 0 && !o->quiet)
        cli_notice(notice);
    return r;
}

/* Taken before anything is made: the container of a file that cannot be written is not wanted. */
static int open_cidfile(const char *path, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0)
        return fd;
    int r = err_set(e, errno, "--cidfile %s", path);
    return r == -EEXIST ? err_hint(e, r, "remove the file of an earlier container first") : r;
}

/* --replace: the old one of this name goes first. */
static int replace_old(const struct run_opts *o, struct err *e)
{
    if (!o->replace)
        return 0;
    if (!o->name)
        return err_msg(e, EINVAL, "--replace needs --name");
    struct err none = ERR_INIT;
    scoped_container struct container old = {.dir_fd = -1};
    if (container_open(cli_conf(), o->name, &old, &none) < 0)
        return 0;
    return cli_remove(&old, true, false, e);
}

/* Files are copied, or a container is waited for: nobody else is to wait for that with the store's
 * lock. What is quick is not made slower by a pin. */
static int let_others_work(struct creation *c, struct err *e)
{
    if (!c->has_image)
        return 0;
    if (streq(c->driver->name, "overlay") && userns_map_equal(&c->map, &c->store_map) &&
        !c->rec.n_volumes && !c->o->replace)
        return 0;
    int r = store_pin_open(cli_conf(), STORE_PIN_NEW, &c->pin, e);
    r = r < 0 ? r : store_pin_image(&c->pin, &c->image, e);
    fd_close(&c->store_lock);
    return r;
}

static int create(struct creation *c, char *const *words, struct err *e)
{
    const struct conf *conf = cli_conf();
    c->rec.name = xstrdup(c->o->name);
    if (c->o->name && !id_name_valid(c->o->name))
        return err_hint(e, err_msg(e, EINVAL, "name \"%s\" is not valid", c->o->name),
                        "letters, digits, \"_\", \".\" and \"-\", a letter or digit first");
    int r = cli_requires_resolve(c->o->requires, &c->rec.requires, e);
    if (r == 0)
        r = c->o->spec ? build_read_spec(c->o->spec, &c->spec, e) : 0;
    if (r == 0)
        r = take_groups(c, e);
    if (r == 0)
        r = choose_ids(c, e);
    if (r == 0 && words[0])
        r = c->o->rootfs ? find_rootfs(c, words[0], e) : find_image(c, words[0], e);
    if (r == 0 && c->has_image)
        r = choose_storage(c, e);
    if (r < 0)
        return r;
    c->b = (struct build){
        .o = c->o,
        .conf = conf,
        .image = c->has_image ? &c->config : NULL,
        .words = words[0] ? words + 1 : words,
        .root_dirs = c->layer_dirs,
        .map = &c->map,
        .limits = c->groups->limits,
        .spec = &c->spec,
        .rec = &c->rec,
    };
    r = c->o->spec ? build_from_file(&c->b, e) : build_all(&c->b, e);
    if (r == 0)
        r = let_others_work(c, e);
    if (r == 0)
        r = replace_old(c->o, e);
    if (r < 0)
        return r;
    r = container_create(conf, &c->rec, &c->spec, prepare, c, e);
    if (r >= 0)
        c->groups->made_fd = r;
    return r < 0 ? r : 0;
}

/* What a pod means for the record: of a member, or of the infra itself. */
static int join_pod(struct creation *c, struct err *e)
{
    const struct pod_wish *w = c->o->infra;
    if (w) {
        c->rec.pod = xstrdup(w->name);
        c->rec.pod_infra = true;
        c->rec.pod_share = strv_dup(w->share);
        c->rec.pod_exit = xstrdup(w->exit_policy);
        c->rec.image = xstrdup("rootlet-init");
    }
    int r = c->o->pod ? pod_member_begin(&c->member, c->o, e) : 0;
    if (r < 0 || !c->member.pod)
        return r;
    c->o = &c->member.o;
    c->rec.pod = xstrdup(c->member.pod->infra.rec.pod);
    c->rec.pod_id = xstrdup(c->member.pod->infra.id);
    return 0;
}

int cli_create(const struct run_opts *o, char *const *words, char *const *command_line,
               const char *id, struct cli_groups *g, struct err *e)
{
    struct creation c SCOPED(creation_release) = {
        .o = o, .store_lock = -1, .pin = STORE_PIN_INIT, .groups = g, .member = POD_MEMBER_INIT};
    c.rec.id = xstrdup(id);
    c.rec.create_command = strv_dup(command_line);
    if (!words[0] && !o->spec && !o->infra)
        return err_hint(e, err_msg(e, EINVAL, "no image given"), "rootlet run IMAGE [COMMAND]");
    scoped_fd int cidfile = o->cidfile ? open_cidfile(o->cidfile, e) : -1;
    if (o->cidfile && cidfile < 0)
        return cidfile;
    int r = join_pod(&c, e);
    if (r == 0)
        r = create(&c, words, e);
    if (r < 0)
        build_forget_volumes(&c.b);
    else
        build_keep_volumes(&c.b, c.rec.id);
    if (r == 0 && cidfile >= 0) {
        r = fs_write_all(cidfile, c.rec.id, strlen(c.rec.id));
        r = r < 0 ? err_set(e, -r, "--cidfile %s", o->cidfile) : 0;
    } else if (cidfile >= 0) {
        unlink(o->cidfile);
    }
    return r;
}
