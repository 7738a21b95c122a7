/* rootlet login, logout */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "image/ref.h"
#include "imagetool/ask.h"
#include "imagetool/imagetool.h"
#include "registry/client.h"

#define PASSWORD_MAX (64u << 10)

struct login_opts {
    bool get_login, stdin_password, tls_verify, tls_verify_set, verbose;
    char *username, *password, *authfile, *cert_dir;
};

#define O(m) offsetof(struct login_opts, m)
static const struct opt login_table[] = {
    {"authfile", 0, OPT_STRING, O(authfile), "FILE", "Keep the credentials in this file"},
    {"cert-dir", 0, OPT_STRING, O(cert_dir), "DIR", "Certificates from here instead of certs.d"},
    {"get-login", 0, OPT_FLAG, O(get_login), NULL, "Print who is logged in, and change nothing"},
    {"password", 'p', OPT_STRING, O(password), "PASSWORD", "The password, for all to see in ps"},
    {"password-stdin", 0, OPT_FLAG, O(stdin_password), NULL, "Read it from standard input"},
    {"tls-verify", 0, OPT_FLAG, O(tls_verify), NULL,
     "Verify certificates (default), or =false: not even https", .set_offset = O(tls_verify_set)},
    {"username", 'u', OPT_STRING, O(username), "USER", "Who logs in; asked for otherwise"},
    {"verbose", 'v', OPT_FLAG, O(verbose), NULL, "Print which file keeps the credentials"},
    {NULL},
};
#undef O

/* What the user calls a registry: the host, and the key that credentials are kept by, which may
 * name a part of the registry. */
struct place {
    char *host, *key;
};

static void place_release(struct place *p)
{
    free(p->host);
    free(p->key);
}

static int check_place(const struct place *p, const char *text, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    bool is_short = false;
    scoped_free char *name = xasprintf("%s/x", p->key);
    int r = image_ref_split(name, &ref, &is_short, NULL);
    if (r == 0 && !is_short && !ref.tag && !ref.digest)
        return 0;
    return err_hint(e, err_msg(e, EINVAL, "\"%s\" is not the name of a registry", text),
                    "as quay.io, localhost:5000, or registry.example.com/team");
}

/* "https://index.docker.io/v1/" is what docker calls docker.io. */
static int parse_place(const char *text, struct place *ret, struct err *e)
{
    const char *rest = str_after(text, "https://");
    rest = rest ? rest : str_after(text, "http://");
    bool url = rest != NULL;
    rest = rest ? rest : text;
    size_t host = strcspn(rest, "/"), all = url ? host : strlen(rest);
    while (all > host && rest[all - 1] == '/')
        all--;
    ret->host = xstrndup(rest, host);
    ret->key = xstrndup(rest, all);
    image_host_lower(ret->host);
    image_host_lower(ret->key);
    if (streq(ret->host, "index.docker.io") || streq(ret->host, "registry-1.docker.io")) {
        free(ret->key);
        ret->key = xasprintf("docker.io%.*s", (int)(all - host), rest + host);
        free(ret->host);
        ret->host = xstrdup("docker.io");
    }
    return check_place(ret, text, e);
}

/* Without a name: the registry of short names. */
static int default_place(struct place *ret, struct err *e)
{
    scoped_registry_conf struct registry_conf *c = NULL;
    int r = registry_conf_load(&c, e);
    char *const *list = r < 0 ? NULL : registry_conf_search_list(c);
    if (r == 0 && !list[0])
        return err_msg(e, EINVAL, "which registry? registries.conf has none for short names");
    return r < 0 ? r : parse_place(list[0], ret, e);
}

static int get_place(char **args, struct place *ret, struct err *e)
{
    return args[0] ? parse_place(args[0], ret, e) : default_place(ret, e);
}

/* Does the registry take them? -EACCES: it does not. */
static int try_login(const struct login_opts *o, const struct place *p,
                     const struct registry_creds *creds, struct err *e)
{
    const struct registry_options options = {
        .authfile = o->authfile,
        .cert_dir = o->cert_dir,
        .tls_verify = o->tls_verify_set ? o->tls_verify : -1,
        .retry = -1,
        .login = creds,
    };
    scoped_registry struct registry *reg = NULL;
    int r = registry_open(&options, &reg, e);
    r = r < 0 ? r : registry_ping(reg, p->host, e);
    if (r != -EACCES)
        return r;
    struct err cause = *e;
    bool refused = strstr(cause.msg, "is refused"); /* says no more than that */
    r = err_msg(e, EACCES, "invalid username/password%s%s%s", refused ? "" : " (",
                refused ? "" : cause.msg, refused ? "" : ")");
    return err_hint(e, r, "some registries want a token in the password's place");
}

