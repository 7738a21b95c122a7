/* state - an image configuration under construction. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/jfield.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "build/build.h"
#include "image/rows.h"

void state_release(struct state *st)
{
    json_decref(st->doc);
    free(st->image);
    strv_free(st->args);
    strv_free(st->dirs);
    *st = (struct state){0};
}

void state_copy(struct state *to, const struct state *from)
{
    *to = (struct state){
        .doc = json_deep_copy(from->doc),
        .image = xstrdup(from->image),
        .dirty = from->dirty,
        .dirs = strv_dup(from->dirs),
        .base = from->base,
    };
}

json_t *state_config(const struct state *st)
{
    return json_object_get(st->doc, "config");
}

json_t *state_layers(const struct state *st)
{
    return json_object_get(json_object_get(st->doc, "rootfs"), "diff_ids");
}

const char *state_member(const struct state *st, const char *key)
{
    return json_string_value(json_object_get(state_config(st), key));
}

void state_scratch(struct build *b, const struct stage *s, struct state *st)
{
    (void)b;
    st->doc = json_pack("{s:s, s:s}", "architecture", s->platform.arch, "os", s->platform.os);
    if (s->platform.variant[0])
        json_object_set_new(st->doc, "variant", json_string(s->platform.variant));
    /* What docker and buildah begin with. */
    json_object_set_new(
        st->doc, "config",
        json_pack("{s:[s]}", "Env",
                  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    json_object_set_new(st->doc, "rootfs", json_pack("{s:s, s:[]}", "type", "layers", "diff_ids"));
    json_object_set_new(st->doc, "history", json_array());
    st->dirty = true;
}

/* Members that others, and hostile images, leave out or fill with something else. */
static void mend(json_t *doc)
{
    /* What docker noted of the container that the base was committed from. */
    static const char *const old[] = {"container", "container_config", "docker_version",
                                      "id",        "parent",           "throwaway"};
    for (size_t i = 0; i < N_ELEMENTS(old); i++)
        json_object_del(doc, old[i]);
    if (!json_is_object(json_object_get(doc, "config")))
        json_object_set_new(doc, "config", json_object());
    if (!json_is_array(json_object_get(doc, "history")))
        json_object_set_new(doc, "history", json_array());
}

int state_pin(struct build *b, const char *id, struct err *e)
{
    SCOPED(store_image_release) struct store_image row = {0};
    if (strv_has(b->pinned, id))
        return 0;
    int r = store_pin_find(&b->pin, b->conf, id, &row, e);
    if (r == 0)
        strv_add(&b->pinned, id);
    return r;
}

int state_load(struct build *b, const char *id, struct state *st, struct err *e)
{
    scoped_free char *text = NULL;
    SCOPED(image_config_release) struct image_config checked = {0};
    int r = state_pin(b, id, e);
    ssize_t n = r < 0 ? r : store_blob_read(b->conf, id, &text, e);
    if (n < 0)
        return (int)n;
    r = image_config_parse(text, (size_t)n, &checked, e);
    json_t *doc = r < 0 ? NULL : json_parse(text, (size_t)n, STORE_BLOB_MAX, "configuration", e);
    if (!doc)
        return -EINVAL;
    mend(doc);
    json_decref(st->doc);
    free(st->image);
    st->doc = doc;
    st->image = xstrdup(id);
    st->dirty = false;
    return 0;
}

char **state_env(const struct state *st)
{
    char **env = NULL;
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(state_config(st), "Env"), i, one) if (json_is_string(one))
        strv_add(&env, json_string_value(one));
    return env;
}

const char *state_variable(const struct state *st, const char *name)
{
    const json_t *one;
    size_t i, n = strlen(name);
    json_array_foreach(json_object_get(state_config(st), "Env"), i, one)
    {
        const char *text = json_string_value(one);
        if (text && strncmp(text, name, n) == 0 && text[n] == '=')
            return text + n + 1;
    }
    return strv_env_get(st->args, name);
}

void state_created(const struct build *b, char *buf, size_t size)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time_t t = b->epoch >= 0 ? (time_t)b->epoch : now.tv_sec;
    struct tm tm;
    char day[32];
    gmtime_r(&t, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    if (b->epoch >= 0)
        snprintf(buf, size, "%sZ", day);
    else
        snprintf(buf, size, "%s.%09ldZ", day, now.tv_nsec);
}

