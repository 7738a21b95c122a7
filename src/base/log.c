/* log - one line per message, by one write(2), so that lines of several processes do not mix. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/scoped.h"

enum log_level log_max = LOG_LEVEL_WARN;
void (*log_sink)(enum log_level level, const char *text);

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

int log_level_parse(const char *s)
{
    for (size_t i = 0; i < N_ELEMENTS(level_names); i++)
        if (strcmp(s, level_names[i]) == 0)
            return (int)i;
    if (strcmp(s, "warning") == 0)
        return LOG_LEVEL_WARN;
    return -EINVAL;
}

const char *log_level_name(enum log_level level)
{
    return level == LOG_LEVEL_WARN ? "warning" : level_names[level];
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if (level > log_max)
        return;
    int saved = errno;
    char text[2048], line[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    if (log_sink) {
        log_sink(level, text);
        errno = saved;
        return;
    }
    int n = snprintf(line, sizeof(line), "rootlet: %s: ", log_level_name(level));
    err_escape(line + n, sizeof(line) - (size_t)n - 1, text);
    size_t len = strlen(line);
    line[len++] = '\n';
    /* Nothing sensible can be done when stderr is gone. */
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
    errno = saved;
}

bool log_terminal(int fd)
{
    const char *term = getenv("TERM");
    return term && *term && strcmp(term, "dumb") != 0 && isatty(fd);
}

bool log_colours(int fd)
{
    const char *no = getenv("NO_COLOR");
    return !(no && *no) && log_terminal(fd);
}

const char *log_error_word(void)
{
    return log_colours(STDERR_FILENO) ? "\033[1;31mError:\033[0m" : "Error:";
}

const char *log_hint_word(void)
{
    return log_colours(STDERR_FILENO) ? "\033[36mhint:\033[0m" : "hint:";
}
