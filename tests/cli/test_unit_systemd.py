"""run --unit in units of the user's systemd."""
import os
import signal
import socket
import time

import pytest

from lib import rows, units as units_

pytestmark = pytest.mark.systemd
SH = ("sh", "-c")
SERVE = ("sh", "-c", "trap 'echo stopped; exit 0' TERM; echo serving; while :; do sleep 0.1; done")
PYTHON = ("-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro")


@pytest.fixture
def units(rootlet):
    u = units_.Units(rootlet)
    yield u
    u.end()


@rows("A42")
def test_one_clean_tree(units, rootlet):
    """Ready when the command runs; the supervisor is the main process, and nothing of ours beside it."""
    name = units.service(command=SERVE)
    units.start(name)
    assert units.show(name, "ActiveState", "StatusText") == ["active", f"container {name}"]
    pid = int(units.show(name, "MainPID")[0])
    groups = units.processes(name)
    assert sorted(g.split("/")[-1] for g in groups) == ["container", "supervisor"], groups
    ours = [lines for group, lines in groups.items() if group.endswith("supervisor")][0]
    assert len(ours) == 1 and ours[0].endswith(f"rootlet-supervise --id={rootlet.inspect(name)['Id']}")
    state = rootlet.inspect(name)["State"]
    assert state["Running"] and state["Pid"] != pid
    units.wait_output(name, "serving\n")
    assert rootlet.ok("exec", name, "echo", "inside", cgroups=None).text == "inside"
    rootlet.fails("logs", name, match="journalctl --user")
    units.ctl("stop", name)
    assert units.show(name, "ActiveState", "Result") == ["inactive", "success"]
    units.wait_output(name, "stopped\n")
    assert rootlet.ok("ps", "-aq").out == ""


def test_stop_of_what_does_not_listen(units, rootlet):
    """SIGKILL after --stop-timeout; a death by the stop signal is a clean end."""
    deaf = units.service("--stop-timeout", "1", command=("sleep", "1000"))
    clean = units.service("--pid", "host", command=("sleep", "1000"))
    for name in (deaf, clean):
        units.start(name)
        units.ctl("stop", name)
    assert units.show(deaf, "Result", "ExecMainCode", "ExecMainStatus") == ["signal", "2", "9"]
    assert units.show(clean, "Result", "ActiveState") == ["success", "inactive"]
    assert rootlet.ok("ps", "-aq").out == ""


def test_exit_status_and_restart(units):
    """Restart=on-failure, SuccessExitStatus and a start that fails all see the container's status."""
    again = units.service(command=(*SH, "exit 3"), lines="Restart=on-failure\nRestartSec=50ms\n")
    fine = units.service(command=(*SH, "exit 3"), kind="exec", lines="Restart=on-failure\nSuccessExitStatus=3\n")
    broken = units.service(command=("/nowhere",))
    units.start(again, check=False)
    units.start(fine, check=False)
    assert units.start(broken, check=False).returncode != 0
    units.wait(fine, Result="success", NRestarts="0", ActiveState="inactive")
    assert units.show(broken, "Result", "ExecMainStatus") == ["exit-code", "127"]
    units.wait_output(broken, "Error: ")
    end = time.monotonic() + 20
    while int(units.show(again, "NRestarts")[0]) < 2:
        assert time.monotonic() < end


@pytest.mark.parametrize("whole", [False, True])
def test_kill_of_the_main_process(units, rootlet, whole):
    """Of it alone, or of all: systemd takes the rest, and the next start finds no debris."""
    name = units.service(command=SERVE, lines="Restart=on-failure\nRestartSec=50ms\n")
    units.start(name)
    pid = int(units.show(name, "MainPID")[0])
    payload = rootlet.inspect(name)["State"]["Pid"]
    if whole:
        units.ctl("kill", "-s", "KILL", name)
    else:
        os.kill(pid, signal.SIGKILL)
    units.wait(name, NRestarts="1", ActiveState="active")
    rootlet.wait_for(lambda: not os.path.exists(f"/proc/{payload}"), what="the old payload's end")
    assert int(units.show(name, "MainPID")[0]) != pid
    assert len(rootlet.ok("ps", "-q").out.split()) == 1
    assert len(units.processes(name)) == 2
    units.ctl("stop", name)
    assert rootlet.ok("ps", "-aq").out == ""