static int find(const struct login_opts *o, const struct place *p, struct registry_creds *ret,
                struct err *e)
{
    /* A file that is to be made by this login has nothing yet. */
    bool none = o->authfile && access(o->authfile, F_OK) < 0;
    const struct creds_source source = {.authfile = o->authfile};
    const char *below = strlen(p->key) > strlen(p->host) ? p->key + strlen(p->host) + 1 : NULL;
    return none ? 0 : creds_find(&source, p->host, below, ret, e);
}

/* Those which are there already, as far as the registry still takes them. 1: that is all. */
static int try_existing(const struct login_opts *o, const struct place *p,
                        const struct registry_creds *had, struct err *e)
{
    fprintf(stderr, "Authenticating with existing credentials for %s\n", p->key);
    int r = try_login(o, p, had, e);
    if (r == 0) {
        printf("Existing credentials are valid. Already logged in to %s\n", p->key);
        return 1;
    }
    if (r != -EACCES)
        return r;
    err_clear(e);
    fputs("Existing credentials are invalid, please enter valid username and password\n", stderr);
    return 0;
}

static int read_password(struct registry_creds *c, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read_fd(STDIN_FILENO, PASSWORD_MAX, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "the password on standard input");
    size_t len = strlen(text);
    while (len > 0 && strchr("\r\n", text[len - 1]))
        text[--len] = '\0';
    c->password = xstrdup(text);
    explicit_bzero(text, (size_t)n);
    return 0;
}

static int ask_all(const char *before, struct registry_creds *c, struct err *e)
{
    bool asked = !c->username || !c->password;
    if (asked && (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)))
        return err_hint(e, err_msg(e, ENOTTY, "there is no terminal to ask at"),
                        "give --username and --password-stdin");
    scoped_free char *prompt =
        before ? xasprintf("Username (%s): ", before) : xstrdup("Username: ");
    int r = c->username ? 0 : ask_line(prompt, &c->username, e);
    if (r == 0 && before && !*c->username) {
        free(c->username);
        c->username = xstrdup(before);
    }
    return r < 0 || c->password ? r : ask_secret("Password: ", &c->password, e);
}

/* From the options, standard input, or the terminal. */
static int gather(const struct login_opts *o, const char *before, struct registry_creds *c,
                  struct err *e)
{
    c->username = xstrdup(o->username);
    c->password = xstrdup(o->password);
    if (o->password)
        fputs("WARNING! A password on the command line is seen by others. Use --password-stdin.\n",
              stderr);
    int r = o->stdin_password ? read_password(c, e) : ask_all(before, c, e);
    if (r == 0 && !*c->username)
        r = err_msg(e, EINVAL, "the user name is empty");
    if (r == 0 && strchr(c->username, ':')) /* Basic authentication ends the name there */
        r = err_msg(e, EINVAL, "a user name holds no colon");
    if (r == 0 && !*c->password)
        r = err_msg(e, EINVAL, "the password is empty");
    return r;
}

static int check_options(const struct login_opts *o, struct err *e)
{
    if (o->password && o->stdin_password)
        return err_msg(e, EINVAL, "--password and --password-stdin cannot go together");
    if (o->stdin_password && !o->username)
        return err_msg(e, EINVAL, "--password-stdin needs --username");
    return 0;
}

static int get_login(const struct place *p, const struct registry_creds *had, int found,
                     struct err *e)
{
    if (found < 0)
        return found;
    if (found == 0)
        return err_msg(e, ENOENT, "not logged into %s", p->key);
    imagetool_print(stdout, had->username ? had->username : "<token>");
    putchar('\n');
    return 0;
}

