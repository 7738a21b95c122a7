#include "imagetool/imagetool.h"

const struct cmd *const imagetool_commands[] = {
    imagetool_load_cmds,
    NULL,
};
