/* rootlet push */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "events/events.h"
#include "image/ref.h"
#include "image/rows.h"
#include "imagetool/imagetool.h"
#include "imagetool/transfer.h"

struct push_opts {
    bool quiet, all_tags, tls_verify, tls_verify_set, retry_set, force, trust, no_signatures;
    bool level_set;
    char *creds, *authfile, *cert_dir, *digestfile, *format, *compression, *sign_by;
    int64_t retry, level;
    uint64_t retry_delay;
};

#define O(m) offsetof(struct push_opts, m)
static const struct opt push_table[] = {
    {"all-tags", 'a', OPT_FLAG, O(all_tags), NULL, "Every tag of the repository"},
    {"authfile", 0, OPT_STRING, O(authfile), "FILE", "Credentials from this file and no other"},
    {"cert-dir", 0, OPT_STRING, O(cert_dir), "DIR", "Certificates (*.crt, *.cert, *.key)"},
    {"compression-format", 0, OPT_STRING, O(compression), "FORMAT", "Pack layers by gzip or zstd"},
    {"compression-level", 0, OPT_INT, O(level), "N", "1 to 9 for gzip, 1 to 20 for zstd (3)",
     .set_offset = O(level_set)},
    {"creds", 0, OPT_STRING, O(creds), "USER[:PASSWORD]", "Credentials for the registry"},
    {"digestfile", 0, OPT_STRING, O(digestfile), "FILE", "Write the manifest's digest to it"},
    {"disable-content-trust", 0, OPT_FLAG, O(trust), NULL, "For docker's sake", OPT_IGNORED},
    {"force-compression", 0, OPT_FLAG, O(force), NULL,
     "Do not use what the registry has packed in another way"},
    {"format", 'f', OPT_STRING, O(format), "FORMAT", "Manifest: oci or v2s2 (default: as it is)"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "No progress on stderr"},
    {"remove-signatures", 0, OPT_FLAG, O(no_signatures), NULL, "None are pushed", OPT_IGNORED},
    {"retry", 0, OPT_INT, O(retry), "N", "Tries after a failure of the network (default 5)",
     .set_offset = O(retry_set)},
    {"retry-delay", 0, OPT_DURATION, O(retry_delay), "TIME",
     "Time before the first of them, doubled each time (default 1s)"},
    {"sign-by", 0, OPT_STRING, O(sign_by), "KEY", "cosign sign signs what was pushed",
     OPT_LATER | OPT_NEVER},
    {"tls-verify", 0, OPT_FLAG, O(tls_verify), NULL,
     "Verify certificates (default), or =false: not even https", .set_offset = O(tls_verify_set)},
    {NULL},
};

int transfer_format_parse(const char *text, enum manifest_format *ret, struct err *e)
{
    if (!text)
        *ret = FORMAT_KEEP;
    else if (streq(text, "oci"))
        *ret = FORMAT_OCI;
    else if (streq(text, "v2s2") || streq(text, "docker"))
        *ret = FORMAT_DOCKER;
    else
        return err_hint(e, err_msg(e, EINVAL, "--format %s: unknown", text), "known: oci, v2s2");
    return 0;
}

static int parse_compression(const struct push_opts *o, struct transfer_options *ret, struct err *e)
{
    ret->compression = -1;
    if (streq(o->compression, "gzip"))
        ret->compression = COMPRESS_GZIP;
    else if (streq(o->compression, "zstd"))
        ret->compression = COMPRESS_ZSTD;
    else if (o->compression)
        return err_hint(e, err_msg(e, EINVAL, "--compression-format %s: unknown", o->compression),
                        streq(o->compression, "zstd:chunked") ? "zstd is read by all who read it"
                                                              : "known: gzip, zstd");
    /* As podman has it: who names a format wants it. */
    ret->force_compression = o->force || o->compression;
    ret->level = o->level_set ? (int)o->level : COMPRESS_LEVEL_DEFAULT;
    if (ret->compression == COMPRESS_ZSTD && ret->format == FORMAT_DOCKER)
        return err_msg(e, EINVAL, "--format v2s2 knows no zstd");
    if (!o->level_set)
        return 0;
    if (o->level < 1 || o->level > 20)
        return err_msg(e, EINVAL, "--compression-level %lld: want 1 to 20", (long long)o->level);
    enum compress_format f = ret->compression == COMPRESS_ZSTD ? COMPRESS_ZSTD : COMPRESS_GZIP;
    int r = compress_check_level(f, ret->level, e);
    return r < 0 ? err_add(e, r, "--compression-level") : 0;
}

