"""Files and directories that a container exchanges with links while they are copied, in both
directions: cp and what follows a path of the container on the host's behalf (CVE-2018-15664,
CVE-2026-42306, CVE-2019-14271)."""
import os
import pathlib
import shutil

import pytest

import hostile_trees as hostile
from lib import host, rows

pytestmark = pytest.mark.skipif(host.SANITIZERS, reason="no program under a tracer can look for leaks")

SWAPS = int(os.environ.get("ROOTLET_TEST_SWAPS", "20000"))
RACER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* race LINK-TARGET...: a directory and a file in it, in turn something else. */
static void swap(const char *a, const char *b)
{
    renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}
/* Many files, each in turn a link to a file of the host: whoever looks at all of them meets one
 * that changes just then. A tmpfs is quick. */
static void files(const char *to)
{
    char file[40], link[40];
    mkdir("/dev/shm/flat", 0777);
    mkdir("/dev/shm/links", 0777);
    for (unsigned n = 0;; n++) {
        sprintf(file, "/dev/shm/flat/%u", n % 64);
        sprintf(link, "/dev/shm/links/%u", n % 64);
        if (n % 4096 < 64) { /* again and again: a copy replaces them */
            unlink(file);
            unlink(link);
            close(open(file, O_CREAT | O_WRONLY, 0666));
            (void)!symlink(to, link);
        }
        swap(file, link);
    }
}
int main(int argc, char **argv)
{
    unsigned long n = 0;
    if (fork() == 0)
        files(argv[1]);
    mkdir("/r", 0777);
    mkdir("/r/dir", 0777);
    mkdir("/r/dir/sub", 0777);
    for (;;) {
        const char *to = argv[1 + n / 256 % (argc - 1)];
        unlink("/r/link");
        unlink("/r/file.link");
        unlink("/r/fifo");
        if (symlink(to, "/r/link") || symlink(to, "/r/file.link") || mkfifo("/r/fifo", 0666))
            return 1;
        close(open("/r/dir/sub/file", O_CREAT | O_WRONLY, 0666));
        for (int i = 0; i < 256; i++, n++) {
            swap("/r/dir", "/r/link");
            swap("/r/dir", "/r/link");
            swap("/r/dir/sub", "/r/link");
            swap("/r/dir/sub", "/r/link");
            swap("/r/dir/sub/file", i % 2 ? "/r/fifo" : "/r/file.link");
            swap("/r/dir/sub/file", i % 2 ? "/r/fifo" : "/r/file.link");
        }
        char text[32];
        int fd = open("/count.new", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd < 0 || write(fd, text, sprintf(text, "%lu\n", 6 * n)) < 0)
            return 3;
        close(fd);
        rename("/count.new", "/count");
        usleep(300); /* one of two processors is the victim's */
    }
}
"""


@rows("A4", "R15")
@pytest.mark.timeout(400)
def test_exchanged_while_copied(rootlet, lab):
    """Nothing of the canary is read or changed, and no copy hangs, whatever is where."""
    canary, before = lab.canary()
    image = rootlet.image()
    racer = lab.program("racer", RACER)
    others = ["../" * 20 + str(canary), "/proc/1/root" + str(canary), "/proc/self/cwd", "/", "/proc/self/fd/3",
              "nowhere"]
    links = [f"{canary}/secret", *(word for other in others for word in (str(canary), other))]
    rootlet.ok("run", "-d", "--name", "c", "-v", racer, image, "/racer", *links)
    source = lab.dir("source")
    (source / "file").write_text("from the host\n")
    (source / "secret").write_text("from the host\n")
    out, many = lab.dir("out"), lab.dir("many")
    for i in range(64):
        (many / str(i)).write_text("from the host\n")
    nested = lab.dir("nested")
    for name in ("dir", "dir/sub"):
        lab.dir(f"nested/{name}")
        for i in range(8):
            (nested / name / f"secret{i or ''}").write_text("from the host\n")
    tar = rootlet("cp", "c:/etc", "-", rc=0, binary=True).out
    attacks = [
        (f"{source}/.", "c:/r/dir"),
        (f"{source}/file", "c:/r/dir/sub/file"),
        (f"{source}/secret", "c:/r/dir/sub/"),
        (f"{source}", "c:/r/dir/sub"),
        ("--overwrite", f"{source}/.", "c:/r/dir/sub"),
        ("c:/r", f"{out}/all"),
        ("c:/r/dir/sub/file", f"{out}/file"),
        ("-L", "c:/r/dir/sub/secret", f"{out}/secret"),
        ("c:/r/dir/.", f"{out}/dir"),
        ("-", "c:/r/dir"),
        ("c:/dev/shm/flat", f"{out}/flat"),
        *[(f"{nested}/.", "c:/r")] * 6,
        (f"{many}/.", "c:/dev/shm/flat"),
        ("c:/dev/shm/flat/.", f"{out}/flat"),
        ("c:/dev/shm/flat/1", f"{out}/one"),
    ]
    # The moments between looking and using are short ones: strace makes them long.
    calls = "newfstatat,openat,openat2,readlinkat,mkdirat,linkat,renameat"
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e",
            f"inject={calls}:delay_exit=400"] if shutil.which("strace") else None
    swaps = done = 0
    while swaps < SWAPS or done < 4 * len(attacks):
        args = attacks[done % len(attacks)]
        kw = {"input": tar} if args[0] == "-" else {}
        r = rootlet("cp", *args, timeout=20, prefix=slow if done // len(attacks) % 2 else None, **kw)
        assert r.rc in (0, 125), r
        for entry in out.iterdir():
            check(entry)
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        done += 1
        swaps = int(rootlet("exec", "c", "cat", "/count").text or 0)
        assert rootlet.inspect("c")["State"]["Running"], rootlet("logs", "c")
        assert done < 3000
    assert hostile.look(canary) == before


def check(top):
    """Regular files hold what we or the container wrote, never what lies at the host's."""
    found = [top] if not top.is_dir() or top.is_symlink() else [
        pathlib.Path(d) / name for d, _, names in os.walk(top) for name in names]
    for p in found:
        assert p.is_symlink() or not p.is_file() or b"canary" not in p.read_bytes(), p


@rows("A4")
def test_no_program_of_the_container_runs(rootlet, lab):
    """CVE-2019-14271: cp starts and loads nothing that lies in the container."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", """
        for f in /bin/tar /bin/gzip /bin/xz /bin/unpigz /bin/cat /bin/cp; do
            rm -f $f; printf '#!/bin/busybox sh\ntouch /ran\n' >$f; chmod 755 $f; done
        mkdir -p /lib/x86_64-linux-gnu /usr/libexec/rootlet /etc
        for f in /lib/x86_64-linux-gnu/libnss_files.so.2 /lib/libc.so.6; do cp /bin/busybox $f; done
        echo 'passwd: x' >/etc/nsswitch.conf; sleep 1000""")
    src = lab.dir("src")
    (src / "f").write_text("x")
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-e", "/etc/nsswitch.conf").rc == 0)
    rootlet.ok("cp", src, "c:/opt")
    data = rootlet("cp", "c:/opt", "-", rc=0, binary=True).out
    rootlet("cp", "-", "c:/tmp", rc=0, input=data)
    rootlet.ok("cp", "c:/opt", src / "back")
    assert pathlib.Path(src / "back/src/f").read_text() == "x"
    assert rootlet("exec", "c", "test", "-e", "/ran").rc == 1