void state_history(struct build *b, json_t *doc, const char *created_by, bool empty)
{
    char created[64];
    json_t *history = json_object_get(doc, "history");
    state_created(b, created, sizeof(created));
    json_t *entry = json_object();
    json_object_set_new(entry, "created", json_string(created));
    json_object_set_new(entry, "created_by", json_from_bytes(created_by));
    if (json_string_value(json_object_get(doc, "author")))
        json_object_set(entry, "author", json_object_get(doc, "author"));
    if (empty)
        json_object_set_new(entry, "empty_layer", json_true());
    json_array_append_new(history, entry);
}

/* --- WHAT INSTRUCTIONS SET --- */

static json_t *object_of(const struct state *st, const char *key)
{
    json_t *o = json_object_get(state_config(st), key);
    if (!json_is_object(o)) {
        o = json_object();
        json_object_set_new(state_config(st), key, o);
    }
    return o;
}

static void set_env(const struct state *st, const char *name, const char *value)
{
    scoped_strv char **env = state_env(st);
    scoped_free char *pair = xasprintf("%s=%s", name, value);
    strv_env_set(&env, pair);
    json_object_set_new(state_config(st), "Env", json_from_strv(env));
}

void state_set_env(struct state *st, char *const *pairs)
{
    for (char *const *p = pairs; p && *p; p++) {
        scoped_free char *name = xstrndup(*p, strcspn(*p, "="));
        set_env(st, name, *p + strlen(name) + 1);
        st->dirty = true;
    }
}

static void set_pairs(const struct state *st, const struct ins *in)
{
    json_t *labels = in->kind == INS_LABEL ? object_of(st, "Labels") : NULL;
    for (char **a = in->args; a && a[0] && a[1]; a += 2) {
        if (labels)
            json_object_set_new(labels, a[0], json_from_bytes(a[1]));
        else
            set_env(st, a[0], a[1]);
    }
}

/* "80", "80/udp", "8000-8010": as the image specification has them. */
static int set_ports(const struct state *st, char *const *words, struct err *e)
{
    json_t *ports = object_of(st, "ExposedPorts");
    for (char *const *w = words; w && *w; w++) {
        const char *slash = strchr(*w, '/');
        scoped_free char *range = slash ? xstrndup(*w, (size_t)(slash - *w)) : xstrdup(*w);
        const char *protocol = slash ? slash + 1 : "tcp";
        char *dash = strchr(range, '-');
        uint32_t first, last;
        if (dash)
            *dash++ = '\0';
        if (parse_u32(range, &first) < 0 || parse_u32(dash ? dash : range, &last) < 0 ||
            first < 1 || last < first || last > 65535 ||
            (!streq(protocol, "tcp") && !streq(protocol, "udp") && !streq(protocol, "sctp")))
            return err_msg(e, EINVAL, "%s: not PORT[-PORT][/tcp|/udp|/sctp]", *w);
        for (uint32_t p = first; p <= last; p++) {
            scoped_free char *key = xasprintf("%u/%s", p, protocol);
            json_object_set_new(ports, key, json_object());
        }
    }
    return 0;
}

static json_t *vector_of(const struct state *st, const struct ins *in)
{
    if (in->exec_form)
        return json_from_strv(in->args);
    json_t *shell = json_object_get(state_config(st), "Shell");
    json_t *v =
        json_array_size(shell) ? json_deep_copy(shell) : json_pack("[s,s]", "/bin/sh", "-c");
    json_array_append_new(v, json_from_bytes(in->args && in->args[0] ? in->args[0] : ""));
    return v;
}

static int set_duration(json_t *check, const struct ins *in, const char *flag, const char *key,
                        struct err *e)
{
    uint64_t ms;
    const char *text = ins_flag_value(in, flag, NULL);
    if (!text)
        return 0;
    if (parse_duration_ms(text, &ms) < 0 || ms > INT64_MAX / 1000000)
        return err_msg(e, EINVAL, "--%s=%s: not a duration such as 30s", flag, text);
    if (ms)
        json_object_set_new(check, key, json_integer((json_int_t)ms * 1000000));
    return 0;
}

