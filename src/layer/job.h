/* job - what goes between a session's processes, and the work a confined worker does.
 *
 *   caller --SEQPACKET--> keeper (root of the user namespace, trusted, touches no hostile bytes)
 *     keeper forks a minder per request: makes the directories, waits, cleans up, replies
 *       minder forks a worker: confined before it reads a byte; replies to the minder
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "layer/layer.h"
#include "layer/tree.h"
#include "userns/userns.h"

enum layer_op { LAYER_OP_UNPACK, LAYER_OP_REBUILD, LAYER_OP_PACK, LAYER_OP_REMOVE };

/* Comes with the reply socket, then: unpack: input, staging directory (, counter); rebuild, pack:
 * output, directory (, list); remove: directory. */
struct layer_request {
    uint32_t op, number, flags;
    bool squash_ids, want_whiteouts, keep_headers, lenient, with_list, no_blob, grows;
    int64_t offset, size, max_mtime;
    char diffid[DIGEST_TEXT_MAX], blob[DIGEST_TEXT_MAX]; /* "" = not given */
    char name[NAME_MAX + 1];                             /* remove */
};

struct layer_reply {
    int r;
    struct err err;
    struct layer_result result;
};

/* What all jobs of a session share; made before the keeper is forked. */
struct layer_env {
    struct userns_map map; /* owned copy */
    struct layer_limits limits;
    struct more_ids more_ids;
    struct sandbox_filter *filter;
};

struct layer_task {
    const struct layer_request *req;
    const struct layer_env *env;
    int io_fd;                            /* input or output */
    int dir_fd;                           /* the directory that is the worker's whole world */
    int diff_fd, replaced_fd, headers_fd; /* -1 where the operation has none */
    int list_fd;                          /* pack: or -1; unpack: of LAYER_IMPLIED, or -1 */
    int grow_fd;                          /* unpack: or -1 */
};

/* What layer_grow_end adds: more than any file holds. */
#define LAYER_GROW_END ((uint64_t)1 << 62)

/* The work itself, to be called in the worker; each confines itself (sandbox.h) first. */
int unpack_run(const struct layer_task *task, struct layer_result *res, struct err *e);
int rebuild_run(const struct layer_task *task, struct layer_result *res, struct err *e);
int pack_run(const struct layer_task *task, struct layer_result *res, struct err *e);

/* The same in the calling process, as it is: for fuzzing, which makes its own cage. */
int unpack_unconfined(const struct layer_task *task, struct layer_result *res, struct err *e);
int rebuild_unconfined(const struct layer_task *task, struct layer_result *res, struct err *e);

/* The keeper: serves requests from sock until its peer closes. */
void keeper_main(const struct layer_env *env, int sock) __attribute__((noreturn));