static int log_in(const struct login_opts *o, const struct place *p, struct err *e)
{
    SCOPED(registry_creds_release) struct registry_creds had = {0}, c = {0};
    bool fresh = o->username || o->password || o->stdin_password;
    struct err why = ERR_INIT;
    int found = find(o, p, &had, o->get_login ? e : &why);
    if (o->get_login)
        return get_login(p, &had, found, e);
    int r = found == 1 && !fresh ? try_existing(o, p, &had, e) : 0;
    if (r != 0)
        return r < 0 ? r : 0;
    r = gather(o, found == 1 && !o->username ? had.username : NULL, &c, e);
    r = r < 0 ? r : try_login(o, p, &c, e);
    r = r < 0 ? r : creds_store(o->authfile, p->key, &c, e);
    if (r < 0)
        return r;
    scoped_free char *file = creds_file(o->authfile);
    if (o->verbose)
        printf("Used: %s\n", file);
    puts("Login Succeeded!");
    return 0;
}

static int run_login(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    SCOPED(place_release) struct place p = {0};
    const struct login_opts *o = opts;
    (void)cmd;
    int r = check_options(o, e);
    r = r < 0 ? r : get_place(args, &p, e);
    r = r < 0 ? r : log_in(o, &p, e);
    return r < 0 ? err_add(e, r, "login %s", p.key ? p.key : args[0] ? args[0] : "") : r;
}

struct logout_opts {
    bool all;
    char *authfile;
};

#define O(m) offsetof(struct logout_opts, m)
static const struct opt logout_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "Remove all credentials of the file"},
    {"authfile", 0, OPT_STRING, O(authfile), "FILE", "Remove them from this file"},
    {NULL},
};

static int log_out_all(const struct logout_opts *o, struct err *e)
{
    scoped_free char *file = creds_file(o->authfile);
    int r = creds_erase_all(o->authfile, e);
    if (r < 0)
        return r;
    if (r == 0)
        fprintf(stderr, "There are no credentials in %s\n", file);
    else
        puts("Removed login credentials for all registries");
    return 0;
}

/* Credentials that another tool keeps elsewhere are that tool's to remove. */
static int not_there(const struct logout_opts *o, const struct place *p, struct err *e)
{
    SCOPED(registry_creds_release) struct registry_creds c = {0};
    const struct creds_source source = {0};
    scoped_free char *file = creds_file(o->authfile);
    int r = err_msg(e, ENOENT, "not logged into %s", p->key);
    if (!o->authfile && creds_find(&source, p->host, NULL, &c, NULL) == 1)
        err_hint(e, r,
                 "other credentials serve for it, outside %s: docker logout, or --authfile FILE",
                 file);
    return r;
}

static int run_logout(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    SCOPED(place_release) struct place p = {0};
    const struct logout_opts *o = opts;
    (void)cmd;
    if (o->all && args[0])
        return err_msg(e, EINVAL, "logout: --all goes with no registry");
    if (o->all) {
        int all = log_out_all(o, e);
        return all < 0 ? err_add(e, all, "logout") : 0;
    }
    int r = get_place(args, &p, e);
    r = r < 0 ? r : creds_erase(o->authfile, p.key, e);
    if (r == 0)
        r = not_there(o, &p, e);
    if (r < 0)
        return err_add(e, r, "logout %s", p.key ? p.key : args[0] ? args[0] : "");
    printf("Removed login credentials for %s\n", p.key);
    return 0;
}

const struct cmd imagetool_login_cmds[] = {
    {.name = "login",
     .args = "[REGISTRY]",
     .summary = "Log in to a registry",
     .opts = login_table,
     .opts_size = sizeof(struct login_opts),
     .max_args = 1,
     .run = run_login,
     .details = "The registry is asked whether it takes the user and the password before they are "
                "kept. podman, skopeo and buildah use them too. Without REGISTRY it is the one of "
                "short names, which is docker.io unless registries.conf says otherwise.",
     .examples = "rootlet login quay.io\n"
                 "pass show quay | rootlet login -u me --password-stdin quay.io\n"
                 "rootlet login --get-login quay.io"},
    {.name = "logout",
     .args = "[REGISTRY]",
     .summary = "Forget the credentials for a registry",
     .opts = logout_table,
     .opts_size = sizeof(struct logout_opts),
     .max_args = 1,
     .run = run_logout,
     .details = "Only the file that login writes is looked into; what docker keeps in its own file "
                "stays.",
     .examples = "rootlet logout quay.io\nrootlet logout --all"},
    {NULL},
};
