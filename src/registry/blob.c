/* blob - small blobs into memory, their headers, and taking them from another repository. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "registry/client-priv.h"

static int get_from(struct registry *reg, const struct registry_endpoint *at,
                    const struct registry_blob *blob, size_t max, struct str *ret, struct err *e)
{
    const char *digest = blob->digest;
    uint64_t size = blob->size;
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    struct digest *d SCOPED(digest_scoped) = NULL;
    scoped_free char *what = xasprintf("blobs/%s", digest);
    char found[DIGEST_TEXT_MAX];
    struct call c = {.at = at,
                     .method = "GET",
                     .what = what,
                     .actions = "pull",
                     .max_body = size < max ? size : max};
    int r = call_do(reg, &c, &resp, e);
    if (r == 0 && resp.status != 200)
        r = call_check(reg, &c, &resp, 200, e);
    if (r == 0 && size != UINT64_MAX && resp.body.len != size)
        r = err_msg(e, EBADMSG, "it has %zu bytes, and not the %llu that its image says",
                    resp.body.len, (unsigned long long)size);
    r = r < 0 ? r : digest_new(digest, &d, e);
    r = r < 0 ? r : digest_add(d, resp.body.s, resp.body.len);
    r = r < 0 ? r : digest_end(d, found);
    if (r == 0 && !digest_equal(digest, found))
        r = err_msg(e, EBADMSG, "its bytes have another digest, %s", found);
    if (r < 0)
        return r;
    *ret = resp.body;
    resp.body = (struct str)STR_INIT;
    return 0;
}

ssize_t registry_blob_get(struct registry *reg, struct registry_ref *ref,
                          const struct registry_blob *blob, size_t max, char **ret, struct err *e)
{
    const char *digest = blob->digest;
    uint64_t size = blob->size;
    const struct registry_endpoint *at;
    struct str body = STR_INIT;
    struct tries t = {0};
    int r = digest_parse(digest, NULL, e);
    if (r == 0 && size != UINT64_MAX && size > max)
        r = err_msg(e, EFBIG, "%llu bytes are more than the %zu allowed", (unsigned long long)size,
                    max);
    if (r < 0)
        return err_add(e, r, "%s: blob %.19s", ref->image.name, digest);
    while ((at = tries_next(&t, ref))) {
        struct err own = ERR_INIT;
        r = get_from(reg, at, blob, max, &body, &own);
        if (r == 0) {
            tries_good(&t, ref);
            ssize_t n = (ssize_t)body.len;
            *ret = str_detach(&body);
            return n;
        }
        tries_failed(&t, ref, r, &own);
    }
    return err_add(e, tries_error(&t, ref, e), "%s: blob %.19s", ref->image.name, digest);
}

int registry_blob_head(struct registry *reg, struct registry_ref *ref, const char *digest,
                       uint64_t *ret_size, struct err *e)
{
    const struct registry_endpoint *at;
    scoped_free char *what = xasprintf("blobs/%s", digest);
    struct tries t = {0};
    bool absent = true;
    while ((at = tries_next(&t, ref))) {
        struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
        struct err own = ERR_INIT;
        struct call c = {.at = at, .method = "HEAD", .what = what, .actions = "pull"};
        int r = call_do(reg, &c, &resp, &own);
        r = r < 0 ? r : call_check(reg, &c, &resp, 200, &own);
        if (r == 0) {
            tries_good(&t, ref);
            if (ret_size)
                *ret_size = resp.length;
            return 1;
        }
        absent = absent && r == -ENOENT;
        tries_failed(&t, ref, r, &own);
    }
    int r = tries_error(&t, ref, e);
    return absent ? 0 : err_add(e, r, "%s: blob %.19s", ref->image.name, digest);
}

/* An upload that was opened for nothing. */
static void drop_upload(struct registry *reg, const struct registry_endpoint *at,
                        const struct http_response *from)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    const char *location = http_header(from, "location");
    scoped_free char *url = location ? location_resolve(from->url, location, NULL) : NULL;
    struct call c = {
        .at = at, .method = "DELETE", .url = url, .actions = "pull,push", .once = true};
    if (url)
        call_do(reg, &c, &resp, NULL);
}

int registry_blob_mount(struct registry *reg, struct registry_ref *ref, const char *digest,
                        const char *from_repository, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    scoped_free char *what = xasprintf("blobs/uploads/?mount=%s&from=%s", digest, from_repository);
    scoped_free char *scope = xasprintf("repository:%s:pull", from_repository);
    struct call c = {.at = &ref->place.v[ref->place.n - 1],
                     .method = "POST",
                     .what = what,
                     .actions = "pull,push",
                     .scope = scope};
    int r = call_do(reg, &c, &resp, e);
    if (r < 0)
        return err_add(e, r, "%s: blob %.19s", ref->image.name, digest);
    if (resp.status == 202)
        drop_upload(reg, c.at, &resp);
    return resp.status == 201; /* else the upload will find out why */
}
