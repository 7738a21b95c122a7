/* logs-priv - the writer's inside, and the options of the file driver. */
#pragma once

#include <sys/uio.h>

#include "base/str.h"
#include "logs/logs.h"

struct log_writer {
    const struct log_driver *driver;
    int dir_fd;              /* owned; where path is relative to */
    char *path;              /* "log", or absolute; owned */
    int fd;                  /* owned; -1 when it could not be opened again */
    int err_fd;              /* owned; of passthrough */
    struct journal *journal; /* owned by that driver */
    uint64_t size, max_size;
    uint32_t max_files;
    bool torn;             /* the file ends within a record */
    struct json_log *json; /* owned by that driver */
};

#define LOG_FILES_MAX 100

struct log_file_opts {
    const char *path; /* borrowed */
    uint64_t max_size;
    uint32_t max_files;
    /* of json-file: words with commas between; a template; may be NULL */
    const char *labels, *env, *tag;
};
int log_file_opts_parse(char *const *opts, struct log_file_opts *ret, struct err *e);
/* Name of rotated file n (0: the current one) in buf. */
const char *log_file_name(const char *path, unsigned n, char *buf, size_t size);

/* Opens, and goes on with records: they are written whole, after a rotation if need be. */
int log_file_open(struct log_writer *w, const struct log_ident *ident, struct err *e);
void log_file_put(struct log_writer *w, struct iovec *v, int n); /* changes v */
void log_file_reopen(struct log_writer *w);
void log_file_close(struct log_writer *w);
/* {{.ID}} {{.FullID}} {{.Name}} {{.ImageName}} of a tag, as docker's and podman's. */
int log_tag_expand(const char *tag, const struct log_ident *i, struct str *out, struct err *e);

/* One line of a log file. */
struct log_record {
    const char *time, *text;
    size_t time_len, text_len;
    enum log_stream stream;
    bool whole;          /* the text's line ends with it */
    const char *details; /* "k=v,k=v", zero terminated; may be NULL */
};
/* False: the line is none of ours. scratch has room for 2 * n + 2 bytes; what ret points to lies in
 * the line or there. */
typedef bool log_parse_fn(const char *line, size_t n, char *scratch, struct log_record *ret);
int log_file_read(const struct log_read *o, log_parse_fn *parse, struct err *e);

extern const struct log_driver log_driver_k8s_file, log_driver_json_file, log_driver_none,
    log_driver_passthrough, log_driver_journald;
int journald_read(const struct log_read *o, struct err *e);
