/* The six points of the OCI life cycle where the specification lets foreign programs run. Each gets
 * the container's state as JSON on stdin. runtime.md "Lifecycle", config.md "POSIX-platform Hooks"
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "engine/engine-priv.h"

static const struct {
    const char *name, *status;
    bool fatal;     /* a failure ends the start; else it is logged and the rest goes on */
    bool in_bundle; /* runs in the bundle's directory */
} points[] = {
    /* Of an age that had no "creating": OCI runtime tools' hooks_stdin, and crun, want it so. */
    [HOOK_PRESTART] = {"prestart", "created", true, true},
    [HOOK_CREATE_RUNTIME] = {"createRuntime", "creating", true, true},
    [HOOK_CREATE_CONTAINER] = {"createContainer", "creating", true, false},
    [HOOK_START_CONTAINER] = {"startContainer", "created", true, false},
    [HOOK_POSTSTART] = {"poststart", "running", false, true},
    [HOOK_POSTSTOP] = {"poststop", "stopped", false, true},
};

static const struct spec_hook_list *list_of(const struct spec *spec, enum hook_point point)
{
    static const struct spec_hook_list none;
    const struct spec_hooks *h = spec->hooks;
    if (!h)
        return &none;
    switch (point) {
    case HOOK_PRESTART:
        return &h->prestart;
    case HOOK_CREATE_RUNTIME:
        return &h->create_runtime;
    case HOOK_CREATE_CONTAINER:
        return &h->create_container;
    case HOOK_START_CONTAINER:
        return &h->start_container;
    case HOOK_POSTSTART:
        return &h->poststart;
    case HOOK_POSTSTOP:
        return &h->poststop;
    }
    return &none;
}

bool hooks_any(const struct spec *spec, enum hook_point point)
{
    return list_of(spec, point)->n > 0;
}

/* runtime.md "State". */
json_t *hooks_state(const struct engine_params *p, const char *status, pid_t pid)
{
    scoped_json json_t *annotations = json_object(), *state = NULL;
    for (char **a = p->spec->annotations; a && *a; a++) {
        const char *equals = strchr(*a, '=');
        if (!equals)
            continue;
        scoped_free char *key = xstrndup(*a, (size_t)(equals - *a));
        json_object_set_new(annotations, key, json_string(equals + 1));
    }
    state = json_pack("{s:s, s:s, s:s, s:s, s:O}", "ociVersion",
                      p->spec->oci_version ? p->spec->oci_version : SPEC_OCI_VERSION, "id",
                      p->id ? p->id : "", "status", status, "bundle", p->bundle ? p->bundle : "",
                      "annotations", annotations);
    if (state && pid > 0)
        json_object_set_new(state, "pid", json_integer(pid));
    return take_ptr(state);
}

/* A file in memory that a hook reads as its stdin: unlike a pipe it never blocks us when the hook
 * does not read. */
static int state_file(const char *text, struct err *e)
{
    scoped_fd int fd = memfd_create("state", MFD_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "make a file for the state");
    int r = fs_write_all(fd, text, strlen(text));
    if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return err_set(e, r < 0 ? -r : errno, "write the state");
    return take_fd(&fd);
}

static int run_one(const struct spec_hook *h, const char *state, struct err *e)
{
    static char *const no_env[] = {NULL};
    char *const bare[] = {h->path, NULL};
    scoped_fd int in = state_file(state, e);
    if (in < 0)
        return in;
    const struct proc_cmd cmd = {
        .argv = h->args && h->args[0] ? h->args : bare,
        .path = h->path,
        .envp = h->env ? h->env : no_env,
        .stdin_fd = in,
        .stdout_fd = -1,
        .own_group = true,
        .timeout_ms = !h->has_timeout               ? 0
                      : h->timeout > INT_MAX / 1000 ? INT_MAX
                                                    : h->timeout * 1000,
    };
    int r = proc_run(&cmd, e);
    return r > 0 ? -ECANCELED : r;
}

static int run_all(const struct spec_hook_list *l, enum hook_point point, const char *state,
                   struct err *e)
{
    for (size_t i = 0; i < l->n; i++) {
        struct err failed = ERR_INIT;
        int r = run_one(&l->v[i], state, &failed);
        if (r >= 0)
            continue;
        err_add(&failed, r, "%s hook %s", points[point].name, l->v[i].path);
        if (!points[point].fatal) {
            log_warn("%s", failed.msg);
            continue;
        }
        if (e)
            *e = failed;
        return r;
    }
    return 0;
}

int hooks_run(const struct engine_params *p, enum hook_point point, pid_t pid, struct err *e)
{
    const struct spec_hook_list *l = list_of(p->spec, point);
    if (l->n == 0)
        return 0;
    scoped_json json_t *j = hooks_state(p, points[point].status, pid);
    scoped_free char *state = j ? json_text(j, false) : NULL;
    if (!state)
        return err_msg(e, EINVAL, "%s hooks: the state is not valid UTF-8", points[point].name);
    if (!points[point].in_bundle || !p->bundle)
        return run_all(l, point, state, e);
    /* Where hooks that are written for runc find themselves. */
    scoped_fd int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (here < 0 || chdir(p->bundle) < 0)
        log_debug("%s hooks do not run in the bundle: errno %d", points[point].name, errno);
    int r = run_all(l, point, state, e);
    if (here >= 0 && fchdir(here) < 0)
        log_debug("the working directory is gone: errno %d", errno);
    return r;
}

/* createContainer: a program of the host, in the container's namespaces, before pivot_root, in the
 * directory that becomes the root. The pid is the one that the container's own pid namespace shows.
 */
int child_create_hooks(struct start *s, struct err *e)
{
    if (!hooks_any(s->spec, HOOK_CREATE_CONTAINER))
        return 0;
    if (fchdir(s->root_mount >= 0 ? s->root_mount : s->root_at) < 0)
        return err_set(e, errno, "chdir to the new root");
    return hooks_run(s->p, HOOK_CREATE_CONTAINER, getpid(), e);
}

/* startContainer: a program of the container, with the payload's ids and capabilities. */
int child_start_hooks(struct start *s, struct err *e)
{
    return hooks_run(s->p, HOOK_START_CONTAINER, getpid(), e);
}
