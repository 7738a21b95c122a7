/* runroot - which run root counts when neither options nor settings name one. */
#pragma once

#include "conf/conf.h"

/* c->run_root is what the environment gives: it is replaced by the one in which containers of this
 * boot run already, or noted for commands in another environment. */
void conf_settle_run_root(struct conf *c);
