/* filter - which events are shown. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "events/events.h"

const char *event_text(const json_t *ev, const char *key)
{
    const char *s = json_string_value(json_object_get(ev, key));
    return s ? s : "";
}

int64_t event_time(const json_t *ev)
{
    return json_integer_value(json_object_get(ev, "timeNano"));
}

static bool is_type(const json_t *ev, const char *type)
{
    return streq(event_text(ev, "Type"), type);
}

static bool is_named(const json_t *ev, const char *value)
{
    const char *id = event_text(ev, "ID");
    return streq(event_text(ev, "Name"), value) || (*value && str_after(id, value));
}

static const char *attribute(const json_t *ev, const char *key)
{
    return json_string_value(json_object_get(json_object_get(ev, "Attributes"), key));
}

static bool by_container(const json_t *ev, const char *value)
{
    return is_type(ev, "container") && is_named(ev, value);
}

/* docker's words count too, and podman's longer one. */
static bool by_event(const json_t *ev, const char *value)
{
    static const char *const same[][2] = {
        {"die", "died"}, {"destroy", "remove"}, {"delete", "remove"}, {"loadfromarchive", "load"}};
    const char *word = value;
    for (size_t i = 0; i < N_ELEMENTS(same); i++)
        if (streq(value, same[i][0]))
            word = same[i][1];
    return streq(event_text(ev, "Status"), word);
}

/* "busybox" is "localhost/busybox:latest" too, as on the command line. */
static bool is_reference(const char *full, const char *value)
{
    size_t n = strlen(full), len = strlen(value);
    const char *colon = strrchr(full, ':');
    const char *slash = strrchr(full, '/');
    if (streq(full, value) || (n > len && str_ends(full, value) && full[n - len - 1] == '/'))
        return true;
    if (!colon || (slash && slash > colon))
        return false;
    scoped_free char *untagged = xstrndup(full, (size_t)(colon - full));
    return is_reference(untagged, value);
}

static bool by_image(const json_t *ev, const char *value)
{
    if (is_type(ev, "image"))
        return is_named(ev, value) || is_reference(event_text(ev, "Name"), value);
    return is_type(ev, "container") && is_reference(event_text(ev, "Image"), value);
}

static bool by_label(const json_t *ev, const char *value)
{
    size_t n = strcspn(value, "=");
    scoped_free char *key = xstrndup(value, n);
    const char *there = attribute(ev, key);
    return there && (!value[n] || streq(there, value + n + 1));
}

static bool by_pod(const json_t *ev, const char *value)
{
    return is_type(ev, "pod") ? is_named(ev, value) : streq(attribute(ev, "pod"), value);
}

static bool by_volume(const json_t *ev, const char *value)
{
    return is_type(ev, "volume") && streq(event_text(ev, "Name"), value);
}

static bool by_network(const json_t *ev, const char *value)
{
    return is_type(ev, "network") && is_named(ev, value);
}

static const struct {
    const char *key;
    bool (*match)(const json_t *ev, const char *value);
} keys[] = {
    {"container", by_container}, {"event", by_event}, {"image", by_image}, {"label", by_label},
    {"network", by_network},     {"pod", by_pod},     {"type", is_type},   {"volume", by_volume},
};

static size_t key_of(const char *term)
{
    size_t i = 0, n = strcspn(term, "=");
    while (i < N_ELEMENTS(keys) &&
           (strncmp(keys[i].key, term, n) != 0 || keys[i].key[n] != '\0' || term[n] != '='))
        i++;
    return i;
}

int event_filter_check(char *const *terms, struct err *e)
{
    for (; terms && *terms; terms++)
        if (key_of(*terms) == N_ELEMENTS(keys))
            return err_hint(
                e, err_msg(e, EINVAL, "--filter %s: no such filter of events", *terms),
                "KEY=VALUE with container, event, image, label, network, pod, type or volume");
    return 0;
}

bool event_filter_match(char *const *terms, const json_t *ev)
{
    bool asked[N_ELEMENTS(keys)] = {false}, found[N_ELEMENTS(keys)] = {false};
    for (; terms && *terms; terms++) {
        size_t i = key_of(*terms);
        if (i == N_ELEMENTS(keys))
            return false;
        asked[i] = true;
        found[i] = found[i] || keys[i].match(ev, *terms + strlen(keys[i].key) + 1);
    }
    for (size_t i = 0; i < N_ELEMENTS(keys); i++)
        if (asked[i] && !found[i])
            return false;
    return true;
}
