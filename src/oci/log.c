/* log - the log file that clients read an error's text from, in the two forms of logrus. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/log.h"
#include "oci/oci.h"

static int log_fd = -1; /* opened once, by main */
static bool log_json;

/* RFC 3339 in seconds, as their readers expect. */
static void now(char *buf, size_t size)
{
    time_t t = time(NULL);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* logfmt: a quoted string as in Go. */
static void add_quoted(struct str *out, const char *text)
{
    char escaped[8000];
    str_addc(out, '"');
    for (const char *c = err_escape(escaped, sizeof(escaped), text); *c; c++) {
        if (*c == '"')
            str_addc(out, '\\');
        str_addc(out, *c);
    }
    str_addc(out, '"');
}

static void write_line(enum log_level level, const char *text)
{
    char time[40];
    scoped_str struct str out = STR_INIT;
    now(time, sizeof(time));
    if (log_json) {
        scoped_json json_t *j = json_pack("{s:s, s:o, s:s}", "level", log_level_name(level), "msg",
                                          json_from_bytes(text), "time", time);
        scoped_free char *line = j ? json_text(j, false) : NULL;
        str_add(&out, line ? line : "");
    } else {
        str_addf(&out, "time=\"%s\" level=%s msg=", time, log_level_name(level));
        add_quoted(&out, text);
    }
    str_addc(&out, '\n');
    (void)!fs_write_all(log_fd, out.s, out.len); /* nothing sensible is left to do */
}

int oci_log_open(const char *path, const char *format, struct err *e)
{
    bool json = streq(format, "json");
    if (format && !json && !streq(format, "text"))
        return err_msg(e, EINVAL, "--log-format %s: not text or json", format);
    if (!path || !path[0])
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return err_set(e, errno, "--log: open %s", path);
    log_fd = fd;
    log_json = json;
    log_sink = write_line;
    return 0;
}

void oci_log_err(const struct err *e)
{
    char text[4 * sizeof(e->msg)];
    if (log_fd >= 0) {
        scoped_free char *all =
            e->hint[0] ? xasprintf("%s (%s)", e->msg, e->hint) : xstrdup(e->msg);
        write_line(LOG_LEVEL_ERROR, all);
    }
    fprintf(stderr, "Error: %s\n", err_escape(text, sizeof(text), e->msg));
    if (e->hint[0])
        fprintf(stderr, "hint: %s\n", err_escape(text, sizeof(text), e->hint));
}