static int check_options(const struct push_opts *o, char **args, struct transfer_options *ret,
                         struct err *e)
{
    *ret = (struct transfer_options){.quiet = o->quiet};
    int r = transfer_format_parse(o->format, &ret->format, e);
    r = r < 0 ? r : parse_compression(o, ret, e);
    if (r < 0)
        return r;
    if (o->retry_set && (o->retry < 0 || o->retry > 100))
        return err_msg(e, EINVAL, "--retry %lld: want 0 to 100", (long long)o->retry);
    if (o->all_tags && args[1])
        return err_msg(e, EINVAL, "--all-tags takes the repository only, no destination");
    if (o->all_tags && o->digestfile)
        return err_msg(e, EINVAL, "--digestfile is for one image, not for --all-tags");
    return 0;
}

/* Where it goes: as said, or where its name says. */
static int find_place(const char *said, const struct store_image *image, struct place *ret,
                      struct err *e)
{
    const char *name = said ? said : image->names ? image->names[0] : NULL;
    if (!name)
        return err_hint(e, err_msg(e, EINVAL, "it has no name that says where to"),
                        "rootlet push IMAGE REGISTRY/NAME:TAG");
    int r = place_parse(name, ret, e);
    if (r < 0)
        return r;
    if (ret->kind == PLACE_STORE && str_after(name, "localhost/")) {
        r = err_msg(e, EINVAL, "%s is a name for this machine only", name);
        return err_hint(e, r, "name a registry: rootlet push IMAGE REGISTRY/%s",
                        str_after(name, "localhost/"));
    }
    if (ret->kind == PLACE_STORE)
        ret->kind = PLACE_REGISTRY;
    return 0;
}

static void tell(const struct conf *conf, const struct push_opts *o, const struct source *from,
                 const struct target *to, const struct transfer_result *result)
{
    const struct store_image *image = source_store_image(from);
    if (result->repacked && !o->quiet)
        fprintf(stderr, "Layers there are packed anew: the manifest is %s now, it was %s\n",
                result->digest, result->was);
    if (to->host) {
        struct image_ref ref = {0};
        if (image_ref_parse(to->label, &ref, NULL) == 0)
            printf("%s@%s\n", ref.name, result->digest);
        image_ref_release(&ref);
    } else {
        printf("%s\n", result->digest);
    }
    event_named(conf, "image", "push", image_digest_hex(image->id), to->label);
}

struct push {
    const struct conf *conf;
    const struct push_opts *o;
    struct transfer_options options;
    struct registry_options registry;
};

static int push_image(const struct push *p, const char *name, const char *said, struct err *e)
{
    SCOPED(source_scoped) struct source *from = NULL;
    SCOPED(target_scoped) struct target *to = NULL;
    SCOPED(place_release) struct place place = {0};
    struct transfer_result result;
    /* Opened first: it forks, and no credentials are read yet. */
    int r = source_store(p->conf, name, &from, e);
    r = r < 0 ? r : find_place(said, source_store_image(from), &place, e);
    if (r == 0)
        r = place.kind == PLACE_REGISTRY ? target_registry(&p->registry, place.path, &to, e)
                                         : target_archive(&place, &to, e);
    r = r < 0 ? r : transfer(from, to, &p->options, &result, e);
    if (r == 0 && p->o->digestfile)
        r = fs_write_atomic(AT_FDCWD, p->o->digestfile, result.digest, strlen(result.digest), 0644,
                            FS_NO_SYNC, e);
    if (r == 0)
        tell(p->conf, p->o, from, to, &result);
    return r;
}

