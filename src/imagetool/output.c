#include "imagetool/output.h"

#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "format/format.h"

static int put(const struct str *out, struct err *e)
{
    if (fwrite(out->s, 1, out->len, stdout) != out->len)
        return err_set(e, errno, "write to standard output");
    return 0;
}

int output_objects(const char *format, const json_t *list, struct err *e)
{
    scoped_str struct str out = STR_INIT;
    int r = format_objects(format, list, &out, e);
    return r < 0 ? r : put(&out, e);
}

int output_rows(const char *format, const char *default_table, const json_t *rows, struct err *e)
{
    scoped_str struct str out = STR_INIT;
    static const char *const headers[] = {"ID=ID", "CreatedSince=CREATED", "CreatedBy=CREATED BY",
                                          NULL};
    struct format_options o = {.text = format, .default_table = default_table, .headers = headers};
    int r = format_rows(&o, rows, &out, e);
    return r < 0 ? r : put(&out, e);
}
