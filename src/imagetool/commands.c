#include "imagetool/imagetool.h"

const struct cmd *const imagetool_commands[] = {
    &imagetool_load_cmds[0],   /* load */
    &imagetool_import_cmds[0], /* import */
    &imagetool_save_cmds[0],   /* save */
    &imagetool_tag_cmds[0],
    &imagetool_tag_cmds[1],
    &imagetool_tag_cmds[2], /* tag ... */
    &imagetool_rm_cmds[0],
    &imagetool_prune_cmds[0], /* rmi prune */
    &imagetool_inspect_cmds[0],
    &imagetool_inspect_cmds[1],
    &imagetool_check_cmds[0],
    &imagetool_tar_cmds[0],
    &imagetool_volume_cmds[0],
    &imagetool_volume_cmds[1],
    &imagetool_build_cmds[0],
    &imagetool_commit_cmds[0],
    &imagetool_adopt_cmds[0],
    &imagetool_export_cmds[0],
    NULL,
};
