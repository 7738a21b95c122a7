"""The files of tests/cli/quadlet through podman's generator and ours: the same units, dependencies
and options, but for what is known to differ."""
import collections
import pathlib
import re
import subprocess
import time

import pytest

from lib import host, rows

PODMAN = pathlib.Path("/usr/lib/systemd/user-generators/podman-user-generator")
pytestmark = [pytest.mark.systemd, pytest.mark.skipif(not PODMAN.exists(), reason="podman is too old")]
OURS = host.BUILDDIR / "rootlet-user-generator"
FILES = pathlib.Path(__file__).parent / "quadlet"

# Options without a value in a further word.
FLAGS = {"--replace", "--rm", "-d", "--unit", "--init", "--read-only", "--env-host", "--ignore",
         "--read-only-tmpfs", "--disable-dns", "--internal", "--ipv6", "--rootfs", "--force", "-f", "-i"}
# What only one of them says: how a service is run, and what the other's default is.
ONLY = {"--unit", "--sdnotify", "--cgroups", "-d", "--http-proxy", "--infra-name", "--exit-policy",
        "--infra-conmon-pidfile", "--cidfile"}
LONG = {"-v": "--volume", "-f": "--force", "-i": "--ignore"}

# RootletArgs= is not podman's; the others are newer than podman 5.4: left out for both.
TOO_NEW = {"RootletArgs", "Policy", "BuildArg", "HttpProxy", "Memory", "NetworkDeleteOnStop",
           "ReloadSignal", "ReloadCmd", "AppArmor", "Retry", "RetryDelay"}
TOO_NEW_IN = {("pod.pod", k) for k in ("HostName", "Label", "StopTimeout", "ExitPolicy", "ShmSize")}
# podman 5.4 names units of templates that systemd cannot start, and leaves names of files in After=.
NAMED_ELSE = {"template@-volume.service": "template-volume@.service"}
FILE_NAMES = {".container": ".service", ".volume": "-volume.service", ".pod": "-pod.service"}
# A backslash at the end of a line is a space by systemd.syntax(7), and an empty line ends the line;
# an empty word ends podman's command line; that of the template is named by its '@'.
SYNTAX = {"continued.service", "exec.service", "template-volume@.service"}
# Only podman, only rootlet: it forgets what a volume binds, and breaks paths with blanks.
DEPENDENCIES_DIFFER = {
    "pod-pod.service": ([("Before", "member@.service"), ("Wants", "member@.service")], []),
    "bind-volume.service": ([], [("RequiresMountsFor", "/srv/my data")]),
    "volumes.service": ([("RequiresMountsFor", "/a"), ("RequiresMountsFor", "b")],
                        [("RequiresMountsFor", "/a b")]),
}
OPTIONS_DIFFER = {
    "empty-entrypoint.service": ([], [("--entrypoint", "")]),
    "healthy.service": ([("--health-cmd", 'test -e /ok && echo "fine')],
                        [("--health-cmd", 'test -e /ok && echo "fine"')]),
    "pairs.service": ([], [("--env", "HOME")]),
    "template@.service": ([("--volume", "systemd-template@:/data")],
                          [("--volume", "systemd-template-%i:/data")]),
}
OPTIONS_DIFFER["template@two.service"] = OPTIONS_DIFFER["template@.service"]


def split(text):
    """systemd's words (systemd.syntax(7)), of what the generators write."""
    words, word, quote, i = [], None, None, 0
    while i < len(text):
        c = text[i]
        if c == "\\":
            m = re.match(r"\\(?:x([0-9a-f]{2})|(.))", text[i:])
            word = (word or "") + (chr(int(m[1], 16)) if m[1] else
                                   {"n": "\n", "t": "\t", "s": " "}.get(m[2], m[2]))
            i += len(m[0])
            continue
        if quote:
            if c == quote:
                quote = None
            else:
                word += c
        elif c in "\"'":
            quote, word = c, word or ""
        elif c == " ":
            words, word = words + ([word] if word is not None else []), None
        else:
            word = (word or "") + c
        i += 1
    return words + ([word] if word is not None else [])


def parse(text):
    """{unit: {section: {key: [values]}}} of a dry run."""
    units, section = {}, None
    for line in text.splitlines():
        m = re.match(r"---(.*)---$", line)
        if m:
            unit = units[pathlib.Path(m[1]).name] = collections.defaultdict(
                lambda: collections.defaultdict(list))
        elif line.startswith("["):
            section = unit[line[1:-1]]
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section[key].append(value)
    return units


def generate(program, directory):
    """A file that one of them refuses stops no other."""
    r = subprocess.run([program, "-dryrun", "-user"], capture_output=True, text=True, check=False,
                       env={"QUADLET_UNIT_DIRS": str(directory), "HOME": "/nonexistent", "PATH": "/bin",
                            "SYSTEMD_GENERATOR_PATH": "/nonexistent", "XDG_RUNTIME_DIR": "/nonexistent"})
    return {n: u for n, u in parse(r.stdout).items()
            if "--fail" not in " ".join(u["Service"]["ExecStart"])}


