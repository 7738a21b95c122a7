/* system_prune - system prune: what nothing that runs needs. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "cli/cli.h"
#include "cli/network.h"
#include "cli/prune.h"
#include "cli/sizes.h"
#include "image/trees.h"
#include "storage/storage.h"
#include "volume/volume.h"

struct sysprune_opts {
    bool all, force, volumes, build, external;
    char **filter;
};

#define O(m) offsetof(struct sysprune_opts, m)
static const struct opt prune_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL,
     "All images that no container was made from, not only those without a name"},
    {"build", 0, OPT_FLAG, O(build), NULL, "For podman's sake, does nothing", OPT_IGNORED},
    {"external", 0, OPT_FLAG, O(external), NULL, "For podman's sake, does nothing", OPT_IGNORED},
    {"filter", 0, OPT_STRV, O(filter), "KEY=VALUE", "until, label or label!"},
    {"force", 'f', OPT_FLAG, O(force), NULL, "Do not ask"},
    {"volumes", 0, OPT_FLAG, O(volumes), NULL, "Volumes that no container uses, too"},
    {NULL},
};

struct sysprune {
    const struct sysprune_opts *o;
    struct prune_filter filter;
    uint64_t reclaimed;
    int worst;
    struct err e; /* of worst; an earlier one was printed */
};

static void keep(struct sysprune *p, int r, const struct err *one)
{
    if (r >= 0)
        return;
    if (p->worst < 0)
        cli_print_err(&p->e);
    p->worst = r;
    p->e = *one;
}

static int ask(const struct sysprune_opts *o, struct err *e)
{
    scoped_str struct str out = STR_INIT;
    str_add(&out, ":\n  - all stopped containers\n  - all pods that have ended\n"
                  "  - all networks not used by at least one container\n");
    if (o->volumes)
        str_add(&out, "  - all volumes not used by at least one container\n");
    str_add(&out, o->all ? "  - all images without at least one container associated to them\n"
                         : "  - all dangling images\n");
    if (o->all)
        str_add(&out, "  - all that interrupted pulls could go on with\n");
    if (o->filter)
        str_add(&out, "\n  Items to be pruned will be filtered with:\n");
    for (char **f = o->filter; f && *f; f++)
        str_addf(&out, "  - %s\n", *f);
    return prune_ask(out.s, e);
}

/* What was measured counts when it is gone. */
static void prune_containers(struct sysprune *p)
{
    scoped_strv char **ids = NULL, **pods = NULL;
    scoped_ctr_sizes struct ctr_sizes sizes = {0};
    struct err one = ERR_INIT;
    int r = cli_prunable(&p->filter, &ids, &one);
    if (r == 0 && ids)
        r = cli_sizes(ids, NULL, 0, &sizes, &one);
    if (r == 0)
        r = cli_prune_containers(ids, "Deleted Containers:", &one);
    keep(p, r, &one);
    for (size_t i = 0; i < sizes.n; i++) {
        scoped_free char *dir = container_dir(cli_conf(), sizes.v[i].id);
        p->reclaimed += access(dir, F_OK) < 0 ? sizes.v[i].rw : 0;
    }
    r = cli_prunable_pods(&p->filter, &pods, &one);
    keep(p, r == 0 ? cli_prune_pods(pods, "Deleted Pods:", &one) : r, &one);
}

static void prune_volume(struct sysprune *p, const struct volume *v, uint64_t bytes, bool *any)
{
    struct err one = ERR_INIT;
    int r = container_volume_remove(cli_conf(), v->name, &one);
    if (r == -EBUSY || r == -ENOENT) /* it is used after all, or another prune was quicker */
        return;
    if (r == 0) {
        printf("%s%s\n", *any ? "" : "Deleted Volumes:\n", v->name);
        *any = true;
        p->reclaimed += bytes;
    }
    keep(p, r, &one);
}

static bool is_unused(const struct sysprune *p, const struct volume *v, char *const *used)
{
    return !strv_has(used, v->name) && prune_filter_match(&p->filter, v->created_ns, v->labels);
}

static void prune_volumes(struct sysprune *p)
{
    struct volume *v = NULL;
    scoped_strv char **used = NULL;
    struct err one = ERR_INIT;
    size_t n = 0, m = 0;
    bool any = false;
    container_volume_sweep(cli_conf());
    int r = volume_list(cli_conf(), &v, &n, &one);
    if (r == 0)
        r = container_volumes_used(cli_conf(), &used, &one);
    scoped_free struct storage_tree *trees = xcalloc(n + 1, sizeof(*trees));
    for (size_t i = 0; r == 0 && i < n; i++)
        if (is_unused(p, &v[i], used))
            trees[m++].path = v[i].path;
    if (r == 0)
        (void)!storage_measure(trees, m, NULL);
    for (size_t i = 0, k = 0; r == 0 && i < n && k < m; i++)
        if (v[i].path == trees[k].path)
            prune_volume(p, &v[i], trees[k++].size.bytes, &any);
    if (any)
        putchar('\n');
    volume_list_free(v, n);
    keep(p, r, &one);
}

