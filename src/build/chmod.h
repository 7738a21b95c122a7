/* chmod - the mode of --chmod: octal, or as chmod(1) has it (u=rwX,go-w). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

int chmod_check(const char *text, struct err *e);
/* text must have passed the check. */
uint32_t chmod_apply(const char *text, uint32_t mode, bool is_dir);
