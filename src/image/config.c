#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "image/ref.h"
#include "image/store.h"

#define CONFIG_MAX (4u << 20)
/* Real images have dozens. Four megabytes hold half a million, and some of what is done with them
 * takes the square of their number; each volume is a directory and a mount as well. */
#define ENTRIES_MAX 4096
#define VOLUMES_MAX 256

static int check_count(size_t n, size_t max, const char *path, const char *key, struct err *e)
{
    if (n <= max)
        return 0;
    return err_msg(e, E2BIG, "%s%s: %zu entries, at most %zu are taken", path, key, n, max);
}

/* A list of strings; docker's older builders wrote a bare string for a list of one. */
static int get_strv(const json_t *obj, const char *key, const char *path, char ***ret,
                    struct err *e)
{
    const json_t *v = json_object_get(obj, key), *item;
    scoped_strv char **list = NULL;
    size_t i;
    if (!v || json_is_null(v))
        return 0;
    if (json_is_string(v)) {
        strv_add(ret, json_string_value(v));
        return 0;
    }
    if (!json_is_array(v))
        return err_msg(e, EINVAL, "%s%s: want a list of strings", path, key);
    int r = check_count(json_array_size(v), ENTRIES_MAX, path, key, e);
    if (r < 0)
        return r;
    json_array_foreach(v, i, item)
    {
        if (!json_is_string(item) || strlen(json_string_value(item)) != json_string_length(item))
            return err_msg(e, EINVAL, "%s%s[%zu]: want a string", path, key, i);
        strv_add(&list, json_string_value(item));
    }
    *ret = take_ptr(list);
    return 0;
}

static int get_string(const json_t *obj, const char *key, const char *path, char **ret,
                      struct err *e)
{
    const json_t *v = json_object_get(obj, key);
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
        return err_msg(e, EINVAL, "%s%s: want a string", path, key);
    *ret = xstrdup(json_string_value(v));
    return 0;
}

/* An object's keys ("80/tcp": {}), or "key=value" when values is set. */
static int get_object(const json_t *obj, const char *key, bool values, char ***ret, struct err *e)
{
    json_t *v = json_object_get(obj, key), *item;
    const char *name;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_object(v))
        return err_msg(e, EINVAL, "config.%s: want an object", key);
    size_t max = streq(key, "Volumes") ? VOLUMES_MAX : ENTRIES_MAX;
    int r = check_count(json_object_size(v), max, "config.", key, e);
    if (r < 0)
        return r;
    json_object_foreach(v, name, item)
    {
        if (!values) {
            strv_add(ret, name);
            continue;
        }
        if (!json_is_string(item) || strlen(json_string_value(item)) != json_string_length(item))
            return err_msg(e, EINVAL, "config.%s.%s: want a string", key, name);
        strv_addf(ret, "%s=%s", name, json_string_value(item));
    }
    return 0;
}

/* An entry without "=" (or with nothing before it) would make a program import a variable of the
 * host, or be taken as something else: CVE-2026-57231 and its kin. */
static int check_env(char *const *env, struct err *e)
{
    for (size_t i = 0; env && env[i]; i++) {
        const char *eq = strchr(env[i], '=');
        if (!eq || eq == env[i])
            return err_msg(e, EINVAL, "config.Env[%zu]: \"%.60s\" is not NAME=VALUE", i, env[i]);
    }
    return 0;
}

