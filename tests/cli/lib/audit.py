"""audit - what a test may leave behind: nothing.

Taken before and after every test; what is new afterwards, once rootlet itself has removed the
test's containers, is a leak. Leaks are cleaned up, so that the next test is not blamed."""
import contextlib
import os
import pathlib
import re
import shutil
import time

from lib import host

CGROUPS = "/sys/fs/cgroup"
# What stays in a run root by design: answers of probes, which hold until the next boot.
RUN_STAYS = ("probe.", "events", "told-", "networks")


def mounts_of(needles):
    """mountinfo lines, of every mount namespace, that mention one of the paths."""
    seen, found = set(), set()
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        with contextlib.suppress(OSError):
            ns = os.readlink(f"/proc/{pid}/ns/mnt")
            if ns in seen:
                continue
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as f:
                for line in f:
                    # The test's own tmpfs are no leak.
                    if any(n in line for n in needles) and " rltest " not in line:
                        found.add(f"{ns}: {line.strip()}")
            seen.add(ns)
    return found


def of_another_worker(name):
    """The groups of tests/oci tell whose test has made them: rootlet-tPID-N."""
    worker = re.search(r"rootlet-t(\d+)-", name)
    return worker and int(worker[1]) != os.getpid()


def cgroups_of(users):
    found = set()
    for top, dirs, _files in os.walk(CGROUPS):
        dirs[:] = [d for d in dirs if not d.startswith("rootlet-native-")]  # test beds, with users of their own
        for d in dirs:
            path = os.path.join(top, d)
            if d.endswith((".slice", ".service")):
                continue  # a manager's own, which it keeps; a container is a scope
            with contextlib.suppress(OSError):
                if ("rootlet" in d and not of_another_worker(d)) or any(u.owns(os.lstat(path).st_uid) for u in users):
                    found.add(path)
    return found


def units_of(users):
    """Scopes that a user's systemd still knows, failed ones too: it keeps a file of each."""
    return {str(p) for u in users for p in pathlib.Path(f"/run/user/{u.uid}/systemd/transient").glob("rootlet-*.scope")}


def files_in(directory, users):
    """Entries of a shared directory that belong to the test users."""
    found = set()
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if any(u.owns(entry.stat(follow_symlinks=False).st_uid) for u in users):
                    found.add(entry.path)
    return found


def below(directory):
    with contextlib.suppress(OSError):
        return {str(p) for p in pathlib.Path(directory).iterdir()}
    return set()


def is_finding(report):
    """A leak check that a test's kill -9 cuts short says that it could not look at the dead, or nothing at
    all: no finding."""
    try:
        lines = pathlib.Path(report).read_text(errors="replace").splitlines()
    except OSError:
        return True
    return any("Unable to get registers from thread" not in line for line in lines)


class Audit:
    def __init__(self, base, users):
        self.base, self.users = base, users
        self.before = self.take()

    def take(self):
        state = {"process": set(host.processes_of(self.users).items()), "file": set()}
        for user in self.users:
            state["file"] |= below(user.tmp)
        # Not the whole base: other workers have their users in it.
        state["mount"] = mounts_of([f"{d}/" for u in self.users for d in (u.home, u.runtime)])
        state["cgroup"] = cgroups_of(self.users)
        state["unit"] = units_of(self.users)
        for directory in ("/dev/shm", "/tmp", "/var/tmp", "/dev/mqueue"):
            if self.users[0].made:
                state["file"] |= files_in(directory, self.users)
        state["interface"] = set(os.listdir("/sys/class/net"))
        state["sanitizer report"] = {r for u in self.users for r in below(u.reports) if is_finding(r)}
        return state

    @staticmethod
    def store_leftovers(store):
        """Staged, half-removed and forgotten things of a store without containers."""
        found = set()
        containers = below(store.root / "containers")
        found |= containers
        found |= below(store.root / "ingest") | below(store.root / "names")
        for d in ("layers", "images", "blobs", "volumes"):
            found |= {p for p in below(store.root / d)
                      if os.path.basename(p).startswith((".tmp", ".rm", ".new"))}
        found |= {p for p in below(store.runroot)
                  if not os.path.basename(p).startswith(RUN_STAYS) and
                  not (os.path.basename(p) == "networks" and not below(p))}
        return found

    def leaks(self, stores, ignore=()):
        """Kind -> what is new; gives ends that are under way some seconds."""
        end = time.monotonic() + 5 * (4 if host.SANITIZERS else 1)
        while True:
            now = self.take()
            new = {kind: now[kind] - self.before[kind] for kind in now}
            new["leftover"] = set().union(*(self.store_leftovers(s) for s in stores))
            new = {kind: found for kind, found in new.items() if found and kind not in ignore}
            waits = set(new) - {"sanitizer report"}
            if not waits or time.monotonic() > end:
                return new
            time.sleep(0.05)

    def clean(self, leaks):
        for user in self.users:
            user.kill_all({pid for pid, _ in leaks.get("process", ())})
        for path in leaks.get("file", set()) | leaks.get("sanitizer report", set()):
            with contextlib.suppress(OSError):
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)

    @staticmethod
    def report(leaks):
        lines = ["the test left behind:"]
        for kind, found in sorted(leaks.items()):
            for item in sorted(map(str, found)):
                lines.append(f"  {kind}: {item}")
                if kind == "sanitizer report":
                    with contextlib.suppress(OSError):
                        lines.append(pathlib.Path(item).read_text(errors="replace")[:4000])
        return "\n".join(lines)
