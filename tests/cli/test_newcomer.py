"""What users of docker and podman type on their first day, and what they should read."""
import os
import re
import signal
import subprocess
import time

import pytest

from lib import host

LATER = """prune compose""".split()


@pytest.mark.parametrize("words", [[w] for w in LATER], ids=" ".join)
def test_planned_commands(rootlet, words):
    for args in ([*words], [*words, "x", "-q"], [*words, "--help"], ["help", *words]):
        r = rootlet.fails(*args, match=f"^Error: rootlet {' '.join(words)} is not there yet\nhint: .+\n$")
        assert r.out == ""


@pytest.mark.parametrize("word", ["buildx", "builder"])
def test_planned_parts_of_a_group(rootlet, word):
    rootlet.fails(word, "x", "-q", match=f"^Error: rootlet {word} is not there yet\nhint: .+\n$")


@pytest.mark.parametrize("word", ["check", "connection", "migrate", "renumber", "service"])
def test_what_is_not_needed(rootlet, word):
    rootlet.fails("system", word, match=f"^Error: rootlet system {word} is not needed\nhint: .+\n$")


def test_no_other_word_is_planned(rootlet):
    rootlet.fails("pullx", match="unrecognized command 'rootlet pullx'")
    rootlet.fails("container", "nosuch", match="unrecognized command")
    rootlet.fails("-d", match="See 'rootlet --help'")


@pytest.mark.parametrize("words,hint", [
    ("resume c", "rootlet unpause"), ("df", "rootlet system df"), ("checkpoint c", "rootlet pause"),
    ("container clone c", "rootlet commit"), ("container init c", "rootlet start"), ("umount c", "rootlet cp"),
    ("mount c", "rootlet cp"), ("mount c /mnt", "rootlet mount add"), ("container mount c", "rootlet cp")])
def test_what_has_another_name_here(rootlet, words, hint):
    r = rootlet.fails(*words.split(), match=f"^Error: .*\nhint: .*{hint}")
    assert "did you mean" not in r.err and r.out == ""


@pytest.mark.parametrize("words,hint", [
    ("mount x", "rootlet cp x:/"), ("unmount x", "rootlet cp"), ("trust show", "man rootlet-registries"),
    ("sign x", "cosign"), ("scp a b::", "rootlet save")])
def test_verbs_of_image_that_are_elsewhere(rootlet, words, hint):
    rootlet.fails("image", *words.split(), match=f"^Error: rootlet image .* is not there yet\nhint: .*{hint}")


def test_image_of_a_file_is_no_name(rootlet):
    """podman runs it; here it is brought first, as the hint says."""
    rootlet.ok("save", "--format", "oci-archive", "-o", "x.tar", rootlet.image(), cwd=rootlet.user.home)
    said = rootlet.fails("run", "--rm", "oci-archive:x.tar", "true", match="is no image of the store", cwd=rootlet.user.home)
    assert "rootlet run $(rootlet pull -q oci-archive:x.tar)" in said.err
    image = rootlet.ok("pull", "-q", "oci-archive:x.tar", cwd=rootlet.user.home).text
    rootlet.ok("run", "--rm", image, "true")
    (rootlet.user.home / "x.tar").unlink()


def test_created_at_of_images(rootlet):
    rootlet.image()
    assert re.match(r"\d{4}-\d\d-\d\dT", rootlet.ok("images", "--format", "{{.CreatedAt}}").out)


def test_words_of_mount_are_still_its_own(rootlet):
    rootlet.fails("mount", match="missing command")
    assert "  add " in rootlet.ok("mount", "--help").out
    assert rootlet.ok("help", "mount", "ls").out == rootlet.ok("mount", "ls", "--help").out


def test_options_with_one_dash(rootlet):
    rootlet.fails("kill", "-9", "c", match="unknown shorthand flag: '9' in -9\nhint: .*-s 9$")
    rootlet.fails("kill", "-KILL", "c", match="hint: .*-s KILL$")
    rootlet.fails("ps", "-size", match="unknown shorthand flag: 'i' in -size, did you mean --size[?]\n")
    rootlet.fails("stop", "-9", "c", match="unknown shorthand flag: '9' in -9\nhint: See")


