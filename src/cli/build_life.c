/* build_life - restart policy and health check. */
#include <errno.h>
#include <stdlib.h>

#include "cli/build.h"
#include "container/restart.h"

#define MS_NS INT64_C(1000000)
#define TIME_MAX_NS (INT64_C(1) << 60) /* can be added to a time of now */
#define RETRIES_MAX 1000000

int build_restart(const char *text, bool rm, struct ctr_record *rec, struct err *e)
{
    scoped_free char *policy = NULL;
    int32_t retries;
    int r = container_restart_parse(text, &policy, &retries, e);
    if (r < 0)
        return r;
    if (!rm || streq(policy, "no")) {
        free(rec->restart_policy);
        rec->restart_policy = take_ptr(policy);
        rec->restart_retries = retries;
        return 0;
    }
    r = err_msg(e, EINVAL, "--restart %s and --rm exclude each other", text);
    return err_hint(e, r, "what is removed at its end cannot be started again");
}

/* --- health --- */

/* Docker's extension of the image configuration (image-spec, "Healthcheck"): durations in
 * nanoseconds, 0 is the default. */
static int image_number(const json_t *j, const char *key, int64_t max, int64_t *ret, struct err *e)
{
    const json_t *n = json_object_get(j, key);
    if (!n || json_is_null(n))
        return 0;
    if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > max)
        return err_msg(e, EINVAL, "config.Healthcheck.%s: want a number from 0 to %lld", key,
                       (long long)max);
    *ret = json_integer_value(n);
    return 0;
}

static int image_test(const json_t *j, char ***ret, struct err *e)
{
    const json_t *test = json_object_get(j, "Test"), *word;
    size_t i;
    if (!test || json_is_null(test))
        return 0;
    if (!json_is_array(test))
        return err_msg(e, EINVAL, "config.Healthcheck.Test: want an array");
    json_array_foreach(test, i, word)
    {
        if (!json_is_string(word))
            return err_msg(e, EINVAL, "config.Healthcheck.Test[%zu]: want a text", i);
        strv_add(ret, json_string_value(word));
    }
    return 0;
}

/* "CMD", "CMD-SHELL" with one text, "NONE". Empty: as if there were none. */
static int check_test(char ***test, char *const *shell, const char *what, struct err *e)
{
    char **t = *test;
    size_t n = strv_len(t);
    if (!t || n == 0 || (streq(t[0], "NONE") && n == 1) || (streq(t[0], "CMD") && n > 1 && *t[1]))
        return 0;
    if (!streq(t[0], "CMD-SHELL") || n != 2 || !*t[1])
        return err_msg(e, EINVAL, "%s: not CMD and words, CMD-SHELL and a text, or NONE", what);
    if (!shell || !shell[0])
        return 0;
    /* The image's SHELL. */
    scoped_free char *text = xstrdup(t[1]);
    strv_free(t);
    *test = NULL;
    strv_add(test, "CMD");
    strv_extend(test, shell);
    strv_add(test, text);
    return 0;
}

static int image_health(struct build *b, struct err *e)
{
    const json_t *j = b->image ? b->image->healthcheck : NULL;
    struct ctr_health *h = &b->rec->health;
    int64_t retries = 0;
    if (!j)
        return 0;
    int r = image_test(j, &h->test, e);
    r = r < 0 ? r : image_number(j, "Interval", TIME_MAX_NS, &h->interval_ns, e);
    r = r < 0 ? r : image_number(j, "Timeout", TIME_MAX_NS, &h->timeout_ns, e);
    r = r < 0 ? r : image_number(j, "StartPeriod", TIME_MAX_NS, &h->start_period_ns, e);
    r = r < 0 ? r : image_number(j, "StartInterval", TIME_MAX_NS, &h->start_interval_ns, e);
    r = r < 0 ? r : image_number(j, "Retries", RETRIES_MAX, &retries, e);
    r = r < 0 ? r : check_test(&h->test, b->image->shell, "config.Healthcheck.Test", e);
    h->retries = (int32_t)retries;
    if (r < 0)
        return err_hint(e, err_add(e, r, "image %s", b->rec->image),
                        "--no-healthcheck runs it without");
    return 0;
}