static int set_health(const struct state *st, const struct ins *in, struct err *e)
{
    json_t *check = json_object(), *test = json_array();
    json_object_set_new(state_config(st), "Healthcheck", check);
    json_object_set_new(check, "Test", test);
    if (in->health_none) {
        json_array_append_new(test, json_string("NONE"));
        return 0;
    }
    json_array_append_new(test, json_string(in->exec_form ? "CMD" : "CMD-SHELL"));
    for (char **a = in->args; a && *a; a++)
        json_array_append_new(test, json_from_bytes(*a));
    int r = set_duration(check, in, "interval", "Interval", e);
    r = r < 0 ? r : set_duration(check, in, "timeout", "Timeout", e);
    r = r < 0 ? r : set_duration(check, in, "start-period", "StartPeriod", e);
    r = r < 0 ? r : set_duration(check, in, "start-interval", "StartInterval", e);
    const char *retries = ins_flag_value(in, "retries", NULL);
    uint32_t n = 0;
    if (r == 0 && retries && parse_u32(retries, &n) < 0)
        return err_msg(e, EINVAL, "--retries=%s: not a number", retries);
    if (r == 0 && n)
        json_object_set_new(check, "Retries", json_integer(n));
    return r;
}

static void set_workdir(struct state *st, const char *text)
{
    const char *old = state_member(st, "WorkingDir");
    scoped_free char *joined = *text == '/' ? xstrdup(text) : path_join(old ? old : "/", text);
    scoped_free char *clean = path_clean(joined);
    json_object_set_new(state_config(st), "WorkingDir", json_from_bytes(clean));
    const char *user = state_member(st, "User");
    if (!streq(clean, "/"))
        strv_addf(&st->dirs, "%s%s", user && !strchr(user, '/') ? user : "", clean);
}

static void set_text(struct state *st, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(state_config(st), key, json_from_bytes(text));
    else
        json_object_del(state_config(st), key);
}

static void set_command(struct state *st, const struct ins *in)
{
    if (in->kind == INS_CMD) {
        json_object_set_new(state_config(st), "Cmd", vector_of(st, in));
        st->cmd_set = true;
        return;
    }
    json_object_set_new(state_config(st), "Entrypoint", vector_of(st, in));
    if (!st->cmd_set) /* the base's was for the base's entry point */
        json_object_del(state_config(st), "Cmd");
}

static int set_signal(struct state *st, const char *text, struct err *e)
{
    if (signal_parse(text) < 0)
        return err_msg(e, EINVAL, "%s: no signal", text);
    set_text(st, "StopSignal", text);
    return 0;
}

static void add_trigger(struct state *st, const char *text)
{
    json_t *list = json_object_get(state_config(st), "OnBuild");
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(state_config(st), "OnBuild", list);
    }
    json_array_append_new(list, json_from_bytes(text));
}

static int apply(struct state *st, const struct ins *in, struct err *e)
{
    const char *first = in->args && in->args[0] ? in->args[0] : "";
    switch (in->kind) {
    case INS_ENV:
    case INS_LABEL:
        set_pairs(st, in);
        return 0;
    case INS_EXPOSE:
        return set_ports(st, in->args, e);
    case INS_VOLUME:
        for (char **a = in->args; a && *a; a++)
            json_object_set_new(object_of(st, "Volumes"), *a, json_object());
        return 0;
    case INS_CMD:
    case INS_ENTRYPOINT:
        set_command(st, in);
        return 0;
    case INS_SHELL:
        json_object_set_new(state_config(st), "Shell", json_from_strv(in->args));
        return 0;
    case INS_USER:
        set_text(st, "User", first);
        return 0;
    case INS_WORKDIR:
        set_workdir(st, first);
        return 0;
    case INS_STOPSIGNAL:
        return set_signal(st, first, e);
    case INS_HEALTHCHECK:
        return set_health(st, in, e);
    case INS_MAINTAINER:
        json_object_set_new(st->doc, "author", json_from_bytes(first));
        return 0;
    case INS_ONBUILD:
        add_trigger(st, first);
        return 0;
    default:
        return err_msg(e, EINVAL, "%s cannot stand here", ins_name(in->kind));
    }
}

int state_apply(struct build *b, struct state *st, const struct ins *in, struct err *e)
{
    int r = apply(st, in, e);
    if (r < 0)
        return r;
    scoped_free char *by = xasprintf("/bin/sh -c #(nop) %s", in->text);
    state_history(b, st->doc, by, true);
    st->dirty = true;
    return 0;
}
