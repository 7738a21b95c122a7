/* Which file a command is, and why it cannot be executed. Runs inside the container's root. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "engine/engine-priv.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* 0 if path can be executed by us, else -errno: -EISDIR, -EACCES, -ENOENT... */
static int check(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int command_explain(const char *name, const char *path, int errnum, struct err *e)
{
    int r;
    switch (errnum) {
    case ENOENT:
        /* The file was there a moment ago: execve means the interpreter. */
        r = err_msg(e, ENOENT, "exec: \"%s\": %s", name,
                    check(path) == 0 ? "its interpreter was not found in the container"
                                     : "no such file or directory");
        return err_exit(e, r, EXIT_NOT_FOUND);
    case ENOTDIR:
        r = err_msg(e, errnum, "exec: \"%s\": not a directory", name);
        return err_exit(e, r, EXIT_NOT_FOUND);
    case ENOEXEC: {
        struct utsname u = {0};
        uname(&u);
        r = err_msg(e, ENOEXEC, "exec: \"%s\": exec format error", name);
        err_hint(e, r, "neither a program for %s nor a script that begins with \"#!\"", u.machine);
        return err_exit(e, r, EXIT_NOT_EXECUTABLE);
    }
    case EACCES:
    case EPERM:
        r = err_msg(e, errnum, "exec: \"%s\": permission denied", name);
        return err_exit(e, r, EXIT_NOT_EXECUTABLE);
    case EISDIR:
        r = err_msg(e, errnum, "exec: \"%s\": is a directory", name);
        return err_exit(e, r, EXIT_NOT_EXECUTABLE);
    default:
        return err_exit(e, err_set(e, errnum, "exec: \"%s\"", name), EXIT_NOT_EXECUTABLE);
    }
}

int command_find(const char *name, char *const *env, char **ret, struct err *e)
{
    if (strchr(name, '/')) {
        int r = check(name);
        if (r < 0)
            return command_explain(name, name, -r, e);
        *ret = xstrdup(name);
        return 0;
    }
    int worst = -ENOENT;
    const char *path = strv_env_get(env, "PATH");
    scoped_strv char **dirs = strv_split(path ? path : DEFAULT_PATH, ":", true);
    for (char **d = dirs; name[0] && d && *d; d++) {
        scoped_free char *full = (*d)[0] ? path_join(*d, name) : xasprintf("./%s", name);
        int r = check(full);
        if (r == 0) {
            *ret = take_ptr(full);
            return 0;
        }
        if (r == -EACCES || r == -EISDIR)
            worst = r; /* as execvp(3): remember it, another directory may have it */
    }
    if (worst != -ENOENT)
        return command_explain(name, name, -worst, e);
    int r = err_msg(e, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
    if (name[0] == '-')
        err_hint(e, r, "options stand before the image or container, the command behind it");
    return err_exit(e, -ENOENT, EXIT_NOT_FOUND);
}