def test_exec_stop_and_an_existing_container(units, rootlet):
    """start --unit, with ExecStop=rootlet stop."""
    rootlet.ok("create", "--name", "kept", "--log-driver", "passthrough", rootlet.image(), *SERVE, cgroups=None)
    env = "".join(f'Environment="{k}={v}"\n' for k, v in rootlet.store.environment().items())
    name = f"rltest-kept-{os.getpid()}"
    units.write(f"{name}.service", f"[Service]\nType=notify\nSyslogIdentifier={name}\n{env}Delegate=yes\nKillMode=mixed\n"
                f"ExecStart={rootlet.program} start --unit kept\nExecStop={rootlet.program} stop kept\n")
    for _ in range(2):
        units.start(name)
        units.wait_output(name, "serving\n")
        # The container was made outside of the unit, and lives in it all the same.
        assert any(group.endswith("/container") for group in units.processes(name))
        units.ctl("stop", name)
        assert units.show(name, "Result") == ["success"]
        assert rootlet.inspect("kept")["State"]["Status"] in ("exited", "stopped")
    # Outside of it, it has a scope again.
    with open(os.devnull, "w") as nothing: # the output is passed through
        assert rootlet.spawn("start", "kept", cgroups=None, stdout=nothing, stderr=nothing).wait(60) == 0
    assert f"rootlet.slice/rootlet-{rootlet.inspect('kept')['Id']}.scope/" in rootlet.inspect("kept")["State"]["CgroupPath"]
    rootlet.ok("stop", "kept", cgroups=None)


NOTIFY = ("import os,socket,time\n"
          "s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.connect(os.environ['NOTIFY_SOCKET'])\n")


def test_container_notifies_and_is_watched(units):
    """READY and STATUS are the payload's; when it stops its watchdog messages, systemd restarts it."""
    program = NOTIFY + ("time.sleep(0.3); s.send(b'READY=1\\nSTATUS=from inside')\n"
                        "for i in range(12): s.send(b'WATCHDOG=1'); time.sleep(0.1)\n"
                        "time.sleep(1000)\n")
    name = units.service("--sdnotify", "container", "--user", "1000", "--stop-timeout", "1", *PYTHON,
                         command=("/usr/bin/python3", "-c", program),
                         lines="WatchdogSec=700ms\nRestart=on-watchdog\nRestartSec=50ms\n")
    units.start(name)
    assert units.show(name, "StatusText") == ["from inside"]
    units.wait(name, NRestarts="1")
    units.wait(name, ActiveState="active")


def test_a_container_that_is_never_ready(units, rootlet):
    name = units.service("--sdnotify", "container", command=SERVE, lines="TimeoutStartSec=1\n")
    assert units.start(name, check=False).returncode != 0
    assert units.show(name, "Result") == ["timeout"]
    assert rootlet.ok("ps", "-aq").out == ""


def test_supervisor_keeps_the_watchdog(units):
    """monitor: our loop is what is watched."""
    name = units.service("--stop-timeout", "1", command=SERVE, lines="WatchdogSec=300ms\n")
    units.start(name)
    time.sleep(1)
    assert units.show(name, "ActiveState", "NRestarts") == ["active", "0"]
    os.kill(int(units.show(name, "MainPID")[0]), signal.SIGSTOP)
    units.wait(name, Result="watchdog")


