#include "imagetool/imagetool.h"

const struct cmd *const imagetool_commands[] = {
    imagetool_load_cmds, imagetool_import_cmds,  imagetool_save_cmds,  imagetool_tag_cmds,
    imagetool_rm_cmds,   imagetool_inspect_cmds, imagetool_check_cmds, NULL,
};
