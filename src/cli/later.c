/* later - the commands of docker and podman that this version lacks, and what does their work. */
#include <errno.h>

#include "cli/cli.h"

#define CARRY_IN                                                                                   \
    "skopeo copy -q docker://NAME:TAG docker-archive:/dev/stdout:NAME:TAG | rootlet load, or "     \
    "docker save NAME | rootlet load"
#define MAKE_ELSEWHERE                                                                             \
    "build it with podman, buildah or docker, then: podman save IMAGE | rootlet load"
#define SWEEP                                                                                      \
    "rootlet rm $(rootlet ps -aq -f status=exited) removes ended containers, 'rootlet image "      \
    "prune "                                                                                       \
    "-a' unused images"
#define VOLUME_TAR "rootlet run --rm -i -v VOLUME:/v IMAGE tar -C /v "

/* A word stands for all commands that begin with it. */
static const struct {
    const char *name, *instead;
} later[] = {
    {"pull", CARRY_IN},
    {"push", "rootlet save IMAGE | docker load (or podman load), and push from there"},
    {"build", MAKE_ELSEWHERE},
    {"buildx", MAKE_ELSEWHERE},
    {"builder", MAKE_ELSEWHERE},
    {"commit", "rootlet exec CONTAINER tar -C / -c DIR... | rootlet import - NAME, if it has tar"},
    {"export", "rootlet exec CONTAINER tar -C / -c DIR... > FILE, if it has tar"},
    {"cp", "rootlet exec CONTAINER cat FILE > FILE copies out, rootlet exec -i CONTAINER sh -c "
           "'cat > FILE' < FILE in; or mount a directory with -v"},
    {"prune", SWEEP},
    {"system prune", SWEEP},
    {"network", "no network has to be made: run takes --network none, host, container:ID, ns:PATH"},
    {"login",
     "registries come later; skopeo login, skopeo copy and rootlet load bring an image in"},
    {"logout", "registries come later; there is nothing to log out of"},
    {"search", "registries come later; 'rootlet images' lists what is here"},
    {"pod logs", "rootlet logs CONTAINER; 'rootlet ps -a --filter pod=POD' lists them"},
    {"pod stats", "rootlet stats $(rootlet ps -q --filter pod=POD)"},
    {"volume export", VOLUME_TAR "-c . > FILE"},
    {"volume import", VOLUME_TAR "-x < FILE"},
    {"volume mount",
     "an ordinary user sees it at: rootlet volume inspect -f '{{.Mountpoint}}' VOLUME"},
    {"kube", "a .pod file and a .container file for each container: man rootlet-quadlet"},
    {"generate kube", "rootlet generate systemd prints a unit, rootlet inspect what there is"},
    {"completion", "'make install' puts completions for bash, zsh and fish where the shells look"},
    {"compose", "a shell script of 'rootlet run -d' lines does it"},
};

/* Does argv begin with the words of name? */
static bool is_named(const char *name, char **argv)
{
    const char *rest = argv[0] ? str_after(name, argv[0]) : NULL;
    return rest && (!*rest || (*rest == ' ' && streq(argv[1], rest + 1)));
}

int cli_later(char **argv, struct err *e)
{
    /* "container cp" is cp. */
    bool noun = streq(argv[0], "container") || streq(argv[0], "image");
    for (size_t i = 0; i < N_ELEMENTS(later); i++)
        if (is_named(later[i].name, argv) || (noun && is_named(later[i].name, argv + 1)))
            return err_hint(e,
                            err_msg(e, ENOSYS, "rootlet %s%s%s is not there yet",
                                    is_named(later[i].name, argv) ? "" : argv[0],
                                    is_named(later[i].name, argv) ? "" : " ", later[i].name),
                            "%s", later[i].instead);
    return 0;
}
