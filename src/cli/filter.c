/* filter - see filter.h. */
#include "cli/filter.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"

static size_t key_len(const char *term)
{
    return strcspn(term, "=!");
}

const char *filter_value(const char *term)
{
    return strchr(term, '=') + 1;
}

int filter_check(const char *term, const char *const *keys, char **ret_key, struct err *e)
{
    char *const *known = (char *const *)(uintptr_t)keys;
    scoped_free char *key = xstrndup(term, key_len(term));
    const char *rest = term + strlen(key);
    bool whole = *rest == '=' || (rest[0] == '!' && rest[1] == '=');

    if (!whole || !strv_has(known, key)) {
        scoped_free char *list = strv_join(known, ", ");
        return err_hint(e,
                        err_msg(e, EINVAL, "--filter %s: %s", term,
                                whole ? "unknown filter" : "want KEY=VALUE"),
                        "known: %s", list);
    }
    if (ret_key)
        *ret_key = take_ptr(key);
    return 0;
}

static bool has_key(const char *term, const char *key, size_t len)
{
    return strncmp(term, key, len) == 0 && key_len(term) == len;
}

static bool key_holds(char *const *terms, const char *key, filter_test test, const void *data)
{
    bool any = false, wanted = false, all = true;

    for (char *const *t = terms; *t; t++) {
        if (!has_key(*t, key, strlen(key)))
            continue;
        bool hit = test(data, key, filter_value(*t));
        if ((*t)[strlen(key)] == '!') {
            if (hit)
                return false;
            continue;
        }
        wanted = true;
        any |= hit;
        all &= hit;
    }
    return !wanted || (streq(key, "label") ? all : any);
}

bool filter_match(char *const *terms, filter_test test, const void *data)
{
    for (char *const *t = terms; t && *t; t++) {
        scoped_free char *key = xstrndup(*t, key_len(*t));
        if (!key_holds(terms, key, test, data))
            return false;
    }
    return true;
}

bool filter_label(char *const *labels, const char *value)
{
    return strchr(value, '=') ? strv_has(labels, value) : strv_env_get(labels, value) != NULL;
}

int filter_name(const char *name, const char *value)
{
    regex_t regex;

    if (!strpbrk(value, "^$*+?.[](){}|\\/"))
        return strstr(name, value) != NULL;
    scoped_free char *bare =
        str_after(value, "^/") ? xasprintf("^%s", value + 2) : xstrdup(value + (value[0] == '/'));
    if (regcomp(&regex, bare, REG_EXTENDED | REG_NOSUB) != 0)
        return -EINVAL;
    int hit = regexec(&regex, name, 0, NULL, 0) == 0;
    regfree(&regex);
    return hit;
}
