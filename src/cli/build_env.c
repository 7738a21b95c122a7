/* build_env - environment and label lists: flags, files, the image. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "cli/build.h"

#define LIST_FILE_MAX (1u << 20)

int build_read_lines(const char *path, char ***ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, LIST_FILE_MAX, &text, e);
    if (n < 0)
        return (int)n;
    if (strlen(text) != (size_t)n)
        return err_msg(e, EINVAL, "%s: has a zero byte", path);
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **l = lines; l && *l; l++) {
        char *s = *l + strspn(*l, " \t");
        size_t len = strlen(s);
        if (len > 0 && s[len - 1] == '\r')
            s[len - 1] = '\0';
        if (*s && *s != '#')
            strv_add(ret, s);
    }
    return 0;
}

int build_env_add(char ***env, const char *entry, struct err *e)
{
    if (*entry == '=' || *entry == '\0')
        return err_msg(e, EINVAL, "environment variable \"%s\" has no name", entry);
    if (strchr(entry, '=')) {
        strv_env_set(env, entry);
        return 0;
    }
    const char *value = getenv(entry); /* the flag without a value copies the caller's */
    if (value) {
        scoped_free char *pair = xasprintf("%s=%s", entry, value);
        strv_env_set(env, pair);
    }
    return 0;
}

void build_env_proxies(char ***env)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "ftp_proxy", "no_proxy",
                                        "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"};
    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        (void)!build_env_add(env, names[i], NULL);
}

/* $NAME and ${NAME} are replaced, "$$" and a "$" before anything else stay a "$". */
static void expand(struct str *out, const char *text, char *const *env)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    for (const char *c = text; *c; c++) {
        bool brace = c[0] == '$' && c[1] == '{';
        const char *name = c + 1 + brace;
        size_t n = *c == '$' ? strspn(name, letters) : 0;
        if (n == 0 || (brace && name[n] != '}')) {
            str_addn(out, c, 1);
            c += c[0] == '$' && c[1] == '$';
            continue;
        }
        scoped_free char *key = xstrndup(name, n);
        const char *value = strv_env_get(env, key);
        str_add(out, value ? value : "");
        c = name + n - !brace;
    }
}

int build_env_merge(char ***env, const char *entry, struct err *e)
{
    scoped_str struct str pair = STR_INIT;
    const char *eq = strchr(entry, '=');
    if (!eq || eq == entry)
        return err_msg(e, EINVAL, "--env-merge %s: not NAME=VALUE", entry);
    str_addn(&pair, entry, (size_t)(eq + 1 - entry));
    expand(&pair, eq + 1, *env);
    strv_env_set(env, pair.s);
    return 0;
}

int build_env_file(char ***env, const char *path, struct err *e)
{
    scoped_strv char **lines = NULL;
    int r = build_read_lines(path, &lines, e);
    for (char **l = lines; r == 0 && l && *l; l++) {
        r = build_env_add(env, *l, e);
        if (r < 0)
            return err_add(e, r, "%s", path);
    }
    return r < 0 ? err_add(e, r, "--env-file") : 0;
}

int build_entrypoint(const char *text, char ***ret, struct err *e)
{
    if (*text != '[') {
        if (*text)
            strv_add(ret, text);
        return 0;
    }
    scoped_json json_t *j = json_parse(text, strlen(text), 1u << 20, "--entrypoint", e);
    if (!j)
        return -EINVAL;
    size_t i;
    json_t *v;
    json_array_foreach(j, i, v)
    {
        if (!json_is_string(v))
            return err_msg(e, EINVAL, "--entrypoint: element %zu of the array is no string", i);
        strv_add(ret, json_string_value(v));
    }
    return 0;
}
