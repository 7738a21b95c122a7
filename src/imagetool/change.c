#include "imagetool/change.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/jfield.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"

typedef int apply_fn(json_t *config, const char *key, const char *rest, struct err *e);

/* The exec form (a JSON list) or NULL. */
static json_t *exec_form(const char *rest)
{
    json_t *list = rest[0] == '[' ? json_parse(rest, strlen(rest), 65536, "list", NULL) : NULL;
    const json_t *word;
    size_t i;
    if (!json_is_array(list)) {
        json_decref(list);
        return NULL;
    }
    json_array_foreach(list, i, word)
    {
        if (!json_is_string(word)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int apply_command(json_t *config, const char *key, const char *rest, struct err *e)
{
    (void)e;
    json_t *list = exec_form(rest);
    if (!list)
        list = json_pack("[s,s,s]", "/bin/sh", "-c", rest);
    json_object_set_new(config, key, list);
    return 0;
}

static int apply_text(json_t *config, const char *key, const char *rest, struct err *e)
{
    (void)e;
    json_object_set_new(config, key, json_string(rest));
    return 0;
}

static int apply_signal(json_t *config, const char *key, const char *rest, struct err *e)
{
    if (signal_parse(rest) < 0)
        return err_msg(e, EINVAL, "%s is not a signal", rest);
    return apply_text(config, key, rest, e);
}

static int apply_workdir(json_t *config, const char *key, const char *rest, struct err *e)
{
    if (rest[0] != '/')
        return err_msg(e, EINVAL, "the working directory must be an absolute path");
    return apply_text(config, key, rest, e);
}

/* Words split at blanks; quotes (single or double) and backslashes keep them together. */
static char **words(const char *s)
{
    char **v = NULL;
    while (*s) {
        scoped_str struct str word = STR_INIT;
        char quote = 0;
        while (isspace((unsigned char)*s))
            s++;
        if (!*s)
            break;
        for (; *s && (quote || !isspace((unsigned char)*s)); s++) {
            if (*s == quote)
                quote = 0;
            else if (!quote && (*s == '"' || *s == '\''))
                quote = *s;
            else if (*s == '\\' && s[1] && quote != '\'')
                str_addc(&word, *++s);
            else
                str_addc(&word, *s);
        }
        strv_add(&v, word.s);
    }
    return v;
}

static json_t *member(json_t *config, const char *key, json_t *empty)
{
    json_t *v = json_object_get(config, key);
    if (v) {
        json_decref(empty);
        return v;
    }
    json_object_set_new(config, key, empty);
    return empty;
}

static void set_env(json_t *list, const char *pair)
{
    size_t name = (size_t)(strchr(pair, '=') - pair) + 1, i;
    const json_t *old;
    json_array_foreach(list, i, old)
    {
        if (strncmp(json_string_value(old), pair, name) == 0) {
            json_array_set_new(list, i, json_string(pair));
            return;
        }
    }
    json_array_append_new(list, json_string(pair));
}

static void set_pair(json_t *config, const char *key, const char *pair)
{
    if (streq(key, "Env")) {
        set_env(member(config, key, json_array()), pair);
        return;
    }
    const char *eq = strchr(pair, '=');
    scoped_free char *name = xstrndup(pair, (size_t)(eq - pair));
    json_object_set_new(member(config, key, json_object()), name, json_string(eq + 1));
}

/* "A=b C=d", or the old form "A the rest". */
static int apply_pairs(json_t *config, const char *key, const char *rest, struct err *e)
{
    scoped_strv char **v = words(rest);
    if (v && !strchr(v[0], '=') && v[1]) {
        size_t n = strcspn(rest, " \t");
        scoped_free char *pair =
            xasprintf("%.*s=%s", (int)n, rest, rest + n + strspn(rest + n, " \t"));
        set_pair(config, key, pair);
        return 0;
    }
    for (size_t i = 0; v && v[i]; i++) {
        const char *eq = strchr(v[i], '=');
        if (!eq || eq == v[i])
            return err_msg(e, EINVAL, "\"%s\" is not NAME=VALUE", v[i]);
        set_pair(config, key, v[i]);
    }
    return 0;
}

static int add_port(json_t *ports, const char *text, struct err *e)
{
    scoped_free char *number = xstrdup(text);
    char *slash = strchr(number, '/');
    const char *protocol = slash ? slash + 1 : "tcp";
    uint32_t port;
    if (slash)
        *slash = '\0';
    if (parse_u32(number, &port) < 0 || port == 0 || port > 65535 ||
        (!streq(protocol, "tcp") && !streq(protocol, "udp") && !streq(protocol, "sctp")))
        return err_msg(e, EINVAL, "\"%s\" is not PORT[/tcp|/udp|/sctp]", text);
    scoped_free char *key = xasprintf("%u/%s", port, protocol);
    json_object_set_new(ports, key, json_object());
    return 0;
}

static int apply_ports(json_t *config, const char *key, const char *rest, struct err *e)
{
    scoped_strv char **v = words(rest);
    int r = 0;
    for (size_t i = 0; r == 0 && v && v[i]; i++)
        r = add_port(member(config, key, json_object()), v[i], e);
    return r;
}

static int apply_volumes(json_t *config, const char *key, const char *rest, struct err *e)
{
    scoped_json json_t *list = exec_form(rest);
    scoped_strv char **v = list ? NULL : words(rest);
    const json_t *item;
    size_t k;
    json_array_foreach(list, k, item)
    {
        strv_add(&v, json_string_value(item));
    }
    for (size_t i = 0; v && v[i]; i++) {
        if (v[i][0] != '/')
            return err_msg(e, EINVAL, "volume \"%s\" is not an absolute path", v[i]);
        json_object_set_new(member(config, key, json_object()), v[i], json_object());
    }
    return 0;
}

static int apply_trigger(json_t *config, const char *key, const char *rest, struct err *e)
{
    (void)e;
    json_array_append_new(member(config, key, json_array()), json_string(rest));
    return 0;
}

static const struct {
    const char *word, *key;
    apply_fn *apply;
} instructions[] = {
    {"CMD", "Cmd", apply_command},
    {"ENTRYPOINT", "Entrypoint", apply_command},
    {"ENV", "Env", apply_pairs},
    {"LABEL", "Labels", apply_pairs},
    {"WORKDIR", "WorkingDir", apply_workdir},
    {"USER", "User", apply_text},
    {"EXPOSE", "ExposedPorts", apply_ports},
    {"VOLUME", "Volumes", apply_volumes},
    {"STOPSIGNAL", "StopSignal", apply_signal},
    {"ONBUILD", "OnBuild", apply_trigger},
};

int change_apply(json_t *config, const char *text, struct err *e)
{
    size_t n = strcspn(text, " \t=");
    const char *rest = text + n;
    if (*rest)
        rest++;
    rest += strspn(rest, " \t");
    for (size_t i = 0; i < N_ELEMENTS(instructions); i++) {
        if (strlen(instructions[i].word) != n || strncasecmp(instructions[i].word, text, n) != 0)
            continue;
        if (!*rest)
            return err_msg(e, EINVAL, "--change \"%s\": nothing follows", text);
        int r = instructions[i].apply(config, instructions[i].key, rest, e);
        return r < 0 ? err_add(e, r, "--change \"%s\"", text) : 0;
    }
    return err_msg(e, EINVAL,
                   "--change \"%s\": want CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, "
                   "STOPSIGNAL, USER, VOLUME or WORKDIR",
                   text);
}