def test_socket_unit(units, rootlet):
    """The first connection starts a service without any network."""
    program = ("import socket,os,signal\n"
               "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
               "assert os.environ['LISTEN_FDNAMES'] == 'web' and int(os.environ['LISTEN_PID']) == os.getpid()\n"
               "s = socket.socket(fileno=3)\n"
               "while True:\n"
               "    c, _ = s.accept(); c.sendall(b'hello from ' + ' '.join(os.listdir('/sys/class/net')).encode())\n"
               "    c.close()\n")
    name = units.service("--network", "none", *PYTHON, command=("/usr/bin/python3", "-c", program))
    units.write(f"{name}.socket", "[Socket]\nListenStream=127.0.0.1:18080\nFileDescriptorName=web\n")
    units.ctl("daemon-reload")
    units.ctl("start", f"{name}.socket")
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", 18080), timeout=20) as c:
            assert c.makefile().read() == "hello from lo"
        assert rootlet.inspect(name)["State"]["Running"]
        units.ctl("stop", f"{name}.service")


@pytest.mark.parametrize("user", ["0", "1000"])
def test_credentials(units, rootlet, user):
    source = rootlet.user.tmp / "a-credential"
    source.write_text("from a file\n")
    name = units.service("--user", user, command=(*SH, "cd $CREDENTIALS_DIRECTORY && cat a b; stat -c %a:%u a b"),
                         kind="oneshot", lines=f"SetCredential=b:set\nLoadCredential=a:{source}\n")
    units.start(name, check=False)
    units.wait_output(name, f"400:{user}\n400:{user}\n")
    # By the unit too, though these processes have ended long ago.
    assert "from a file" in units.journal(f"_SYSTEMD_USER_UNIT={name}.service")
    assert "from a file\nset400" in units.output(name)
    source.unlink()


def test_ready_when_healthy(units, rootlet):
    rootlet.fails("create", "--sdnotify", "healthy", rootlet.image(), match="no health check.*\nhint: --health-cmd")
    script = "sleep 1; touch /tmp/fine; trap 'exit 0' TERM; while :; do sleep 0.1; done"
    name = units.service("--sdnotify", "healthy", "--health-cmd", "test -e /tmp/fine", "--health-interval", "300ms",
                         command=(*SH, script))
    units.start(name)
    assert rootlet.inspect(name)["State"]["Health"]["Status"] == "healthy"
    rootlet.ok("exec", name, "test", "-e", "/tmp/fine", cgroups=None)


SYSTEM_UNIT = """[Service]
User=tester
Type=notify
Delegate=yes
KillMode=mixed
SyslogIdentifier={name}
Environment=ROOTLET_ROOT={root}
ExecStart={program} run --unit --rm --name {name} localhost/box sh -c \
    "trap 'exit 0' TERM; echo up as $(id -u); while :; do sleep 0.1; done"
"""
AS_TESTER = ("runuser", "-u", "tester", "--", "env", "-i", "PATH=/job/build:/usr/bin:/bin", "HOME=/home/tester")


@pytest.mark.root
def test_system_unit_of_an_ordinary_user(tmp_path):
    """User= without a session: no XDG_RUNTIME_DIR, the group delegated by the system's manager."""
    name = f"rltest-system-{os.getpid()}"
    root = "/home/tester/system-unit"
    def rootlet(*words):
        return units_.call(*AS_TESTER, f"ROOTLET_ROOT={root}", "rootlet", *words)
    units_.call(*AS_TESTER, f"ROOTLET_ROOT={root}", "sh", "-c",
                "mkdir -p ~/b/bin; cp /bin/busybox ~/b/bin; for a in sh id sleep; do ln -sf busybox ~/b/bin/$a; done; "
                "tar -C ~/b -c . | rootlet import - box; rm -r ~/b")
    units = units_.Units(None, system=True)
    try:
        units.write(f"{name}.service", SYSTEM_UNIT.format(name=name, root=root, program="/job/build/rootlet"))
        units.start(name)
        assert units.show(name, "ActiveState", "StatusText") == ["active", f"container {name}"]
        assert sorted(g.split("/")[-1] for g in units.processes(name)) == ["container", "supervisor"]
        units.wait_output(name, "up as 0\n")
        assert rootlet("ps", "--format", "{{.Names}}").stdout == f"{name}\n"
        units.ctl("stop", name)
        assert units.show(name, "Result") == ["success"]
        assert rootlet("ps", "-aq").stdout == ""
    finally:
        units.end()
        units_.call("rm", "-rf", root)
