/* driver - the table of log drivers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "logs/logs-priv.h"

/* Options of the file driver are let stand: who turns a log off need not take them away. */
static int none_check(char *const *opts, struct err *e)
{
    struct log_file_opts o;
    return log_file_opts_parse(opts, &o, e);
}

const struct log_driver log_driver_none = {
    .name = "none",
    .summary = "nothing is kept",
    .check = none_check,
};

static const struct log_driver *const drivers[] = {
    &log_driver_k8s_file,    &log_driver_json_file, &log_driver_journald,
    &log_driver_passthrough, &log_driver_none,      NULL,
};

const struct log_driver *const *log_drivers(void)
{
    return drivers;
}

int log_driver_get(const char *name, const struct log_driver **ret, struct err *e)
{
    if (!name || !*name)
        name = drivers[0]->name;
    scoped_str struct str known = STR_INIT;
    for (size_t i = 0; drivers[i]; i++) {
        if (streq(drivers[i]->name, name)) {
            *ret = drivers[i];
            return 0;
        }
        str_addf(&known, "%s%s", i ? ", " : "", drivers[i]->name);
    }
    return err_msg(e, EINVAL, "unknown log driver \"%s\" (known: %s)", name, known.s);
}

int log_file_opts_parse(char *const *opts, struct log_file_opts *ret, struct err *e)
{
    struct log_file_opts o = {.path = "log", .max_files = 1};
    for (; opts && *opts; opts++) {
        const char *v;
        int r = 0;
        if ((v = str_after(*opts, "max-size="))) {
            r = parse_size(v, &o.max_size);
        } else if ((v = str_after(*opts, "max-file="))) {
            r = parse_u32(v, &o.max_files);
            if (o.max_files < 1 || o.max_files > LOG_FILES_MAX)
                r = -ERANGE;
        } else if ((v = str_after(*opts, "path="))) {
            o.path = v;
            r = *v == '/' ? 0 : -EINVAL;
        } else if ((v = str_after(*opts, "labels="))) {
            o.labels = v;
        } else if ((v = str_after(*opts, "env="))) {
            o.env = v;
        } else if ((v = str_after(*opts, "tag="))) {
            o.tag = v;
        } else {
            return err_msg(e, EINVAL,
                           "unknown log option \"%s\" (known: max-size, max-file, path, "
                           "and of json-file labels, env, tag)",
                           *opts);
        }
        if (r < 0)
            return err_set(e, -r, "log option \"%s\"", *opts);
    }
    *ret = o;
    return 0;
}

int log_opts_check(const char *driver, char *const *opts, struct err *e)
{
    const struct log_driver *d;
    int r = log_driver_get(driver, &d, e);
    return r == 0 && d->check ? d->check(opts, e) : r;
}

int log_writer_open(const char *driver, const struct log_ident *ident, struct log_writer **ret,
                    struct err *e)
{
    const struct log_driver *d;
    int r = log_driver_get(driver, &d, e);
    if (r < 0)
        return r;
    struct log_writer *w = xcalloc(1, sizeof(*w));
    *w = (struct log_writer){.driver = d, .dir_fd = -1, .fd = -1, .err_fd = -1};
    r = d->open ? d->open(w, ident, e) : 0;
    if (r < 0) {
        log_writer_close(w);
        return err_add(e, r, "open the log");
    }
    *ret = w;
    return 0;
}

void log_writer_write(struct log_writer *w, enum log_stream s, const void *data, size_t n)
{
    if (w->driver->write && n)
        w->driver->write(w, s, data, n);
}

int log_writer_stream(const struct log_writer *w, enum log_stream s)
{
    return w->driver->stream ? w->driver->stream(w, s) : -1;
}

void log_writer_reopen(struct log_writer *w)
{
    if (w->driver->reopen)
        w->driver->reopen(w);
}

void log_writer_close(struct log_writer *w)
{
    if (!w)
        return;
    if (w->driver->close)
        w->driver->close(w);
    free(w);
}

int log_read(const char *driver, const struct log_read *o, struct err *e)
{
    const struct log_driver *d;
    int r = log_driver_get(driver, &d, e);
    if (r < 0)
        return r;
    if (!d->read)
        return err_msg(e, EOPNOTSUPP, "the log driver \"%s\" keeps nothing to read", d->name);
    return d->read(o, e);
}