def test_options_behind_the_image(rootlet):
    image = rootlet.image()
    hint = "hint: options stand before the image or container, the command behind it"
    rootlet.fails("run", "--rm", image, "-p", "8080:80", rc=127, match=f'exec: "-p": executable file not found in .*\n{hint}\n')
    rootlet.ok("run", "-d", "--name", "c", image, "sleep", "1000")
    rootlet.fails("exec", "c", "-it", "sh", rc=127, match=f'exec: "-it": executable file not found in .*\n{hint}\n')
    rootlet.ok("rm", "-f", "-t", "0", "c")


def test_a_volume_is_no_container(rootlet):
    rootlet.ok("volume", "create", "data")
    r = rootlet.fails("inspect", "data", match='no such object: "data"\nhint: .*rootlet volume inspect data\n')
    assert r.out == "[]\n"
    rootlet.fails("inspect", "--type", "volume", "data", match="hint: .*volume inspect")
    rootlet.fails("inspect", "../volumes/data", match='no such object: "../volumes/data"\n$')


def test_dash_is_standard_output(rootlet):
    """As of save: no file of this name appears."""
    rootlet.ok("create", "--name", "c", "-v", "data:/d", rootlet.image(), "true")
    for words in (["export", "-o", "-", "c"], ["volume", "export", "-o", "-", "data"]):
        assert b"ustar" in rootlet.ok(*words, binary=True).out
    assert not (rootlet.user.home / "-").exists()


def test_size_in_a_template(rootlet):
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    assert re.match(r"^c [\d.]+k?B \(virtual ", rootlet.ok("ps", "-a", "--format", "{{.Names}} {{.Size}}").out)
    rootlet.fails("ps", "-f", "name", match="--filter name: want KEY=VALUE\nhint: known: id, name")
    rootlet.fails("ps", "-f", "name=(", match="not a regular expression\nhint: ")
    rootlet.fails("ps", "-f", "nosuch=x", match="--filter nosuch=x: unknown filter")


def test_image_that_is_not_here(rootlet):
    rootlet.fails("run", "--rm", "--pull=never", "debian", "bash", match="image not known: debian\nhint: .*rootlet pull")


def test_load_without_input(rootlet):
    rootlet.fails("load", "x.tar", match="hint: rootlet load -i x.tar")


@pytest.mark.parametrize("option", ["--gpus=all", "--health-startup-cmd=true", "--link=x", "--secret=x"])
def test_planned_options(rootlet, option):
    """Refused by name, and not taken for a misspelt one."""
    name = option.split("=", maxsplit=1)[0]
    for command in ("run", "create"):
        r = rootlet.fails(command, option, rootlet.image(), "true", match=f"^Error: {name} is not there yet\nhint: ")
        assert "did you mean" not in r.err
        assert name + " " not in rootlet.ok(command, "--help").out


def test_interrupts_that_are_ignored(rootlet):
    """Process 1 without a handler: ctrl-c does nothing, and at the third rootlet says why."""
    t = rootlet.pty("run", "--name", "deaf", rootlet.image(), "sh", "-c", "echo ready; exec sleep 100")
    t.expect("ready")
    for _ in range(2):
        t.send("\x03")
        time.sleep(0.3)  # two that are pending are one
    assert "interrupts" not in t.output
    rootlet.wait_for(lambda: (t.send("\x03"), t._read(0.3), "interrupts" in t.output)[2])
    t.expect(r"goes on after three interrupts.*rootlet stop [0-9a-f]{12}.*--init")
    rootlet.ok("kill", "deaf")


