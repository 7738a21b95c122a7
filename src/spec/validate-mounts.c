/* validate-mounts - what makes no sense as a mount, before anything is mounted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "spec/tables.h"

static bool is_bind(const struct spec_mount *m)
{
    return strv_has(m->options, "bind") || strv_has(m->options, "rbind") ||
           (m->type && (streq(m->type, "bind") || streq(m->type, "rbind")));
}

/* An option is one word of the list: a comma or a line break in it could smuggle in another one
 * where the list is joined for the kernel. A quoted comma is what overlay's paths use. */
static int check_options(const struct spec_mount *m, size_t i, struct err *e)
{
    for (size_t j = 0; m->options && m->options[j]; j++) {
        const char *o = m->options[j];
        for (const char *p = o; *p; p++)
            if ((*p == ',' && (p == o || p[-1] != '\\')) || (unsigned char)*p < ' ')
                return err_msg(e, EINVAL,
                               "mounts[%zu].options[%zu]: a comma or control character is not "
                               "allowed",
                               i, j);
    }
    return 0;
}

static int check_mappings(const struct spec_mount *m, size_t i, struct err *e)
{
    if (!m->n_uid_mappings != !m->n_gid_mappings)
        return err_msg(e, EINVAL,
                       "mounts[%zu].%s: missing (uidMappings and gidMappings go together)", i,
                       m->n_uid_mappings ? "gidMappings" : "uidMappings");
    char at[64];
    snprintf(at, sizeof(at), "mounts[%zu].uidMappings", i);
    int r = spec_check_id_maps(m->uid_mappings, m->n_uid_mappings, at, e);
    if (r < 0)
        return r;
    snprintf(at, sizeof(at), "mounts[%zu].gidMappings", i);
    return spec_check_id_maps(m->gid_mappings, m->n_gid_mappings, at, e);
}

int spec_check_mounts(const struct spec *s, struct err *e)
{
    for (size_t i = 0; i < s->n_mounts; i++) {
        const struct spec_mount *m = &s->mounts[i];
        if (!m->destination || !m->destination[0])
            return err_msg(e, EINVAL, "mounts[%zu].destination: want an absolute path", i);
        if (m->destination[0] != '/') /* runtimes took it for years */
            log_warn("mounts[%zu].destination: \"%s\" is not absolute; taken from the root", i,
                     m->destination);
        bool remount = strv_has(m->options, "remount");
        if (is_bind(m) && !remount && (!m->source || !*m->source))
            return err_msg(e, EINVAL, "mounts[%zu].source: missing for a bind mount", i);
        if (!is_bind(m) && !remount && (!m->type || !*m->type))
            return err_msg(e, EINVAL,
                           "mounts[%zu].type: missing (only bind mounts and remounts need none)",
                           i);
        int r = check_options(m, i, e);
        if (r == 0)
            r = check_mappings(m, i, e);
        if (r < 0)
            return r;
    }
    return 0;
}