static int parse_container_part(const json_t *doc, struct image_config *c, struct err *e)
{
    const json_t *part = json_object_get(doc, "config");
    if (!part || json_is_null(part))
        return 0;
    if (!json_is_object(part))
        return err_msg(e, EINVAL, "config: want an object");
    int r = get_string(part, "User", "config.", &c->user, e);
    r = r < 0 ? r : get_string(part, "WorkingDir", "config.", &c->working_dir, e);
    r = r < 0 ? r : get_string(part, "StopSignal", "config.", &c->stop_signal, e);
    r = r < 0 ? r : get_strv(part, "Env", "config.", &c->env, e);
    r = r < 0 ? r : get_strv(part, "Entrypoint", "config.", &c->entrypoint, e);
    r = r < 0 ? r : get_strv(part, "Cmd", "config.", &c->cmd, e);
    r = r < 0 ? r : get_strv(part, "Shell", "config.", &c->shell, e);
    r = r < 0 ? r : get_object(part, "Labels", true, &c->labels, e);
    r = r < 0 ? r : get_object(part, "Volumes", false, &c->volumes, e);
    r = r < 0 ? r : get_object(part, "ExposedPorts", false, &c->exposed_ports, e);
    r = r < 0 ? r : check_env(c->env, e);
    if (r < 0)
        return r;
    json_t *health = json_object_get(part, "Healthcheck");
    if (json_is_object(health))
        c->healthcheck = json_incref(health);
    return 0;
}

static int parse_rootfs(const json_t *doc, struct image_config *c, struct err *e)
{
    const json_t *rootfs = json_object_get(doc, "rootfs");
    if (!json_is_object(rootfs))
        return err_msg(e, EINVAL, "rootfs: want an object");
    int r = get_strv(rootfs, "diff_ids", "rootfs.", &c->diff_ids, e);
    if (r < 0)
        return r;
    if (strv_len(c->diff_ids) > IMAGE_LAYERS_MAX)
        return err_hint(e,
                        err_msg(e, EINVAL, "rootfs.diff_ids: %zu layers, at most %d can be stacked",
                                strv_len(c->diff_ids), IMAGE_LAYERS_MAX),
                        "build it anew with fewer layers: rootlet build --squash-all");
    for (size_t i = 0; c->diff_ids && c->diff_ids[i]; i++) {
        r = image_digest_check(c->diff_ids[i], e);
        if (r < 0)
            return err_add(e, r, "rootfs.diff_ids[%zu]", i);
    }
    return 0;
}

static int parse_doc(json_t *doc, struct image_config *c, struct err *e)
{
    if (!json_is_object(doc))
        return err_msg(e, EINVAL, "want an object");
    int r = get_string(doc, "architecture", "", &c->architecture, e);
    r = r < 0 ? r : get_string(doc, "os", "", &c->os, e);
    r = r < 0 ? r : get_string(doc, "variant", "", &c->variant, e);
    r = r < 0 ? r : get_string(doc, "created", "", &c->created, e);
    r = r < 0 ? r : get_string(doc, "author", "", &c->author, e);
    r = r < 0 ? r : parse_container_part(doc, c, e);
    r = r < 0 ? r : parse_rootfs(doc, c, e);
    if (r < 0)
        return r;
    json_t *history = json_object_get(doc, "history");
    if (json_is_array(history))
        c->history = json_incref(history);
    c->raw = json_incref(doc);
    return 0;
}

int image_config_parse(const char *text, size_t len, struct image_config *ret, struct err *e)
{
    SCOPED(image_config_release) struct image_config c = {0};
    scoped_json json_t *doc = json_parse(text, len, CONFIG_MAX, "image configuration", e);
    if (!doc)
        return -EINVAL;
    int r = parse_doc(doc, &c, e);
    if (r < 0)
        return err_add(e, r, "image configuration");
    *ret = c;
    c = (struct image_config){0};
    return 0;
}

void image_config_release(struct image_config *c)
{
    free(c->user);
    free(c->working_dir);
    free(c->stop_signal);
    strv_free(c->env);
    strv_free(c->entrypoint);
    strv_free(c->cmd);
    strv_free(c->shell);
    strv_free(c->labels);
    strv_free(c->volumes);
    strv_free(c->exposed_ports);
    free(c->architecture);
    free(c->os);
    free(c->variant);
    free(c->created);
    free(c->author);
    strv_free(c->diff_ids);
    json_decref(c->history);
    json_decref(c->healthcheck);
    json_decref(c->raw);
    *c = (struct image_config){0};
}
