"""A container's processes, with every capability, against the one that exec is putting among
them: its memory, environment, descriptors (CVE-2016-9962)."""
from lib import rows

WATCH = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
static const struct { const char *name; int flags; } files[] = {
    {"mem", O_RDWR}, {"environ", O_RDONLY}, {"maps", O_RDONLY}, {"fd/3", O_RDONLY},
    {"fd/4", O_RDONLY}, {"cwd", O_PATH}, {"root", O_PATH}, {"exe", O_RDONLY}, {"stack", O_RDONLY},
    {"fd", O_RDONLY | O_DIRECTORY}, {"map_files", O_RDONLY | O_DIRECTORY},
};
/* Has it become the payload? One at its end, whose memory is gone already, counts as well. */
static int is_payload(int pid)
{
    char path[64], exe[256] = "";
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    if (readlink(path, exe, sizeof(exe) - 1) < 0)
        return errno == ENOENT || errno == ESRCH;
    return strncmp(exe, "/bin/", 5) == 0;
}
int main(void)
{
    int last = 1, seen = 0;
    char path[64], text[4096];
    for (;;) {
        for (int pid = 2; pid < last + 30; pid++) {
            snprintf(path, sizeof(path), "/proc/%d/status", pid);
            if (pid == getpid() || access(path, F_OK))
                continue;
            if (pid > last) {
                last = pid;
                dprintf(2, "seen %d\n", ++seen);
            }
            for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
                snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i].name);
                int fd = open(path, files[i].flags);
                if (fd < 0)
                    continue;
                long n = files[i].flags & (O_PATH | O_DIRECTORY) ? 1 : read(fd, text, sizeof(text));
                if (strcmp(files[i].name, "mem") == 0)
                    n = 1;
                close(fd);
                if (n > 0 && !is_payload(pid) && access(path, F_OK) == 0)
                    printf("GOT %s\n", path);
            }
            if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
                if (!is_payload(pid))
                    printf("GOT trace of %d\n", pid);
                ptrace(PTRACE_DETACH, pid, 0, 0);
            }
            fflush(stdout);
        }
        while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
            ;
    }
}
"""


@rows("A4")
def test_nothing_of_it_is_to_be_had(rootlet, lab):
    rootlet.ok("run", "-d", "--name", "c", "-v", lab.program("watch", WATCH), "--cap-add", "ALL",
               "--security-opt", "seccomp=unconfined", rootlet.image(), "sh", "-c",
               "exec /watch > /out 2> /seen")
    for _ in range(300):
        rootlet.ok("exec", "c", "/bin/true")
    r = rootlet.ok("exec", "c", "cat", "/out")
    assert r.out == "", r
    # It has looked at them: else this test proves nothing.
    assert len(rootlet.ok("exec", "c", "cat", "/seen").out.splitlines()) > 100
