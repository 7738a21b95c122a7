/* rootlet manifest inspect */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/jfield.h"
#include "image/ref.h"
#include "imagetool/imagetool.h"
#include "imagetool/manifest.h"
#include "imagetool/transfer.h"

struct manifest_opts {
    bool verbose, tls_verify, tls_verify_set, insecure;
    char *creds, *authfile, *cert_dir;
};

#define O(m) offsetof(struct manifest_opts, m)
static const struct opt manifest_table[] = {
    {"authfile", 0, OPT_STRING, O(authfile), "FILE", "Credentials from this file and no other"},
    {"cert-dir", 0, OPT_STRING, O(cert_dir), "DIR", "Certificates (*.crt, *.cert, *.key)"},
    {"creds", 0, OPT_STRING, O(creds), "USER[:PASSWORD]", "Credentials for the registry"},
    {"insecure", 0, OPT_FLAG, O(insecure), NULL, "As --tls-verify=false"},
    {"tls-verify", 0, OPT_FLAG, O(tls_verify), NULL,
     "Verify certificates (default), or =false: not even https", .set_offset = O(tls_verify_set)},
    {"verbose", 'v', OPT_FLAG, O(verbose), NULL, "With descriptors; an index with all its images"},
    {NULL},
};

/* As docker shows it. */
static json_t *describe(const char *label, const struct registry_manifest *m, const json_t *entry,
                        json_t *doc)
{
    SCOPED(xfer_manifest_release) struct xfer_manifest x = {0};
    const char *type = m->media_type;
    if (!type && xfer_manifest_parse(m->bytes, m->len, NULL, &x, NULL) == 0)
        type = xfer_manifest_type(&x);
    json_t *descriptor = json_pack("{s:s*,s:s,s:I}", "mediaType", type, "digest", m->digest, "size",
                                   (json_int_t)m->len);
    json_t *platform = json_object_get(entry, "platform");
    if (platform)
        json_object_set(descriptor, "platform", platform);
    bool docker = str_after(type ? type : "", "application/vnd.docker.") != NULL;
    scoped_free char *ref = entry ? xasprintf("%s@%s", label, m->digest) : xstrdup(label);
    return json_pack("{s:s,s:o,s:O}", "Ref", ref, "Descriptor", descriptor,
                     docker ? "SchemaV2Manifest" : "OCIManifest", doc);
}

static int show_verbose(struct source *s, const struct registry_manifest *m, struct err *e)
{
    scoped_json json_t *doc = json_parse(m->bytes, m->len, MANIFEST_MAX, "manifest", e);
    if (!doc)
        return -EINVAL;
    const json_t *entries = json_object_get(doc, "manifests"), *entry;
    scoped_json json_t *out = entries ? json_array() : describe(s->label, m, NULL, doc);
    size_t i;
    json_array_foreach(entries, i, entry)
    {
        SCOPED(registry_manifest_release) struct registry_manifest one = {0};
        const char *digest = json_string_value(json_object_get(entry, "digest"));
        int r = digest ? digest_parse(digest, NULL, e)
                       : err_msg(e, EINVAL, "manifests[%zu].digest: missing", i);
        r = r < 0 ? r : s->ops->manifest(s, digest, &one, e);
        if (r < 0)
            return r;
        scoped_json json_t *child = json_parse(one.bytes, one.len, MANIFEST_MAX, "manifest", e);
        if (!child)
            return -EINVAL;
        json_array_append_new(out, describe(s->label, &one, entry, child));
    }
    scoped_free char *text = json_text(out, true);
    puts(text);
    return 0;
}

/* The store is asked for what no registry has: names below localhost, and ids. */
static bool is_local(const struct conf *c, const struct place *p)
{
    SCOPED(store_image_release) struct store_image image = {0};
    if (p->kind != PLACE_STORE)
        return false;
    if (store_find(c, p->path, &image, NULL) < 0)
        return false;
    return !image.names || !image.names[0] || str_after(image.names[0], "localhost/");
}

static int open_source(const struct conf *c, const struct registry_options *o, const char *text,
                       struct source **ret, struct err *e)
{
    SCOPED(place_release) struct place p = {0};
    int r = place_parse(text, &p, e);
    if (r < 0)
        return r;
    if (str_after(text, "containers-storage:") || is_local(c, &p))
        return source_store(c, p.path, ret, e);
    if (p.kind == PLACE_STORE || p.kind == PLACE_REGISTRY)
        return source_registry(o, p.path, ret, e);
    return source_archive(&p, ret, e);
}

static int run_manifest_inspect(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct manifest_opts *o = opts;
    const struct registry_options registry = {.creds = o->creds,
                                              .authfile = o->authfile,
                                              .cert_dir = o->cert_dir,
                                              .tls_verify = o->insecure         ? 0
                                                            : o->tls_verify_set ? o->tls_verify
                                                                                : -1,
                                              .retry = -1};
    scoped_conf struct conf conf = {0};
    SCOPED(source_scoped) struct source *s = NULL;
    SCOPED(registry_manifest_release) struct registry_manifest m = {0};
    (void)cmd;
    signal(SIGPIPE, SIG_IGN);
    int r = conf_load(NULL, &conf, e);
    r = r < 0 ? r : open_source(&conf, &registry, args[0], &s, e);
    r = r < 0 ? r : s->ops->manifest(s, NULL, &m, e);
    if (r == 0 && o->verbose) {
        r = show_verbose(s, &m, e);
    } else if (r == 0) {
        /* Exact bytes, which have the digest; but a terminal gets nothing to act on. */
        bool tty = isatty(STDOUT_FILENO);
        if (tty)
            imagetool_print(stdout, m.bytes);
        else
            fwrite(m.bytes, 1, m.len, stdout);
        if (tty || !m.len || m.bytes[m.len - 1] != '\n')
            putchar('\n');
    }
    return r < 0 ? err_add(e, r, "manifest inspect %s", args[0]) : 0;
}

const struct cmd imagetool_manifest_cmds[] = {
    {.name = "manifest inspect",
     .args = "NAME",
     .summary = "Show the manifest or index of an image in a registry",
     .opts = manifest_table,
     .opts_size = sizeof(struct manifest_opts),
     .min_args = 1,
     .max_args = 1,
     .run = run_manifest_inspect,
     .details = "Prints what the registry has under NAME, byte for byte and a line feed behind it. "
                "Names below localhost/ and ids are looked up in the store, as is "
                "containers-storage:NAME; oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE and "
                "dir:DIR are read too.",
     .examples = "rootlet manifest inspect debian:12\nrootlet manifest inspect -v "
                 "docker://quay.io/me/app:1"},
    {NULL},
};
