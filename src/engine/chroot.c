/* A container without a mount namespace of its own: it is put into its root by chroot(2). Nothing
 * is mounted, as the host would see it: what the container would merely miss (its mounts) is left
 * out, what would protect it or be its root is refused. */
#include <errno.h>

#include "base/log.h"
#include "engine/engine-priv.h"

int chroot_check(const struct start *s, struct err *e)
{
    const struct spec *spec = s->spec;
    const struct spec_linux *l = spec->linux_;
    const char *what = s->p->root                                     ? "its layers"
                       : l && l->masked_paths && *l->masked_paths     ? "linux.maskedPaths"
                       : l && l->readonly_paths && *l->readonly_paths ? "linux.readonlyPaths"
                       : l && l->n_devices > 0                        ? "linux.devices"
                       : l && l->rootfs_propagation                   ? "linux.rootfsPropagation"
                       : spec->root && spec->root->readonly           ? "root.readonly"
                       : s->process->terminal                         ? "process.terminal"
                                                                      : NULL;
    if (!what && spec->n_mounts > 0)
        log_warn("the container has no mount namespace of its own: its mounts are left out");
    if (!what)
        return 0;
    return err_hint(e,
                    err_msg(e, EINVAL,
                            "%s would change the mounts of the host: the container has "
                            "no mount namespace of its own",
                            what),
                    "give linux.namespaces an entry of type \"mount\"");
}

int chroot_enter(struct start *s, struct err *e)
{
    if (fchdir(s->root_at) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return err_set(e, errno, "chroot");
    return 0;
}
