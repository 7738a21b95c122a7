/* system - info, version, spec, why; doctor has a file of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fs.h"
#include "cgroup/cgroup.h"
#include "cli/build.h"
#include "cli/cli.h"
#include "format/format.h"
#include "image/store.h"
#include "security/lsm.h"
#include "storage/storage.h"

struct format_opts {
    char *format;
};
static const struct opt format_table[] = {
    {"format", 'f', OPT_STRING, offsetof(struct format_opts, format), "TEMPLATE",
     "Go template, or json"},
    {NULL},
};

static void add_drivers(json_t *list, const struct network_driver *const *d)
{
    for (; *d; d++) {
        char why[256] = "";
        int score = (*d)->probe ? (*d)->probe(why) : 1;
        json_array_append_new(list, json_pack("{s:s, s:b, s:s, s:s, s:s}", "Name", (*d)->name,
                                              "Usable", score > 0, "Why", why, "Summary",
                                              (*d)->summary ? (*d)->summary : "", "Options",
                                              (*d)->options ? (*d)->options : ""));
    }
}

static json_t *network_info(void)
{
    json_t *list = json_array();
    add_drivers(list, network_drivers());
    add_drivers(list, network_joining_drivers());
    return list;
}

/* Every controller that a limit could need, and where it is missing. */
static json_t *controller_info(const struct cgroup_choice *c)
{
    static const char *const names[] = {"cpu", "cpuset", "hugetlb", "io", "memory", "pids"};
    json_t *list = json_object();
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        bool has = cgroup_choice_has(c, names[i]);
        json_object_set_new(list, names[i],
                            has ? json_string("available")
                                : json_sprintf("not delegated to %s", c->where ? c->where : "us"));
    }
    return list;
}

static json_t *cgroup_info(void)
{
    struct cgroup_host h = {0};
    struct err e = ERR_INIT;
    struct cgroup_choice c SCOPED(cgroup_choice_release) = {0};
    const struct cgroup_wish wish = {.setting = cli_conf()->cgroups, .want_controllers = true};
    cgroup_detect(&h, NULL);
    int r = cgroup_choose(&wish, &c, &e);
    scoped_free char *controllers = strv_join(c.controllers, " ");
    json_t *info = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "Version", cgroup_mode_name(h.mode),
                             "Driver", r < 0 ? "none" : c.driver, "Why", r < 0 ? e.msg : c.why,
                             "Controllers", controllers ? controllers : "", "OwnCgroup", h.own_path,
                             "Delegated", h.delegated);
    if (h.mode == CGROUP_V2)
        json_object_set_new(info, "ControllerStatus", controller_info(&c));
    return info;
}

static json_t *storage_info(void)
{
    const struct conf *c = cli_conf();
    const struct storage_driver *d = NULL;
    struct userns_map map = {0};
    struct err e = ERR_INIT;
    scoped_free char *why = NULL;
    scoped_fd int root = conf_open_root(c, "", true, &e), run = conf_open_run(c, "", true, &e);
    int r = root < 0 || run < 0 ? -EIO : userns_map_default(&map, &e);
    if (r == 0)
        r = storage_look(c->root, c->run_root, &map, &e);
    if (r == 0)
        r = storage_choose(c->root, c->run_root, c->storage_driver[0] ? c->storage_driver : NULL,
                           &map, &d, &why, &e);
    userns_map_release(&map);
    return json_pack("{s:s, s:s, s:s, s:s}", "Driver", r == 0 ? d->name : "none", "Why",
                     r < 0 ? e.msg
                     : why ? why
                           : "",
                     "Root", c->root, "RunRoot", c->run_root);
}

static void map_lines(json_t *into, const char *key, const struct idmap *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n; i++)
        json_array_append_new(
            list, json_pack("{s:I, s:I, s:I}", "Inside", (json_int_t)m->v[i].inside, "Outside",
                            (json_int_t)m->v[i].outside, "Count", (json_int_t)m->v[i].count));
    json_object_set_new(into, key, list);
}

static json_t *ids_info(void)
{
    struct userns_map map = {0};
    struct err e = ERR_INIT;
    json_t *ids = json_object();
    if (userns_map_default(&map, &e) == 0) {
        map_lines(ids, "UIDMap", &map.uid);
        map_lines(ids, "GIDMap", &map.gid);
        json_object_set_new(ids, "Single", json_boolean(map.single));
    }
    userns_map_release(&map);
    return ids;
}

static json_t *security_info(void)
{
    scoped_strv char **lsm = lsm_list(NULL);
    scoped_free char *text = strv_join(lsm, ",");
    return json_pack("{s:s, s:s, s:s, s:b}", "LSM", text ? text : "", "Profile",
                     cli_conf()->security_profile, "Seccomp",
                     cli_conf()->seccomp_profile[0] ? cli_conf()->seccomp_profile : "default",
                     "Rootless", geteuid() != 0);
}

