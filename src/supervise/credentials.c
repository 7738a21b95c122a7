/* credentials - what systemd gives a service to keep (LoadCredential=, systemd.exec(5)) goes on to
 * the payload: read here, as the user whose service we are, and written anew inside. A mount of the
 * directory would leave the host's owner, who may be nobody inside. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "supervise/supervise.h"

#define INSIDE "/run/credentials/rootlet"
/* systemd's own limit for all of a unit. */
#define TOTAL_MAX (1u << 20)
#define FILES_MAX 256

static int read_one(struct unit *u, int dir_fd, const char *name, size_t *room, struct err *e)
{
    char *data = NULL;
    scoped_fd int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd < 0 ? -errno : fs_read_fd(fd, *room, &data, NULL);
    if (n < 0)
        return err_set(e, (int)-n, "credential %s", name);
    *room -= (size_t)n;
    u->files = xrealloc(u->files, (u->n_files + 1) * sizeof(*u->files));
    u->files[u->n_files++] =
        (struct engine_file){.name = xstrdup(name), .data = data, .size = (size_t)n};
    return 0;
}

static int read_all(struct unit *u, const char *path, struct err *e)
{
    size_t room = TOTAL_MAX;
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = dir_fd < 0 ? NULL : fdopendir(dir_fd);
    if (!d)
        return err_set(e, errno, "CREDENTIALS_DIRECTORY=%s", path);
    for (struct dirent *de; (de = readdir(d));) {
        struct stat st;
        if (de->d_name[0] == '.' || fstatat(dir_fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(st.st_mode))
            continue;
        if (u->n_files == FILES_MAX)
            return err_msg(e, E2BIG, "%s: more than %d credentials", path, FILES_MAX);
        int r = read_one(u, dir_fd, de->d_name, &room, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int credentials_take(struct sup *s, struct err *e)
{
    const char *path = getenv("CREDENTIALS_DIRECTORY");
    int r = s->unit.on && path && *path ? read_all(&s->unit, path, e) : 0;
    unsetenv("CREDENTIALS_DIRECTORY");
    return r;
}

const char *credentials_give(struct sup *s)
{
    struct spec_process *p = s->spec.process;
    if (s->unit.n_files == 0)
        return NULL;
    spec_add_mount(&s->spec, INSIDE, "tmpfs", "rootlet",
                   "nosuid,nodev,noexec,mode=0700,size=2m,nr_inodes=512");
    strv_env_set(&p->env, "CREDENTIALS_DIRECTORY=" INSIDE);
    return INSIDE;
}

/* They are in the container now; a unit runs it once. */
void credentials_forget(struct sup *s)
{
    struct unit *u = &s->unit;
    for (size_t i = 0; i < u->n_files; i++) {
        explicit_bzero((void *)(uintptr_t)u->files[i].data, u->files[i].size);
        free((void *)(uintptr_t)u->files[i].data);
        free((void *)(uintptr_t)u->files[i].name);
    }
    free(u->files);
    u->files = NULL;
    u->n_files = 0;
}

/* What one execve(2) may carry at the most is more; a step of a build has a few. */
#define SECRET_ENV_MAX (1u << 20)

int secret_env_give(struct sup *s, struct err *e)
{
    char *text = NULL;
    if (!s->secret_env || !s->spec.process)
        return 0;
    ssize_t n = fs_read(AT_FDCWD, s->secret_env, SECRET_ENV_MAX, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "secret variables");
    unlink(s->secret_env);
    s->secret_env = NULL;
    for (const char *v = text; v < text + n; v += strlen(v) + 1)
        if (strchr(v, '='))
            strv_env_set(&s->spec.process->env, v);
    explicit_bzero(text, (size_t)n);
    free(text);
    return 0;
}
