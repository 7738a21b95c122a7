"""features: what the document promises is so."""
import json
import re

import pytest

from lib import host, rows

HOOKS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]


@pytest.fixture
def features(oci):
    return oci.ok("features").json()


@rows("B51")
def test_form(features):
    """features.md of the runtime specification."""
    assert features["ociVersionMin"] == "1.0.0" and features["ociVersionMax"].startswith("1.2.")
    assert features["hooks"] == HOOKS
    assert set(features) == {"ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux", "annotations",
                             "potentiallyUnsafeConfigAnnotations"}
    linux = features["linux"]
    assert set(linux) == {"namespaces", "capabilities", "cgroup", "seccomp", "apparmor", "selinux", "intelRdt",
                          "mountExtensions"}
    assert linux["namespaces"] == ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]
    assert all(re.fullmatch("CAP_[A-Z_]+", c) for c in linux["capabilities"]) and len(linux["capabilities"]) >= 41
    systemd = (host.BUILDDIR / "rootlet-scope").exists()
    assert linux["cgroup"] == {"v1": False, "v2": True, "systemd": systemd, "systemdUser": systemd, "rdma": True}
    assert linux["intelRdt"] == {"enabled": False} and linux["mountExtensions"] == {"idmap": {"enabled": True}}
    seccomp = linux["seccomp"]
    assert seccomp["enabled"] and set(seccomp["supportedFlags"]) <= set(seccomp["knownFlags"])
    assert "SECCOMP_FILTER_FLAG_LOG" in seccomp["supportedFlags"]
    for words in (features["mountOptions"], seccomp["actions"], seccomp["operators"], seccomp["archs"]):
        assert words == sorted(set(words))
    assert all(isinstance(v, str) for v in features["annotations"].values())
    for a in features["potentiallyUnsafeConfigAnnotations"]:
        assert isinstance(a, str)


def accepted(oci, edit):
    """create takes the configuration; the container is never started."""
    name = oci.name()
    oci.ok("create", "-b", oci.bundle(["true"], edit), name)
    oci.ok("delete", "-f", name)


def test_versions(rootless):
    f = rootless.ok("features").json()
    for version in (f["ociVersionMin"], f["ociVersionMax"]):
        accepted(rootless, lambda c, v=version: c.update(ociVersion=v))


@rows("B48")
def test_mount_options(rootless):
    """Each word is understood: on a tmpfs, or where it belongs on a bind."""
    options = set(rootless.ok("features").json()["mountOptions"])
    assert {"ro", "rro", "rbind", "noexec", "rslave", "tmpcopyup", "idmap", "nosymfollow"} <= options
    binds = {"bind", "rbind", "idmap", "ridmap", "copy-symlink", "remount"}
    assert binds <= options
    # A user cannot have these on file systems of others (idmap); remount is of what is mounted.
    hard = {"idmap", "ridmap", "remount"}

    def edit(c):
        for n, word in enumerate(sorted(options - hard)):
            bind = word in binds
            c["mounts"].append({"destination": f"/tmp/{n}", "type": "bind" if bind else "tmpfs",
                                "source": "rootfs/etc" if bind else "tmpfs", "options": [word]})
        c["mounts"].append({"destination": "/tmp", "type": "none", "source": "none", "options": ["remount", "bind"]})
        c["mounts"].insert(0, {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
    accepted(rootless, edit)


def test_word_that_is_no_option_is_refused(rootless):
    """Otherwise the test above would prove nothing."""
    def edit(c):
        c["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nonsense"]})
    rootless.fails("create", "-b", rootless.bundle(["true"], edit), rootless.name(), match="nonsense")


def test_namespaces_capabilities_and_hooks(rootless):
    f = rootless.ok("features").json()

    def edit(c):
        have = {n["type"] for n in c["linux"]["namespaces"]}
        c["linux"]["namespaces"] += [{"type": t} for t in f["linux"]["namespaces"] if t not in have | {"user"}]
        c["process"]["capabilities"] = {"bounding": f["linux"]["capabilities"]}
        c["hooks"] = {h: [{"path": "/bin/true"}] for h in f["hooks"]}
    # A hook of the container's side runs there.
    accepted(rootless, edit)


@rows("B35")
def test_seccomp(rootless):
    s = rootless.ok("features").json()["linux"]["seccomp"]

    def edit(c):
        plain = [a for a in s["actions"] if a != "SCMP_ACT_NOTIFY"]
        rules = [{"names": ["kexec_load"], "action": a, "args": [{"index": 0, "value": n, "op": "SCMP_CMP_EQ"}]}
                 for n, a in enumerate(plain) if a != "SCMP_ACT_ALLOW"]
        rules += [{"names": ["swapon"], "action": "SCMP_ACT_LOG",
                   "args": [{"index": 1, "value": n, "op": op}]} for n, op in enumerate(s["operators"])]
        c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "flags": s["supportedFlags"][:0],
                                 "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": rules}
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"} <= set(s["archs"])
    accepted(rootless, edit)


@pytest.mark.parametrize("command", ["checkpoint", "restore"])
def test_no_checkpoints(rootless, command):
    """Refused by name, whatever the options of runc and crun."""
    rootless.fails(command, "--image-path", "/x", "--tcp-established", "name", match=f"{command}: rootlet-oci makes")


def test_help_has_every_command(rootless):
    out = rootless.ok("--help").out
    for word in ("create", "delete", "events", "exec", "features", "kill", "list", "mounts", "pause", "ps", "resume",
                 "run", "spec", "start", "state", "update"):
        assert re.search(rf"^  {word}\b", out, re.M), word
    assert json.loads(rootless.ok("features").out)
