"""Paths below a volume that another container exchanges with links while they are being used: as
the target of a mount, as working directory, as masked path (CVE-2021-30465, CVE-2024-45310,
CVE-2025-31133, CVE-2025-52565, CVE-2026-42306, CVE-2026-87766; the same by others: CVE-2015-1335, CVE-2017-1002101,
CVE-2019-18837, CVE-2021-41133, CVE-2021-43816, CVE-2024-42472, CVE-2026-34078)."""
import re

import pytest

import hostile_trees as hostile
from lib import images, rows

SWAPS = 100_000
RACER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* swap LINK-TARGET...: exchanges /shared/a with a link, and after a while with the next. */
int main(int argc, char **argv)
{
    unsigned long n = 0;
    mkdir("/shared/a", 0777);
    mkdir("/shared/a/b", 0777);
    for (;;) {
        unlink("/shared/link");
        if (symlink(argv[1 + n / 1024 % (argc - 1)], "/shared/link"))
            return 1;
        for (int i = 0; i < 1024; i++, n++)
            if (renameat2(AT_FDCWD, "/shared/a", AT_FDCWD, "/shared/link", RENAME_EXCHANGE))
                return 2;
        char text[32];
        int fd = open("/count.new", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd < 0 || write(fd, text, sprintf(text, "%lu\n", n)) < 0)
            return 3;
        close(fd);
        rename("/count.new", "/count");
        usleep(500); /* one of two processors is the victim's */
    }
}
"""


@rows("A4", "A22")
@pytest.mark.timeout(400)
def test_target_is_exchanged(rootlet, lab):
    canary, before = lab.canary()
    shared = lab.dir("shared", 0o777)
    source = lab.dir("source")
    (source / "inner").write_text("inner\n")
    image = rootlet.image()
    racer = lab.program("racer", RACER)
    links = [str(canary), "../" * 20 + str(canary), "/proc/1/root" + str(canary), "/proc/self/cwd",
             "/proc/self/fd/7", "/", "/etc", "/dev", "/proc/sys/kernel", "nowhere"]
    rootlet.ok("run", "-d", "--name", "racer", "-v", f"{shared}:/shared", "-v", racer, image, "/racer",
               *links)
    attacks = [
        ("-v", f"{source}:/shared/a/b"),
        ("-v", f"{source}:/shared/a/new/deep"),
        ("-v", f"{source}/inner:/shared/a/b/file"),
        ("-w", "/shared/a/b/made"),
        ("--tmpfs", "/shared/a/b"),
        ("--security-opt", "mask=/shared/a/b"),
        ("-v", f"{source}:/shared/a"),
    ]
    swaps = ends = 0
    while swaps < SWAPS or ends < 20 * len(attacks):
        options = attacks[ends % len(attacks)]
        r = rootlet("run", "--rm", "-v", f"{shared}:/shared", *options, image, "sh", "-c",
                    # Were the root of the host to be seen somewhere, this would be its end.
                    f"test ! -e {canary}/secret && echo confined; true", timeout=20)
        assert r.rc in (0, 125, 126), r
        assert r.rc or r.out == "confined\n", r
        assert r.rc == 0 or re.search(r"/shared/a|source", r.err), r
        ends += 1
        swaps = int(rootlet("exec", "racer", "cat", "/count").text or 0)
        assert rootlet.inspect("racer")["State"]["Running"], rootlet("logs", "racer")
        assert ends < 3000
    assert hostile.look(canary) == before
    assert sorted(p.name for p in source.iterdir()) == ["inner"]


@pytest.mark.parametrize("name", ["proc", "sys", "dev", "dev/pts", "dev/shm", "dev/null", "etc",
                                  "etc/hosts", "etc/resolv.conf", "proc/sys", "dev/console", "v"])
@pytest.mark.parametrize("climb", ["", "/../../../../.."])
def test_links_of_the_image(rootlet, lab, name, climb):
    """Each place that a start mounts on, as a link to a directory of the host."""

    canary, before = lab.canary()
    layer = images.Tar().add_link(name, climb + str(canary))
    r, image = lab.image(layer, Cmd=["true"], Volumes={"/v": {}} if name == "v" else {})
    if r.rc == 0:
        r = rootlet("run", "--rm", *(["-t"] if name in ("dev", "dev/console") else []), image)
        assert r.rc in (0, 125, 126), r
    assert hostile.look(canary) == before


@pytest.mark.parametrize("target", ["/dev", "/dev/pts", "/proc", "/proc/sys", "/proc/self/attr", "/sys",
                                    "/sys/fs", "../../../dev"])
def test_volume_is_led_into_the_kernels_directories(rootlet, lab, target):
    """Devices are not made in the user's directory, nothing lies over what masks are for."""
    source = lab.dir("source", 0o777)
    image = lab.load(images.Tar().add_link("data", target), Cmd=["true"])
    for mount in (("-v", f"{source}:/data"), ("--tmpfs", "/data"), ("-v", f"{source}:/data/new")):
        r = rootlet("run", "--rm", *mount, image)
        assert r.rc == 125 and "/data" in r.err, r
    assert not list(source.iterdir())
