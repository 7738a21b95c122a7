/* log - diagnostics on stderr, off by default below "warn". Errors are not logged but returned. */
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

extern enum log_level log_max;
/* Where messages go instead of stderr (a log file of the program's own form); NULL: stderr. */
extern void (*log_sink)(enum log_level level, const char *text);

const char *log_level_name(enum log_level level); /* "error", "warning", "info", "debug" */
int log_level_parse(const char *s);               /* error warn info debug; -EINVAL */
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_warn(...) log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_max >= LOG_LEVEL_DEBUG)                                                            \
            log_at(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                  \
    } while (0)
