#include "imagetool/allow.h"

#include <errno.h>
#include <stdlib.h>

#include "base/str.h"
#include "layer/digest.h"
#include "registry/policy.h"

/* What plan_read takes it for, in the words of the policy. */
static const char *transport_of(const struct bundle *b)
{
    if (bundle_has(b, "manifest.json") || !bundle_has(b, "index.json"))
        return "docker-archive";
    return b->is_dir ? "oci" : "oci-archive";
}

int allow_local(const char *file, const char *transport, const struct bundle *b, const char *path,
                const struct image_plan *plan, struct err *e)
{
    char digest[DIGEST_TEXT_MAX];
    scoped_free char *real = streq(path, "-") ? NULL : realpath(path, NULL);
    const char *const digests[] = {digest, NULL};
    const struct policy_image what = {.transport = transport ? transport : transport_of(b),
                                      .path = real,
                                      .digests = plan->manifest ? digests : digests + 1};

    if (plan->manifest && digest_data(plan->manifest, plan->manifest_len, digest) < 0)
        return err_msg(e, EIO, "hash the manifest");
    return policy_check(file, &what, NULL, e);
}
