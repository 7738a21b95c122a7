"""reboot - the two halves of tests/vm/reboot in the machine: reboot.py before, reboot.py after."""
import json
import pathlib
import subprocess
import sys
import time
import urllib.request

JOB = pathlib.Path(__file__).resolve().parent
UNITS = JOB / "systemd" / "user"
PROGRAM = str(JOB / "build" / "rootlet")
STORE = pathlib.Path.home() / ".local/share/rootlet"
ENDED = ("exited", "stopped")
faults = []


def check(ok, *what):
    if not ok:
        faults.append(what)
        print("FAULT:", *what)


def sh(*argv, ok=True):
    r = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False,
                       stdin=subprocess.DEVNULL)
    check(not ok or r.returncode == 0, argv, r.returncode, r.stdout, r.stderr)
    return r.stdout.strip()


def rootlet(*argv, ok=True):
    return sh(PROGRAM, *argv, ok=ok)


def install_unit():
    """As make install and "systemctl --user enable" do it."""
    home = pathlib.Path.home() / ".config/systemd/user"
    home.mkdir(parents=True, exist_ok=True)
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("@bindir@", str(JOB / "build"))
        (home / unit.name.removesuffix(".in")).write_text(
            text.replace("/usr/local/bin/rootlet", PROGRAM).replace("/usr/bin/rootlet", PROGRAM))
    sh("systemctl", "--user", "daemon-reload")
    sh("systemctl", "--user", "enable", "rootlet-restart.service")


def before():
    rootlet("load", "-q", "-i", str(JOB / "images" / "base.tar"))
    names = {"no": (), "paused": (), "always": ("--restart", "always"),
             "unless": ("--restart", "unless-stopped"), "stopped": ("--restart", "unless-stopped"),
             "on-failure": ("--restart", "on-failure")}
    install_unit()
    for name, options in names.items():
        rootlet("run", "-d", "--name", name, *options, "base", "sleep", "100000")
    rootlet("network", "create", "lab")
    rootlet("run", "-d", "--name", "web", "--restart", "always", "--network", "lab", "-p", "127.0.0.1::80", "base",
            "sh", "-c", "mkdir -p /w; echo hello >/w/i; exec httpd -f -h /w")
    rootlet("create", "--name", "created", "base", "true")
    rootlet("run", "--name", "ended", "base", "sh", "-c", "exit 7", ok=False)
    rootlet("pause", "paused")
    rootlet("stop", "-t", "0", "stopped")
    (pathlib.Path.home() / "boot_id").write_text(boot_id())
    print(rootlet("ps", "-a"))


def boot_id():
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()


def state(name):
    return json.loads(rootlet("inspect", name))[0]["State"]


def start_ticks(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def check_foreign_process():
    """A state of the last boot that names a process which is somebody else's now, even with its
    very start time: nobody signals it."""
    with subprocess.Popen(["sleep", "100000"], start_new_session=True) as victim:
        cid = json.loads(rootlet("inspect", "no"))[0]["Id"]
        path = STORE / "containers" / cid / "state.json"
        old = json.loads(path.read_text())
        check(True, old)
        old |= {"status": "running", "pid": victim.pid, "supervisor_pid": victim.pid,
                "pid_start": start_ticks(victim.pid), "supervisor_start": start_ticks(victim.pid),
                "boot_id": (pathlib.Path.home() / "boot_id").read_text().strip()}
        path.write_text(json.dumps(old, separators=(",", ":")))
        now = state("no")
        check(now["Status"] == "exited" and "restarted" in now["Error"] and not now["Pid"], now)
        for command in (("stop", "-t", "0", "no"), ("kill", "no"), ("pause", "no"), ("rm", "-f", "no")):
            rootlet(*command, ok=False)
            check(victim.poll() is None, command, "signalled a foreign process")
        check("no" not in rootlet("ps", "-a", "--format", "{{.Names}}").split(), "rm did nothing")
        victim.kill()


def check_network():
    """A network by name, its members' names and their ports come back with the first container."""
    port = rootlet("port", "web", "80").rpartition(":")[2]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/i", timeout=60) as r:
            check(r.read() == b"hello\n", "the page of the published port")
    except OSError as e:
        check(False, "published port", port, e)
    check("Name:\tweb" in rootlet("run", "--rm", "--network", "lab", "base", "nslookup", "web"), "name of a member")
    rootlet("rm", "-f", "-t", "0", "web")
    rootlet("network", "rm", "lab")


def after():
    check(boot_id() != (pathlib.Path.home() / "boot_id").read_text(), "that was no reboot")
    end = time.monotonic() + 120
    while time.monotonic() < end and sh("systemctl", "--user", "is-active", "rootlet-restart.service",
                                        ok=False) != "active":
        time.sleep(1)
    print(rootlet("ps", "-a"))
    for name in ("always", "unless", "web"):
        s = state(name)
        check(s["Status"] == "running", name, s)
        check(rootlet("exec", name, "echo", "hello") == "hello", name, "exec")
    for name in ("no", "paused", "stopped", "on-failure"):
        s = state(name)
        check(s["Status"] in ENDED and not s["Running"] and not s["Pid"], name, s)
    check(state("created")["Status"] == "created", state("created"))
    check((state("ended")["Status"], state("ended")["ExitCode"]) == ("exited", 7), state("ended"))
    check_network()
    check_foreign_process()
    rootlet("start", "paused")
    check(state("paused")["Status"] == "running", state("paused"))
    rootlet("stop", "-t", "0", "paused")
    rootlet("rm", "-af")
    check(rootlet("ps", "-aq") == "", "containers stay")
    check(sh("systemctl", "--user", "--failed", "--no-legend", "--plain") == "", "units failed")
    check(sh("systemctl", "--user", "list-units", "--all", "--no-legend", "--plain",
             "rootlet-*.scope") == "", "scopes stay")


{"before": before, "after": after}[sys.argv[1]]()
sys.exit(1 if faults else 0)
