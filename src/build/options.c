#include "build/options.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"
#include "image/ref.h"

#define O(m) offsetof(struct build_opts, m)

/* An option of rootlet create, which every container of the build gets. */
static int pass_on(void *opts, const struct opt *o, const char *value, struct err *e)
{
    struct build_opts *b = opts;
    (void)e;
    if (value)
        strv_addf(&b->pass, "--%s=%s", o->name, value);
    else
        strv_addf(&b->pass, "--%s", o->name);
    return 0;
}

#define PASS(name, arg, help)                                                                      \
    {                                                                                              \
        name, 0, OPT_CALL, 0, arg, help, 0, NULL, pass_on                                          \
    }
#define IGNORED(name, type, arg)                                                                   \
    {                                                                                              \
        name, 0, type, O(ignored), arg, "For the sake of others, does nothing", OPT_IGNORED        \
    }
#define REFUSED(name, help)                                                                        \
    {                                                                                              \
        name, 0, OPT_STRING, 0, "X", help, OPT_LATER | OPT_NEVER                                   \
    }

/* clang-format off */
const struct opt build_table[] = {
    {"annotation", 0, OPT_STRV, O(annotations), "KEY=VALUE", "Annotation of the image's manifest"},
    {"arch", 0, OPT_STRING, O(arch), "ARCH", "Architecture, as of --platform"},
    {"authfile", 0, OPT_STRING, O(authfile), "FILE", "Credentials for pulling base images"},
    {"author", 0, OPT_STRING, O(author), "NAME", "Author of the image"},
    {"build-arg", 0, OPT_STRV, O(build_args), "NAME[=VALUE]", "Value of an ARG; without one, that of the environment"},
    {"build-arg-file", 0, OPT_STRV, O(build_arg_files), "FILE", "NAME=VALUE lines, as --build-arg"},
    {"build-context", 0, OPT_STRV, O(contexts), "NAME=SOURCE", "What --from=NAME is: a directory, or docker-image://IMAGE"},
    {"cert-dir", 0, OPT_STRING, O(cert_dir), "DIR", "Certificates for pulling base images"},
    {"creds", 0, OPT_STRING, O(creds), "USER[:PASSWORD]", "Credentials for pulling base images"},
    {"env", 0, OPT_STRV, O(env), "NAME=VALUE", "Set an environment variable of the image"},
    {"file", 'f', OPT_STRING, O(file), "FILE", "The Containerfile; - is standard input"},
    {"format", 0, OPT_STRING, O(format), "FORMAT", "oci (default) or docker: of the image's manifest"},
    {"ignorefile", 0, OPT_STRING, O(ignorefile), "FILE", "In place of .containerignore and .dockerignore"},
    {"iidfile", 0, OPT_STRING, O(iidfile), "FILE", "Write the image's id to a file"},
    {"isolation", 0, OPT_STRING, O(isolation), "MODE", "Always oci: each RUN is a container"},
    {"label", 0, OPT_STRV, O(labels), "KEY=VALUE", "Label of the image"},
    {"logfile", 0, OPT_STRING, O(logfile), "FILE", "Write the output to a file"},
    {"network", 0, OPT_STRING, O(network), "MODE", "Network of RUN: default, none or host"},
    {"no-cache", 0, OPT_FLAG, O(no_cache), NULL, "Run every step, whatever the cache has"},
    {"os", 0, OPT_STRING, O(os), "OS", "Operating system, as of --platform"},
    {"output", 'o', OPT_STRV, O(output), "type=TYPE,dest=PATH", "Write the result: type local, tar, oci-archive or docker-archive; a path alone is type local"},
    {"platform", 0, OPT_STRING, O(platform), "OS/ARCH", "Platform of the image and of its bases"},
    {"progress", 0, OPT_STRING, O(progress), "KIND", "plain, auto or tty: always plain"},
    {"pull", 0, OPT_STRING, O(pull), "POLICY", "Pull base images: missing (default), always or never", OPT_OPTVAL},
    {"push", 0, OPT_FLAG, O(push), NULL, "Push the image by its names when it is built"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Print the image's id only"},
    {"retry", 0, OPT_STRING, O(retry), "N", "Tries of a pull"},
    {"retry-delay", 0, OPT_STRING, O(retry_delay), "TIME", "Time between two of them"},
    {"secret", 0, OPT_STRV, O(secrets), "id=ID[,src=FILE|env=NAME]", "A secret for RUN --mount=type=secret"},
    {"source-date-epoch", 0, OPT_STRING, O(epoch), "SECONDS", "Time of the image; no file is newer"},
    {"squash", 0, OPT_FLAG, O(squash), NULL, "One layer of what the build has made"},
    {"squash-all", 0, OPT_FLAG, O(squash_all), NULL, "One layer of all files, without the base's"},
    {"squash-ids", 0, OPT_FLAG, O(squash_ids), NULL, "Files of owners outside your id range become root's"},
    {"tag", 't', OPT_STRV, O(tags), "NAME", "Name of the image (repeatable)"},
    {"target", 0, OPT_STRING, O(target), "STAGE", "Build this stage, not the last one"},
    {"timestamp", 0, OPT_STRING, O(timestamp), "SECONDS", "As --source-date-epoch"},
    {"tls-verify", 0, OPT_STRING, O(tls_verify), "BOOL", "Check certificates when pulling", OPT_OPTVAL},
    {"variant", 0, OPT_STRING, O(variant), "VARIANT", "Variant, as of --platform"},

    PASS("add-host", "HOST:IP", "A line of /etc/hosts of RUN"),
    PASS("cap-add", "CAP", "Add a capability to RUN"),
    PASS("cap-drop", "CAP", "Drop a capability of RUN"),
    PASS("cgroup-parent", "PATH", "Where the control groups of RUN lie"),
    PASS("cpu-period", "US", "As of rootlet run"),
    PASS("cpu-quota", "US", "As of rootlet run"),
    PASS("cpu-shares", "N", "As of rootlet run"),
    PASS("cpus", "N", "Processors for RUN"),
    PASS("cpuset-cpus", "LIST", "As of rootlet run"),
    PASS("cpuset-mems", "LIST", "As of rootlet run"),
    PASS("device", "HOST[:CTR[:rwm]]", "A device of the host for RUN"),
    PASS("dns", "IP", "Name server of RUN"),
    PASS("dns-option", "OPTION", "Option of the resolver of RUN"),
    PASS("dns-search", "DOMAIN", "Search domain of RUN"),
    {"memory", 'm', OPT_CALL, 0, "SIZE", "Memory for RUN", 0, NULL, pass_on},
    PASS("group-add", "GROUP", "Add a supplementary group to RUN"),
    PASS("memory-swap", "SIZE", "Memory and swap for RUN"),
    PASS("security-opt", "OPTION", "As of rootlet run"),
    PASS("security-profile", "NAME", "As of rootlet run"),
    PASS("shm-size", "SIZE", "Size of /dev/shm of RUN"),
    PASS("ulimit", "NAME=SOFT[:HARD]", "Resource limit of RUN"),
    {"volume", 'v', OPT_CALL, 0, "SRC:DIR[:OPTIONS]", "A directory of the host for RUN; no part of the image", 0, NULL, pass_on},

    IGNORED("disable-compression", OPT_FLAG, NULL),
    IGNORED("force-rm", OPT_FLAG, NULL),
    IGNORED("rm", OPT_FLAG, NULL),
    IGNORED("layers", OPT_FLAG, NULL),
    IGNORED("load", OPT_FLAG, NULL),
    IGNORED("provenance", OPT_STRING, "BOOL"),
    IGNORED("sbom", OPT_STRING, "BOOL"),
    IGNORED("stdin", OPT_FLAG, NULL),
    IGNORED("compress", OPT_FLAG, NULL),
    IGNORED("disable-content-trust", OPT_FLAG, NULL),
    IGNORED("inherit-labels", OPT_FLAG, NULL),
    IGNORED("omit-history", OPT_FLAG, NULL),
    IGNORED("jobs", OPT_STRING, "N"),
    REFUSED("cache-from", "the cache is the image store of this user: load an image of the earlier build instead"),
    REFUSED("cache-to", "the cache is the image store of this user: rootlet save hands an image on"),
    REFUSED("ssh", "no agent of the caller is given to a build: use --secret, or COPY what was fetched before"),
    REFUSED("userns", "steps run with the id map of the image store, which their layers have to have"),
    REFUSED("manifest", "one platform at a time"),
    REFUSED("all-platforms", "one platform at a time: --platform"),
    REFUSED("allow", "no step has more rights than rootlet run gives: --cap-add, --security-opt"),
    {NULL},
};
/* clang-format on */

char *build_opt_key(const char *text, const char *key)
{
    scoped_strv char **words = strv_split(text, ",", false);
    for (char **w = words; w && *w; w++) {
        const char *eq = strchr(*w, '=');
        size_t n = eq ? (size_t)(eq - *w) : strlen(*w);
        if (strlen(key) == n && strncmp(*w, key, n) == 0)
            return xstrdup(eq ? eq + 1 : "");
    }
    return NULL;
}

static int one_of(const char *option, const char *value, char *const *known, struct err *e)
{
    scoped_free char *list = strv_join(known, ", ");
    if (!value || strv_has(known, value))
        return 0;
    return err_msg(e, EINVAL, "--%s %s: not one of %s", option, value, list);
}

static int check_words(const struct build_opts *o, struct err *e)
{
    static const char *const formats[] = {"oci", "docker", NULL};
    static const char *const progress[] = {"plain", "auto", "tty", "quiet", "rawjson", NULL};
    static const char *const pull[] = {"",      "always", "missing", "never",     "ifnewer",
                                       "newer", "true",   "false",   "ifmissing", NULL};
    static const char *const isolation[] = {"oci", "default", NULL};
    int r = one_of("format", o->format, (char *const *)(uintptr_t)formats, e);
    r = r < 0 ? r : one_of("progress", o->progress, (char *const *)(uintptr_t)progress, e);
    r = r < 0 ? r : one_of("pull", o->pull, (char *const *)(uintptr_t)pull, e);
    r = r < 0 ? r : one_of("isolation", o->isolation, (char *const *)(uintptr_t)isolation, e);
    return r < 0 && streq(o->isolation, "chroot")
               ? err_hint(e, r, "each RUN is a container, without privileges of the host")
               : r;
}

/* A step from the cache would not ask for it: a slip shows now. */
static int check_secret_file(const char *option, const char *id, struct err *e)
{
    scoped_free char *src = build_opt_key(option, "src"), *type = build_opt_key(option, "type");
    if (!src)
        src = build_opt_key(option, "source");
    if (!src || streq(type, "env") || access(src, R_OK) == 0)
        return 0;
    return err_set(e, errno, "--secret %s: %s", id, src);
}

int build_opts_check(const struct build_opts *o, struct err *e)
{
    int r = check_words(o, e);
    for (char **t = o->tags; r == 0 && t && *t; t++) {
        SCOPED(image_ref_release) struct image_ref ref = {0};
        r = image_ref_parse_local(*t, &ref, e);
        r = r < 0 ? err_add(e, r, "--tag") : 0;
    }
    for (char **s = o->secrets; r == 0 && s && *s; s++) {
        scoped_free char *id = build_opt_key(*s, "id");
        if (!id || !*id || strchr(id, '/'))
            r = err_hint(e, err_msg(e, EINVAL, "--secret %s: no id", *s),
                         "--secret id=NAME,src=FILE or id=NAME,env=VARIABLE");
        r = r < 0 ? r : check_secret_file(*s, id, e);
    }
    for (char **v = o->env; r == 0 && v && *v; v++)
        if (!strchr(*v, '=') || **v == '=')
            r = err_msg(e, EINVAL, "--env %s: not NAME=VALUE", *v);
    for (char **c = o->contexts; r == 0 && c && *c; c++)
        if (!strchr(*c, '='))
            r = err_msg(e, EINVAL, "--build-context %s: not NAME=SOURCE", *c);
    for (char **l = o->annotations; r == 0 && l && *l; l++)
        if (!strchr(*l, '=') || **l == '=')
            r = err_msg(e, EINVAL, "--annotation %s: not KEY=VALUE", *l);
    for (char **l = o->labels; r == 0 && l && *l; l++)
        if (!**l || **l == '=')
            r = err_msg(e, EINVAL, "--label \"%s\": no key", *l);
    if (r == 0 && o->push && !o->tags)
        r = err_hint(e, err_msg(e, EINVAL, "--push: the image has no name"),
                     "-t REGISTRY/NAME:TAG says where it goes");
    if (r == 0 && o->timestamp && o->epoch)
        r = err_msg(e, EINVAL, "--timestamp and --source-date-epoch exclude each other");
    return r;
}
