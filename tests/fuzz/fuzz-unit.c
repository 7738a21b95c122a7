/* fuzz-unit - what becomes a systemd unit: the first line is linux.cgroupsPath, the second an
 * annotation, the rest linux.resources. Names stay names, properties stay well formed. */
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "cgroup/gvariant.h"
#include "cgroup/resources.h"
#include "cgroup/systemd-unit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_path(const char *path)
{
    struct err e = ERR_INIT;
    scoped_free char *slice = NULL, *unit = NULL;
    if (unit_of_path(path, "id", false, &slice, &unit, &e) < 0) {
        if (!e.msg[0] || slice || unit)
            abort();
        return;
    }
    if (strchr(unit, '/') || !str_ends(unit, ".scope") || strlen(unit) > 255 ||
        strchr(slice, '/') || !str_ends(slice, ".slice"))
        abort();
}

/* Of the type that its signature says; this is what the helper relies on. */
static void check_value(char type, const json_t *v)
{
    uint64_t u;
    bool fine = type == 's'   ? json_is_string(v)
                : type == 'b' ? json_is_boolean(v)
                : type == 'd' ? json_is_real(v)
                : type == 't' ? json_to_u64(v, &u)
                              : json_is_integer(v);
    if (!fine || !strchr("sbdtynqiux", type))
        abort();
}

static void check_properties(const json_t *list)
{
    size_t i, k;
    json_t *one, *v;
    json_array_foreach(list, i, one)
    {
        const char *sig = json_string_value(json_array_get(one, 1));
        if (json_array_size(one) != 3 || !json_string_value(json_array_get(one, 0)) || !sig)
            abort();
        if (sig[0] != 'a')
            check_value(sig[0], json_array_get(one, 2));
        else
            json_array_foreach(json_array_get(one, 2), k, v) check_value(sig[1], v);
    }
}

static void try_annotation(const char *text, json_t *list)
{
    struct err e = ERR_INIT;
    scoped_free char *full = xasprintf("org.systemd.property.%s", text);
    char *annotations[] = {full, NULL};
    if (unit_set_annotations(list, annotations, &e) < 0 && !e.msg[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_max = LOG_LEVEL_ERROR;
    scoped_free char *path = xstrndup((const char *)data, size);
    char *annotation = strchr(path, '\n');
    if (annotation)
        *annotation++ = '\0';
    char *resources = annotation ? strchr(annotation, '\n') : NULL;
    if (resources)
        *resources++ = '\0';
    scoped_json json_t *list = json_array();
    try_path(path);
    if (annotation)
        try_annotation(annotation, list);
    scoped_json json_t *j =
        resources ? json_parse(resources, strlen(resources), 1u << 20, "input", NULL) : NULL;
    struct plan p;
    if (j && resources_plan(j, false, &p, NULL) == 0) {
        unit_set_limits(list, &p, -1);
        plan_release(&p);
    }
    check_properties(list);
    return 0;
}
