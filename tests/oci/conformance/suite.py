#!/usr/bin/python3
"""suite - runs the validation programs of the OCI runtime tools (see build) with one runtime.

    suite.py DIRECTORY RUNTIME [--rootless] [PROGRAM...]      as root

prints for each program its result and the points that failed. DIRECTORY is where build put them,
RUNTIME a program with its options in one word.
"""
import concurrent.futures
import contextlib
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from sandbox import Sandbox  # noqa: E402  pylint: disable=wrong-import-position

TIMEOUT = 60
CAP_SYS_RESOURCE = 24
RESULT = re.compile(r"(not ok|ok) \d+ ?-? ?(# SKIP|# TODO)? ?(.*)")


def capable(cap):
    with open("/proc/self/status", encoding="ascii") as f:
        return bool(int(re.search(r"CapEff:\s*(\w+)", f.read())[1], 16) >> cap & 1)


class Outcome:
    """What one program said. `result` is pass, fail, or skip when it looked at nothing; `failed` are
    the points that it found wrong."""

    def __init__(self, text, errors, code, left):
        self.text, self.errors, self.code, self.left = text, errors, code, left
        self.failed, points = [], []
        for line in text.splitlines():
            m = RESULT.match(line)
            if m:
                points.append(m)
                if m[1] == "not ok" and m[2] != "# TODO":
                    self.failed.append(m[3])
            elif not points and line.startswith('      "error": '):
                # Some tell of what they find with no result to it.
                self.failed.append(line.strip())
        if code != 0:
            self.failed.append(f"exit {code}")
        if self.failed:
            self.result = "fail"
        elif points and all(m[2] == "# SKIP" for m in points):
            self.result = "skip"
        else:
            self.result = "pass"

    def __str__(self):
        return f"{self.result}\n{self.text}\n{self.errors}\nexit {self.code}, left: {self.left}"


class Suite:
    """`runtime`: program and options; `ids`: (uid, gid, subuid, subgid, count) of who is not root."""

    def __init__(self, directory, runtime, ids=None):
        self.directory, self.runtime, self.ids = pathlib.Path(directory), runtime, ids

    def programs(self):
        return sorted(p.name for p in (self.directory / "bin").iterdir())

    def run(self, program):
        work = pathlib.Path(tempfile.mkdtemp(prefix="oci-conformance-"))
        try:
            return self._run(program, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _run(self, program, work):
        for d in ("state", "tmp", "run"):
            (work / d).mkdir()
        # They look for these in the working directory.
        for f in [self.directory / "runtimetest", *self.directory.glob("rootfs-*")]:
            shutil.copy(f, work / f.name)
        env = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "TMPDIR": str(work / "tmp"),
               "RUNTIME": str(HERE / "runtime"), "XDG_RUNTIME_DIR": str(work / "run"),
               "HOME": str(work), "LANG": "C.UTF-8",
               "CONFORMANCE_RUNTIME": f"{self.runtime} --root {work / 'state'}"}
        # Where a rootlet-oci that is not installed finds its helpers.
        env |= {k: v for k, v in os.environ.items() if k == "ROOTLET_LIBEXEC"}
        if self.runtime.split()[0].endswith("crun") and not capable(CAP_SYS_RESOURCE):
            env["CONFORMANCE_NO_DEVICES"] = "1"
        user = None
        work.chmod(0o755)
        if self.ids:
            user = self.ids[:2]
            env["CONFORMANCE_IDS"] = " ".join(str(i) for i in self.ids)
            for path in (work, *work.iterdir()):
                os.chown(path, *user)
        with open(work / "out", "w+", encoding="utf-8", errors="replace") as out, \
                open(work / "err", "w+", encoding="utf-8", errors="replace") as err:
            argv = ["timeout", "-k", "5", str(TIMEOUT), str(self.directory / "bin" / program)]
            code, left = Sandbox(user, writable=work).run(argv, cwd=work, env=env, stdout=out, stderr=err,
                                           stdin=subprocess.DEVNULL)
            out.seek(0)
            err.seek(0)
            # Caches of filters stay.
            state = [p.name for p in (work / "state").iterdir() if p.name[0] not in ".="]
            return Outcome(out.read(), err.read(), code, left + [f"state {s}" for s in state])

    def run_all(self, programs=None, workers=4):
        """{program: outcome}; the programs mostly wait, so that more than one at a time pays."""
        programs = list(programs or self.programs())
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            return dict(zip(programs, pool.map(self.run, programs)))


def change_users(*argv):
    """One of the shadow programs, which lock /etc/passwd against each other and do not wait for long."""
    for _ in range(20):
        r = subprocess.run(argv, capture_output=True, text=True, check=False)
        if r.returncode == 0:
            return
        time.sleep(0.5)
    raise RuntimeError(f"{argv}: {r.stderr}")


@contextlib.contextmanager
def test_user(first=210_000_000, count=65536):
    """A user for the time of the run, with subordinate ids: yields Suite's `ids`."""
    name = f"ociconf{os.getpid()}"
    change_users("useradd", "-M", "-N", "-s", "/bin/sh", name)
    try:
        ids = f"{first}-{first + count - 1}"
        change_users("usermod", "-v", ids, "-w", ids, name)
        entry = pwd.getpwnam(name)
        yield entry.pw_uid, entry.pw_gid, first, first, count
    finally:
        change_users("userdel", name)


def main(argv):
    rootless = "--rootless" in argv
    verbose = "-v" in argv
    directory, runtime, *programs = [a for a in argv if a not in ("--rootless", "-v")]
    with test_user() if rootless else contextlib.nullcontext() as ids:
        outcomes = Suite(directory, runtime, ids).run_all(programs)
    for program, outcome in sorted(outcomes.items()):
        print(f"{program:36} {outcome.result}")
        for point in outcome.failed:
            print(f"    {point}")
        if outcome.left:
            print(f"    left: {', '.join(outcome.left)}")
        if verbose:
            print(outcome)


if __name__ == "__main__":
    main(sys.argv[1:])
