"""check - whether a store is whole after a power cut: check.py STORE JOB LOG

LOG is what work.sh printed before the cut. Whatever is listed must be whole, or said to be lost and
removable; nothing half made may stay. Prints what it found; status 1 with a line for every fault."""
import json
import os
import pathlib
import re
import subprocess
import sys

STORE, JOB, LOG = map(pathlib.Path, sys.argv[1:4])
ROOT = STORE / "root"
os.environ["ROOTLET_ROOT"] = str(ROOT)
os.environ["PATH"] = f"{JOB}/build:{os.environ['PATH']}"
FAULTS = []


def fault(what, r=None):
    FAULTS.append(what)
    print(f"FAULT: {what}" + (f"\n  {r.args}: {r.returncode}\n  {r.stdout}\n  {r.stderr}" if r else ""))


def rootlet(*argv, ok=True):
    r = subprocess.run(["rootlet", *argv], capture_output=True, text=True, timeout=300, check=False,
                       stdin=subprocess.DEVNULL)
    if ok and r.returncode:
        fault(f"rootlet {' '.join(argv)}", r)
    return r


def another_boot():
    """A restored machine has the boot id of the one before: the records get another one."""
    now = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for path in (ROOT / "containers").glob("*/state.json"):
        text = path.read_text(errors="surrogateescape")
        if now in text:
            path.write_text(text.replace(now, now[::-1]), errors="surrogateescape")


def listed():
    r = rootlet("ps", "-a", "--format", "json")
    return {c["Names"][0]: c for c in json.loads(r.stdout)} if r.returncode == 0 else {}


def debris():
    for name in ("ingest", "trash"):
        for entry in (ROOT / name).glob("*"):
            yield f"{name}/{entry.name}"
    for entry in (ROOT / "containers").glob(".*"):
        yield f"containers/{entry.name}"
    # That of a volume's record goes with the volume.
    for entry in ROOT.rglob(".tmp-*"):
        if entry.relative_to(ROOT).parts[0] not in ("layers", "containers", "volumes"):
            yield str(entry.relative_to(ROOT))


def check_names():
    """A name that leads to nothing, as a rename that was cut leaves one, is there for the next one."""
    for entry in (ROOT / "names").glob("*"):
        rootlet("create", "--name", entry.name, "base", "true")
        rootlet("rm", entry.name)
        if os.path.lexists(entry):
            fault(f"{entry} stays")


def check_pods():
    for name in rootlet("pod", "ps", "--format", "{{.Name}}").stdout.split():
        rootlet("pod", "inspect", name)
        rootlet("pod", "rm", "-f", name)
        rootlet("pod", "create", name)
        rootlet("pod", "rm", "-f", name)


def promised():
    """Images whose load was over and which nothing touched afterwards."""
    there = set()
    for line in LOG.read_text(errors="replace").splitlines():
        words = line.split()
        loaded = re.search(r"/([a-z0-9]+)\.tar$", line)
        if words[:1] == ["begin"] and "rmi" in words:
            there -= {w.split("/")[1].split(":")[0] for w in words if "/" in w}
        elif words[:3] == ["end", "0", "load"] and loaded:
            there.add(loaded[1])
    return there


def check_images():
    names = rootlet("images", "--format", "{{.Repository}}").stdout.split()
    for name in promised() - {n.rpartition("/")[2] for n in names}:
        fault(f"image {name} was loaded and is gone: {names}")
    r = rootlet("image", "check")
    return len(r.stdout.splitlines())


def check_containers():
    dead = 0
    for name, c in listed().items():
        r = rootlet("inspect", name)
        if r.returncode:
            continue
        state = json.loads(r.stdout)[0]["State"]
        if state["Status"] == "dead":
            dead += 1
            if not state["Error"]:
                fault(f"container {name} is dead without a reason", r)
        elif state["Status"] not in ("created", "exited", "stopped"):
            fault(f"container {name} is {state['Status']}", r)
        else:
            rootlet("logs", name)
            rootlet("start", name)
            rootlet("stop", "-t", "0", name, ok=False)  # --rm may have been its option
        rootlet("rm", "-f", name, ok=state["Status"] == "dead")
        if c["Id"][:12] in rootlet("ps", "-aq").stdout:
            fault(f"container {name} cannot be removed")
        if name[0] in "abc":  # the name is free
            rootlet("create", "--name", name, "base", "true")
            rootlet("rm", name)
    return dead


def check_volumes():
    found = sorted(p.name for p in (ROOT / "volumes").glob("*")) if (ROOT / "volumes").exists() else []
    if rootlet("volume", "ls", "-q", ok=False).returncode == 0:
        if sorted(rootlet("volume", "ls", "-q").stdout.split()) != found:
            fault(f"volume ls does not list {found}")
        for name in found:
            rootlet("volume", "inspect", name)
    for name in found[:4]:
        rootlet("run", "--rm", "-v", f"{name}:/x", "base", "sh", "-c", "echo more >>/x/f && cat /x/f")
    return len(found)


def main():
    if not (ROOT / "layers").exists():
        print("nothing was written yet")
        return
    another_boot()
    containers = len(listed())
    images = check_images()
    rootlet("load", "-i", f"{JOB}/images/base.tar")
    check_pods()
    dead = check_containers()
    volumes = check_volumes()
    rootlet("load", "-i", f"{JOB}/images/img1.tar")
    rootlet("image", "check", "--quick")
    rootlet("rm", "-af")
    check_names()
    for path in debris():
        fault(f"{path} stays")
    print(f"{containers} containers ({dead} lost), {images} images, {volumes} volumes")


main()
sys.exit(1 if FAULTS else 0)
