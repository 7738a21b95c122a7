/* events - what has happened, and what happens. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "cli/cli.h"
#include "events/events.h"
#include "format/format.h"

struct events_opts {
    bool no_trunc, no_trunc_set, stream, stream_set;
    char **filter;
    char *format, *since, *until;
};

#define O(m) offsetof(struct events_opts, m)
static const struct opt events_table[] = {
    {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE",
     "container, event, image, label, network, pod, type or volume"},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, or a Go template"},
    {"no-trunc", 0, OPT_FLAG, O(no_trunc), NULL, "Full ids (the default; =false cuts them)", 0,
     NULL, NULL, O(no_trunc_set)},
    {"since", 0, OPT_STRING, O(since), "TIME",
     "Past events too, from this time: RFC 3339, seconds, or 10m ago"},
    {"stream", 0, OPT_FLAG, O(stream), NULL,
     "Wait for what comes (the default; =false ends after what is there)", 0, NULL, NULL,
     O(stream_set)},
    {"until", 0, OPT_STRING, O(until), "TIME", "End at this time; 10m is ten minutes ago"},
    {NULL},
};

struct printer {
    struct format_options format; /* text NULL: podman's line */
    bool json, cut;
};

static void set_text(json_t *row, const char *key, const char *text)
{
    json_object_set_new(row, key, json_string(text));
}

static void copy_text(json_t *row, const json_t *ev, const char *key)
{
    const char *text = event_text(ev, key);
    if (*text)
        set_text(row, key, text);
}

static const char *attribute(const json_t *ev, const char *key)
{
    return event_text(json_object_get(ev, "Attributes"), key);
}

/* podman's keys: what has no value is left out. */
static json_t *json_row(const json_t *ev)
{
    json_t *row = json_object(), *attributes = json_object_get(ev, "Attributes");
    int64_t ns = event_time(ev), code;
    if (parse_i64(attribute(ev, "exitCode"), &code) == 0)
        json_object_set_new(row, "ContainerExitCode", json_integer(code));
    copy_text(row, ev, "ID");
    copy_text(row, ev, "Image");
    copy_text(row, ev, "Name");
    copy_text(row, ev, "Status");
    json_object_set_new(row, "time", json_integer(ns / 1000000000));
    json_object_set_new(row, "timeNano", json_integer(ns));
    copy_text(row, ev, "Type");
    if (*attribute(ev, "health_status"))
        set_text(row, "health_status", attribute(ev, "health_status"));
    if (attributes)
        json_object_set(row, "Attributes", attributes);
    return row;
}

/* For templates every field is there, docker's names for the same as well. */
static json_t *template_row(const json_t *ev)
{
    static const char *const same[] = {"ID", "Image", "Name", "Status", "Type"};
    char when[64];
    json_t *row = json_object(), *attributes = json_object_get(ev, "Attributes"), *actor;
    int64_t ns = event_time(ev);
    for (size_t i = 0; i < N_ELEMENTS(same); i++)
        set_text(row, same[i], event_text(ev, same[i]));
    set_text(row, "Time", time_rfc3339(ns, when, sizeof(when)));
    json_object_set_new(row, "TimeNano", json_integer(ns));
    set_text(row, "ContainerExitCode", attribute(ev, "exitCode"));
    set_text(row, "HealthStatus", attribute(ev, "health_status"));
    json_object_set_new(row, "Attributes", attributes ? json_incref(attributes) : json_object());
    set_text(row, "Action", event_text(ev, "Status"));
    set_text(row, "From", event_text(ev, "Image"));
    set_text(row, "Scope", "local");
    actor = json_pack("{s:s, s:O}", "ID", event_text(ev, "ID"), "Attributes",
                      json_object_get(row, "Attributes"));
    json_object_set_new(row, "Actor", actor);
    return row;
}

/* As Go prints a time: "2026-01-31 12:00:00.5 +0100 CET". */
static void add_time(struct str *out, int64_t ns)
{
    char date[32], zone[40], fraction[12];
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;
    localtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
    strftime(zone, sizeof(zone), "%z %Z", &tm);
    int n = snprintf(fraction, sizeof(fraction), ".%09d", (int)(ns % 1000000000));
    while (n > 0 && (fraction[n - 1] == '0' || fraction[n - 1] == '.'))
        fraction[--n] = '\0';
    str_addf(out, "%s%s %s", date, fraction, zone);
}

