/* export - a container's files as one tar, which rootlet-image writes. */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "base/jfield.h"
#include "cli/cli.h"
#include "cli/hand.h"
#include "layer/layer.h"

struct export_opts {
    char *output;
};

static const struct opt export_table[] = {
    {"output", 'o', OPT_STRING, offsetof(struct export_opts, output), "FILE",
     "Write to a file instead of standard output"},
    {NULL},
};

static int export(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct export_opts *o = opts;
    scoped_container struct container ctr = {.dir_fd = -1};
    scoped_json json_t *request = json_object();
    (void)cmd;
    const char *output = streq(o->output, "-") ? NULL : o->output; /* as of save */
    if (!output && isatty(STDOUT_FILENO))
        return err_hint(e, err_msg(e, EINVAL, "refusing to write an archive to a terminal"),
                        "use --output FILE, or redirect the output");
    int r = container_open(cli_conf(), args[0], &ctr, e);
    r = r < 0 ? r : hand_map(&ctr, false, request, e);
    SCOPED(hand_root_release) struct hand_root root = HAND_ROOT_INIT;
    r = r < 0 ? r : hand_root(&ctr, &root, e);
    if (r == 0) {
        const struct hand h = {.verb = "export-tree",
                               .request = request,
                               .tree = -1,
                               .list = -1,
                               .hold = -1,
                               .root = root};
        json_object_set_new(request, "typed", json_string(args[0]));
        json_object_set_new(request, "flags", json_integer(LAYER_PACK_ONE_MOUNT));
        if (output && json_object_set_new(request, "output", json_string(output)) < 0)
            return err_msg(e, EINVAL, "export %s: the file's name is not valid UTF-8", args[0]);
        r = hand_over(&h, e);
    }
    return err_add(e, r, "export %s", args[0]);
}

static const char *const export_aliases[] = {"container export", NULL};

const struct cmd cli_export_cmds[] = {
    {
        .name = "export",
        .args = "CONTAINER",
        .summary = "Write the files of a container as a tar",
        .opts = export_table,
        .opts_size = sizeof(struct export_opts),
        .min_args = 1,
        .max_args = 1,
        .run = export,
        .aliases = export_aliases,
        .details = "All of its root file system, without what is mounted in it.",
        .examples = "rootlet export -o web.tar web\nrootlet export web | rootlet import - web-flat",
    },
    {NULL},
};
