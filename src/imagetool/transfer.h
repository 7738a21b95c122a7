/* transfer - an image on its way from one place to another, blob by blob, several at a time and
 * without a copy on disk: registries, archives, directories, and the store as a source.
 *
 * A blob goes as it is, and the manifest with it byte for byte. Only what has no compressed form
 * (a layer of the store whose blob the target lacks) is packed anew; then, and when another format
 * is asked for, the manifest is made again. Configurations, and so image ids, never change. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "imagetool/transfer-manifest.h"
#include "layer/compress.h"
#include "registry/client.h"

/* One blob being read from its beginning. */
struct stream {
    /* Some bytes; 0 at the end, when what was read is known to be right; -errno. */
    ssize_t (*read)(struct stream *s, void *buf, size_t n, struct err *e);
    int (*rewind)(struct stream *s, struct err *e);
    void (*free)(struct stream *s);
    uint64_t size; /* if known before; else UINT64_MAX */
};
void stream_free(struct stream *s); /* NULL is fine */
static inline void stream_scoped(struct stream **s)
{
    stream_free(*s);
}
struct stream *stream_memory(char *data /* taken over */, size_t n);
/* size bytes of fd from offset; fd is closed in the end when own is set. */
struct stream *stream_file(int fd, bool own, int64_t offset, uint64_t size);
/* in (taken over) compressed. */
int stream_compress(struct stream *in, enum compress_format format, int level, struct stream **ret,
                    struct err *e);
/* in (taken over), whose end is an error unless it had this digest and size. */
struct stream *stream_checked(struct stream *in, const char *digest, uint64_t size);
/* Everything to a descriptor; what it was is in *ret_digest and *ret_size. */
int stream_copy(struct stream *in, int fd, const char *algorithm, char ret_digest[DIGEST_TEXT_MAX],
                uint64_t *ret_size, struct err *e);

/* Where images come from. What an operation lacks is NULL. */
struct source {
    const struct source_ops *ops;
    char *label;           /* for messages */
    char *const *diff_ids; /* of the layers, where only their content is; else NULL */
};
struct source_ops {
    /* which: a digest or a tag; NULL: the image that the user named. -ENOENT: there is none. */
    int (*manifest)(struct source *s, const char *which, struct registry_manifest *ret,
                    struct err *e);
    /* The exact bytes; not checked. -ENODATA (e untouched): only its content is here. */
    int (*blob)(struct source *s, const struct xfer_blob *b, struct stream **ret, struct err *e);
    /* The store's: the tar of a layer, and the compressed forms that registries have of it. */
    int (*tar)(struct source *s, const char *diff_id, struct stream **ret, struct err *e);
    void (*known)(struct source *s, const char *diff_id, struct xfer_blob **ret, size_t *ret_n);
    /* A registry has such a form of the layer from now on: for known. */
    void (*packed)(struct source *s, const char *diff_id, const struct xfer_blob *b);
    /* Repositories of a host that probably have the layer or blob; owned. */
    char **(*origins)(struct source *s, const char *host, const struct xfer_blob *b,
                      const char *diff_id);
    /* May it be used, by the user's policy? index: that led to m, or NULL. */
    int (*allowed)(struct source *s, const char *policy_file, const struct registry_manifest *index,
                   const struct registry_manifest *m, struct err *e);
    /* Another one for another thread; NULL: this one will do. */
    int (*again)(const struct source *s, struct source **ret, struct err *e);
    void (*free)(struct source *s);
};
void source_free(struct source *s);
static inline void source_scoped(struct source **s)
{
    source_free(*s);
}

