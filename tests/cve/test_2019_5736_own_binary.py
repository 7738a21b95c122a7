"""The programs of rootlet, in the user's own directory, written to from inside: through a command
that is /proc/self/exe with libraries of the image, and through /proc/PID/exe during execs."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lib import host, images, rows

# In place of what the program would do: tries everything with its own file.
EVIL = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
__attribute__((constructor)) static void go(void)
{
    char path[4096] = "", arg[64];
    readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (strstr(path, "busybox"))
        return;
    int fd = open("/proc/self/exe", O_RDONLY);
    fchmod(fd, 0777);
    snprintf(arg, sizeof(arg), "/proc/self/fd/%d", fd);
    dprintf(1, "inside %s\n", path);
    if (fork() == 0) {
        /* The file is not being executed any more once this process is another program. */
        execl("/bin/busybox", "sh", "-c",
              "sleep 0.2; chmod 777 $0; echo x > $0 && echo OVERWRITTEN; rm -f $0; echo tried", arg, NULL);
        _exit(1);
    }
    if (fork() == 0) {
        sleep(1);
        execl("/bin/busybox", "sh", "-c", "sleep 0.2; chmod 777 $0; echo x > $0 && echo OVERWRITTEN", arg,
              NULL);
    }
    execl("/bin/busybox", "sh", "-c", "sleep 2; echo x > $0 && echo OVERWRITTEN", arg, NULL);
    _exit(0);
}
"""


def libraries(name):
    r = subprocess.run(["ldd", host.BUILDDIR / name], capture_output=True, text=True, check=False)
    return set(re.findall(r"(/\S+) \(", r.stdout))


class Install:
    """The programs as in ~/.local: all files belong to the user."""

    def __init__(self, rootlet, lab):
        self.dir = lab.dir("bin")
        for name in host.PROGRAMS:
            path = self.dir / name
            shutil.copy2(rootlet.user.base / "bin" / name, path)
            if rootlet.user.made:
                os.chown(path, rootlet.user.uid, rootlet.user.gid)
        self.rootlet, self.program, self.before = rootlet, str(self.dir / "rootlet"), self.sums()

    def sums(self):
        return {p.name: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mode)
                for p in self.dir.iterdir()}

    def __call__(self, *args, **kw):
        return self.rootlet(*args, program=self.program, **kw)


@pytest.fixture
def install(rootlet, lab):
    if host.SANITIZERS:
        pytest.skip("its libraries are not those of the image")
    made = Install(rootlet, lab)
    yield made
    made.rootlet("rm", "-f", "-a")
    assert made.sums() == made.before


@pytest.fixture
def image(lab):
    """The busybox system with the libraries of our programs, and one that attacks."""
    cc = shutil.which("cc") or pytest.skip("needs a C compiler")
    evil = lab.top / "evil.so"
    subprocess.run([cc, "-x", "c", "-shared", "-fPIC", "-w", "-o", str(evil), "-"], check=True,
                   input=EVIL.encode())
    layer = images.Tar().add_file("evil.so", evil.read_bytes(), 0o755)
    layer.add_file("etc/ld.so.preload", "/evil.so\n")
    layer.add_file("shebang", "#!/proc/self/exe\n", 0o755)
    libs = set()
    for name in ("rootlet", "rootlet-supervise"):
        libs |= libraries(name)
    for lib in libs:
        layer.add_file(lib.lstrip("/"), pathlib.Path(lib).read_bytes(), 0o755)
    return lab.load(layer, Cmd=["sleep", "1000"])


def check(r, name):
    assert "OVERWRITTEN" not in r.out, r
    # A static one loads nothing of the image: it only runs, as itself.
    assert "inside /memfd:" in r.out or not libraries(name), r


@rows("A4")
@pytest.mark.parametrize("command", ["/shebang", "/proc/self/exe"])
def test_command_is_our_program(install, image, command):
    check(install("run", "--rm", image, command), "rootlet-supervise")
    assert install("run", "-d", "--name", "c", image).rc == 0
    for options in ((), ("-t",)):
        check(install("exec", *options, "c", command), "rootlet")


def test_init_is_read_only(install, image):
    r = install("run", "--rm", "--init", image, "sh", "-c",
                "for f in /dev/rootlet-init /proc/1/exe; do chmod 777 $f; touch $f; echo x > $f; done")
    assert r.rc and r.err.count("Read-only file system") >= 4, r


def test_write_during_execs(install, image):
    assert install("run", "-d", "--name", "c", image, "sh", "-c",
                   "while :; do for f in /proc/[0-9]*/exe; do case $(readlink $f) in "
                   "/bin/*) ;; *) (echo x > $f) 2>/dev/null && echo OVERWRITTEN $f >> /out; esac; done; "
                   "done").rc == 0
    for _ in range(100):
        assert install("exec", "c", "/bin/true").rc == 0
    assert install("exec", "c", "test", "-e", "/out").rc == 1