@pytest.mark.parametrize("limit", ["3:3", "10:20"])
def test_few_files(rootlet, limit):
    """A limit below what the start itself has open is the payload's."""
    soft, hard = limit.split(":")
    script = "ulimit -n; ulimit -Hn"
    box = rootlet.image()
    run = rootlet.ok("run", "--rm", "--ulimit", f"nofile={limit}", box, "sh", "-c", script)
    assert run.out == f"{soft}\n{hard}\n"
    rootlet.ok("run", "-d", "--name", "few", "--ulimit", f"nofile={limit}", box, "sleep", "100")
    assert rootlet.ok("exec", "few", "sh", "-c", script).out == run.out


def test_titles_of_a_column_with_two_fields(rootlet):
    out = rootlet.ok("ps", "--format", "table {{.ID}} ({{.Image}})\t{{.Names}}").out
    assert re.fullmatch(r"CONTAINER ID \(IMAGE\)  NAMES *\n", out), out


def test_killed_supervisor_has_no_date(rootlet):
    """56 years ago was not when it ended."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "100")
    state = rootlet.inspect("c")["State"]
    for pid in (state["ConmonPid"], state["Pid"]):
        os.kill(pid, signal.SIGKILL)
    rootlet.wait_for(lambda: "Exited" in rootlet.ok("ps", "-a").out)
    assert "years" not in rootlet.ok("ps", "-a").out


def test_runtime_directory_that_is_not_ours(rootlet):
    r = rootlet.fails("run", rootlet.image(), "true", env={"ROOTLET_RUNROOT": "/proc/nosuch"})
    assert "hint: set XDG_RUNTIME_DIR" in r.err
    r = rootlet.fails("load", "-i", "/dev/null", env={"ROOTLET_ROOT": "/nosuch"})
    assert "/nosuch" in r.err and "hint: --root" in r.err


@pytest.mark.root
def test_full_disk(rootlet):
    """The exit status is kept where no new file has room."""
    root = rootlet.store.root
    root.mkdir(mode=0o700)
    os.chown(root, rootlet.user.uid, -1)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=6m,mode=700,uid={rootlet.user.uid}", "tmpfs", root],
                   check=True)
    try:
        script = "while cat /bin/busybox; do :; done >/fill 2>/dev/null; exit 7"
        rootlet("run", "--name", "full", rootlet.image(), "sh", "-c", script, rc=7)
        assert "Exited (7)" in rootlet.ok("ps", "-a").out
        rootlet.ok("rm", "full")
    finally:
        subprocess.run(["umount", "-l", root], check=True)


@pytest.mark.root
def test_proposed_ids_are_free(rootlet):
    """The command that doctor and the notice print gives nobody the ids of somebody else."""
    script = """set -e; cp /etc/subuid /etc/subgid /etc/passwd .
        sed -i "/^$(id -un):/d; /^$(id -u):/d" subuid subgid; echo other:100000:165536 >>subgid
        """
    rootlet.shell(script)
    mounts = [f"mount --bind {rootlet.user.home}/{f} /etc/{f}" for f in ("subuid", "subgid")]
    drop = f"setpriv --reuid {rootlet.user.uid} --regid {rootlet.user.uid} --clear-groups"
    env = rootlet.environment()
    r = subprocess.run(["unshare", "-m", "sh", "-ec", "\n".join(mounts) + f"\n{drop} {rootlet.program} doctor"],
                       capture_output=True, text=True, env=env, check=False)
    first, last = map(int, re.search(r"--add-subuids (\d+)-(\d+)", r.stdout).groups())
    assert last - first == 65535 and f"--add-subgids {first}-{last}" in r.stdout, r.stdout
    for name in ("subuid", "subgid"):
        for line in (rootlet.user.home / name).read_text(encoding="ascii").splitlines():
            start, count = map(int, line.split(":")[1:])
            assert last < start or first >= start + count, line


def test_doctor_without_a_session(rootlet):
    out = rootlet("doctor", env={"XDG_RUNTIME_DIR": None}).out
    assert "/run/user/none" not in out and f"no systemd of the user answers in /run/user/{rootlet.user.uid}" in out
    if host.fs_type("/sys/fs/cgroup") != "cgroup2fs":
        mends = "export ROOTLET_CGROUPS=disabled"
        assert mends not in out and mends in rootlet("doctor", cgroups=None).out