static json_t *count_info(void)
{
    struct ctr_state *list = NULL;
    struct store_image *images = NULL;
    size_t n = 0, n_images = 0, running = 0;
    if (container_list(cli_conf(), &list, &n, NULL) < 0)
        n = 0;
    for (size_t i = 0; i < n; i++)
        running += list[i].status == CTR_RUNNING;
    if (store_list(cli_conf(), &images, &n_images, NULL) < 0)
        n_images = 0;
    container_list_free(list, n);
    store_list_free(images, n_images);
    return json_pack("{s:I, s:I, s:I}", "Containers", (json_int_t)n, "Running", (json_int_t)running,
                     "Images", (json_int_t)n_images);
}

static int info(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct format_opts *o = opts;
    struct utsname u;
    (void)cmd;
    (void)args;
    uname(&u);
    scoped_json json_t *all =
        json_pack("{s:s, s:{s:s, s:s, s:s, s:I}, s:o, s:o, s:o, s:o, s:o, s:o}", "Version",
                  PACKAGE_VERSION, "Host", "Kernel", u.release, "Arch", u.machine, "Hostname",
                  u.nodename, "CPUs", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "Storage",
                  storage_info(), "Cgroups", cgroup_info(), "Network", network_info(), "Security",
                  security_info(), "IDMappings", ids_info(), "Store", count_info());
    scoped_str struct str out = STR_INIT;
    if (!o->format || streq(o->format, "json")) {
        scoped_free char *text = json_text(all, true);
        puts(text);
        return 0;
    }
    struct format *f = format_compile(o->format, e);
    int r = f ? format_apply(f, all, &out, e) : -EINVAL;
    format_free(f);
    if (r == 0)
        puts(out.s);
    return r;
}

static int version(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct format_opts *o = opts;
    (void)cmd;
    (void)args;
    scoped_json json_t *all = json_pack("{s:{s:s, s:s}}", "Client", "Version", PACKAGE_VERSION,
                                        "OCIVersion", SPEC_OCI_VERSION);
    if (!o->format) {
        printf("rootlet version %s\nOCI runtime specification %s\n", PACKAGE_VERSION,
               SPEC_OCI_VERSION);
        return 0;
    }
    scoped_json json_t *array = json_pack("[O]", all);
    scoped_str struct str out = STR_INIT;
    int r = format_objects(o->format, array, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

struct spec_opts {
    char *bundle;
};
static const struct opt spec_table[] = {
    {"bundle", 'b', OPT_STRING, offsetof(struct spec_opts, bundle), "DIR",
     "Write DIR/config.json; it must not exist yet"},
    {NULL},
};

static int spec_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct spec_opts *o = opts;
    scoped_spec struct spec s = {0};
    (void)cmd;
    (void)args;
    spec_default(&s);
    struct userns_map map SCOPED(userns_map_release) = {0};
    int r = userns_map_default(&map, e);
    if (r < 0)
        return r;
    build_map_lines(&map.uid, &s.linux_->uid_mappings, &s.linux_->n_uid_mappings);
    build_map_lines(&map.gid, &s.linux_->gid_mappings, &s.linux_->n_gid_mappings);
    scoped_json json_t *j = spec_emit(&s);
    scoped_free char *text = json_text(j, true);
    if (!o->bundle) {
        puts(text);
        return 0;
    }
    scoped_fd int dir = fs_open_dir(o->bundle, false, 0, e);
    if (dir < 0)
        return err_add(e, dir, "--bundle %s", o->bundle);
    if (faccessat(dir, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_hint(e, err_msg(e, EEXIST, "%s/config.json exists", o->bundle),
                        "move it away first: nothing is overwritten");
    return fs_write_atomic(dir, "config.json", text, strlen(text), 0644, FS_SYNC, e);
}

static const char *const info_aliases[] = {"system info", NULL};

const struct cmd cli_system_cmds[] = {
    {
        .name = "info",
        .args = "",
        .summary = "Show what rootlet found on this host and what it uses",
        .opts = format_table,
        .opts_size = sizeof(struct format_opts),
        .run = info,
        .aliases = info_aliases,
        .examples = "rootlet info\nrootlet info -f '{{.Storage.Driver}}'",
    },
    {
        .name = "version",
        .args = "",
        .summary = "Show the version",
        .opts = format_table,
        .opts_size = sizeof(struct format_opts),
        .run = version,
        .examples = "rootlet version --format '{{.Client.Version}}'",
    },
    {
        .name = "spec",
        .args = "",
        .summary = "Print an OCI configuration to start from",
        .opts = spec_table,
        .opts_size = sizeof(struct spec_opts),
        .run = spec_command,
        .examples = "rootlet spec > config.json\nrootlet run --spec config.json --rootfs ./root",
    },
    {NULL},
};
