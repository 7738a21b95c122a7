"""The completions of bash, zsh and fish, as the shells themselves use them."""
import shutil

import pytest

from lib import host

COMPLETIONS = host.SRCDIR / "data" / "completions"

BASH = r"""
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
_rootlet rootlet
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(rootlet):
    """complete(LINE): what bash offers for its last word."""
    script = rootlet.user.tmp / "completion"
    script.write_text((COMPLETIONS / "rootlet").read_text(encoding="utf-8"), encoding="utf-8")
    script.chmod(0o644)

    def offered(line):
        r = rootlet.ok("-c", BASH, "bash", script, line, program="/bin/bash")
        assert r.err == "", r
        return r.out.split()
    yield offered
    script.unlink()


@pytest.fixture
def containers(rootlet):
    """Two of them, one running."""
    box = rootlet.image()
    rootlet.ok("create", "--name", "asleep", box, "true")
    rootlet.ok("run", "-d", "--name", "awake", box, "sleep", "100")
    return box


def test_commands(complete):
    assert complete("rootlet ru") == ["run"]
    assert complete("rootlet ima") == ["image", "images"]
    assert {"run", "load", "delete", "image", "container", "help"} <= set(complete("rootlet "))
    assert complete("rootlet image ins") == ["inspect"]
    assert complete("rootlet container li") == ["list"]
    assert complete("rootlet --log-level debug --runroot /x exe") == ["exec"]
    assert complete("rootlet nosuch ") == []


def test_options(complete):
    assert complete("rootlet run --na") == ["--name"]
    assert complete("rootlet container run --na") == ["--name"]
    assert complete("rootlet --stor") == ["--storage-driver"]
    assert "--detach" in complete("rootlet run --rm -it --de")
    assert "--detach" not in complete("rootlet create --de")
    assert complete("rootlet image prune --fo") == ["--force"]


def test_values(complete):
    assert complete("rootlet run --security-profile h") == ["hardened"]
    assert complete("rootlet run --security-profile=h") == ["hardened"]
    assert complete("rootlet run --userns ke") == ["keep-id"]
    assert complete("rootlet save --format oci-") == ["oci-archive", "oci-dir"]
    assert complete("rootlet ps --format js") == ["json", "jsonl"]
    assert complete("rootlet run --cap-drop NET_B") == ["NET_BIND_SERVICE"]
    assert complete("rootlet run --name ") == []
    assert complete("rootlet kill -s US") == ["USR1", "USR2"]
    assert complete("rootlet quadlet keys v") == ["volume"]
    assert complete("rootlet start --all --filter res") == ["restart-policy="]


def test_containers(complete, containers):
    assert complete("rootlet rm ") == ["awake", "asleep"]
    assert complete("rootlet rm -f as") == ["asleep"]
    assert complete("rootlet exec ") == ["awake"]
    assert complete("rootlet exec -it -u root a") == ["awake"]
    assert complete("rootlet exec awake l") == []  # a word of the command inside
    assert complete("rootlet run --volumes-from as") == ["asleep"]


def test_names_for_every_verb(complete, containers, rootlet):
    """What takes a container, an image, a volume or a pod offers those that there are."""
    rootlet.ok("volume", "create", "vol")
    commands = [line.split("\t") for line in rootlet.ok("help", "--dump").out.splitlines()]
    checked = set()
    for name, flags, args in ((c[0], c[1], c[2]) for c in commands if len(c) > 2):
        if flags != "" or not name or args.lstrip("[").partition(" ")[0].strip("].") not in ("CONTAINER", "IMAGE", "VOLUME"):
            continue
        if name in ("volume create", "create", "run"):
            continue
        offered = complete(f"rootlet {name} ")
        want = {"C": {"awake"}, "I": {containers}, "V": {"vol"}}[args.lstrip("[")[0]]
        assert want <= set(offered), (name, args, offered)
        checked.add(name)
    assert {"start", "stop", "kill", "restart", "pause", "unpause", "wait", "rm", "rename", "attach", "exec", "inspect",
            "logs", "stats", "update", "volume rm"} <= checked | {"inspect"}
    assert containers in complete("rootlet rmi ") and {"awake", containers} <= set(complete("rootlet inspect "))
    for verb in ("start", "stop", "rm", "pause"):
        assert "status=" in complete(f"rootlet {verb} --filter "), verb
    rootlet.ok("volume", "rm", "vol")


def test_images(complete, rootlet):
    box = rootlet.image()
    name, _, tag = box.rpartition(":")
    assert box in complete("rootlet run --rm --name x ")
    # Readline's word ends at the colon: only what follows it is offered.
    assert complete(f"rootlet run {name}:{tag[:2]}") == [tag]
    assert complete(f"rootlet run {box} c") == []


def test_files(complete, rootlet):
    place = rootlet.user.tmp / "archives"
    place.mkdir()
    (place / "box.tar").touch()
    assert complete(f"rootlet load -i {place}/b") == [f"{place}/box.tar"]
    assert complete(f"rootlet import {place}/b") == [f"{place}/box.tar"]
    shutil.rmtree(place)


def test_global_options_reach_rootlet(complete, rootlet, containers):
    elsewhere = rootlet.user.home / "elsewhere"
    assert complete(f"rootlet --root {elsewhere} rm ") == []
    shutil.rmtree(elsewhere, ignore_errors=True)


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is missing")
def test_fish(rootlet, containers):
    script = (COMPLETIONS / "rootlet.fish").read_text(encoding="utf-8")
    home = {"HOME": rootlet.user.home, "XDG_CONFIG_HOME": rootlet.user.tmp, "XDG_DATA_HOME": rootlet.user.tmp}

    def complete(line):
        r = rootlet.ok("-N", "-c", f"source; complete -C '{line}'", program=shutil.which("fish"), input=script,
                       env=home)
        assert r.err == "", r
        return [x.split("\t")[0] for x in r.out.splitlines()]
    assert complete("rootlet ru") == ["run"]
    assert complete("rootlet run --na") == ["--name"]
    assert complete("rootlet container run --na") == ["--name"]
    assert complete("rootlet image ins") == ["inspect"]
    assert complete("rootlet run --security-profile h") == ["hardened"]
    assert complete("rootlet exec a") == ["awake"]
    assert sorted(complete("rootlet rm a")) == ["asleep", "awake"]
    assert containers in complete("rootlet run ")
    shutil.rmtree(rootlet.user.tmp / "fish", ignore_errors=True)


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is missing")
def test_zsh(rootlet, containers):
    place = rootlet.user.tmp / "zsh"
    place.mkdir()
    place.chmod(0o755)
    (place / "_rootlet").write_text((COMPLETIONS / "_rootlet").read_text(encoding="utf-8"), encoding="utf-8")
    (place / "_rootlet").chmod(0o644)
    t = rootlet.pty("-f", program=shutil.which("zsh"), cols=200, env={"TERM": "dumb"})
    t.send(f"PS1=READY; unsetopt beep; fpath=({place} $fpath); autoload -U compinit; compinit -u -D; echo s''et\n")
    t.expect("set\r")
    for line, want in (("rootlet ru", "run "), ("rootlet run --na", "--name"), ("rootlet exec aw", "awake "),
                       ("rootlet container insp", "inspect "), ("rootlet run --security-profile har", "hardened ")):
        t.expect("READY")
        t.send(line + "\t")
        t.expect(want)
        t.send("\x15\n")
    t.send("exit\n")
    assert t.wait() == 0
    shutil.rmtree(place)


@pytest.mark.parametrize("line,offered", [
    ("rootlet-oci mo", ["mounts"]),
    ("rootlet-oci mounts re", ["remove"]),
    ("rootlet-oci exec --cw", ["--cwd"]),
    ("rootlet-oci --root /x --log-format j", ["json"]),
    ("rootlet-oci --cgroup-manager=sys", ["systemd"]),
    ("rootlet-oci exec --cap NET_B", ["NET_BIND_SERVICE"]),
])
def test_oci(rootlet, line, offered):
    text = (COMPLETIONS / "rootlet-oci").read_text(encoding="utf-8")
    script = BASH.replace('source "$1"', text).replace("_rootlet rootlet", "_rootlet_oci rootlet-oci")
    r = rootlet.ok("-c", script, "bash", "-", line, program="/bin/bash")
    assert (r.out.split(), r.err) == (offered, ""), r


def test_oci_containers(rootlet):
    """Listed by the program that is completed, with the options typed before."""
    state = rootlet.user.tmp / "oci-state"
    bundle = rootlet.user.tmp / "oci-bundle"
    rootlet.ok("-c", f"mkdir -p {bundle}/rootfs/bin && cp $(command -v busybox) {bundle}/rootfs/bin/sh", program="/bin/sh")
    oci = str(rootlet.user.base / "bin" / "rootlet-oci")
    rootlet.ok("spec", "--rootless", "-b", bundle, program=oci)
    rootlet.ok("-c", f"sed -i 's/\"terminal\": true/\"terminal\": false/' {bundle}/config.json", program="/bin/sh")
    # What is created holds its streams.
    rootlet.ok("-c", f"{oci} --root {state} create -b {bundle} waiting >/dev/null 2>&1", program="/bin/sh")
    text = (COMPLETIONS / "rootlet-oci").read_text(encoding="utf-8")
    script = BASH.replace('source "$1"', text).replace("_rootlet rootlet", f"_rootlet_oci {oci}")
    r = rootlet.ok("-c", script, "bash", "-", f"rootlet-oci --root {state} start wa", program="/bin/bash")
    rootlet.ok("--root", state, "delete", "-f", "waiting", program=oci)
    shutil.rmtree(bundle)
    shutil.rmtree(state)
    assert r.out.split() == ["waiting"], r


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is missing")
def test_oci_fish(rootlet):
    script = (COMPLETIONS / "rootlet-oci.fish").read_text(encoding="utf-8")
    home = {"HOME": rootlet.user.home, "XDG_CONFIG_HOME": rootlet.user.tmp, "XDG_DATA_HOME": rootlet.user.tmp}
    r = rootlet.ok("-N", "-c", "source; complete -C 'rootlet-oci exec --cw'; complete -C 'rootlet-oci mounts a'",
                   program=shutil.which("fish"), input=script, env=home)
    shutil.rmtree(rootlet.user.tmp / "fish", ignore_errors=True)
    assert [x.split("\t")[0] for x in r.out.splitlines()] == ["--cwd", "add"] and r.err == "", r


@pytest.mark.rows("A56")
def test_networks(rootlet, complete):
    rootlet.ok("network", "create", "lab")
    rootlet.ok("create", "--name", "c", "--network", "lab", rootlet.image(), "true")
    assert {"lab", "slirp", "bridge", "host", "none"} <= set(complete("rootlet run --network "))
    assert complete("rootlet network rm ") == ["lab"]
    assert complete("rootlet network connect ") == complete("rootlet network disconnect lab ") == ["lab", "c"]
    assert complete("rootlet network create --driver ") == ["user", "bridge"]
