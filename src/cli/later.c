/* later - the commands of docker and podman that this version lacks, and what does their work. */
#include <errno.h>

#include "cli/cli.h"

#define MAKE_HERE                                                                                  \
    "rootlet build builds, for one platform at a time; rootlet builder prune empties its cache"
#define MULTI_ARCH                                                                                 \
    "buildah manifest makes an index of several platforms from images in a registry; rootlet "     \
    "copy "                                                                                        \
    "--all carries it on"
#define NO_IMAGE_MOUNT                                                                             \
    "no image is mounted on the host: rootlet create --name x IMAGE, then rootlet cp x:/ DIR, "    \
    "copies its files"
#define NO_HOST_MOUNT                                                                              \
    "no container is mounted on the host: rootlet cp and export read its files, rootlet mount "    \
    "add|rm changes what it sees"

/* A word stands for all commands that begin with it. */
static const struct {
    const char *name, *instead;
    bool needless; /* not for a later version either */
} later[] = {
    {"manifest create", MULTI_ARCH},
    {"manifest add", MULTI_ARCH},
    {"manifest annotate", MULTI_ARCH},
    {"manifest push", MULTI_ARCH},
    {"manifest rm", MULTI_ARCH},
    {"manifest remove", MULTI_ARCH},
    {"buildx", MAKE_HERE},
    {"builder", MAKE_HERE},
    {"prune", "rootlet system prune removes what nothing needs"},
    {"system check", "rootlet image check verifies every image of the store", true},
    {"system connection", "nothing is remote: rootlet works on the host it is called on", true},
    {"system migrate", "no process and no database outlives an update: nothing has to be migrated",
     true},
    {"system renumber", "each container has a lock file of its own: nothing has to be numbered",
     true},
    {"system service", "there is no daemon and no API; programs call rootlet --format json, events",
     true},
    {"context", "nothing is remote: rootlet works on the host it is called on", true},
    {"machine", "it runs on this kernel, without a virtual machine", true},
    {"network reload",
     "user networks have no rules on the host to lose; who is on a bridge of the host gets them "
     "again by rootlet restart",
     true},
    {"image mount", NO_IMAGE_MOUNT},
    {"image unmount", NO_IMAGE_MOUNT},
    {"image umount", NO_IMAGE_MOUNT},
    {"image trust", "policy.json says what is trusted: man rootlet-registries"},
    {"image sign", "cosign sign signs what was pushed; rootlet copy carries signatures along"},
    {"image scp", "rootlet save IMAGE | ssh HOST rootlet load"},
    {"volume mount",
     "an ordinary user sees it at: rootlet volume inspect -f '{{.Mountpoint}}' VOLUME"},
    {"kube", "a .pod file and a .container file for each container: man rootlet-quadlet"},
    {"generate kube", "rootlet generate systemd prints a unit, rootlet inspect what there is"},
    {"completion", "'make install' puts completions for bash, zsh and fish where the shells look"},
    {"compose", "a shell script of 'rootlet run -d' lines does it"},
};

/* What others have, and what does the same here. */
static const char *const elsewhere[][2] = {
    {"resume", "rootlet unpause lets paused containers go on"},
    {"df", "rootlet system df tells what takes how much space"},
    {"reset", "rootlet system reset removes everything"},
    {"umount", NO_HOST_MOUNT},
    {"unmount", NO_HOST_MOUNT},
    {"init", "rootlet start does all that is left to do; nothing has to be made ready before"},
    {"cleanup", "each container is cleaned up by its supervisor, and by the next command for it"},
    {"checkpoint", "rootlet pause stops the processes, rootlet commit keeps the files"},
    {"restore", "rootlet start, or rootlet run of an image that rootlet commit has made"},
    {"clone", "rootlet commit CONTAINER IMAGE, then rootlet run IMAGE"},
    {"runlabel", "rootlet image inspect shows the label: run it yourself"},
};

/* Does argv begin with the words of name? */
static bool is_named(const char *name, char **argv)
{
    const char *rest = argv[0] ? str_after(name, argv[0]) : NULL;
    return rest && (!*rest || (*rest == ' ' && streq(argv[1], rest + 1)));
}

/* "mount CONTAINER" of podman, which is no change of its mounts. */
static bool is_host_mount(char **argv)
{
    static const char *const subs[] = {"add", "rm", "ls", NULL};
    return streq(argv[0], "mount") && argv[1] && argv[1][0] != '-' &&
           !strv_has((char *const *)(uintptr_t)subs, argv[1]);
}

static int is_elsewhere(char **argv, struct err *e)
{
    char **words = streq(argv[0], "container") ? argv + 1 : argv;
    if (is_host_mount(words) || (words != argv && streq(words[0], "mount")))
        return err_hint(e, err_msg(e, ENOSYS, "rootlet does not mount containers on the host"),
                        NO_HOST_MOUNT);
    for (size_t i = 0; i < N_ELEMENTS(elsewhere); i++)
        if (streq(words[0], elsewhere[i][0]))
            return err_hint(e, err_msg(e, ENOSYS, "there is no rootlet %s", elsewhere[i][0]), "%s",
                            elsewhere[i][1]);
    return 0;
}

int cli_later(char **argv, struct err *e)
{
    /* "container cp" is cp. */
    bool noun = streq(argv[0], "container") || streq(argv[0], "image");
    int r = is_elsewhere(argv, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < N_ELEMENTS(later); i++)
        if (is_named(later[i].name, argv) || (noun && is_named(later[i].name, argv + 1)))
            return err_hint(e,
                            err_msg(e, ENOSYS, "rootlet %s%s%s is not %s",
                                    is_named(later[i].name, argv) ? "" : argv[0],
                                    is_named(later[i].name, argv) ? "" : " ", later[i].name,
                                    later[i].needless ? "needed" : "there yet"),
                            "%s", later[i].instead);
    return 0;
}
