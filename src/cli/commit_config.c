#include "cli/commit.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "image/rows.h"
#include "spec/spec.h"

/* A list that is not there and an empty one are the same to those who read it. */
static void set_list(json_t *config, const char *key, char *const *v)
{
    if (v && *v)
        json_object_set_new(config, key, json_from_strv(v));
    else
        json_object_del(config, key);
}

static void set_text(json_t *config, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(config, key, json_string(text));
    else
        json_object_del(config, key);
}

static bool list_has(const json_t *list, const char *text)
{
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) if (streq(json_string_value(one), text)) return true;
    return false;
}

/* What run adds by itself, unless the image said the same: it comes again with the next run. */
static bool is_own_variable(const struct spec *spec, const char *pair)
{
    const char *host = str_after(pair, "HOSTNAME=");
    return streq(pair, "container=rootlet") || streq(pair, "TERM=xterm") ||
           streq(pair, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") ||
           (host && streq(host, spec->hostname));
}

static void set_env(json_t *config, const struct spec *spec)
{
    scoped_strv char **env = NULL;
    const json_t *image = json_object_get(config, "Env");
    for (char **v = spec->process ? spec->process->env : NULL; v && *v; v++)
        if (list_has(image, *v) || !is_own_variable(spec, *v))
            strv_add(&env, *v);
    set_list(config, "Env", env);
}

static void set_labels(json_t *config, char *const *labels)
{
    json_t *all = json_object();
    for (char *const *l = labels; l && *l; l++) {
        size_t n = strcspn(*l, "=");
        scoped_free char *key = xstrndup(*l, n);
        json_object_set_new(all, key, json_string((*l)[n] ? *l + n + 1 : ""));
    }
    if (json_object_size(all))
        json_object_set(config, "Labels", all);
    else
        json_object_del(config, "Labels");
    json_decref(all);
}

static void set_duration(json_t *check, const char *key, int64_t ns)
{
    if (ns > 0)
        json_object_set_new(check, key, json_integer(ns));
}

static void set_health(json_t *config, const struct ctr_health *h)
{
    json_object_del(config, "Healthcheck");
    if (!h->test)
        return;
    json_t *check = json_object();
    json_object_set_new(check, "Test", json_from_strv(h->test));
    set_duration(check, "Interval", h->interval_ns);
    set_duration(check, "Timeout", h->timeout_ns);
    set_duration(check, "StartPeriod", h->start_period_ns);
    set_duration(check, "StartInterval", h->start_interval_ns);
    if (h->retries > 0)
        json_object_set_new(check, "Retries", json_integer(h->retries));
    json_object_set_new(config, "Healthcheck", check);
}

static void add_volumes(json_t *config, const struct ctr_record *rec)
{
    json_t *volumes = json_object_get(config, "Volumes");
    if (!json_is_object(volumes)) {
        volumes = json_object();
        json_object_set_new(config, "Volumes", volumes);
    }
    for (size_t i = 0; i < rec->n_volumes; i++)
        if (rec->volumes[i].name) /* not binds: their source is this machine's */
            json_object_set_new(volumes, rec->volumes[i].destination, json_object());
}

static int base_config(const struct ctr_record *rec, json_t **ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = store_blob_read(cli_conf(), rec->image_id, &text, e);
    if (n < 0)
        return err_hint(e, (int)n, "load the container's image again");
    scoped_json json_t *doc = json_parse(text, (size_t)n, STORE_BLOB_MAX, "image configuration", e);
    if (!doc)
        return -EINVAL;
    json_t *config = json_object_get(doc, "config");
    *ret = json_is_object(config) ? json_deep_copy(config) : json_object();
    return 0;
}

int commit_config(const struct container *ctr, bool with_volumes, json_t **ret, struct err *e)
{
    const struct ctr_record *rec = &ctr->rec;
    scoped_spec struct spec spec = {0};
    json_t *config = NULL;
    int r = container_read_spec(ctr->dir_fd, &spec, e);
    r = r < 0 ? r : base_config(rec, &config, e);
    if (r < 0)
        return r;
    const char *cwd = spec.process ? spec.process->cwd : NULL;
    const char *signal = json_string_value(json_object_get(config, "StopSignal"));
    set_env(config, &spec);
    set_list(config, "Cmd", rec->cmd);
    set_list(config, "Entrypoint", rec->entrypoint);
    set_text(config, "User", rec->user);
    if (cwd && (!streq(cwd, "/") || json_object_get(config, "WorkingDir")))
        set_text(config, "WorkingDir", cwd);
    if (rec->stop_signal && (signal || !streq(rec->stop_signal, "SIGTERM")))
        set_text(config, "StopSignal", rec->stop_signal);
    set_labels(config, rec->labels);
    set_health(config, &rec->health);
    if (with_volumes)
        add_volumes(config, rec);
    *ret = config;
    return 0;
}
