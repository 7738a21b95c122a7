/* inspect_mounts - what the user has mounted in a container, in docker's and podman's words. */
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "cli/inspect.h"

bool inspect_is_tmpfs(const struct spec_mount *m)
{
    const char *rest = str_after(m->destination, "/dev");
    return streq(m->type, "tmpfs") && (!rest || (*rest && *rest != '/'));
}

static bool is_read_only(const char *mode)
{
    scoped_strv char **words = strv_split(mode ? mode : "", ",", false);
    return strv_has(words, "ro") || strv_has(words, "readonly") || strv_has(words, "ro=true") ||
           strv_has(words, "readonly=true");
}

/* The one that was asked for, else what everybody gets. */
static const char *propagation(const char *mode)
{
    static const char *const words[] = {"private", "rprivate", "slave",
                                        "rslave",  "shared",   "rshared"};
    scoped_strv char **given = strv_split(mode ? mode : "", ",", false);
    for (size_t i = 0; i < N_ELEMENTS(words); i++)
        if (strv_has(given, words[i]))
            return words[i];
    return "rprivate";
}

static json_t *one(const char *type, const char *name, const char *source, const char *destination,
                   const char *mode)
{
    scoped_strv char **options = strv_split(mode ? mode : "", ",", false);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:s}", "Type", type, "Name",
                     name ? name : "", "Source", source ? source : "", "Destination", destination,
                     "Driver", name ? "local" : "", "Mode", mode ? mode : "", "Options",
                     json_from_strv(options), "RW", !is_read_only(mode), "Propagation",
                     streq(type, "tmpfs") ? "" : propagation(mode));
}

/* A tmpfs volume is one of these, but it has a name. */
static bool is_volume(const struct ctr_record *r, const char *destination)
{
    for (size_t i = 0; i < r->n_volumes; i++)
        if (streq(r->volumes[i].destination, destination))
            return true;
    return false;
}

json_t *inspect_mounts(const struct ctr_record *r, const struct spec *spec)
{
    json_t *a = json_array();
    for (size_t i = 0; i < r->n_volumes; i++) {
        const struct ctr_volume *v = &r->volumes[i];
        json_array_append_new(
            a, one(v->type ? v->type : "bind", v->name, v->source, v->destination, v->mode));
    }
    for (size_t i = 0; i < spec->n_mounts; i++) {
        const struct spec_mount *m = &spec->mounts[i];
        if (!inspect_is_tmpfs(m) || is_volume(r, m->destination))
            continue;
        scoped_free char *options = strv_join(m->options, ",");
        json_array_append_new(a, one("tmpfs", NULL, NULL, m->destination, options));
    }
    return a;
}
