/* root-tool - container_root_run for the tests, as the calling user with the user's settings.
 *
 *   root-tool FLAGS CONTAINER ls|cat|put|hang [PATH [TEXT]]     FLAGS: "r", "w", "rm", "wm"
 * ls prints the names of a directory, cat a file, put writes one ("UID:GID" of who did), hang
 * prints the child's pid and waits to be ended. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "conf/conf.h"
#include "container/root.h"

static int list(int root, const char *path, struct err *e)
{
    int fd = path_open_in_root(root, path, O_RDONLY | O_DIRECTORY, 0, e);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return err_set(e, fd < 0 ? -fd : errno, "open %s", path);
    for (struct dirent *ent; (ent = readdir(d));)
        puts(ent->d_name);
    closedir(d);
    return 0;
}

static int put(int root, const char *path, const char *text, struct err *e)
{
    scoped_fd int fd = path_open_in_root(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, e);
    if (fd < 0)
        return err_set(e, -fd, "create %s", path);
    printf("%d:%d\n", (int)geteuid(), (int)getegid());
    return fs_write_all(fd, text, strlen(text));
}

static int work(int root, void *data, struct err *e)
{
    char **args = data;
    int r = 0;
    if (streq(args[0], "ls")) {
        r = list(root, args[1], e);
    } else if (streq(args[0], "put")) {
        r = put(root, args[1], args[2], e);
    } else if (streq(args[0], "hang")) {
        printf("%d\n", (int)getpid());
        fflush(stdout);
        pause();
    } else {
        scoped_free char *text = NULL;
        ssize_t n = path_read_in_root(root, args[1], 1 << 20, &text, e);
        r = n < 0 ? err_set(e, (int)-n, "read %s", args[1]) : 0;
        if (n > 0)
            fwrite(text, 1, (size_t)n, stdout);
    }
    fflush(stdout);
    return r;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct conf conf;
    scoped_container struct container c = {.dir_fd = -1};
    if (argc < 4)
        return 2;
    unsigned flags = (strchr(argv[1], 'w') ? CTR_ROOT_WRITE : 0u) |
                     (strchr(argv[1], 'm') ? CTR_ROOT_MOUNTS : 0u);
    int r = conf_load(NULL, &conf, &e);
    if (r == 0)
        r = container_open(&conf, argv[2], &c, &e);
    if (r == 0)
        r = container_root_run(&conf, &c, flags, work, argv + 3, &e);
    conf_release(&conf);
    if (r < 0)
        fprintf(stderr, "root-tool: %s (%s)\n", e.msg, strerror(-r));
    return r < 0;
}
