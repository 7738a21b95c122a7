/* rootlet copy */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "events/events.h"
#include "image/ref.h"
#include "imagetool/imagetool.h"
#include "imagetool/manifest.h"
#include "imagetool/transfer.h"

struct copy_opts {
    bool quiet, all, preserve, no_signatures, retry_set;
    bool tls, tls_set, src_tls, src_tls_set, dest_tls, dest_tls_set;
    char *authfile, *src_authfile, *dest_authfile, *creds, *src_creds, *dest_creds;
    char *cert_dir, *src_cert_dir, *dest_cert_dir, *digestfile, *format, *policy, *platform;
    int64_t retry;
    uint64_t retry_delay;
};

#define O(m) offsetof(struct copy_opts, m)
static const struct opt copy_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "The images of all platforms, and their index"},
    {"authfile", 0, OPT_STRING, O(authfile), "FILE", "Credentials from this file and no other"},
    {"cert-dir", 0, OPT_STRING, O(cert_dir), "DIR", "Certificates (*.crt, *.cert, *.key)"},
    {"creds", 0, OPT_STRING, O(creds), "USER[:PASSWORD]", "Credentials for both registries"},
    {"dest-authfile", 0, OPT_STRING, O(dest_authfile), "FILE", "--authfile of the destination"},
    {"dest-cert-dir", 0, OPT_STRING, O(dest_cert_dir), "DIR", "--cert-dir of the destination"},
    {"dest-creds", 0, OPT_STRING, O(dest_creds), "USER[:PASSWORD]", "--creds of the destination"},
    {"dest-tls-verify", 0, OPT_FLAG, O(dest_tls), NULL, "--tls-verify of the destination",
     .set_offset = O(dest_tls_set)},
    {"digestfile", 0, OPT_STRING, O(digestfile), "FILE", "Write the manifest's digest to it"},
    {"format", 'f', OPT_STRING, O(format), "FORMAT", "Manifest: oci or v2s2 (default: as it is)"},
    {"platform", 0, OPT_STRING, O(platform), "OS/ARCH[/VARIANT]",
     "Which image of an index (default: this machine's)"},
    {"preserve-digests", 0, OPT_FLAG, O(preserve), NULL, "Fail rather than change the manifest"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "No progress on stderr"},
    {"remove-signatures", 0, OPT_FLAG, O(no_signatures), NULL, "Leave signatures behind"},
    {"retry", 0, OPT_INT, O(retry), "N", "Tries after a failure of the network (default 5)",
     .set_offset = O(retry_set)},
    {"retry-delay", 0, OPT_DURATION, O(retry_delay), "TIME",
     "Time before the first of them, doubled each time (default 1s)"},
    {"signature-policy", 0, OPT_STRING, O(policy), "FILE", "Instead of policy.json", OPT_HIDDEN},
    {"src-authfile", 0, OPT_STRING, O(src_authfile), "FILE", "--authfile of the source"},
    {"src-cert-dir", 0, OPT_STRING, O(src_cert_dir), "DIR", "--cert-dir of the source"},
    {"src-creds", 0, OPT_STRING, O(src_creds), "USER[:PASSWORD]", "--creds of the source"},
    {"src-tls-verify", 0, OPT_FLAG, O(src_tls), NULL, "--tls-verify of the source",
     .set_offset = O(src_tls_set)},
    {"tls-verify", 0, OPT_FLAG, O(tls), NULL,
     "Verify certificates (default), or =false: not even https", .set_offset = O(tls_set)},
    {NULL},
};

struct copy {
    struct conf conf;
    const struct copy_opts *o;
    struct place from_place, to_place;
    struct registry_options from_registry, to_registry;
    struct transfer_options options;
    struct platform platform;
};

static int tls_of(const struct copy_opts *o, bool set, bool value)
{
    if (set)
        return value;
    return o->tls_set ? o->tls : -1;
}

