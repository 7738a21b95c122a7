/* client - the distribution API of a registry: manifests, blobs, uploads, lists.
 *
 * An error names registry, repository and what was wanted: "docker.io/library/x:1: manifest: ...".
 * Mirrors are tried in their order and the registry last; when all fail, all their errors are
 * shown. Credentials are looked up when a registry asks for some. images.md section 4. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "image/ref.h"
#include "layer/digest.h"
#include "registry/conf.h"
#include "registry/creds.h"

#define REGISTRY_MANIFEST_MAX (4 * 1024 * 1024)
#define REGISTRY_CONFIG_MAX (4 * 1024 * 1024)

struct registry_options {
    const char *creds;       /* --creds USER[:PASSWORD] */
    const char *authfile;    /* --authfile */
    const char *cert_dir;    /* --cert-dir */
    int tls_verify;          /* --tls-verify: 1, 0, or -1 when not said (registries.conf decides) */
    int retry;               /* --retry; negative: 5 */
    uint64_t retry_delay_ms; /* --retry-delay; 0: 1 s, doubled each time */
    bool impatient;          /* see http.h */
    unsigned stall_s;        /* 0: 30; see http.h */
    const struct registry_creds *login; /* these and no others (login); may be NULL */
    /* One line for the user ("waiting 5 s: ..."); NULL: stderr. */
    void (*notice)(void *data, const char *text);
    void *data;
};
struct registry;
/* Reads registries.conf; makes no connection. */
int registry_open(const struct registry_options *o, struct registry **ret, struct err *e);
void registry_close(struct registry *reg);
static inline void scoped_registry_fn(struct registry **reg)
{
    registry_close(*reg);
}
#define scoped_registry SCOPED(scoped_registry_fn)
const struct registry_conf *registry_conf_of(const struct registry *reg); /* borrowed */

/* An image name and where it is. */
struct registry_ref {
    struct image_ref image; /* the full name */
    struct registry_place place;
    size_t at; /* the endpoint that answered last: blobs are asked of it first */
};
/* text as typed by the user; NAME:TAG, NAME@DIGEST or both (the digest counts). */
int registry_resolve(struct registry *reg, const char *text, enum registry_access access,
                     struct registry_ref *ret, struct err *e);
void registry_ref_release(struct registry_ref *r);

struct registry_manifest {
    char *bytes; /* exact; zero terminated */
    size_t len;
    char *media_type; /* of Content-Type, without parameters; NULL without one */
    char digest[DIGEST_TEXT_MAX];
};
void registry_manifest_release(struct registry_manifest *m);
/* which: a tag or digest of the repository; NULL: what ref says. accept: media types
 * (NULL-terminated), NULL: the index and manifest types of OCI and docker. The digest is computed,
 * and must be which (if that is one) and what Docker-Content-Digest says. -ENOENT: there is none.
 */
int registry_manifest_get(struct registry *reg, struct registry_ref *ref, const char *which,
                          const char *const *accept, struct registry_manifest *ret, struct err *e);
/* Only what the headers say: bytes is NULL, len of Content-Length (0 unknown), digest "" when the
 * registry does not tell. */
int registry_manifest_head(struct registry *reg, struct registry_ref *ref, const char *which,
                           struct registry_manifest *ret, struct err *e);
/* which: a tag, or NULL for the digest of the bytes. Of m bytes, len and media_type count. */
int registry_manifest_put(struct registry *reg, struct registry_ref *ref, const char *which,
                          const struct registry_manifest *m, struct err *e);

/* Is the blob there? 1 yes (*ret_size: UINT64_MAX unknown; may be NULL), 0 no, or -errno. */
int registry_blob_head(struct registry *reg, struct registry_ref *ref, const char *digest,
                       uint64_t *ret_size, struct err *e);
struct registry_blob {
    const char *digest;
    uint64_t size;   /* of the descriptor (UINT64_MAX: unknown, for registry_blob_get alone) */
    uint64_t offset; /* fetch: that much is there already; begins there by Range */
    char *const
        *urls; /* fetch: of a foreign layer, tried (https only) when the registry has none */
};
/* A small blob (configuration, signature) of at most max bytes, verified; owned, zero terminated.
 * Returns its length or -errno. */
