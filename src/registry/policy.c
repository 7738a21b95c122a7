/* policy - see policy.h. */
#include "registry/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/path.h"
#include "registry/conf-priv.h"
#include "registry/policy-priv.h"

#define POLICY_MAX_BYTES (1u << 20)

/* 1: there is no such file. */
static int read_file(const char *path, json_t **ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, POLICY_MAX_BYTES, &text, e);
    if (n == -ENOENT || n == -ENOTDIR) {
        err_clear(e);
        return 1;
    }
    if (n < 0)
        return (int)n;
    scoped_json json_t *doc = json_parse(text, (size_t)n, POLICY_MAX_BYTES, path, e);
    if (!doc)
        return -EINVAL;
    int r = policy_validate(doc, e);
    if (r < 0)
        return err_add(e, r, "%s", path);
    *ret = take_ptr(doc);
    return 0;
}

/* The policy and where it is from; *ret NULL: there is none. */
static int load(const char *file, json_t **ret, char **ret_path, struct err *e)
{
    scoped_free char *user = registry_user_dir("XDG_CONFIG_HOME", ".config");
    const char *const dirs[] = {user, "/etc/containers", "/usr/share/containers"};
    if (file) {
        int r = read_file(file, ret, e);
        *ret_path = xstrdup(file);
        return r == 1 ? err_set(e, ENOENT, "--signature-policy %s", file) : r;
    }
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        scoped_free char *path = path_join(dirs[i], "policy.json");
        int r = *dirs[i] ? read_file(path, ret, e) : 1;
        if (r == 1)
            continue;
        *ret_path = take_ptr(path);
        return r;
    }
    return 0;
}

/* Signatures of the image, read when the first requirement asks for them. */
struct lookup {
    const struct policy_image *image;
    const struct policy_fetch *fetch;
    struct sigstore_set set;
    bool done;
};

static int check_sigstore(const struct requirement *q, struct lookup *l, struct err *e)
{
    if (q->unknown)
        return err_msg(e, EPERM, "sigstoreSigned by %s cannot be verified here: only by keys",
                       q->unknown);
    if (!l->fetch || !l->image->ref || !l->image->digests)
        return err_msg(e, EPERM, "it must be signed, and images of %s: have no signatures here",
                       l->image->transport);
    if (!l->done) {
        int r = sigstore_collect(l->fetch, l->image->digests, &l->set, e);
        if (r < 0)
            return r;
        l->done = true;
    }
    return sigstore_satisfy(q, l->image, &l->set, e);
}

static int check_requirement(const json_t *obj, struct lookup *l, struct err *e)
{
    SCOPED(requirement_release) struct requirement q = {0};
    int r = requirement_parse(obj, "requirement", &q, e);
    if (r < 0)
        return r;
    switch (q.type) {
    case REQ_ACCEPT:
        return 0;
    case REQ_REJECT:
        return err_msg(e, EPERM, "such images are rejected");
    case REQ_SIGNED_BY:
        return err_hint(
            e, err_msg(e, EPERM, "signedBy asks for a GPG signature, which is not verified here"),
            "sigstoreSigned with a key can be");
    case REQ_SIGSTORE:
        return check_sigstore(&q, l, e);
    }
    return err_msg(e, EPERM, "a requirement that is not known");
}

int policy_check(const char *file, const struct policy_image *image,
                 const struct policy_fetch *fetch, struct err *e)
{
    scoped_json json_t *doc = NULL;
    scoped_free char *path = NULL, *where = NULL;
    struct lookup l = {.image = image, .fetch = fetch};
    const json_t *obj = NULL;
    size_t i = 0;
    int r = load(file, &doc, &path, e);
    if (r < 0)
        return err_add(e, r, "signature policy");
    if (!doc)
        return 0;
    const json_t *list = policy_select(doc, image, &where);
    /* A list that is empty would be no rule at all; policy_validate lets none through. */
    r = json_array_size(list) > 0 ? 0 : err_msg(e, EPERM, "no requirement");
    json_array_foreach(list, i, obj)
    {
        r = r < 0 ? r : check_requirement(obj, &l, e);
    }
    sigstore_set_release(&l.set);
    return r < 0 ? err_add(e, r, "refused by %s (%s)", path, where) : 0;
}
