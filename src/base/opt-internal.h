/* opt-internal - what the parser and the help texts share. */
#pragma once

#include "base/opt.h"

/* The option that o is an alias of, or o. */
const struct opt *opt_target(const struct opt *table, const struct opt *o);
/* Does it take the next word as its value? */
bool opt_takes_value(const struct opt *o);
