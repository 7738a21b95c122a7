#include "imagetool/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"

static int put_json(const json_t *list)
{
    scoped_free char *text = json_text(list, true);
    puts(text);
    return 0;
}

static int unknown(const char *format, struct err *e)
{
    return err_msg(e, EINVAL, "--format %s: only json is understood", format);
}

int output_objects(const char *format, const json_t *list, struct err *e)
{
    if (format && !streq(format, "json"))
        return unknown(format, e);
    return put_json(list);
}

/* "table {{.A}}\t{{.B}}" to its field names. */
static char **fields_of(const char *table)
{
    char **cells = strv_split(table + strlen("table "), "\t", false), **names = NULL;
    for (size_t i = 0; cells && cells[i]; i++)
        strv_addf(&names, "%.*s", (int)strlen(cells[i]) - 5, cells[i] + 3);
    strv_free(cells);
    return names;
}

int output_rows(const char *format, const char *default_table, const json_t *rows, struct err *e)
{
    scoped_strv char **names = fields_of(default_table);
    const json_t *row;
    size_t i;
    bool ids = streq(format, "{{.ID}}");
    if (streq(format, "json"))
        return put_json(rows);
    if (format && !ids)
        return unknown(format, e);
    for (size_t k = 0; !ids && names[k]; k++)
        printf("%s%-14s", k ? "  " : "", names[k]);
    if (!ids)
        putchar('\n');
    json_array_foreach(rows, i, row)
    {
        for (size_t k = 0; names[k] && (k == 0 || !ids); k++) {
            char cell[2000];
            const char *text = json_string_value(json_object_get(row, names[k]));
            printf("%s%-14s", k ? "  " : "", err_escape(cell, sizeof(cell), text ? text : ""));
        }
        putchar('\n');
    }
    return 0;
}