static void add_attributes(struct str *out, const json_t *ev)
{
    const char *key;
    json_t *value;
    str_addf(out, " (image=%s, name=%s", event_text(ev, "Image"), event_text(ev, "Name"));
    json_object_foreach(json_object_get(ev, "Attributes"), key, value)
        str_addf(out, ", %s=%s", key, json_is_string(value) ? json_string_value(value) : "");
    str_addc(out, ')');
}

/* podman's line: TIMESTAMP TYPE ACTION ID (image=..., name=...) */
static void add_line(struct str *out, const json_t *ev, bool cut)
{
    const char *type = event_text(ev, "Type"), *id = event_text(ev, "ID");
    add_time(out, event_time(ev));
    str_addf(out, " %s %s", type, event_text(ev, "Status"));
    if (*id)
        str_addf(out, " %.*s", cut ? 12 : 64, id);
    if (streq(type, "container") || streq(type, "pod"))
        add_attributes(out, ev);
    else if (*event_text(ev, "Name"))
        str_addf(out, " %s", event_text(ev, "Name"));
}

static int add_event(const struct printer *p, const json_t *ev, struct str *out, struct err *e)
{
    if (!p->format.text) {
        scoped_str struct str line = STR_INIT;
        add_line(&line, ev, p->cut);
        /* Names and labels are the image's; one event is one line. */
        scoped_free char *safe = xmalloc(4 * line.len + 1);
        str_addf(out, "%s\n", err_escape(safe, 4 * line.len + 1, line.s));
        return 0;
    }
    scoped_json json_t *rows = json_array();
    json_array_append_new(rows, p->json ? json_row(ev) : template_row(ev));
    return format_rows(&p->format, rows, out, e);
}

static int print_event(const json_t *ev, void *data, struct err *e)
{
    scoped_str struct str out = STR_INIT;
    int r = add_event(data, ev, &out, e);
    if (r < 0)
        return r;
    fputs(out.s, stdout);
    return fflush(stdout) == 0 ? 0 : err_set(e, errno, "write to standard output");
}

static int parse_time(const char *flag, const char *value, int64_t *ret, struct err *e)
{
    if (value && time_parse(value, ret) < 0)
        return err_hint(e, err_msg(e, EINVAL, "--%s %s: not a time", flag, value),
                        "for example 2026-01-31T12:00:00Z, 1767225600, or 10m");
    return 0;
}

/* A template is tried before anything is waited for. */
static int check_format(struct printer *p, const char *text, struct err *e)
{
    scoped_str struct str out = STR_INIT;
    scoped_json json_t *none = json_object();
    p->json = streq(text, "json") || streq(text, "jsonl");
    p->format.text = p->json ? "jsonl" : text; /* one event is one line */
    return text ? add_event(p, none, &out, e) : 0;
}

static int events(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct events_opts *o = opts;
    struct printer p = {.cut = o->no_trunc_set && !o->no_trunc};
    struct event_query q = {.filter = o->filter, .out_fd = STDOUT_FILENO};
    (void)cmd;
    (void)args;
    int r = parse_time("since", o->since, &q.since_ns, e);
    if (r == 0)
        r = parse_time("until", o->until, &q.until_ns, e);
    if (r == 0)
        r = event_filter_check(o->filter, e);
    if (r == 0)
        r = check_format(&p, o->format, e);
    if (r < 0)
        return r;
    q.follow = !o->stream_set || o->stream;
    q.past = o->since || !q.follow || (o->until && q.until_ns <= time_now_ns());
    return event_read(cli_conf(), &q, print_event, &p, e);
}

static const char *const events_aliases[] = {"system events", NULL};

const struct cmd cli_events_cmds[] = {
    {
        .name = "events",
        .args = "",
        .summary = "Show what happens to containers, images, volumes and pods",
        .opts = events_table,
        .opts_size = sizeof(struct events_opts),
        .run = events,
        .aliases = events_aliases,
        .details = "Past events are kept until logout, as far as they fit into 2 MiB.",
        .examples = "rootlet events --since 1h --filter event=died\n"
                    "rootlet events --format json --filter container=web\n"
                    "rootlet events --stream=false --format '{{.Time}} {{.Status}} {{.Name}}'",
    },
    {NULL},
};