static int check_options(struct copy *c, struct err *e)
{
    const struct copy_opts *o = c->o;
    const struct platform_words words = {.platform = o->platform};
    if (o->retry_set && (o->retry < 0 || o->retry > 100))
        return err_msg(e, EINVAL, "--retry %lld: want 0 to 100", (long long)o->retry);
    if (o->all && o->platform)
        return err_msg(e, EINVAL, "--platform cannot go with --all");
    const struct registry_options both = {.retry = o->retry_set ? (int)o->retry : -1,
                                          .retry_delay_ms = o->retry_delay,
                                          .notice = transfer_notice};
    c->from_registry = c->to_registry = both;
    c->from_registry.creds = o->src_creds ? o->src_creds : o->creds;
    c->from_registry.authfile = o->src_authfile ? o->src_authfile : o->authfile;
    c->from_registry.cert_dir = o->src_cert_dir ? o->src_cert_dir : o->cert_dir;
    c->from_registry.tls_verify = tls_of(o, o->src_tls_set, o->src_tls);
    c->to_registry.creds = o->dest_creds ? o->dest_creds : o->creds;
    c->to_registry.authfile = o->dest_authfile ? o->dest_authfile : o->authfile;
    c->to_registry.cert_dir = o->dest_cert_dir ? o->dest_cert_dir : o->cert_dir;
    c->to_registry.tls_verify = tls_of(o, o->dest_tls_set, o->dest_tls);
    c->options = (struct transfer_options){.quiet = o->quiet,
                                           .all = o->all,
                                           .preserve = o->preserve,
                                           .no_signatures = o->no_signatures,
                                           .compression = -1,
                                           .level = COMPRESS_LEVEL_DEFAULT,
                                           .platform = &c->platform,
                                           .policy_file = o->policy};
    int r = transfer_format_parse(o->format, &c->options.format, e);
    return r < 0 ? r : platform_parse(&words, &c->platform, e);
}

static int parse_places(struct copy *c, char **args, struct err *e)
{
    int r = place_parse(args[0], &c->from_place, e);
    r = r < 0 ? r : place_parse(args[1], &c->to_place, e);
    if (r < 0 || c->to_place.kind != PLACE_STORE)
        return r;
    r = err_msg(e, EINVAL, "%s: names no registry, archive or directory", args[1]);
    if (c->from_place.kind == PLACE_STORE)
        return err_hint(e, r, "another name for it: rootlet tag; a registry: docker://%s", args[1]);
    return err_hint(e, r, "into the store: rootlet pull %s; to a registry: docker://%s", args[0],
                    args[1]);
}

static int copy(struct copy *c, struct source **from, struct target **to,
                struct transfer_result *result, struct err *e)
{
    const char *name = c->from_place.path;
    int r;
    if (c->from_place.kind == PLACE_STORE)
        r = source_store(&c->conf, name, from, e);
    else if (c->from_place.kind == PLACE_REGISTRY)
        r = source_registry(&c->from_registry, name, from, e);
    else
        r = source_archive(&c->from_place, from, e);
    if (r < 0)
        return r;
    r = c->to_place.kind == PLACE_REGISTRY
            ? target_registry(&c->to_registry, c->to_place.path, to, e)
            : target_archive(&c->to_place, to, e);
    r = r < 0 ? r : transfer(*from, *to, &c->options, result, e);
    if (r == 0 && c->from_place.kind == PLACE_STORE && (*to)->host)
        event_named(&c->conf, "image", "push", image_digest_hex(source_store_image(*from)->id),
                    (*to)->label);
    return r;
}

static int run_copy(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct copy c = {.o = opts};
    SCOPED(source_scoped) struct source *from = NULL;
    SCOPED(target_scoped) struct target *to = NULL;
    struct transfer_result result = {0};
    (void)cmd;
    signal(SIGPIPE, SIG_IGN);
    int r = conf_load(NULL, &c.conf, e);
    r = r < 0 ? r : check_options(&c, e);
    r = r < 0 ? r : parse_places(&c, args, e);
    r = r < 0 ? r : copy(&c, &from, &to, &result, e);
    if (r == 0 && c.o->digestfile)
        r = fs_write_atomic(AT_FDCWD, c.o->digestfile, result.digest, strlen(result.digest), 0644,
                            FS_NO_SYNC, e);
    if (r == 0 && !streq(c.to_place.path, "-"))
        printf("%s\n", result.digest);
    place_release(&c.from_place);
    place_release(&c.to_place);
    conf_release(&c.conf);
    return r < 0 ? err_add(e, r, "copy %s", args[0]) : 0;
}

const struct cmd imagetool_copy_cmds[] = {
    {.name = "copy",
     .args = "SOURCE DESTINATION",
     .summary = "Copy an image between registries, archives and directories",
     .opts = copy_table,
     .opts_size = sizeof(struct copy_opts),
     .min_args = 2,
     .max_args = 2,
     .run = run_copy,
     .aliases = (const char *const[]){"image copy", NULL},
     .details =
         "Blobs go from one to the other as they are, several at a time and without the store "
         "between them; manifests and digests stay. A place is docker://NAME, oci:DIR[:TAG], "
         "oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or dir:DIR; a plain name as SOURCE is "
         "an image of the store. Signatures that cosign has attached go along from registry to "
         "registry. policy.json is obeyed. Prints the manifest's digest.",
     .examples = "rootlet copy docker://quay.io/a/b:1 docker://registry.example.org/a/b:1\n"
                 "rootlet copy --all docker://debian:12 oci:debian-layout:12\n"
                 "rootlet copy oci-archive:app.tar docker://quay.io/me/app:2"},
    {NULL},
};
