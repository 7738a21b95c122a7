/* options - "--opt type=,device=,o=": the mounts that an ordinary user can make. */
#include <errno.h>

#include "base/str.h"
#include "base/strv.h"
#include "volume/volume.h"

static bool has_word(const char *list, const char *word)
{
    scoped_strv char **words = list ? strv_split(list, ",", false) : NULL;
    return strv_has(words, word);
}

static bool binds(const char *type, const char *o)
{
    return streq(type, "bind") || has_word(o, "bind") || has_word(o, "rbind");
}

static int check_bind(const char *type, const char *device, struct err *e)
{
    if (type && *type && !streq(type, "none") && !streq(type, "bind"))
        return err_msg(e, EINVAL, "--opt type=%s: a bind has type none", type);
    if (!device || *device != '/')
        return err_msg(e, EINVAL, "--opt o=bind needs --opt device=DIR, an absolute path");
    return 0;
}

int volume_check_options(char *const *options, struct err *e)
{
    static const char *const known[] = {"type", "device", "o", NULL};
    for (char *const *v = options; v && *v; v++) {
        const char *eq = strchr(*v, '=');
        scoped_free char *key = xstrndup(*v, eq ? (size_t)(eq - *v) : strlen(*v));
        if (!eq || !strv_has((char *const *)(uintptr_t)known, key))
            return err_hint(e, err_msg(e, EINVAL, "--opt %s: unknown option", *v),
                            "known: type=, device=, o=");
    }
    const char *type = strv_env_get(options, "type"), *o = strv_env_get(options, "o");
    if (binds(type, o))
        return check_bind(type, strv_env_get(options, "device"), e);
    if (streq(type, "tmpfs"))
        return 0;
    if (!options || !*options)
        return 0;
    return err_hint(e,
                    err_msg(e, ENOTSUP, "--opt %s%s: only root can mount this",
                            type ? "type=" : "o=",
                            type ? type
                            : o  ? o
                                 : ""),
                    "--opt type=tmpfs, or --opt type=none --opt o=bind --opt device=DIR for what "
                    "is mounted already; a plain volume belongs to the container's root");
}

const char *volume_kind(const struct volume *v)
{
    const char *type = strv_env_get(v->options, "type"), *o = strv_env_get(v->options, "o");
    if (binds(type, o))
        return "bind";
    return streq(type, "tmpfs") ? "tmpfs" : NULL;
}
