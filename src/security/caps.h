/* caps - capability sets by name. capabilities(7) */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "spec/spec.h"

/* "CAP_CHOWN", "chown", "NET_RAW" to its number, -EINVAL if unknown; the CAP_ name of a number. */
int cap_parse(const char *name);
const char *cap_name(int cap);
/* The last capability this kernel has (/proc/sys/kernel/cap_last_cap). */
int cap_last(void);
/* The three named profiles (decision 9): "default", "hardened", "minimal". -EINVAL if unknown. */
int cap_profile(const char *name, uint64_t *ret_mask, struct err *e);
/* --cap-add/--cap-drop (names with or without CAP_, ALL) applied to a mask. */
int cap_adjust(uint64_t *mask, char *const *add, char *const *drop, struct err *e);
/* A mask as the OCI lists (bounding, effective, permitted; others empty). ret is replaced. */
void cap_mask_to_spec(uint64_t mask, struct spec_caps **ret);
/* -EINVAL with the name for one that is unknown. */
int cap_list_to_mask(char *const *names, uint64_t *ret, struct err *e);
/* The mask of a list of the specification ("CAP_CHOWN"). Other words are left out, as config.md has
 * it; spec_process_validate has warned of them. */
uint64_t cap_known(char *const *list);

/* What the kernel will not give: of the permitted set, since we do not have it; of the ambient set,
 * since it is not permitted and inheritable as well. cap_apply_sets leaves both out: the
 * specification wants a warning, not a failure, and only the caller can give one. */
int cap_missing(const struct spec_caps *c, uint64_t *ret_refused, uint64_t *ret_ambient,
                struct err *e);

/* Applies the sets to the calling thread, in two steps around the change of user ids: first the
 * bounding set (needs CAP_SETPCAP) and keep-caps, then effective, permitted, inheritable, ambient.
 */
int cap_apply_bounding(const struct spec_caps *c, struct err *e);
int cap_apply_sets(const struct spec_caps *c, struct err *e);
