/* layer - unpack layer tars into overlay-ready trees and pack trees into layer tars.
 *
 * Everything that touches hostile bytes or files of subordinate ids runs below a session: one child
 * in a user namespace (the id-map helpers run once), which forks a confined worker per job. A
 * worker holds the input, the layer's own directory and a socket; it has no network, no
 * credentials, a seccomp allowlist, Landlock where the kernel has it, and resource limits. Several
 * jobs may run at the same time. Open the session before reading any secret: its processes are
 * forked from the caller. Sources: image-spec layer.md, pax(1), tar(5), "Overlay Filesystem" of the
 * kernel.
 *
 * What a staging directory holds after a successful unpack (it then becomes layers/HEX/):
 *   diff/          the tree: 0/0 character devices are whiteouts, user.overlay.opaque=y, ids
 * shifted by the map headers.zst    all bytes of the tar that are not file content: layer_rebuild
 * needs it replaced/      only if the tar replaced its own entries: their content, for
 * layer_rebuild
 *   implied        only if the tar has no entry for directories that it needs: their paths, sorted,
 * each ended by a zero byte. Their owners, modes, times and xattrs are those of the layer below.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "layer/digest.h"

struct userns_map;

/* 0 = the default given here. */
struct layer_limits {
    uint64_t max_entries;    /* 4,000,000 */
    uint64_t max_tar_bytes;  /* none; the free space of the file system minus 5 % always counts */
    uint64_t max_file_bytes; /* 1 TiB: apparent size of one file (sparse files, size lies) */
    uint32_t max_ratio;      /* 1000: tar bytes per compressed byte, once 1 GiB is out */
};

#define LAYER_NOTES 8
#define LAYER_IMPLIED "implied"
#define LAYER_IMPLIED_MAX (1u << 20) /* bytes of it */

/* Has the tar an entry for the root, and is that one more than what a root is without? */
enum layer_root { LAYER_ROOT_NONE, LAYER_ROOT_PLAIN, LAYER_ROOT_OWN };

struct layer_result {
    char diffid[DIGEST_TEXT_MAX]; /* of the uncompressed tar, "sha256:HEX" */
    char blob[DIGEST_TEXT_MAX];   /* of the input as it came, "sha256:HEX" (unpack only) */
    uint64_t blob_bytes;          /* bytes of input */
    uint64_t tar_bytes;           /* bytes after decompression */
    uint64_t file_bytes;          /* content of regular files in the tree */
    uint64_t entries;             /* entries of the tar */
    uint64_t skipped_devices;     /* device nodes left out: a user namespace cannot make them */
    uint64_t dropped_xattrs;
    uint64_t escaped_xattrs; /* user.overlay.*: kept, but out of the reach of overlayfs */
    uint64_t squashed_ids;   /* entries whose owner was replaced by 0:0 */
    uint64_t skipped_other;  /* pack: sockets */
    uint64_t skipped_paths;  /* pack: directories with paths that are too long below them */
    uint64_t changed_files;  /* pack: files that grew or shrank while they were read */
    uint64_t implied;        /* directories in LAYER_IMPLIED */
    uint32_t root_entry;     /* enum layer_root */
    char compression[8];     /* "none", "gzip", "zstd" */
    bool root_opaque;        /* .wh..wh..opq in the root: no lower layer shows through. The kernel
                                ignores it there, so the one who stacks must stop at this layer */
    uint32_t n_notes;        /* notes there were; the first LAYER_NOTES are kept */
    char notes[LAYER_NOTES][200]; /* worth one line to the user; raw names: escape when printing */
};

/* Opens a session: the child in its user namespace is up when this returns. map is only read during
 * the call; limits may be NULL. */
struct layer_session;
int layer_session_open(const struct userns_map *map, const struct layer_limits *limits,
                       struct layer_session **ret, struct err *e);
/* In a user namespace that exists already and has this map: trees that are mounted by it and answer
 * nobody else (FUSE). -1: a new one. */
int layer_session_join(int userns_fd, const struct userns_map *map,
                       const struct layer_limits *limits, struct layer_session **ret,
                       struct err *e);
/* Ends the session and kills its running jobs. NULL is fine. */
void layer_session_close(struct layer_session *s);
static inline void layer_session_scoped(struct layer_session **s)
{
    layer_session_close(*s);
}

struct layer_source {
    int fd;          /* borrowed; file, pipe or socket */
    int64_t offset;  /* >= 0: read from there by pread (many jobs can share the file); -1: read(2)
                        from the current position */
    int64_t size;    /* bytes of the (compressed) layer; -1: until the end of the file */
    unsigned number; /* for messages: 'layer 2 entry "x": ...'; 0: 'entry "x": ...' */
    const char *diffid;  /* expected "algo:hex", or NULL */
    const char *blob;    /* expected digest of the input, or NULL */
    bool squash_ids;     /* owners outside the map become 0:0 (always so in a single-id map) */
    bool want_whiteouts; /* true for layers. false (import of a rootfs): .wh. names are refused */
    bool lenient;        /* "/" in front of names and ".." are clamped instead of refused */
    bool keep_headers;   /* write headers.zst, so that layer_rebuild works */
    bool no_blob;        /* without `blob`: the input is not hashed, ret->blob stays empty */
    int grow_fd;         /* the file is still being written: of layer_grow_open. -1: it is whole */
};
#define LAYER_SOURCE_INIT                                                                          \
    {                                                                                              \
        .fd = -1, .offset = -1, .size = -1, .want_whiteouts = true, .keep_headers = true,          \
        .grow_fd = -1                                                                              \
    }

