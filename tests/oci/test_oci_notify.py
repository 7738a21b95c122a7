"""sd_notify(3) out of a container that runs in the foreground, as a unit of systemd has it."""
import os
import shutil
import socket
import subprocess

import pytest

SOURCE = r"""
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(int argc, char **argv)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    strncpy(a.sun_path, getenv("NOTIFY_SOCKET"), sizeof(a.sun_path) - 1);
    for (int i = 1; i < argc; i++)
        if (sendto(fd, argv[i], strlen(argv[i]), 0, (struct sockaddr *)&a, sizeof(a)) < 0)
            return 1;
    return 0;
}
"""


@pytest.fixture(scope="module")
def notifier(rootlet_base):
    cc = shutil.which("cc") or shutil.which("gcc")
    if not cc:
        pytest.skip("needs a C compiler")
    path = rootlet_base / "notifier"
    subprocess.run([cc, "-x", "c", "-static", "-O1", "-o", str(path), "-"], check=True,
                   input=SOURCE.encode())
    return path


@pytest.fixture
def manager(oci):
    """The service manager's end."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    old = os.open(".", os.O_RDONLY)
    os.chdir(oci.dir)
    try:
        s.bind("manager")
    finally:
        os.fchdir(old)
        os.close(old)
    os.chmod(oci.dir / "manager", 0o666)
    s.settimeout(20)
    yield s
    s.close()


def bundle_with(oci, notifier, script, edit=None):
    bundle = oci.bundle(script, edit)
    shutil.copy(notifier, bundle / "rootfs" / "bin" / "notify")
    (bundle / "rootfs" / "bin" / "notify").chmod(0o755)
    return bundle


def test_messages_are_handed_on(oci, notifier, manager):
    bundle = bundle_with(oci, notifier,
                         "notify 'STATUS=half way' 'READY=1\nMAINPID=1\nFDSTORE=1\nSTATUS=here' "
                         "MAINPID=1 && read x; notify STOPPING=1; exit 2",
                         lambda c: c["process"].update(user={"uid": 9, "gid": 9}))
    p = oci.spawn("run", "-b", bundle, oci.name(), stdin=subprocess.PIPE,
                  env={"NOTIFY_SOCKET": oci.dir / "manager"})
    assert manager.recv(4096) == b"STATUS=half way\n"
    assert manager.recv(4096) == b"READY=1\nSTATUS=here\n"
    p.communicate("x\n", timeout=20)
    assert p.returncode == 2
    assert manager.recv(4096) == b"STOPPING=1\n", "the last words were lost"


def test_a_socket_of_the_configuration_is_left_alone(oci, notifier):
    """podman mounts one of its own."""
    bundle = bundle_with(oci, notifier, "echo $NOTIFY_SOCKET; ls /run 2>/dev/null; true",
                         lambda c: c["process"]["env"].append("NOTIFY_SOCKET=/mine"))
    r = oci("run", "-b", bundle, oci.name(), rc=0, env={"NOTIFY_SOCKET": oci.dir / "manager"})
    assert r.out == "/mine\n"
    r = oci("run", "-b", bundle_with(oci, notifier, "echo $NOTIFY_SOCKET"), oci.name(), rc=0)
    assert r.out == "\n"


def test_who_does_not_stay_hands_nothing_on(oci, notifier):
    """create is no service: nobody would be there to read."""
    name = oci.name()
    r = oci.ok("create", "-b", bundle_with(oci, notifier, "echo $NOTIFY_SOCKET"), name,
               env={"NOTIFY_SOCKET": oci.dir / "manager"})
    oci.ok("start", name)
    oci.wait_for(name, "stopped")
    assert r.later() == "\n"
