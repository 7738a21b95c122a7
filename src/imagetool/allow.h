/* allow - policy.json for images that lie in files. */
#pragma once

#include "base/err.h"
#include "imagetool/plan.h"

/* transport NULL: what the bundle looks like. path: of the bundle ("-": it has none). file: of
 * --signature-policy, or NULL. 0 or -errno, as policy_check has it; to be asked before a layer is
 * unpacked. */
int allow_local(const char *file, const char *transport, const struct bundle *b, const char *path,
                const struct image_plan *plan, struct err *e);