/* A file that is unpacked while it is downloaded: the job reads behind the writer, who tells it how
 * many bytes more there are. So a download that stops, starts again or was begun by an earlier
 * process needs nothing special, and there is no second copy. offset has to be 0 and size known. */
int layer_grow_open(struct err *e);
void layer_grow_add(int grow_fd, uint64_t bytes);
/* No more will come: the job fails with ECANCELED once it has read what is there. */
void layer_grow_end(int grow_fd);

/* Unpacks one layer below staging_fd (a directory that the caller just made; nothing named as above
 * may be in it). Compression is told by the content, not by a media type. Nothing is synced: the
 * caller does one syncfs(2) before the rename. On failure what was made is removed again and *ret
 * is untouched. Errors: -EBADMSG digest mismatch or damaged archive, -EPERM refused entry, -ERANGE
 * owner outside the map, -EFBIG a limit, -ENOSPC, others. */
int layer_unpack(struct layer_session *s, const struct layer_source *src, int staging_fd,
                 struct layer_result *ret, struct err *e);

/* The same in two steps, to have several layers under way: fd becomes readable when the job has
 * ended; finish must be called once for every started job. */
struct layer_job {
    int fd; /* owned by the job */
    unsigned number;
};
int layer_unpack_start(struct layer_session *s, const struct layer_source *src, int staging_fd,
                       struct layer_job *ret, struct err *e);
int layer_job_finish(struct layer_job *job, struct layer_result *ret, struct err *e);

/* Writes the exact tar that layer_dir_fd (layers/HEX, holding diff/ and headers.zst) was unpacked
 * from to out_fd. With diffid the result is compared: -EUCLEAN "layer ... is damaged". -ENOENT when
 * there is no headers.zst. ret->diffid and tar_bytes are set; ret may be NULL. */
int layer_rebuild(struct layer_session *s, int layer_dir_fd, int out_fd, const char *diffid,
                  struct layer_result *ret, struct err *e);
/* In two steps, as layer_unpack_start: the descriptors are no more needed after the first. A job
 * whose reader goes away ends with EPIPE. */
int layer_rebuild_start(struct layer_session *s, int layer_dir_fd, int out_fd, const char *diffid,
                        struct layer_job *ret, struct err *e);

enum layer_pack_flags {
    LAYER_PACK_OVERLAY = 1, /* tree is an overlay layer or upper: 0/0 device -> .wh.NAME, opaque ->
                               .wh..wh..opq, user.overlay.overlay.X -> user.overlay.X */
    LAYER_PACK_LAYER = 2,   /* tree is a plain one, the tar becomes a layer: .wh. names and 0/0
                               devices in the tree, which would be misread, are left out */
    LAYER_PACK_ONLY = 4,    /* nothing but what the list calls A or C; whiteouts for its D */
    LAYER_PACK_ONE_MOUNT = 8, /* what is mounted below the tree is left out */
    LAYER_PACK_SECONDS = 16,  /* mtimes cut to whole seconds, as those of other builders: a fraction
                                 costs 1 KiB a file */
    LAYER_PACK_NO_DIGEST = 32, /* ret->diffid stays empty: the tar is not hashed */
};
/* Packs a tree as a plain PAX tar: sorted, reproducible, ids as inside the map, no times but mtime,
 * security.capability as version 2, sockets skipped, large holes as GNU's sparse maps. mtimes after
 * max_mtime (seconds, when >= 0: SOURCE_DATE_EPOCH) are set to it. The tree may change meanwhile:
 * what vanishes is left out, a file that shrinks is filled with zeros, one that grows is cut. Paths
 * longer than PATH_MAX are left out with a note, of a layer they are an error. list_fd: a file with
 * "KIND PATH" entries, each ended by a zero byte (storage/diff.h has the kinds), or -1; what it
 * calls M is left out. The descriptors are borrowed. */
struct layer_pack {
    int dir_fd, out_fd, list_fd;
    unsigned flags;
    int64_t max_mtime;
};
#define LAYER_PACK_INIT                                                                            \
    {                                                                                              \
        .dir_fd = -1, .out_fd = -1, .list_fd = -1, .max_mtime = -1                                 \
    }
int layer_pack(struct layer_session *s, const struct layer_pack *p, struct layer_result *ret,
               struct err *e);
/* In two steps, as layer_unpack_start: out_fd is no more needed after the first. */
int layer_pack_start(struct layer_session *s, const struct layer_pack *p, struct layer_job *ret,
                     struct err *e);

/* rm -rf of name below dir_fd with the rights of the session's root: trees of subordinate ids. */
int layer_remove(struct layer_session *s, int dir_fd, const char *name, struct err *e);
