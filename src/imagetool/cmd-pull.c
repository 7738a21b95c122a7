/* rootlet pull */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "image/ref.h"
#include "imagetool/imagetool.h"
#include "imagetool/pull.h"

struct pull_opts {
    bool quiet, all_tags, tls_verify, tls_verify_set, retry_set, squash_ids, trust;
    bool implicit;
    char *platform, *os, *arch, *variant, *policy, *creds, *authfile, *cert_dir, *policy_file;
    int64_t retry;
    uint64_t retry_delay;
    char *repair;
};

#define O(m) offsetof(struct pull_opts, m)
static const struct opt pull_table[] = {
    {"all-tags", 'a', OPT_FLAG, O(all_tags), NULL, "Every tag of the repository"},
    {"arch", 0, OPT_STRING, O(arch), "ARCH", "For this architecture instead of this machine's"},
    {"authfile", 0, OPT_STRING, O(authfile), "FILE", "Credentials from this file and no other"},
    {"cert-dir", 0, OPT_STRING, O(cert_dir), "DIR", "Certificates (*.crt, *.cert, *.key)"},
    {"creds", 0, OPT_STRING, O(creds), "USER[:PASSWORD]", "Credentials for the registry"},
    {"disable-content-trust", 0, OPT_FLAG, O(trust), NULL, "For docker's sake", OPT_IGNORED},
    {"implicit", 0, OPT_FLAG, O(implicit), NULL, "For run: nobody has asked for a pull",
     OPT_HIDDEN},
    {"os", 0, OPT_STRING, O(os), "OS", "For this system instead of linux"},
    {"platform", 0, OPT_STRING, O(platform), "OS/ARCH[/VARIANT]", "For this platform"},
    {"policy", 0, OPT_STRING, O(policy), "POLICY", "always (default), missing, newer or never"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Only the image's id, no progress"},
    {"repair", 0, OPT_STRING, O(repair), "DIFFID,...", "For image check --repair", OPT_HIDDEN},
    {"retry", 0, OPT_INT, O(retry), "N", "Tries after a failure of the network (default 5)",
     .set_offset = O(retry_set)},
    {"retry-delay", 0, OPT_DURATION, O(retry_delay), "TIME",
     "Time before the first of them, doubled each time (default 1s)"},
    {"signature-policy", 0, OPT_STRING, O(policy_file), "FILE", "Instead of policy.json",
     OPT_HIDDEN},
    {"squash-ids", 0, OPT_FLAG, O(squash_ids), NULL,
     "Files of owners outside your id range become root's"},
    {"tls-verify", 0, OPT_FLAG, O(tls_verify), NULL,
     "Verify certificates (default), or =false: not even https", .set_offset = O(tls_verify_set)},
    {"variant", 0, OPT_STRING, O(variant), "VARIANT", "For this variant, as v7 of arm"},
    {NULL},
};

static int check_options(const struct pull_opts *o, struct err *e)
{
    static const char *const policies[] = {"always", "missing", "newer", "never", "ifnewer"};
    bool known = !o->policy;

    for (size_t i = 0; i < N_ELEMENTS(policies); i++)
        known = known || streq(o->policy, policies[i]);
    if (!known)
        return err_hint(e, err_msg(e, EINVAL, "--policy %s: unknown", o->policy),
                        "known: always, missing, newer, never");
    if (o->platform && (o->os || o->arch))
        return err_msg(e, EINVAL, "--platform cannot go with --os or --arch");
    if (o->retry_set && (o->retry < 0 || o->retry > 100))
        return err_msg(e, EINVAL, "--retry %lld: want 0 to 100", (long long)o->retry);
    if (o->all_tags && o->policy && !streq(o->policy, "always"))
        return err_msg(e, EINVAL, "--all-tags always asks the registry: --policy %s is not for it",
                       o->policy);
    return 0;
}

static int pull_of(const struct pull_opts *o, const struct conf *conf, struct pull *ret,
                   struct err *e)
{
    const struct platform_words words = {o->platform, o->os, o->arch, o->variant};

    *ret = (struct pull){
        .conf = conf,
        .registry = {.creds = o->creds ? o->creds : imagetool_creds,
                     .authfile = o->authfile,
                     .cert_dir = o->cert_dir,
                     .tls_verify = o->tls_verify_set ? o->tls_verify : -1,
                     .retry = o->retry_set ? (int)o->retry : -1,
                     .retry_delay_ms = o->retry_delay,
                     .impatient = o->implicit && !o->retry_set},
        .platform_given = o->platform || o->os || o->arch || o->variant,
        .quiet = o->quiet,
        .squash_ids = o->squash_ids,
        .newer = streq(o->policy, "newer") || streq(o->policy, "ifnewer"),
        .policy_file = o->policy_file,
        .all_tags = o->all_tags,
    };
    return platform_parse(&words, &ret->platform, e);
}

/* Prints the id of the image that is here under the name: 0, or -ENOENT. */
static int use_local(const struct conf *conf, const char *name, struct err *e)
{
    struct store_image image = {0};
    int r = store_find(conf, name, &image, e);

    if (r == 0)
        printf("%s\n", image_digest_hex(image.id));
    store_image_release(&image);
    return r;
}

static int pull_name(const struct pull_opts *o, const struct pull *p, const char *name,
                     int *ret_signal, struct err *e)
{
    struct err none = ERR_INIT, unused = ERR_INIT;
    int r;

    if (streq(o->policy, "never"))
        return use_local(p->conf, name, e);
    if (streq(o->policy, "missing") && use_local(p->conf, name, &none) == 0)
        return 0;
    r = pull_registry(p, name, ret_signal, e);
    if (r < 0 && p->newer && !*ret_signal && use_local(p->conf, name, &unused) == 0) {
        log_warn("%s: the image that is here is used: %s", name, e->msg);
        err_clear(e);
        return 0;
    }
    return r;
}

static int pull_text(const struct pull_opts *o, const struct conf *conf, const char *text,
                     int *ret_signal, struct err *e)
{
    SCOPED(pull_place_release) struct pull_place place = {0};
    const char *name = NULL;
    struct pull p;
    int r = pull_of(o, conf, &p, e);
    scoped_strv char **replace = o->repair ? strv_split(o->repair, ",", true) : NULL;

    p.replace = replace;
    r = r < 0 ? r : pull_place_parse(text, &place, &name, e);
    if (r == 1 && !name && o->all_tags)
        r = err_msg(e, EINVAL, "--all-tags is for registries");
    if (r == 1 && !name)
        r = pull_local(&p, &place, e);
    else if (r >= 0)
        r = pull_name(o, &p, name ? name : text, ret_signal, e);
    return r < 0 ? err_add(e, r, "pull %s", text) : 0;
}

/* Who asked us to end by a signal sees us ended by it. */
static void end_by(int sig)
{
    sigset_t set;

    fflush(NULL);
    signal(sig, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(sig);
}

static int pull_and_end(const struct pull_opts *o, const struct conf *conf, const char *text,
                        struct err *e)
{
    int sig = 0, r = pull_text(o, conf, text, &sig, e);

    if (sig) {
        imagetool_print_err(e);
        end_by(sig);
    }
    return r;
}

/* Of several names each has a process of its own: the unpackers of the second must not descend from
 * one that has read credentials for the first. */
static int pull_apart(const struct pull_opts *o, const struct conf *conf, const char *text)
{
    struct err e = ERR_INIT;
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        err_set(&e, errno, "pull %s: fork", text);
        imagetool_print_err(&e);
        return 125;
    }
    if (pid == 0) {
        int r = pull_and_end(o, conf, text, &e);
        if (r < 0)
            imagetool_print_err(&e);
        _exit(fflush(stdout) != 0 || r < 0 ? (e.exit_status ? e.exit_status : 125) : 0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        end_by(WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}

static int run_pull(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct pull_opts *o = opts;
    scoped_conf struct conf conf = {0};
    int worst = 0, r = check_options(o, e);

    (void)cmd;
    r = r < 0 ? r : conf_load(NULL, &conf, e);
    if (r < 0)
        return err_add(e, r, "pull");
    if (!args[1])
        return pull_and_end(o, &conf, args[0], e);
    for (size_t i = 0; args[i]; i++) {
        int status = pull_apart(o, &conf, args[i]);
        worst = status > worst ? status : worst;
    }
    return worst;
}

const struct cmd imagetool_pull_cmds[] = {
    {.name = "pull",
     .args = "IMAGE [IMAGE...]",
     .summary = "Bring images from a registry into the store",
     .opts = pull_table,
     .opts_size = sizeof(struct pull_opts),
     .min_args = 1,
     .max_args = -1,
     .run = run_pull,
     .aliases = (const char *const[]){"image pull", NULL},
     .details =
         "A name without a registry is looked up as registries.conf says, without that file on "
         "docker.io. Layers come side by side and are unpacked while they come; every digest is "
         "verified. Layers that are here already are not fetched. Whatever ends a pull, the next "
         "one goes on where it was. Other places: docker://NAME, oci:DIR[:TAG], "
         "oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], dir:DIR. The last line of standard "
         "output is the image's id.",
     .examples =
         "rootlet pull busybox\nrootlet pull --platform linux/arm64 docker.io/library/alpine:3\n"
         "rootlet pull -q registry.example/team/app@sha256:...\n"
         "rootlet pull oci-archive:image.tar"},
    {NULL},
};
