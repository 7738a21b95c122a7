"""Bundles of busybox for rootlet-oci, and what systemd says of their scopes."""
import json
import os
import pathlib
import shutil
import subprocess

PROGRAM = pathlib.Path(os.environ.get("BUILDDIR", "build"), "rootlet-oci").absolute()
CGROUPS = pathlib.Path("/sys/fs/cgroup")
IS_ROOT = os.geteuid() == 0


def run(*argv, env=None, check=False, timeout=300):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, env=env,
                          check=check, timeout=timeout, stdin=subprocess.DEVNULL)


def systemctl(*argv):
    return run("systemctl", *([] if IS_ROOT else ["--user"]), *argv)


def show(unit, *names):
    r = systemctl("show", unit, *(f"-p{n}" for n in names))
    return dict(line.partition("=")[::2] for line in r.stdout.splitlines())


def units(pattern="rootlet-*.scope"):
    """All that the manager still knows, failed ones too."""
    r = systemctl("list-units", "--all", "--plain", "--no-legend", pattern)
    return [line.split()[0] for line in r.stdout.splitlines() if line.strip()]


class Bundle:
    """One container: its bundle, and the commands on it by the systemd cgroup manager."""

    def __init__(self, tmp_path, name="c1"):
        self.id, self.dir, self.root = name, tmp_path / f"bundle-{name}", tmp_path / "state"
        rootfs = self.dir / "rootfs"
        for d in ("bin", "proc", "sys", "dev", "tmp"):
            (rootfs / d).mkdir(parents=True)
        shutil.copy2("/bin/busybox", rootfs / "bin" / "busybox")
        for name_ in ("sh", "cat", "sleep", "true", "head", "tail", "seq"):
            (rootfs / "bin" / name_).symlink_to("busybox")
        r = run(PROGRAM, "spec", "--bundle", self.dir, *([] if IS_ROOT else ["--rootless"]))
        assert r.returncode == 0, r.stderr
        self.config = json.loads((self.dir / "config.json").read_text())
        self.config["process"]["terminal"] = False
        self.config["linux"].pop("resources", None)
        self.config["linux"].pop("cgroupsPath", None)
        self.env = dict(os.environ)
        self.args("sleep", "1000")

    def args(self, *argv):
        self.config["process"]["args"] = list(argv)

    def call(self, command, *argv, **kw):
        (self.dir / "config.json").write_text(json.dumps(self.config))
        return run(PROGRAM, "--root", self.root, "--systemd-cgroup", command, *argv, env=self.env,
                   **kw)

    def run(self):
        return self.call("run", "--bundle", self.dir, self.id)

    def create(self):
        """With files for its streams, as a container that stays would keep a pipe open."""
        (self.dir / "config.json").write_text(json.dumps(self.config))
        log = self.dir / "log"
        with open(log, "w", encoding="utf-8") as out:
            r = subprocess.run([str(PROGRAM), "--root", str(self.root), "--systemd-cgroup", "create",
                                "--bundle", str(self.dir), self.id], stdin=subprocess.DEVNULL,
                               stdout=out, stderr=out, check=False, env=self.env, timeout=300)
        return r.returncode, log.read_text()

    def start(self):
        rc, log = self.create()
        assert rc == 0, log
        r = self.call("start", self.id)
        assert r.returncode == 0, r.stderr

    def state(self):
        return json.loads(self.call("state", self.id).stdout)

    def delete(self):
        return self.call("delete", "--force", self.id)

    def cgroup(self):
        """The directory, as the kernel tells it."""
        for line in pathlib.Path(f"/proc/{self.state()['pid']}/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return CGROUPS / line[4:]
        raise AssertionError("no cgroup v2")
