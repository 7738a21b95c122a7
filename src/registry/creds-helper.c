/* creds-helper - docker-credential-NAME: programs that keep secrets elsewhere than in a file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "registry/creds-priv.h"

/* With a terminal the user may be asked for the key of the store. */
#define TIMEOUT_MS 10000
#define TIMEOUT_ASKING_MS 60000

extern char **environ;
int creds_helper_timeout_ms;

static int check_name(const char *name, struct err *e)
{
    if (*name && *name != '-' && !strchr(name, '/') && strlen(name) < 200)
        return 0;
    return err_msg(e, EINVAL, "\"%s\" is not the name of a credential helper", name);
}

/* The program in the user's PATH, as docker finds it; owned, NULL: there is none. */
static char *find_program(const char *program)
{
    const char *path = getenv("PATH");
    scoped_strv char **dirs = strv_split(path ? path : "/usr/local/bin:/usr/bin:/bin", ":", false);
    for (char **d = dirs; d && *d; d++) {
        scoped_free char *file = path_join(*d, program);
        if (**d == '/' && access(file, X_OK) == 0)
            return take_ptr(file);
    }
    return NULL;
}

/* A file in memory that holds text, to be read from its beginning. */
static int memory_file(const char *text, struct err *e)
{
    scoped_fd int fd = memfd_create("credentials", MFD_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "memfd_create");
    int r = fs_write_all(fd, text, strlen(text));
    if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return err_set(e, r < 0 ? -r : errno, "write to memory");
    return take_fd(&fd);
}

/* Runs it with input; what it prints is *ret (owned), of success and of failure. Its exit status,
 * -ENOENT if there is no such program, or -errno. */
static int run(const char *name, const char *verb, const char *input, char **ret, struct err *e)
{
    scoped_free char *program = xasprintf("docker-credential-%s", name);
    int r = check_name(name, e);
    if (r < 0)
        return r;
    scoped_free char *path = find_program(program);
    if (!path)
        return err_msg(e, ENOENT, "%s: there is no such program in PATH", program);
    scoped_fd int in = memory_file(input, e);
    scoped_fd int out = in < 0 ? -1 : memory_file("", e);
    if (in < 0 || out < 0)
        return in < 0 ? in : out;
    int limit = isatty(STDIN_FILENO) ? TIMEOUT_ASKING_MS : TIMEOUT_MS;
    char *argv[] = {program, (char *)(uintptr_t)verb, NULL};
    struct proc_cmd cmd = {
        .argv = argv,
        .envp = environ,
        .path = path,
        .name = program,
        .stdin_fd = in,
        .stdout_fd = out,
        .timeout_ms = creds_helper_timeout_ms ? creds_helper_timeout_ms : limit,
        .own_group = true,
    };
    int status = proc_run(&cmd, e);
    if (status < 0)
        return status;
    if (lseek(out, 0, SEEK_SET) < 0)
        return err_set(e, errno, "read from memory");
    ssize_t n = fs_read_fd(out, CREDS_MAX_BYTES, ret, status ? NULL : e);
    if (n < 0 && status == 0)
        return err_add(e, (int)n, "%s %s", program, verb);
    return status;
}

/* Its one line on standard output says why, as helpers have it; else what proc_run knows. */
static int failed(const char *name, const char *verb, char *output, struct err *e)
{
    if (output)
        output[strcspn(output, "\r\n")] = '\0';
    if (!output || !*output)
        return err_add(e, -EIO, "%s", verb);
    return err_msg(e, EIO, "docker-credential-%s %s: %s", name, verb, output);
}

int creds_helper_get(const char *name, const char *url, struct registry_creds *ret, struct err *e)
{
    scoped_free char *output = NULL;
    int r = run(name, "get", url, &output, e);
    if (r > 0 && output && strstr(output, "credentials not found")) {
        err_clear(e);
        r = 0;
    } else if (r != 0) {
        r = r > 0 ? failed(name, "get", output, e) : r;
    } else {
        scoped_json json_t *doc =
            json_parse(output, strlen(output), CREDS_MAX_BYTES, "its answer", e);
        const char *user = json_string_value(json_object_get(doc, "Username"));
        const char *secret = json_string_value(json_object_get(doc, "Secret"));
        if (doc && user && secret) {
            bool token = streq(user, "<token>");
            ret->username = token ? NULL : xstrdup(user);
            ret->password = token ? NULL : xstrdup(secret);
            ret->identity_token = token ? xstrdup(secret) : NULL;
            r = 1;
        } else {
            r = doc ? err_msg(e, EINVAL, "want Username and Secret in its answer") : -EINVAL;
            r = err_add(e, r, "docker-credential-%s get", name);
        }
    }
    if (output)
        explicit_bzero(output, strlen(output));
    return r;
}

int creds_helper_store(const char *name, const char *url, const struct registry_creds *c,
                       struct err *e)
{
    scoped_free char *output = NULL;
    scoped_json json_t *doc = json_object();
    json_object_set_new(doc, "ServerURL", json_string(url));
    json_object_set_new(doc, "Username", json_string(c->identity_token ? "<token>" : c->username));
    json_object_set_new(doc, "Secret",
                        json_string(c->identity_token ? c->identity_token : c->password));
    scoped_free char *input = json_text(doc, false);
    int r = run(name, "store", input, &output, e);
    explicit_bzero(input, strlen(input));
    return r > 0 ? failed(name, "store", output, e) : r;
}

int creds_helper_erase(const char *name, const char *url, struct err *e)
{
    scoped_free char *output = NULL;
    int r = run(name, "erase", url, &output, e);
    return r > 0 ? failed(name, "erase", output, e) : r;
}