ssize_t registry_blob_get(struct registry *reg, struct registry_ref *ref,
                          const struct registry_blob *blob, size_t max, char **ret, struct err *e);

/* One blob among several that are fetched at once, each over a connection of its own: never a byte
 * more than blob->size is accepted. */
struct registry_fetch_ops {
    /* The next bytes in their order, straight from the receive buffer: the first call has those at
     * offset. Cuts, new tokens, mirrors and servers without Range do not show here. Negative errno
     * ends the fetch with it, but for -EAGAIN: these bytes come again after registry_fetch_more.
     * The bytes are NOT hashed: who takes them does that. */
    int (*data)(void *ctx, const void *buf, size_t n);
    /* Once, from registry_step: 0 (all size bytes were given) or -errno with e. The fetch is gone
     * after it. May start others. */
    void (*done)(void *ctx, int r, const struct err *e);
};
struct registry_fetch;
/* blob is copied; ref must stay until done. NULL with e for a digest that is none. */
struct registry_fetch *registry_fetch_start(struct registry *reg, struct registry_ref *ref,
                                            const struct registry_blob *blob,
                                            const struct registry_fetch_ops *ops, void *ctx,
                                            struct err *e);
void registry_fetch_cancel(struct registry_fetch *f); /* done is not called any more */
void registry_fetch_more(struct registry_fetch *f);   /* data may be called from in here */
/* Moves all fetches on. Waits at most timeout_ms (-1: no limit) for the network or one of fds (as
 * poll(2), may be NULL). Returns how much is left to do (0: no fetch runs) or -errno. */
int registry_step(struct registry *reg, struct pollfd *fds, unsigned n, int timeout_ms,
                  struct err *e);

/* Cross-repository mount: takes a blob from another repository of the same registry. 1 done, 0 the
 * registry would have it uploaded, or -errno. */
int registry_blob_mount(struct registry *reg, struct registry_ref *ref, const char *digest,
                        const char *from_repository, struct err *e);
/* What is uploaded. The stream may be read again from its beginning after a cut. */
struct registry_source {
    ssize_t (*read)(void *ctx, void *buf, size_t n); /* 0 at the end, -errno */
    /* Goes to offset; -ESPIPE when it cannot (0 must be possible or the upload ends at a cut). May
     * be NULL. */
    int (*seek)(void *ctx, uint64_t offset);
    void *ctx;
    uint64_t size;      /* UINT64_MAX: not known before */
    const char *digest; /* NULL: not known before, it is computed here */
};
/* POST, streaming PATCH, PUT with the digest; continued or begun again after a cut. ret_size and
 * ret_digest (each may be NULL) tell what was sent. */
int registry_upload(struct registry *reg, struct registry_ref *ref,
                    const struct registry_source *source, char ret_digest[DIGEST_TEXT_MAX],
                    uint64_t *ret_size, struct err *e);

/* Tags of ref's repository, all pages, at most limit (0: 100,000); *ret is owned. */
int registry_tags(struct registry *reg, struct registry_ref *ref, size_t limit, char ***ret,
                  struct err *e);
/* Repositories of a host, where it tells (-EACCES, -ENOENT where not). */
int registry_catalog(struct registry *reg, const char *host, size_t limit, char ***ret,
                     struct err *e);
/* What a search finds: by docker's index API (/v1/search), and where there is none, among the names
 * of the catalog. */
struct registry_found {
    char *name, *description; /* the name with its host; description may be NULL */
    uint64_t stars;
    bool official, automated;
};
struct registry_results {
    struct registry_found *v;
    size_t n;
};
int registry_search(struct registry *reg, const char *host, const char *term, size_t limit,
                    struct registry_results *ret, struct err *e);
void registry_results_release(struct registry_results *r);
/* The index of what refers to a manifest digest: the referrers API, else the tag sha256-HEX.
 * -ENOENT: nothing. */
int registry_referrers(struct registry *reg, struct registry_ref *ref, const char *digest,
                       struct registry_manifest *ret, struct err *e);
/* Does the host speak the API, and take our credentials? For login. -EACCES: it refuses them. */
int registry_ping(struct registry *reg, const char *host, struct err *e);
