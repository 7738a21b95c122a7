"""units - services of a test's own in the manager of its user (or the system's), and what systemd says of them."""
import itertools
import os
import pathlib
import subprocess
import time

_numbers = itertools.count(1)


def call(*argv, check=True):
    r = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False, errors="replace")
    assert not check or r.returncode == 0, f"{argv}: {r.returncode}\n{r.stdout}{r.stderr}"
    return r


class Units:
    def __init__(self, rootlet, system=False):
        self.rootlet = rootlet
        self.scope = [] if system else ["--user"]
        base = "/run/systemd/system" if system else os.environ["XDG_RUNTIME_DIR"] + "/systemd/user"
        self.dir = pathlib.Path(base)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.names = []

    def ctl(self, *words, check=True):
        return call("systemctl", *self.scope, *words, check=check)

    def write(self, name, text):
        (self.dir / name).write_text(text)
        self.names.append(name)

    def service(self, *words, image=None, command=(), lines="", kind="notify"):
        """Writes a service that runs a container of its own name; returns the name without ".service"."""
        name = f"rltest-{os.getpid()}-{next(_numbers)}"
        quoted = " ".join('"' + str(w).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
                          .replace("$", "$$").replace("\n", "\\n") + '"' for w in
                          ("--name", name, "--replace", "--rm", *words, image or self.rootlet.image(), *command))
        env = "".join(f'Environment="{k}={v}"\n' for k, v in self.rootlet.store.environment().items())
        self.write(f"{name}.service", f"[Service]\nType={kind}\nSyslogIdentifier={name}\n{env}Delegate=yes\nKillMode=mixed\n"
                   f"{lines}\nExecStart={self.rootlet.program} run --unit {quoted}\n")
        return name

    def start(self, name, check=True):
        self.ctl("daemon-reload")
        return self.ctl("start", name, check=check)

    def show(self, name, *properties):
        r = self.ctl("show", name, *(f"-p{p}" for p in properties))
        found = dict(line.split("=", 1) for line in r.stdout.splitlines() if "=" in line)
        return [found[p] for p in properties]

    def wait(self, name, timeout=20, **want):
        end = time.monotonic() + timeout
        while True:
            now = dict(zip(want, self.show(name, *want)))
            if now == want:
                return
            assert time.monotonic() < end, f"{name}: {now}, not {want}\n" + self.ctl("status", name, check=False).stdout
            time.sleep(0.05)

    def journal(self, *words):
        call("journalctl", "--sync", check=False)
        return call("journalctl", "-q", "-o", "cat", "--no-pager", *words, check=False).stdout

    def output(self, name):
        """Not by the unit: the journal does not know that of a process which has ended before it looked."""
        return self.journal("-t", name)

    def wait_output(self, name, text, timeout=10):
        end = time.monotonic() + timeout
        while text not in self.output(name):
            assert time.monotonic() < end, f"{name} has not said {text!r} but: {self.output(name)!r}"
            time.sleep(0.05)

    def processes(self, name):
        """Group below the unit's -> command lines."""
        top = pathlib.Path("/sys/fs/cgroup" + self.show(name, "ControlGroup")[0])
        found = {}
        for procs in top.rglob("cgroup.procs"):
            for pid in procs.read_text().split():
                line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found.setdefault(str(procs.parent.relative_to(top)), []).append(
                    " ".join(w.decode() for w in line[:2]).strip())
        return found

    def end(self):
        for name in self.names:
            self.ctl("stop", name, check=False)
            self.ctl("reset-failed", name, check=False)
            (self.dir / name).unlink()
        self.ctl("daemon-reload")
