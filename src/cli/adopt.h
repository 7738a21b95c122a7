/* adopt - images of additional stores whose trees cannot be mounted from there. */
#pragma once

#include "image/store.h"

bool cli_adopt_needed(const struct store_image *i);
/* Has rootlet-image copy it into the own store, where it is found then. Hold no lock. */
int cli_adopt(const struct store_image *i, struct err *e);
