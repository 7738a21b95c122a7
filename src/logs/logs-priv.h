/* logs-priv - the writer's inside, and the options of the file driver. */
#pragma once

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
};

#define LOG_FILES_MAX 100

struct log_file_opts {
    const char *path; /* borrowed */
    uint64_t max_size;
    uint32_t max_files;
};
int log_file_opts_parse(char *const *opts, struct log_file_opts *ret, struct err *e);
/* Name of rotated file n (0: the current one) in buf. */
const char *log_file_name(const char *path, unsigned n, char *buf, size_t size);

extern const struct log_driver log_driver_k8s_file, log_driver_none, log_driver_passthrough,
    log_driver_journald;
int journald_read(const struct log_read *o, struct err *e);
int k8s_file_read(const struct log_read *o, struct err *e);