static int add_name(const struct store_ref *ref, void *data, struct err *e)
{
    (void)e;
    if (ref->tag[0] != '@')
        strv_addf(data, "%s:%s", ref->name, ref->tag);
    return 0;
}

static int push_all_tags(const struct push *p, const char *text, struct err *e)
{
    scoped_strv char **names = NULL;
    SCOPED(store_image_release) struct store_image image = {0};
    struct image_ref ref = {0};
    const char *colon = strrchr(text, ':');
    if (strchr(text, '@') || (colon && !strchr(colon, '/')))
        return err_msg(e, EINVAL, "--all-tags takes a repository, without a tag");
    int r = image_ref_parse(text, &ref, e);
    /* A short name is looked for as store_find does it. */
    const char *const tops[] = {"localhost/", "docker.io/library/"};
    r = r < 0 ? r : store_refs_each(p->conf, ref.name, add_name, &names, e);
    for (size_t i = 0; r == 0 && !names && i < N_ELEMENTS(tops); i++) {
        scoped_free char *full = xasprintf("%s%s", tops[i], text);
        r = store_refs_each(p->conf, full, add_name, &names, e);
    }
    image_ref_release(&ref);
    if (r == 0 && !names)
        r = err_msg(e, ENOENT, "no image of this repository is here");
    strv_sort(names);
    for (size_t i = 0; r == 0 && names && names[i]; i++) {
        r = push_image(p, names[i], NULL, e);
        if (r < 0)
            err_add(e, r, "%s", names[i]);
    }
    return r;
}

static int run_push(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct push_opts *o = opts;
    scoped_conf struct conf conf = {0};
    struct push p = {.conf = &conf,
                     .o = o,
                     .registry = {.creds = o->creds ? o->creds : imagetool_creds,
                                  .authfile = o->authfile,
                                  .cert_dir = o->cert_dir,
                                  .tls_verify = o->tls_verify_set ? o->tls_verify : -1,
                                  .retry = o->retry_set ? (int)o->retry : -1,
                                  .retry_delay_ms = o->retry_delay,
                                  .notice = transfer_notice}};
    (void)cmd;
    signal(SIGPIPE, SIG_IGN);
    int r = conf_load(NULL, &conf, e);
    r = r < 0 ? r : check_options(o, args, &p.options, e);
    if (r == 0)
        r = o->all_tags ? push_all_tags(&p, args[0], e) : push_image(&p, args[0], args[1], e);
    return r < 0 ? err_add(e, r, "push %s", args[0]) : 0;
}

const struct cmd imagetool_push_cmds[] = {
    {.name = "push",
     .args = "IMAGE [DESTINATION]",
     .summary = "Copy an image to a registry",
     .opts = push_table,
     .opts_size = sizeof(struct push_opts),
     .min_args = 1,
     .max_args = 2,
     .run = run_push,
     .aliases = (const char *const[]){"image push", NULL},
     .details =
         "Without DESTINATION it goes where its name says. Layers that the registry has are not "
         "sent again; those of another repository of it are taken over there. An image that was "
         "pulled keeps its manifest and digest as long as the registry has or can get its layers "
         "as they were; else they are packed anew, and that is said. The image id stays in any "
         "case. Prints NAME@DIGEST. DESTINATION may also be docker://NAME, oci:DIR[:TAG], "
         "oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or dir:DIR.",
     .examples = "rootlet push quay.io/me/app:1\nrootlet push app registry.example.org/team/app:1\n"
                 "rootlet push --compression-format zstd app quay.io/me/app:zstd"},
    {NULL},
};