/* The filters are the same but for those of what no container has. */
static void prune_networks(struct sysprune *p)
{
    struct network_filter f SCOPED(network_filter_release) = {NULL};
    scoped_strv char **terms = strv_dup(p->o->filter);
    struct err one = ERR_INIT;
    strv_add(&terms, "dangling=true");
    int r = network_filter_parse(terms, &f, &one);
    if (r == 0)
        r = cli_network_prune(&f, "Deleted Networks:", &one);
    keep(p, r, &one);
}

/* rootlet-image does it: it alone writes the store. */
static int run_image_prune(const struct sysprune_opts *o, int out, struct err *e)
{
    scoped_free char *program = path_join(cli_conf()->libexec, "rootlet-image");
    scoped_strv char **argv = NULL, **env = strv_dup(environ);
    conf_env(cli_conf(), &env);
    strv_add(&argv, program);
    strv_add(&argv, "image");
    strv_add(&argv, "prune");
    strv_add(&argv, o->all ? "-af" : "-f");
    if (o->all)
        strv_add(&argv, "--partial");
    for (char **f = o->filter; f && *f; f++)
        strv_addf(&argv, "--filter=%s", *f);
    struct proc_cmd cmd = {.argv = argv, .envp = env, .stdin_fd = -1, .stdout_fd = out};
    int r = proc_run(&cmd, e);
    return r > 0 ? -EIO : r;
}

/* What is there of trees for other id maps, measured; what of it is gone counts. */
struct shifted {
    struct store_tree *v;
    struct storage_tree *sizes;
    size_t n;
};

static void measure_shifted(struct shifted *s)
{
    if (store_trees(cli_conf(), &s->v, &s->n, NULL) < 0)
        return;
    s->sizes = xcalloc(s->n + 1, sizeof(*s->sizes));
    for (size_t i = 0; i < s->n; i++)
        s->sizes[i].path = s->v[i].path;
    (void)!storage_measure(s->sizes, s->n, NULL);
}

static uint64_t gone_shifted(struct shifted *s)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->n; i++)
        bytes += access(s->v[i].path, F_OK) < 0 ? s->sizes[i].size.disk : 0;
    store_trees_free(s->v, s->n);
    free(s->sizes);
    return bytes;
}

static void prune_images(struct sysprune *p)
{
    struct shifted shifted = {0};
    struct store_layer_size *before = NULL, *after = NULL;
    size_t n = 0, m = 0;
    struct err one = ERR_INIT;
    scoped_free char *text = NULL;
    scoped_fd int out = memfd_create("images", MFD_CLOEXEC);
    int r = out < 0 ? err_set(&one, errno, "memfd_create")
                    : store_layer_sizes(cli_conf(), &before, &n, &one);
    measure_shifted(&shifted);
    if (r == 0)
        r = run_image_prune(p->o, out, &one);
    keep(p, r, &one);
    p->reclaimed += gone_shifted(&shifted);
    if (out >= 0 && lseek(out, 0, SEEK_SET) == 0 && fs_read_fd(out, 64u << 20, &text, NULL) > 0)
        printf("Deleted Images:\n%s\n", text);
    if (store_layer_sizes(cli_conf(), &after, &m, NULL) == 0)
        for (size_t i = 0; i < n; i++) {
            scoped_free char *id = xasprintf("sha256:%s", before[i].hex);
            p->reclaimed += store_layer_size_of(after, m, id) ? 0 : before[i].bytes;
        }
    free(before);
    free(after);
}

static int prune_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct sysprune p = {.o = opts, .e = ERR_INIT};
    char total[32];
    (void)cmd, (void)args;
    int r = prune_filter_parse(p.o->filter, &p.filter, e);
    if (r == 0 && !p.o->force)
        r = ask(p.o, e);
    else if (r == 0)
        r = 1;
    if (r > 0) {
        prune_containers(&p);
        prune_networks(&p);
        if (p.o->volumes)
            prune_volumes(&p);
        prune_images(&p);
        printf("Total reclaimed space: %s\n", cli_size_text(p.reclaimed, total));
        r = p.worst;
        if (r < 0)
            *e = p.e;
    }
    prune_filter_release(&p.filter);
    return r < 0 ? err_add(e, r, "system prune") : 0;
}

const struct cmd cli_system_prune_cmds[] = {
    {
        .name = "system prune",
        .args = "",
        .summary = "Remove what nothing needs: ended containers and pods, images without a name",
        .opts = prune_table,
        .opts_size = sizeof(struct sysprune_opts),
        .run = prune_command,
        .details = "What another command is about to use stays, and so do volumes without "
                   "--volumes.",
        .examples = "rootlet system prune\nrootlet system prune -af --volumes\n"
                    "rootlet system prune -f --filter until=24h",
    },
    {NULL},
};