struct target {
    const struct target_ops *ops;
    const char *host; /* of a registry, as in names; else NULL */
    const char *path; /* the repository there */
    char *label;
    enum compress_format packs; /* what a layer of the store becomes unless told otherwise */
    bool docker_only;           /* no index, no OCI: a docker archive */
};
struct target_ops {
    int (*has)(struct target *t, const struct xfer_blob *b, struct err *e); /* 1, 0 or -errno */
    int (*mount)(struct target *t, const char *digest, const char *from, struct err *e);
    /* known: the digest and size of b are what is coming; else they are set in b. */
    int (*put)(struct target *t, struct stream *in, struct xfer_blob *b, bool known, struct err *e);
    /* tag: of a signature; NULL with top: as the user named it; else by its digest. */
    int (*manifest)(struct target *t, const struct registry_manifest *m, const char *tag, bool top,
                    struct err *e);
    int (*finish)(struct target *t, struct err *e);
    int (*again)(const struct target *t, struct target **ret, struct err *e); /* NULL: no threads */
    void (*free)(struct target *t);
};
void target_free(struct target *t);
static inline void target_scoped(struct target **t)
{
    target_free(*t);
}

/* A place as users write it: docker://NAME, oci:PATH[:TAG], oci-archive:FILE[:TAG],
 * docker-archive:FILE[:NAME], dir:PATH; containers-storage:NAME or NAME is the store. */
enum place_kind {
    PLACE_STORE,
    PLACE_REGISTRY,
    PLACE_OCI,
    PLACE_OCI_ARCHIVE,
    PLACE_DOCKER_ARCHIVE,
    PLACE_DIR,
};
struct place {
    enum place_kind kind;
    char *path; /* or the name */
    char *name; /* of an image in an archive; may be NULL */
};
int place_parse(const char *text, struct place *ret, struct err *e);
void place_release(struct place *p);

struct image_ref;
int source_store(const struct conf *c, const char *name, struct source **ret, struct err *e);
/* The image that was found, in full; borrowed. */
const struct store_image *source_store_image(const struct source *s);
/* o and what it points to must stay. */
int source_registry(const struct registry_options *o, const char *name, struct source **ret,
                    struct err *e);
int source_archive(const struct place *p, struct source **ret, struct err *e);
int target_registry(const struct registry_options *o, const char *name, struct target **ret,
                    struct err *e);
int target_archive(const struct place *p, struct target **ret, struct err *e);

enum manifest_format { FORMAT_KEEP, FORMAT_OCI, FORMAT_DOCKER };
struct transfer_options {
    bool quiet, all, preserve, force_compression, no_signatures;
    enum manifest_format format;
    int compression;                 /* enum compress_format, or -1: the target's way */
    int level;                       /* COMPRESS_LEVEL_DEFAULT: not said */
    const struct platform *platform; /* NULL: this machine's */
    const char *policy_file;         /* NULL: the user's policy.json */
};
struct transfer_result {
    char digest[DIGEST_TEXT_MAX]; /* of what the target's name now means */
    size_t size;                  /* of that manifest */
    bool remade;                  /* it is not the source's manifest */
    bool repacked;                /* and not only because its layers had no compressed form */
    char was[DIGEST_TEXT_MAX];    /* which that was */
};
/* A line of a registry for the user, from any thread: registry_options.notice. */
void transfer_notice(void *data, const char *text);
/* --format: "oci" or "v2s2"; NULL: FORMAT_KEEP. In cmd-push.c. */
int transfer_format_parse(const char *text, enum manifest_format *ret, struct err *e);
int transfer(struct source *from, struct target *to, const struct transfer_options *o,
             struct transfer_result *ret, struct err *e);

/* --- for transfer.c and transfer-blobs.c --- */

/* One blob of an image under way. */
struct xfer_item {
    struct xfer_blob blob; /* as the manifest says; then as the target has it */
    const char *diff_id;   /* of a layer of the store, else NULL */
    unsigned number;       /* of its bar */
    bool config, changed, done;
    enum compress_format pack; /* of what has to be packed */
    _Atomic uint64_t bytes;    /* that have gone so far */
};
/* Brings all items to the target. */
int transfer_blobs(struct source *from, struct target *to, const struct transfer_options *o,
                   struct xfer_item *v, size_t n, struct err *e);
