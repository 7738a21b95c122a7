/* rootlet import */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "events/events.h"
#include "imagetool/change.h"
#include "imagetool/imagetool.h"
#include "imagetool/ingest.h"
#include "imagetool/manifest.h"

struct import_opts {
    char *message;
    char **changes;
    bool quiet, squash_ids;
};

static const struct opt import_options[] = {
    {"message", 'm', OPT_STRING, offsetof(struct import_opts, message), "TEXT",
     "Comment of the image's history"},
    {"change", 'c', OPT_STRV, offsetof(struct import_opts, changes), "INSTRUCTION",
     "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR, as in a "
     "Dockerfile (repeatable)"},
    {"quiet", 'q', OPT_FLAG, offsetof(struct import_opts, quiet), NULL, "No progress on stderr"},
    {"squash-ids", 0, OPT_FLAG, offsetof(struct import_opts, squash_ids), NULL,
     "Files of owners outside your id range become root's"},
    {NULL},
};

static int make_config(const struct import_opts *o, json_t **ret, struct err *e)
{
    scoped_json json_t *config = json_object();
    char created[40];
    struct platform host;
    for (size_t i = 0; o->changes && o->changes[i]; i++) {
        int r = change_apply(config, o->changes[i], e);
        if (r < 0)
            return r;
    }
    time_creation(created, sizeof(created));
    platform_host(&host);
    *ret = json_pack("{s:s,s:s,s:s,s:O,s:{s:s,s:[]},s:[{s:s,s:s,s:s}]}", "created", created,
                     "architecture", host.architecture, "os", host.os, "config", config, "rootfs",
                     "type", "layers", "diff_ids", "history", "created", created, "created_by",
                     "rootlet import", "comment", o->message ? o->message : "");
    return *ret ? 0 : err_msg(e, EINVAL, "the message or a change is not valid UTF-8");
}

static int open_input(const char *path, struct err *e)
{
    if (streq(path, "-")) {
        if (isatty(STDIN_FILENO))
            return err_hint(e, err_msg(e, EINVAL, "standard input is a terminal"),
                            "tar -C DIR -c . | rootlet import - NAME");
        return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    }
    if (str_after(path, "http://") || str_after(path, "https://")) {
        err_msg(e, EINVAL, "%s: nothing is fetched from the network", path);
        return err_hint(e, -EINVAL, "curl -L URL | rootlet import - NAME");
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0)
        return err_set(e, errno, "open %s", path);
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        err_msg(e, EISDIR, "%s is a directory", path);
        return err_hint(e, -EISDIR, "tar -C %s -c . | rootlet import - NAME", path);
    }
    return fd;
}

static int import(struct ingest *in, int fd, json_t *config, const char *name, struct err *e)
{
    SCOPED(image_plan_release) struct image_plan plan = {0};
    char diff_id[DIGEST_TEXT_MAX];
    int r = ingest_stream(in, fd, false, diff_id, e);
    if (r < 0)
        return r;
    json_array_append_new(json_object_get(json_object_get(config, "rootfs"), "diff_ids"),
                          json_string(diff_id));
    char *text = json_text(config, false);
    r = plan_set_config(&plan, text, strlen(text), e);
    plan.layers = xcalloc(1, sizeof(*plan.layers));
    plan.n_layers = 1;
    plan.layers[0].file.fd = -1;
    plan.layers[0].diff_id = xstrdup(diff_id);
    if (r == 0 && name)
        r = plan_add_name(&plan, name, e);
    r = r < 0 ? r : ingest_image(in, &plan, e);
    r = r < 0 ? r : ingest_commit(in, e);
    if (r == 0) {
        scoped_free char *full = name ? image_ref_text(&plan.names[0]) : NULL;
        puts(plan.id);
        event_named(in->conf, "image", "import", image_digest_hex(plan.id), full);
    }
    return r;
}

static int run_import(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct import_opts *o = opts;
    scoped_conf struct conf conf = {0};
    scoped_json json_t *config = NULL;
    SCOPED(ingest_close) struct ingest in = INGEST_INIT;
    SCOPED(image_ref_release) struct image_ref ref = {0};
    (void)cmd;
    int r = args[1] ? image_ref_parse_local(args[1], &ref, e) : 0; /* before the work */
    r = r < 0 ? r : make_config(o, &config, e);
    r = r < 0 ? r : conf_load(NULL, &conf, e);
    scoped_fd int fd = r < 0 ? -1 : open_input(args[0], e);
    if (r < 0 || fd < 0)
        return err_add(e, r < 0 ? r : fd, "import");
    r = ingest_open(&conf, o->quiet, &in, e);
    in.squash_ids = o->squash_ids;
    r = r < 0 ? r : import(&in, fd, config, args[1], e);
    return r < 0 ? err_add(e, r, "import %s", args[0]) : 0;
}

const struct cmd imagetool_import_cmds[] = {
    {.name = "import",
     .args = "FILE|- [NAME]",
     .summary = "Make an image of a root file system in a tar",
     .opts = import_options,
     .opts_size = sizeof(struct import_opts),
     .min_args = 1,
     .max_args = 2,
     .run = run_import,
     .aliases = (const char *const[]){"image import", NULL},
     .details = "The tar may be compressed by gzip or zstd. The image has one layer and what "
                "--change says; its id is printed. SOURCE_DATE_EPOCH sets its creation time.",
     .examples = "tar -C root -c . | rootlet import - mine\n"
                 "mmdebstrap stable | rootlet import -c 'CMD [\"bash\"]' - debian:stable"},
    {NULL},
};
