/* rootlet load */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "events/events.h"
#include "imagetool/allow.h"
#include "imagetool/imagetool.h"
#include "imagetool/ingest.h"
#include "imagetool/manifest.h"
#include "imagetool/plan.h"

struct load_opts {
    char *input, *policy;
    bool quiet, squash_ids;
};

static const struct opt load_options[] = {
    {"input", 'i', OPT_STRING, offsetof(struct load_opts, input), "FILE",
     "Archive or OCI directory to read (default: standard input)"},
    {"quiet", 'q', OPT_FLAG, offsetof(struct load_opts, quiet), NULL, "No progress on stderr"},
    {"signature-policy", 0, OPT_STRING, offsetof(struct load_opts, policy), "FILE",
     "Instead of policy.json", OPT_HIDDEN},
    {"squash-ids", 0, OPT_FLAG, offsetof(struct load_opts, squash_ids), NULL,
     "Files of owners outside your id range become root's"},
    {NULL},
};

static void tell_loaded(const struct conf *c, const struct plan_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct image_plan *p = &list->v[i];
        for (size_t k = 0; k < p->n_names; k++) {
            scoped_free char *name = image_ref_text(&p->names[k]);
            printf("Loaded image: %s\n", name);
            event_named(c, "image", "load", image_digest_hex(p->id), name);
        }
        if (!p->n_names) {
            printf("Loaded image: %s\n", p->id);
            event_named(c, "image", "load", image_digest_hex(p->id), NULL);
        }
    }
}

/* An image for another machine is accepted, as podman does, but not silently. */
static void warn_platform(const struct image_plan *p)
{
    struct platform host;
    platform_host(&host);
    if ((p->parsed.os && !streq(p->parsed.os, host.os)) ||
        (p->parsed.architecture && p->parsed.architecture[0] &&
         !streq(p->parsed.architecture, host.architecture)))
        log_warn("image %.19s is for %s/%s, this machine is %s/%s", p->id,
                 p->parsed.os ? p->parsed.os : "?",
                 p->parsed.architecture ? p->parsed.architecture : "?", host.os, host.architecture);
}

static int load(struct ingest *in, const char *input, const char *policy, struct err *e)
{
    struct bundle b = {.fd = -1};
    struct plan_list list = {0};
    int r = bundle_open(input, in->stage_fd, &b, e);
    r = r < 0 ? r : plan_read(&b, NULL, &list, e);
    for (size_t i = 0; r == 0 && i < list.n; i++) {
        r = allow_local(policy, NULL, &b, input, &list.v[i], e);
        if (r < 0)
            err_add(e, r, "%s", b.label);
    }
    for (size_t i = 0; r == 0 && i < list.n; i++) {
        warn_platform(&list.v[i]);
        r = ingest_layers(in, list.v[i].layers, list.v[i].n_layers, e);
        r = r < 0 ? r : ingest_image(in, &list.v[i], e);
        if (r < 0)
            err_add(e, r, "%s", b.label);
    }
    r = r < 0 ? r : ingest_commit(in, e);
    if (r == 0)
        tell_loaded(in->conf, &list);
    plan_list_release(&list);
    bundle_release(&b);
    return r;
}

static int run_load(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct load_opts *o = opts;
    scoped_conf struct conf conf = {0};
    SCOPED(ingest_close) struct ingest in = INGEST_INIT;
    const char *input = o->input ? o->input : "-";
    (void)cmd;
    if (args[0])
        return err_hint(e, err_msg(e, EINVAL, "load: the archive is named by --input"),
                        "rootlet load -i %s", args[0]);
    if (streq(input, "-") && isatty(STDIN_FILENO)) {
        err_msg(e, EINVAL, "load: standard input is a terminal");
        return err_hint(e, -EINVAL, "name the archive: rootlet load -i FILE");
    }
    int r = conf_load(NULL, &conf, e);
    r = r < 0 ? r : ingest_open(&conf, o->quiet, &in, e);
    in.squash_ids = o->squash_ids;
    r = r < 0 ? r : load(&in, input, o->policy, e);
    return r < 0 ? err_add(e, r, "load") : 0;
}

const struct cmd imagetool_load_cmds[] = {
    {.name = "load",
     .args = "",
     .summary = "Bring images from an archive into the store",
     .opts = load_options,
     .opts_size = sizeof(struct load_opts),
     .max_args = -1, /* a file without -i gets a better answer */
     .run = run_load,
     .aliases = (const char *const[]){"image load", NULL},
     .details =
         "Reads what 'docker save', 'podman save', skopeo, buildah and umoci write: docker "
         "archives "
         "of any age, OCI archives and OCI layout directories, also compressed by gzip, zstd, xz "
         "or bzip2. Every digest is verified; layers that are here already are not unpacked again; "
         "an archive that is refused leaves nothing behind, as is one that policy.json does "
         "not accept. Names without a registry become "
         "localhost/NAME.",
     .examples = "rootlet load -i busybox.tar\ndocker save busybox | rootlet load\n"
                 "skopeo copy -q docker://debian:12 docker-archive:/dev/stdout:debian:12 | "
                 "rootlet load"},
    {NULL},
};
