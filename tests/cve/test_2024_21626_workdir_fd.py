"""Descriptors of the host in a container: as working directory, through /proc/self/fd, by exec
(CVE-2024-21626)."""
import os
import re

import pytest

from lib import rows

FDS = range(3, 21)
# What a payload may have open.
STREAMS = re.compile(r"(pipe:\[\d+\]|/dev/null|/dev/pts/\d+|/dev/console|socket:\[\d+\])$")


def test_working_directory_of_the_image(rootlet, lab):
    for fd in FDS:
        name = lab.load(WorkingDir=f"/proc/self/fd/{fd}", Cmd=["pwd"])
        r = rootlet.fails("run", "--rm", name, rc=126)
        assert "outside the container" in r.err or "No such file" in r.err, r


@pytest.mark.parametrize("path", ["/proc/self/cwd", "/proc/1/root", "/proc/self/root/../..",
                                  "/proc/self/task/../fd/5", "/proc/thread-self/fd/6"])
def test_magic_links(rootlet, path):
    image = rootlet.image()
    rootlet.fails("run", "--rm", "-w", path, image, "pwd", rc=126)
    rootlet.ok("run", "-d", "--name", "c", image, "sleep", "1000")
    rootlet.fails("exec", "-w", path, "c", "pwd", rc=126)


def test_working_directory_of_exec(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000")
    # The caller has the host's root open without close-on-exec, at whatever number.
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for fd in (*FDS, root):
            r = rootlet("exec", "-w", f"/proc/self/fd/{fd}", "c", "pwd", pass_fds=[root])
            assert r.rc == 126 and r.out == "", r
    finally:
        os.close(root)


@rows("A4")
@pytest.mark.parametrize("options", [(), ("-t",), ("--init",), ("--userns", "keep-id"),
                                     ("--network", "host"), ("-u", "1000"), ("--privileged",)])
def test_open_descriptors(rootlet, options):
    """Inherited ones of the caller as well, and those of a process that exec has put there."""
    image = rootlet.image()
    look = ("ls", "-l", "/proc/self/fd")
    with open("/etc/hostname", "rb") as f:
        os.set_inheritable(f.fileno(), True)
        runs = [rootlet.ok("run", "--rm", *options, image, *look, pass_fds=[f.fileno()])]
        rootlet.ok("run", "-d", "--name", "c", *options, image, "sleep", "1000", pass_fds=[f.fileno()])
        runs.append(rootlet.ok("exec", "c", *look, pass_fds=[f.fileno()]))
    for r in runs:
        # Beside these ls has the directory itself, which it cannot read the link of any more.
        seen = dict(re.findall(r" (\d+) -> (\S+)", r.out))
        assert set(seen) - {"3"} == {"0", "1", "2"}, r
        assert "3" not in seen or re.match(r"/proc/\d+/fd$", seen["3"]), r
        assert len(re.findall(r" \d+( -> \S+)?\r?$", r.out, re.M)) <= 5, r
        assert all(STREAMS.match(seen[fd]) for fd in "012"), r
    pid = rootlet.inspect("c")["State"]["Pid"]
    if os.geteuid() == 0:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert len(links) == 3 and all(STREAMS.match(to) for to in links), links
