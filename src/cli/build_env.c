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
