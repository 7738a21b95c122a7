/* mounts - more mounts for a container that runs, and fewer. As crun has it. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "engine/engine.h"
#include "oci/oci.h"

static const struct opt table[] = {{NULL}};

/* One run of the command. */
struct change {
    struct oci_container c;
    struct spec spec; /* the container's */
    struct spec more; /* the same with the mounts of the file alone */
    bool add;
};

/* What is to be unmounted need not be described. */
static json_t *destinations(json_t *list)
{
    json_t *ret = json_array(), *m;
    size_t i;
    json_array_foreach(list, i, m)
    {
        json_t *where = json_object_get(m, "destination");
        json_array_append_new(ret, json_pack("{s:O?, s:s}", "destination", where, "type", "tmpfs"));
    }
    return ret;
}

/* "mounts" of the file, or the whole of it when that is an array, in place of the container's own:
 * then the rules of the specification can be applied to them. */
static int read_file(struct change *ch, const char *file, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = streq(file, "-") ? fs_read_fd(STDIN_FILENO, SPEC_MAX_BYTES, &text, e)
                                 : fs_read(AT_FDCWD, file, SPEC_MAX_BYTES, &text, e);
    if (n < 0)
        return (int)n;
    scoped_json json_t *doc = json_parse(text, (size_t)n, SPEC_MAX_BYTES, file, e);
    if (!doc)
        return -EINVAL;
    json_t *list = json_is_array(doc) ? doc : json_object_get(doc, "mounts");
    if (!json_is_array(list) || json_array_size(list) == 0)
        return err_msg(e, EINVAL, "%s: want an array of mounts, or an object with it as \"mounts\"",
                       file);
    scoped_json json_t *whole = spec_emit(&ch->spec);
    json_object_set_new(whole, "mounts", ch->add ? json_incref(list) : destinations(list));
    scoped_free char *both = json_text(whole, false);
    return spec_parse(both, strlen(both), file, &ch->more, e);
}

/* The configuration that is kept tells what there is. */
static int keep(struct change *ch, struct err *e)
{
    for (size_t i = 0; i < ch->more.n_mounts; i++) {
        const struct spec_mount *m = &ch->more.mounts[i];
        if (!ch->add) {
            spec_remove_mount(&ch->spec, m->destination);
            continue;
        }
        scoped_free char *options = strv_join(m->options, ",");
        spec_add_mount(&ch->spec, m->destination, m->type ? m->type : "none",
                       m->source ? m->source : "none", options);
    }
    return oci_write_spec(&ch->c, &ch->spec, e);
}

static int change(struct change *ch, const char *id, const char *file, struct err *e)
{
    int r = oci_open_locked(id, &ch->c, e);
    if (r == 0)
        r = oci_want_running(&ch->c, true, e);
    if (r == 0)
        r = oci_read_spec(&ch->c, &ch->spec, e);
    if (r == 0)
        r = read_file(ch, file, e);
    if (r < 0)
        return r;
    const struct engine_live live = {
        .pid = ch->c.rec.pid,
        .pidfd = ch->c.pidfd,
        .spec = &ch->spec,
        .mounts = &ch->more,
        .bundle = ch->c.rec.bundle,
    };
    r = ch->add ? engine_mounts_add(&live, e) : engine_mounts_remove(&live, e);
    return r < 0 ? r : keep(ch, e);
}

static int mounts_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct change ch = {.c = OCI_CONTAINER_INIT};
    (void)opts;
    ch.add = streq(cmd->name, "mounts add");
    int r = change(&ch, args[0], args[1], e);
    oci_container_release(&ch.c);
    spec_release(&ch.spec);
    spec_release(&ch.more);
    return r < 0 ? err_add(e, r, "%s %s", cmd->name, args[0]) : 0;
}

const struct cmd oci_cmd_mounts_add = {
    .name = "mounts add",
    .args = "ID FILE",
    .summary = "Mount something in a running container",
    .opts = table,
    .min_args = 2,
    .max_args = 2,
    .run = mounts_command,
    .details = "FILE holds mounts as a configuration does: an array, or an object with the array "
               "as \"mounts\". - is standard input.",
    .examples = "rootlet-oci mounts add web mounts.json",
};

const struct cmd oci_cmd_mounts_remove = {
    .name = "mounts remove",
    .args = "ID FILE",
    .summary = "Unmount something in a running container",
    .opts = table,
    .min_args = 2,
    .max_args = 2,
    .run = mounts_command,
    .details = "Only the destinations of FILE count. /, /proc, /sys, /dev, masked and read-only "
               "paths stay.",
    .examples = "rootlet-oci mounts remove web mounts.json",
};
