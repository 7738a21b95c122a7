/* rss - the largest resident set that a command or one of its children had, in KiB.
 *
 *   rss PROGRAM [ARG...]
 *
 * Small and static: what a big process starts by vfork, an interpreter's posix_spawn for one, has
 * that process' size in its ru_maxrss from the start (setmax_mm_hiwater_rss in the kernel's exec).
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    pid_t pid = fork();
    if (pid < 0)
        return 125;
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    struct rusage usage;
    int status;
    if (wait4(pid, &status, 0, &usage) < 0 || status != 0)
        return 1;
    printf("%ld\n", usage.ru_maxrss);
    return 0;
}
