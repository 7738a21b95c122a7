/* log - diagnostics on stderr, off by default below "warn". Errors are not logged but returned. */
#pragma once

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

extern enum log_level log_max;
/* Where messages go instead of stderr (a log file of the program's own form); NULL: stderr. */
extern void (*log_sink)(enum log_level level, const char *text);

const char *log_level_name(enum log_level level); /* "error", "warning", "info", "debug" */
int log_level_parse(const char *s);               /* error warn info debug; -EINVAL */
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Does fd lead to a terminal that knows more than lines (TERM is set and not "dumb")? */
bool log_terminal(int fd);
/* And are colours wanted there? no-color.org: not when NO_COLOR is set to anything. */
bool log_colours(int fd);
/* How "Error:" and "hint:" begin on stderr, in colour where that is wanted. */
const char *log_error_word(void);
const char *log_hint_word(void);

#define log_warn(...) log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_max >= LOG_LEVEL_DEBUG)                                                            \
            log_at(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                  \
    } while (0)
