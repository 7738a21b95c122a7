/* export-tree: what `rootlet export` hands over becomes a tar. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "imagetool/imagetool.h"
#include "imagetool/request.h"
#include "imagetool/sink.h"

static void tell(const struct layer_result *res)
{
    for (uint32_t i = 0; i < res->n_notes && i < LAYER_NOTES; i++)
        log_warn("%s", res->notes[i]);
    if (res->changed_files > 1)
        log_warn("%llu files changed their size while they were read",
                 (unsigned long long)res->changed_files);
    if (res->skipped_paths > 1)
        log_warn("below %llu directories something was left out",
                 (unsigned long long)res->skipped_paths);
}

static int export(const struct request *q, struct err *e)
{
    SCOPED(sink_release) struct sink sink = SINK_INIT;
    SCOPED(layer_session_scoped) struct layer_session *session = NULL;
    struct layer_pack pack = request_pack(q);
    struct layer_result res = {0};
    const char *path = request_text(q, "output");
    int r = layer_session_join(q->userns, &q->map, NULL, &session, e);
    r = r < 0 ? r : sink_open(path, false, &sink, e);
    if (r < 0)
        return r;
    pack.out_fd = sink.fd;
    pack.flags |= LAYER_PACK_SECONDS | LAYER_PACK_NO_DIGEST;
    r = layer_pack(session, &pack, &res, e);
    if (r < 0)
        return err_add(e, r, "%s", path ? path : "standard output");
    tell(&res);
    return sink_keep(&sink, e);
}

static int run_export(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    SCOPED(request_release) struct request q = REQUEST_INIT;
    (void)cmd;
    (void)opts;
    int r = request_read(args, &q, e);
    r = r < 0 ? r : export(&q, e);
    if (r < 0 && e->errnum == EPIPE) { /* as other programs end whose reader has gone */
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    return r < 0 ? err_add(e, r, "export %s", request_text(&q, "typed")) : 0;
}

const struct cmd imagetool_export_cmds[] = {
    {.name = "export-tree",
     .summary = "Write the tar of 'rootlet export'",
     .min_args = 4,
     .max_args = 5,
     .flags = CMD_HIDDEN,
     .run = run_export},
    {NULL},
};
