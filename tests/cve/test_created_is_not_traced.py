"""What exec puts into a container that is created has the ids and capabilities of the init, which waits
without the seccomp filter and holds the socket that it is started by."""
import pytest
import runtimes
from lib import host

# Of process 1: the filter that it has, then what of it can be opened.
LOOK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
    static const struct { const char *path; int flags; } files[] = {
        {"/proc/1/mem", O_RDWR}, {"/proc/1/environ", O_RDONLY}, {"/proc/1/exe", O_RDONLY},
        {"/proc/1/maps", O_RDONLY}, {"/proc/1/fd/0", O_PATH}, {"/proc/1/fd/3", O_PATH},
    };
    char text[64];
    int found = 0;
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        int fd = open(files[i].path, files[i].flags);
        found += fd >= 0 && (!strstr(files[i].path, "maps") || read(fd, text, sizeof(text)) > 0);
        if (fd >= 0)
            printf("%s ", files[i].path);
    }
    printf("%d\n", found);
    return 0;
}
"""


@pytest.mark.root
@pytest.mark.parametrize("no_new_privs", [True, False], ids=["no_new_privs", "privs"])
def test_exec_beside_the_init(runtime, no_new_privs, monkeypatch):
    monkeypatch.setenv("ROOTLET_LIBEXEC", str(host.BUILDDIR))  # the program is a copy elsewhere
    spec = runtimes.config(["sleep", "1000"])
    spec["process"]["noNewPrivileges"] = no_new_privs
    spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["unshare"], "action": "SCMP_ACT_ERRNO"}]}
    bundle = runtime.bundle(spec, lambda r: runtimes.compile_static(r / "bin" / "look", LOOK))
    name = f"created-{no_new_privs}"
    runtime.containers.add(name)
    r = runtime("create", "--bundle", bundle.path, name)
    assert r.rc == 0, r
    r = runtime.exec(name, "look")
    assert r.rc == 0 and r.out == "0\n", r
    assert runtime("start", name).rc == 0
    # It has something to look at: else this test proves nothing.
    runtimes.wait_until(lambda: runtime.exec(name, "look").out.endswith("5\n"), "the payload")
