/* doctor - the command table of doctor.c. */
#pragma once

#include "base/opt.h"

extern const struct cmd cli_doctor_cmds[];