/* A shell's line, or a JSON array: ["CMD", "curl", "-f", "localhost"]. */
static int typed_test(const struct run_opts *o, char ***ret, struct err *e)
{
    const char *text = o->health_cmd;
    strv_free(*ret);
    *ret = NULL;
    if (!*text)
        return err_msg(e, EINVAL, "--health-cmd: no command given");
    if (streq(text, "none")) {
        strv_add(ret, "NONE");
        return 0;
    }
    if (*text != '[') {
        strv_add(ret, "CMD-SHELL");
        strv_add(ret, text);
        return 0;
    }
    int r = build_entrypoint(text, ret, e);
    if (r < 0)
        return err_add(e, r, "--health-cmd");
    char **t = *ret;
    if (t && !streq(t[0], "CMD") && !streq(t[0], "CMD-SHELL") && !streq(t[0], "NONE")) {
        char **words = NULL;
        strv_add(&words, "CMD");
        strv_extend(&words, t);
        strv_free(t);
        *ret = words;
    }
    return check_test(ret, NULL, "--health-cmd", e);
}

static int typed_time(const char *text, const char *option, int64_t *ret, struct err *e)
{
    uint64_t ms = 0;
    if (!text)
        return 0;
    if (parse_duration_ms(text, &ms) < 0 || ms > TIME_MAX_NS / MS_NS)
        return err_hint(e, err_msg(e, EINVAL, "%s %s: not a time", option, text),
                        "30s, 1m30s, 500ms");
    *ret = (int64_t)ms * MS_NS;
    return 0;
}

static int typed_times(const struct run_opts *o, struct ctr_health *h, struct err *e)
{
    int r = 0;
    if (streq(o->health_interval, "disable"))
        h->interval_ns = -1; /* podman's: checks run only when asked for */
    else
        r = typed_time(o->health_interval, "--health-interval", &h->interval_ns, e);
    if (r == 0)
        r = typed_time(o->health_timeout, "--health-timeout", &h->timeout_ns, e);
    if (r == 0)
        r = typed_time(o->health_start_period, "--health-start-period", &h->start_period_ns, e);
    if (r == 0)
        r = typed_time(o->health_start_interval, "--health-start-interval", &h->start_interval_ns,
                       e);
    return r;
}

static int typed_rest(const struct run_opts *o, struct ctr_health *h, struct err *e)
{
    const char *action = o->health_on_failure;
    if (o->health_retries_set && (o->health_retries < 1 || o->health_retries > RETRIES_MAX))
        return err_msg(e, EINVAL, "--health-retries %lld: want 1 to %d",
                       (long long)o->health_retries, RETRIES_MAX);
    if (o->health_retries_set)
        h->retries = (int32_t)o->health_retries;
    if (!action)
        return 0;
    if (streq(action, "none")) {
        free(h->on_failure);
        h->on_failure = NULL;
        return 0;
    }
    if (!streq(action, "kill") && !streq(action, "restart") && !streq(action, "stop"))
        return err_msg(e, EINVAL, "--health-on-failure %s: not none, kill, restart or stop",
                       action);
    if (streq(action, "restart") && o->rm)
        return err_msg(e, EINVAL, "--health-on-failure restart and --rm exclude each other");
    free(h->on_failure);
    h->on_failure = xstrdup(action);
    return 0;
}

/* The first option that says how a check is done. */
static const char *given_health(const struct run_opts *o)
{
    return o->health_interval         ? "--health-interval"
           : o->health_timeout        ? "--health-timeout"
           : o->health_start_period   ? "--health-start-period"
           : o->health_start_interval ? "--health-start-interval"
           : o->health_retries_set    ? "--health-retries"
           : o->health_on_failure     ? "--health-on-failure"
                                      : NULL;
}

bool build_health_given(const struct run_opts *o)
{
    return o->no_healthcheck || o->health_cmd || given_health(o);
}

int build_health_options(const struct run_opts *o, struct ctr_health *h, struct err *e)
{
    const char *given = given_health(o);
    if (o->no_healthcheck && (o->health_cmd || given))
        return err_msg(e, EINVAL, "--no-healthcheck and %s exclude each other",
                       given ? given : "--health-cmd");
    if (o->no_healthcheck) {
        strv_free(h->test);
        h->test = NULL;
        strv_add(&h->test, "NONE");
        return 0;
    }
    int r = o->health_cmd ? typed_test(o, &h->test, e) : 0;
    if (r < 0)
        return r;
    if (!h->test && given)
        return err_hint(e, err_msg(e, EINVAL, "%s: there is no health check", given),
                        "give one with --health-cmd");
    r = typed_times(o, h, e);
    return r == 0 ? typed_rest(o, h, e) : r;
}

int build_life(struct build *b, struct err *e)
{
    int r = build_restart(b->o->restart ? b->o->restart : "no", b->o->rm, b->rec, e);
    if (r == 0 && !b->o->no_healthcheck)
        r = image_health(b, e);
    return r == 0 ? build_health_options(b->o, &b->rec->health, e) : r;
}