def options(words):
    """The verb, a bag of options, and what follows them."""
    verb = []
    bag = collections.Counter()
    words = words[1:]
    while words and words[0].startswith("-"):  # GlobalArgs=
        bag[words.pop(0), ""] += 1
    while words and not words[0].startswith("-"):
        verb.append(words.pop(0))
    while words and words[0].startswith("-"):
        word = words.pop(0)
        name, eq, value = word.partition("=")
        if not eq and name not in FLAGS and words:
            value = words.pop(0)
        name = LONG.get(name, name)
        if name in ("--cap-add", "--cap-drop"):
            value = value.lower().removeprefix("cap_")
        if (name, value) == ("--rootfs", ""):
            continue
        if name == "--label" and value.startswith("io.containers.autoupdate="):
            name, value = "--auto-update", value.partition("=")[2]
        if name == "--name" and verb == ["pod", "create"]:
            verb.append(value)
            continue
        if name in ("--pod", "--pod-id-file"):
            name, value = "--pod" if verb[0] == "run" else "-d", ""
        if name not in ONLY:
            bag[name, value] += 1
    return verb, bag, words


def unit_of(name):
    stem, dot, ending = name.rpartition(".")
    name = NAMED_ELSE.get(name, name)
    return stem + FILE_NAMES[dot + ending] if dot + ending in FILE_NAMES else name


def dependencies(unit):
    out = set()
    for key in ("Requires", "After", "Before", "Wants", "BindsTo", "RequiresMountsFor"):
        for value in unit["Unit"][key]:
            words = split(value)
            out.update((key, unit_of(w)) for w in words
                       if "network-online" not in w and w != "%t/containers")
    return out


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A copy without the keys that podman does not know."""
    to = tmp_path_factory.mktemp("files")
    for path in FILES.rglob("*"):
        target = to / path.relative_to(FILES)
        if path.is_dir():
            target.mkdir()
        elif path.suffix != ".service":
            target.write_text("".join(
                line for line in path.read_text().splitlines(keepends=True)
                if (key := line.partition("=")[0]) not in TOO_NEW and (path.name, key) not in TOO_NEW_IN))
    return to


@pytest.fixture(scope="module")
def both(files):
    theirs = {NAMED_ELSE.get(n, n): u for n, u in generate(PODMAN, files).items()}
    return theirs, generate(OURS, files)


@rows("B42")
def test_the_same_units(both):
    theirs, ours = both
    assert len(ours) >= 40
    assert set(theirs) == set(ours)


@rows("B42")
def test_the_same_dependencies_and_links(both):
    theirs, ours = both
    differ = {}
    for name in sorted(set(theirs) & set(ours)):
        a, b = dependencies(theirs[name]), dependencies(ours[name])
        if a ^ b:
            differ[name] = sorted(a - b), sorted(b - a)
        assert dict(theirs[name]["Install"]) == dict(ours[name]["Install"]), name
    assert differ == DEPENDENCIES_DIFFER


@rows("B42")
def test_the_same_options(both):
    theirs, ours = both
    compared, differ = 0, {}
    for name in sorted(set(theirs) & set(ours)):
        if name.endswith(("-image.service", "-pod.service", "-build.service")):
            continue  # rootlet's image is checked first; a pod is made in ExecStartPre
        if name in SYNTAX:
            continue
        a, b = (options(split(u[name]["Service"]["ExecStart"][0])) for u in (theirs, ours))
        if (a[0], a[2]) != (b[0], b[2]):
            differ[name] = a, b
        elif a[1] != b[1]:
            differ[name] = sorted(a[1] - b[1]), sorted(b[1] - a[1])
        compared += 1
    assert differ == OPTIONS_DIFFER
    assert compared >= 30
    for name in sorted(n for n in set(theirs) & set(ours) if n.endswith("-pod.service")):
        a, b = (options(split(u[name]["Service"]["ExecStartPre"][0])) for u in (theirs, ours))
        assert a[:2] == b[:2], f"{name}: {a} {b}"


@rows("B42")
def test_quicker_than_podmans(files):
    """A generator runs at every login and every reload."""
    times = {PODMAN: [], OURS: []}
    for _ in range(15):
        for program, list_ in times.items():
            began = time.perf_counter()
            generate(program, files)
            list_.append(time.perf_counter() - began)
    theirs, ours = min(times[PODMAN]), min(times[OURS])
    print(f"podman {theirs * 1000:.1f} ms, rootlet {ours * 1000:.1f} ms, {theirs / ours:.1f} times")
    assert ours < theirs
